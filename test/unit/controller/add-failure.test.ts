import { describe, expect, it } from 'vitest';
import { addFailure } from '../../../src/controller/add-failure.ts';
import type { Failures } from '../../../src/controller/facts.ts';

interface Tried {
  failures: Failures | undefined;
  unansweredSinceMs: number | undefined;
}

/** A call fails every second, for so many seconds; the API server answers others all the time, or has stopped. */
function fail(status: number, seconds: number, isAnswering: (second: number) => boolean): Tried {
  const record: Tried = { failures: undefined, unansweredSinceMs: undefined };
  let answeredMs = 0;
  for (let second = 0; second <= seconds; second += 1) {
    const nowMs = second * 1000;
    if (isAnswering(second)) answeredMs = nowMs;
    const failure = { ok: false, status, reason: '', message: 'no' } as const;
    addFailure(record, failure, { nowMs, answeredMs, deadlineMs: 120_000 });
  }
  return record;
}

describe('a failure', () => {
  it.each([400, 403, 404, 409, 422])('with %d counts as a refusal at once', (status) => {
    expect(fail(status, 15, () => true).failures).toEqual({ count: 16, sinceMs: 0, message: 'no' });
  });

  it.each([0, 429, 500, 503, 504])('with %d is none, as long as others fail too', (status) => {
    expect(fail(status, 1000, () => false).failures).toBeUndefined();
  });

  it.each([0, 429, 500, 503, 504])('with %d is one after the deadline, where others are answered', (status) => {
    expect(fail(status, 119, () => true).failures).toBeUndefined();
    expect(fail(status, 120, () => true).failures).toMatchObject({ sinceMs: 0 });
    expect(fail(status, 120, () => true).failures?.count).toBeGreaterThan(10);
  });

  it('is counted anew after the API server was silent', () => {
    const isAnswering = (second: number) => second < 60 || second > 80;
    expect(fail(503, 150, isAnswering).failures).toBeUndefined();
    expect(fail(503, 201, isAnswering).failures).toMatchObject({ sinceMs: 81_000 });
  });
});
