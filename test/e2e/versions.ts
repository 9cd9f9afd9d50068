/** `3.7.15` as numbers. */
export function parseVersion(text: string): readonly number[] {
  return text.split('.').map(Number);
}

/** Whether a version is below another, part by part; parts that are not given count as the lowest. */
export function isBelow(version: readonly number[], bound: readonly number[]): boolean {
  for (const [index, part] of bound.entries()) {
    const own = version[index] ?? 0;
    if (own !== part) return own < part;
  }
  return false;
}
