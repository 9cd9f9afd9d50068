/**
 * Items of several tenants under one limit in bytes, shared out max-min: where it is exceeded, the tenant that has the most
 * loses the item that was not asked for the longest. So a tenant that has less than its share (the limit by the number of
 * tenants) never loses any.
 */
export class SharedMemory<T> {
  readonly #limitBytes: number;
  readonly #onEvict: (tenant: string, key: string, item: T) => void;
  readonly #shares = new Map<string, Share<T>>();
  #bytes = 0;

  constructor(limitBytes: number, onEvict: (tenant: string, key: string, item: T) => void) {
    this.#limitBytes = limitBytes;
    this.#onEvict = onEvict;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return [...this.#shares.values()].reduce((sum, { items }) => sum + items.size, 0);
  }

  /** Takes an item in place of the one that had the key, and makes room for it: it may go itself. */
  put(tenant: string, key: string, item: T, bytes: number): void {
    this.delete(tenant, key);
    const share = this.#shares.get(tenant) ?? { items: new Map(), bytes: 0 };
    this.#shares.set(tenant, share);
    share.items.set(key, { item, bytes });
    this.#count(share, bytes);
    while (this.#bytes > this.#limitBytes) this.#evict();
  }

  /** What is asked for is the last of its tenant's to go. */
  get(tenant: string, key: string): T | undefined {
    const items = this.#shares.get(tenant)?.items;
    const found = items?.get(key);
    if (found === undefined) return undefined;
    items?.delete(key);
    items?.set(key, found);
    return found.item;
  }

  /** The same without asking for it. */
  peek(tenant: string, key: string): T | undefined {
    return this.#shares.get(tenant)?.items.get(key)?.item;
  }

  delete(tenant: string, key: string): T | undefined {
    const share = this.#shares.get(tenant);
    const found = share?.items.get(key);
    if (share === undefined || found === undefined) return undefined;
    share.items.delete(key);
    this.#count(share, -found.bytes);
    if (share.items.size === 0) this.#shares.delete(tenant);
    return found.item;
  }

  keys(tenant: string): readonly string[] {
    return [...(this.#shares.get(tenant)?.items.keys() ?? [])];
  }

  /** Whether something more of the tenant's would stay for a while. */
  hasRoomFor(tenant: string): boolean {
    const share = this.#shares.get(tenant);
    const tenants = this.#shares.size + (share === undefined ? 1 : 0);
    return this.#bytes < this.#limitBytes || (share?.bytes ?? 0) < this.#limitBytes / tenants;
  }

  #count(share: Share<T>, bytes: number): void {
    share.bytes += bytes;
    this.#bytes += bytes;
  }

  #evict(): void {
    const [tenant, { items }] = [...this.#shares].reduce((most, one) => (one[1].bytes > most[1].bytes ? one : most));
    const [key = ''] = items.keys();
    const item = this.delete(tenant, key);
    if (item !== undefined) this.#onEvict(tenant, key, item);
  }
}

interface Share<T> {
  /** In the order in which they were last asked for. */
  readonly items: Map<string, { readonly item: T; readonly bytes: number }>;
  bytes: number;
}

/** V8 keeps a text in one byte a character where all of it is Latin-1, else in two. */
export function sizeOfText(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is what Latin-1 is.
  return /^[\u0000-\u00ff]*$/.test(text) ? text.length : text.length * 2;
}

/** Rough cost of one member of an object or list beside what it holds: a slot, and the header of what is in it. */
const MEMBER_BYTES = 32;

/** Roughly what a parsed JSON value takes in memory. Names of members are shared between objects of a kind. */
export function sizeOfValue(value: unknown): number {
  if (typeof value === 'string') return sizeOfText(value);
  if (typeof value !== 'object' || value === null) return 0;
  let bytes = MEMBER_BYTES;
  for (const member of Object.values(value)) bytes += MEMBER_BYTES + sizeOfValue(member);
  return bytes;
}
