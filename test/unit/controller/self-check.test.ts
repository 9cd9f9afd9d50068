import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLog } from '../../../src/base/log.ts';
import { startSelfCheck } from '../../../src/controller/self-check.ts';
import type { KubeObject } from '../../../src/kube/types.ts';

type Answer = 'called' | 'not called' | 'refused';
let answer: Answer;
let isLeader: boolean;
let asked: KubeObject[];
let results: boolean[];

beforeEach(() => {
  vi.useFakeTimers();
  [answer, isLeader, asked, results] = ['called', true, [], []];
});
afterEach(() => vi.useRealTimers());

function start() {
  const create = async (_: unknown, object: KubeObject, isDryRun?: boolean) => {
    expect(isDryRun).toBe(true);
    asked.push(object);
    if (answer === 'refused') return { ok: false as const, status: 403, reason: 'Forbidden', message: 'no' };
    const data = object.data as { nonce: string };
    return { ok: true as const, value: { data: answer === 'called' ? { ...data, answer: data.nonce } : data } };
  };
  return startSelfCheck({
    kube: { create },
    namespace: 'stepmemo',
    everyMs: 60_000,
    isLeader: () => isLeader,
    log: createLog('fatal'),
    metrics: { selfCheck: (isCalled) => void results.push(isCalled) },
  });
}

const pass = (minutes: number) => vi.advanceTimersByTimeAsync(minutes * 60_000);

describe('the self-check', () => {
  it('asks with another nonce each time, and has nothing to say while it is answered', async () => {
    const check = start();
    await pass(3);
    expect(results).toEqual([true, true, true]);
    expect(new Set(asked.map(({ data }) => (data as { nonce: string }).nonce)).size).toBe(3);
    expect(check.trouble).toBeUndefined();
  });

  it('says so at the second time in a row, until it is answered again', async () => {
    const check = start();
    answer = 'not called';
    await pass(1);
    expect(check.trouble).toBeUndefined();
    await pass(1);
    expect(check.trouble).toMatchObject({ reason: 'webhook-not-called' });
    await pass(1);
    expect(check.trouble).toMatchObject({ reason: 'webhook-not-called' });
    answer = 'called';
    await pass(1);
    expect(check.trouble).toBeUndefined();
  });

  it('says nothing where its question is not taken, or another replica asks', async () => {
    const check = start();
    answer = 'refused';
    await pass(5);
    answer = 'not called';
    isLeader = false;
    await pass(5);
    expect([check.trouble, results, asked.length]).toEqual([undefined, [], 5]);
  });

  it('asks nothing once it is stopped', async () => {
    start().stop();
    await pass(5);
    expect(asked).toEqual([]);
  });
});
