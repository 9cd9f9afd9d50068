import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { RESOURCES } from '../../src/kube/types.ts';
import { clusterInfo, createNamespace, kubeAs, must } from './harness.ts';

/** The command line as one file, on a machine without Node.js. */
const run = promisify(execFile);
const ROOT = new URL('../..', import.meta.url).pathname;
let folder: string;
let program: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stepmemo-executable-'));
  program = join(folder, 'stepmemo');
  await run(process.execPath, [`${ROOT}/scripts/executable.ts`, 'linux-x64', program]);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs it with nothing on the PATH. */
const stepmemo = (...args: string[]) => run(program, args, { env: { PATH: folder, HOME: folder } });

it('says its version', async () => {
  expect((await stepmemo('--version')).stdout.trim()).toBe(packageJson.version);
});

it('judges files', async () => {
  expect((await stepmemo('lint', `${ROOT}/examples/dag.yaml`)).stdout).toContain('nothing found');
});

it('asks a cluster', async () => {
  const namespace = await createNamespace();
  const kube = await kubeAs('admin');
  const labels = { 'workflows.argoproj.io/configmap-type': 'Cache' };
  must(await kube.create({ resource: RESOURCES.configMaps, namespace }, { metadata: { name: 'mine', labels } }));
  const { stdout } = await stepmemo('ls', '-n', namespace, '-o', 'name', '--kubeconfig', clusterInfo().adminKubeconfig);
  expect(stdout).toBe('configmap/mine\n');
});

it('ends with the exit code of the command', async () => {
  const file = join(folder, 'broken.yaml');
  await writeFile(file, 'kind: [');
  await expect(stepmemo('lint', file)).rejects.toMatchObject({ code: 2 });
});
