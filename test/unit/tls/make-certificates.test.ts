import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { verifyChain } from '../../../src/tls/authority.ts';
import { readCertificateFiles } from '../../../src/tls/file-source.ts';

const run = promisify(execFile);
const SCRIPT = new URL('../../../certs/make-certificates.sh', import.meta.url).pathname;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stepmemo-certs-'));
});
afterEach(() => rm(folder, { recursive: true }));

const read = async () => {
  const reading = await readCertificateFiles(folder);
  if (!reading.ok) throw new Error(reading.reason);
  return reading;
};

test('what the script makes is what the server takes', async () => {
  await run(SCRIPT, [folder]);
  const { pair, ca } = await read();
  expect(verifyChain(pair.certificate, ca ?? '', 'stepmemo.stepmemo.svc', new Date())).toMatchObject({ is: true });
});

test('run again, it keeps the authority and renews the certificate, for other names too', async () => {
  await run(SCRIPT, [folder]);
  const first = await read();
  const { stdout } = await run(SCRIPT, [folder, '--namespace', 'tools', '--service', 'memo']);
  const second = await read();
  expect(second.ca).toBe(first.ca);
  expect(second.pair.certificate).not.toBe(first.pair.certificate);
  expect(verifyChain(second.pair.certificate, first.ca ?? '', 'memo.tools.svc', new Date())).toMatchObject({
    is: true,
  });
  expect(stdout).toContain('kubectl -n tools create secret generic memo-tls');
});

test('without a folder it says how to use it', async () => {
  await expect(run(SCRIPT, [])).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('FOLDER') });
});

test('the keys are for their owner alone, and no half-made file is left', async () => {
  await run(SCRIPT, [folder]);
  const { stdout } = await run('stat', ['-c', '%a %n', join(folder, 'tls.key'), join(folder, 'ca.key')]);
  expect(stdout.match(/^600 /gm)).toHaveLength(2);
  expect(await readFile(join(folder, 'tls.crt'), 'utf8')).toContain('BEGIN CERTIFICATE');
});
