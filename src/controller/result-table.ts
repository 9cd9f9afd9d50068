import type { Outputs } from '../argo/outputs.ts';
import { isNodeIdOf, nodeKey } from '../argo/step.ts';
import type { TaskResult, TaskResultHead } from '../argo/task-result.ts';
import { isEarlier } from '../kube/resource-version.ts';
import { Held, type StepMemory } from './step-memory.ts';

/** How long a task result is kept after Argo deleted it: it does so as soon as the workflow completes. */
const RETAIN_MS = 2 * 60_000;

/** What is kept of a task result. */
export interface WatchedResult extends TaskResultHead {
  readonly outputs: Held<Outputs | undefined>;
}

/** A Workflow of whose steps the watch has told. */
export interface SeenWorkflow {
  readonly namespace: string;
  readonly name: string;
}

/** Argo gives a result one owner. */
const OWNER_LIMIT = 4;

export function watchedResult(result: TaskResult): WatchedResult {
  const { namespace, nodeId, uid, resourceVersion, workflowName, ownerUids, isComplete, markedPodUid } = result;
  const outputs = new Held(result.outputs);
  const owners = ownerUids.slice(0, OWNER_LIMIT);
  return {
    namespace,
    nodeId,
    uid,
    resourceVersion,
    workflowName,
    ownerUids: owners,
    isComplete,
    markedPodUid,
    outputs,
  };
}

/**
 * The task results as the watch tells of them, and for a while those that Argo deleted: outputs that have not become an
 * entry yet are nowhere else.
 */
export class ResultTable {
  readonly #live = new Map<string, WatchedResult>();
  readonly #deleted = new Map<string, { readonly result: WatchedResult; readonly atMs: number }>();
  /** UIDs of results that this process deleted, until the watch tells of it. */
  readonly #takenAway = new Set<string>();
  readonly #memory: StepMemory;

  constructor(memory: StepMemory) {
    this.#memory = memory;
  }

  get(namespace: string, nodeId: string): WatchedResult | undefined {
    const key = nodeKey(namespace, nodeId);
    const live = this.#live.get(key);
    if (live !== undefined && !this.#takenAway.has(live.uid)) return live;
    return this.#deleted.get(key)?.result;
  }

  hasResultOf(namespace: string, workflowName: string): boolean {
    return [...this.#live.values()].some(
      (result) => result.namespace === namespace && isNodeIdOf(workflowName, result.nodeId),
    );
  }

  /** Of each namespace, the Workflow with the result that changed last. */
  newestWorkflows(): SeenWorkflow[] {
    const newest = new Map<string, WatchedResult>();
    for (const result of [...[...this.#deleted.values()].map((deleted) => deleted.result), ...this.#live.values()]) {
      const other = newest.get(result.namespace);
      if (other === undefined || isEarlier(other.resourceVersion, result.resourceVersion))
        newest.set(result.namespace, result);
    }
    return [...newest.values()].flatMap(({ namespace, workflowName: name }) =>
      name === undefined ? [] : [{ namespace, name }],
    );
  }

  live(): WatchedResult[] {
    return [...this.#live.values()];
  }

  see(result: WatchedResult): void {
    const key = nodeKey(result.namespace, result.nodeId);
    this.#live.set(key, result);
    this.#deleted.delete(key);
    this.#memory.put(result.namespace, `result ${result.nodeId}`, result.outputs, result.outputs.bytes);
  }

  /** Gone, as the watch says. Results of our own making are not outputs of a run, and will not be asked for. */
  leave(result: WatchedResult, nowMs: number): void {
    const key = nodeKey(result.namespace, result.nodeId);
    this.#live.delete(key);
    this.#takenAway.delete(result.uid);
    if (result.markedPodUid === undefined) this.#deleted.set(key, { result, atMs: nowMs });
    else this.#forgetOutputs(result);
  }

  /** This process deleted it; the watch will say so in a moment. */
  takeAway(result: TaskResultHead): void {
    if (this.#live.get(nodeKey(result.namespace, result.nodeId))?.uid === result.uid) this.#takenAway.add(result.uid);
  }

  /** A new pod of that node: what an earlier one reported is not its. */
  forgetDeleted(namespace: string, nodeId: string): void {
    this.#dropDeleted(nodeKey(namespace, nodeId));
  }

  prune(nowMs: number): void {
    for (const [key, { atMs }] of this.#deleted) {
      if (nowMs - atMs >= RETAIN_MS) this.#dropDeleted(key);
    }
  }

  #dropDeleted(key: string): void {
    const dropped = this.#deleted.get(key)?.result;
    this.#deleted.delete(key);
    if (dropped !== undefined) this.#forgetOutputs(dropped);
  }

  #forgetOutputs({ namespace, nodeId }: WatchedResult): void {
    this.#memory.delete(namespace, `result ${nodeId}`);
  }
}
