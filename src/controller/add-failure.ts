import { isNoAnswer, type KubeFailure } from '../kube/types.ts';
import type { PodRecord } from './pod-table.ts';

/** An API server that has answered nothing of ours for so long is in trouble, whatever it is asked. */
const SILENT_AFTER_MS = 10_000;
/** Refusals that count at once for a call which has had no answer until its deadline: more than any limit asks for. */
const GIVEN_UP = 1_000;

export interface FailureClock {
  readonly nowMs: number;
  /** When the API server last answered a call of ours, with yes or no. */
  readonly answeredMs: number;
  /** How long a pod may wait for calls about it that get no answer while others do, in milliseconds. */
  readonly deadlineMs: number;
}

/**
 * Counts a failure against a pod: a refusal at once. 429, time-outs and 5xx are none, or an overloaded API server would have
 * every hit run. But where others are answered and this pod's calls are not, somebody's broken webhook stands in its way: then
 * they count after the deadline, for a gated pod always ends.
 */
export function addFailure(
  record: Pick<PodRecord, 'failures' | 'unansweredSinceMs'>,
  failure: KubeFailure,
  { nowMs, answeredMs, deadlineMs }: FailureClock,
): void {
  const { message } = failure;
  if (!isNoAnswer(failure)) {
    const { count = 0, sinceMs = nowMs } = record.failures ?? {};
    record.failures = { count: count + 1, sinceMs, message };
    return;
  }
  const isSilent = nowMs - answeredMs >= SILENT_AFTER_MS;
  record.unansweredSinceMs = isSilent ? undefined : (record.unansweredSinceMs ?? nowMs);
  const sinceMs = record.unansweredSinceMs ?? nowMs;
  if (nowMs - sinceMs >= deadlineMs) record.failures = { count: GIVEN_UP, sinceMs, message };
}
