import { beforeEach, describe, expect, it } from 'vitest';
import { CACHE_LABEL } from '../../../src/argo/names.ts';
import { type CacheWriter, createCacheWriter } from '../../../src/cache/cache-writer.ts';
import { dataKeyFor } from '../../../src/cache/data-key.ts';
import { type Entry, parseEntry, serializeEntry } from '../../../src/cache/entry.ts';
import { type KubeFailure, RESOURCES } from '../../../src/kube/types.ts';
import { type Call, fail, MemoryKube } from '../kube/memory-kube.ts';

const CONFLICT = fail(409, 'Conflict', 'the object has been modified');
const LABELS = { [CACHE_LABEL]: 'Cache' };

let kube: MemoryKube;
let waits: number[];
let writer: CacheWriter;

beforeEach(() => {
  kube = new MemoryKube();
  waits = [];
  writer = newWriter();
});

function entryOf(value: string, creationTimestamp = '2026-03-01T11:59:00Z'): Entry {
  return {
    nodeID: 'n',
    outputs: { parameters: [{ name: 'p', value }] },
    creationTimestamp,
    lastHitTimestamp: creationTimestamp,
  };
}

/** Of a process of its own, which knows nothing of others' writes. */
function newWriter(): CacheWriter {
  return createCacheWriter(kube, { sleep: async (ms) => void waits.push(ms), random: () => 0 });
}

function write(key: string, value = 'v', cache = 'results', by = writer) {
  const meta = { podUid: 'uid', workflow: 'wf', capture: 'sidecar' } as const;
  return by.write({ namespace: 'team', cache, key, entry: entryOf(value), meta });
}

const stored = (name = 'results') => kube.peek(RESOURCES.configMaps, 'team', name);
const data = () => (stored()?.data ?? {}) as Record<string, string>;

function put(object: { labels?: Record<string, string>; data?: Record<string, string> }, metadata: object = {}) {
  return kube.put(RESOURCES.configMaps, {
    kind: 'ConfigMap',
    metadata: { namespace: 'team', name: 'results', ...(object.labels && { labels: object.labels }), ...metadata },
    ...(object.data && { data: object.data }),
  });
}

/** Does something once, just before the first call of that verb reaches the API server. */
function once(verb: Call['verb'], act: () => KubeFailure | undefined | unknown): void {
  let isDone = false;
  kube.before = (call) => {
    if (isDone || call.verb !== verb) return undefined;
    isDone = true;
    const result = act();
    return typeof result === 'object' && result !== null && 'ok' in result ? (result as KubeFailure) : undefined;
  };
}

describe('the writer', () => {
  it('makes the cache with its first entry, and adds the next one', async () => {
    expect(await write('a')).toEqual({ ok: true, outcome: 'written' });
    expect(await write('b c')).toEqual({ ok: true, outcome: 'written' });
    expect(Object.keys(data())).toEqual(['a', dataKeyFor('b c')]);
    expect(stored()?.metadata?.labels).toEqual(LABELS);
    expect(kube.calls.map(({ verb }) => verb)).toEqual(['get', 'create', 'get', 'patch']);
  });

  it('writes nothing where the entry stands already', async () => {
    await write('a');
    const before = stored();
    expect(await write('a')).toEqual({ ok: true, outcome: 'kept' });
    expect(stored()).toBe(before);
  });

  it('loses no entry when two writers make the same cache', async () => {
    expect(await Promise.all([write('a'), write('b', 'v', 'results', newWriter())])).toEqual([
      { ok: true, outcome: 'written' },
      { ok: true, outcome: 'written' },
    ]);
    expect(Object.keys(data()).sort()).toEqual(['a', 'b']);
  });

  it('loses no entry when many writers fill an empty cache', async () => {
    put({ labels: LABELS });
    const keys = Array.from({ length: 5 }, (_, number) => `k${number}`);
    const outcomes = await Promise.all(keys.map((key) => write(key, 'v', 'results', newWriter())));
    expect(outcomes.map(({ ok }) => ok)).toEqual(keys.map(() => true));
    expect(Object.keys(data()).sort()).toEqual(keys);
    expect(waits).not.toEqual([]);
  });

  it('writes to one cache in turn, and to others meanwhile', async () => {
    let current = 0;
    const most = new Map<string, number>();
    kube.before = async ({ name }) => {
      current += 1;
      most.set(name, Math.max(most.get(name) ?? 0, current));
      await new Promise((resolve) => setImmediate(resolve));
      current -= 1;
      return undefined;
    };
    const outcomes = await Promise.all(['a', 'b', 'c', 'd'].map((key) => write(key)));
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
    expect({ most: most.get('results'), waits }).toEqual({ most: 1, waits: [] });
    await Promise.all(['x', 'y', 'z'].map((cache) => write('a', 'v', cache)));
    expect(Math.max(...most.values())).toBe(3);
  });

  it('keeps what Argo wrote meanwhile by updating the whole ConfigMap', async () => {
    put({ labels: LABELS, data: { native: serializeEntry(entryOf('n')) } });
    once('patch', () => put({ labels: LABELS, data: { native: serializeEntry(entryOf('later')) } }));
    expect(await write('a')).toEqual({ ok: true, outcome: 'written' });
    expect(parseEntry(data().native ?? '')).toMatchObject({ entry: { outputs: { parameters: [{ value: 'later' }] } } });
    expect(data()).toHaveProperty('a');
  });

  it.each([
    ['the ConfigMap appears', 'create', () => put({ labels: LABELS, data: { other: '{}' } })],
    ['the create meets a namesake', 'create', () => fail(409, 'AlreadyExists', 'configmaps "results" already exists')],
  ] as const)('tries again when %s', async (_, verb, act) => {
    once(verb, act);
    expect(await write('a')).toEqual({ ok: true, outcome: 'written' });
    expect(waits).toEqual([50]);
  });

  it.each([
    ['is deleted', () => kube.drop(RESOURCES.configMaps, 'team', 'results')],
    ['is emptied', () => put({ labels: LABELS })],
    ['changes all the time', () => CONFLICT],
    ['is away for a moment', () => fail(0, 'Unreachable', 'connect ECONNREFUSED')],
    ['is too busy', () => fail(429, 'TooManyRequests', 'later')],
  ] as const)('tries again when the ConfigMap or the API server %s', async (_, act) => {
    put({ labels: LABELS, data: { other: '{}' } });
    once('patch', act);
    expect(await write('a')).toEqual({ ok: true, outcome: 'written' });
    expect(data()).toHaveProperty('a');
  });

  it('never writes a ConfigMap whose label goes away under it', async () => {
    put({ labels: LABELS, data: { other: '{}' } });
    once('patch', () => put({ labels: {}, data: { other: '{}' } }));
    expect(await write('a')).toMatchObject({ ok: false, reason: 'cache-unlabeled', isPassing: false });
    expect(data()).toEqual({ other: '{}' });
  });

  it('waits for the label of a cache that Argo is just making', async () => {
    put({});
    let reads = 0;
    kube.before = ({ verb }) => {
      if (verb === 'get') reads += 1;
      if (verb === 'get' && reads === 3) put({ labels: LABELS, data: { native: '{}' } });
      return undefined;
    };
    expect(await write('a')).toEqual({ ok: true, outcome: 'written' });
    expect(Object.keys(data())).toEqual(['native', 'a']);
  });

  it('gives up on one that never gets its label', async () => {
    put({});
    expect(await write('a')).toMatchObject({ ok: false, reason: 'cache-unlabeled' });
    expect(waits).toEqual([50, 100, 200, 400, 800, 1600, 1600, 1600]);
    expect(stored()).not.toHaveProperty('data');
  });

  it.each([
    ['Forbidden', fail(403, 'Forbidden', 'configmaps is forbidden: exceeded quota'), 'write-failed'],
    ['Invalid', fail(422, 'Invalid', 'ConfigMap "results" is invalid: data: field is immutable'), 'write-failed'],
    ['no such namespace', fail(404, 'NotFound', 'namespaces "team" not found'), 'write-failed'],
    [
      'larger than planned',
      fail(422, 'Invalid', 'ConfigMap "results" is invalid: []: Too long: may not be more than 1048576 bytes'),
      'cache-full',
    ],
    ['too large for etcd', fail(500, '', 'etcdserver: request is too large'), 'cache-full'],
  ])('ends with what the API server says: %s', async (_, failure, reason) => {
    kube.before = ({ verb }) => (verb === 'create' ? failure : undefined);
    const outcome = await write('a');
    expect(outcome).toMatchObject({ ok: false, reason, isPassing: false });
    expect(outcome).toHaveProperty('message', expect.stringContaining(failure.message));
    expect(waits).toEqual([]);
  });

  it('gives up after a bounded number of conflicts, and says that it may pass where the API server is away', async () => {
    put({ labels: LABELS, data: { other: '{}' } });
    kube.before = ({ verb }) => (verb === 'patch' ? CONFLICT : undefined);
    expect(await write('a')).toMatchObject({ ok: false, reason: 'write-failed', isPassing: false });
    expect(waits).toHaveLength(8);
    kube.before = () => fail(0, 'Unreachable', 'connect ECONNREFUSED');
    expect(await write('a')).toMatchObject({ ok: false, reason: 'write-failed', isPassing: true });
  });

  it('never says what an entry holds', async () => {
    put({ labels: LABELS, data: { other: 'x'.repeat(1024 * 1024 - 10) } });
    const outcome = await write('a', 'SECRET');
    expect(outcome).toMatchObject({ ok: false, reason: 'cache-full' });
    expect(JSON.stringify(outcome)).not.toContain('SECRET');
  });

  it('writes what waits for one cache by one change', async () => {
    const keys = Array.from({ length: 100 }, (_, number) => `k${number}`);
    const outcomes = await Promise.all(keys.map((key) => write(key)));
    expect(outcomes).toEqual(keys.map(() => ({ ok: true, outcome: 'written' })));
    expect(Object.keys(data())).toHaveLength(100);
    // The first alone, then 64 and 35.
    expect(kube.calls.map(({ verb }) => verb)).toEqual(['get', 'create', 'get', 'patch', 'get', 'patch']);
  });

  it('finds the one entry that a change is refused for, and writes the others', async () => {
    put({ labels: LABELS, data: { other: '{}' } });
    kube.before = ({ verb, patch }) => {
      const isBad = verb === 'patch' && JSON.stringify(patch).includes('/data/bad');
      return isBad ? fail(422, 'Invalid', 'ConfigMap "results" is invalid: no') : undefined;
    };
    const keys = ['a', 'b', 'c', 'bad', 'd', 'e', 'f', 'g'];
    const outcomes = await Promise.all(keys.map((key) => write(key)));
    expect(outcomes.map(({ ok }) => ok)).toEqual(keys.map((key) => key !== 'bad'));
    expect(Object.keys(data()).sort()).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'other']);
    expect(waits).toEqual([]);
  });

  it('fills a cache with those that have room, in their order', async () => {
    put({ labels: LABELS, data: { other: 'x'.repeat(1024 * 1024 - 2_000) } });
    const [first, large, small] = await Promise.all([write('a'), write('b', 'x'.repeat(5_000)), write('c')]);
    expect([first.ok, large, small.ok]).toEqual([true, expect.objectContaining({ reason: 'cache-full' }), true]);
  });

  it('lets a cache that others contend for hold up no other', async () => {
    const order: string[] = [];
    const slow = put({ labels: LABELS, data: { other: '{}' } });
    kube.before = ({ verb, name }) => (verb === 'patch' && name === 'results' ? CONFLICT : undefined);
    const busy = Promise.all(Array.from({ length: 50 }, (_, number) => write(`k${number}`))).then((outcomes) => {
      order.push('contended');
      return outcomes;
    });
    await write('a', 'v', 'quiet').then(() => order.push('quiet'));
    expect((await busy).every(({ ok }) => !ok)).toBe(true);
    expect(order).toEqual(['quiet', 'contended']);
    expect(stored()).toBe(slow);
  });

  it('ends in an outcome even where it fails itself', async () => {
    kube.before = () => {
      throw new Error('a bug');
    };
    expect(await write('a')).toMatchObject({ ok: false, reason: 'write-failed', message: 'a bug' });
  });

  it('settles as soon as nothing is under way, and leaves no timer', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    await writer.settle(3_600_000);
    const writing = write('a');
    await writer.settle(3_600_000);
    expect(await writing).toEqual({ ok: true, outcome: 'written' });
    expect(timers()).toBe(before);
  });
});
