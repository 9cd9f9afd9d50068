import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SharedMemory, sizeOfText, sizeOfValue } from '../../../src/base/shared-memory.ts';

const newMemory = (limitBytes: number) => {
  const evicted: string[] = [];
  const memory = new SharedMemory<string>(limitBytes, (tenant, key, item) => evicted.push(`${tenant}/${key}=${item}`));
  return { memory, evicted };
};

describe('SharedMemory', () => {
  it('takes from the tenant that has the most what it did not ask for the longest', () => {
    const { memory, evicted } = newMemory(100);
    memory.put('small', 'a', 'A', 20);
    memory.put('large', 'b', 'B', 40);
    memory.put('large', 'c', 'C', 40);
    expect(memory.get('large', 'b')).toBe('B');
    memory.put('large', 'd', 'D', 40);
    expect(evicted).toEqual(['large/c=C']);
    expect(memory.peek('large', 'b')).toBe('B');
    memory.put('small', 'e', 'E', 30);
    expect(evicted).toEqual(['large/c=C', 'large/b=B']);
    expect([memory.bytes, memory.size, memory.keys('small')]).toEqual([90, 3, ['a', 'e']]);
  });

  it('does not hold what is larger than all there is', () => {
    const { memory, evicted } = newMemory(100);
    memory.put('one', 'a', 'A', 101);
    expect([memory.bytes, evicted]).toEqual([0, ['one/a=A']]);
  });

  it('says whether there is room for more of a tenant', () => {
    const { memory } = newMemory(100);
    memory.put('large', 'a', 'A', 70);
    memory.put('small', 'b', 'B', 30);
    expect(['large', 'small', 'new'].map((tenant) => memory.hasRoomFor(tenant))).toEqual([false, true, true]);
    memory.delete('small', 'b');
    expect(memory.hasRoomFor('large')).toBe(true);
  });

  it('never holds more than its limit, nor takes anything from a tenant below its share', () => {
    const put = fc.record({
      tenant: fc.constantFrom('a', 'b', 'c'),
      key: fc.constantFrom('1', '2', '3', '4'),
      bytes: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(put, { maxLength: 60 }), (puts) => {
        const held = new Map<string, number>();
        const bytesOf = (tenant: string) =>
          [...held].reduce((sum, [key, bytes]) => (key.startsWith(tenant) ? sum + bytes : sum), 0);
        const memory = new SharedMemory<number>(100, (tenant, key) => {
          const share = 100 / new Set([...held.keys()].map((name) => name[0])).size;
          expect(bytesOf(tenant)).toBeGreaterThan(share);
          held.delete(tenant + key);
        });
        for (const { tenant, key, bytes } of puts) {
          held.set(tenant + key, bytes);
          memory.put(tenant, key, bytes, bytes);
          expect(memory.bytes).toBeLessThanOrEqual(100);
          expect(memory.bytes).toBe([...held.values()].reduce((sum, one) => sum + one, 0));
        }
      }),
    );
  });
});

describe('sizes', () => {
  it('count two bytes a character where one is beyond Latin-1', () => {
    expect([sizeOfText('aé'), sizeOfText('a€')]).toEqual([2, 4]);
  });

  it('of values grow with their texts and their members', () => {
    expect(sizeOfValue({ a: 'x'.repeat(1_000) })).toBeGreaterThan(1_000);
    expect(sizeOfValue(Array.from({ length: 100 }, () => ({})))).toBeGreaterThan(100 * 32);
    expect([sizeOfValue(undefined), sizeOfValue(null), sizeOfValue(7)]).toEqual([0, 0, 0]);
  });
});
