import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { asObject, isObject, objectsOf } from '../base/json.ts';

/** Selects the ConfigMaps that are caches. */
export const CACHE_SELECTOR = `${CACHE_LABEL}=${CACHE_LABEL_VALUE}`;
/** The label as messages show it. */
export const CACHE_LABEL_TEXT = `${CACHE_LABEL}: ${CACHE_LABEL_VALUE}`;

/**
 * What a ConfigMap's metadata say about it as a cache. `fresh`: unlabeled, but bare and so young that Argo may be about to
 * label it: it creates a cache and labels it with the next call (configmap_cache.go:save).
 */
export type CacheLabelState = 'labeled' | 'unlabeled' | 'fresh';

/** How long Argo may take between creating a cache and labelling it, in milliseconds. */
const FRESH_MS = 60_000;

/** `hasData` says whether it holds anything; left out, the managed fields are asked, all that metadata alone tell. */
export function readCacheLabel(configMap: unknown, now: Date, hasData?: boolean): CacheLabelState {
  if (isCache(configMap)) return 'labeled';
  const metadata = asObject(asObject(configMap).metadata);
  const { creationTimestamp } = metadata;
  const createdMs = typeof creationTimestamp === 'string' ? Date.parse(creationTimestamp) : Number.NaN;
  const isYoung = now.getTime() - createdMs < FRESH_MS;
  const isBare = !Object.hasOwn(asObject(metadata.labels), CACHE_LABEL) && !(hasData ?? isDataManaged(metadata));
  return isYoung && isBare ? 'fresh' : 'unlabeled';
}

/** Whether Argo, and so stepmemo, takes a ConfigMap for a cache. */
export function isCache(configMap: unknown): boolean {
  return asObject(asObject(asObject(configMap).metadata).labels)[CACHE_LABEL] === CACHE_LABEL_VALUE;
}

function isDataManaged(metadata: Readonly<Record<string, unknown>>): boolean {
  return objectsOf(metadata.managedFields).some(({ fieldsV1 }) => {
    return isObject(fieldsV1) && ('f:data' in fieldsV1 || 'f:binaryData' in fieldsV1);
  });
}
