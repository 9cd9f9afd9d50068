import { describe, expect, test } from 'vitest';
import { createWorkQueue } from '../../../src/base/work-queue.ts';

/** A promise that is settled from outside. */
const gate = <T = void>() => Promise.withResolvers<T>();
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the work queue', () => {
  const classify = () => ({ tenant: '', isUrgent: true });

  test('works on one key once at a time, and again if it was added meanwhile', async () => {
    const first = gate();
    const seen: string[] = [];
    const queue = createWorkQueue({
      concurrency: 4,
      classify,
      process: async (key) => {
        seen.push(key);
        if (seen.length === 1) await first.promise;
      },
      onError: () => {},
    });
    queue.add('a');
    queue.add('a');
    queue.add('a');
    await turn();
    expect(seen).toEqual(['a']);
    first.resolve();
    await turn();
    expect(seen).toEqual(['a', 'a']);
    await queue.stop();
  });

  test('works on no more keys at a time than it may', async () => {
    const hold = gate();
    let most = 0;
    let now = 0;
    const done: string[] = [];
    const queue = createWorkQueue({
      concurrency: 3,
      classify,
      process: async (key) => {
        now += 1;
        most = Math.max(most, now);
        await hold.promise;
        now -= 1;
        done.push(key);
      },
      onError: () => {},
    });
    for (let index = 0; index < 10; index += 1) queue.add(String(index));
    await turn();
    expect(queue.size).toBe(10);
    hold.resolve();
    for (let index = 0; index < 10; index += 1) await turn();
    expect(most).toBe(3);
    expect(done).toHaveLength(10);
  });

  test('goes on after an error, even one of the handler', async () => {
    const seen: string[] = [];
    const queue = createWorkQueue({
      concurrency: 1,
      classify,
      process: async (key) => {
        seen.push(key);
        throw new Error(key);
      },
      onError: () => {
        throw new Error('the handler');
      },
    });
    queue.add('a');
    queue.add('b');
    await turn();
    await turn();
    expect(seen).toEqual(['a', 'b']);
  });

  test('keeps the earliest of several times', async () => {
    const seen = gate<string>();
    const queue = createWorkQueue({
      concurrency: 1,
      classify,
      process: async (key) => seen.resolve(key),
      onError: () => {},
    });
    queue.addAfter('a', 60_000);
    queue.addAfter('a', 1);
    queue.addAfter('a', 60_000);
    expect(await seen.promise).toBe('a');
    await queue.stop();
  });

  test('takes tenants in turn, and what is urgent first', async () => {
    const seen: string[] = [];
    const hold = gate();
    const queue = createWorkQueue({
      concurrency: 1,
      classify: (key) => ({ tenant: key[0] ?? '', isUrgent: key.endsWith('!') }),
      process: async (key) => {
        if (key === 'first!') return hold.promise;
        seen.push(key);
      },
      onError: () => {},
    });
    for (const key of ['first!', 'a1', 'a2', 'a3', 'b1', 'a4!', 'a5!', 'b2!', 'a1']) queue.add(key);
    hold.resolve();
    for (let index = 0; index < 20; index += 1) await turn();
    expect(seen).toEqual(['a4!', 'b2!', 'a5!', 'a1', 'b1', 'a2', 'a3']);
  });

  test('keeps a quarter of its room free for what is urgent', async () => {
    const seen: string[] = [];
    const hold = gate();
    const queue = createWorkQueue({
      concurrency: 4,
      classify: (key) => ({ tenant: '', isUrgent: key.endsWith('!') }),
      process: async (key) => {
        seen.push(key);
        await hold.promise;
      },
      onError: () => {},
    });
    for (let index = 0; index < 10; index += 1) queue.add(String(index));
    queue.add('hit!');
    expect(seen).toEqual(['0', '1', '2', 'hit!']);
    hold.resolve();
    for (let index = 0; index < 10; index += 1) await turn();
    expect(seen).toHaveLength(11);
    expect(queue.size).toBe(0);
  });

  test('ends what is under way before it stops, and takes no more', async () => {
    const hold = gate();
    const seen: string[] = [];
    const queue = createWorkQueue({
      concurrency: 1,
      classify,
      process: async (key) => {
        await hold.promise;
        seen.push(key);
      },
      onError: () => {},
    });
    queue.add('a');
    queue.add('waits');
    const stopped = queue.stop();
    queue.add('late');
    hold.resolve();
    await stopped;
    expect(seen).toEqual(['a']);
  });
});
