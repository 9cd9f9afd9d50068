/** Gated pods: finding them, and letting go of them without stepmemo's server. */
import { COMPLETED_LABEL } from '../../argo/names.ts';
import type { JsonPatch } from '../../base/json-patch.ts';
import { HIT_GATE, MISS_GATE, RESULT_POD_UID_ANNOTATION } from '../../base/names.ts';
import { retryOvertaken } from '../../kube/retry.ts';
import {
  isOvertaken,
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type KubeResult,
  RESOURCES,
} from '../../kube/types.ts';
import { listOrNone } from './kube-command.ts';
import { testsOf } from './stored-objects.ts';

/** Pods that one of our gates holds back, in a namespace or in all. Those on their way out are left out. */
export async function listGatedPods(kube: KubeApi, namespace?: string): Promise<KubeResult<readonly KubeObject[]>> {
  const listed = await kube.list({ resource: RESOURCES.pods, namespace }, { fieldSelector: 'status.phase=Pending' });
  if (!listed.ok) return listed;
  const gated = listed.value.filter((pod) => {
    return pod.metadata?.deletionTimestamp === undefined && ourGates(pod).length > 0;
  });
  return { ok: true, value: gated };
}

/** Positions of our gates in `spec.schedulingGates`, last first. */
function ourGates(pod: KubeObject): number[] {
  const gates = (pod.spec as { schedulingGates?: readonly { name?: string }[] } | undefined)?.schedulingGates ?? [];
  return gates.flatMap(({ name }, index) => (name === HIT_GATE || name === MISS_GATE ? [index] : [])).reverse();
}

/** The task results that stepmemo made, in a namespace or in all, by the UID of the pod they were made for. */
export async function listMarkedResults(
  kube: KubeApi,
  namespace?: string,
): Promise<KubeResult<ReadonlyMap<string, KubeObject>>> {
  const listed = await listOrNone(kube, { resource: RESOURCES.workflowTaskResults, namespace });
  if (!listed.ok) return listed;
  const marked = listed.value.flatMap((result): [string, KubeObject][] => {
    const uid = result.metadata?.annotations?.[RESULT_POD_UID_ANNOTATION];
    return uid === undefined ? [] : [[uid, result]];
  });
  return { ok: true, value: new Map(marked) };
}

/**
 * What becomes of a gated pod: one whose step has ended already (it timed out, say) is deleted, since nothing waits for
 * it to run.
 */
export function fateOf(pod: KubeObject): 'run' | 'delete' {
  return pod.metadata?.labels?.[COMPLETED_LABEL] === 'true' ? 'delete' : 'run';
}

export type ReleaseResult =
  | { readonly ok: true; readonly outcome: 'released' | 'deleted' | 'gone' }
  | { readonly ok: false; readonly failure: KubeFailure };

/**
 * Lets go of one gated pod. A task result that was made for it is deleted first: it says that its outputs are
 * complete, and with it the step could end before it has written any.
 */
export async function releasePod(
  kube: KubeApi,
  pod: KubeObject,
  markedResults: ReadonlyMap<string, KubeObject>,
): Promise<ReleaseResult> {
  const result = markedResults.get(pod.metadata?.uid ?? '');
  if (result !== undefined) {
    const removed = await removeResult(kube, result);
    if (!removed.ok && removed.status !== 404) return { ok: false, failure: removed };
  }
  return fateOf(pod) === 'delete' ? deletePod(kube, pod) : removeGates(kube, pod);
}

/** Deletes a task result, and no other of that name. */
export function removeResult(kube: KubeApi, result: KubeObject): Promise<KubeResult<KubeObject>> {
  const { namespace = '', name = '', uid } = result.metadata ?? {};
  const path = { resource: RESOURCES.workflowTaskResults, namespace, name };
  return kube.remove(path, uid === undefined ? {} : { uid });
}

function pathOf(pod: KubeObject) {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  return { resource: RESOURCES.pods, namespace, name };
}

async function deletePod(kube: KubeApi, pod: KubeObject): Promise<ReleaseResult> {
  const { uid } = pod.metadata ?? {};
  const removed = await kube.remove(pathOf(pod), uid === undefined ? {} : { uid });
  // A pod of another UID has taken its place: not the one that was meant.
  if (removed.ok || removed.status === 404 || removed.status === 409) return { ok: true, outcome: 'deleted' };
  return { ok: false, failure: removed };
}

async function removeGates(kube: KubeApi, pod: KubeObject): Promise<ReleaseResult> {
  let current = pod;
  const attempt = async (): Promise<ReleaseResult> => {
    const gates = ourGates(current);
    if (gates.length === 0) return { ok: true, outcome: 'released' };
    const removals: JsonPatch = gates.map((index) => ({ op: 'remove', path: `/spec/schedulingGates/${index}` }));
    const result = await kube.patch(pathOf(pod), [...testsOf(current), ...removals]);
    if (result.ok) return { ok: true, outcome: 'released' };
    if (!isOvertaken(result)) return goneOr(result);
    const fresh = await kube.get(pathOf(pod));
    if (!fresh.ok) return goneOr(fresh);
    if (fresh.value.metadata?.uid !== pod.metadata?.uid) return { ok: true, outcome: 'gone' };
    current = fresh.value;
    return { ok: false, failure: result };
  };
  return retryOvertaken(attempt, (outcome) => !outcome.ok && isOvertaken(outcome.failure));
}

function goneOr(failure: KubeFailure): ReleaseResult {
  return failure.status === 404 ? { ok: true, outcome: 'gone' } : { ok: false, failure };
}
