import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import type { Reason } from '../base/reasons.ts';
import type { KubeObject } from '../kube/types.ts';
import { CACHE_LABEL_TEXT, isCache, readCacheLabel } from './cache-label.ts';
import {
  CONFIG_MAP_LIMIT_BYTES,
  type ConfigMapContent,
  decodedBytes,
  readConfigMap,
  readKey,
  sizeOf,
} from './config-map.ts';
import { dataKeyFor, metaKeyFor } from './data-key.ts';
import { type Entry, parseEntry, serializeEntry } from './entry.ts';
import { type EntryMeta, serializeEntryMeta } from './entry-meta.ts';

/** An entry on its way into a cache. */
export interface EntryWrite {
  readonly namespace: string;
  /** Name of the ConfigMap. */
  readonly cache: string;
  /** The cache key as asked for. */
  readonly key: string;
  readonly entry: Entry;
  readonly meta: Omit<EntryMeta, 'key'>;
}

export type WritePlan =
  | { readonly plan: 'create'; readonly body: KubeObject }
  | { readonly plan: 'patch'; readonly patch: JsonPatch }
  /** The cache holds this very entry, or a newer one. */
  | { readonly plan: 'keep' }
  /** Argo may just be about to label the ConfigMap (argo.md A3): look again in a moment. */
  | { readonly plan: 'wait'; readonly reason: Reason; readonly message: string }
  | { readonly plan: 'refuse'; readonly reason: Reason; readonly message: string };

/** How far the clocks of two replicas may lie apart. */
const CLOCK_SKEW_MS = 60_000;

const LABEL_PATH = pointer('metadata', 'labels', CACHE_LABEL);

/**
 * How to bring an entry into a cache, given its ConfigMap as read (undefined where there is none): a new ConfigMap
 * with the label from the start, or a patch of this entry's own keys. The patch tests the label, so it can never land
 * in a ConfigMap that is no cache, and where it has to make `data` or `binaryData` it tests the resourceVersion: two
 * such patches would else undo each other.
 */
export function planWrite(write: EntryWrite, current: KubeObject | undefined, now: Date): WritePlan {
  const texts = textsOf(write);
  if (texts.bytes > CONFIG_MAP_LIMIT_BYTES) {
    const message = `The entry has ${texts.bytes} bytes; a ConfigMap takes ${CONFIG_MAP_LIMIT_BYTES}.`;
    return { plan: 'refuse', reason: 'entry-too-large', message };
  }
  if (current === undefined) return { plan: 'create', body: newConfigMap(write, texts) };
  if (!isCache(current)) return planUnlabeled(write, current, now);
  const content = readConfigMap(current);
  if (isAsGood(write, texts, content, now)) return { plan: 'keep' };
  return planSize(write, texts, content) ?? { plan: 'patch', patch: patchOf(texts, content, current) };
}

interface Texts {
  readonly dataKey: string;
  readonly text: string;
  readonly metaKey: string;
  /** Base64. */
  readonly meta: string;
  readonly bytes: number;
}

function textsOf(write: EntryWrite): Texts {
  const dataKey = dataKeyFor(write.key);
  const text = serializeEntry(write.entry);
  const meta = serializeEntryMeta({ ...write.meta, key: write.key });
  const bytes = Buffer.byteLength(text, 'utf8') + decodedBytes(meta);
  return { dataKey, text, metaKey: metaKeyFor(dataKey), meta, bytes };
}

function newConfigMap({ namespace, cache }: EntryWrite, { dataKey, text, metaKey, meta }: Texts): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: cache, namespace, labels: { [CACHE_LABEL]: CACHE_LABEL_VALUE } },
    data: { [dataKey]: text },
    binaryData: { [metaKey]: meta },
  };
}

function planUnlabeled({ cache, namespace }: EntryWrite, current: KubeObject, now: Date): WritePlan {
  const content = readConfigMap(current);
  const hasData = Object.keys({ ...content.data, ...content.binaryData }).length > 0;
  const message = `ConfigMap ${namespace}/${cache} lacks the label ${CACHE_LABEL_TEXT}; it is not written.`;
  const isBeingMade = readCacheLabel(current, now, hasData) === 'fresh';
  return { plan: isBeingMade ? 'wait' : 'refuse', reason: 'cache-unlabeled', message };
}

/**
 * Whether what is there need not be replaced: it is the same, or it is newer. What could never be a hit, and what says
 * to come from the future, always is replaced: it would stand in the way for ever.
 */
function isAsGood(write: EntryWrite, texts: Texts, content: ConfigMapContent, now: Date): boolean {
  const present = readKey(content.data, texts.dataKey);
  if (present === undefined) return false;
  if (present === texts.text && readKey(content.binaryData, texts.metaKey) === texts.meta) return true;
  const lookup = parseEntry(present);
  if (lookup.found !== 'entry' || lookup.entry.nodeID === '') return false;
  const presentMs = Date.parse(lookup.entry.creationTimestamp ?? '');
  const oursMs = Date.parse(write.entry.creationTimestamp ?? '');
  return presentMs > oursMs && presentMs <= now.getTime() + CLOCK_SKEW_MS;
}

function planSize(write: EntryWrite, texts: Texts, content: ConfigMapContent): WritePlan | undefined {
  const usedBytes = sizeOf(content);
  const freedBytes = sizeOf({
    data: pick(content.data, texts.dataKey),
    binaryData: pick(content.binaryData, texts.metaKey),
  });
  const afterBytes = usedBytes - freedBytes + texts.bytes;
  if (afterBytes <= CONFIG_MAP_LIMIT_BYTES) return undefined;
  const entries = Object.keys(content.data ?? {}).length;
  const message =
    `ConfigMap ${write.namespace}/${write.cache} holds ${usedBytes} of ${CONFIG_MAP_LIMIT_BYTES} bytes ` +
    `in ${entries} entries; the new one needs ${texts.bytes}.`;
  return { plan: 'refuse', reason: 'cache-full', message };
}

function pick(map: Readonly<Record<string, string>> | undefined, key: string): Record<string, string> {
  const value = readKey(map, key);
  return value === undefined ? {} : { [key]: value };
}

function patchOf(texts: Texts, content: ConfigMapContent, current: KubeObject): JsonPatch {
  const { dataKey, text, metaKey, meta } = texts;
  const isMapMissing = content.data === undefined || content.binaryData === undefined;
  const tests: JsonPatchOperation[] = [{ op: 'test', path: LABEL_PATH, value: CACHE_LABEL_VALUE }];
  if (isMapMissing) {
    const { resourceVersion } = current.metadata ?? {};
    tests.push({ op: 'test', path: pointer('metadata', 'resourceVersion'), value: resourceVersion });
  }
  return [
    ...tests,
    content.data === undefined
      ? { op: 'add', path: pointer('data'), value: { [dataKey]: text } }
      : { op: 'add', path: pointer('data', dataKey), value: text },
    content.binaryData === undefined
      ? { op: 'add', path: pointer('binaryData'), value: { [metaKey]: meta } }
      : { op: 'add', path: pointer('binaryData', metaKey), value: meta },
  ];
}
