import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { Backoff, sleep } from '../base/backoff.ts';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import type { Reason } from '../base/reasons.ts';
import { isOvertaken, type KubeApi, type KubeObject, type ObjectPath, RESOURCES } from '../kube/types.ts';
import { CACHE_LABEL_TEXT, isCache } from './cache-label.ts';
import { readConfigMap, readKey } from './config-map.ts';
import { compressedKeyFor, dataKeyFor, metaKeyFor } from './data-key.ts';

export type RemoveOutcome =
  | {
      readonly ok: true;
      /** False where there was nothing to remove. */
      readonly isRemoved: boolean;
    }
  | { readonly ok: false; readonly reason: Reason; readonly message: string };

interface EntryPlace {
  readonly namespace: string;
  readonly cache: string;
  readonly key: string;
}

const ATTEMPTS = 6;

/** Takes an entry, and stepmemo's notes on it, out of its cache. A ConfigMap that is no cache is left alone. */
export async function removeEntry(
  kube: Pick<KubeApi, 'get' | 'patch'>,
  entry: EntryPlace,
  pause: (ms: number) => Promise<void> = sleep,
): Promise<RemoveOutcome> {
  const backoff = new Backoff({ firstMs: 50, mostMs: 1_000 });
  for (let attempt = 1; ; attempt += 1) {
    const { outcome, isRace } = await tryOnce(kube, entry);
    if (!isRace || attempt >= ATTEMPTS) return outcome;
    await pause(backoff.next());
  }
}

async function tryOnce(
  kube: Pick<KubeApi, 'get' | 'patch'>,
  { namespace, cache, key }: EntryPlace,
): Promise<{ outcome: RemoveOutcome; isRace: boolean }> {
  const path: ObjectPath = { resource: RESOURCES.configMaps, namespace, name: cache };
  const end = (outcome: RemoveOutcome) => ({ outcome, isRace: false });
  const failed = (reason: Reason, message: string): RemoveOutcome => ({
    ok: false,
    reason,
    message: `ConfigMap ${namespace}/${cache}: ${message}`,
  });
  const current = await kube.get(path);
  if (!current.ok) {
    return end(current.status === 404 ? { ok: true, isRemoved: false } : failed('write-failed', current.message));
  }
  if (!isCache(current.value)) {
    return end(failed('cache-unlabeled', `it lacks the label ${CACHE_LABEL_TEXT} and is left alone.`));
  }
  const patch = planRemoval(current.value, key);
  if (patch.length === 0) return end({ ok: true, isRemoved: false });
  const result = await kube.patch(path, patch);
  if (result.ok) return end({ ok: true, isRemoved: true });
  return {
    outcome: failed('write-failed', result.message),
    isRace: isOvertaken(result) || result.status === 404,
  };
}

/** The patch that removes the key's entry from a cache; empty where there is none. */
export function planRemoval(configMap: KubeObject, key: string): JsonPatch {
  return planRemovals(configMap, [dataKeyFor(key)]);
}

/** The same for several entries, by their data keys. */
export function planRemovals(configMap: KubeObject, dataKeys: readonly string[]): JsonPatch {
  const { data, binaryData } = readConfigMap(configMap);
  const removals = dataKeys.flatMap((dataKey): readonly JsonPatchOperation[] => [
    ...(readKey(data, dataKey) === undefined ? [] : [removal('data', dataKey)]),
    ...[metaKeyFor(dataKey), compressedKeyFor(dataKey)]
      .filter((own) => readKey(binaryData, own) !== undefined)
      .map((own) => removal('binaryData', own)),
  ]);
  if (removals.length === 0) return [];
  return [{ op: 'test', path: pointer('metadata', 'labels', CACHE_LABEL), value: CACHE_LABEL_VALUE }, ...removals];
}

function removal(map: 'data' | 'binaryData', key: string): JsonPatchOperation {
  return { op: 'remove', path: pointer(map, key) };
}
