import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readFileBelow } from '../../../src/sidecar/safe-file.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stepmemo-files-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function textOf(path: string, options = { limitBytes: 100 }): string {
  const reading = readFileBelow(root, path, options);
  return reading.ok ? reading.bytes.toString('utf8') : reading.detail;
}

describe('readFileBelow', () => {
  it('reads a file whole up to the limit, and none beyond it', () => {
    writeFileSync(join(root, 'file'), '12345');
    expect(textOf('file', { limitBytes: 5 })).toBe('12345');
    expect(textOf('file', { limitBytes: 4 })).toBe('too large');
    writeFileSync(join(root, 'empty'), '');
    expect(textOf('empty', { limitBytes: 0 })).toBe('');
  });

  it('reads the end of a longer file', () => {
    writeFileSync(join(root, 'file'), '12345');
    expect(readFileBelow(root, 'file', { limitBytes: 3, isTail: true })).toMatchObject({ bytes: Buffer.from('345') });
    expect(readFileBelow(root, 'file', { limitBytes: 9, isTail: true })).toMatchObject({ bytes: Buffer.from('12345') });
  });

  it('follows a link to the root itself, which whoever mounts it chose', () => {
    mkdirSync(join(root, 'real'));
    writeFileSync(join(root, 'real/file'), 'text');
    symlinkSync('real', join(root, 'run'));
    expect(readFileBelow(join(root, 'run'), 'file', { limitBytes: 9 }).ok).toBe(true);
  });

  it.each([
    ['../outside', 'ENOENT'],
    ['a/../../../../etc/passwd', 'ENOENT'],
    ['', 'no regular file'],
    ['.', 'no regular file'],
    ['file/below', 'ENOTDIR'],
    ['nothing/below', 'ENOENT'],
  ])('stays below the root with %j', (path, detail) => {
    writeFileSync(join(root, 'file'), 'text');
    expect(textOf(path)).toBe(detail);
  });

  it('never reads through a link, however often a directory turns into one meanwhile', async () => {
    mkdirSync(join(root, 'secrets'));
    writeFileSync(join(root, 'secrets/file'), 'secret');
    mkdirSync(join(root, 'below/real'), { recursive: true });
    writeFileSync(join(root, 'below/real/file'), 'honest');
    symlinkSync(join(root, 'secrets'), join(root, 'below/link'));
    // In a thread of its own: `dir` is a directory and a link by turns, as fast as rename(2) goes.
    const worker = new Worker(
      `const { renameSync } = require('node:fs'); const { workerData: below } = require('node:worker_threads');
       require('node:worker_threads').parentPort.postMessage('started');
       for (;;) for (const name of ['real', 'link']) {
         renameSync(below + '/' + name, below + '/dir'); renameSync(below + '/dir', below + '/' + name);
       }`,
      { eval: true, workerData: join(root, 'below') },
    );
    await new Promise((resolve) => worker.once('message', resolve));
    const seen = new Set<string>();
    const deadlineMs = performance.now() + 10_000;
    while (!(seen.has('honest') && seen.has('a symbolic link')) && performance.now() < deadlineMs) {
      for (let count = 0; count < 1_000; count++) seen.add(textOf('below/dir/file'));
    }
    await worker.terminate();
    expect(seen).toContain('honest');
    expect(seen).toContain('a symbolic link');
    expect(seen).not.toContain('secret');
  }, 30_000);
});
