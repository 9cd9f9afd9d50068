/**
 * Whether resource version `a` is certainly earlier than `b`: they are decimal numbers that only grow (KEP-5504; so with etcd
 * in all versions). Anything else cannot be compared.
 */
export function isEarlier(a: string, b: string): boolean {
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}
