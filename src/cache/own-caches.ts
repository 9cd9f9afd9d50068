import { type KubeApi, type KubeObject, type KubeResult, type ObjectPath, RESOURCES } from '../kube/types.ts';
import { CACHE_SELECTOR } from './cache-label.ts';
import { metaKeyFor } from './data-key.ts';

/**
 * The cache ConfigMaps whose entries stepmemo has all written: beside each there is its note in `binaryData`. One with
 * an entry of Argo's own is not ours to delete.
 */
export async function listOwnCaches(
  kube: KubeApi,
): Promise<KubeResult<readonly { readonly object: KubeObject; readonly path: ObjectPath }[]>> {
  const listed = await kube.list({ resource: RESOURCES.configMaps }, { labelSelector: CACHE_SELECTOR });
  if (!listed.ok) return listed;
  const own = listed.value.filter(isOwnCache).map((object) => {
    const { namespace = '', name = '' } = object.metadata ?? {};
    return { object, path: { resource: RESOURCES.configMaps, namespace, name } };
  });
  return { ok: true, value: own };
}

/** Whether stepmemo has written all of its entries. */
export function isOwnCache(configMap: KubeObject): boolean {
  const keys = Object.keys((configMap.data as Record<string, unknown> | undefined) ?? {});
  const notes = (configMap.binaryData as Record<string, unknown> | undefined) ?? {};
  return Object.keys(notes).length > 0 && keys.every((key) => notes[metaKeyFor(key)] !== undefined);
}
