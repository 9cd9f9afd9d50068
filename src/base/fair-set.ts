/**
 * Keys of several tenants, the tenants taken in turn and each one's keys in the order in which they came: a thousand keys
 * of one never stand before another's only one.
 */
export class FairSet {
  readonly #keysOf = new Map<string, Set<string>>();
  readonly #tenantOf = new Map<string, string>();

  get size(): number {
    return this.#tenantOf.size;
  }

  /** A key that is there already keeps its place, unless it is now another tenant's. */
  add(key: string, tenant: string): void {
    if (this.#tenantOf.get(key) === tenant) return;
    this.delete(key);
    this.#tenantOf.set(key, tenant);
    const keys = this.#keysOf.get(tenant) ?? new Set();
    this.#keysOf.set(tenant, keys.add(key));
  }

  delete(key: string): void {
    const tenant = this.#tenantOf.get(key);
    if (tenant === undefined) return;
    this.#tenantOf.delete(key);
    const keys = this.#keysOf.get(tenant);
    keys?.delete(key);
    if (keys?.size === 0) this.#keysOf.delete(tenant);
  }

  /** Takes the next key out; undefined where there is none. */
  take(): string | undefined {
    for (const [tenant, keys] of this.#keysOf) {
      // A Map keeps the order of insertion: taken out and put in again, the tenant is the last in the row.
      this.#keysOf.delete(tenant);
      this.#keysOf.set(tenant, keys);
      for (const key of keys) {
        this.delete(key);
        return key;
      }
    }
    return undefined;
  }

  clear(): void {
    this.#keysOf.clear();
    this.#tenantOf.clear();
  }
}
