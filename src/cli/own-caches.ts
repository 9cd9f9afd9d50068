import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { metaKeyFor } from '../core/data-key.ts';
import { type KubeApi, type KubeObject, type KubeResult, type ObjectPath, RESOURCES } from '../kube/types.ts';

/**
 * The cache ConfigMaps whose entries stepmemo has all written: beside each there is its note in `binaryData`. One with
 * an entry of Argo's own is not ours to delete.
 */
export async function listOwnCaches(
  kube: KubeApi,
): Promise<KubeResult<readonly { readonly object: KubeObject; readonly path: ObjectPath }[]>> {
  const labelSelector = `${CACHE_LABEL}=${CACHE_LABEL_VALUE}`;
  const listed = await kube.list({ resource: RESOURCES.configMaps }, { labelSelector });
  if (!listed.ok) return listed;
  const own = listed.value.filter(isOwn).map((object) => {
    const { namespace = '', name = '' } = object.metadata ?? {};
    return { object, path: { resource: RESOURCES.configMaps, namespace, name } };
  });
  return { ok: true, value: own };
}

function isOwn(configMap: KubeObject): boolean {
  const keys = Object.keys((configMap.data as Record<string, unknown> | undefined) ?? {});
  const notes = (configMap.binaryData as Record<string, unknown> | undefined) ?? {};
  return Object.keys(notes).length > 0 && keys.every((key) => notes[metaKeyFor(key)] !== undefined);
}
