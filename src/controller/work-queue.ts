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

export interface WorkQueueOptions {
  /** How many keys are worked on at a time. */
  readonly concurrency: number;
  readonly process: (key: string) => Promise<void>;
  /** What `process` threw: a bug, and no reason to stop. */
  readonly onError: (key: string, error: unknown) => void;
}

/**
 * A level-triggered queue: what is added says only that there is something to look at, so any number of events about one
 * key are one piece of work, and none is lost that comes while the key is worked on.
 */
export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const waiting = new Set<string>();
  const active = new Set<string>();
  const again = new Set<string>();
  const timers = new Map<string, { readonly dueMs: number; readonly timer: NodeJS.Timeout }>();
  let isStopped = false;
  let onIdle: (() => void) | undefined;

  const report = (key: string, error: unknown): void => {
    try {
      options.onError(key, error);
    } catch {
      // There is nobody left to tell, and the other keys must not suffer.
    }
  };
  const pump = (): void => {
    for (const key of waiting) {
      if (active.size >= options.concurrency) return;
      waiting.delete(key);
      active.add(key);
      void work(key);
    }
  };
  const work = async (key: string): Promise<void> => {
    try {
      await options.process(key);
    } catch (error) {
      report(key, error);
    }
    active.delete(key);
    if (again.delete(key) && !isStopped) waiting.add(key);
    if (active.size === 0) onIdle?.();
    pump();
  };
  const add = (key: string): void => {
    if (isStopped) return;
    if (active.has(key)) again.add(key);
    else waiting.add(key);
    pump();
  };
  return {
    add,
    addAfter(key, delayMs) {
      if (isStopped) return;
      const dueMs = performance.now() + delayMs;
      const planned = timers.get(key);
      if (planned !== undefined && planned.dueMs <= dueMs) return;
      clearTimeout(planned?.timer);
      const timer = setTimeout(() => {
        timers.delete(key);
        add(key);
      }, delayMs);
      timer.unref();
      timers.set(key, { dueMs, timer });
    },
    get size() {
      return waiting.size + active.size;
    },
    async stop() {
      isStopped = true;
      for (const { timer } of timers.values()) clearTimeout(timer);
      timers.clear();
      waiting.clear();
      again.clear();
      if (active.size > 0) {
        await new Promise<void>((resolve) => {
          onIdle = resolve;
        });
      }
    },
  };
}
