import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { type ShownCommand, shownCommands } from '../support/docs-commands.ts';
import { bringUp, type ClusterInfo } from './global-setup.ts';
import { must } from './harness.ts';
import { connect, type TestKube } from './test-kube.ts';

/*
 * Runs the commands of the docs, as they stand there, on an API server of its own on which stepmemo is installed as shipped; each
 * has to end well. A page is gone through from its top, in a folder that holds what the page speaks of. What cannot run here says why
 * in the page (`<!-- no-run: … -->`), and is counted.
 */
const run = promisify(execFile);
const ROOT = new URL('../..', import.meta.url).pathname;
const commands = shownCommands();
/** What each example of the page prints is what policy-docs.test.ts has seen. */
const isExample = ({ file, text }: ShownCommand) => file === 'docs/policy.md' && text.includes('example.yaml');
const toRun = commands.filter((command) => command.mark === undefined && !isExample(command));

let tearDown: () => Promise<void>;
let cluster: ClusterInfo;
let admin: TestKube;
let controller: TestKube;
let helm: string;

beforeAll(async () => {
  ({ cluster, tearDown } = await bringUp());
  admin = await connect(cluster.adminKubeconfig);
  controller = admin.withToken((await admin.tokenOf('argo', 'argo')).token);
  await run('npm', ['run', '--silent', 'build'], { cwd: ROOT });
  const built = await run(join(ROOT, 'cluster/build.sh'), ['helm', '3'], { maxBuffer: 2 ** 24 });
  helm = built.stdout.trim().split('\n').at(-1) ?? '';
  for (const [name, program] of Object.entries({
    stepmemo: join(ROOT, 'bin/stepmemo.mjs'),
    kubectl: cluster.kubectl,
    helm,
  }))
    await script(name, `exec ${program} "$@"`);
}, 1_800_000);

afterAll(() => tearDown?.(), 60_000);

async function script(name: string, text: string): Promise<void> {
  const file = join(cluster.scratch, 'docs-bin', name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `#!/bin/sh\n${text}\n`);
  await chmod(file, 0o755);
}

async function makeNamespace(name: string, labels: Record<string, string> = { 'stepmemo.io/enabled': 'true' }) {
  must(await admin.create({ resource: RESOURCES.namespaces }, { metadata: { name, labels } }));
  await admin.require('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
}

const template = (name: string): KubeObject => ({
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'WorkflowTemplate',
  metadata: { name },
  spec: {
    entrypoint: 'work',
    templates: [
      {
        name: 'work',
        inputs: { parameters: [{ name: 'x', value: '1' }] },
        outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
        container: { image: 'busybox' },
        memoize: { key: '{{inputs.parameters.x}}', maxAge: '24h', cache: { configMap: { name: 'work-cache' } } },
      },
    ],
  },
});

/** A folder with a repository's workflows. */
async function repository(): Promise<string> {
  const folder = await mkdtemp(join(cluster.scratch, 'docs-'));
  await mkdir(join(folder, 'workflows'));
  await writeFile(join(folder, 'workflows/work.yaml'), stringify(template('work')));
  await writeFile(
    join(folder, 'kustomization.yaml'),
    stringify({ namespace: 'default', resources: ['workflows/work.yaml'] }),
  );
  return folder;
}

/** A pod that a gate of stepmemo's holds, as one that was left behind when stepmemo was removed. */
async function holdPod(): Promise<void> {
  const pods = { resource: RESOURCES.pods, namespace: 'left' };
  const spec = { schedulingGates: [{ name: 'stepmemo.io/hit' }], containers: [{ name: 'main', image: 'busybox' }] };
  await admin.remove({ ...pods, name: 'held' });
  must(await controller.create(pods, { metadata: { name: 'held' }, spec }));
}

/** What the namespace controller does, of which there is none here. */
async function finishDeletion(namespace: string): Promise<void> {
  const kubectl = async (...args: string[]) =>
    (await run(cluster.kubectl, ['--kubeconfig', cluster.adminKubeconfig, ...args])).stdout;
  const kinds = await kubectl('api-resources', '--namespaced', '--verbs=delete', '-o', 'name');
  await kubectl('delete', kinds.trim().split('\n').join(), '--all', '-n', namespace, '--wait=false');
  const url = `/api/v1/namespaces/${namespace}`;
  const { body } = await admin.request('GET', url);
  await admin.require('PUT', `${url}/finalize`, { ...(body as KubeObject), spec: { finalizers: [] } });
}

/** What a page takes for granted, and where its commands are run. In this order: the later ones need what the earlier ones did. */
const SCENES: Readonly<Record<string, () => Promise<string>>> = {
  'docs/gitops.md': async () => {
    await makeNamespace('research', {});
    must(await admin.create({ resource: RESOURCES.workflowTemplates, namespace: 'research' }, template('shared')));
    const labels = { 'stepmemo.io/enabled': 'true' };
    must(await admin.merge({ resource: RESOURCES.namespaces, name: 'research' }, { metadata: { labels } }));
    return repository();
  },
  'docs/operations.md': repository,
  'docs/certificates.md': async () => {
    must(
      await admin.create({ resource: RESOURCES.secrets, namespace: 'stepmemo' }, { metadata: { name: 'stepmemo-ca' } }),
    );
    return ROOT;
  },
  'docs/policy.md': repository,
  'docs/uninstall.md': async () => {
    await makeNamespace('left');
    return ROOT;
  },
  'README.md': async () => {
    await finishDeletion('stepmemo');
    await makeNamespace('team-a', {});
    return ROOT;
  },
  'docs/install.md': async () => {
    await run(helm, ['uninstall', 'stepmemo', '-n', 'stepmemo', '--no-hooks', '--kubeconfig', cluster.adminKubeconfig]);
    await makeNamespace('my-workflows', {});
    return ROOT;
  },
};

const order = Object.keys(SCENES);
const inOrder = toRun.toSorted((a, b) => order.indexOf(a.file) - order.indexOf(b.file));
const folders = new Map<string, Promise<string>>();

it('has a scene for each page with commands', () => {
  const marked = commands.filter(({ mark }) => mark !== undefined);
  console.log(`${inOrder.length} commands of the docs are run, ${marked.length} are marked no-run`);
  expect([...new Set(inOrder.map(({ file }) => file))]).toEqual(order);
});

it.each(inOrder)('$where: $text', { timeout: 120_000 }, async ({ file, text, setup }) => {
  const folder = folders.get(file) ?? SCENES[file]?.();
  if (folder === undefined) throw new Error(`there is no scene for ${file}`);
  folders.set(file, folder);
  const cwd = await folder;
  if (text.includes(' POD ')) await holdPod();
  const names = { NAMESPACE: 'left', POD: 'held', REGISTRY: 'registry.example' } as const;
  const lines = [...setup, text]
    .join('\n')
    .replace(/NAMESPACE|POD|REGISTRY/g, (name) => names[name as keyof typeof names]);
  const env = {
    ...process.env,
    KUBECONFIG: cluster.adminKubeconfig,
    PATH: `${join(cluster.scratch, 'docs-bin')}:${process.env.PATH}`,
  };
  await run('bash', ['-euo', 'pipefail', '-c', lines], { cwd, env, maxBuffer: 2 ** 24 });
});
