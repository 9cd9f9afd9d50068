import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { type Config, configSchema, RETIRED_SETTINGS } from './config.ts';

const ENV_PREFIX = 'STEPMEMO_';

/**
 * Variables that begin with the prefix but are none of the server's: the links that Kubernetes makes for a Service
 * named stepmemo, and what the scripts of the local cluster read.
 */
const FOREIGN_ENV = /^STEPMEMO_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\w+)?|CACHE|RUN|CONFIG)$/;

export type LoadedConfig =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly errors: string[] };

/** Where the settings come from; later ones beat earlier ones: file, environment, flags. */
export interface ConfigSources {
  /** Path of a YAML or JSON file. */
  readonly file?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** By field name; text as given on the command line. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
}

/** The name of a field's environment variable: `logLevel` becomes `STEPMEMO_LOG_LEVEL`. */
export function envName(field: string): string {
  return ENV_PREFIX + field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** The name of a field's flag: `logLevel` becomes `--log-level`. */
export function flagName(field: string): string {
  return `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * Reads and checks the configuration. Every error names the setting as it was given (flag, variable or field of the
 * file) and the reason; all of them are listed at once.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const errors: string[] = [];
  const origins = new Map<string, string>();
  const values: Record<string, unknown> = {};
  const put = (field: string, value: unknown, origin: string) => {
    if (RETIRED_SETTINGS.includes(field)) return;
    values[field] = value;
    origins.set(field, origin);
  };
  readFile(sources.file, put, errors);
  readEnv(sources.env ?? {}, put, errors);
  for (const [field, text] of Object.entries(sources.flags ?? {})) {
    if (text !== undefined) put(field, fromText(field, text), flagName(field));
  }
  const parsed = configSchema.safeParse(values);
  if (!parsed.success) errors.push(...parsed.error.issues.flatMap((issue) => describeIssue(issue, origins)));
  if (errors.length > 0 || !parsed.success) return { ok: false, errors };
  return { ok: true, config: Object.freeze(parsed.data) };
}

type Put = (field: string, value: unknown, origin: string) => void;

function readFile(file: string | undefined, put: Put, errors: string[]): void {
  if (file === undefined) return;
  let content: unknown;
  try {
    content = parse(readFileSync(file, 'utf8')) ?? {};
  } catch (cause) {
    errors.push(`${file}: cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
    return;
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    errors.push(`${file}: expected a mapping of settings`);
    return;
  }
  for (const [field, value] of Object.entries(content)) put(field, value, `${file}: ${field}`);
}

function readEnv(env: Readonly<Record<string, string | undefined>>, put: Put, errors: string[]): void {
  const fields = new Map(
    [...Object.keys(configSchema.shape), ...RETIRED_SETTINGS].map((field) => [envName(field), field]),
  );
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || text === undefined || FOREIGN_ENV.test(name)) continue;
    const field = fields.get(name);
    if (field === undefined) errors.push(`${name}: no such setting`);
    else put(field, fromText(field, text), name);
  }
}

/** Turns text into what the field's type asks for. What does not fit stays text, and the schema refuses it. */
function fromText(field: string, text: string): unknown {
  const type = baseType((configSchema.shape as Record<string, z.ZodType>)[field]);
  if (type instanceof z.ZodNumber) return text.trim() === '' ? text : Number(text);
  if (type instanceof z.ZodBoolean) return text === 'true' ? true : text === 'false' ? false : text;
  if (type instanceof z.ZodArray) return text.split(',').map((part) => part.trim());
  if (type instanceof z.ZodObject) return parse(text);
  return text;
}

/** The type below defaults and optionals. */
export function baseType(type: z.ZodType | undefined): z.ZodType | undefined {
  let inner = type;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodOptional || inner instanceof z.ZodPrefault) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function describeIssue(issue: z.core.$ZodIssue, origins: ReadonlyMap<string, string>): string[] {
  if (issue.code === 'unrecognized_keys' && issue.path.length === 0) {
    return issue.keys.map((key) => `${origins.get(key) ?? key}: no such setting`);
  }
  const [field, ...rest] = issue.path.map(String);
  const origin = field === undefined ? 'configuration' : (origins.get(field) ?? field);
  return [`${[origin, ...rest].join('.')}: ${issue.message}`];
}
