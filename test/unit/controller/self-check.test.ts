import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLog } from '../../../src/base/log.ts';
import { startSelfCheck } from '../../../src/controller/self-check.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import type { EventInput } from '../../../src/telemetry/events.ts';

type Answer = 'called' | 'not called' | 'refused';
let answer: Answer;
let isLeader: boolean;
let asked: KubeObject[];
let events: EventInput[];
let results: boolean[];

beforeEach(() => {
  vi.useFakeTimers();
  [answer, isLeader, asked, events, results] = ['called', true, [], [], []];
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
    recordEvent: (event) => void events.push(event),
  });
}

const pass = (minutes: number) => vi.advanceTimersByTimeAsync(minutes * 60_000);

describe('the self-check', () => {
  it('asks with another nonce each time, and has nothing to say while it is answered', async () => {
    const check = start();
    await pass(3);
    expect(results).toEqual([true, true, true]);
    expect(new Set(asked.map(({ data }) => (data as { nonce: string }).nonce)).size).toBe(3);
    expect([check.trouble, events]).toEqual([undefined, []]);
  });

  it('says so at the second time in a row, and no more than once an hour', async () => {
    const check = start();
    answer = 'not called';
    await pass(1);
    expect([check.trouble, events.length]).toEqual([undefined, 0]);
    await pass(1);
    expect(check.trouble).toBe('the API server does not call the webhooks');
    await pass(58);
    expect(events).toMatchObject([{ reason: 'webhook-not-called', regarding: { kind: 'Deployment' } }]);
    await pass(5);
    expect(events).toHaveLength(2);
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
    expect([check.trouble, events, results, asked.length]).toEqual([undefined, [], [], 5]);
  });

  it('asks nothing once it is stopped', async () => {
    start().stop();
    await pass(5);
    expect(asked).toEqual([]);
  });
});
