import type { KubeObject } from '../kube/types.ts';
import { isCache } from './cache-label.ts';
import { readConfigMap } from './config-map.ts';
import { dataKeyFor, metaKeyFor } from './data-key.ts';
import { type EntryLookup, parseEntry } from './entry.ts';
import { parseEntryMeta } from './entry-meta.ts';

const HASHED_DATA_KEY = /^sha256-[0-9a-f]{64}$/;
const DEFAULT_LIMIT_BYTES = 128 * 1024 * 1024;
/** Entries that are kept parsed: those of steps that run just now. */
const PARSED_COUNT = 256;
const PARSED_LIMIT_BYTES = 8 * 1024 * 1024;
/** Rough cost of one entry beside its text: map slot, string headers, key. */
const ENTRY_OVERHEAD_BYTES = 200;

/** One cache, as much of the ConfigMap as lookups need: the texts, unread, and the notes that hashed keys need. */
export interface HeldCache {
  readonly namespace: string;
  readonly name: string;
  /** By data key. Emptied where the index has no room for it. */
  readonly entries: Map<string, string>;
  /** By data key, base64, for hashed data keys alone. */
  readonly metas: Map<string, string>;
  /** Roughly what it takes in memory. */
  readonly bytes: number;
}

export interface CacheIndexOptions {
  /** Most memory for texts of entries, in bytes. A cache that does not fit is as if it were empty. */
  readonly limitBytes?: number;
  /** Told when a cache is left out for that. */
  readonly onLeftOut?: (cache: { namespace: string; name: string; bytes: number }) => void;
}

/** The entries of all caches, in memory. Texts are parsed when they are asked for, so a large cache costs no more than its text. */
export interface CacheIndex {
  /** Takes a ConfigMap as it is now; one that is no cache (any more) is let go. */
  upsert(configMap: KubeObject): void;
  /** The same for what `holdCache` made of it. */
  put(cache: HeldCache): void;
  remove(namespace: string, name: string): void;
  lookUp(namespace: string, cache: string, key: string): EntryLookup;
  readonly size: number;
  readonly bytes: number;
}

export function createCacheIndex(options: CacheIndexOptions = {}): CacheIndex {
  const { limitBytes = DEFAULT_LIMIT_BYTES, onLeftOut } = options;
  const caches = new Map<string, HeldCache>();
  const parsed = new ParsedEntries();
  let bytes = 0;

  function remove(namespace: string, name: string): void {
    const id = idOf(namespace, name);
    bytes -= caches.get(id)?.bytes ?? 0;
    caches.delete(id);
  }

  function put(cache: HeldCache): void {
    const { namespace, name } = cache;
    remove(namespace, name);
    if (bytes + cache.bytes > limitBytes) {
      // Whoever else holds it shall not keep its texts in memory either.
      cache.entries.clear();
      cache.metas.clear();
      onLeftOut?.({ namespace, name, bytes: cache.bytes });
      return;
    }
    caches.set(idOf(namespace, name), cache);
    bytes += cache.bytes;
  }

  return {
    get size() {
      return caches.size;
    },
    get bytes() {
      return bytes;
    },
    upsert(configMap) {
      const { namespace = '', name = '' } = configMap.metadata ?? {};
      if (isCache(configMap)) put(holdCache(configMap));
      else remove(namespace, name);
    },
    put,
    remove,
    lookUp(namespace, cache, key) {
      const held = caches.get(idOf(namespace, cache));
      if (held === undefined) return { found: 'nothing' };
      const text = textFor(held, key);
      return text === undefined ? { found: 'nothing' } : parsed.parse(text);
    },
  };
}

function idOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/** What the index keeps of a ConfigMap: nothing of it is held on to but the texts of its entries. */
export function holdCache(configMap: KubeObject): HeldCache {
  const { namespace = '', name = '' } = configMap.metadata ?? {};
  const { data = {}, binaryData = {} } = readConfigMap(configMap);
  const metas = new Map<string, string>();
  let bytes = ENTRY_OVERHEAD_BYTES;
  for (const [dataKey, text] of Object.entries(data)) {
    bytes += text.length + ENTRY_OVERHEAD_BYTES;
    if (!HASHED_DATA_KEY.test(dataKey)) continue;
    const meta = binaryData[metaKeyFor(dataKey)];
    if (meta === undefined) continue;
    metas.set(dataKey, meta);
    bytes += meta.length + ENTRY_OVERHEAD_BYTES;
  }
  return { namespace, name, entries: new Map(Object.entries(data)), metas, bytes };
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
