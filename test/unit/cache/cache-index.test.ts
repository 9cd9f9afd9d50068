import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CACHE_LABEL } from '../../../src/argo/names.ts';
import { createCacheIndex, holdCache } from '../../../src/cache/cache-index.ts';
import { dataKeyFor, metaKeyFor } from '../../../src/cache/data-key.ts';
import { type Entry, serializeEntry } from '../../../src/cache/entry.ts';
import { parseEntryMeta, serializeEntryMeta } from '../../../src/cache/entry-meta.ts';
import { planWrites } from '../../../src/cache/plan-write.ts';
import type { KubeObject } from '../../../src/kube/types.ts';

const entry = (nodeID = 'n'): Entry => ({
  nodeID,
  outputs: { result: 'ok' },
  creationTimestamp: '2026-01-01T00:00:00Z',
  lastHitTimestamp: null,
});

function cache(data: Record<string, string>, more: Partial<KubeObject> = {}): KubeObject {
  return { metadata: { namespace: 'team', name: 'results', labels: { [CACHE_LABEL]: 'Cache' } }, data, ...more };
}

const HASHED = 'a key/that no ConfigMap holds';
const notes = (key: string) => serializeEntryMeta({ key, podUid: '', workflow: '', capture: 'server' });

describe('createCacheIndex', () => {
  it('finds what is there, and nothing else', () => {
    const index = createCacheIndex();
    index.upsert(cache({ key: serializeEntry(entry()), bad: '{', foreign: '[1]' }));
    expect(index.lookUp('team', 'results', 'key')).toEqual({ found: 'entry', entry: entry() });
    expect(index.lookUp('team', 'results', 'bad')).toMatchObject({ found: 'malformed' });
    expect(index.lookUp('team', 'results', 'foreign')).toMatchObject({ found: 'malformed' });
    for (const [namespace, name, key] of [
      ['team', 'results', 'other'],
      ['team', 'results', 'constructor'],
      ['team', 'other', 'key'],
      ['other', 'results', 'key'],
      ['team/results', '', 'key'],
    ] as const) {
      expect(index.lookUp(namespace, name, key)).toEqual({ found: 'nothing' });
    }
  });

  it('does not read a ConfigMap without the label, and forgets one that lost it', () => {
    const index = createCacheIndex();
    const unlabeled = cache({ key: serializeEntry(entry()) }, { metadata: { namespace: 'team', name: 'results' } });
    index.upsert(unlabeled);
    expect(index.lookUp('team', 'results', 'key').found).toBe('nothing');
    index.upsert(cache({ key: serializeEntry(entry()) }));
    expect(index.lookUp('team', 'results', 'key').found).toBe('entry');
    index.upsert(unlabeled);
    expect(index.lookUp('team', 'results', 'key').found).toBe('nothing');
    expect(index.bytes).toBe(0);
  });

  it('sees an entry change and go', () => {
    const index = createCacheIndex();
    index.upsert(cache({ key: serializeEntry(entry('one')) }));
    expect(index.lookUp('team', 'results', 'key')).toMatchObject({ entry: { nodeID: 'one' } });
    index.upsert(cache({ key: serializeEntry(entry('two')) }));
    expect(index.lookUp('team', 'results', 'key')).toMatchObject({ entry: { nodeID: 'two' } });
    index.remove('team', 'results');
    expect(index.lookUp('team', 'results', 'key').found).toBe('nothing');
    index.remove('team', 'results');
    expect({ size: index.size, bytes: index.bytes }).toEqual({ size: 0, bytes: 0 });
  });

  it.each([
    ['the right key', { [metaKeyFor(dataKeyFor(HASHED))]: notes(HASHED) }, 'entry'],
    ['another key', { [metaKeyFor(dataKeyFor(HASHED))]: notes('another') }, 'nothing'],
    ['no JSON', { [metaKeyFor(dataKeyFor(HASHED))]: 'AAAA' }, 'nothing'],
    ['nothing at all', {}, 'nothing'],
  ])('takes the entry of a hashed key when its note says %s', (_, binaryData, expected) => {
    const index = createCacheIndex();
    index.upsert(cache({ [dataKeyFor(HASHED)]: serializeEntry(entry()) }, { binaryData }));
    expect(index.lookUp('team', 'results', HASHED).found).toBe(expected);
  });

  it('does not let a user’s key pass for a hash', () => {
    const index = createCacheIndex();
    const dataKey = dataKeyFor(HASHED);
    const binaryData = { [metaKeyFor(dataKey)]: notes(HASHED) };
    index.upsert(cache({ [dataKey]: serializeEntry(entry()) }, { binaryData }));
    expect(index.lookUp('team', 'results', dataKey).found).toBe('nothing');
  });

  it('finds whatever was written', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }), fc.constant('__proto__')),
        (key) => {
          const index = createCacheIndex();
          const meta = { podUid: 'u', workflow: 'w', capture: 'sidecar' } as const;
          const { change: plan } = planWrites(
            [{ namespace: 'team', cache: 'c', key, entry: entry(), meta }],
            undefined,
            new Date(),
          );
          if (plan?.plan !== 'create') throw new Error('no ConfigMap is made');
          index.upsert(plan.body);
          expect(index.lookUp('team', 'c', key)).toEqual({ found: 'entry', entry: entry() });
        },
      ),
    );
  });

  describe('memory', () => {
    const named = (namespace: string, name: string, length: number, resourceVersion = '1') =>
      cache(
        { key: 'x'.repeat(length) },
        { metadata: { namespace, name, resourceVersion, labels: { [CACHE_LABEL]: 'Cache' } } },
      );
    const given = (limitBytes: number) => {
      const letGo: string[] = [];
      const wanted: string[] = [];
      const index = createCacheIndex({
        limitBytes,
        onLetGo: ({ namespace, name }) => letGo.push(`${namespace}/${name}`),
        onWanted: (namespace, name) => wanted.push(`${namespace}/${name}`),
      });
      return { index, letGo, wanted };
    };

    it('is kept to its limit: what is let go is unknown, and wanted when it is asked for and there is room', () => {
      const { index, letGo, wanted } = given(5_000);
      index.upsert(named('team', 'a', 3_000));
      index.upsert(named('team', 'b', 3_000));
      expect(letGo).toEqual(['team/a']);
      expect(index.bytes).toBeLessThanOrEqual(5_000);
      expect(index.lookUp('team', 'a', 'key').found).toBe('unknown');
      expect(index.lookUp('team', 'never', 'key').found).toBe('nothing');
      index.remove('team', 'b');
      expect(index.lookUp('team', 'a', 'key').found).toBe('unknown');
      expect(wanted).toEqual(['team/a', 'team/a']);
      index.upsert(named('team', 'a', 3_000));
      expect(index.lookUp('team', 'a', 'key').found).toBe('malformed');
    });

    it('goes first of what was not asked for the longest', () => {
      const { index, letGo } = given(10_000);
      for (const name of ['a', 'b', 'c']) index.upsert(named('team', name, 2_500));
      index.lookUp('team', 'a', 'key');
      index.upsert(named('team', 'd', 2_500));
      expect(letGo).toEqual(['team/b']);
    });

    it('is shared: who has less than a share of it loses none to who has more', () => {
      fc.assert(
        fc.property(
          fc.array(fc.record({ namespace: fc.constantFrom('big', 'other', 'third'), length: fc.nat(4_000) }), {
            maxLength: 60,
          }),
          (puts) => {
            const { index } = given(30_000);
            index.upsert(named('small', 'own', 5_000));
            for (const [number, { namespace, length }] of puts.entries()) {
              index.upsert(named(namespace, `c-${number}`, length));
              expect(index.bytes).toBeLessThanOrEqual(30_000);
              expect(index.lookUp('small', 'own', 'key').found).toBe('malformed');
            }
          },
        ),
      );
    });

    it('counts a text by what it takes', () => {
      const { index } = given(100_000);
      index.upsert(cache({ key: 'ä'.repeat(1_000) }));
      const latin = index.bytes;
      index.upsert(cache({ key: 'я'.repeat(1_000) }));
      expect(index.bytes - latin).toBe(1_000);
    });

    it('takes no state that is older than the one it had', () => {
      const { index } = given(100_000);
      index.upsert(named('team', 'a', 10, '12'));
      index.upsert(named('team', 'a', 99, '9'));
      const { bytes } = index;
      index.upsert(named('team', 'a', 99, '13'));
      expect(index.bytes - bytes).toBe(89);
    });

    it('is given back whoever else holds a cache that goes', () => {
      const { index } = given(100_000);
      const held = holdCache(named('team', 'a', 1_000));
      index.put(held);
      index.clear('team', false);
      expect(held.entries.size).toBe(0);
    });

    it('of a namespace that is being read holds what was read, and all else is unknown', () => {
      const { index } = given(100_000);
      index.clear('team', true);
      expect(index.lookUp('team', 'a', 'key').found).toBe('unknown');
      index.upsert(named('team', 'a', 10));
      expect(index.lookUp('team', 'a', 'key').found).toBe('malformed');
      index.markRead('team');
      expect(index.lookUp('team', 'b', 'key').found).toBe('nothing');
      index.clear('team', false);
      expect({ size: index.size, bytes: index.bytes, found: index.lookUp('team', 'a', 'key').found }).toEqual({
        size: 0,
        bytes: 0,
        found: 'nothing',
      });
    });
  });

  it('parses an entry once, however often it is asked for', () => {
    const index = createCacheIndex();
    index.upsert(cache({ key: serializeEntry(entry()) }));
    expect(index.lookUp('team', 'results', 'key')).toBe(index.lookUp('team', 'results', 'key'));
  });

  it('answers rightly beyond what it keeps parsed', () => {
    const index = createCacheIndex();
    const keys = Array.from({ length: 1_000 }, (_, number) => `k${number}`);
    index.upsert(cache(Object.fromEntries(keys.map((key) => [key, serializeEntry(entry(key))]))));
    for (const key of [...keys, ...keys]) {
      expect(index.lookUp('team', 'results', key)).toMatchObject({ entry: { nodeID: key } });
    }
  });
});

describe('entry meta', () => {
  it('comes back as it was', () => {
    const meta = { key: 'ä/€', podUid: 'u', workflow: 'w', digest: 'd', capture: 'sidecar' } as const;
    expect(parseEntryMeta(serializeEntryMeta(meta))).toEqual(meta);
  });
  it.each(['', '!!', 'bnVsbA==', Buffer.from('{"podUid":"u"}').toString('base64')])('makes nothing of %j', (base64) => {
    expect(parseEntryMeta(base64)).toBeUndefined();
  });
});
