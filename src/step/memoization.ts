import { annotationOf } from '../argo/pod.ts';
import type { Step } from '../argo/step.ts';
import type { Memoize, Template } from '../argo/template.ts';
import { parseGoDuration } from '../base/duration.ts';
import { ownString } from '../base/json.ts';
import {
  CACHE_ANNOTATION,
  KEY_ANNOTATION,
  MAX_AGE_ANNOTATION,
  type MemoizeMode,
  REUSE_ANNOTATION,
} from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import { quote } from '../base/text.ts';
import type { KubeObject } from '../kube/types.ts';

/** What a step asked for, once annotations, `memoize` and defaults are read and found valid. */
export interface Memoization {
  /** The key as the user wrote it, parameters filled in. */
  readonly key: string;
  /** The ConfigMap's name. */
  readonly cache: string;
  /** As written, for messages; undefined means no limit. */
  readonly maxAge?: string;
  /** maxAge in milliseconds; undefined means no limit. Zero or less never hits. */
  readonly maxAgeMs?: number;
  /** The step runs and its entry is overwritten. */
  readonly isRefresh: boolean;
}

export type MemoizationReading =
  | { readonly ok: true; readonly memoization: Memoization }
  | { readonly ok: false; readonly reason: Reason; readonly message: string };

function no(reason: Reason, message: string): { ok: false; reason: Reason; message: string } {
  return { ok: false, reason, message };
}

/** Longest cache key, in bytes of UTF-8: far above what anyone means, well below what annotations may hold. */
export const LONGEST_KEY_BYTES = 16 * 1024;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LONGEST_NAME = 253;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

/** What is wrong with a key; undefined when it can be used. */
export function checkKey(key: string): { ok: false; reason: Reason; message: string } | undefined {
  if (key === '') return no('key-missing', 'the key is empty');
  if (key.includes('{{')) return no('key-unresolved', `the key is ${quote(key)}`);
  if (Buffer.byteLength(key, 'utf8') > LONGEST_KEY_BYTES) {
    return no('key-invalid', `the key is longer than ${LONGEST_KEY_BYTES} bytes`);
  }
  if (CONTROL_CHARACTER.test(key) || !key.isWellFormed()) {
    return no('key-invalid', `the key ${quote(key)} has control characters`);
  }
  return undefined;
}

/** What is wrong with the name of a cache; undefined when it can be used. */
export function checkCacheName(cache: string): { ok: false; reason: Reason; message: string } | undefined {
  if (cache === '') return no('cache-missing', 'no cache is named');
  if (cache.length > LONGEST_NAME || !DNS_SUBDOMAIN.test(cache)) {
    return no('cache-name-invalid', `the cache is named ${quote(cache)}`);
  }
  return undefined;
}

/** The settings as written, wherever they stand. */
interface Written {
  readonly key: string | undefined;
  readonly cache: string | undefined;
  readonly maxAge: string | undefined;
}

type Annotations = (name: string) => string | undefined;

function readWritten(annotation: Annotations, field: Memoize | undefined): Written {
  return {
    key: annotation(KEY_ANNOTATION) ?? field?.key ?? undefined,
    cache: annotation(CACHE_ANNOTATION) ?? field?.cache?.configMap?.name ?? undefined,
    maxAge: annotation(MAX_AGE_ANNOTATION) ?? field?.maxAge ?? undefined,
  };
}

/** The `memoize` that is still in the pod's template; undefined where there is none or the template is not here. */
export function memoizeField(step: Step): Memoize | undefined {
  return step.template.state === 'inline' ? (step.template.template.memoize ?? undefined) : undefined;
}

/**
 * What the step asks for: the annotations of the pod (a template's, substituted by Argo), in native mode also the
 * `memoize` of ARGO_TEMPLATE, where an annotation beats the field of the same name. A maxAge that is no duration makes
 * Argo fail the step; here it only takes the step out of memoization.
 */
export function readMemoization(pod: KubeObject, step: Step, mode: MemoizeMode): MemoizationReading {
  return readSettings((name) => annotationOf(pod, name), mode === 'native' ? memoizeField(step) : undefined);
}

/** The same of a template before there is a pod: what its metadata say will be on the pod. */
export function readTemplateMemoization(template: Template, mode: MemoizeMode): MemoizationReading {
  const field = template.memoize ?? undefined;
  // What was not moved is the workflow controller's own business.
  if (mode === 'managed' && field !== undefined) return no('memoize-in-template', 'the template has memoize');
  return readSettings((name) => ownString(template.metadata?.annotations, name), field);
}

function readSettings(annotation: Annotations, field: Memoize | undefined): MemoizationReading {
  const written = readWritten(annotation, field);
  if (field === undefined && written.key === undefined && written.cache === undefined) {
    return no('not-memoized', 'neither memoize nor the annotations of one');
  }
  const reuse = annotation(REUSE_ANNOTATION);
  if (reuse === 'off') return no('reuse-off', `annotation ${REUSE_ANNOTATION} is "off"`);
  return checkWritten(written, reuse === 'refresh');
}

function checkWritten({ key = '', cache = '', maxAge }: Written, isRefresh: boolean): MemoizationReading {
  const problem = checkKey(key) ?? checkCacheName(cache);
  if (problem !== undefined) return problem;
  if (maxAge === undefined || maxAge === '') return { ok: true, memoization: { key, cache, isRefresh } };
  const maxAgeMs = parseGoDuration(maxAge);
  if (maxAgeMs === undefined) return no('max-age-invalid', `maxAge is ${quote(maxAge)}`);
  return { ok: true, memoization: { key, cache, maxAge, maxAgeMs, isRefresh } };
}
