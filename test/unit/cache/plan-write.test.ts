import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CACHE_LABEL } from '../../../src/argo/names.ts';
import { CONFIG_MAP_LIMIT_BYTES, sizeOf } from '../../../src/cache/config-map.ts';
import { dataKeyFor, metaKeyFor } from '../../../src/cache/data-key.ts';
import { type Entry, parseEntry, serializeEntry } from '../../../src/cache/entry.ts';
import { parseEntryMeta } from '../../../src/cache/entry-meta.ts';
import { planRemovals } from '../../../src/cache/plan-removal.ts';
import { type CacheChange, type EntryPlan, type EntryWrite, planWrites } from '../../../src/cache/plan-write.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import { applyPatch } from '../kube/memory-kube.ts';

const NOW = new Date('2026-03-01T12:00:00Z');

function entryOf(value: string, creationTimestamp: string | null = '2026-03-01T11:59:00Z'): Entry {
  return {
    nodeID: 'wf-1',
    outputs: { parameters: [{ name: 'p', value }] },
    creationTimestamp,
    lastHitTimestamp: creationTimestamp,
  };
}

function writeOf(key = 'key', entry: Entry = entryOf('v')): EntryWrite {
  const meta = { podUid: 'uid', workflow: 'wf', digest: 'abc', capture: 'sidecar' } as const;
  return { namespace: 'team', cache: 'results', key, entry, meta };
}

function configMap(more: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      namespace: 'team',
      name: 'results',
      resourceVersion: '7',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { [CACHE_LABEL]: 'Cache' },
      ...metadata,
    },
    ...more,
  };
}

/** One entry alone: the change that it needs, else what becomes of it. */
function planWrite(write: EntryWrite, current: KubeObject | undefined, now: Date): CacheChange | EntryPlan {
  const { entries, change } = planWrites([write], current, now);
  return change ?? (entries[0] as EntryPlan);
}

/** The ConfigMap after the plan is carried out; the API server leaves empty maps out, and checks what it is given. */
function carriedOut(plan: CacheChange | EntryPlan, current: KubeObject | undefined): KubeObject {
  if (plan.plan === 'create') return plan.body;
  if (plan.plan !== 'patch' || !current) throw new Error(`no patch: ${JSON.stringify(plan)}`);
  const patched = applyPatch(current, plan.patch);
  if (!patched) throw new Error('the patch does not apply');
  return patched;
}

const withoutEmpty = (map: Record<string, string>) => (Object.keys(map).length > 0 ? map : undefined);

/** Keys of every sort: plain ones, such as no ConfigMap can hold, and names that every object has. */
const anyKey = fc
  .oneof(
    fc.stringMatching(/^[-._a-zA-Z0-9]{1,253}$/),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 400 }),
    fc.constantFrom('constructor', 'toString', 'hasOwnProperty', 'a/b~c', '..', `sha256-${'a'.repeat(64)}`),
  )
  // jsonpatch cannot set it; test/integration/store.test.ts writes it to a real API server.
  .filter((key) => key !== '__proto__');
const plainKey = fc.stringMatching(/^[a-zA-Z0-9][-._a-zA-Z0-9]{0,40}$/);
const anyData = fc.dictionary(plainKey, fc.string({ unit: 'binary', maxLength: 60 }), { maxKeys: 6 });
const anyBinary = fc.dictionary(
  plainKey,
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  { maxKeys: 4 },
);

describe('planWrite', () => {
  it('creates the ConfigMap with the label from the start', () => {
    const plan = planWrite(writeOf(), undefined, NOW);
    expect(plan).toMatchObject({
      plan: 'create',
      body: {
        kind: 'ConfigMap',
        metadata: { namespace: 'team', name: 'results', labels: { [CACHE_LABEL]: 'Cache' } },
        data: { key: serializeEntry(entryOf('v')) },
      },
    });
  });

  it('patches its own two keys, and tests the label', () => {
    const plan = planWrite(writeOf(), configMap({ data: { a: '{}' }, binaryData: { b: '' } }), NOW);
    expect(plan.plan === 'patch' && plan.patch.map(({ op, path }) => `${op} ${path}`)).toEqual([
      'test /metadata/labels/workflows.argoproj.io~1configmap-type',
      'add /data/key',
      `add /binaryData/${metaKeyFor('key')}`,
    ]);
  });

  it.each([
    ['data', { binaryData: { b: '' } }],
    ['binaryData', { data: { a: '{}' } }],
    ['both', {}],
  ])('tests the resourceVersion where %s is not there yet', (_, content) => {
    const current = configMap(content);
    const plan = planWrite(writeOf(), current, NOW);
    expect(plan.plan === 'patch' && plan.patch).toContainEqual({
      op: 'test',
      path: '/metadata/resourceVersion',
      value: '7',
    });
    const overtaken = configMap({ ...content, data: { other: '{}' } }, { resourceVersion: '8' });
    expect(plan.plan === 'patch' && applyPatch(overtaken, plan.patch)).toBeUndefined();
  });

  it('does not apply once the label is gone', () => {
    const plan = planWrite(writeOf(), configMap({ data: { a: '{}' }, binaryData: { b: '' } }), NOW);
    const unlabeled = configMap({ data: { a: '{}' }, binaryData: { b: '' } }, { labels: { other: 'x' } });
    expect(plan.plan === 'patch' && applyPatch(unlabeled, plan.patch)).toBeUndefined();
  });

  it.each([
    ['has data', { data: { a: '1' } }, { creationTimestamp: '2026-03-01T11:59:59Z' }, 'refuse'],
    ['has binary data', { binaryData: { a: '' } }, { creationTimestamp: '2026-03-01T11:59:59Z' }, 'refuse'],
    ['has had its minute', {}, { creationTimestamp: '2026-03-01T11:58:59Z' }, 'refuse'],
    ['is of no known age', {}, { creationTimestamp: undefined }, 'refuse'],
    ['is another type', {}, { creationTimestamp: '2026-03-01T11:59:59Z', labels: { [CACHE_LABEL]: 'X' } }, 'refuse'],
    ['is just being made', {}, { creationTimestamp: '2026-03-01T11:59:59Z' }, 'wait'],
  ])('never writes a ConfigMap without the label: one that %s', (_, content, metadata, expected) => {
    const plan = planWrite(writeOf(), configMap(content, { labels: undefined, ...metadata }), NOW);
    expect(plan).toMatchObject({ plan: expected, reason: 'cache-unlabeled' });
  });

  it.each([
    ['the very same entry', serializeEntry(entryOf('v')), 'keep-if-noted'],
    ['a newer entry', serializeEntry(entryOf('w', '2026-03-01T11:59:01Z')), 'keep'],
    ['one as old', serializeEntry(entryOf('w', '2026-03-01T11:59:00Z')), 'patch'],
    ['an older one', serializeEntry(entryOf('w', '2026-03-01T11:58:59Z')), 'patch'],
    ['one of no known age', serializeEntry(entryOf('w', null)), 'patch'],
    ['one from the future', serializeEntry(entryOf('w', '2099-01-01T00:00:00Z')), 'patch'],
    ['one that never hits', serializeEntry({ ...entryOf('w', '2026-03-01T11:59:30Z'), nodeID: '' }), 'patch'],
    ['a malformed one', '{"nodeID":', 'patch'],
  ])('meets %s', (_, present, expected) => {
    const current = configMap({ data: { key: present }, binaryData: { b: '' } });
    const plan = planWrite(writeOf(), current, NOW);
    expect(plan.plan).toBe(expected === 'keep-if-noted' ? 'patch' : expected);
    if (expected === 'keep-if-noted') expect(planWrite(writeOf(), carriedOut(plan, current), NOW).plan).toBe('keep');
  });

  it('keeps an entry that another replica has stored for the pod, though it be a little older', () => {
    const current = carriedOut(
      planWrite(writeOf('key', entryOf('v', '2026-03-01T11:58:59Z')), undefined, NOW),
      undefined,
    );
    expect(planWrite(writeOf(), current, NOW).plan).toBe('keep');
    const other = { ...writeOf(), meta: { ...writeOf().meta, podUid: 'other' } };
    expect(planWrite(other, current, NOW).plan).toBe('patch');
  });

  it('refuses an entry that no ConfigMap could take', () => {
    const plan = planWrite(writeOf('key', entryOf('x'.repeat(CONFIG_MAP_LIMIT_BYTES))), undefined, NOW);
    expect(plan).toMatchObject({ plan: 'refuse', reason: 'entry-too-large' });
    expect(plan.plan === 'refuse' && plan.message).toMatch(
      /^The entry has 104\d{4} bytes; a ConfigMap takes 1048576\.$/,
    );
  });

  it('fills a ConfigMap to the last byte, counted as UTF-8, and says what is full', () => {
    const empty = configMap({ data: { other: '' }, binaryData: { b: '' } });
    const after = carriedOut(planWrite(writeOf(), empty, NOW), empty);
    const entryBytes = sizeOf({ data: after.data as Record<string, string>, binaryData: after.binaryData as never });
    const filler = (bytes: number) => `${'€'.repeat(Math.floor(bytes / 3))}${'x'.repeat(bytes % 3)}`;
    const fits = configMap({ data: { other: filler(CONFIG_MAP_LIMIT_BYTES - entryBytes) }, binaryData: { b: '' } });
    expect(planWrite(writeOf(), fits, NOW).plan).toBe('patch');
    const full = configMap({ data: { other: filler(CONFIG_MAP_LIMIT_BYTES - entryBytes + 1) }, binaryData: { b: '' } });
    expect(planWrite(writeOf(), full, NOW)).toMatchObject({
      plan: 'refuse',
      reason: 'cache-full',
      message: `ConfigMap team/results holds ${CONFIG_MAP_LIMIT_BYTES - entryBytes + 1} of 1048576 bytes in 1 entries; the new one needs ${entryBytes}.`,
    });
  });

  it('counts what it replaces as free', () => {
    const old = writeOf('key', entryOf('x'.repeat(1_000_000), '2026-03-01T11:00:00Z'));
    const first = carriedOut(planWrite({ ...old, meta: { ...old.meta, podUid: 'other' } }, undefined, NOW), undefined);
    expect(planWrite(writeOf('key', entryOf('y'.repeat(1_000_000))), first, NOW).plan).toBe('patch');
  });

  it('leaves the entry in the cache, and everything else as it was', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(anyKey, fc.string({ unit: 'binary' }), anyData, anyBinary, (key, value, data, binaryData) => {
        const write = writeOf(key, entryOf(value));
        const current = configMap({ data: withoutEmpty(data), binaryData: withoutEmpty(binaryData) });
        const after = carriedOut(planWrite(write, current, NOW), current);
        const dataKey = dataKeyFor(key);
        const metaKey = metaKeyFor(dataKey);
        const { [dataKey]: text, ...otherData } = after.data as Record<string, string>;
        const { [metaKey]: meta, ...otherBinary } = after.binaryData as Record<string, string>;
        expect(parseEntry(text ?? '')).toEqual({ found: 'entry', entry: write.entry });
        expect(parseEntryMeta(meta ?? '')).toEqual({ ...write.meta, key });
        const { [dataKey]: _, ...dataBefore } = data;
        const { [metaKey]: __, ...binaryBefore } = binaryData;
        expect(otherData).toEqual(dataBefore);
        expect(otherBinary).toEqual(binaryBefore);
        expect({ ...after, data: 0, binaryData: 0 }).toEqual({ ...current, data: 0, binaryData: 0 });
        expect(planWrite(write, after, NOW)).toEqual({ plan: 'keep' });
      }),
    );
  });

  it('lets two writers’ patches land one after the other, whichever comes first', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(plainKey, plainKey, anyData, (one, two, data) => {
        fc.pre(one !== two && Object.keys(data).length > 0);
        const current = configMap({ data, binaryData: { b: '' } });
        const plans = [one, two].map((key) => planWrite(writeOf(key, entryOf(key)), current, NOW));
        const both = plans.reduce((object, plan) => carriedOut(plan, object), current);
        const reversed = plans.reduceRight((object, plan) => carriedOut(plan, object), current);
        expect(both).toEqual(reversed);
        expect(Object.keys(both.data as object)).toEqual(expect.arrayContaining([one, two]));
      }),
    );
  });

  it('is undone by the removal of the entry', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(anyKey, anyData, anyBinary, (key, data, binaryData) => {
        const dataKey = dataKeyFor(key);
        fc.pre(!(dataKey in data) && Object.keys(data).length > 0 && Object.keys(binaryData).length > 0);
        const current = configMap({ data, binaryData });
        const written = carriedOut(planWrite(writeOf(key), current, NOW), current);
        expect(applyPatch(written, planRemovals(written, [dataKeyFor(key)]))).toEqual(current);
        expect(planRemovals(current, [dataKeyFor(key)])).toEqual([]);
      }),
    );
  });
});
