/**
 * Careful reading of JSON whose shape nobody vouches for. A pod in a review may hold anything that the API server's
 * decoder let through, and in `stepmemo decide` anything at all: wrong types read as absent, nothing throws.
 */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function asString(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The objects of a list; other elements are left out, so positions may shift. */
export function objectsOf(value: unknown): readonly JsonObject[] {
  return asArray(value).filter(isObject);
}

/** Own properties alone: a key such as `constructor` is not there unless the JSON has it. */
export function ownString(map: unknown, key: string): string | undefined {
  return isObject(map) && Object.hasOwn(map, key) ? asString(map[key]) : undefined;
}

/** Whether two JSON values are the same; members with value undefined count as absent. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => isSameJson(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => isSameJson(a[key], b[key]));
}
