import { describe, expect, it } from 'vitest';
import { eventReason, REASONS, type Reason } from '../../../src/base/reasons.ts';

describe('reasons', () => {
  const reasons = Object.keys(REASONS) as Reason[];

  it.each(reasons)('%s is a kebab-case word with a sentence', (reason) => {
    expect(reason).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(REASONS[reason].meaning).toMatch(/^\S.*\.$/);
    expect(REASONS[reason].fix).toMatch(/^$|\.$/);
  });

  it('become UpperCamelCase in Events', () => {
    expect(eventReason('no-entry')).toBe('NoEntry');
    expect(reasons.map(eventReason)).toSatisfy((all: string[]) => all.every((word) => /^[A-Z][A-Za-z]+$/.test(word)));
  });
});
