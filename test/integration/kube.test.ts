import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CACHE_LABEL } from '../../src/argo/names.ts';
import { watchCluster } from '../../src/informers/watch-cluster.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { runLeaderElection } from '../../src/kube/leader.ts';
import { type Reflector, type ReflectorOptions, startReflector } from '../../src/kube/reflector.ts';
import { type KubeObject, type KubeWatchApi, RESOURCES } from '../../src/kube/types.ts';
import { memoryLog } from '../unit/kube/memory-kube.ts';
import { clusterInfo, createNamespace, kubeAs, must, type TestKube, waitFor } from './harness.ts';

/** The way to the API server, with a switch: cut, closed, or silent in the middle of everything. */
class Wire {
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  readonly #target: URL;
  connections = 0;
  isClosed = false;

  constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((near) => {
      if (this.isClosed) return near.resetAndDestroy();
      this.connections += 1;
      const far = dial(Number(this.#target.port), this.#target.hostname);
      const pair: [Socket, Socket] = [near, far];
      this.#pairs.add(pair);
      near.pipe(far);
      far.pipe(near);
      for (const [socket, other] of [pair, [far, near] as const]) {
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          other.destroy();
          this.#pairs.delete(pair);
        });
      }
    });
  }

  async open(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  get live(): number {
    return this.#pairs.size;
  }

  cut(): void {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  /** Nothing gets through any more on the connections that there are, and nobody is told. */
  silence(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.resume();
      far.resume();
    }
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

let admin: TestKube;
let namespace: string;
let wire: Wire;
let kube: KubeWatchApi;
let configNumber = 0;
const reflectors: Reflector<unknown>[] = [];

beforeAll(async () => {
  admin = await kubeAs('admin');
  namespace = await createNamespace();
});

beforeEach(async () => {
  ({ wire, kube } = await connectBy('adminKubeconfig'));
});

afterEach(async () => {
  await Promise.all(reflectors.splice(0).map((reflector) => reflector.stop()));
  kube.close();
  wire.close();
});

/** The product's own client, through a wire of its own. */
async function connectBy(which: 'adminKubeconfig' | 'serverKubeconfig'): Promise<{ wire: Wire; kube: KubeWatchApi }> {
  const text = await readFile(clusterInfo()[which], 'utf8');
  const newWire = new Wire(new URL(admin.server));
  const port = await newWire.open();
  const file = join(clusterInfo().scratch, `wire-${process.pid}-${configNumber++}.kubeconfig`);
  await writeFile(file, text.replace(admin.server, `https://127.0.0.1:${port}`));
  return { wire: newWire, kube: createKubeApi(file) };
}

function configMap(name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels }, data };
}

const configMaps = () => ({ resource: RESOURCES.configMaps, namespace });
const at = (name: string) => ({ ...configMaps(), name });
const create = async (name: string, labels: Record<string, string>) =>
  must(await admin.create(configMaps(), configMap(name, { v: '0' }, labels)));
const change = async (name: string, v: string) =>
  must(await admin.patch(at(name), [{ op: 'add', path: '/data/v', value: v }]));

/** A reflector of this test's ConfigMaps, and what it was told of, in order. */
function reflect(test: string, more: Partial<ReflectorOptions<KubeObject>> = {}) {
  const told: string[] = [];
  const lists: string[] = [];
  const counting: Pick<KubeWatchApi, 'listPage' | 'watch'> = {
    listPage: (where, options) => {
      lists.push(options.continue ?? 'first');
      return (more.kube ?? kube).listPage(where, options);
    },
    watch: (...args) => (more.kube ?? kube).watch(...args),
  };
  const value = ({ metadata, data, reason }: KubeObject) =>
    `${metadata?.name}=${(data as { v?: string })?.v ?? reason}`;
  const log = memoryLog();
  const reflector = startReflector<KubeObject>({
    resource: RESOURCES.configMaps,
    namespace,
    labelSelector: `test=${test}`,
    log,
    on: {
      upsert: (object, old) => told.push(`${old ? 'change' : 'add'} ${value(object)}`),
      remove: (object) => told.push(`remove ${value(object)}`),
    },
    timing: { firstBackoffMs: 50, mostBackoffMs: 400 },
    ...more,
    kube: counting,
  });
  reflectors.push(reflector);
  return { reflector, told, lists, log };
}

const isTold = (told: string[], what: string) => waitFor(() => told.includes(what), { what });

describe('the client', () => {
  it('makes all calls of a hit on one connection', async () => {
    await create('calls', {});
    for (let call = 0; call < 20; call += 1) {
      must(await kube.patch(at('calls'), [{ op: 'add', path: '/data/v', value: String(call) }]));
    }
    expect(wire.connections).toBe(1);
  });

  it('gives a failed test, an invalid key and a missing object as what they are', async () => {
    await create('failures', {});
    const failed = await kube.patch(at('failures'), [{ op: 'test', path: '/data/v', value: 'other' }]);
    expect(failed).toMatchObject({ ok: false, status: 422, reason: 'Invalid' });
    expect(failed).toHaveProperty('message', 'the server rejected our request due to an error in our request');
    const invalid = await kube.patch(at('failures'), [{ op: 'add', path: '/data/a b', value: '' }]);
    expect(invalid).toMatchObject({ ok: false, status: 422, reason: 'Invalid' });
    expect(invalid).toHaveProperty('message', expect.stringContaining('a valid config key must consist of'));
    expect(await kube.get(at('nobody'))).toMatchObject({ ok: false, status: 404, reason: 'NotFound' });
    expect(await kube.remove(at('failures'), { uid: 'other' })).toMatchObject({ ok: false, status: 409 });
  });

  it('reads metadata alone when told so', async () => {
    await create('metadata', {});
    const object = must(await kube.get(at('metadata'), { metadataOnly: true }));
    expect(object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'metadata' } });
    expect(object).not.toHaveProperty('data');
  });

  it('lists with apiVersion and kind in the items', async () => {
    const [item] = must(await kube.list({ resource: RESOURCES.configMaps, namespace }));
    expect(item).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
  });
});

describe('the reflector', () => {
  it('follows additions, changes, deletions and labels, in pages', async () => {
    const labels = { test: 'follow' };
    for (const name of ['follow-a', 'follow-b', 'follow-c']) await create(name, labels);
    const { reflector, told, lists } = reflect('follow', { pageLimit: 2 });
    await waitFor(() => reflector.isSynced, { what: 'sync' });
    expect(told).toEqual(['add follow-a=0', 'add follow-b=0', 'add follow-c=0']);
    expect(lists).toHaveLength(2);
    told.length = 0;
    await change('follow-a', '1');
    must(await admin.remove(at('follow-b')));
    must(await admin.patch(at('follow-c'), [{ op: 'remove', path: '/metadata/labels/test' }]));
    await create('follow-d', labels);
    await isTold(told, 'add follow-d=0');
    expect(told).toEqual(['change follow-a=1', 'remove follow-b=0', 'remove follow-c=0', 'add follow-d=0']);
  });

  it('takes a cut connection up again where it broke off', async () => {
    await create('cut', { test: 'cut' });
    const { told, lists } = reflect('cut');
    await isTold(told, 'add cut=0');
    for (const v of ['1', '2', '3']) {
      wire.cut();
      await change('cut', v);
      await isTold(told, `change cut=${v}`);
    }
    expect(lists).toEqual(['first']);
    expect(told).toEqual(['add cut=0', 'change cut=1', 'change cut=2', 'change cut=3']);
  });

  it('catches up after the API server was away', async () => {
    await create('away-a', { test: 'away' });
    await create('away-b', { test: 'away' });
    const { told, log } = reflect('away');
    await isTold(told, 'add away-b=0');
    told.length = 0;
    wire.isClosed = true;
    wire.cut();
    await waitFor(() => log.lines.some(({ level }) => level === 'warn'), { what: 'a warning' });
    await change('away-a', '1');
    must(await admin.remove(at('away-b')));
    await create('away-c', { test: 'away' });
    expect(told).toEqual([]);
    wire.isClosed = false;
    await isTold(told, 'add away-c=0');
    expect(told).toEqual(['change away-a=1', 'remove away-b=0', 'add away-c=0']);
  });

  it('starts before the API server is there', async () => {
    await create('early', { test: 'early' });
    wire.isClosed = true;
    const { reflector, told, log } = reflect('early');
    await waitFor(() => log.lines.length > 1, { what: 'two failed lists' });
    expect(reflector.isSynced).toBe(false);
    wire.isClosed = false;
    await isTold(told, 'add early=0');
  });

  it('notices a connection that fell silent', async () => {
    await create('silent', { test: 'silent' });
    const { told } = reflect('silent', { timing: { firstBackoffMs: 50, mostBackoffMs: 400, idleLimitMs: 1_500 } });
    await isTold(told, 'add silent=0');
    await waitFor(() => wire.live >= 2, { what: 'the watch' });
    wire.silence();
    await change('silent', '1');
    await isTold(told, 'change silent=1');
  });

  it('goes on after the API server has ended the watch, without a list', async () => {
    await create('ended', { test: 'ended' });
    let watches = 0;
    const counting: Pick<KubeWatchApi, 'listPage' | 'watch'> = {
      listPage: (...args) => kube.listPage(...args),
      watch: (...args) => {
        watches += 1;
        return kube.watch(...args);
      },
    };
    const { told, lists } = reflect('ended', { kube: counting, timing: { watchSeconds: 1, random: () => 0 } });
    await waitFor(() => watches === 3, { what: 'the third watch' });
    await change('ended', '1');
    await isTold(told, 'change ended=1');
    expect(lists).toEqual(['first']);
  });

  describe('when etcd has forgotten what it was about to ask for (410)', () => {
    // Events have no watch cache in the API server, so what they are asked for goes to etcd itself.
    const events = () => ({ resource: { group: '', version: 'v1', resource: 'events' }, namespace });
    const event = (name: string, test: string): KubeObject => ({
      metadata: { name, namespace, labels: { test } },
      involvedObject: { kind: 'Pod', namespace, name: 'pod' },
      reason: '0',
    });
    const make = async (name: string, test: string) => must(await admin.create(events(), event(name, test)));
    const touch = async (name: string, reason: string) =>
      must(await admin.patch({ ...events(), name }, [{ op: 'replace', path: '/reason', value: reason }]));
    const drop = async (name: string) => must(await admin.remove({ ...events(), name }));

    /** Makes etcd forget everything before this moment. */
    async function compact(): Promise<void> {
      const { resourceVersion } = await make(`compact-${configNumber++}`, 'none').then((made) => made.metadata ?? {});
      const etcd = `http://127.0.0.1:${Number(new URL(admin.server).port) - 6443 + 12379}`;
      const body = JSON.stringify({ revision: resourceVersion, physical: true });
      const answer = await fetch(`${etcd}/v3/kv/compaction`, { method: 'POST', body });
      expect(answer.status, await answer.text()).toBe(200);
    }

    it('lists anew for a watch, and tells of what changed and what vanished', async () => {
      await make('old-a', 'old');
      await make('old-b', 'old');
      const ends: unknown[] = [];
      const held: Pick<KubeWatchApi, 'listPage' | 'watch'> = {
        listPage: (...args) => kube.listPage(...args),
        watch: async (...args) => {
          // Between the first list and its watch, hours go by.
          if (ends.length === 0) {
            await touch('old-a', '1');
            await drop('old-b');
            await compact();
          }
          const end = kube.watch(...args);
          ends.push(undefined);
          ends[ends.length - 1] = await end;
          return end;
        },
      };
      const { told, lists } = reflect('old', { ...events(), kube: held });
      await isTold(told, 'remove old-b=0');
      expect(ends[0]).toMatchObject({ ok: false, status: 410, reason: 'Expired' });
      expect(lists).toEqual(['first', 'first']);
      expect(told).toEqual(['add old-a=0', 'add old-b=0', 'change old-a=1', 'remove old-b=0']);
      await waitFor(() => ends.length === 2, { what: 'the second watch' });
      await make('old-c', 'old');
      await isTold(told, 'add old-c=0');
    });

    it('starts over for a list whose pages expired', async () => {
      for (const name of ['page-a', 'page-b', 'page-c']) await make(name, 'page');
      let pages = 0;
      const held: Pick<KubeWatchApi, 'listPage' | 'watch'> = {
        listPage: async (...args) => {
          pages += 1;
          if (pages === 2) {
            await drop('page-a');
            await compact();
          }
          return kube.listPage(...args);
        },
        watch: (...args) => kube.watch(...args),
      };
      const { reflector, told, log } = reflect('page', { ...events(), kube: held, pageLimit: 1 });
      await waitFor(() => reflector.isSynced, { what: 'sync' });
      expect(log.lines).toMatchObject([{ fields: { status: 410, reason: 'Expired' } }]);
      expect(told).toEqual(['add page-a=0', 'add page-b=0', 'add page-c=0', 'remove page-a=0']);
    });
  });

  it('leaves no connection behind when it is stopped', async () => {
    const { reflector } = reflect('stopped');
    await waitFor(() => reflector.isSynced && wire.live === 2, { what: 'a watch beside the call' });
    await reflector.stop();
    kube.close();
    await waitFor(() => wire.live === 0, { what: 'no connection' });
  });
});

describe('the view', () => {
  it('is filled with the server’s own rights, and finds the policies as shipped', async () => {
    const own = await connectBy('serverKubeconfig');
    const log = memoryLog();
    const config = {
      ownNamespace: 'stepmemo',
      sidecarRetryMinutes: 10,
      controllerAccounts: ['system:serviceaccount:argo:argo'],
    };
    const cluster = watchCluster({ kube: own.kube, config, log });
    cluster.start();
    try {
      await cluster.whenSynced();
      expect(cluster.arePoliciesInstalled).toBe(true);
      expect(cluster.namespace(namespace)).toEqual({
        isEnabled: true,
        memoize: 'managed',
        capture: 'sidecar',
        lookAhead: 'on',
        operation: 'on',
      });
      expect(cluster.namespace('stepmemo')?.isEnabled).toBe(false);
      const entry = { nodeID: 'n', outputs: null, creationTimestamp: '2026-01-01T00:00:00Z', lastHitTimestamp: null };
      must(
        await admin.create(configMaps(), configMap('view', { key: JSON.stringify(entry) }, { [CACHE_LABEL]: 'Cache' })),
      );
      await waitFor(() => cluster.lookUp(namespace, 'view', 'key').found === 'entry', { what: 'the entry' });
      must(await admin.patch(at('view'), [{ op: 'remove', path: '/metadata/labels' }]));
      await waitFor(() => cluster.lookUp(namespace, 'view', 'key').found === 'nothing', { what: 'no cache any more' });
      must(
        await admin.create(
          { resource: RESOURCES.resourceQuotas, namespace },
          { metadata: { name: 'quota' }, spec: { hard: { 'requests.cpu': '100' } } },
        ),
      );
      await waitFor(() => cluster.hasComputeQuota(namespace), { what: 'the quota' });
      must(await admin.remove({ resource: RESOURCES.resourceQuotas, namespace, name: 'quota' }));
      await waitFor(() => !cluster.hasComputeQuota(namespace), { what: 'no quota' });
      expect(log.lines).toEqual([]);
    } finally {
      await cluster.stop();
      own.kube.close();
      await waitFor(() => own.wire.live === 0, { what: 'no connection' });
      own.wire.close();
    }
  });
});

describe('leader election', () => {
  const lease = { resource: RESOURCES.leases, namespace: 'stepmemo', name: 'stepmemo-test' };
  const ends: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()));
    await admin.remove(lease);
  });
  afterAll(() => admin.remove(lease));

  async function replica(identity: string) {
    const own = await connectBy('adminKubeconfig');
    const abort = new AbortController();
    const state = { isLeading: false };
    const done = runLeaderElection({
      kube: own.kube,
      namespace: lease.namespace,
      name: lease.name,
      identity,
      leaseDurationMs: 2_000,
      onStart: () => {
        state.isLeading = true;
      },
      onStop: () => {
        state.isLeading = false;
      },
      signal: abort.signal,
    });
    const stop = async () => {
      abort.abort();
      await done;
      own.kube.close();
      own.wire.close();
    };
    ends.push(stop);
    return { state, stop, wire: own.wire };
  }

  it('hands over at once from one that stops', async () => {
    const one = await replica('one');
    await waitFor(() => one.state.isLeading, { what: 'one to lead' });
    const two = await replica('two');
    await one.stop();
    expect(one.state.isLeading).toBe(false);
    await waitFor(() => two.state.isLeading, { what: 'two to lead' });
    expect(must(await admin.get(lease))).toMatchObject({ spec: { holderIdentity: 'two', leaseTransitions: 1 } });
  });

  it('passes to another one when the leader is cut off, which has stepped down by then', async () => {
    const one = await replica('one');
    await waitFor(() => one.state.isLeading, { what: 'one to lead' });
    const two = await replica('two');
    one.wire.isClosed = true;
    one.wire.cut();
    await waitFor(() => two.state.isLeading, { what: 'two to lead' });
    expect(one.state.isLeading).toBe(false);
    one.wire.isClosed = false;
    // Back again, it waits for its turn.
    await waitFor(() => one.wire.live > 0, { what: 'one to be back' });
    expect([one.state.isLeading, two.state.isLeading]).toEqual([false, true]);
  });
});
