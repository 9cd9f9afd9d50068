import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../src/base/log.ts';
import { configSchema } from '../../src/config/config.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeWatchApi, RESOURCES } from '../../src/kube/types.ts';
import { parseCertificates } from '../../src/tls/authority.ts';
import type { CertificateSource } from '../../src/tls/rounds.ts';
import { createCertificateSource } from '../../src/tls/source.ts';
import {
  clusterInfo,
  createNamespace,
  kubeAs,
  kubeAsController,
  must,
  startServer,
  type TestKube,
  waitFor,
} from './harness.ts';
import { startReviewServer } from './review-server.ts';

/*
 * The self-managed certificates with the server's own account and rights: the API server itself is the client.
 */

const HOUR_MS = 3_600_000;
const MONTH_MS = 30 * 24 * HOUR_MS;
const SETTLE_MS = 60_000;
const CONFIGURATION = { resource: RESOURCES.mutatingWebhookConfigurations, name: 'stepmemo' };
const SECRET = { resource: RESOURCES.secrets, namespace: 'stepmemo', name: 'stepmemo-ca' };

let admin: TestKube;
let kube: KubeWatchApi;
let namespace: string;
/** Behind real time, so that certificates of then and of the end of the test are both valid for the API server. */
let offsetMs = 0;

beforeAll(async () => {
  admin = await kubeAs('admin');
  kube = createKubeApi(clusterInfo().serverKubeconfig);
  namespace = await createNamespace({ isEnabled: true });
});
beforeEach(async () => {
  offsetMs = 0;
  await admin.remove(SECRET);
  await wipe();
});
afterAll(async () => {
  await Promise.all(sources.map((source) => source.stop()));
  kube.close();
});

const sources: CertificateSource[] = [];
function newSource(): CertificateSource {
  const config = configSchema.parse({
    caValidityHours: (36 * MONTH_MS) / HOUR_MS,
    leafValidityHours: (30 * MONTH_MS) / HOUR_MS,
  });
  const now = () => new Date(Date.now() + offsetMs);
  const source = createCertificateSource({ config, kube, log: createLog('fatal'), now, settleMs: SETTLE_MS });
  sources.push(source);
  return source;
}

interface Configuration {
  webhooks: { clientConfig: { caBundle?: string } }[];
}
async function bundles(): Promise<string[]> {
  const { webhooks } = must(await admin.get(CONFIGURATION)) as unknown as Configuration;
  return webhooks.map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString());
}
async function wipe(): Promise<void> {
  const { webhooks } = must(await admin.get(CONFIGURATION)) as unknown as Configuration;
  const patch = webhooks.flatMap(({ clientConfig }, index) =>
    clientConfig.caBundle === undefined
      ? []
      : [{ op: 'remove' as const, path: `/webhooks/${index}/clientConfig/caBundle` }],
  );
  must(await admin.patch(CONFIGURATION, patch));
}

let counter = 0;
/** Creates a WorkflowTemplate as a dry run, which goes to two of our webhooks; returns whether both calls arrived. */
async function callWebhook(): Promise<boolean> {
  const answer = await admin.request(
    'POST',
    `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflowtemplates?dryRun=All`,
    {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'WorkflowTemplate',
      metadata: { name: `template-${counter++}` },
      spec: { entrypoint: 'main', templates: [{ name: 'main', container: { image: 'none' } }] },
    },
  );
  expect(answer.status).toBe(201);
  return ['seen /mutate/workflows', 'seen /validate/workflows'].every((text) => answer.warnings.includes(text));
}

test('from nothing to a call that arrives: CA, Secret, caBundle, certificate', async () => {
  const source = newSource();
  expect(source.readiness().isReady).toBe(false);
  await source.refresh();
  expect(source.readiness()).toEqual({ isReady: true });
  expect(new Set(await bundles())).toEqual(new Set([source.caBundle()]));
  await startReviewServer(source.current());
  await waitFor(callWebhook, { what: 'a call that arrives' });
});

test('two replicas race for the Secret: one CA, both ready', async () => {
  const replicas = [newSource(), newSource(), newSource()];
  await Promise.all(replicas.map((source) => source.refresh()));
  await Promise.all(replicas.map((source) => source.refresh()));
  expect(replicas.map((source) => source.readiness())).toEqual(replicas.map(() => ({ isReady: true })));
  expect(parseCertificates((await bundles())[0] ?? '')).toHaveLength(1);
});

test('the Secret holds nothing but what it has to, and is of use to kubectl', async () => {
  const source = newSource();
  await source.refresh();
  const secret = must(await admin.get(SECRET)) as unknown as { data: Record<string, string> };
  expect(Object.keys(secret.data).sort()).toEqual(['authorities.json', 'ca.crt']);
  expect(Buffer.from(secret.data['ca.crt'] ?? '', 'base64').toString()).toBe(source.caBundle());
});

describe('a caBundle that somebody wipes', () => {
  test('is restored by a running replica at once', async () => {
    const source = newSource();
    await source.start();
    await wipe();
    await waitFor(async () => (await bundles()).every((pem) => pem === source.caBundle()), {
      what: 'the bundles to be back',
      deadlineMs: 5_000,
    });
    await source.stop();
  });
});

test('rotation under load: no call of the API server is lost', async () => {
  offsetMs = -24 * MONTH_MS;
  const source = newSource();
  await source.refresh();
  const { server, seen } = await startReviewServer(source.current());
  source.onChange((options) => server.setSecureContext(options));
  await waitFor(callWebhook, { what: 'the first call to arrive' });

  let isOver = false;
  const load = Array.from({ length: 3 }, async () => {
    const outcomes: boolean[] = [];
    while (!isOver) outcomes.push(await callWebhook());
    return outcomes;
  });
  const calls = (count: number) => {
    const target = seen.length + count;
    return waitFor(() => seen.length >= target, { what: `${count} more calls` });
  };
  const shown = new Set<string>();
  const pass = async (ms: number) => {
    offsetMs += ms;
    await source.refresh();
    shown.add(String(source.current().cert));
    await calls(30);
  };
  await pass(20 * MONTH_MS); // a new certificate of the first CA
  await pass(4 * MONTH_MS); // the second CA joins the bundle
  expect(parseCertificates((await bundles())[0] ?? '')).toHaveLength(2);
  await calls(30);
  await pass(2 * SETTLE_MS); // and signs
  expect(shown.size).toBe(2);
  isOver = true;
  const outcomes = (await Promise.all(load)).flat();
  expect(outcomes.length).toBeGreaterThan(50);
  expect(outcomes.filter((isSeen) => !isSeen)).toEqual([]);
  expect(source.readiness()).toEqual({ isReady: true });
});

test('the real server: ready with a certificate that the API server takes, and its calls arrive', async () => {
  const server = await startServer();
  const [bundle = ''] = await bundles();
  expect(parseCertificates(bundle)).toHaveLength(1);
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'pod',
      labels: { 'workflows.argoproj.io/workflow': 'wf' },
      annotations: { 'workflows.argoproj.io/node-id': 'wf', 'workflows.argoproj.io/node-name': 'wf' },
      ownerReferences: [
        { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'wf', uid: 'u', controller: true },
      ],
    },
    spec: { containers: [{ name: 'main', image: 'none' }] },
  };
  const controller = await kubeAsController();
  const path = `/api/v1/namespaces/${namespace}/pods?dryRun=All`;
  expect(await controller.request('POST', path, pod)).toMatchObject({ status: 201 });
  const counted = await waitFor(
    async () => {
      await controller.request('POST', path, pod);
      const text = await (await fetch(`${server.metricsUrl}/metrics`)).text();
      return text.split('\n').find((line) => /^stepmemo_[a-z_]*decisions_total\{.*\} [1-9]/.test(line));
    },
    { what: 'a decision to be counted' },
  );
  expect(counted).toContain('skip');
  expect(await server.stop()).toBe(0);
});
