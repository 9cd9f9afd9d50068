import { pointer } from '../base/json-patch.ts';
import { ROLE_LABEL } from '../base/names.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../kube/types.ts';

const NAME_LABEL = 'app.kubernetes.io/name';
const SELECTOR = `${NAME_LABEL}=stepmemo,app.kubernetes.io/component=server`;

/**
 * Labels the replicas as `leader`, which is this one, and `follower`: two Services tell them apart by it, so that a replica that
 * hangs is behind one of them at most. A leader that hangs keeps its label until another one leads, which makes it a follower.
 * Returns what could not be done, as a sentence.
 */
export async function labelReplicas(
  kube: Pick<KubeApi, 'list' | 'patch'>,
  namespace: string,
  ownPod: string,
): Promise<string | undefined> {
  const pods = await kube.list({ resource: RESOURCES.pods, namespace }, { labelSelector: SELECTOR });
  if (!pods.ok) return pods.message;
  // Our own comes first: for a moment the two Services may share a replica, but the leader's is never empty.
  const ordered = [...pods.value].sort((one, other) => Number(isOwn(other, ownPod)) - Number(isOwn(one, ownPod)));
  for (const pod of ordered) {
    const role = isOwn(pod, ownPod) ? 'leader' : 'follower';
    if (pod.metadata?.labels?.[ROLE_LABEL] === role) continue;
    const labelled = await kube.patch({ resource: RESOURCES.pods, namespace, name: pod.metadata?.name ?? '' }, [
      { op: 'test', path: pointer('metadata', 'labels', NAME_LABEL), value: 'stepmemo' },
      { op: 'add', path: pointer('metadata', 'labels', ROLE_LABEL), value: role },
    ]);
    if (!labelled.ok && labelled.status !== 404) return labelled.message;
  }
  return undefined;
}

function isOwn({ metadata }: KubeObject, ownPod: string): boolean {
  return metadata?.name === ownPod;
}
