/**
 * Careful reading of JSON of unknown shape. A pod in a review may hold anything that the API server's
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

/** Whether two JSON values are equal: the order of members does not count, and a member that is undefined is absent. */
export function deepEqual(left: unknown, right: unknown): boolean {
  // Not recursive: nesting is the sender's choice.
  const pairs: [unknown, unknown][] = [[left, right]];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [one, other] = pair;
    if (one === other) continue;
    if (!isContainer(one) || !isContainer(other) || !haveSameKeys(one, other)) return false;
    for (const key of keysOf(one)) pairs.push([one[key], other[key]]);
  }
  return true;
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function haveSameKeys(one: Record<string, unknown>, other: Record<string, unknown>): boolean {
  const keys = keysOf(one);
  return (
    Array.isArray(one) === Array.isArray(other) &&
    keys.length === keysOf(other).length &&
    keys.every((key) => Object.hasOwn(other, key))
  );
}

function keysOf(container: Record<string, unknown>): readonly string[] {
  return Object.keys(container).filter((key) => container[key] !== undefined);
}
