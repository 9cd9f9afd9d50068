import { describe, expect, it } from 'vitest';
import { withDeadline } from '../../../src/admission/deadline.ts';

describe('withDeadline', () => {
  it('gives the result of work that is done at once', async () => {
    expect(await withDeadline(() => 1, 1000)).toBe(1);
  });

  it('gives the result of work that is done in time', async () => {
    expect(await withDeadline(() => Promise.resolve(1), 1000)).toBe(1);
  });

  it('gives undefined for work that never ends', async () => {
    expect(await withDeadline(() => new Promise(() => {}), 1)).toBeUndefined();
  });

  it('passes on a failure', async () => {
    await expect(withDeadline(() => Promise.reject(new Error('x')), 1000)).rejects.toThrow('x');
  });

  it('calls work that took too long without a wait late', async () => {
    const work = (): number => {
      const end = performance.now() + 5;
      while (performance.now() < end);
      return 1;
    };
    expect(await withDeadline(work, 1)).toBeUndefined();
  });
});
