import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import type { Outputs } from '../argo/outputs.ts';
import { nodeKey } from '../argo/step.ts';
import type { Log } from '../base/log.ts';
import { createWorkQueue, type WorkClass, type WorkQueue } from '../base/work-queue.ts';
import { type CacheWriter, createCacheWriter } from '../cache/cache-writer.ts';
import type { CaptureSink } from '../capture/types.ts';
import { type Config, decisionSettings } from '../config/config.ts';
import { runLeaderElection } from '../kube/leader.ts';
import type { KubeWatchApi } from '../kube/types.ts';
import type { RecordEvent } from '../telemetry/events.ts';
import type { ControllerMetrics } from './execute.ts';
import { PLAN_TIMING, type PlanTiming } from './facts.ts';
import { acceptOutputs } from './held-outputs.ts';
import { labelReplicas } from './label-replicas.ts';
import { type PodRecord, PodTable } from './pod-table.ts';
import { PodWorker } from './pod-worker.ts';
import { createConfigMapReader } from './read-config-map.ts';
import { ResultTable, type SeenWorkflow } from './result-table.ts';
import { createStepMemory } from './step-memory.ts';
import { isTerminal, nodeIdOf } from './step-pod.ts';
import { sweepResults } from './sweep.ts';
import { type ControllerCluster, startWatches, type Watches } from './watches.ts';

export interface ControllerOptions {
  readonly kube: KubeWatchApi;
  readonly cluster: ControllerCluster;
  readonly config: Config;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
  readonly recordEvent: RecordEvent;
  /** Of this replica, for the lease; made up where it is left out. */
  readonly identity?: string;
  /** Name of the pod that this runs in. */
  readonly podName?: string;
  /** Wall clock, Unix milliseconds. */
  readonly now?: () => number;
  readonly timing?: Partial<PlanTiming>;
  /** Most memory for what is held of steps, in bytes. */
  readonly stepsLimitBytes?: number;
}

export interface Controller extends CaptureSink {
  readonly isLeader: boolean;
  /** Whether pods and task results have been read once. */
  readonly isSynced: boolean;
  /** Whether pods or task results of a Workflow of that name are there. */
  readonly knowsWorkflow: (namespace: string, name: string) => boolean;
  /** Whether stepmemo has dealt with a pod of a Workflow of that name. */
  readonly hasPodOf: (namespace: string, name: string) => boolean;
  /** Of each namespace that has opted in, the Workflow one of whose steps reported last. */
  readonly newestWorkflows: () => readonly SeenWorkflow[];
  /**
   * The outputs with which stepmemo has ended the pod of a node, by whichever replica; undefined where it has not. A pod of before
   * the node began (Unix milliseconds) is one of an earlier attempt: `argo retry` uses the names again.
   */
  readonly servedOutputs: (namespace: string, node: { id: string; startedMs: number }) => Outputs | undefined;
  /** Resolves when there is news of one of these nodes, whose pod has ended, or after `waitMs`. */
  readonly newsOf: (namespace: string, nodeIds: readonly string[], waitMs: number) => Promise<void>;
  /** Ends what is under way, gives the lease back and closes the watches. */
  stop(): Promise<void>;
}

/** Name of the Lease in stepmemo's own namespace. */
export const LEASE_NAME = 'stepmemo';
/** Pods that are worked on at a time: each waits for the API server most of the time. */
const CONCURRENCY = 16;
const SWEEP_RETRY_MS = 1_000;
const SWEEP_EVERY_MS = 15_000;
/** Between the API server and the workflow controller; both keep whole seconds. */
const CLOCK_SKEW_MS = 2_000;
/** A watch hears a bookmark each minute. */
const STALE_MS = 120_000;
/** How long entries that are on their way into caches are waited for at the end. */
const LAST_WRITES_MS = 5_000;

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
  readonly #table: PodTable;
  readonly #results: ResultTable;
  readonly #writer: CacheWriter;
  readonly #queue: WorkQueue;
  readonly #watches: Watches;
  readonly #ending = new AbortController();
  readonly #resync: NodeJS.Timeout;
  readonly #election: Promise<void>;
  readonly #news = new EventEmitter().setMaxListeners(0);
  #isLeader = false;
  #isSweepDue = false;
  #sweptAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ControllerOptions) {
    const { kube, cluster, config, log } = options;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const memory = createStepMemory(options.stepsLimitBytes);
    this.#table = new PodTable(memory);
    this.#results = new ResultTable(memory);
    this.#writer = createCacheWriter(kube);
    const worker = this.#createWorker();
    this.#queue = createWorkQueue({
      concurrency: CONCURRENCY,
      classify: (uid) => classOf(this.#table.get(uid)),
      process: async (uid) => {
        const record = this.#table.get(uid);
        if (record !== undefined) await worker.work(record);
      },
      onError: (uid, error) => log.error({ err: error, podUid: uid }, 'work on a pod failed'),
    });
    this.#watches = startWatches({
      kube,
      log,
      cluster,
      pods: this.#table,
      results: this.#results,
      now: this.#now,
      onPod: (uid) => {
        this.#queue.add(uid);
        const pod = this.#table.get(uid)?.pod;
        if (pod !== undefined && isTerminal(pod)) this.#news.emit(nodeKey(pod.namespace, nodeIdOf(pod) ?? ''));
      },
      onSync: () => this.#sweepIfDue(),
    });
    this.#resync = setInterval(() => {
      this.#lookAtAll();
      void this.#labelReplicas();
    }, config.resyncSeconds * 1000);
    this.#resync.unref();
    this.#election = this.#elect().catch((error: unknown) => log.error({ err: error }, 'the leader election failed'));
  }

  #createWorker(): PodWorker {
    const { kube, cluster, config, log, metrics, recordEvent, timing } = this.#options;
    return new PodWorker({
      live: { kube, cluster, settings: decisionSettings(config), readConfigMap: createConfigMapReader(kube) },
      execution: {
        kube,
        results: this.#results,
        writer: this.#writer,
        recordEvent,
        metrics,
        markSidecarBroken: () => cluster.markSidecarBroken(new Date(this.#now())),
        now: this.#now,
      },
      settings: { ...PLAN_TIMING, ...timing, taskResultWaitMs: config.taskResultWaitMs },
      log,
      isLeader: () => this.#isLeader,
      deadlineMs: config.hitDeadlineSeconds * 1000,
      comeBack: (uid, delayMs) => this.#queue.addAfter(uid, delayMs),
    });
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  get isSynced(): boolean {
    return this.#watches.isSynced;
  }

  readonly knowsWorkflow = (namespace: string, name: string): boolean => {
    return this.#table.hasPodOf(namespace, name) || this.#results.hasResultOf(namespace, name);
  };

  readonly hasPodOf = (namespace: string, name: string): boolean => this.#table.hasPodOf(namespace, name);

  readonly newestWorkflows = (): readonly SeenWorkflow[] => {
    const { cluster } = this.#options;
    return this.#results.newestWorkflows().filter(({ namespace }) => cluster.namespace(namespace)?.isEnabled === true);
  };

  readonly servedOutputs = (namespace: string, node: { id: string; startedMs: number }): Outputs | undefined => {
    const uid = this.#table.uidOfNode(namespace, node.id);
    const { pod, leftAtMs } = (uid === undefined ? undefined : this.#table.get(uid)) ?? {};
    const isEnded = pod?.phase === 'Succeeded' && !pod.isBeingDeleted && leftAtMs === undefined;
    if (!isEnded || !((pod.createdAtMs ?? Number.NaN) >= node.startedMs - CLOCK_SKEW_MS)) return undefined;
    const result = this.#results.get(namespace, node.id);
    const isServed = result?.markedPodUid === uid && result?.outputs.isLetGo === false;
    return isServed ? (result?.outputs.value ?? {}) : undefined;
  };

  readonly newsOf = (namespace: string, nodeIds: readonly string[], waitMs: number): Promise<void> => {
    const names = nodeIds.map((nodeId) => nodeKey(namespace, nodeId));
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        for (const name of names) this.#news.off(name, end);
        resolve();
      };
      const timer = setTimeout(end, waitMs);
      for (const name of names) this.#news.on(name, end);
    });
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
    await this.#writer.settle(LAST_WRITES_MS);
    this.#ending.abort();
    await this.#election;
    await this.#watches.stop();
  }

  #lookAtAll(): void {
    const nowMs = this.#now();
    this.#table.prune(nowMs);
    this.#results.prune(nowMs);
    for (const uid of this.#table.uids()) this.#queue.add(uid);
  }

  // ---- leadership

  async #elect(): Promise<void> {
    const { kube, cluster, config, identity = `${hostname()}_${randomUUID()}`, log } = this.#options;
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
      isStale: () => performance.now() - Math.min(this.#watches.heardAtMs, cluster.heardAtMs) > STALE_MS,
      signal: this.#ending.signal,
    });
  }

  #lead(): void {
    this.#isLeader = true;
    this.#options.metrics.setLeader(true);
    this.#isSweepDue = true;
    void this.#labelReplicas();
    this.#lookAtAll();
    this.#sweepIfDue();
  }

  async #labelReplicas(): Promise<void> {
    const { kube, config, log, podName = process.env.POD_NAME ?? hostname() } = this.#options;
    if (!this.#isLeader) return;
    const trouble = await labelReplicas(kube, config.ownNamespace, podName);
    if (trouble !== undefined) log.warn({ message: trouble }, 'the replicas could not be labelled by their role');
  }

  /**
   * Once a term, when there is something to compare: what an earlier leader left in the middle. Again where it did not come to
   * its end, and at most once in a while, or replicas that take the lease from each other would list for ever.
   */
  #sweepIfDue(): void {
    const { kube, cluster, log } = this.#options;
    // The first list of one watch may be through before the others are started.
    if (!this.#isSweepDue || this.#watches?.isSynced !== true) return;
    const waitMs = cluster.isSynced ? this.#sweptAtMs + SWEEP_EVERY_MS - this.#now() : SWEEP_RETRY_MS;
    if (waitMs > 0) return void setTimeout(() => this.#sweepIfDue(), waitMs).unref();
    this.#isSweepDue = false;
    this.#sweptAtMs = this.#now();
    const again = (error?: unknown): void => {
      if (error !== undefined) log.error({ err: error }, 'looking for what was left failed');
      this.#isSweepDue = this.#isLeader;
      this.#sweepIfDue();
    };
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
    }).then((isWhole) => (isWhole ? undefined : again()), again);
  }
}

/** What stands in the way of a step comes before what is only to be stored. */
function classOf(record: PodRecord | undefined): WorkClass {
  if (record === undefined) return { tenant: '', isUrgent: false };
  return { tenant: record.pod.namespace, isUrgent: !isTerminal(record.pod) };
}
