/** Whether two JSON values are the same, the order of members aside. Not recursive: nesting is the sender's choice. */
export function deepEqual(left: unknown, right: unknown): boolean {
  const pairs: [unknown, unknown][] = [[left, right]];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [one, other] = pair;
    if (one === other) continue;
    if (!isContainer(one) || !isContainer(other) || !haveSameKeys(one, other)) return false;
    for (const key of Object.keys(one)) pairs.push([one[key], other[key]]);
  }
  return true;
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function haveSameKeys(one: object, other: object): boolean {
  const keys = Object.keys(one);
  return (
    Array.isArray(one) === Array.isArray(other) &&
    keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key))
  );
}
