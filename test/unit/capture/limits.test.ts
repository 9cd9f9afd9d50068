import { describe, expect, it } from 'vitest';
import { InFlightGate, RateLimit } from '../../../src/capture/limits.ts';

describe('InFlightGate', () => {
  it('has so many places for a client, and so many in all', () => {
    const gate = new InFlightGate({ total: 3, perClient: 2 });
    const leave = gate.enter('a');
    expect(gate.enter('a')).toBeDefined();
    expect(gate.enter('a')).toBeUndefined();
    expect(gate.enter('b')).toBeDefined();
    expect(gate.enter('c')).toBeUndefined();
    leave?.();
    expect(gate.enter('c')).toBeDefined();
  });

  it('takes a place back once', () => {
    const gate = new InFlightGate({ total: 1, perClient: 1 });
    const leave = gate.enter('a');
    leave?.();
    leave?.();
    expect(gate.enter('a')).toBeDefined();
    expect(gate.enter('b')).toBeUndefined();
  });
});

describe('RateLimit', () => {
  it('counts within the window, each name for itself', () => {
    const rate = new RateLimit({ count: 2, windowMs: 100 });
    expect([rate.use('a', 0), rate.use('a', 50), rate.use('a', 99), rate.use('b', 99)]).toEqual([
      true,
      true,
      false,
      true,
    ]);
    expect(rate.use('a', 100)).toBe(true);
  });

  it('forgets the oldest of very many names', () => {
    const rate = new RateLimit({ count: 1, windowMs: 100 });
    for (let index = 0; index < 10_001; index++) rate.use(`pod-${index}`, 0);
    expect(rate.use('pod-0', 1)).toBe(true);
    expect(rate.use('pod-10000', 1)).toBe(false);
  });
});
