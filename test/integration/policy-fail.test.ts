import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { STEP } from '../unit/policy/support.ts';
import {
  clusterInfo,
  createNamespace,
  kubeAs,
  kubeAsController,
  pointServiceAt,
  startServer,
  type TestKube,
} from './harness.ts';
import { urlOf } from './test-kube.ts';

/*
 * The overlay validation-fail while stepmemo is away: what is refused, what goes on all the same, and that stepmemo can be
 * installed, upgraded, repaired and removed. Ends with the manifests as shipped.
 */

const run = promisify(execFile);
const manifests = (path: string) => fileURLToPath(new URL(`../../manifests/${path}`, import.meta.url));
const OVERLAY = manifests('overlays/validation-fail');
const kubectl = (...args: readonly string[]) =>
  run(clusterInfo().kubectl, ['--kubeconfig', clusterInfo().adminKubeconfig, ...args]);
const install = (folder: string) => kubectl('apply', '--server-side', '--force-conflicts', '-k', folder);
const CONFIGURATION = { resource: RESOURCES.validatingWebhookConfigurations, name: 'stepmemo' };
const CACHE = { 'workflows.argoproj.io/configmap-type': 'Cache' };

let admin: TestKube;
let namespace: string;

const workflow = (name: string): KubeObject => ({
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'Workflow',
  metadata: { name },
  spec: { entrypoint: 'step', templates: [STEP] },
});
const post = (kube: TestKube, resource: keyof typeof RESOURCES, where: string, body: object) =>
  kube.request('POST', urlOf(RESOURCES[resource], { namespace: where }), body);

beforeAll(async () => {
  admin = await kubeAs('admin');
  namespace = await createNamespace({ prefix: 'fail' });
  await pointServiceAt([]);
  // As shipped a policy that cannot answer refuses nothing.
  expect((await post(admin, 'workflows', namespace, workflow('running'))).status).toBe(201);
  await install(OVERLAY);
});
afterAll(async () => {
  await install(manifests(''));
});

describe('while stepmemo is away', () => {
  it('new Workflows and caches are refused, and so are changes', async () => {
    const answer = await post(admin, 'workflows', namespace, workflow('new'));
    expect(answer.status).toBe(500);
    expect(String(answer.body.message)).toContain('failed calling webhook "policy.stepmemo.io"');
    expect((await post(admin, 'configMaps', namespace, { metadata: { name: 'c', labels: CACHE } })).status).toBe(500);
    const path = { resource: RESOURCES.workflows, namespace, name: 'running' };
    expect(await admin.merge(path, { spec: { priority: 1 } })).toMatchObject({ ok: false, status: 500 });
  });

  it('what runs goes on: the workflow controller writes status and finalizers, and deletes', async () => {
    const controller = await kubeAsController();
    const path = { resource: RESOURCES.workflows, namespace, name: 'running' };
    expect(await controller.merge(path, { status: { phase: 'Running' }, spec: { suspend: true } })).toMatchObject({
      ok: true,
    });
    expect(await controller.merge(path, { metadata: { finalizers: ['example.com/hold'] } })).toMatchObject({
      ok: true,
    });
    expect(await admin.remove(path)).toMatchObject({ ok: true });
    expect(await admin.merge(path, { metadata: { finalizers: null } })).toMatchObject({ ok: true });
  });

  it('pods and other ConfigMaps are not concerned', async () => {
    const pod = { metadata: { name: 'p' }, spec: { containers: [{ name: 'main', image: 'x' }] } };
    expect((await post(admin, 'pods', namespace, pod)).status).toBe(201);
    expect((await post(admin, 'configMaps', namespace, { metadata: { name: 'plain' }, data: { a: 'b' } })).status).toBe(
      201,
    );
  });

  it('stepmemo writes its caches', async () => {
    const own = await kubeAs('stepmemo');
    expect((await post(own, 'configMaps', namespace, { metadata: { name: 'own', labels: CACHE } })).status).toBe(201);
  });

  it.each(['kube-system', 'stepmemo'])('%s is free of it, so that the cluster can start', async (where) => {
    const body = { metadata: { name: 'policy-fail', labels: CACHE }, data: { any: 'thing' } };
    expect((await post(admin, 'configMaps', where, body)).status).toBe(201);
    expect((await post(admin, 'workflows', where, workflow('policy-fail'))).status).toBe(201);
    for (const resource of [RESOURCES.configMaps, RESOURCES.workflows]) {
      expect(await admin.remove({ resource, namespace: where, name: 'policy-fail' })).toMatchObject({ ok: true });
    }
  });
});

describe('stepmemo itself', () => {
  it('can be applied again, in either form', async () => {
    await install(OVERLAY);
    await install(manifests(''));
    expect(await policiesOf()).toEqual(['Ignore', 'Ignore']);
    await install(OVERLAY);
    expect(await policiesOf()).toEqual(['Fail', 'Fail']);
  });

  it('can be repaired: what was deleted comes back', async () => {
    for (const kind of ['deployments', 'mutatingWebhookConfigurations'] as const) {
      const where = kind === 'deployments' ? { namespace: 'stepmemo' } : {};
      expect(await admin.remove({ resource: RESOURCES[kind], ...where, name: 'stepmemo' })).toMatchObject({ ok: true });
    }
    await install(OVERLAY);
    expect(await admin.get({ resource: RESOURCES.deployments, namespace: 'stepmemo', name: 'stepmemo' })).toMatchObject(
      { ok: true },
    );
  });

  it('can be removed, and switched off with one command', async () => {
    // Asked of the API server, not done: this cluster has nobody who would finish the deletion of the namespace.
    await expect(kubectl('delete', '--dry-run=server', '-k', OVERLAY)).resolves.toBeDefined();
    await kubectl('delete', 'validatingwebhookconfiguration', 'stepmemo');
    expect((await post(admin, 'workflows', namespace, workflow('free'))).status).toBe(201);
    await install(OVERLAY);
    expect((await post(admin, 'workflows', namespace, workflow('not-free'))).status).toBe(500);
  });

  it('ends the refusals when it answers', async () => {
    const server = await startServer();
    expect((await post(admin, 'workflows', namespace, workflow('served'))).status).toBe(201);
    await server.stop();
  });
});

async function policiesOf(): Promise<unknown[]> {
  const found = await admin.get(CONFIGURATION);
  if (!found.ok) throw new Error(found.message);
  return (found.value.webhooks as { failurePolicy: string }[]).map(({ failurePolicy }) => failurePolicy);
}
