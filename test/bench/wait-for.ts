/** Asks until the answer is true. A throw of the condition counts as no; its message is part of the error in the end. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  options: { what: string; deadlineMs?: number },
): Promise<void> {
  const { what, deadlineMs = 15_000 } = options;
  const endMs = performance.now() + deadlineMs;
  let last: unknown;
  while (performance.now() < endMs) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited ${deadlineMs} ms in vain for ${what}`, { cause: last });
}
