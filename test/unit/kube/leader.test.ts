import { afterEach, describe, expect, it } from 'vitest';
import { type ElectionClock, runLeaderElection } from '../../../src/kube/leader.ts';
import { RESOURCES } from '../../../src/kube/types.ts';
import { fail, MemoryKube } from './memory-kube.ts';

/** Time that passes when the test says so. */
class ManualClock implements ElectionClock {
  #nowMs = 0;
  #sleepers: { untilMs: number; wake: () => void }[] = [];

  nowMs = () => this.#nowMs;
  date = () => new Date(Date.UTC(2026, 0, 1) + this.#nowMs);

  sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const sleeper = { untilMs: this.#nowMs + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        resolve();
      });
    });

  /** Lets time pass in small steps, so that whatever is woken does its work at its own time. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    while (this.#nowMs < endMs) {
      this.#nowMs = Math.min(endMs, this.#nowMs + 50);
      const due = this.#sleepers.filter(({ untilMs }) => untilMs <= this.#nowMs);
      this.#sleepers = this.#sleepers.filter(({ untilMs }) => untilMs > this.#nowMs);
      for (const { wake } of due) wake();
      await settle();
    }
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const LEASE_MS = 6_000;
const running: AbortController[] = [];

afterEach(() => {
  for (const abort of running.splice(0)) abort.abort();
});

/** One replica; `isLeading` as it was told. `wire` is what lies between it and the API server. */
function replica(
  identity: string,
  kube: MemoryKube,
  clock: ManualClock,
  wire: { isCut: boolean; hangs?: boolean; isStale?: boolean },
) {
  const abort = new AbortController();
  running.push(abort);
  const state = { isLeading: false, starts: 0, stops: 0 };
  const through = <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    ((...args: A) => {
      if (wire.hangs) return new Promise<R>(() => {});
      return wire.isCut ? Promise.resolve(fail(0, 'Unreachable', 'cut') as R) : call.apply(kube, args);
    }) as (...args: A) => Promise<R>;
  const done = runLeaderElection({
    kube: { get: through(kube.get), create: through(kube.create), patch: through(kube.patch) },
    namespace: 'stepmemo',
    name: 'stepmemo',
    identity,
    leaseDurationMs: LEASE_MS,
    onStart: () => {
      state.isLeading = true;
      state.starts += 1;
    },
    onStop: () => {
      state.isLeading = false;
      state.stops += 1;
    },
    isStale: () => wire.isStale === true,
    signal: abort.signal,
    clock,
    random: () => 0,
  });
  const stop = () => {
    abort.abort();
    return done;
  };
  return { state, wire, stop };
}

const lease = (kube: MemoryKube) => kube.peek(RESOURCES.leases, 'stepmemo', 'stepmemo')?.spec;

describe('runLeaderElection', () => {
  it('makes the Lease and leads', async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const one = replica('one', kube, clock, { isCut: false });
    await settle();
    expect(one.state.isLeading).toBe(true);
    expect(lease(kube)).toEqual({
      holderIdentity: 'one',
      leaseDurationSeconds: 6,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:00.000000Z',
      leaseTransitions: 0,
    });
    await clock.pass(3_000);
    expect(lease(kube)).toMatchObject({
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:03.000000Z',
    });
  });

  it('has one leader of many', async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const replicas = ['a', 'b', 'c', 'd'].map((name) => replica(name, kube, clock, { isCut: false }));
    for (let step = 0; step < 40; step += 1) {
      await clock.pass(500);
      expect(replicas.filter(({ state }) => state.isLeading)).toHaveLength(1);
    }
    expect(replicas.reduce((sum, { state }) => sum + state.starts, 0)).toBe(1);
  });

  it('gives the lease back when it stops, so that the next one leads at its next try', async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const one = replica('one', kube, clock, { isCut: false });
    await settle();
    const two = replica('two', kube, clock, { isCut: false });
    await clock.pass(500);
    await one.stop();
    expect(one.state).toEqual({ isLeading: false, starts: 1, stops: 1 });
    expect(lease(kube)).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 });
    await clock.pass(LEASE_MS / 6);
    expect(two.state.isLeading).toBe(true);
    expect(lease(kube)).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
  });

  it.each([
    ['cut off', { isCut: true }],
    ['left hanging', { isCut: false, hangs: true }],
  ])('steps down, when %s, before the other one takes over, and stands again later', async (_, trouble) => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const one = replica('one', kube, clock, { isCut: false });
    await settle();
    const two = replica('two', kube, clock, { isCut: false });
    await clock.pass(2_500);
    Object.assign(one.wire, trouble);
    let wasBoth = false;
    let wasNone = false;
    for (let step = 0; step < 200 && !two.state.isLeading; step += 1) {
      await clock.pass(50);
      wasBoth ||= one.state.isLeading && two.state.isLeading;
      wasNone ||= !one.state.isLeading && !two.state.isLeading;
    }
    expect({ wasBoth, wasNone, isTaken: two.state.isLeading }).toEqual({
      wasBoth: false,
      wasNone: true,
      isTaken: true,
    });
    Object.assign(one.wire, { isCut: false, hangs: false });
    await clock.pass(3_000);
    expect(one.state.isLeading).toBe(false);
    expect(two.state.isLeading).toBe(true);
  });

  it('steps down at once when it sees another holder', async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const one = replica('one', kube, clock, { isCut: false });
    await settle();
    kube.put(RESOURCES.leases, {
      metadata: { namespace: 'stepmemo', name: 'stepmemo' },
      spec: { holderIdentity: 'someone', leaseDurationSeconds: 6 },
    });
    await clock.pass(LEASE_MS / 6 + 50);
    expect(one.state).toEqual({ isLeading: false, starts: 1, stops: 1 });
  });

  it('waits for the holder’s own lease duration, by its own clock and not by the times in the Lease', async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    kube.put(RESOURCES.leases, {
      metadata: { namespace: 'stepmemo', name: 'stepmemo' },
      spec: { holderIdentity: 'gone', leaseDurationSeconds: 15, renewTime: '1999-01-01T00:00:00.000000Z' },
    });
    const one = replica('one', kube, clock, { isCut: false });
    await clock.pass(14_500);
    expect(one.state.isLeading).toBe(false);
    await clock.pass(1_600);
    expect(one.state.isLeading).toBe(true);
  });

  it('takes its own lease up again at once after a crash', async () => {
    const kube = new MemoryKube();
    kube.put(RESOURCES.leases, {
      metadata: { namespace: 'stepmemo', name: 'stepmemo' },
      spec: { holderIdentity: 'one', leaseDurationSeconds: 6, leaseTransitions: 4 },
    });
    const one = replica('one', kube, new ManualClock(), { isCut: false });
    await settle();
    expect(one.state.isLeading).toBe(true);
    expect(lease(kube)).toMatchObject({ leaseTransitions: 4 });
  });

  it('goes on leading when the Lease is deleted or touched by somebody', async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const one = replica('one', kube, clock, { isCut: false });
    await clock.pass(1_500);
    kube.drop(RESOURCES.leases, 'stepmemo', 'stepmemo');
    await clock.pass(3_000);
    const touched = kube.peek(RESOURCES.leases, 'stepmemo', 'stepmemo');
    kube.put(RESOURCES.leases, { ...touched, metadata: { ...touched?.metadata, annotations: { touched: 'yes' } } });
    await clock.pass(3_000);
    expect(one.state).toEqual({ isLeading: true, starts: 1, stops: 0 });
  });

  it('does not take what it does not hold when it stops', async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    replica('one', kube, clock, { isCut: false });
    await settle();
    const two = replica('two', kube, clock, { isCut: false });
    await clock.pass(500);
    await two.stop();
    expect(lease(kube)).toMatchObject({ holderIdentity: 'one' });
    expect(two.state).toEqual({ isLeading: false, starts: 0, stops: 0 });
  });
});

describe('a leader that has heard nothing of the cluster for long', () => {
  const annotationsOf = (kube: MemoryKube) =>
    kube.peek(RESOURCES.leases, 'stepmemo', 'stepmemo')?.metadata?.annotations ?? {};

  async function pair() {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const one = replica('one', kube, clock, { isCut: false });
    await settle();
    const other = replica('other', kube, clock, { isCut: false });
    await clock.pass(3_000);
    expect([one.state.isLeading, other.state.isLeading]).toEqual([true, false]);
    return { kube, clock, one, other };
  }

  it('gives the lease to a replica that hears, and never are there two', async () => {
    const { kube, clock, one, other } = await pair();
    one.wire.isStale = true;
    for (let ms = 0; ms < 10_000 && !other.state.isLeading; ms += 50) {
      await clock.pass(50);
      expect(one.state.isLeading && other.state.isLeading).toBe(false);
    }
    expect([one.state.isLeading, other.state.isLeading]).toEqual([false, true]);
    expect(lease(kube)).toMatchObject({ holderIdentity: 'other' });
    expect(annotationsOf(kube)).toEqual({});
  });

  it('keeps it where nobody hears more: then the API server is at fault', async () => {
    const { clock, one, other } = await pair();
    one.wire.isStale = true;
    other.wire.isStale = true;
    await clock.pass(300_000);
    expect([one.state.starts, one.state.stops, other.state.starts]).toEqual([1, 0, 0]);
  });

  it('keeps it where it hears again before anybody has asked for it', async () => {
    const { kube, clock, one, other } = await pair();
    other.wire.isStale = true;
    one.wire.isStale = true;
    await clock.pass(3_000);
    expect(Object.keys(annotationsOf(kube))).toEqual(['stepmemo.io/stale-since']);
    one.wire.isStale = false;
    await clock.pass(3_000);
    other.wire.isStale = false;
    await clock.pass(30_000);
    expect(annotationsOf(kube)).toEqual({});
    expect([one.state.isLeading, one.state.stops]).toEqual([true, 0]);
  });

  it('is not given it back within a minute, and then is', async () => {
    const { clock, one, other } = await pair();
    one.wire.isStale = true;
    await clock.pass(10_000);
    one.wire.isStale = false;
    other.wire.isStale = true;
    await clock.pass(40_000);
    expect([one.state.starts, other.state.stops]).toEqual([1, 0]);
    await clock.pass(30_000);
    expect([one.state.isLeading, other.state.isLeading]).toEqual([true, false]);
  });

  it('takes it back sooner where the other one is gone', async () => {
    const { clock, one, other } = await pair();
    one.wire.isStale = true;
    await clock.pass(10_000);
    expect(other.state.isLeading).toBe(true);
    other.wire.hangs = true;
    await clock.pass(3 * LEASE_MS);
    expect(one.state.isLeading).toBe(true);
    await clock.pass(3 * LEASE_MS);
    expect([one.state.isLeading, one.state.stops]).toEqual([true, 1]);
  });

  it('leaves annotations of others on the Lease', async () => {
    const { kube, clock, one, other } = await pair();
    await kube.patch({ resource: RESOURCES.leases, namespace: 'stepmemo', name: 'stepmemo' }, [
      { op: 'add', path: '/metadata/annotations', value: { theirs: 'x' } },
    ]);
    one.wire.isStale = true;
    await clock.pass(10_000);
    expect(other.state.isLeading).toBe(true);
    expect(annotationsOf(kube)).toEqual({ theirs: 'x' });
  });
});
