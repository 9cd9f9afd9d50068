import { createHash } from 'node:crypto';

/** What a ConfigMap takes as a data key (apimachinery/pkg/util/validation:IsConfigMapKey). */
const CONFIG_MAP_KEY = /^[-._a-zA-Z0-9]{1,253}$/;

/** Keys that stepmemo makes itself, in `data` and in `binaryData`; a user's key never passes for one. */
const HASHED_KEY = /^sha256-([0-9a-f]{64})$/;
const OWN_BINARY_KEY = /^[0-9a-f]{64}\.[a-z]+$/;

function sha256Hex(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/**
 * The ConfigMap data key that a cache key's entry stands under: the key itself where a ConfigMap can hold it, else
 * `sha256-<hex>` of its UTF-8. A key that looks like one of ours is hashed as well, so two keys never share a data key.
 */
export function dataKeyFor(key: string): string {
  const canHold = CONFIG_MAP_KEY.test(key) && key !== '.' && !key.startsWith('..');
  if (canHold && !HASHED_KEY.test(key) && !OWN_BINARY_KEY.test(key)) return key;
  return `sha256-${sha256Hex(key)}`;
}

function hashOf(dataKey: string): string {
  return HASHED_KEY.exec(dataKey)?.[1] ?? sha256Hex(dataKey);
}

/** The `binaryData` key of stepmemo's own notes on an entry, by the entry's data key: `<sha256 of the cache key>.meta`. */
export function metaKeyFor(dataKey: string): string {
  return `${hashOf(dataKey)}.meta`;
}

/** The `binaryData` key of an entry that is stored compressed: `<sha256 of the cache key>.gz`. */
export function compressedKeyFor(dataKey: string): string {
  return `${hashOf(dataKey)}.gz`;
}
