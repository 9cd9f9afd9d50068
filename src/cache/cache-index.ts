import { isEarlier } from '../kube/resource-version.ts';
import type { KubeObject } from '../kube/types.ts';
import { isCache } from './cache-label.ts';
import { readConfigMap } from './config-map.ts';
import { dataKeyFor, metaKeyFor } from './data-key.ts';
import { type EntryLookup, parseEntry } from './entry.ts';
import { parseEntryMeta } from './entry-meta.ts';

const HASHED_DATA_KEY = /^sha256-[0-9a-f]{64}$/;
/** Most memory for texts of entries, as long as nothing else is said. */
export const DEFAULT_LIMIT_BYTES = 128 * 1024 * 1024;
/** Entries that are kept parsed: those of steps that run just now. */
const PARSED_COUNT = 256;
const PARSED_LIMIT_BYTES = 8 * 1024 * 1024;
/** Rough cost of one entry beside its text: map slot, string headers, key. */
const ENTRY_OVERHEAD_BYTES = 200;

/** Names of caches that are not held, of all namespaces; beyond it a namespace's caches are not told apart. */
const MOST_UNHELD = 10_000;

/** One cache, as much of the ConfigMap as lookups need: the texts, unread, and the notes that hashed keys need. */
export interface HeldCache {
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  /** By data key. Emptied where the index has no room for it. */
  readonly entries: Map<string, string>;
  /** By data key, base64, for hashed data keys alone. */
  readonly metas: Map<string, string>;
  /** Roughly what it takes in memory. */
  readonly bytes: number;
}

export interface CacheIndexOptions {
  /** Most memory for texts of entries, in bytes. */
  readonly limitBytes?: number;
  /** Told when a cache is evicted for that. */
  readonly onLetGo?: (cache: { namespace: string; name: string; bytes: number }) => void;
  /** Told when a cache is asked for that is there and not held, and that there would be room for. */
  readonly onWanted?: (namespace: string, name: string) => void;
}

/**
 * The entries of all caches, in memory. Texts are parsed when they are asked for, so a large cache costs no more than its text.
 *
 * Memory is shared out max-min: where it is short, the namespace that has the most loses the cache that was not asked for the
 * longest, so that one which has less than its share (the limit by the number of namespaces) never loses any. What was evicted
 * is *unknown*, which is something else than *no entry*.
 */
export interface CacheIndex {
  /** Takes a ConfigMap as it is now; one that is not a cache (any more) is dropped. */
  upsert(configMap: KubeObject): void;
  /** The same for what `holdCache` made of it. */
  put(cache: HeldCache): void;
  remove(namespace: string, name: string): void;
  /** Lets all caches of a namespace go. `isUnread`: there may be some, so what is not held is unknown. */
  clear(namespace: string, isUnread: boolean): void;
  /** All caches of the namespace have been put in. */
  markRead(namespace: string): void;
  lookUp(namespace: string, cache: string, key: string): EntryLookup;
  readonly size: number;
  readonly bytes: number;
}

export function createCacheIndex(options: CacheIndexOptions = {}): CacheIndex {
  return new SharedIndex(options);
}

/** What one namespace has. */
class Share {
  /** In the order in which they were last asked for. */
  readonly held = new Map<string, HeldCache>();
  /** Caches that are there and not held, by name with the resource version that was seen last. */
  readonly unheld = new Map<string, string>();
  /** Not all of its caches are told apart: any that is not held may be there. */
  isUnread = false;
  bytes = 0;
}

class SharedIndex implements CacheIndex {
  readonly #options: CacheIndexOptions;
  readonly #limitBytes: number;
  readonly #shares = new Map<string, Share>();
  readonly #parsed = new ParsedEntries();
  #bytes = 0;
  #unheld = 0;

  constructor(options: CacheIndexOptions) {
    this.#options = options;
    this.#limitBytes = options.limitBytes ?? DEFAULT_LIMIT_BYTES;
  }

  get size(): number {
    return [...this.#shares.values()].reduce((sum, { held }) => sum + held.size, 0);
  }

  get bytes(): number {
    return this.#bytes;
  }

  upsert(configMap: KubeObject): void {
    const { namespace = '', name = '' } = configMap.metadata ?? {};
    if (isCache(configMap)) this.put(holdCache(configMap));
    else this.remove(namespace, name);
  }

  put(cache: HeldCache): void {
    const { namespace, name } = cache;
    const share = this.#shareOf(namespace);
    const known = share.held.get(name)?.resourceVersion ?? share.unheld.get(name) ?? '';
    // A read that the watch has overtaken.
    if (isEarlier(cache.resourceVersion, known)) return;
    this.#forget(share, name);
    share.held.set(name, cache);
    this.#count(share, cache.bytes);
    this.#makeRoom();
  }

  remove(namespace: string, name: string): void {
    const share = this.#shares.get(namespace);
    if (share === undefined) return;
    this.#forget(share, name);
    this.#forgetEmpty(namespace, share);
  }

  clear(namespace: string, isUnread: boolean): void {
    const share = this.#shareOf(namespace);
    for (const name of [...share.held.keys()]) forgetTexts(this.#drop(share, name));
    this.#unheld -= share.unheld.size;
    share.unheld.clear();
    share.isUnread = isUnread;
    this.#forgetEmpty(namespace, share);
  }

  markRead(namespace: string): void {
    const share = this.#shareOf(namespace);
    share.isUnread = false;
    this.#forgetEmpty(namespace, share);
  }

  lookUp(namespace: string, name: string, key: string): EntryLookup {
    const share = this.#shares.get(namespace);
    const held = share?.held.get(name);
    if (share === undefined) return { found: 'nothing' };
    if (held === undefined) return this.#lookUpUnheld(share, namespace, name);
    share.held.delete(name);
    share.held.set(name, held);
    const text = textFor(held, key);
    return text === undefined ? { found: 'nothing' } : this.#parsed.parse(text);
  }

  #lookUpUnheld(share: Share, namespace: string, name: string): EntryLookup {
    if (!share.isUnread && !share.unheld.has(name)) return { found: 'nothing' };
    const isBelowShare = share.bytes < this.#limitBytes / this.#shares.size;
    if (isBelowShare || this.#bytes < this.#limitBytes) this.#options.onWanted?.(namespace, name);
    return { found: 'unknown' };
  }

  #shareOf(namespace: string): Share {
    const share = this.#shares.get(namespace) ?? new Share();
    this.#shares.set(namespace, share);
    return share;
  }

  #forget(share: Share, name: string): void {
    this.#drop(share, name);
    if (share.unheld.delete(name)) this.#unheld -= 1;
  }

  #forgetEmpty(namespace: string, share: Share): void {
    if (share.held.size === 0 && share.unheld.size === 0 && !share.isUnread) this.#shares.delete(namespace);
  }

  #count(share: Share, bytes: number): void {
    share.bytes += bytes;
    this.#bytes += bytes;
  }

  #drop(share: Share, name: string): HeldCache | undefined {
    const cache = share.held.get(name);
    if (cache === undefined) return undefined;
    share.held.delete(name);
    this.#count(share, -cache.bytes);
    return cache;
  }

  #makeRoom(): void {
    while (this.#bytes > this.#limitBytes) {
      const [largest] = [...this.#shares.values()].sort((one, other) => other.bytes - one.bytes);
      const [oldest] = largest?.held.keys() ?? [];
      if (largest === undefined || oldest === undefined) return;
      const cache = this.#drop(largest, oldest);
      if (cache !== undefined) this.#letGo(largest, cache);
    }
  }

  #letGo(share: Share, cache: HeldCache): void {
    const { namespace, name, resourceVersion, bytes } = cache;
    if (this.#unheld < MOST_UNHELD) {
      share.unheld.set(name, resourceVersion);
      this.#unheld += 1;
    } else share.isUnread = true;
    forgetTexts(cache);
    this.#options.onLetGo?.({ namespace, name, bytes });
  }
}

/** Whoever else holds the cache, the watch say, must not keep its texts in memory either. */
function forgetTexts(cache: HeldCache | undefined): void {
  cache?.entries.clear();
  cache?.metas.clear();
}

/** What the index keeps of a ConfigMap: nothing of it is held on to but the texts of its entries. */
export function holdCache(configMap: KubeObject): HeldCache {
  const { namespace = '', name = '', resourceVersion = '' } = configMap.metadata ?? {};
  const { data = {}, binaryData = {} } = readConfigMap(configMap);
  const metas = new Map<string, string>();
  let bytes = ENTRY_OVERHEAD_BYTES;
  for (const [dataKey, text] of Object.entries(data)) {
    bytes += sizeInMemory(text) + ENTRY_OVERHEAD_BYTES;
    if (!HASHED_DATA_KEY.test(dataKey)) continue;
    const meta = binaryData[metaKeyFor(dataKey)];
    if (meta === undefined) continue;
    metas.set(dataKey, meta);
    bytes += meta.length + ENTRY_OVERHEAD_BYTES;
  }
  return { namespace, name, resourceVersion, entries: new Map(Object.entries(data)), metas, bytes };
}

/** Of a cache in a namespace that has not opted in: that it is there. */
export function nameCache({
  metadata: { namespace = '', name = '', resourceVersion = '' } = {},
}: KubeObject): HeldCache {
  return { namespace, name, resourceVersion, entries: new Map(), metas: new Map(), bytes: ENTRY_OVERHEAD_BYTES };
}

/** V8 keeps a text in one byte a character where all of it is Latin-1, else in two. */
function sizeInMemory(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is what Latin-1 is.
  return /^[\u0000-\u00ff]*$/.test(text) ? text.length : text.length * 2;
}

/** The entry of one key in one ConfigMap, as an index of it alone would find it. */
export function lookUpIn(configMap: KubeObject, key: string): EntryLookup {
  const text = isCache(configMap) ? textFor(holdCache(configMap), key) : undefined;
  return text === undefined ? { found: 'nothing' } : parseEntry(text);
}

/** The text of the key's entry. Under a hashed data key the note must say that it is this key's and no other's. */
function textFor(cache: HeldCache, key: string): string | undefined {
  const dataKey = dataKeyFor(key);
  const text = cache.entries.get(dataKey);
  if (text === undefined || dataKey === key) return text;
  const meta = cache.metas.get(dataKey);
  return meta !== undefined && parseEntryMeta(meta)?.key === key ? text : undefined;
}

/** The entries parsed last. The text itself is the key, so what is found can never be stale. */
class ParsedEntries {
  readonly #lookups = new Map<string, EntryLookup>();
  #length = 0;

  parse(text: string): EntryLookup {
    const known = this.#lookups.get(text);
    const lookup = known ?? parseEntry(text);
    // Taken out and put back: a Map keeps the order, so the first one is the one that was not asked for the longest.
    if (known) this.#lookups.delete(text);
    else this.#length += text.length;
    this.#lookups.set(text, lookup);
    this.#shrink();
    return lookup;
  }

  #shrink(): void {
    for (const text of this.#lookups.keys()) {
      if (this.#lookups.size <= PARSED_COUNT && this.#length <= PARSED_LIMIT_BYTES) return;
      this.#lookups.delete(text);
      this.#length -= text.length;
    }
  }
}
