import { WORKFLOW_LABEL } from '../argo/names.ts';
import type { TaskResult } from '../argo/task-result.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../kube/types.ts';
import { keepStepPod, type StepPod } from './step-pod.ts';

export interface SweepOptions {
  readonly kube: Pick<KubeApi, 'list' | 'remove'>;
  readonly results: readonly TaskResult[];
  /** Whether pods of this namespace may be captured. */
  readonly isOfInterest: (namespace: string) => boolean;
  readonly isKnown: (podUid: string) => boolean;
  readonly isNodeKnown: (namespace: string, nodeId: string) => boolean;
  /** Told of pods that ended, and were labelled completed, while nobody looked. */
  readonly onPod: (pod: StepPod) => void;
  readonly onOrphan: (result: TaskResult) => void;
  readonly isEnded: () => boolean;
}

/**
 * What a leader that died left in the middle, found by the task results, for Argo deletes these when the workflow
 * completes: pods that are labelled completed by now, so that no watch tells of them, whose outputs are no entry yet; and
 * results of our own making for gated pods that are gone, which must not meet the pods that Argo makes in their place.
 */
export async function sweepResults(options: SweepOptions): Promise<void> {
  for (const results of groupByWorkflow(options)) {
    if (options.isEnded()) return;
    await sweepWorkflow(options, results);
  }
}

function groupByWorkflow({ results, isOfInterest, isKnown, isNodeKnown }: SweepOptions): Iterable<TaskResult[]> {
  const groups = new Map<string, TaskResult[]>();
  for (const result of results) {
    const { markedPodUid, namespace, nodeId, workflowName } = result;
    const isOpen =
      markedPodUid === undefined ? isOfInterest(namespace) && !isNodeKnown(namespace, nodeId) : !isKnown(markedPodUid);
    if (!isOpen || workflowName === undefined) continue;
    const key = `${namespace}/${workflowName}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return groups.values();
}

async function sweepWorkflow({ kube, onPod, onOrphan }: SweepOptions, results: readonly TaskResult[]): Promise<void> {
  const [first] = results;
  if (first === undefined) return;
  const { namespace, workflowName } = first;
  const listed = await kube.list(
    { resource: RESOURCES.pods, namespace },
    { labelSelector: `${WORKFLOW_LABEL}=${workflowName}` },
  );
  if (!listed.ok) return;
  for (const object of listed.value) {
    const pod = keepStepPod(object);
    if (pod !== undefined) onPod(pod);
  }
  for (const result of results) {
    if (!isOrphan(result, listed.value)) continue;
    const { nodeId, uid, resourceVersion } = result;
    const path = { resource: RESOURCES.workflowTaskResults, namespace, name: nodeId };
    const removed = await kube.remove(path, { uid, resourceVersion });
    if (removed.ok) onOrphan(result);
  }
}

/** Ours, for a pod that is gone. */
function isOrphan(result: TaskResult, objects: readonly KubeObject[]): boolean {
  if (result.markedPodUid === undefined) return false;
  return objects.every((object) => object.metadata?.uid !== result.markedPodUid);
}
