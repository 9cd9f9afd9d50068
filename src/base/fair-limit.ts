import { FairSet } from './fair-set.ts';

/** Lets so much be done at a time; what has to wait is let in by tenants in turn. */
export class FairLimit {
  readonly #limit: number;
  readonly #waiting = new FairSet();
  readonly #enter = new Map<string, () => void>();
  #active = 0;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async run<T>(tenant: string, work: () => Promise<T>): Promise<T> {
    if (this.#active >= this.#limit) await this.#wait(tenant);
    else this.#active += 1;
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #wait(tenant: string): Promise<void> {
    this.#count += 1;
    const ticket = String(this.#count);
    this.#waiting.add(ticket, tenant);
    return new Promise((resolve) => this.#enter.set(ticket, resolve));
  }

  /** Hands the place on, so that no other caller can take it. */
  #leave(): void {
    const ticket = this.#waiting.take();
    if (ticket === undefined) {
      this.#active -= 1;
      return;
    }
    const enter = this.#enter.get(ticket);
    this.#enter.delete(ticket);
    enter?.();
  }
}
