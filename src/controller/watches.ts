import { COMPLETED_LABEL, WORKFLOW_LABEL } from '../argo/names.ts';
import { readTaskResult } from '../argo/task-result.ts';
import type { Log } from '../base/log.ts';
import { CAPTURE_CONTAINER } from '../base/names.ts';
import { type Reflector, startReflector } from '../kube/reflector.ts';
import { type KubeObject, type KubeWatchApi, RESOURCES } from '../kube/types.ts';
import type { KnownCluster } from '../step/known-cluster.ts';
import { START_FAILURES } from './plan-run.ts';
import type { PodTable } from './pod-table.ts';
import { type ResultTable, type WatchedResult, watchedResult } from './result-table.ts';
import {
  hasCaptureContainer,
  isTerminal,
  keepGateAlone,
  keepStepPod,
  nodeIdOf,
  ownGates,
  type StepPod,
} from './step-pod.ts';

/** What the controller asks of the view beyond what decisions do. */
export interface ControllerCluster extends KnownCluster {
  /** As that of the controller's own watches. */
  readonly heardAtMs: number;
  /** A sidecar was seen not to start, at that time: misses do without one for a while. */
  markSidecarBroken(at: Date): void;
  /** The sidecar of a pod that was created at that time was seen to run. */
  markSidecarWorking(createdAt: Date): void;
  /** A pod got a sidecar, made at that time, by whichever replica. */
  noteSidecarInjected(at: Date): void;
}

export interface WatchOptions {
  readonly kube: KubeWatchApi;
  readonly log: Log;
  readonly cluster: ControllerCluster;
  readonly pods: PodTable;
  readonly results: ResultTable;
  readonly now: () => number;
  /** Something about this pod may be news. */
  readonly onPod: (uid: string) => void;
  /** A watch has read all there is. */
  readonly onSync: () => void;
}

/** What the controller knows of the cluster's step pods, kept up to date in its tables. */
export interface Watches {
  /** Whether pods and task results have been read once. */
  readonly isSynced: boolean;
  /** When the one that has heard nothing for longest last heard of anything; by `performance.now()`. */
  readonly heardAtMs: number;
  stop(): Promise<void>;
}

export function startWatches(options: WatchOptions): Watches {
  const watches = [
    watchResults(options),
    watchPods(options, { labelSelector: `${WORKFLOW_LABEL},${COMPLETED_LABEL}!=true` }),
    // Argo labels a pod completed when its node timed out while it was gated, and then never looks at it again.
    watchPods(options, {
      labelSelector: `${WORKFLOW_LABEL},${COMPLETED_LABEL}=true`,
      fieldSelector: 'status.phase=Pending',
    }),
  ];
  return {
    get isSynced() {
      return watches.every(({ isSynced }) => isSynced);
    },
    get heardAtMs() {
      return Math.min(...watches.map(({ heardAtMs }) => heardAtMs));
    },
    stop: async () => void (await Promise.all(watches.map((watch) => watch.stop()))),
  };
}

function watchPods(
  options: WatchOptions,
  selectors: { labelSelector: string; fieldSelector?: string },
): Reflector<StepPod> {
  const { kube, log, cluster, pods, now, onPod, onSync } = options;
  return startReflector<StepPod>({
    kube,
    log,
    resource: RESOURCES.pods,
    ...selectors,
    transform: (object) => keepPod(cluster, object),
    on: {
      upsert: (pod) => podSeen(options, pod),
      remove: (pod) => {
        pods.leave(pod, now());
        onPod(pod.uid);
      },
    },
    onSync,
  });
}

/** Of namespaces that have not opted in, what our gate holds, since it has to be released, and nothing else. */
function keepPod(cluster: ControllerCluster, object: KubeObject): StepPod | undefined {
  const pod = keepStepPod(object);
  if (pod === undefined || !cluster.isSynced || cluster.namespace(pod.namespace)?.isEnabled === true) return pod;
  return ownGates(pod).length > 0 ? keepGateAlone(pod) : undefined;
}

function podSeen({ pods, results, cluster, now, onPod }: WatchOptions, pod: StepPod): void {
  const nodeId = nodeIdOf(pod);
  const isNew = pods.get(pod.uid) === undefined;
  if (isNew && nodeId !== undefined && !isTerminal(pod)) results.forgetDeleted(pod.namespace, nodeId);
  pods.see(pod, now());
  noteSidecar(cluster, pod, isNew, new Date(now()));
  onPod(pod.uid);
}

/** Each replica learns by its own watch whether sidecars start: its admission answers depend on it. */
function noteSidecar(cluster: ControllerCluster, pod: StepPod, isNew: boolean, now: Date): void {
  const state = pod.states.get(CAPTURE_CONTAINER);
  if (!hasCaptureContainer(pod) || isTerminal(pod)) return;
  const createdAt = pod.createdAtMs === undefined ? undefined : new Date(pod.createdAtMs);
  if (isNew && createdAt) cluster.noteSidecarInjected(createdAt);
  if (state?.is === 'running' && createdAt) cluster.markSidecarWorking(createdAt);
  if (state?.is === 'waiting' && START_FAILURES.has(state.reason)) cluster.markSidecarBroken(now);
}

function watchResults({
  kube,
  log,
  cluster,
  pods,
  results,
  now,
  onPod,
  onSync,
}: WatchOptions): Reflector<WatchedResult> {
  const changed = ({ namespace, nodeId }: WatchedResult) => {
    const uid = pods.uidOfNode(namespace, nodeId);
    if (uid !== undefined) onPod(uid);
  };
  return startReflector<WatchedResult>({
    kube,
    log,
    resource: RESOURCES.workflowTaskResults,
    labelSelector: WORKFLOW_LABEL,
    // Without Argo in the cluster there is nothing to do, and nothing wrong.
    isAbsentEmpty: true,
    transform: (object) => keepResult(cluster, object),
    on: {
      upsert: (result) => {
        results.see(result);
        changed(result);
      },
      remove: (result) => {
        results.leave(result, now());
        changed(result);
      },
    },
    onSync,
  });
}

/** Outputs may be large, and those of namespaces that have not opted in will not be asked for. */
function keepResult(cluster: ControllerCluster, object: KubeObject): WatchedResult | undefined {
  const read = readTaskResult(object);
  if (read === undefined) return undefined;
  const result = watchedResult(read);
  if (result.markedPodUid !== undefined) return result;
  return cluster.isSynced && cluster.namespace(result.namespace)?.isEnabled !== true ? undefined : result;
}
