import type { Readable } from 'node:stream';
import { type BodyReading, readBody } from '../base/read-body.ts';

export interface BudgetOptions {
  /** Of one body. */
  readonly limitBytes: number;
  /** Of all bodies under way, from their first byte to their answer. */
  readonly totalBytes: number;
  readonly timeoutMs: number;
  /** Any clock in milliseconds. */
  readonly now?: () => number;
}

/** So many bodies may be as large as one can be. */
const LARGEST_BODIES = 5;

/** What all bodies under way may take, by the limit of one. */
export function bodiesBytes(limitBytes: number): number {
  return LARGEST_BODIES * limitBytes;
}

/** A body that is not whole yet. */
interface Unfinished {
  readonly startedMs: number;
  bytes: number;
  readonly abort: AbortController;
}

/** Within this time every body counts as fast: one that has just begun has sent nothing yet. */
const GRACE_MS = 500;

/**
 * Bodies in memory, bounded in all. Whoever reaches the port can send one that never ends, so a newcomer that needs room gets
 * that of the slowest unfinished body. No limit goes by address: the API server may share its own with an attacker.
 */
export class BodyBudget {
  readonly #options: BudgetOptions;
  readonly #now: () => number;
  readonly #unfinished = new Set<Unfinished>();
  #usedBytes = 0;

  constructor(options: BudgetOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Reads a body. `release` is to be called once it is answered, whatever came of it. */
  async read(request: Readable): Promise<{ readonly reading: BodyReading; readonly release: () => void }> {
    const { limitBytes, timeoutMs } = this.#options;
    const body: Unfinished = { startedMs: this.#now(), bytes: 0, abort: new AbortController() };
    this.#unfinished.add(body);
    const onBytes = (count: number): void => {
      body.bytes += count;
      this.#usedBytes += count;
      this.#makeRoom();
    };
    const reading = await readBody(request, { limitBytes, timeoutMs, onBytes, signal: body.abort.signal });
    this.#unfinished.delete(body);
    const release = (): void => {
      this.#usedBytes -= body.bytes;
      body.bytes = 0;
    };
    if (!reading.ok) release();
    return { reading, release };
  }

  /** What is given up has its bytes back at once, and not when its request gets round to it. */
  #makeRoom(): void {
    while (this.#usedBytes > this.#options.totalBytes) {
      const slowest = this.#slowest();
      if (slowest === undefined) return;
      this.#unfinished.delete(slowest);
      this.#usedBytes -= slowest.bytes;
      slowest.bytes = 0;
      slowest.abort.abort();
    }
  }

  #slowest(): Unfinished | undefined {
    const nowMs = this.#now();
    const rateOf = ({ bytes, startedMs }: Unfinished): number => bytes / Math.max(1, nowMs - startedMs);
    const old = [...this.#unfinished].filter(({ startedMs }) => nowMs - startedMs >= GRACE_MS);
    const candidates = old.length > 0 ? old : [...this.#unfinished];
    return candidates.sort((one, other) => rateOf(one) - rateOf(other))[0];
  }
}
