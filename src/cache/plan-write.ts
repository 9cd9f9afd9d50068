import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import type { Reason } from '../base/reasons.ts';
import type { KubeObject } from '../kube/types.ts';
import { CACHE_LABEL_TEXT, isCache, readCacheLabel } from './cache-label.ts';
import { CONFIG_MAP_LIMIT_BYTES, type ConfigMapContent, decodedBytes, readConfigMap, sizeOf } from './config-map.ts';
import { dataKeyFor, metaKeyFor } from './data-key.ts';
import { type Entry, parseEntry, serializeEntry } from './entry.ts';
import { type EntryMeta, parseEntryMeta, serializeEntryMeta } from './entry-meta.ts';

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

/** What becomes of one entry. */
export type EntryPlan =
  /** It is part of the change. */
  | { readonly plan: 'write' }
  /** The cache holds this pod's entry, or a newer one. */
  | { readonly plan: 'keep' }
  /** Argo may just be about to label the ConfigMap (argo.md A3): look again in a moment. */
  | { readonly plan: 'wait'; readonly reason: Reason; readonly message: string }
  | { readonly plan: 'refuse'; readonly reason: Reason; readonly message: string };

export type CacheChange =
  | { readonly plan: 'create'; readonly body: KubeObject }
  | { readonly plan: 'patch'; readonly patch: JsonPatch };

/** How several entries come into one cache: by one change, if any is to be written. */
export interface WritePlan {
  /** One for each entry, in their order. */
  readonly entries: readonly EntryPlan[];
  readonly change: CacheChange | undefined;
}

/** How far the clocks of two replicas may lie apart. */
const CLOCK_SKEW_MS = 60_000;

const LABEL_PATH = pointer('metadata', 'labels', CACHE_LABEL);

/**
 * How to bring entries into their cache, given its ConfigMap as read (undefined where there is none): a new ConfigMap
 * with the label from the start, or a patch of these entries' own keys. The patch tests the label, so it can never land
 * in a ConfigMap that is no cache, and where it has to make `data` or `binaryData` it tests the resourceVersion: two
 * such patches would else undo each other.
 */
export function planWrites(writes: readonly EntryWrite[], current: KubeObject | undefined, now: Date): WritePlan {
  if (current !== undefined && !isCache(current)) {
    return { entries: writes.map((write) => planUnlabeled(write, current, now)), change: undefined };
  }
  // As it will be: each entry is planned on what those before it leave.
  const content = contentOf(current);
  const written: Texts[] = [];
  const entries = writes.map((write) => {
    const texts = textsOf(write);
    const plan = planEntry(write, texts, content, now);
    if (plan.plan !== 'write') return plan;
    content.data.set(texts.dataKey, texts.text);
    content.binaryData.set(texts.metaKey, texts.meta);
    content.bytes += texts.bytes;
    written.push(texts);
    return plan;
  });
  const [first] = writes;
  const isChange = first !== undefined && written.length > 0;
  return { entries, change: isChange ? planChange(first, written, current) : undefined };
}

/** A ConfigMap's content in the making. */
interface Content {
  readonly data: Map<string, string>;
  readonly binaryData: Map<string, string>;
  bytes: number;
}

function contentOf(current: KubeObject | undefined): Content {
  const { data, binaryData } = current === undefined ? {} : readConfigMap(current);
  return {
    data: new Map(Object.entries(data ?? {})),
    binaryData: new Map(Object.entries(binaryData ?? {})),
    bytes: sizeOf({ data, binaryData }),
  };
}

function planEntry(write: EntryWrite, texts: Texts, content: Content, now: Date): EntryPlan {
  if (texts.bytes > CONFIG_MAP_LIMIT_BYTES) {
    const message = `The entry has ${texts.bytes} bytes; a ConfigMap takes ${CONFIG_MAP_LIMIT_BYTES}.`;
    return { plan: 'refuse', reason: 'entry-too-large', message };
  }
  if (isAsGood(write, texts, content, now)) return { plan: 'keep' };
  const freedBytes = freeBytes(texts, content);
  const afterBytes = content.bytes - freedBytes + texts.bytes;
  if (afterBytes > CONFIG_MAP_LIMIT_BYTES) {
    const message =
      `ConfigMap ${write.namespace}/${write.cache} holds ${content.bytes} of ${CONFIG_MAP_LIMIT_BYTES} bytes ` +
      `in ${content.data.size} entries; the new one needs ${texts.bytes}.`;
    return { plan: 'refuse', reason: 'cache-full', message };
  }
  content.bytes -= freedBytes;
  return { plan: 'write' };
}

/** What the entry of before takes. */
function freeBytes({ dataKey, metaKey }: Texts, content: Content): number {
  return sizeOf({ data: pick(content.data, dataKey), binaryData: pick(content.binaryData, metaKey) });
}

function pick(map: ReadonlyMap<string, string>, key: string): Record<string, string> {
  const value = map.get(key);
  return value === undefined ? {} : { [key]: value };
}

function planChange(write: EntryWrite, written: readonly Texts[], current: KubeObject | undefined): CacheChange {
  if (current === undefined) return { plan: 'create', body: newConfigMap(write, written) };
  return { plan: 'patch', patch: patchOf(written, readConfigMap(current), current) };
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

/** What an entry takes of its cache, in bytes. */
export function sizeOfEntry(write: EntryWrite): number {
  return textsOf(write).bytes;
}

function newConfigMap({ namespace, cache }: EntryWrite, written: readonly Texts[]): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: cache, namespace, labels: { [CACHE_LABEL]: CACHE_LABEL_VALUE } },
    data: Object.fromEntries(written.map(({ dataKey, text }) => [dataKey, text])),
    binaryData: Object.fromEntries(written.map(({ metaKey, meta }) => [metaKey, meta])),
  };
}

function planUnlabeled({ cache, namespace }: EntryWrite, current: KubeObject, now: Date): EntryPlan {
  const content = readConfigMap(current);
  const hasData = Object.keys({ ...content.data, ...content.binaryData }).length > 0;
  const message = `ConfigMap ${namespace}/${cache} lacks the label ${CACHE_LABEL_TEXT}; it is not written.`;
  const isBeingMade = readCacheLabel(current, now, hasData) === 'fresh';
  return { plan: isBeingMade ? 'wait' : 'refuse', reason: 'cache-unlabeled', message };
}

/**
 * Whether what is there need not be replaced: it is this pod's, or it is newer. What could never be a hit, and what says
 * to come from the future, always is replaced: it would stand in the way for ever.
 */
function isAsGood(write: EntryWrite, texts: Texts, content: Content, now: Date): boolean {
  const present = content.data.get(texts.dataKey);
  if (present === undefined) return false;
  const meta = content.binaryData.get(texts.metaKey);
  if (present === texts.text && meta === texts.meta) return true;
  const lookup = parseEntry(present);
  if (lookup.found !== 'entry' || lookup.entry.nodeID === '') return false;
  const podUid = meta === undefined ? undefined : parseEntryMeta(meta)?.podUid;
  if (podUid === write.meta.podUid && podUid !== '') return true;
  const presentMs = Date.parse(lookup.entry.creationTimestamp ?? '');
  const oursMs = Date.parse(write.entry.creationTimestamp ?? '');
  return presentMs > oursMs && presentMs <= now.getTime() + CLOCK_SKEW_MS;
}

function patchOf(written: readonly Texts[], content: ConfigMapContent, current: KubeObject): JsonPatch {
  const isMapMissing = content.data === undefined || content.binaryData === undefined;
  const tests: JsonPatchOperation[] = [{ op: 'test', path: LABEL_PATH, value: CACHE_LABEL_VALUE }];
  if (isMapMissing) {
    const { resourceVersion } = current.metadata ?? {};
    tests.push({ op: 'test', path: pointer('metadata', 'resourceVersion'), value: resourceVersion });
  }
  return [
    ...tests,
    ...additions('data', content.data, new Map(written.map(({ dataKey, text }) => [dataKey, text]))),
    ...additions('binaryData', content.binaryData, new Map(written.map(({ metaKey, meta }) => [metaKey, meta]))),
  ];
}

function additions(
  name: 'data' | 'binaryData',
  present: object | undefined,
  added: ReadonlyMap<string, string>,
): readonly JsonPatchOperation[] {
  if (present === undefined) return [{ op: 'add', path: pointer(name), value: Object.fromEntries(added) }];
  return [...added].map(([key, value]) => ({ op: 'add', path: pointer(name, key), value }));
}
