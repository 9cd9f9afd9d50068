import { WORKFLOW_LABEL } from '../argo/names.ts';
import type { TaskResultHead } from '../argo/task-result.ts';
import { type KubeWatchApi, RESOURCES } from '../kube/types.ts';
import { keepStepPod, type StepPod } from './step-pod.ts';

export interface SweepOptions {
  readonly kube: Pick<KubeWatchApi, 'listPage' | 'remove'>;
  readonly results: readonly TaskResultHead[];
  /** Whether pods of this namespace may be captured. */
  readonly isOfInterest: (namespace: string) => boolean;
  readonly isKnown: (podUid: string) => boolean;
  readonly isNodeKnown: (namespace: string, nodeId: string) => boolean;
  /** Told of pods that ended, and were labelled completed, while no leader watched. */
  readonly onPod: (pod: StepPod) => void;
  readonly onOrphan: (result: TaskResultHead) => void;
  readonly isEnded: () => boolean;
}

/**
 * What a leader that died left in the middle, found by the task results, for Argo deletes these when the workflow
 * completes: pods that are labelled completed by now, so that no watch tells of them, whose outputs are no entry yet; and
 * results of our own making for gated pods that are gone, which must not meet the pods that Argo makes in their place.
 *
 * Returns whether it came to its end: a list that the API server does not give leaves something to be looked at again.
 */
export async function sweepResults(options: SweepOptions): Promise<boolean> {
  let isWhole = true;
  for (const results of groupByWorkflow(options)) {
    if (options.isEnded()) return true;
    isWhole = (await sweepWorkflow(options, results)) && isWhole;
  }
  return isWhole;
}

function groupByWorkflow({ results, isOfInterest, isKnown, isNodeKnown }: SweepOptions): Iterable<TaskResultHead[]> {
  const groups = new Map<string, TaskResultHead[]>();
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

/** Pods a page: one of ten thousand steps is no reason to hold them all. */
const PAGE_LIMIT = 100;

async function sweepWorkflow(options: SweepOptions, results: readonly TaskResultHead[]): Promise<boolean> {
  const { kube, onOrphan } = options;
  const [first] = results;
  if (first === undefined) return true;
  const podUids = await lookAtPods(options, first);
  if (podUids === undefined) return false;
  for (const result of results) {
    // Ours, for a pod that is gone.
    if (result.markedPodUid === undefined || podUids.has(result.markedPodUid)) continue;
    const { namespace, nodeId, uid, resourceVersion } = result;
    const path = { resource: RESOURCES.workflowTaskResults, namespace, name: nodeId };
    const removed = await kube.remove(path, { uid, resourceVersion });
    if (removed.ok) onOrphan(result);
  }
  return true;
}

/** Tells of the workflow's pods that may be ours, page by page; the UIDs of all, or undefined where one page is missing. */
async function lookAtPods(
  { kube, onPod }: SweepOptions,
  { namespace, workflowName }: TaskResultHead,
): Promise<ReadonlySet<string> | undefined> {
  const uids = new Set<string>();
  let token: string | undefined;
  do {
    const page = await kube.listPage(
      { resource: RESOURCES.pods, namespace },
      { labelSelector: `${WORKFLOW_LABEL}=${workflowName}`, limit: PAGE_LIMIT, continue: token },
    );
    if (!page.ok) return undefined;
    for (const object of page.value.items) {
      uids.add(object.metadata?.uid ?? '');
      const pod = keepStepPod(object);
      if (pod !== undefined) onPod(pod);
    }
    token = page.value.continue;
  } while (token !== undefined);
  return uids;
}
