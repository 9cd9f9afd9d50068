import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { runMigrateCluster } from '../../src/cli/commands/migrate.ts';
import { runRelease } from '../../src/cli/commands/release.ts';
import { runUninstall } from '../../src/cli/commands/uninstall.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { bringUp, type ClusterInfo } from './global-setup.ts';
import { freePorts, must, waitFor } from './harness.ts';
import { connect, type TestKube } from './test-kube.ts';

// An uninstall takes stepmemo out of the whole cluster, so it gets an API server of its own, in the next free slot.
const NAMESPACE = 'tenant';
const memoize = { key: 'k', maxAge: '1h', cache: { configMap: { name: 'c' } } };
const template: KubeObject = {
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'WorkflowTemplate',
  metadata: { name: 'shared' },
  spec: { templates: [{ name: 't', container: { image: 'x' }, memoize }] },
};

let tearDown: () => Promise<void>;
let cluster: ClusterInfo;
let admin: TestKube;
let controller: TestKube;
let stepmemo: TestKube;
let kube: KubeApi;
let server: ChildProcess | undefined;

beforeAll(async () => {
  ({ cluster, tearDown } = await bringUp());
  admin = await connect(cluster.adminKubeconfig);
  controller = admin.withToken((await admin.tokenOf('argo', 'argo')).token);
  stepmemo = await connect(cluster.serverKubeconfig);
  kube = createKubeApi(cluster.adminKubeconfig);
  const labels = { 'stepmemo.io/enabled': 'true' };
  must(await admin.create({ resource: RESOURCES.namespaces }, { metadata: { name: NAMESPACE, labels } }));
  await admin.require('POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, { metadata: { name: 'default' } });
}, 240_000);

afterAll(async () => {
  server?.kill('SIGKILL');
  await tearDown?.();
}, 60_000);

function output() {
  const lines: string[] = [];
  const add = (text: string): void => void lines.push(text);
  return { lines, out: { print: add, printError: add } };
}

async function createGatedPod(
  name: string,
  options: { gates?: string[]; labels?: Record<string, string> } = {},
): Promise<KubeObject> {
  const { gates = ['stepmemo.io/hit'], labels = {} } = options;
  return must(
    await controller.create({ resource: RESOURCES.pods, namespace: NAMESPACE }, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels },
      spec: { containers: [{ name: 'main', image: 'none' }], schedulingGates: gates.map((gate) => ({ name: gate })) },
    } as KubeObject),
  );
}

const getPod = (name: string) => admin.get({ resource: RESOURCES.pods, namespace: NAMESPACE, name });
const gatesOf = async (name: string) =>
  (must(await getPod(name)).spec as { schedulingGates?: unknown }).schedulingGates;

describe('stepmemo release', () => {
  const options = { namespace: NAMESPACE, allNamespaces: false, yes: true, force: false, ownNamespace: 'stepmemo' };

  it('frees pods and deletes the results made for them, past the admission policies', async () => {
    const held = await createGatedPod('held', {
      gates: ['kueue.x-k8s.io/admission', 'stepmemo.io/hit', 'stepmemo.io/miss'],
    });
    await createGatedPod('late', { labels: { 'workflows.argoproj.io/completed': 'true' } });
    const result = {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'WorkflowTaskResult',
      metadata: { name: 'node', annotations: { 'stepmemo.io/pod-uid': held.metadata?.uid ?? '' } },
    };
    const results = { resource: RESOURCES.workflowTaskResults, namespace: NAMESPACE };
    must(await stepmemo.create(results, result));

    const { lines, out } = output();
    expect(await runRelease(options, { kube, out }), lines.join('\n')).toBe(0);
    expect(lines).toContain('1 pod released, 1 deleted.');
    expect(await gatesOf('held')).toEqual([{ name: 'kueue.x-k8s.io/admission' }]);
    expect(await admin.get({ ...results, name: 'node' })).toMatchObject({ status: 404 });
    expect(await getPod('late')).toMatchObject({ status: 404 });
  });

  it('may be done by whoever may change the pods of a namespace', async () => {
    await createGatedPod('mine');
    const rules = [
      { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'patch'] },
      { apiGroups: ['argoproj.io'], resources: ['workflowtaskresults'], verbs: ['list', 'delete'] },
    ];
    const roles = `/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}`;
    await admin.require('POST', `${roles}/roles`, { metadata: { name: 'ops' }, rules });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'ops' };
    const subjects = [{ kind: 'User', name: 'ops', apiGroup: 'rbac.authorization.k8s.io' }];
    await admin.require('POST', `${roles}/rolebindings`, { metadata: { name: 'ops' }, roleRef, subjects });
    const ops = admin.asUser('ops');
    const results = { resource: RESOURCES.workflowTaskResults, namespace: NAMESPACE };
    await waitFor(async () => (await ops.list(results)).ok, { what: 'the role to be known' });
    const { lines, out } = output();
    expect(await runRelease(options, { kube: ops, out }), lines.join('\n')).toBe(0);
    expect(await gatesOf('mine')).toBeUndefined();
  });
});

describe('stepmemo uninstall', () => {
  const options = { yes: true, caches: false, prepare: false, ownNamespace: 'stepmemo', waitMs: 5_000 };

  it('leaves no trace of stepmemo, the gated pods to Kubernetes and the templates as they were', async () => {
    const created = must(await admin.create({ resource: RESOURCES.workflowTemplates, namespace: NAMESPACE }, template));
    const { lines, out } = output();
    expect(await runMigrateCluster({ allNamespaces: true, yes: true }, { kube, out })).toBe(0);
    await installMovePolicy();
    await createGatedPod('left', { labels: { 'workflows.argoproj.io/workflow': 'wf' } });

    expect(await runUninstall({ ...options, yes: false }, { kube, out }), lines.join('\n')).toBe(0);
    expect(lines.at(-1)).toContain('Dry run: nothing was changed.');
    expect(await gatesOf('left')).toEqual([{ name: 'stepmemo.io/hit' }]);

    await startServer();
    lines.length = 0;
    // No controller manager finalizes the namespace here, so that is not waited for.
    const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
    expect(await runUninstall(options, { kube, out, sleep }), lines.join('\n')).toBe(0);
    expect(await gatesOf('left')).toBeUndefined();
    // The running server has ended it, not the command.
    expect(lines.join('\n')).not.toMatch(/\d pods? released/);
    const path = { resource: RESOURCES.workflowTemplates, namespace: NAMESPACE, name: 'shared' };
    expect(must(await admin.get(path)).spec).toEqual(created.spec);
    expect(await findTraces()).toEqual(['namespaces/stepmemo (being deleted)']);
  });
});

/** The policy that would move again what an uninstall moves back; on an API server that has such policies. */
async function installMovePolicy(): Promise<void> {
  if (cluster.minorVersion < 36) return;
  const file = new URL('../../manifests/components/move-in-api-server/policies-move.yaml', import.meta.url).pathname;
  await promisify(execFile)(cluster.kubectl, ['--kubeconfig', cluster.adminKubeconfig, 'apply', '-f', file]);
  const url = `/apis/argoproj.io/v1alpha1/namespaces/${NAMESPACE}/workflowtemplates?dryRun=All`;
  const probe = { ...template, metadata: { name: 'probe' } };
  await waitFor(async () => JSON.stringify((await admin.request('POST', url, probe)).body).includes('moved-from'), {
    what: 'the policy to move',
  });
}

/** The server itself, without the Service in front of it: its controller is what matters here. */
async function startServer(): Promise<void> {
  const [webhookPort, capturePort, metricsPort] = await freePorts(3);
  const file = join(cluster.scratch, 'uninstall.yaml');
  const config = { kubeconfig: cluster.serverKubeconfig, webhookPort, capturePort, metricsPort };
  await writeFile(file, stringify(config));
  const main = new URL('../../src/main.ts', import.meta.url).pathname;
  server = spawn(process.execPath, [main, 'server', '--config', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = once(server, 'exit').then(([code]) => {
    throw new Error(`the server ended with ${code}`);
  });
  const lease = { resource: RESOURCES.leases, namespace: 'stepmemo', name: 'stepmemo' };
  await Promise.race([
    exited,
    waitFor(async () => (await admin.get(lease)).ok, { what: 'the server to lead', deadlineMs: 30_000 }),
  ]);
}

/** Whatever in any API of the cluster is named or labelled as stepmemo's, but for what lies in its namespace. */
async function findTraces(): Promise<string[]> {
  const groups = (await admin.require('GET', '/apis')) as { groups?: { preferredVersion: { groupVersion: string } }[] };
  const roots = [
    '/api/v1',
    ...(groups.groups ?? []).map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`),
  ];
  const traces: string[] = [];
  for (const root of roots) {
    const { resources = [] } = (await admin.require('GET', root)) as {
      resources?: { name: string; verbs: string[] }[];
    };
    for (const { name, verbs } of resources) {
      if (!verbs.includes('list') || name === 'events') continue;
      // 429: the storage of a new CRD is not ready at once.
      const answer = await waitFor(
        async () => {
          const answer = await admin.request('GET', `${root}/${name}`);
          return answer.status === 429 ? undefined : answer;
        },
        { what: `a list of ${name}` },
      );
      expect(answer).toMatchObject({ status: 200 });
      const { items = [] } = answer.body as { items?: KubeObject[] };
      traces.push(...items.filter(isTrace).map((item) => `${name}/${item.metadata?.name}${describeEnd(item)}`));
    }
  }
  return traces;
}

function isTrace({ metadata }: KubeObject): boolean {
  if (metadata?.namespace === 'stepmemo') return false;
  return (
    metadata?.name?.includes('stepmemo') === true || metadata?.labels?.['app.kubernetes.io/part-of'] === 'stepmemo'
  );
}

const describeEnd = ({ metadata }: KubeObject): string =>
  metadata?.deletionTimestamp === undefined ? '' : ' (being deleted)';
