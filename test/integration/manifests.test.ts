import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { createLog } from '../../src/base/log.ts';
import * as names from '../../src/base/names.ts';
import { configSchema } from '../../src/config/config.ts';
import { envName, loadConfig } from '../../src/config/load-config.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { createCertificateSource } from '../../src/tls/source.ts';
import { clusterInfo, createNamespace, kubeAs, kubeAsController, must, type TestKube, waitFor } from './harness.ts';
import { type ReviewServer, startReviewServer } from './review-server.ts';

/*
 * The manifests as shipped: what they render, what the API server makes of them, which requests they send to the server,
 * and that applying them again breaks nothing.
 */

const run = promisify(execFile);
const MANIFESTS = new URL('../../manifests', import.meta.url).pathname;

let admin: TestKube;

beforeAll(async () => {
  admin = await kubeAs('admin');
});

const kubectl = (...args: readonly string[]) =>
  run(clusterInfo().kubectl, ['--kubeconfig', clusterInfo().adminKubeconfig, ...args], { maxBuffer: 2 ** 24 });

async function render(folder: string): Promise<KubeObject[]> {
  const { stdout } = await kubectl('kustomize', folder);
  return parseAllDocuments(stdout).map((document) => document.toJS() as KubeObject);
}
const find = (objects: readonly KubeObject[], kind: string, name = 'stepmemo') =>
  objects.find((object) => object.kind === kind && object.metadata?.name === name);

interface Deployment {
  spec: {
    replicas: number;
    template: {
      spec: {
        containers: [
          {
            image: string;
            args: string[];
            env: { name: string; value: string }[];
            envFrom: [{ configMapRef: { name: string } }];
            volumeMounts?: { name: string; mountPath: string }[];
          },
        ];
      };
    };
  };
}
const deploymentIn = (objects: readonly KubeObject[]) => find(objects, 'Deployment') as unknown as Deployment;
const settingsIn = (objects: readonly KubeObject[]) => {
  const name = deploymentIn(objects).spec.template.spec.containers[0].envFrom[0].configMapRef.name;
  expect(name).toMatch(/^stepmemo-settings-/);
  return (find(objects, 'ConfigMap', name) as unknown as { data: Record<string, string> }).data;
};
const controllersIn = (objects: readonly KubeObject[]) => {
  const policy = find(objects, 'ValidatingAdmissionPolicy', 'stepmemo-pod-creation') as unknown as {
    spec: { variables: { name: string; expression: string }[] };
  };
  return policy.spec.variables.find(({ name }) => name === 'controllers')?.expression;
};

// ---- rendering

describe.each([
  ['as shipped', MANIFESTS],
  ['with cert-manager', join(MANIFESTS, 'overlays/cert-manager')],
  ['with one replica', join(MANIFESTS, 'overlays/single-replica')],
  ['with own certificates', join(MANIFESTS, 'overlays/own-certificates')],
])('the manifests %s', (_, folder) => {
  test('hold settings that the server takes', async () => {
    const settings = settingsIn(await render(folder));
    const loaded = loadConfig({ env: settings });
    expect(loaded).toMatchObject({ ok: true });
    const known = Object.keys(configSchema.shape).map(envName);
    for (const name of Object.keys(settings)) expect(known).toContain(name);
  });
  test('name the same controllers to the server and to the policy', async () => {
    const objects = await render(folder);
    expect(controllersIn(objects)).toBe(`'${settingsIn(objects).STEPMEMO_CONTROLLER_ACCOUNTS}'.split(',')`);
  });
  test("leave the sidecar's image to the server, which reads it from its own pod", async () => {
    const objects = await render(folder);
    const [container] = deploymentIn(objects).spec.template.spec.containers;
    expect(container).toMatchObject({ name: 'server' });
    const fieldRef = { fieldPath: 'metadata.name' };
    expect(container.env).toContainEqual({ name: 'POD_NAME', valueFrom: { fieldRef } });
    expect(JSON.stringify(objects)).not.toContain('STEPMEMO_SIDECAR_IMAGE');
  });
  test('have every policy with its binding', async () => {
    const objects = await render(folder);
    for (const name of names.POLICY_NAMES) {
      expect(find(objects, 'ValidatingAdmissionPolicy', name)).toBeDefined();
      expect(find(objects, 'ValidatingAdmissionPolicyBinding', name)).toBeDefined();
    }
  });
  test('mark each object as part of stepmemo, so that it can be found again', async () => {
    const known = /cert-manager\.io/;
    for (const object of await render(folder)) {
      if (known.test(object.apiVersion ?? '')) continue;
      expect(object.metadata?.labels, `${object.kind} ${object.metadata?.name}`).toMatchObject({
        'app.kubernetes.io/part-of': 'stepmemo',
      });
    }
  });
  test('carry no caBundle: it is none of theirs', async () => {
    expect(JSON.stringify(await render(folder))).not.toContain('caBundle');
  });
});

test("an overlay's own image and controllers reach both places", async () => {
  const folder = join(clusterInfo().scratch, 'overlay');
  await mkdir(folder);
  const accounts = 'system:serviceaccount:argo:argo,system:serviceaccount:team:workflows';
  await writeFile(
    join(folder, 'kustomization.yaml'),
    stringify({
      resources: [relative(folder, join(MANIFESTS, 'base'))],
      images: [{ name: 'stepmemo', newName: 'registry.example/stepmemo', newTag: '1.2.3' }],
      configMapGenerator: [
        {
          name: 'stepmemo-settings',
          namespace: 'stepmemo',
          behavior: 'merge',
          literals: [`STEPMEMO_CONTROLLER_ACCOUNTS=${accounts}`],
        },
      ],
      transformers: [relative(folder, join(MANIFESTS, 'wiring'))],
    }),
  );
  const objects = await render(folder);
  expect(controllersIn(objects)).toBe(`'${accounts}'.split(',')`);
  const [container] = deploymentIn(objects).spec.template.spec.containers;
  expect(container.image).toBe('registry.example/stepmemo:1.2.3');
  // The policy as rendered is one that the API server compiles.
  const file = join(folder, 'rendered.yaml');
  await writeFile(file, objects.map((object) => stringify(object)).join('---\n'));
  await kubectl('apply', '--server-side', '--force-conflicts', '--dry-run=server', '-f', file);
});

test('the variant for cert-manager: its certificate, its injection, and fewer rights', async () => {
  const objects = await render(join(MANIFESTS, 'overlays/cert-manager'));
  const certificate = find(objects, 'Certificate') as unknown as { spec: Record<string, unknown> };
  expect(certificate.spec).toMatchObject({
    secretName: 'stepmemo-tls',
    issuerRef: { kind: 'Issuer', name: 'stepmemo' },
  });
  expect(certificate.spec.dnsNames).toContain('stepmemo.stepmemo.svc');
  const config = loadConfig({ env: settingsIn(objects) });
  expect(config).toMatchObject({ ok: true, config: { certSource: 'file', certDir: '/etc/stepmemo/tls' } });
  const pod = deploymentIn(objects).spec.template.spec as unknown as {
    containers: [{ volumeMounts: unknown }];
    volumes: unknown;
  };
  expect(pod.containers[0].volumeMounts).toEqual([{ name: 'tls', mountPath: '/etc/stepmemo/tls', readOnly: true }]);
  expect(pod.volumes).toEqual([{ name: 'tls', secret: { secretName: 'stepmemo-tls', defaultMode: 0o440 } }]);
  for (const object of objects.filter(({ kind }) => kind?.endsWith('WebhookConfiguration'))) {
    expect(object.metadata?.annotations).toEqual({ 'cert-manager.io/inject-ca-from': 'stepmemo/stepmemo' });
  }
  const rules = [find(objects, 'Role'), find(objects, 'ClusterRole')].flatMap(
    (role) => (role as unknown as { rules: { resources: string[]; verbs: string[] }[] }).rules,
  );
  expect(rules.flatMap(({ resources }) => resources)).not.toContain('secrets');
  const webhooks = rules.find(({ resources }) => resources.includes('mutatingwebhookconfigurations'));
  expect(webhooks?.verbs).toEqual(['get', 'list', 'watch']);
});

test('the variant with one replica has no budget that would forbid to drain its node', async () => {
  const objects = await render(join(MANIFESTS, 'overlays/single-replica'));
  expect(deploymentIn(objects).spec.replicas).toBe(1);
  expect(find(objects, 'PodDisruptionBudget')).toBeUndefined();
});

// ---- on the API server

test('every policy compiles without a warning', async () => {
  const file = join(clusterInfo().scratch, 'policies.yaml');
  const policies = (await render(MANIFESTS)).filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
  // Two more only warn, and the server does not look for them.
  expect(policies.length).toBe(names.POLICY_NAMES.length + 2);
  await writeFile(file, policies.map((object) => stringify(object)).join('---\n'));
  const { stderr } = await kubectl('apply', '--server-side', '--force-conflicts', '--dry-run=server', '-f', file);
  expect(stderr).toBe('');
});

test('the server runs under the strictest Pod Security Standard, which the namespace enforces', async () => {
  const { template } = must(
    await admin.get({
      resource: { group: 'apps', version: 'v1', resource: 'deployments' },
      namespace: 'stepmemo',
      name: 'stepmemo',
    }),
  ).spec as { template: KubeObject };
  const pods = '/api/v1/namespaces/stepmemo/pods?dryRun=All';
  const pod = { ...template, metadata: { ...template.metadata, name: 'server' } };
  expect(await admin.request('POST', pods, pod)).toMatchObject({ status: 201 });
  const loose = structuredClone(pod) as unknown as { spec: { containers: [{ securityContext?: unknown }] } };
  loose.spec.containers[0].securityContext = {};
  expect(await admin.request('POST', pods, loose)).toMatchObject({ status: 403 });
});

describe('the caBundle', () => {
  const configuration = { resource: RESOURCES.mutatingWebhookConfigurations, name: 'stepmemo' };
  const bundles = async (): Promise<(string | undefined)[]> => {
    const { webhooks } = must(await admin.get(configuration)) as unknown as {
      webhooks: { clientConfig: { caBundle?: string } }[];
    };
    return webhooks.map(({ clientConfig }) => clientConfig.caBundle);
  };

  test.each([
    ['server-side', ['--server-side', '--force-conflicts']],
    ['client-side', []],
    // Back again: the first client-side apply has left its mark.
    ['server-side after that', ['--server-side', '--force-conflicts']],
  ])('outlives an upgrade by kubectl apply, %s', async (_, flags) => {
    const kube = createKubeApi(clusterInfo().serverKubeconfig);
    const source = createCertificateSource({ config: configSchema.parse({}), kube, log: createLog('fatal') });
    await source.refresh();
    const before = await bundles();
    expect(before[0]).toBeTruthy();
    await kubectl('apply', ...flags, '-k', MANIFESTS);
    expect(await bundles()).toEqual(before);
    kube.close();
  });
});

describe('what the API server sends', () => {
  let server: ReviewServer;
  let enabled: string;
  let counter = 0;

  beforeAll(async () => {
    const kube = createKubeApi(clusterInfo().serverKubeconfig);
    const source = createCertificateSource({ config: configSchema.parse({}), kube, log: createLog('fatal') });
    await source.refresh();
    kube.close();
    server = await startReviewServer(source.current());
    enabled = await createNamespace({ isEnabled: true });
    // The last word of the configuration has reached the API server when a call arrives.
    await waitFor(async () => (await create(enabled, stepPod())).isSent, { what: 'the webhook to be called' });
  });

  const owner = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'wf', uid: 'u', controller: true };
  function stepPod(change: { labels?: object; annotations?: object | null; ownerReferences?: object[] | null } = {}) {
    const {
      labels = { 'workflows.argoproj.io/workflow': 'wf' },
      annotations = { 'workflows.argoproj.io/node-id': 'wf-1' },
      ownerReferences = [owner],
    } = change;
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `pod-${counter++}`,
        labels,
        ...(annotations && { annotations }),
        ...(ownerReferences && { ownerReferences }),
      },
      spec: { containers: [{ name: 'main', image: 'none' }] },
    };
  }

  /** Creates it as a dry run, and says whether the server was asked, and under which path. */
  async function create(namespace: string, pod: object): Promise<{ isSent: boolean; path: string | undefined }> {
    const controller = await kubeAsController();
    return send(controller, `/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod);
  }
  async function send(kube: TestKube, path: string, body: object, method = 'POST', contentType?: string) {
    const before = server.seen.length;
    const answer = await kube.request(method, path, body, contentType);
    expect(answer.body.message ?? answer.status).toBe(method === 'POST' ? 201 : 200);
    // The validating webhooks have tests of their own.
    const seen = server.seen.slice(before).filter(({ path }) => path.startsWith('/mutate/'));
    return { isSent: seen.length > 0, path: seen[0]?.path };
  }

  test('step pods of an enabled namespace', async () => {
    expect(await create(enabled, stepPod())).toEqual({ isSent: true, path: '/mutate/pods' });
  });
  test.each<[string, () => object]>([
    ['without the workflow label', () => stepPod({ labels: {} })],
    ['without annotations', () => stepPod({ annotations: null })],
    ['without a node id', () => stepPod({ annotations: { a: 'b' } })],
    ['without an owner', () => stepPod({ ownerReferences: null })],
    ['of another owner', () => stepPod({ ownerReferences: [{ ...owner, kind: 'Job', apiVersion: 'batch/v1' }] })],
    [
      'of a Workflow of somebody else',
      () => stepPod({ ownerReferences: [{ ...owner, apiVersion: 'example.com/v1' }] }),
    ],
    [
      'of Argo that run no step',
      () =>
        stepPod({
          labels: { 'workflows.argoproj.io/workflow': 'wf', 'workflows.argoproj.io/component': 'agent' },
        }),
    ],
  ])('no pod %s', async (_, pod) => {
    expect(await create(enabled, pod())).toEqual({ isSent: false, path: undefined });
  });
  test.each<[string, Record<string, string>]>([
    ['not opted in', {}],
    ['opted out', { 'stepmemo.io/enabled': 'false' }],
  ])('no pod of a namespace that has %s', async (_, labels) => {
    const namespace = await createNamespace({ isEnabled: false, labels });
    expect(await create(namespace, stepPod())).toMatchObject({ isSent: false });
  });
  test.each(['stepmemo', 'kube-system'])('no pod of %s, whatever its label', async (namespace) => {
    const label = (value: string | null) => ({ metadata: { labels: { 'stepmemo.io/enabled': value } } });
    const path = { resource: RESOURCES.namespaces, name: namespace };
    must(await admin.merge(path, label('true')));
    const account = { metadata: { name: 'default' } };
    await admin.request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, account);
    const pod = stepPod();
    const spec = {
      securityContext: { runAsNonRoot: true, runAsUser: 1, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'main',
          image: 'none',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    };
    expect(await create(namespace, { ...pod, spec })).toMatchObject({ isSent: false });
    must(await admin.merge(path, label(null)));
  });

  const workflowSpec = { entrypoint: 'main', templates: [{ name: 'main', container: { image: 'none' } }] };
  const argo = (plural: string, namespace?: string) =>
    `/apis/argoproj.io/v1alpha1/${namespace === undefined ? '' : `namespaces/${namespace}/`}${plural}`;
  const objectOf = (kind: string, labels?: object) => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind,
    metadata: { name: `object-${counter++}`, ...(labels && { labels }) },
    spec: kind === 'CronWorkflow' ? { schedules: ['0 0 1 1 *'], workflowSpec } : workflowSpec,
  });

  test.each([
    ['Workflow', 'workflows', false],
    ['WorkflowTemplate', 'workflowtemplates', true],
    ['CronWorkflow', 'cronworkflows', true],
  ])('%s: when it is made; when it is changed: %s %s', async (kind, plural, isSentOnUpdate) => {
    const body = objectOf(kind);
    expect(await send(admin, argo(plural, enabled), body)).toEqual({ isSent: true, path: '/mutate/workflows' });
    const path = `${argo(plural, enabled)}/${body.metadata.name}`;
    const change = { metadata: { labels: { a: 'b' } } };
    const changed = await send(admin, path, change, 'PATCH', 'application/merge-patch+json');
    expect(changed.isSent).toBe(isSentOnUpdate);
    const elsewhere = await createNamespace({ isEnabled: false });
    expect(await send(admin, argo(plural, elsewhere), objectOf(kind))).toMatchObject({ isSent: false });
  });
  test('a ClusterWorkflowTemplate only when it has opted in itself', async () => {
    const plural = argo('clusterworkflowtemplates');
    const label = { 'stepmemo.io/enabled': 'true' };
    expect(await send(admin, plural, objectOf('ClusterWorkflowTemplate', label))).toEqual({
      isSent: true,
      path: '/mutate/workflows',
    });
    expect(await send(admin, plural, objectOf('ClusterWorkflowTemplate'))).toMatchObject({ isSent: false });
  });
  test('nothing but pods and workflow objects', async () => {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `map-${counter++}` } };
    expect(await send(admin, `/api/v1/namespaces/${enabled}/configmaps`, body)).toMatchObject({ isSent: false });
  });
});

test('the settings file explains itself', async () => {
  const text = await readFile(join(MANIFESTS, 'base/settings.env'), 'utf8');
  expect(text).toMatch(/^# /);
});
