/**
 * Runs `work` and gives its result, or undefined when it took longer than `limitMs`. Work that runs on is not stopped,
 * but is not waited for, and its late failure is no unhandled rejection.
 */
export async function withDeadline<T>(work: () => T | Promise<T>, limitMs: number): Promise<T | undefined> {
  const startedMs = performance.now();
  const pending = work();
  if (!(pending instanceof Promise)) {
    // Work without a wait cannot be cut off, but a late answer is still told as one.
    return performance.now() - startedMs > limitMs ? undefined : pending;
  }
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, limitMs, undefined);
  });
  try {
    return await Promise.race([pending, timeUp]);
  } finally {
    clearTimeout(timer);
  }
}
