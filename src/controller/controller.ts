import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { COMPLETED_LABEL, WORKFLOW_LABEL } from '../argo/names.ts';
import { versionOf } from '../argo/pod-version.ts';
import { readTaskResult, type TaskResult } from '../argo/task-result.ts';
import type { Log } from '../base/log.ts';
import { CAPTURE_CONTAINER } from '../base/names.ts';
import type { CaptureSink } from '../capture/types.ts';
import { type Config, decisionSettings } from '../config/config.ts';
import { runLeaderElection } from '../kube/leader.ts';
import { type Reflector, startReflector } from '../kube/reflector.ts';
import { isNoAnswer, type KubeFailure, type KubeObject, type KubeWatchApi, RESOURCES } from '../kube/types.ts';
import type { KnownCluster } from '../step/known-cluster.ts';
import type { RecordEvent } from '../telemetry/events.ts';
import { addFailure } from './add-failure.ts';
import { type ControllerMetrics, type Deed, type ExecuteContext, execute } from './execute.ts';
import { PLAN_TIMING, type PlanSettings, type PlanTiming, type PodFacts } from './facts.ts';
import { acceptOutputs } from './held-outputs.ts';
import type { LiveContext } from './live-decision.ts';
import { type Looked, takeLook } from './look.ts';
import { planPod } from './plan-pod.ts';
import { START_FAILURES } from './plan-run.ts';
import { type PodRecord, PodTable } from './pod-table.ts';
import { createConfigMapReader } from './read-config-map.ts';
import { ResultTable } from './result-table.ts';
import { hasCaptureContainer, isTerminal, keepStepPod, nodeIdOf, readOwnEnd, type StepPod } from './step-pod.ts';
import { sweepResults } from './sweep.ts';
import { createWorkQueue, type WorkQueue } from './work-queue.ts';

/** What the controller asks of the view beyond what decisions do. */
export interface ControllerCluster extends KnownCluster {
  /** A sidecar was seen not to start, at that time: misses do without one for a while. */
  markSidecarBroken(at: Date): void;
  /** The sidecar of a pod that was created at that time was seen to run. */
  markSidecarWorking(createdAt: Date): void;
  /** A pod got a sidecar, made at that time, by whichever replica. */
  noteSidecarInjected(at: Date): void;
}

export interface ControllerOptions {
  readonly kube: KubeWatchApi;
  readonly cluster: ControllerCluster;
  readonly config: Config;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
  readonly recordEvent: RecordEvent;
  /** Of this replica, for the lease; made up where it is left out. */
  readonly identity?: string;
  /** Wall clock, Unix milliseconds. */
  readonly now?: () => number;
  readonly timing?: Partial<PlanTiming>;
}

export interface Controller extends CaptureSink {
  readonly isLeader: boolean;
  /** Whether pods and task results have been read once. */
  readonly isSynced: boolean;
  /** Whether pods or task results of a Workflow of that name are there. */
  readonly knowsWorkflow: (namespace: string, name: string) => boolean;
  /** Ends what is under way, gives the lease back and closes the watches. */
  stop(): Promise<void>;
}

/** Name of the Lease in stepmemo's own namespace. */
export const LEASE_NAME = 'stepmemo';
/** Pods that are worked on at a time: each waits for the API server most of the time. */
const CONCURRENCY = 16;
/** More steps than any pod's way has; beyond it something goes round in circles. */
const MAX_ROUNDS = 24;
const SWEEP_RETRY_MS = 1_000;
const FIRST_BACKOFF_MS = 50;
const MOST_BACKOFF_MS = 10_000;

/**
 * Starts what happens after admission: the leader completes hits, frees gated pods that cannot be completed and ends pods
 * that the sidecar holds up; every replica takes outputs that sidecars post and makes them entries.
 *
 * It is level-triggered: an event says only which pod to look at; what to do follows from what is there (`planPod`), so
 * any crash, lost event or second leader is made good by the next look. What it holds in memory it can lose.
 */
export function startController(options: ControllerOptions): Controller {
  return new RunningController(options);
}

class RunningController implements Controller {
  readonly #options: ControllerOptions;
  readonly #now: () => number;
  readonly #settings: PlanSettings;
  readonly #table = new PodTable();
  readonly #results = new ResultTable();
  readonly #queue: WorkQueue;
  readonly #live: LiveContext;
  readonly #execution: ExecuteContext;
  readonly #pods: Reflector<StepPod>;
  readonly #abandoned: Reflector<StepPod>;
  readonly #taskResults: Reflector<TaskResult>;
  readonly #ending = new AbortController();
  readonly #resync: NodeJS.Timeout;
  readonly #election: Promise<void>;
  /** When the API server last answered a call about any pod. */
  #answeredMs = 0;
  #isLeader = false;
  #isSweepDue = false;

  constructor(options: ControllerOptions) {
    const { kube, cluster, config, log, metrics, recordEvent } = options;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#settings = { ...PLAN_TIMING, ...options.timing, taskResultWaitMs: config.taskResultWaitMs };
    this.#live = { kube, cluster, settings: decisionSettings(config), readConfigMap: createConfigMapReader(kube) };
    this.#execution = {
      kube,
      results: this.#results,
      recordEvent,
      metrics,
      markSidecarBroken: () => cluster.markSidecarBroken(new Date(this.#now())),
      now: this.#now,
    };
    this.#queue = createWorkQueue({
      concurrency: CONCURRENCY,
      process: (uid) => this.#process(uid),
      onError: (uid, error) => log.error({ err: error, podUid: uid }, 'work on a pod failed'),
    });
    this.#taskResults = this.#watchResults();
    this.#pods = this.#watchPods({ labelSelector: `${WORKFLOW_LABEL},${COMPLETED_LABEL}!=true` });
    // Argo labels a pod completed when its node timed out while it was gated, and then never looks at it again.
    this.#abandoned = this.#watchPods({
      labelSelector: `${WORKFLOW_LABEL},${COMPLETED_LABEL}=true`,
      fieldSelector: 'status.phase=Pending',
    });
    this.#resync = setInterval(() => this.#lookAtAll(), config.resyncSeconds * 1000);
    this.#resync.unref();
    this.#election = this.#elect().catch((error: unknown) => log.error({ err: error }, 'the leader election failed'));
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  get isSynced(): boolean {
    return this.#pods.isSynced && this.#abandoned.isSynced && this.#taskResults.isSynced;
  }

  readonly knowsWorkflow = (namespace: string, name: string): boolean => {
    return this.#table.hasPodOf(namespace, name) || this.#results.hasResultOf(namespace, name);
  };

  async accept(post: Parameters<CaptureSink['accept']>[0]): ReturnType<CaptureSink['accept']> {
    const { kube, cluster, config, log } = this.#options;
    try {
      const context = { kube, cluster, table: this.#table, limits: config, now: this.#now };
      const answer = await acceptOutputs(context, post);
      if (answer.status === 200) this.#queue.add(post.podUid);
      return answer;
    } catch (error) {
      log.error({ err: error, pod: post.podName, namespace: post.namespace }, 'outputs could not be taken');
      return { status: 503, message: 'this replica failed' };
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#resync);
    await this.#queue.stop();
    this.#ending.abort();
    await this.#election;
    await Promise.all([this.#pods.stop(), this.#abandoned.stop(), this.#taskResults.stop()]);
  }

  // ---- what is watched

  #watchPods(selectors: { labelSelector: string; fieldSelector?: string }): Reflector<StepPod> {
    const { kube, log } = this.#options;
    return startReflector<StepPod>({
      kube,
      log,
      resource: RESOURCES.pods,
      ...selectors,
      transform: keepStepPod,
      on: {
        upsert: (pod) => this.#podSeen(pod),
        remove: (pod) => {
          this.#table.leave(pod, this.#now());
          this.#queue.add(pod.uid);
        },
      },
      onSync: () => this.#sweepIfDue(),
    });
  }

  #podSeen(pod: StepPod): void {
    const nodeId = nodeIdOf(pod);
    const isNew = this.#table.get(pod.uid) === undefined;
    if (isNew && nodeId !== undefined && !isTerminal(pod)) this.#results.forgetDeleted(pod.namespace, nodeId);
    this.#table.see(pod, this.#now());
    this.#noteSidecar(pod, isNew);
    this.#queue.add(pod.uid);
  }

  /** Each replica learns by its own watch whether sidecars start: its admission answers depend on it. */
  #noteSidecar(pod: StepPod, isNew: boolean): void {
    const { cluster } = this.#options;
    const state = pod.states.get(CAPTURE_CONTAINER);
    if (!hasCaptureContainer(pod) || isTerminal(pod)) return;
    if (isNew && pod.createdAtMs !== undefined) cluster.noteSidecarInjected(new Date(pod.createdAtMs));
    if (state?.is === 'running' && pod.createdAtMs !== undefined) {
      cluster.markSidecarWorking(new Date(pod.createdAtMs));
    }
    if (state?.is === 'waiting' && START_FAILURES.has(state.reason)) cluster.markSidecarBroken(new Date(this.#now()));
  }

  #watchResults(): Reflector<TaskResult> {
    const { kube, log, cluster } = this.#options;
    const keep = (object: KubeObject): TaskResult | undefined => {
      const result = readTaskResult(object);
      if (result === undefined || result.markedPodUid !== undefined) return result;
      // Outputs may be large, and of namespaces that have not opted in nobody will ask for them.
      return cluster.isSynced && cluster.namespace(result.namespace)?.isEnabled !== true ? undefined : result;
    };
    return startReflector<TaskResult>({
      kube,
      log,
      resource: RESOURCES.workflowTaskResults,
      labelSelector: WORKFLOW_LABEL,
      // Without Argo in the cluster there is nothing to do, and nothing wrong.
      isAbsentEmpty: true,
      transform: keep,
      on: {
        upsert: (result) => {
          this.#results.see(result);
          this.#resultChanged(result);
        },
        remove: (result) => {
          this.#results.leave(result, this.#now());
          this.#resultChanged(result);
        },
      },
      onSync: () => this.#sweepIfDue(),
    });
  }

  #resultChanged(result: TaskResult): void {
    const uid = this.#table.uidOfNode(result.namespace, result.nodeId);
    if (uid !== undefined) this.#queue.add(uid);
  }

  #lookAtAll(): void {
    const nowMs = this.#now();
    this.#table.prune(nowMs);
    this.#results.prune(nowMs);
    for (const uid of this.#table.uids()) this.#queue.add(uid);
  }

  // ---- leadership

  async #elect(): Promise<void> {
    const { kube, config, identity = `${hostname()}_${randomUUID()}`, log } = this.#options;
    if (!config.leaderElection) return this.#lead();
    await runLeaderElection({
      kube,
      log,
      namespace: config.ownNamespace,
      name: LEASE_NAME,
      identity,
      leaseDurationMs: config.leaseDurationMs,
      onStart: () => this.#lead(),
      onStop: () => {
        this.#isLeader = false;
        this.#options.metrics.setLeader(false);
      },
      signal: this.#ending.signal,
    });
  }

  #lead(): void {
    this.#isLeader = true;
    this.#options.metrics.setLeader(true);
    this.#isSweepDue = true;
    this.#lookAtAll();
    this.#sweepIfDue();
  }

  /** Once a term, when there is something to compare: what an earlier leader left in the middle. */
  #sweepIfDue(): void {
    const { kube, cluster, log } = this.#options;
    // The first list of one watch may be through before the others are started.
    if (!this.#isSweepDue || !this.#taskResults?.isSynced || !this.#pods?.isSynced) return;
    if (!cluster.isSynced) return void setTimeout(() => this.#sweepIfDue(), SWEEP_RETRY_MS).unref();
    this.#isSweepDue = false;
    sweepResults({
      kube,
      results: this.#results.live(),
      isOfInterest: (namespace) => cluster.namespace(namespace)?.isEnabled === true,
      isKnown: (uid) => this.#table.get(uid) !== undefined,
      isNodeKnown: (namespace, nodeId) => this.#table.uidOfNode(namespace, nodeId) !== undefined,
      onPod: (pod) => {
        this.#table.update(pod, this.#now());
        this.#queue.add(pod.uid);
      },
      onOrphan: (result) => this.#results.takeAway(result),
      isEnded: () => this.#ending.signal.aborted || !this.#isLeader,
    }).catch((error: unknown) => log.error({ err: error }, 'looking for what was left failed'));
  }

  // ---- work on one pod

  async #process(uid: string): Promise<void> {
    const record = this.#table.get(uid);
    if (record === undefined) return;
    try {
      await this.#goOn(record);
    } catch (error) {
      // A bug; but the pod must get on, so it counts as a refusal and ends in a release.
      this.#options.log.error({ err: error, pod: record.pod.name, namespace: record.pod.namespace }, 'work failed');
      const message = error instanceof Error ? error.message : String(error);
      this.#failed(record, { ok: false, status: 422, reason: 'InternalError', message });
    }
  }

  async #goOn(record: PodRecord): Promise<void> {
    let looked: Looked = {};
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const action = planPod(this.#factsOf(record, looked), this.#settings);
      switch (action.do) {
        case 'nothing':
          return;
        case 'wait':
          return this.#queue.addAfter(record.pod.uid, action.delayMs);
        case 'retry':
          return this.#failed(record, { ok: false, status: 422, reason: 'Unreadable', message: action.why });
        case 'look': {
          const failure = await takeLook(this.#live, record, looked, action.at, this.#now());
          if (failure) return this.#failed(record, failure);
          this.#answeredMs = this.#now();
          break;
        }
        default: {
          const next = await this.#execute(record, looked, action);
          if (next === undefined) return;
          looked = next;
        }
      }
    }
    this.#tryLater(record);
  }

  /** What is known after the deed; undefined when there is nothing more to do now. */
  async #execute(record: PodRecord, looked: Looked, action: Deed): Promise<Looked | undefined> {
    const { log } = this.#options;
    const { namespace, name } = record.pod;
    const outcome = await execute(this.#execution, record, action);
    log.debug({ namespace, pod: name, action: action.do, outcome: outcome.is }, 'worked on a pod');
    switch (outcome.is) {
      case 'done':
        this.#answeredMs = this.#now();
        record.failures = undefined;
        record.unansweredSinceMs = undefined;
        record.attempts = 0;
        return undefined;
      case 'onward':
        return action.do === 'delete-result' ? { ...looked, result: 'none' } : looked;
      case 'overtaken':
        return this.#catchUp(record);
      case 'failed':
        this.#failed(record, outcome.failure);
        return undefined;
    }
  }

  /** The pod, or what belongs to it, changed under the plan: everything is looked at anew, after ever longer waits. */
  async #catchUp(record: PodRecord): Promise<Looked | undefined> {
    record.attempts += 1;
    if (record.attempts > 3) {
      this.#tryLater(record);
      return undefined;
    }
    const looked: Looked = {};
    const failure = await takeLook(this.#live, record, looked, 'pod', this.#now());
    if (failure) this.#failed(record, failure);
    return failure ? undefined : looked;
  }

  #factsOf(record: PodRecord, looked: Looked): PodFacts {
    const { cluster } = this.#options;
    const { pod } = record;
    if (isTerminal(pod) || readOwnEnd(pod).haveAllEnded) record.endSeenAtMs ??= this.#now();
    const { isGone = false, isPodFresh = false, ...rest } = looked;
    return {
      pod,
      nowMs: this.#now(),
      isLeader: this.#isLeader,
      isClusterSynced: cluster.isSynced,
      arePoliciesInstalled: cluster.arePoliciesInstalled,
      failures: record.failures,
      isGone,
      endSeenAtMs: record.endSeenAtMs,
      hasLeftWatch: record.leftAtMs !== undefined && !isPodFresh,
      version: versionOf(pod.object),
      resultMadeAtMs: record.resultMadeAtMs,
      held: record.held,
      watchedResult: this.#results.get(pod.namespace, nodeIdOf(pod) ?? ''),
      isSettled: record.isSettled,
      ...rest,
    };
  }

  #failed(record: PodRecord, failure: KubeFailure): void {
    const { namespace, name } = record.pod;
    const { status, reason, message } = failure;
    this.#options.log.warn({ namespace, pod: name, status, reason, message }, 'work on a pod did not succeed');
    if (!isNoAnswer(failure)) this.#answeredMs = this.#now();
    const deadlineMs = this.#options.config.hitDeadlineSeconds * 1000;
    addFailure(record, failure, { nowMs: this.#now(), answeredMs: this.#answeredMs, deadlineMs });
    this.#tryLater(record);
  }

  #tryLater(record: PodRecord): void {
    const waitMs = Math.min(MOST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(record.attempts, 16));
    record.attempts += 1;
    this.#queue.addAfter(record.pod.uid, waitMs * (0.5 + Math.random() / 2));
  }
}
