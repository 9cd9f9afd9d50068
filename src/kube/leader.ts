import { z } from 'zod';
import { sleep } from '../base/backoff.ts';
import { deepEqual } from '../base/json.ts';
import type { Log } from '../base/log.ts';
import { PREFERRED_HOLDER_ANNOTATION, STALE_ANNOTATION } from '../base/names.ts';
import { formatMicroTime } from './micro-time.ts';
import { isOvertaken, type KubeApi, type KubeObject, type KubeResult, type ObjectPath, RESOURCES } from './types.ts';

/** Time as the election sees it. Only differences count, so the clocks of the replicas need not agree. */
export interface ElectionClock {
  /** Monotonic, in milliseconds. */
  nowMs(): number;
  /** Resolves after `ms`, or as soon as the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** What is written into the Lease, for people to read. */
  date(): Date;
}

export interface ElectionOptions {
  readonly kube: Pick<KubeApi, 'get' | 'create' | 'patch'>;
  readonly namespace: string;
  /** Name of the Lease. */
  readonly name: string;
  /** Of this replica; no other may have it. */
  readonly identity: string;
  /** How long a silent leader stays leader, in milliseconds; whole seconds, for the Lease knows no others. */
  readonly leaseDurationMs: number;
  /** A leader that could not renew for so long steps down: two thirds of the lease where it is left out. */
  readonly renewDeadlineMs?: number;
  /** Time between two tries: a sixth of the lease where it is left out. */
  readonly retryPeriodMs?: number;
  /** This replica leads from now on. */
  onStart(): void;
  /** It no longer does: what it has begun must not be gone on with. */
  onStop(): void;
  /**
   * Whether this replica's view of the cluster is old. A leader that has one gives the lease to a replica that has a better one,
   * and keeps it where there is none: an API server that tells no replica anything is no reason to change.
   */
  readonly isStale?: () => boolean;
  /** Ends the election; a lease that is held is given back. */
  readonly signal: AbortSignal;
  readonly clock?: ElectionClock;
  readonly random?: () => number;
  readonly log?: Pick<Log, 'info' | 'warn' | 'debug'>;
}

const SYSTEM_CLOCK: ElectionClock = { nowMs: () => performance.now(), sleep, date: () => new Date() };
/** client-go's JitterFactor: the wait between two tries to become leader is up to this much longer. */
const JITTER = 1.2;

const leaseSpecSchema = z.object({
  holderIdentity: z.string().nullish(),
  leaseDurationSeconds: z.number().nullish(),
  acquireTime: z.string().nullish(),
  renewTime: z.string().nullish(),
  leaseTransitions: z.number().nullish(),
});
type LeaseSpec = z.infer<typeof leaseSpecSchema>;
type Annotations = Readonly<Record<string, string>>;

/** Who has given the lease to another replica does not ask for it again so soon. */
const REST_MS = 60_000;

/**
 * Leader election by a Lease, with client-go's rules (tools/leaderelection/leaderelection.go), so that kubectl and
 * people read it as any other: the holder renews; the others take over when they have seen no change for the lease's
 * duration, by their own clock; who cannot renew within the deadline steps down, before anybody else can take over.
 * Unlike there, a replica that stepped down stands again, and a holder whose view is old makes way (`isStale`). Resolves once `signal` is aborted and the lease given back.
 */
export async function runLeaderElection(options: ElectionOptions): Promise<void> {
  const election = new Election(options);
  while (!options.signal.aborted) {
    if (!(await election.acquire())) break;
    options.log?.info({ lease: options.name, identity: options.identity }, 'leading');
    options.onStart();
    try {
      await election.renew();
    } finally {
      options.log?.info({ lease: options.name, identity: options.identity }, 'no longer leading');
      options.onStop();
    }
  }
  await election.release();
}

class Election {
  readonly #options: ElectionOptions;
  readonly #clock: ElectionClock;
  readonly #path: ObjectPath;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #random: () => number;
  /** The Lease as it was last seen, and when it was first seen so. */
  #observed: { resourceVersion: string; spec: LeaseSpec; annotations: Annotations } | undefined;
  #observedAtMs = 0;
  #restUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: ElectionOptions) {
    const { namespace, name, leaseDurationMs } = options;
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#path = { resource: RESOURCES.leases, namespace, name };
    this.#renewDeadlineMs = options.renewDeadlineMs ?? (leaseDurationMs * 2) / 3;
    this.#retryPeriodMs = options.retryPeriodMs ?? leaseDurationMs / 6;
    this.#random = options.random ?? Math.random;
  }

  /** True once this replica leads; false when the election has ended. */
  async acquire(): Promise<boolean> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      if (await this.#tryOnce()) return true;
      await this.#clock.sleep(this.#retryPeriodMs * (1 + JITTER * this.#random()), signal);
    }
    return false;
  }

  /** Holds the lease; returns when it is lost or the election has ended. */
  async renew(): Promise<void> {
    const { signal, log } = this.#options;
    let renewedAtMs = this.#clock.nowMs();
    for (;;) {
      await this.#clock.sleep(this.#retryPeriodMs, signal);
      if (signal.aborted) return;
      const startMs = this.#clock.nowMs();
      const leftMs = renewedAtMs + this.#renewDeadlineMs - startMs;
      if (leftMs <= 0) break;
      // The time counts from before the call: it may have been carried out at any moment since.
      if (await this.#within(leftMs, this.#tryOnce())) renewedAtMs = startMs;
      else if (this.#isHeldByOther()) break;
      else if (this.#isToMakeWay()) return this.#makeWay();
    }
    log?.warn({ lease: this.#options.name, holder: this.#observed?.spec.holderIdentity }, 'the lease is lost');
  }

  /** Gives the lease back, so that another replica need not wait for it to run out. */
  async release(): Promise<void> {
    if (this.#observed?.spec.holderIdentity !== this.#options.identity) return;
    const now = formatMicroTime(this.#clock.date());
    const result = await this.#write({
      holderIdentity: '',
      leaseDurationSeconds: 1,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: this.#observed.spec.leaseTransitions ?? 0,
    });
    if (result.ok) this.#observe(result.value);
    else this.#options.log?.debug({ message: result.message }, 'the lease could not be given back');
  }

  #isToMakeWay(): boolean {
    const preferred = this.#observed?.annotations[PREFERRED_HOLDER_ANNOTATION];
    return preferred !== undefined && preferred !== this.#options.identity && this.#isStale();
  }

  async #makeWay(): Promise<void> {
    const { log, name } = this.#options;
    const to = this.#observed?.annotations[PREFERRED_HOLDER_ANNOTATION];
    log?.warn({ lease: name, to }, 'nothing was heard of the cluster for long; the lease goes to a replica that hears');
    this.#restUntilMs = this.#clock.nowMs() + REST_MS;
    await this.release();
  }

  #isResting(): boolean {
    return this.#clock.nowMs() < this.#restUntilMs;
  }

  #isStale(): boolean {
    return this.#options.isStale?.() === true;
  }

  /** A holder that says of itself that it hears nothing is told of a replica that does. */
  async #offer(): Promise<void> {
    const { spec, annotations = {} } = this.#observed ?? {};
    const isWanted =
      annotations[STALE_ANNOTATION] !== undefined && annotations[PREFERRED_HOLDER_ANNOTATION] === undefined;
    if (!spec || !isWanted || this.#isStale() || this.#isResting()) return;
    const result = await this.#write(spec, { ...annotations, [PREFERRED_HOLDER_ANNOTATION]: this.#options.identity });
    if (result.ok) this.#observe(result.value);
  }

  /** client-go's tryAcquireOrRenew. */
  async #tryOnce(): Promise<boolean> {
    const { identity, signal } = this.#options;
    // The holder knows the Lease already; only when that proves wrong is it read.
    if (this.#observed?.spec.holderIdentity !== identity && !(await this.#read())) return false;
    if (signal.aborted) return false;
    const observed = this.#observed;
    if (observed && this.#isHeldByOther() && !this.#hasRunOut()) {
      await this.#offer();
      return false;
    }
    if (observed?.spec.holderIdentity === '' && this.#isResting()) return false;
    const result = observed
      ? await this.#write(this.#claim(observed.spec), this.#stale(observed.annotations))
      : await this.#create();
    if (!result.ok) {
      this.#options.log?.debug({ status: result.status, message: result.message }, 'could not acquire the lease');
      if (isOvertaken(result) || result.status === 404) await this.#read();
      return false;
    }
    this.#observe(result.value);
    return true;
  }

  /** False where the API server did not answer. A Lease that is not there is an answer. */
  async #read(): Promise<boolean> {
    const result = await this.#options.kube.get(this.#path);
    if (result.ok) this.#observe(result.value);
    else if (result.status === 404) this.#observed = undefined;
    else this.#options.log?.debug({ status: result.status, message: result.message }, 'the lease could not be read');
    return result.ok || result.status === 404;
  }

  #observe(lease: KubeObject): void {
    const spec = leaseSpecSchema.safeParse(lease.spec ?? {});
    const { resourceVersion = '', annotations = {} } = lease.metadata ?? {};
    if (this.#observed?.resourceVersion === resourceVersion) return;
    // What others write beside the spec says nothing of whether the holder lives.
    const isRenewed = !spec.success || !deepEqual(spec.data, this.#observed?.spec);
    this.#observed = { resourceVersion, annotations, spec: spec.success ? spec.data : {} };
    if (isRenewed) this.#observedAtMs = this.#clock.nowMs();
  }

  #isHeldByOther(): boolean {
    const holder = this.#observed?.spec.holderIdentity ?? '';
    return holder !== '' && holder !== this.#options.identity;
  }

  #hasRunOut(): boolean {
    const durationMs = (this.#observed?.spec.leaseDurationSeconds ?? 0) * 1000;
    return this.#observedAtMs + durationMs <= this.#clock.nowMs();
  }

  #claim(previous: LeaseSpec): LeaseSpec {
    const { identity, leaseDurationMs } = this.#options;
    const now = formatMicroTime(this.#clock.date());
    const isMine = previous.holderIdentity === identity;
    const transitions = previous.leaseTransitions ?? 0;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.max(1, Math.round(leaseDurationMs / 1000)),
      acquireTime: isMine ? (previous.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: isMine ? transitions : transitions + 1,
    };
  }

  /** What the annotations of a lease are to be that this replica claims: ours say something of its holder alone. */
  #stale(annotations: Annotations): Annotations {
    const { [STALE_ANNOTATION]: since, [PREFERRED_HOLDER_ANNOTATION]: _, ...others } = annotations;
    if (!this.#isStale()) return others;
    const isMine = this.#observed?.spec.holderIdentity === this.#options.identity;
    const known = isMine ? since : undefined;
    return { ...others, [STALE_ANNOTATION]: known ?? formatMicroTime(this.#clock.date()) };
  }

  #write(spec: LeaseSpec, annotations?: Annotations): Promise<KubeResult<KubeObject>> {
    const { resourceVersion = '', annotations: before = {} } = this.#observed ?? {};
    const isChanged = annotations !== undefined && !deepEqual(annotations, before);
    return this.#options.kube.patch(this.#path, [
      { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
      { op: 'add', path: '/spec', value: spec },
      ...(isChanged ? [{ op: 'add' as const, path: '/metadata/annotations', value: annotations }] : []),
    ]);
  }

  #create(): Promise<KubeResult<KubeObject>> {
    const { namespace, name } = this.#options;
    return this.#options.kube.create(this.#path, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: { ...this.#claim({}), leaseTransitions: 0 },
    });
  }

  /** What comes of the attempt, or false when the time is over or the election has ended first. */
  async #within(ms: number, attempt: Promise<boolean>): Promise<boolean> {
    const over = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, over.signal]);
    try {
      return await Promise.race([attempt, this.#clock.sleep(ms, signal).then(() => false)]);
    } finally {
      over.abort();
    }
  }
}
