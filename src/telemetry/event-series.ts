import type { ObjectPath } from '../kube/types.ts';

/** What has been said of one object for one reason in the last while. */
export interface EventSeries {
  readonly startedMs: number;
  /** How many Events were asked for. */
  told: number;
  /** Where that one is, once it is written. */
  path: ObjectPath | undefined;
  isFlushDue: boolean;
}

/** Enough to name the pods of most workflows. */
const ALONE = 10;
/** After that it is news again. */
const WINDOW_MS = 10 * 60_000;
const REMEMBERED = 5_000;

/** The series of the last while; the oldest are forgotten where there are too many. */
export class EventSeriesTable {
  readonly #series = new Map<string, EventSeries>();

  /** Counts one more. */
  see(key: string, nowMs: number): EventSeries {
    const known = this.#series.get(key);
    const one = known !== undefined && nowMs - known.startedMs < WINDOW_MS ? known : this.#begin(key, nowMs);
    one.told += 1;
    return one;
  }

  #begin(key: string, nowMs: number): EventSeries {
    const [oldest] = this.#series.keys();
    if (this.#series.size >= REMEMBERED && oldest !== undefined) this.#series.delete(oldest);
    const one: EventSeries = { startedMs: nowMs, told: 0, path: undefined, isFlushDue: false };
    this.#series.delete(key);
    this.#series.set(key, one);
    return one;
  }
}

/**
 * How many Events the one that counts stands for. None: the last one that was asked for stands alone; one: it begins the one that
 * counts; more: it joins that.
 */
export function countOf({ told }: EventSeries): number {
  return Math.max(0, told - ALONE);
}

/** How much each of many may do: some at once, and so much a second from then on. */
export class TokenBuckets {
  readonly #limit: { readonly burst: number; readonly perSecond: number };
  readonly #buckets = new Map<string, { left: number; atMs: number }>();

  constructor(limit: { readonly burst: number; readonly perSecond: number }) {
    this.#limit = limit;
  }

  take(name: string, nowMs: number): boolean {
    const { burst, perSecond } = this.#limit;
    const bucket = this.#buckets.get(name) ?? { left: burst, atMs: nowMs };
    const left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
    const isFull = left < 1;
    this.#buckets.set(name, { left: isFull ? left : left - 1, atMs: nowMs });
    this.#prune(nowMs);
    return !isFull;
  }

  /** One that is full again says nothing. */
  #prune(nowMs: number): void {
    const { burst, perSecond } = this.#limit;
    for (const [name, { left, atMs }] of this.#buckets) {
      if (left + ((nowMs - atMs) / 1000) * perSecond < burst) return;
      this.#buckets.delete(name);
    }
  }
}
