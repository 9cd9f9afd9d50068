import { isNodeIdOf } from '../argo/step.ts';
import type { TaskResult } from '../argo/task-result.ts';
import { nodeKey } from './pod-table.ts';

/** How long a task result is kept after Argo deleted it: it does so as soon as the workflow completes. */
const RETAIN_MS = 2 * 60_000;

/**
 * The task results as the watch tells of them, and for a while those that Argo deleted: outputs that have not become an
 * entry yet are nowhere else.
 */
export class ResultTable {
  readonly #live = new Map<string, TaskResult>();
  readonly #deleted = new Map<string, { readonly result: TaskResult; readonly atMs: number }>();
  /** UIDs of results that this process deleted, until the watch tells of it. */
  readonly #takenAway = new Set<string>();

  get(namespace: string, nodeId: string): TaskResult | undefined {
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

  live(): TaskResult[] {
    return [...this.#live.values()];
  }

  see(result: TaskResult): void {
    const key = nodeKey(result.namespace, result.nodeId);
    this.#live.set(key, result);
    this.#deleted.delete(key);
  }

  /** Gone, as the watch says. Results of our own making are not outputs of a run, and will not be asked for. */
  leave(result: TaskResult, nowMs: number): void {
    const key = nodeKey(result.namespace, result.nodeId);
    this.#live.delete(key);
    this.#takenAway.delete(result.uid);
    if (result.markedPodUid === undefined) this.#deleted.set(key, { result, atMs: nowMs });
  }

  /** This process deleted it; the watch will say so in a moment. */
  takeAway(result: TaskResult): void {
    if (this.#live.get(nodeKey(result.namespace, result.nodeId))?.uid === result.uid) this.#takenAway.add(result.uid);
  }

  /** A new pod of that node: what an earlier one reported is not its. */
  forgetDeleted(namespace: string, nodeId: string): void {
    this.#deleted.delete(nodeKey(namespace, nodeId));
  }

  prune(nowMs: number): void {
    for (const [key, { atMs }] of this.#deleted) {
      if (nowMs - atMs >= RETAIN_MS) this.#deleted.delete(key);
    }
  }
}
