import { FairSet } from './fair-set.ts';

/** Work by key: one key is worked on once at a time, many keys side by side. */
export interface WorkQueue {
  /** Has the key worked on as soon as there is room; again, if it is being worked on just now. */
  add(key: string): void;
  /** The same in `delayMs`; the earliest of several times counts. */
  addAfter(key: string, delayMs: number): void;
  /** Keys that wait for room or are worked on. */
  readonly size: number;
  /** Takes no more, and resolves when what is under way is done. */
  stop(): Promise<void>;
}

/** Whose work a key is, and whether somebody waits for it. */
export interface WorkClass {
  readonly tenant: string;
  readonly isUrgent: boolean;
}

export interface WorkQueueOptions {
  /** How many keys are worked on at a time. A quarter of it is kept free of what is not urgent. */
  readonly concurrency: number;
  /** Asked when a key is added. */
  readonly classify: (key: string) => WorkClass;
  readonly process: (key: string) => Promise<void>;
  /** What `process` threw: a bug, and no reason to stop. */
  readonly onError: (key: string, error: unknown) => void;
}

/**
 * A level-triggered queue: what is added says only that there is something to look at, so any number of events about one
 * key are one piece of work, and none is lost that comes while the key is worked on. Urgent work comes first, and tenants
 * take turns. `process` never waits for a time: it comes back by `addAfter`.
 */
export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  return new LanedQueue(options);
}

class LanedQueue implements WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #mostLater: number;
  readonly #urgent = new FairSet();
  readonly #later = new FairSet();
  /** By key, whether it is worked on as urgent. */
  readonly #active = new Map<string, boolean>();
  readonly #again = new Set<string>();
  readonly #timers = new Map<string, { readonly dueMs: number; readonly timer: NodeJS.Timeout }>();
  #activeLater = 0;
  #isStopped = false;
  #onIdle: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#mostLater = Math.max(1, Math.floor(options.concurrency * 0.75));
  }

  get size(): number {
    return this.#urgent.size + this.#later.size + this.#active.size;
  }

  add(key: string): void {
    if (this.#isStopped) return;
    if (this.#active.has(key)) this.#again.add(key);
    else this.#enqueue(key);
    this.#pump();
  }

  addAfter(key: string, delayMs: number): void {
    if (this.#isStopped) return;
    const dueMs = performance.now() + delayMs;
    const planned = this.#timers.get(key);
    if (planned !== undefined && planned.dueMs <= dueMs) return;
    clearTimeout(planned?.timer);
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.add(key);
    }, delayMs);
    timer.unref();
    this.#timers.set(key, { dueMs, timer });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#urgent.clear();
    this.#later.clear();
    this.#again.clear();
    if (this.#active.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #enqueue(key: string): void {
    const { tenant, isUrgent } = this.#options.classify(key);
    const [lane, other] = isUrgent ? [this.#urgent, this.#later] : [this.#later, this.#urgent];
    other.delete(key);
    lane.add(key, tenant);
  }

  #pump(): void {
    while (this.#active.size < this.#options.concurrency) {
      const urgent = this.#urgent.take();
      const key = urgent ?? (this.#activeLater < this.#mostLater ? this.#later.take() : undefined);
      if (key === undefined) return;
      this.#active.set(key, urgent !== undefined);
      if (urgent === undefined) this.#activeLater += 1;
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    try {
      await this.#options.process(key);
    } catch (error) {
      this.#report(key, error);
    }
    if (this.#active.get(key) === false) this.#activeLater -= 1;
    this.#active.delete(key);
    if (this.#again.delete(key) && !this.#isStopped) this.#enqueue(key);
    if (this.#active.size === 0) this.#onIdle?.();
    this.#pump();
  }

  #report(key: string, error: unknown): void {
    try {
      this.#options.onError(key, error);
    } catch {
      // No caller is left to be told, and the other keys must not suffer.
    }
  }
}
