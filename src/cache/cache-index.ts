import { SharedMemory, sizeOfText } from '../base/shared-memory.ts';
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
 * Memory is shared out between namespaces (SharedMemory). What was evicted is *unknown*, which is something else than *no entry*.
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

/** Caches of one namespace that are there and not held. */
class Unheld {
  /** By name, with the resource version that was seen last. */
  readonly names = new Map<string, string>();
  /** Not all of them are told apart: any that is not held may be there. */
  isUnread = false;
}

class SharedIndex implements CacheIndex {
  readonly #options: CacheIndexOptions;
  readonly #held: SharedMemory<HeldCache>;
  /** By namespace; of those that have any alone. */
  readonly #unheld = new Map<string, Unheld>();
  readonly #parsed = new ParsedEntries();
  #unheldCount = 0;

  constructor(options: CacheIndexOptions) {
    this.#options = options;
    this.#held = new SharedMemory(options.limitBytes ?? DEFAULT_LIMIT_BYTES, (_, __, cache) => this.#letGo(cache));
  }

  get size(): number {
    return this.#held.size;
  }

  get bytes(): number {
    return this.#held.bytes;
  }

  upsert(configMap: KubeObject): void {
    const { namespace = '', name = '' } = configMap.metadata ?? {};
    if (isCache(configMap)) this.put(holdCache(configMap));
    else this.remove(namespace, name);
  }

  put(cache: HeldCache): void {
    const { namespace, name } = cache;
    const held = this.#held.peek(namespace, name)?.resourceVersion;
    const known = held ?? this.#unheld.get(namespace)?.names.get(name) ?? '';
    // A read that the watch has overtaken.
    if (isEarlier(cache.resourceVersion, known)) return;
    this.#forgetUnheld(namespace, name);
    this.#held.put(namespace, name, cache, cache.bytes);
  }

  remove(namespace: string, name: string): void {
    this.#held.delete(namespace, name);
    this.#forgetUnheld(namespace, name);
  }

  clear(namespace: string, isUnread: boolean): void {
    for (const name of this.#held.keys(namespace)) forgetTexts(this.#held.delete(namespace, name));
    const unheld = this.#unheldOf(namespace);
    this.#unheldCount -= unheld.names.size;
    unheld.names.clear();
    unheld.isUnread = isUnread;
    this.#dropEmpty(namespace, unheld);
  }

  markRead(namespace: string): void {
    const unheld = this.#unheldOf(namespace);
    unheld.isUnread = false;
    this.#dropEmpty(namespace, unheld);
  }

  lookUp(namespace: string, name: string, key: string): EntryLookup {
    const held = this.#held.get(namespace, name);
    if (held === undefined) return this.#lookUpUnheld(namespace, name);
    const text = textFor(held, key);
    return text === undefined ? { found: 'nothing' } : this.#parsed.parse(text);
  }

  #lookUpUnheld(namespace: string, name: string): EntryLookup {
    const unheld = this.#unheld.get(namespace);
    if (unheld === undefined || !(unheld.isUnread || unheld.names.has(name))) return { found: 'nothing' };
    if (this.#held.hasRoomFor(namespace)) this.#options.onWanted?.(namespace, name);
    return { found: 'unknown' };
  }

  #unheldOf(namespace: string): Unheld {
    const unheld = this.#unheld.get(namespace) ?? new Unheld();
    this.#unheld.set(namespace, unheld);
    return unheld;
  }

  #forgetUnheld(namespace: string, name: string): void {
    const unheld = this.#unheld.get(namespace);
    if (unheld === undefined) return;
    if (unheld.names.delete(name)) this.#unheldCount -= 1;
    this.#dropEmpty(namespace, unheld);
  }

  #dropEmpty(namespace: string, { names, isUnread }: Unheld): void {
    if (names.size === 0 && !isUnread) this.#unheld.delete(namespace);
  }

  #letGo(cache: HeldCache): void {
    const { namespace, name, resourceVersion, bytes } = cache;
    const unheld = this.#unheldOf(namespace);
    if (this.#unheldCount < MOST_UNHELD) {
      unheld.names.set(name, resourceVersion);
      this.#unheldCount += 1;
    } else unheld.isUnread = true;
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
    bytes += sizeOfText(text) + ENTRY_OVERHEAD_BYTES;
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
