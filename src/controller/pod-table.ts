import { isNodeIdOf, nodeKey } from '../argo/step.ts';
import { isEarlier } from '../kube/resource-version.ts';
import type { Failures, HeldOutputs } from './facts.ts';
import type { StepMemory } from './step-memory.ts';
import { nodeIdOf, type StepPod } from './step-pod.ts';

/** What the controller remembers of one pod between two looks at it. All of it can be lost: a restart loses it. */
export interface PodRecord {
  readonly pod: StepPod;
  /** Takes a state of the pod in, unless a later one is at hand. */
  readonly take: (pod: StepPod) => void;
  /** When the pod left the watch; undefined while it is watched. */
  leftAtMs: number | undefined;
  /** When its task result was made, or first seen to be there. */
  resultMadeAtMs: number | undefined;
  /** When it was first seen to have ended, by the clock of this process. */
  endSeenAtMs: number | undefined;
  failures: Failures | undefined;
  /** Since when calls about it alone have got no answer, while the API server answered others. */
  unansweredSinceMs: number | undefined;
  /** Attempts without success in a row, answered or not: how long to wait before the next. */
  attempts: number;
  held: HeldOutputs | undefined;
  /** Of posts whose digest is being noted. */
  reservedBytes: number;
  /** Its entry is on the way into the cache. */
  isBeingWritten: boolean;
  isSettled: boolean;
  /** When this process first saw it, for the time that a completion takes. */
  readonly seenAtMs: number;
}

function newRecord(nowMs: number): Omit<PodRecord, 'pod' | 'take'> {
  return {
    leftAtMs: nowMs,
    resultMadeAtMs: undefined,
    endSeenAtMs: undefined,
    failures: undefined,
    unansweredSinceMs: undefined,
    attempts: 0,
    held: undefined,
    reservedBytes: 0,
    isBeingWritten: false,
    isSettled: false,
    seenAtMs: nowMs,
  };
}

/** How long a pod that left the watch is remembered: labelled completed, its task result may still be on the way. */
const REMEMBER_MS = 2 * 60_000;

/** The pods that stepmemo has to do with, by UID: those of the watch, and for a while those that left it. */
export class PodTable {
  readonly #records = new Map<string, PodRecord>();
  readonly #uidByNode = new Map<string, string>();
  readonly #memory: StepMemory;

  constructor(memory: StepMemory) {
    this.#memory = memory;
  }

  get(uid: string): PodRecord | undefined {
    return this.#records.get(uid);
  }

  uids(): string[] {
    return [...this.#records.keys()];
  }

  /** The pod of a node, the latest that was seen. */
  uidOfNode(namespace: string, nodeId: string): string | undefined {
    return this.#uidByNode.get(nodeKey(namespace, nodeId));
  }

  /** Whether a pod of that Workflow is here, of whichever UID. */
  hasPodOf(namespace: string, workflowName: string): boolean {
    return [...this.#records.values()].some(({ pod }) => {
      return pod.namespace === namespace && isNodeIdOf(workflowName, nodeIdOf(pod) ?? '');
    });
  }

  /** Takes in a pod that the watch tells of. An older state than the one at hand is not taken for news. */
  see(pod: StepPod, nowMs: number): PodRecord {
    const record = this.update(pod, nowMs);
    record.leftAtMs = undefined;
    return record;
  }

  /** Takes in a pod that was read otherwise: whether the watch will ever tell of it is not known. */
  update(pod: StepPod, nowMs: number): PodRecord {
    const record = this.#records.get(pod.uid);
    if (record !== undefined) {
      record.take(pod);
      return record;
    }
    const fresh = this.#newRecord(pod, nowMs);
    this.#records.set(pod.uid, fresh);
    this.#hold(pod);
    const nodeId = nodeIdOf(pod);
    if (nodeId !== undefined) this.#uidByNode.set(nodeKey(pod.namespace, nodeId), pod.uid);
    return fresh;
  }

  /** The watch tells of the pod no more: `pod` is its last state there. */
  leave(pod: StepPod, nowMs: number): void {
    const record = this.#records.get(pod.uid);
    if (record === undefined) return;
    record.take(pod);
    record.leftAtMs = nowMs;
  }

  #newRecord(first: StepPod, nowMs: number): PodRecord {
    let current = first;
    const record: PodRecord = {
      ...newRecord(nowMs),
      get pod() {
        return current;
      },
      take: (pod) => {
        if (isEarlier(pod.resourceVersion, current.resourceVersion)) return;
        current = pod;
        if (this.#records.get(pod.uid) === record) this.#hold(pod);
      },
    };
    return record;
  }

  #hold({ namespace, uid, body }: StepPod): void {
    this.#memory.put(namespace, `pod ${uid}`, body, body.bytes);
  }

  /** Forgets what need not be remembered any longer: it is not asked for, and nothing more comes of it. */
  prune(nowMs: number): void {
    for (const [uid, record] of this.#records) {
      if (record.leftAtMs === undefined || nowMs - record.leftAtMs < REMEMBER_MS) continue;
      if (record.held === undefined && record.reservedBytes === 0) this.#drop(uid, record);
    }
  }

  #drop(uid: string, { pod }: PodRecord): void {
    this.#records.delete(uid);
    this.#memory.delete(pod.namespace, `pod ${uid}`);
    const key = nodeKey(pod.namespace, nodeIdOf(pod) ?? '');
    if (this.#uidByNode.get(key) === uid) this.#uidByNode.delete(key);
  }

  /** Bytes of outputs held, of one namespace or of all. */
  heldBytes(namespace?: string): number {
    let sum = 0;
    for (const { held, reservedBytes, pod } of this.#records.values()) {
      if (namespace === undefined || pod.namespace === namespace) sum += reservedBytes + (held?.sizeBytes ?? 0);
    }
    return sum;
  }
}
