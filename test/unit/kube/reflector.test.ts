import { describe, expect, it } from 'vitest';
import { type Reflector, type ReflectorOptions, startReflector } from '../../../src/kube/reflector.ts';
import {
  type KubeFailure,
  type KubeObject,
  type KubeWatchApi,
  type Page,
  type PageOptions,
  RESOURCES,
  type WatchEnd,
  type WatchEvent,
  type WatchOptions,
} from '../../../src/kube/types.ts';
import { fail, memoryLog } from './memory-kube.ts';

/** One call that the reflector made and that waits for an answer. */
type Call =
  | { verb: 'list'; options: PageOptions; answer: (page: Page | KubeFailure) => void }
  | { verb: 'watch'; options: WatchOptions; tell: (event: WatchEvent) => void; end: (end: WatchEnd) => void };

/** An API server that answers when the test says so. */
class ScriptedKube implements Pick<KubeWatchApi, 'listPage' | 'watch'> {
  readonly #calls: Call[] = [];
  readonly #waiting: ((call: Call) => void)[] = [];

  listPage: KubeWatchApi['listPage'] = (_where, options) =>
    new Promise((resolve) => {
      const answer = (page: Page | KubeFailure) => resolve('ok' in page ? page : { ok: true, value: page });
      options.signal?.addEventListener('abort', () => answer(fail(0, 'Aborted', 'given up')));
      this.#push({ verb: 'list', options, answer });
    });

  watch: KubeWatchApi['watch'] = (_where, options, tell) =>
    new Promise((resolve) => {
      options.signal.addEventListener('abort', () => resolve(fail(0, 'Aborted', 'given up')));
      this.#push({ verb: 'watch', options, tell, end: resolve });
    });

  async list(): Promise<Extract<Call, { verb: 'list' }>> {
    const call = await this.#next();
    if (call.verb !== 'list') throw new Error(`expected a list, got a watch from ${call.options.resourceVersion}`);
    return call;
  }

  async watching(): Promise<Extract<Call, { verb: 'watch' }>> {
    const call = await this.#next();
    if (call.verb !== 'watch') throw new Error('expected a watch, got a list');
    return call;
  }

  #push(call: Call): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(call);
    else this.#calls.push(call);
  }

  #next(): Promise<Call> {
    const call = this.#calls.shift();
    return call ? Promise.resolve(call) : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function pod(
  name: string,
  resourceVersion: number,
  more: { uid?: string; labels?: Record<string, string> } = {},
): KubeObject {
  const { uid = `uid-${name}`, labels = {} } = more;
  return { kind: 'Pod', metadata: { namespace: 'ns', name, uid, labels, resourceVersion: String(resourceVersion) } };
}

function page(resourceVersion: number, items: KubeObject[], more?: string): Page {
  return { items, resourceVersion: String(resourceVersion), continue: more };
}

const name = (object: KubeObject) => object.metadata?.name;
const version = (object: KubeObject) => object.metadata?.resourceVersion;

function start(options: Partial<ReflectorOptions<KubeObject>> = {}) {
  const kube = new ScriptedKube();
  const told: string[] = [];
  const log = memoryLog();
  const reflector: Reflector<KubeObject> = startReflector<KubeObject>({
    kube,
    resource: RESOURCES.pods,
    log,
    on: {
      upsert: (object, old) =>
        told.push(`${old ? 'change' : 'add'} ${name(object)}@${version(object)}${old ? ` from ${version(old)}` : ''}`),
      remove: (object) => told.push(`remove ${name(object)}@${version(object)}`),
    },
    timing: { firstBackoffMs: 1, mostBackoffMs: 4, random: () => 0.5 },
    ...options,
  });
  return { kube, told, log, reflector, take: () => told.splice(0) };
}

describe('startReflector', () => {
  it('tells of a list page by page, and is synced after the last page alone', async () => {
    const { kube, reflector, take } = start();
    const first = await kube.list();
    expect(first.options).toMatchObject({ limit: 500, continue: undefined });
    first.answer(page(10, [pod('a', 1), pod('b', 2)], 'token'));
    const second = await kube.list();
    expect(second.options.continue).toBe('token');
    expect(take()).toEqual(['add a@1', 'add b@2']);
    expect(reflector.isSynced).toBe(false);
    second.answer(page(10, [pod('c', 3)]));
    const watch = await kube.watching();
    expect(watch.options.resourceVersion).toBe('10');
    expect(take()).toEqual(['add c@3']);
    expect(reflector.isSynced).toBe(true);
    expect([...reflector.values()].map(name)).toEqual(['a', 'b', 'c']);
    expect(reflector.get('ns', 'b')).toMatchObject({ metadata: { resourceVersion: '2' } });
    expect(reflector.get('other', 'b')).toBeUndefined();
    await reflector.stop();
  });

  it('takes up a lost connection from the last event, bookmarks included, without a list', async () => {
    const { kube, reflector, take } = start();
    (await kube.list()).answer(page(10, [pod('a', 1)]));
    const watch = await kube.watching();
    watch.tell({ type: 'MODIFIED', object: pod('a', 11) });
    watch.tell({ type: 'BOOKMARK', object: { kind: 'Pod', metadata: { resourceVersion: '20' } } });
    watch.end(fail(0, 'Unreachable', 'read ECONNRESET'));
    expect((await kube.watching()).options.resourceVersion).toBe('20');
    expect(take()).toEqual(['add a@1', 'change a@11 from 1']);
    await reflector.stop();
  });

  it('tells when it last heard of anything: a list, an event or a bookmark, and no failure', async () => {
    const { kube, reflector } = start();
    (await kube.list()).answer(page(10, []));
    const watch = await kube.watching();
    const listedMs = reflector.heardAtMs;
    watch.tell({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '20' } } });
    const bookmarkMs = reflector.heardAtMs;
    expect(bookmarkMs).toBeGreaterThan(listedMs);
    watch.end(fail(0, 'Unreachable', 'read ECONNRESET'));
    await kube.watching();
    expect(reflector.heardAtMs).toBe(bookmarkMs);
    await reflector.stop();
  });

  it.each([
    ['silence', fail(0, 'Silence', 'nothing came')],
    ['a busy API server', fail(429, 'TooManyRequests', 'later')],
    ['a proxy without a server behind it', fail(503, 'ServiceUnavailable', 'none')],
    ['a peaceful end', { ok: true } as const],
  ])('watches on after %s', async (_, end) => {
    const { kube, reflector } = start();
    (await kube.list()).answer(page(10, []));
    (await kube.watching()).end(end);
    expect((await kube.watching()).options.resourceVersion).toBe('10');
    await reflector.stop();
  });

  it.each([
    ['410 Gone', fail(410, 'Expired', 'too old resource version')],
    ['a refusal', fail(403, 'Forbidden', 'no')],
    ['an unreadable event', fail(0, 'Unreadable', 'no JSON')],
    ['a resource version of the future', fail(504, 'Timeout', 'Too large resource version')],
  ])('lists anew after %s, and tells of the difference alone', async (_, end) => {
    const { kube, reflector, take } = start();
    (await kube.list()).answer(page(10, [pod('stays', 1), pod('changes', 2), pod('goes', 3), pod('again', 4)]));
    const watch = await kube.watching();
    take();
    watch.end(end);
    (await kube.list()).answer(
      page(50, [pod('stays', 1), pod('changes', 42), pod('again', 44, { uid: 'other' }), pod('new', 45)]),
    );
    expect((await kube.watching()).options.resourceVersion).toBe('50');
    expect(take()).toEqual([
      'change changes@42 from 2',
      'remove again@4',
      'add again@44',
      'add new@45',
      'remove goes@3',
    ]);
    expect(reflector.size).toBe(4);
    await reflector.stop();
  });

  it('lists anew when the API server tells of an earlier state than before', async () => {
    const { kube, reflector, take } = start();
    (await kube.list()).answer(page(1000, [pod('a', 900)]));
    const watch = await kube.watching();
    take();
    watch.tell({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '999' } } });
    watch.tell({ type: 'MODIFIED', object: pod('a', 1001) });
    (await kube.list()).answer(page(999, [pod('a', 850)]));
    expect((await kube.watching()).options.resourceVersion).toBe('999');
    expect(take()).toEqual(['change a@850 from 900']);
    await reflector.stop();
  });

  it('keeps what transform makes of an object, and lets go of what it drops', async () => {
    const { kube, reflector, take } = start({
      transform: (object) => (object.metadata?.labels?.done ? undefined : { metadata: { ...object.metadata } }),
    });
    (await kube.list()).answer(page(10, [pod('a', 1), pod('b', 2, { labels: { done: 'yes' } })]));
    const watch = await kube.watching();
    expect(take()).toEqual(['add a@1']);
    expect(reflector.get('ns', 'a')).not.toHaveProperty('kind');
    watch.tell({ type: 'MODIFIED', object: pod('a', 11, { labels: { done: 'yes' } }) });
    watch.tell({ type: 'DELETED', object: pod('a', 12, { labels: { done: 'yes' } }) });
    watch.tell({ type: 'MODIFIED', object: pod('b', 13) });
    watch.tell({ type: 'DELETED', object: pod('b', 14) });
    expect(take()).toEqual(['remove a@1', 'add b@13', 'remove b@14']);
    expect(reflector.size).toBe(0);
    await reflector.stop();
  });

  it('asks for larger pages when the list expired between two of them', async () => {
    const { kube, reflector, take } = start({ pageLimit: 50 });
    (await kube.list()).answer(page(10, [pod('a', 1)], 'token'));
    (await kube.list()).answer(fail(410, 'Expired', 'the provided continue parameter is too old'));
    const again = await kube.list();
    expect(again.options).toMatchObject({ limit: 100, continue: undefined });
    again.answer(page(90, [pod('b', 80)]));
    await kube.watching();
    expect(take()).toEqual(['add a@1', 'add b@80', 'remove a@1']);
    await reflector.stop();
  });

  it('waits longer from one failure to the next, and says so', async () => {
    const { kube, reflector, log } = start();
    for (let failure = 0; failure < 4; failure += 1) (await kube.list()).answer(fail(0, 'Unreachable', 'refused'));
    await kube.list();
    expect(log.lines.map(({ level, fields }) => [level, fields.waitMs])).toEqual([
      ['warn', 0.75],
      ['warn', 1.5],
      ['warn', 3],
      ['warn', 3],
    ]);
    await reflector.stop();
  });

  it('takes a kind that is not there for an empty one where it may be, and finds it later', async () => {
    const { kube, reflector, log, take } = start({ isAbsentEmpty: true });
    (await kube.list()).answer(fail(404, 'NotFound', 'the server could not find the requested resource'));
    const later = await kube.list();
    expect(reflector.isSynced).toBe(true);
    later.answer(page(10, [pod('a', 1)]));
    await kube.watching();
    expect(take()).toEqual(['add a@1']);
    expect(log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
    await reflector.stop();
  });

  it('is not synced by a kind that is not there otherwise', async () => {
    const { kube, reflector } = start();
    (await kube.list()).answer(fail(404, 'NotFound', 'no such resource'));
    await kube.list();
    expect(reflector.isSynced).toBe(false);
    await reflector.stop();
  });

  it('survives a handler and a transform that throw', async () => {
    const { kube, reflector, log } = start({
      transform: (object) => {
        if (name(object) === 'bad') throw new Error('transform');
        return object;
      },
      on: {
        upsert: () => {
          throw new Error('handler');
        },
      },
    });
    (await kube.list()).answer(page(10, [pod('bad', 1), pod('a', 2)]));
    await kube.watching();
    expect(log.lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
      'error: transform failed',
      'error: a handler failed',
    ]);
    expect(reflector.size).toBe(1);
    await reflector.stop();
  });

  it('tells of nothing after stop, and calls sync once', async () => {
    let synced = 0;
    const onSync = () => {
      synced += 1;
    };
    const { kube, reflector, take } = start({ onSync });
    (await kube.list()).answer(page(10, []));
    (await kube.watching()).end(fail(410, 'Expired', 'old'));
    (await kube.list()).answer(page(11, []));
    const watch = await kube.watching();
    const stopped = reflector.stop();
    watch.tell({ type: 'ADDED', object: pod('late', 12) });
    await stopped;
    expect(watch.options.signal.aborted).toBe(true);
    expect(take()).toEqual([]);
    expect(synced).toBe(1);
  });

  it('stops in the middle of a list and of a wait', async () => {
    const listing = start();
    await listing.kube.list();
    await listing.reflector.stop();
    const waiting = start({ timing: { firstBackoffMs: 3_600_000, mostBackoffMs: 3_600_000, random: () => 0 } });
    (await waiting.kube.list()).answer(fail(0, 'Unreachable', 'refused'));
    await waiting.reflector.stop();
    expect(listing.take()).toEqual([]);
  });
});
