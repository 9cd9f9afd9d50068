import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agreesWith, type Captured, capturedFrom, capturedSchema } from '../../../src/sidecar/captured.ts';
import { digestOf } from '../../../src/sidecar/digest.ts';

const captured: fc.Arbitrary<Captured> = fc
  .record({
    parameters: fc.uniqueArray(fc.record({ name: fc.string(), value: fc.string() }), { selector: ({ name }) => name }),
    result: fc.option(fc.string(), { nil: undefined }),
  })
  .map(({ parameters, result }) => (result === undefined ? { parameters } : { parameters, result }));

describe('digestOf', () => {
  it('does not depend on the order', () => {
    fc.assert(
      fc.property(captured, (post) => {
        expect(digestOf({ ...post, parameters: [...post.parameters].reverse() })).toBe(digestOf(post));
      }),
    );
  });

  it.each<[Captured, Captured]>([
    [{ parameters: [] }, { parameters: [], result: '' }],
    [{ parameters: [{ name: 'a', value: 'b' }] }, { parameters: [{ name: 'b', value: 'a' }] }],
    [{ parameters: [{ name: 'a', value: '","' }] }, { parameters: [{ name: 'a","', value: '' }] }],
  ])('tells %j from %j', (a, b) => {
    expect(digestOf(a)).not.toBe(digestOf(b));
  });

  it('is the same for what a task result says', () => {
    fc.assert(
      fc.property(captured, (post) => {
        expect(digestOf(capturedFrom({ ...post }))).toBe(digestOf(post));
      }),
    );
  });
});

describe('capturedSchema', () => {
  it.each([
    {
      parameters: [
        { name: 'a', value: '1' },
        { name: 'a', value: '2' },
      ],
    },
    { parameters: [{ name: 'a' }] },
    { parameters: [], more: 1 },
    { parameters: [], result: null },
    {},
    [],
  ])('refuses %j', (post) => {
    expect(capturedSchema.safeParse(post).success).toBe(false);
  });
});

describe('agreesWith', () => {
  const post: Captured = { parameters: [{ name: 'a', value: '1' }], result: 'r' };
  it.each([
    [{}, true],
    [{ parameters: [{ name: 'a', value: '1' }], result: 'r' }, true],
    [{ parameters: [{ name: 'b', value: '2' }] }, true],
    [{ parameters: [{ name: 'a', value: '2' }] }, false],
    [{ parameters: [{ name: 'a' }] }, true],
    [{ result: 's' }, false],
    [{ result: null }, true],
  ])('with %j: %s', (outputs, expected) => {
    expect(agreesWith(post, outputs)).toBe(expected);
  });
});
