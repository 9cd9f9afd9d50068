import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startTroubleTeller } from '../../../src/controller/tell-troubles.ts';

let troubles: readonly string[];
let isLeader: boolean;
let told: string[];
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  [troubles, isLeader, told] = [[], true, []];
  stop = startTroubleTeller({
    troubles: () => troubles,
    namespace: 'stepmemo',
    isLeader: () => isLeader,
    recordEvent: ({ regarding, reason, message }) => void told.push(`${regarding.kind} ${reason}: ${message}`),
  });
});
afterEach(() => {
  stop();
  vi.useRealTimers();
});

const pass = (minutes: number) => vi.advanceTimersByTimeAsync(minutes * 60_000);

describe('what is wrong with the installation', () => {
  it('is told at the second look, and once an hour', async () => {
    troubles = ['a'];
    await pass(1);
    expect(told).toEqual([]);
    await pass(1);
    expect(told).toEqual(['Deployment installation-incomplete: a']);
    troubles = ['a', 'b'];
    await pass(50);
    expect(told).toEqual(['Deployment installation-incomplete: a', 'Deployment installation-incomplete: b']);
    await pass(15);
    expect(told).toHaveLength(4);
  });

  it('is not told when it has passed by the second look', async () => {
    troubles = ['a'];
    await pass(1);
    troubles = [];
    await pass(1);
    troubles = ['a'];
    await pass(1);
    expect(told).toEqual([]);
  });

  it('is told by the leader alone', async () => {
    isLeader = false;
    troubles = ['a'];
    await pass(5);
    expect(told).toEqual([]);
    isLeader = true;
    await pass(2);
    expect(told).toHaveLength(1);
  });
});
