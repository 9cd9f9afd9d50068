import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { KubeObject } from '../../src/kube/types.ts';
import { waitFor } from '../integration/harness.ts';
import { entryOf, givenNamespace, memoizedSteps, submit, untilEnded, untilEntries, untilHeld } from './cluster.ts';
import { sidecarProcesses } from './processes.ts';
import { serverPods, whileNobodyLeads } from './server.ts';
import { runFolder } from './settings.ts';

/*
 * Roll-back to an older version and the upgrade from it, under workflows that run and pods that are held. PREVIOUS (v0.1.0) names
 * the older one, a tag or a commit, which is taken out of the history: `make test-upgrade`.
 */
const ROOT = new URL('../..', import.meta.url).pathname;
const previous = process.env.PREVIOUS ?? '';
const IMAGE = 'stepmemo:previous';
const CACHE = 'upgrade';
const run = promisify(execFile);
const LONG = { timeout: 600_000 };

let older: string;
let namespace: string;

/** The older version's tree and image. */
async function givenOlder(revision: string): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), 'stepmemo-previous-'));
  const sh = (command: string) =>
    run('bash', ['-euo', 'pipefail', '-c', command], {
      cwd: tree,
      maxBuffer: 2 ** 26,
      env: { ...process.env, IMAGE, STEPMEMO_RUN: runFolder },
    });
  const known = await run('git', ['-C', ROOT, 'rev-parse', '--verify', '--quiet', `${revision}^{commit}`]).catch(
    () => undefined,
  );
  if (known === undefined)
    throw new Error(`PREVIOUS: ${revision} is not in this history; name a tag or a commit that is`);
  await sh(`git -C '${ROOT}' archive ${known.stdout.trim()} | tar x`);
  await sh('npm ci --silent --no-audit --no-fund && npm run --silent build && cluster/image.sh');
  return tree;
}

const install = (tree: string, image: string) =>
  run(join(tree, 'scripts/install.sh'), [inject('e2e').kubeconfig, inject('e2e').kubectl], {
    maxBuffer: 2 ** 26,
    env: { ...process.env, IMAGE: image, STEPMEMO_RUN: runFolder },
  });

function workflow(key: string, script = 'echo x > /tmp/out'): KubeObject {
  const template = {
    name: 'work',
    memoize: { key, maxAge: '1h', cache: { configMap: { name: CACHE } } },
    container: { image: 'busybox:local', command: ['sh', '-c'], args: [script] },
    outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
  };
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'upgrade-' },
    spec: { entrypoint: 'work', templates: [template] },
  };
}

/** Workflows that are held for their hits. */
async function givenHeld(count: number): Promise<readonly string[]> {
  const names = await Promise.all(Array.from({ length: count }, () => submit(namespace, workflow('known'))));
  await untilHeld(namespace, names);
  return names;
}

/** Whether a replica of the version that comes is ready. */
async function isThere(image: string): Promise<boolean> {
  type Pod = { spec: { containers: { image: string }[] }; status: { containerStatuses?: { ready: boolean }[] } };
  const pods = (await serverPods()) as unknown as readonly Pod[];
  return pods.some(
    ({ spec, status }) => spec.containers[0]?.image === image && status.containerStatuses?.[0]?.ready === true,
  );
}

/** Puts another version in the place of the one that runs, while workflows of every state are under way. */
async function exchange(tree: string, image: string, round: string): Promise<void> {
  // Its sidecar is of the version that goes; it ends its step only when the other has come.
  const long = await submit(namespace, workflow(`${round}-long`, 'sleep 60; echo x > /tmp/out'));
  await waitFor(async () => (await sidecarProcesses()).length > 0, {
    what: 'the sidecar of the long step',
    deadlineMs: 60_000,
  });
  const names: string[] = [long];
  const misses: string[] = [`${round}-long`];
  let held: readonly string[] = [];
  let isInstalled = false;
  let installed: Promise<unknown> = Promise.resolve();
  // Held by the version that goes, and ended by the one that comes.
  await whileNobodyLeads(async () => {
    held = await givenHeld(3);
    names.push(...held);
    installed = install(tree, image).finally(() => {
      isInstalled = true;
    });
    await waitFor(() => isThere(image), { what: 'the first replica of the other version', deadlineMs: 120_000 });
  });
  while (!isInstalled) {
    const key = `${round}-${misses.length}`;
    misses.push(key);
    names.push(await submit(namespace, workflow('known')), await submit(namespace, workflow(key)));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  await installed;
  const ended = await Promise.all(names.map((name) => untilEnded(namespace, name)));
  expect(ended.filter(({ phase }) => phase !== 'Succeeded').map(({ name, message }) => `${name}: ${message}`)).toEqual(
    [],
  );
  for (const key of misses) {
    await waitFor(() => entryOf(namespace, CACHE, key), { what: `the entry ${key}`, deadlineMs: 60_000 });
  }
  for (const name of held) {
    expect((await memoizedSteps({ namespace, name }))[0], name).toMatchObject({ decision: 'hit', hasRun: false });
  }
  // And the version that has come serves what the other captured.
  const name = await submit(namespace, workflow(`${round}-long`));
  await untilEnded(namespace, name);
  expect((await memoizedSteps({ namespace, name }))[0]).toMatchObject({ decision: 'hit', hasRun: false });
  console.info(`${round}: ${ended.length} workflows under way, ${misses.length} captures`);
}

describe('an exchange of versions', () => {
  beforeAll(async () => {
    older = await givenOlder(previous);
    namespace = await givenNamespace();
    await untilEnded(namespace, await submit(namespace, workflow('known')));
    await untilEntries(namespace, CACHE, 1);
  }, 600_000);
  afterAll(async () => {
    if (older !== undefined) await rm(older, { recursive: true, force: true });
  });

  it('rolls back', LONG, () => exchange(older, IMAGE, 'back'));

  it('upgrades', LONG, () => exchange(ROOT, 'stepmemo:local', 'up'));
});
