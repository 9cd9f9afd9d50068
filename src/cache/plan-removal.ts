import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import type { KubeObject } from '../kube/types.ts';
import { readConfigMap, readKey } from './config-map.ts';
import { compressedKeyFor, metaKeyFor } from './data-key.ts';

/**
 * The patch that takes entries, by their data keys, and stepmemo's notes on them out of a cache; empty where there are none.
 * It tests the label: a ConfigMap that is no cache any more is left alone.
 */
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
