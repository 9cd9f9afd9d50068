import type { Log } from '../base/log.ts';
import { isNoAnswer, type KubeFailure } from '../kube/types.ts';
import { addFailure } from './add-failure.ts';
import { type Deed, type ExecuteContext, execute, type Outcome } from './execute.ts';
import type { PlanSettings, PodFacts } from './facts.ts';
import type { LiveContext } from './live-decision.ts';
import { type LiveFacts, takeLook } from './live-facts.ts';
import { planPod } from './plan-pod.ts';
import type { PodRecord } from './pod-table.ts';
import { isTerminal, nodeIdOf, readOwnEnd } from './step-pod.ts';

export interface PodWorkerOptions {
  readonly live: LiveContext;
  readonly execution: Omit<ExecuteContext, 'onWritten'>;
  readonly settings: PlanSettings;
  readonly log: Log;
  readonly isLeader: () => boolean;
  /** How long a pod may wait for calls about it that get no answer while others do, in milliseconds. */
  readonly deadlineMs: number;
  /** Has the pod worked on again, in so many milliseconds. */
  readonly comeBack: (uid: string, delayMs: number) => void;
}

/** More steps than any pod's way has; beyond it something goes round in circles. */
const MAX_ROUNDS = 24;
const FIRST_BACKOFF_MS = 50;
const MOST_BACKOFF_MS = 10_000;

/** Takes a pod its next steps: plans, looks at what the plan asks for, and does what it says. */
export class PodWorker {
  readonly #options: PodWorkerOptions;
  readonly #execution: ExecuteContext;
  /** When the API server last answered a call about any pod. */
  #answeredMs = 0;

  constructor(options: PodWorkerOptions) {
    this.#options = options;
    const onWritten = (record: PodRecord, outcome: Outcome) => void this.#takeOutcome(record, {}, outcome);
    this.#execution = { ...options.execution, onWritten };
  }

  /** Never throws: what goes wrong is said in the log and counts against the pod. */
  async work(record: PodRecord): Promise<void> {
    try {
      await this.#goOn(record);
    } catch (error) {
      // A bug; but the pod must get on, so it counts as a refusal and ends in a release.
      this.#options.log.error({ err: error, pod: record.pod.name, namespace: record.pod.namespace }, 'work failed');
      const message = error instanceof Error ? error.message : String(error);
      this.#failed(record, { ok: false, status: 422, reason: 'InternalError', message });
    }
  }

  get #nowMs(): number {
    return this.#execution.now();
  }

  async #goOn(record: PodRecord): Promise<void> {
    let facts: LiveFacts = {};
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const action = planPod(this.#factsOf(record, facts), this.#options.settings);
      switch (action.do) {
        case 'nothing':
          return;
        case 'wait':
          return this.#options.comeBack(record.pod.uid, action.delayMs);
        case 'retry':
          return this.#failed(record, { ok: false, status: 422, reason: 'Unreadable', message: action.why });
        case 'look': {
          const failure = await takeLook(this.#options.live, record, facts, action.at, this.#nowMs);
          if (failure) return this.#failed(record, failure);
          this.#answeredMs = this.#nowMs;
          break;
        }
        default: {
          const next = await this.#execute(record, facts, action);
          if (next === undefined) return;
          facts = next;
        }
      }
    }
    this.#tryLater(record);
  }

  /** What is known after the deed; undefined when there is nothing more to do now. */
  async #execute(record: PodRecord, facts: LiveFacts, action: Deed): Promise<LiveFacts | undefined> {
    const { namespace, name } = record.pod;
    const outcome = await execute(this.#execution, record, action);
    this.#options.log.debug({ namespace, pod: name, action: action.do, outcome: outcome.is }, 'worked on a pod');
    return this.#takeOutcome(record, action.do === 'delete-result' ? { ...facts, result: 'none' } : facts, outcome);
  }

  async #takeOutcome(record: PodRecord, facts: LiveFacts, outcome: Outcome): Promise<LiveFacts | undefined> {
    switch (outcome.is) {
      case 'begun':
        return undefined;
      case 'done':
        this.#answeredMs = this.#nowMs;
        record.failures = undefined;
        record.unansweredSinceMs = undefined;
        record.attempts = 0;
        return undefined;
      case 'onward':
        return facts;
      case 'overtaken':
        return this.#catchUp(record);
      case 'failed':
        this.#failed(record, outcome.failure);
        return undefined;
    }
  }

  /** The pod, or what belongs to it, changed under the plan: everything is looked at anew, after ever longer waits. */
  async #catchUp(record: PodRecord): Promise<LiveFacts | undefined> {
    record.attempts += 1;
    if (record.attempts > 3) {
      this.#tryLater(record);
      return undefined;
    }
    const facts: LiveFacts = {};
    const failure = await takeLook(this.#options.live, record, facts, 'pod', this.#nowMs);
    if (failure) this.#failed(record, failure);
    return failure ? undefined : facts;
  }

  #factsOf(record: PodRecord, facts: LiveFacts): PodFacts {
    const { live, isLeader } = this.#options;
    const { cluster } = live;
    const { pod } = record;
    if (isTerminal(pod) || readOwnEnd(pod).haveAllEnded) record.endSeenAtMs ??= this.#nowMs;
    const { isGone = false, isPodFresh = false, ...rest } = facts;
    return {
      pod,
      nowMs: this.#nowMs,
      isLeader: isLeader(),
      isClusterSynced: cluster.isSynced,
      arePoliciesInstalled: cluster.arePoliciesInstalled,
      failures: record.failures,
      isGone,
      endSeenAtMs: record.endSeenAtMs,
      hasLeftWatch: record.leftAtMs !== undefined && !isPodFresh,
      resultMadeAtMs: record.resultMadeAtMs,
      held: record.held,
      watchedResult: this.#execution.results.get(pod.namespace, nodeIdOf(pod) ?? ''),
      isBeingWritten: record.isBeingWritten,
      isSettled: record.isSettled,
      ...rest,
    };
  }

  #failed(record: PodRecord, failure: KubeFailure): void {
    const { namespace, name } = record.pod;
    const { status, reason, message } = failure;
    this.#options.log.warn({ namespace, pod: name, status, reason, message }, 'work on a pod did not succeed');
    const nowMs = this.#nowMs;
    if (!isNoAnswer(failure)) this.#answeredMs = nowMs;
    addFailure(record, failure, { nowMs, answeredMs: this.#answeredMs, deadlineMs: this.#options.deadlineMs });
    this.#tryLater(record);
  }

  #tryLater(record: PodRecord): void {
    const waitMs = Math.min(MOST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(record.attempts, 16));
    record.attempts += 1;
    this.#options.comeBack(record.pod.uid, waitMs * (0.5 + Math.random() / 2));
  }
}
