import { describe, expect, it } from 'vitest';
import { formatBytes, formatCpu, isSameQuantity, parseQuantity } from '../../../src/base/quantity.ts';

describe('parseQuantity', () => {
  it.each([
    ['1', 1],
    ['500m', 0.5],
    ['0.5', 0.5],
    ['.5', 0.5],
    ['64Mi', 67_108_864],
    ['1e3', 1000],
    ['1E3', 1000],
    ['2E', 2e18],
    ['1k', 1000],
    ['-1', -1],
    ['100u', 0.0001],
  ])('reads %s', (text, amount) => {
    expect(parseQuantity(text)).toBeCloseTo(amount, 9);
  });

  it.each(['', 'x', '1 Mi', 'Mi', '1mi', '1KB', '1..2', '0x10', null, {}])('refuses %j', (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  });
});

it('compares amounts, not texts', () => {
  expect(isSameQuantity('0.5', '500m')).toBe(true);
  expect(isSameQuantity('1Gi', '1024Mi')).toBe(true);
  expect(isSameQuantity('1G', '1Gi')).toBe(false);
  expect(isSameQuantity(undefined, '1')).toBe(false);
});

it('writes amounts that are never below what was meant', () => {
  expect(formatCpu(0.1)).toBe('100m');
  expect(formatCpu(0.1001)).toBe('101m');
  expect(formatCpu(2)).toBe('2');
  expect(formatBytes(10.2)).toBe('11');
});
