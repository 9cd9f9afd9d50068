/** Counts what is under way, in all and for each client, and says no beyond. */
export class InFlightGate {
  readonly #total: number;
  readonly #perClient: number;
  readonly #byClient = new Map<string, number>();
  #count = 0;

  constructor(limits: { readonly total: number; readonly perClient: number }) {
    this.#total = limits.total;
    this.#perClient = limits.perClient;
  }

  /** A place, to be given back by calling it; undefined where there is none. */
  enter(client: string): (() => void) | undefined {
    const own = this.#byClient.get(client) ?? 0;
    if (this.#count >= this.#total || own >= this.#perClient) return undefined;
    this.#count += 1;
    this.#byClient.set(client, own + 1);
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      this.#leave(client);
    };
  }

  #leave(client: string): void {
    this.#count -= 1;
    const own = (this.#byClient.get(client) ?? 1) - 1;
    if (own > 0) this.#byClient.set(client, own);
    else this.#byClient.delete(client);
  }
}

/** How many names are remembered; the oldest go first. */
const REMEMBERED = 10_000;

/** At most `count` uses of a name within `windowMs`, the window starting with the first use. */
export class RateLimit {
  readonly #count: number;
  readonly #windowMs: number;
  readonly #uses = new Map<string, { startMs: number; count: number }>();

  constructor(limits: { readonly count: number; readonly windowMs: number }) {
    this.#count = limits.count;
    this.#windowMs = limits.windowMs;
  }

  /** Counts one use at this time (any clock in milliseconds); false: too many. */
  use(name: string, nowMs: number): boolean {
    const known = this.#uses.get(name);
    if (known && nowMs - known.startMs < this.#windowMs) {
      known.count += 1;
      return known.count <= this.#count;
    }
    this.#uses.delete(name);
    this.#uses.set(name, { startMs: nowMs, count: 1 });
    const oldest = this.#uses.keys().next();
    if (this.#uses.size > REMEMBERED && !oldest.done) this.#uses.delete(oldest.value);
    return true;
  }
}
