import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LONGEST_PAUSE_MS, waitForMains } from '../../../src/sidecar/wait-for-mains.ts';
import { Layout } from './harness.ts';

describe('waitForMains', () => {
  let files: Layout;
  let terminate: AbortController;
  beforeEach(() => {
    files = new Layout().declares();
    terminate = new AbortController();
  });
  afterEach(() => files.remove());

  it('looks once more when it is told to end', async () => {
    const waiting = waitForMains(files.root, terminate.signal);
    files.exit(0);
    terminate.abort();
    expect(await waiting).toMatchObject({ end: 'succeeded' });
  });

  it('ends without an exit code when it is told to', async () => {
    const waiting = waitForMains(files.root, terminate.signal);
    terminate.abort();
    expect(await waiting).toEqual({ end: 'terminated' });
  });

  it('looks even if it was told to end before it began', async () => {
    files.exit(0);
    terminate.abort();
    expect(await waitForMains(files.root, terminate.signal)).toMatchObject({ end: 'succeeded' });
  });

  it.each([
    ['long ago', 0, LONGEST_PAUSE_MS],
    ['in the future', 4_000_000_000, 0],
  ])('believes a time of the exit code that lies %s only so far', async (_, seconds, sinceMs) => {
    files.exit(0);
    utimesSync(join(files.root, 'ctr/main/exitcode'), seconds, seconds);
    expect(await waitForMains(files.root, terminate.signal)).toMatchObject({ end: 'succeeded', sinceMs });
  });
});
