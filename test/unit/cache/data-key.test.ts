import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compressedKeyFor, dataKeyFor, metaKeyFor } from '../../../src/cache/data-key.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const VALID = /^[-._a-zA-Z0-9]{1,253}$/;

describe('dataKeyFor', () => {
  it.each(['hello-world', 'a', 'A.b_c-1', '.hidden', 'a..b', 'x'.repeat(253), 'sha256-short'])('keeps %s', (key) => {
    expect(dataKeyFor(key)).toBe(key);
  });

  it.each([
    'with space',
    'a/b',
    'ä',
    '.',
    '..',
    '..a',
    'x'.repeat(254),
    `sha256-${'0'.repeat(64)}`,
    `${'0'.repeat(64)}.meta`,
    `${'0'.repeat(64)}.gz`,
  ])('hashes %s', (key) => {
    expect(dataKeyFor(key)).toBe(`sha256-${sha256(key)}`);
  });

  it('gives different keys different data keys, all of them good, whatever tricks are played', () => {
    const key = fc.oneof(
      fc.string({ minLength: 1, unit: 'binary' }),
      fc.string({ minLength: 1, maxLength: 300, unit: fc.constantFrom('a', '.', '-', '_', ' ', '/') }),
      // A key that is the data key of another one.
      fc.string({ minLength: 1 }).map((inner) => dataKeyFor(`/${inner}`)),
    );
    fc.assert(
      fc.property(key, key, (a, b) => {
        fc.pre(a !== b);
        expect(dataKeyFor(a)).not.toBe(dataKeyFor(b));
        expect(dataKeyFor(a)).toMatch(VALID);
        expect(dataKeyFor(a).startsWith('..')).toBe(false);
      }),
    );
  });
});

describe('metaKeyFor and compressedKeyFor', () => {
  it.each(['plain', 'not / plain'])('name the hash of the cache key %j, however it is stored', (key) => {
    expect(metaKeyFor(dataKeyFor(key))).toBe(`${sha256(key)}.meta`);
    expect(compressedKeyFor(dataKeyFor(key))).toBe(`${sha256(key)}.gz`);
  });

  it('never collide with the data key of an entry', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (key) => {
        const meta = metaKeyFor(dataKeyFor(key));
        expect(dataKeyFor(meta)).not.toBe(meta);
      }),
    );
  });
});
