import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CACHE_LABEL } from '../../src/argo/names.ts';
import { createCacheIndex } from '../../src/cache/cache-index.ts';
import { type CacheWriter, createCacheWriter, type WriteOutcome } from '../../src/cache/cache-writer.ts';
import { CONFIG_MAP_LIMIT_BYTES, readConfigMap, sizeOf } from '../../src/cache/config-map.ts';
import { dataKeyFor } from '../../src/cache/data-key.ts';
import { type Entry, serializeEntry } from '../../src/cache/entry.ts';
import { planRemovals } from '../../src/cache/plan-removal.ts';
import { planWrites } from '../../src/cache/plan-write.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { startReflector } from '../../src/kube/reflector.ts';
import { type KubeObject, type KubeWatchApi, RESOURCES } from '../../src/kube/types.ts';
import { memoryLog } from '../unit/kube/memory-kube.ts';
import { clusterInfo, createNamespace, kubeAs, must, type TestKube, waitFor } from './harness.ts';

/*
 * The store against a real API server, as the server's own account, with its shipped roles and under the shipped
 * admission policies.
 */
let admin: TestKube;
let namespace: string;
let kube: KubeWatchApi;
let otherKube: KubeWatchApi;
let writer: CacheWriter;
let otherWriter: CacheWriter;

beforeAll(async () => {
  admin = await kubeAs('admin');
  namespace = await createNamespace();
  kube = createKubeApi(clusterInfo().serverKubeconfig);
  otherKube = createKubeApi(clusterInfo().serverKubeconfig);
  writer = createCacheWriter(kube);
  otherWriter = createCacheWriter(otherKube);
});

afterAll(() => {
  kube?.close();
  otherKube?.close();
});

const META = { podUid: 'uid', workflow: 'wf', digest: 'abc', capture: 'sidecar' } as const;
const WRITTEN = { ok: true, outcome: 'written' };

function entryOf(value: string): Entry {
  const creationTimestamp = '2026-03-01T11:59:00Z';
  return {
    nodeID: 'n',
    outputs: { parameters: [{ name: 'p', value }] },
    creationTimestamp,
    lastHitTimestamp: creationTimestamp,
  };
}

/** Each value comes from a pod of its own: a pod's entry is written once. */
const writeOf = (cache: string, key: string, value = 'v') => ({
  ...{ namespace, cache, key, entry: entryOf(value) },
  meta: { ...META, podUid: `uid-${value}` },
});

function write(cache: string, key: string, value = 'v', by = writer): Promise<WriteOutcome> {
  return by.write(writeOf(cache, key, value));
}

const at = (name: string) => ({ resource: RESOURCES.configMaps, namespace, name });
const read = async (name: string) => must(await admin.get(at(name)));
const dataOf = async (name: string) => readConfigMap(await read(name)).data ?? {};
const LABELS = { [CACHE_LABEL]: 'Cache' };

async function create(name: string, more: Partial<KubeObject>, labels: Record<string, string> = LABELS) {
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels }, ...more };
  return must(await admin.create({ resource: RESOURCES.configMaps, namespace }, body));
}

/** As Argo saves and loads: GET, then PUT of the whole object, again on a conflict (configmap_cache.go). */
async function updateWhole(name: string, change: (data: Record<string, string>) => void): Promise<void> {
  for (;;) {
    const current = await read(name);
    const data = { ...readConfigMap(current).data };
    change(data);
    const metadata = { ...current.metadata, labels: LABELS };
    const result = await admin.update(at(name), { ...current, metadata, data });
    if (result.ok) return;
    if (result.status !== 409) must(result);
  }
}

describe('the writer', () => {
  it('loses none of the entries that two replicas write at once, and the cache has its label from the start', async () => {
    const seen: (string | undefined)[] = [];
    const reflector = startReflector<KubeObject>({
      kube,
      resource: RESOURCES.configMaps,
      namespace,
      log: memoryLog(),
      on: {
        upsert: ({ metadata }) => void (metadata?.name === 'race' && seen.push(metadata.labels?.[CACHE_LABEL])),
      },
    });
    await waitFor(() => reflector.isSynced, { what: 'sync' });
    const keys = Array.from({ length: 40 }, (_, number) => `key-${number}`);
    const outcomes = await Promise.all(
      keys.map((key, number) => write('race', key, `value ${number}`, number % 2 ? writer : otherWriter)),
    );
    expect(outcomes).toEqual(keys.map(() => WRITTEN));
    expect(Object.keys(await dataOf('race')).sort()).toEqual([...keys].sort());
    await waitFor(async () => Object.keys(await dataOf('race')).length === 40, { what: 'all changes' });
    expect(new Set(seen)).toEqual(new Set(['Cache']));
    await reflector.stop();
  });

  it('and Argo, which updates the whole ConfigMap, undo nothing of each other', async () => {
    await create('shared', { data: { native: '0' } });
    let isDone = false;
    const saved: string[] = [];
    const argo = (async () => {
      while (!isDone) {
        const name = `argo-${saved.length}`;
        await updateWhole('shared', (data) => {
          data.native = name;
          data[name] = '{}';
        });
        saved.push(name);
      }
    })();
    const keys = Array.from({ length: 15 }, (_, number) => `key-${number}`);
    for (const key of keys) expect(await write('shared', key)).toEqual(WRITTEN);
    isDone = true;
    await argo;
    const data = await dataOf('shared');
    expect(saved.length).toBeGreaterThan(0);
    expect(Object.keys(data).sort()).toEqual([...keys, ...saved, 'native'].sort());
    const { binaryData = {} } = readConfigMap(await read('shared'));
    expect(Object.keys(binaryData)).toHaveLength(keys.length);
  });

  it('waits for the label of a cache that Argo makes in two steps', async () => {
    await create('two-steps', {}, {});
    const outcome = write('two-steps', 'key');
    await updateWhole('two-steps', (data) => {
      data.native = '{}';
    });
    expect(await outcome).toEqual(WRITTEN);
    expect(Object.keys(await dataOf('two-steps')).sort()).toEqual(['key', 'native']);
  });

  it('never writes a ConfigMap without the label, nor one that loses it meanwhile', async () => {
    await create('settings', { data: { url: 'x' } }, {});
    expect(await write('settings', 'key')).toMatchObject({ ok: false, reason: 'cache-unlabeled' });
    await create('was-cache', { data: { other: '{}' } });
    const overtaken: KubeWatchApi['patch'] = async (...args) => {
      must(await admin.patch(at('was-cache'), [{ op: 'remove', path: '/metadata/labels' }]));
      return kube.patch(...args);
    };
    const outcome = await createCacheWriter({
      get: (...args) => kube.get(...args),
      create: (...args) => kube.create(...args),
      patch: overtaken,
    }).write({ namespace, cache: 'was-cache', key: 'key', entry: entryOf('v'), meta: META });
    expect(outcome).toMatchObject({ ok: false, reason: 'cache-unlabeled' });
    expect(await dataOf('settings')).toEqual({ url: 'x' });
    expect(await dataOf('was-cache')).toEqual({ other: '{}' });
  });

  it('fills a cache to the byte that the API server allows, and says when it is full', async () => {
    const { change } = planWrites([writeOf('full', 'key')], undefined, new Date());
    if (change?.plan !== 'create') throw new Error('no ConfigMap is made');
    const entryBytes = sizeOf(readConfigMap(change.body));
    // Two bytes a character, so that characters are not taken for bytes.
    const filler = (bytes: number) => 'ä'.repeat(Math.floor(bytes / 2)) + 'x'.repeat(bytes % 2);
    await create('full', { data: { filler: filler(CONFIG_MAP_LIMIT_BYTES - entryBytes) } });
    expect(await write('full', 'key')).toEqual(WRITTEN);
    expect(sizeOf(readConfigMap(await read('full')))).toBe(CONFIG_MAP_LIMIT_BYTES);
    const refused = await write('full', 'next');
    expect(refused).toMatchObject({ ok: false, reason: 'cache-full', isPassing: false });
    expect(refused).toHaveProperty('message', expect.stringMatching(/holds 1048576 of 1048576 bytes in 2 entries/));
    // The same limit, to the byte, as the API server's own.
    const more = await admin.patch(at('full'), [{ op: 'add', path: '/data/one', value: 'x' }]);
    expect(more).toMatchObject({ ok: false, status: 422 });
    // An entry of the same size still takes the place of the old one.
    expect(await write('full', 'key', 'w')).toEqual(WRITTEN);
  });

  it('says that a cache is full when another writer was faster', async () => {
    await create('overtaken', { data: { filler: 'x' } });
    const overtaking: KubeWatchApi['patch'] = async (...args) => {
      const value = 'x'.repeat(CONFIG_MAP_LIMIT_BYTES - 10);
      must(await admin.patch(at('overtaken'), [{ op: 'replace', path: '/data/filler', value }]));
      return kube.patch(...args);
    };
    const outcome = await createCacheWriter({
      get: (...args) => kube.get(...args),
      create: (...args) => kube.create(...args),
      patch: overtaking,
    }).write({ namespace, cache: 'overtaken', key: 'key', entry: entryOf('v'), meta: META });
    expect(outcome).toMatchObject({ ok: false, reason: 'cache-full', isPassing: false });
    expect(await write('overtaken', 'key')).toMatchObject({ ok: false, reason: 'cache-full' });
  });

  it('says that a cache is full when its many keys are too much for etcd', async () => {
    // etcd takes some 2 MB a request, keys included, of which the API server's own limit knows nothing.
    const longKey = (number: number) => `${number}-`.padEnd(250, 'k');
    const data = Object.fromEntries(Array.from({ length: 3_000 }, (_, number) => [longKey(number), 'x'.repeat(150)]));
    await create('many', { data });
    let outcome: WriteOutcome = { ok: true, outcome: 'written' };
    for (let number = 0; outcome.ok && number < 9; number += 1) {
      outcome = await write('many', longKey(10_000 + number), 'x'.repeat(60_000));
    }
    expect(outcome).toMatchObject({ ok: false, reason: 'cache-full', isPassing: false });
    expect(sizeOf(readConfigMap(await read('many')))).toBeLessThan(CONFIG_MAP_LIMIT_BYTES);
  });

  it('refuses an entry that is too large for any cache', async () => {
    const outcome = await write('huge', 'key', 'x'.repeat(CONFIG_MAP_LIMIT_BYTES));
    expect(outcome).toMatchObject({ ok: false, reason: 'entry-too-large' });
    expect(await admin.get(at('huge'))).toMatchObject({ status: 404 });
  });

  it('hands on what the API server says', async () => {
    const meta = META;
    const entry = entryOf('v');
    const missing = await writer.write({ namespace: 'nowhere', cache: 'c', key: 'k', entry, meta });
    expect(missing).toMatchObject({ ok: false, reason: 'write-failed', isPassing: false });
    const invalid = await writer.write({ namespace, cache: 'Not_A_Name', key: 'k', entry, meta });
    expect(invalid).toMatchObject({ ok: false, reason: 'write-failed', isPassing: false });
    expect(invalid).toHaveProperty('message', expect.stringContaining('RFC 1123'));
    const nobody = await kubeAs({ user: 'nobody' });
    const forbidden = await createCacheWriter(nobody).write({ namespace, cache: 'c', key: 'k', entry, meta });
    expect(forbidden).toMatchObject({ ok: false, reason: 'write-failed', isPassing: false });
    expect(forbidden).toHaveProperty('message', expect.stringContaining('User "nobody" cannot get'));
    await create('frozen', { data: { a: '{}' }, immutable: true });
    const frozen = await write('frozen', 'k');
    expect(frozen).toMatchObject({ ok: false, reason: 'write-failed', isPassing: false });
    expect(frozen).toHaveProperty('message', expect.stringContaining('immutable'));
  });
});

describe('the way through a cache and back', () => {
  const KEYS = [
    'plain',
    'with.dots_and-dashes',
    'constructor',
    '__proto__',
    'a b',
    'ä/€/😀',
    '..',
    '.',
    '../../etc/passwd',
    'new\nline',
    'x'.repeat(253),
    'x'.repeat(254),
    'y'.repeat(16 * 1024),
    `sha256-${'0'.repeat(64)}`,
    `${'0'.repeat(64)}.meta`,
    '~0/~1',
    '{{inputs.parameters.message}}',
  ];

  it('finds each key’s own entry again, and removes no other', async () => {
    const index = createCacheIndex();
    const reflector = startReflector<KubeObject>({
      kube,
      resource: RESOURCES.configMaps,
      namespace,
      labelSelector: `${CACHE_LABEL}=Cache`,
      log: memoryLog(),
      on: {
        upsert: (object) => index.upsert(object),
        remove: ({ metadata }) => index.remove(namespace, metadata?.name ?? ''),
      },
    });
    for (const [number, key] of KEYS.entries()) expect(await write('keys', key, `value ${number}`)).toEqual(WRITTEN);
    const found = (key: string) => {
      const lookup = index.lookUp(namespace, 'keys', key);
      return lookup.found === 'entry' ? lookup.entry.outputs?.parameters?.[0]?.value : lookup.found;
    };
    await waitFor(() => KEYS.every((key) => found(key) !== 'nothing'), { what: 'all keys in the index' });
    expect(KEYS.map(found)).toEqual(KEYS.map((_, number) => `value ${number}`));
    const [gone = '', ...rest] = KEYS.toReversed();
    must(await kube.patch(at('keys'), planRemovals(await read('keys'), [dataKeyFor(gone)])));
    await waitFor(() => found(gone) === 'nothing', { what: 'the entry to go' });
    expect(rest.map(found)).not.toContain('nothing');
    await reflector.stop();
  });

  it('writes what Argo reads: its own format, and nothing else in data', async () => {
    expect(await write('format', 'key')).toEqual(WRITTEN);
    expect(await dataOf('format')).toEqual({ key: serializeEntry(entryOf('v')) });
    expect(await write('format', 'key')).toEqual({ ok: true, outcome: 'kept' });
  });
});
