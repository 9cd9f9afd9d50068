import { createHash } from 'node:crypto';
import { deepEqual, isObject, type JsonObject } from '../base/json.ts';

/**
 * The stores that an artifact may lie in and the member that holds its key there
 * (pkg/apis/workflow/v1alpha1/workflow_types.go: ArtifactLocation.Get, in that order, and each GetKey). The key of
 * artifactory and http is the path of the URL. git and raw have none: nothing can be stored there.
 */
const KEY_MEMBERS = {
  artifactory: 'url',
  azure: 'blob',
  gcs: 'key',
  hdfs: 'path',
  http: 'url',
  oss: 'key',
  s3: 'key',
  plugin: 'key',
} as const;
export type ArtifactProvider = keyof typeof KEY_MEMBERS;

const KEYLESS = ['git', 'raw'] as const;
const PROVIDERS = Object.keys(KEY_MEMBERS) as readonly ArtifactProvider[];

/** All members of an artifact that say where it lies. */
export const LOCATION_MEMBERS: readonly string[] = [...PROVIDERS, ...KEYLESS];

/** Where an artifact lies: the store, the key in it, and all else (endpoint, bucket, secrets) as written. */
export interface ArtifactLocation {
  readonly provider: ArtifactProvider;
  /** Empty where only the store is named. */
  readonly key: string;
  readonly fields: JsonObject;
}

function splitUrl(url: string): { origin: string; path: string; rest: string } {
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?#]*)?([^?#]*)(.*)$/s.exec(url);
  return { origin: match?.[1] ?? '', path: match?.[2] ?? '', rest: match?.[3] ?? '' };
}

function isUrlProvider(provider: ArtifactProvider): boolean {
  return KEY_MEMBERS[provider] === 'url';
}

/**
 * Reads the location of an artifact or of a template's archiveLocation. `none`: none is given; `unusable`: more than one
 * store, or one without keys.
 */
export function readLocation(holder: unknown): ArtifactLocation | 'none' | 'unusable' {
  if (!isObject(holder)) return 'none';
  const named = LOCATION_MEMBERS.filter((member) => holder[member] !== undefined && holder[member] !== null);
  const [member] = named;
  if (member === undefined) return 'none';
  const provider = PROVIDERS.find((candidate) => candidate === member);
  const fields = holder[member];
  if (named.length > 1 || provider === undefined || !isObject(fields)) return 'unusable';
  const text = fields[KEY_MEMBERS[provider]];
  if (text !== undefined && typeof text !== 'string') return 'unusable';
  const key = text === undefined ? '' : isUrlProvider(provider) ? splitUrl(text).path : text;
  return { provider, key, fields };
}

/** The same store with another key, as the member of an artifact. */
export function withKey(location: Pick<ArtifactLocation, 'provider' | 'fields'>, key: string): JsonObject {
  const member = KEY_MEMBERS[location.provider];
  if (!isUrlProvider(location.provider)) return { [location.provider]: { ...location.fields, [member]: key } };
  const written = location.fields[member];
  const { origin, rest } = splitUrl(typeof written === 'string' ? written : '');
  return { [location.provider]: { ...location.fields, [member]: `${origin}${key}${rest}` } };
}

/** A location that names nothing but store and key: it resolves against the reading workflow's artifact repository. */
export function keyAlone(provider: ArtifactProvider, key: string): JsonObject {
  return withKey({ provider, fields: {} }, key);
}

/** Whether a location says anything but store and key. */
function ownFields({ provider, fields }: ArtifactLocation): JsonObject {
  const member = KEY_MEMBERS[provider];
  const text = fields[member];
  const { [member]: _key, ...others } = fields;
  return isUrlProvider(provider) && typeof text === 'string' ? { ...others, origin: splitUrl(text).origin } : others;
}

/** What tells one store from another of its kind; credentials, formats and keys do not. */
const STORE_MEMBERS: Readonly<Record<ArtifactProvider, readonly string[]>> = {
  artifactory: [],
  azure: ['endpoint', 'container'],
  gcs: ['bucket'],
  hdfs: ['addresses'],
  http: [],
  oss: ['endpoint', 'bucket'],
  s3: ['endpoint', 'bucket'],
  plugin: ['name', 'configuration'],
};

/** A short hash that differs between stores, and is the same for all keys of one. */
export function storeId({ provider, fields }: ArtifactLocation): string {
  const url = fields[KEY_MEMBERS[provider]];
  const origin = isUrlProvider(provider) && typeof url === 'string' ? splitUrl(url).origin : '';
  const told = [provider, origin, ...STORE_MEMBERS[provider].map((member) => fields[member] ?? '')];
  return createHash('sha256').update(JSON.stringify(told)).digest('hex').slice(0, 16);
}

/** Whether `reported` names no store detail that `expected` does not name in the same way. */
export function isWithinStore(reported: ArtifactLocation, expected: ArtifactLocation): boolean {
  if (reported.provider !== expected.provider) return false;
  const allowed = ownFields(expected);
  return Object.entries(ownFields(reported)).every(([name, value]) => value === '' || deepEqual(value, allowed[name]));
}

/** Whether a key lies below another, as a path: no step upwards, and at least one more part. */
export function isKeyBelow(key: string, parent: string): boolean {
  const prefix = parent.replace(/\/+$/, '');
  if (prefix === '' || !key.startsWith(`${prefix}/`)) return false;
  const rest = key.slice(prefix.length + 1);
  return rest !== '' && rest.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
