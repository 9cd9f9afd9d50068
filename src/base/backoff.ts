import { setTimeout as sleepFor } from 'node:timers/promises';

export interface BackoffOptions {
  readonly firstMs: number;
  /** Upper end of what it grows to. */
  readonly mostMs: number;
  /** In [0, 1); Math.random where it is left out. */
  readonly random?: () => number;
}

/** Waits that double from one failure to the next, each cut by up to a half so that replicas do not come back as one. */
export class Backoff {
  readonly #options: BackoffOptions;
  #nextMs: number;

  constructor(options: BackoffOptions) {
    this.#options = options;
    this.#nextMs = options.firstMs;
  }

  /** How long to wait now, in milliseconds. */
  next(): number {
    const { mostMs, random = Math.random } = this.#options;
    const waitMs = this.#nextMs * (1 - random() / 2);
    this.#nextMs = Math.min(mostMs, this.#nextMs * 2);
    return waitMs;
  }

  reset(): void {
    this.#nextMs = this.#options.firstMs;
  }
}

/** Resolves after `ms`, or as soon as the signal is aborted; leaves no timer behind. Never rejects. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  try {
    await sleepFor(ms, undefined, signal ? { signal } : {});
  } catch {
    // Aborted: the caller looks at the signal itself.
  }
}
