import { isObject, type JsonObject } from '../base/json.ts';

/** The `memoize` field of a template as written in a Workflow or template object, with no tag filled in. */
export type MemoizeReading =
  | { readonly state: 'absent' }
  /** `at` is what has a wrong type, below `memoize`, say `cache.configMap`; empty for `memoize` itself. */
  | { readonly state: 'unreadable'; readonly at: readonly string[]; readonly detail: string }
  | {
      readonly state: 'block';
      readonly block: JsonObject;
      /** Undefined where the block does not have it; Argo then takes it as empty. */
      readonly key?: string;
      /** `cache.configMap.name`. */
      readonly cache?: string;
      readonly maxAge?: string;
    };

/**
 * Reads `template.memoize` (workflow_types.go:Memoize). Any member may be missing, or null, which Argo reads as missing:
 * minimal CRDs admit that. A member of a wrong type makes the whole object unreadable to Argo.
 */
export function readMemoizeField(template: JsonObject): MemoizeReading {
  const block = template.memoize;
  if (block === undefined || block === null) return { state: 'absent' };
  if (!isObject(block)) return { state: 'unreadable', at: [], detail: 'is not an object' };
  const configMap = configMapOf(block);
  if (!configMap.ok) return { state: 'unreadable', at: configMap.at, detail: 'is not an object' };
  const fields = { key: block.key, maxAge: block.maxAge, cache: configMap.value.name };
  const strange = FIELDS.find(({ name }) => !isStringOrAbsent(fields[name]));
  if (strange !== undefined) return { state: 'unreadable', at: strange.at, detail: 'is not a string' };
  return {
    state: 'block',
    block,
    ...(typeof fields.key === 'string' && { key: fields.key }),
    ...(typeof fields.cache === 'string' && { cache: fields.cache }),
    ...(typeof fields.maxAge === 'string' && { maxAge: fields.maxAge }),
  };
}

const FIELDS = [
  { name: 'key', at: ['key'] },
  { name: 'cache', at: ['cache', 'configMap', 'name'] },
  { name: 'maxAge', at: ['maxAge'] },
] as const;

function isStringOrAbsent(value: unknown): boolean {
  return value === undefined || value === null || typeof value === 'string';
}

function configMapOf(block: JsonObject): { ok: true; value: JsonObject } | { ok: false; at: readonly string[] } {
  const cache = block.cache ?? {};
  if (!isObject(cache)) return { ok: false, at: ['cache'] };
  const configMap = cache.configMap ?? {};
  if (!isObject(configMap)) return { ok: false, at: ['cache', 'configMap'] };
  return { ok: true, value: configMap };
}
