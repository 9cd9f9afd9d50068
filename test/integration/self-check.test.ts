import { beforeAll, expect, test } from 'vitest';
import { RESOURCES } from '../../src/kube/types.ts';
import {
  createNamespace,
  kubeAs,
  must,
  pointServiceAt,
  type ServerHandle,
  startServer,
  type TestKube,
  waitFor,
} from './harness.ts';

/** The leader has a real API server call its webhooks, with its shipped rights; and says so when that does not. */
const URL = '/api/v1/namespaces/stepmemo/configmaps';
const marked = {
  metadata: { generateName: 'self-check-', labels: { 'stepmemo.io/self-check': 'true' } },
  data: { nonce: 'n' },
};

let admin: TestKube;
let own: TestKube;
let server: ServerHandle;

beforeAll(async () => {
  [admin, own] = await Promise.all([kubeAs('admin'), kubeAs('stepmemo')]);
  server = await startServer({ config: { selfCheckSeconds: 0.2 } });
});

async function countOf(result: string): Promise<number> {
  const text = await (await fetch(`${server.metricsUrl}/metrics`)).text();
  return Number(new RegExp(`^stepmemo_self_checks_total\\{result="${result}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

const detailsOf = async () => (await fetch(`${server.metricsUrl}/readyz?verbose`)).text();

test('while the API server calls it, nothing is wrong', async () => {
  await waitFor(async () => (await countOf('called')) > 1, { what: 'two self-checks' });
  expect(await detailsOf()).toBe('ok\n');
});

test('what is asked is never stored: the policy lets the account make it as a dry run alone', async () => {
  expect(await own.request('POST', `${URL}?dryRun=All`, marked)).toMatchObject({
    status: 201,
    body: { data: { answer: 'n' } },
  });
  expect(await own.request('POST', URL, marked)).toMatchObject({ status: 403 });
  const elsewhere = '/api/v1/namespaces/default/configmaps?dryRun=All';
  expect(await own.request('POST', elsewhere, marked)).toMatchObject({ status: 403 });
});

/** A Workflow one of whose steps has reported, of which stepmemo has seen no pod. */
async function runWorkflow(namespace: string, name: string, template: object): Promise<void> {
  const apiVersion = 'argoproj.io/v1alpha1';
  const spec = { entrypoint: 'main', templates: [{ name: 'main', container: { image: 'i' }, ...template }] };
  const workflow = { apiVersion, kind: 'Workflow', metadata: { name }, spec };
  must(await admin.create({ resource: RESOURCES.workflows, namespace }, workflow));
  const metadata = { name, labels: { 'workflows.argoproj.io/workflow': name } };
  const result = { apiVersion, kind: 'WorkflowTaskResult', metadata };
  must(await admin.create({ resource: RESOURCES.workflowTaskResults, namespace }, result));
}

const eventsIn = async (namespace: string) => {
  const events = must(await admin.list({ resource: RESOURCES.events, namespace }));
  return events.filter(({ reason }) => reason === 'WebhookNotCalled');
};

test('when it does not any more, metric, readiness and Events on the Deployment and on Workflows say so', async () => {
  const [memoized, plain] = [await createNamespace(), await createNamespace()];
  await runWorkflow(memoized, 'cached', { memoize: { key: 'k', cache: { configMap: { name: 'c' } } } });
  await runWorkflow(plain, 'uncached', {});
  // Those of the first moments: the webhook configuration had no certificate authority yet.
  const before = await countOf('not-called');
  await pointServiceAt([]);
  await waitFor(async () => (await countOf('not-called')) > before + 1, { what: 'a self-check that fails twice' });
  const [event] = await waitFor(
    async () => {
      const events = await eventsIn('stepmemo');
      return events.length > 0 ? events : undefined;
    },
    { what: 'the Event on the Deployment' },
  );
  expect(event).toMatchObject({ type: 'Warning', regarding: { kind: 'Deployment', name: 'stepmemo' } });
  const told = await waitFor(
    async () => {
      const events = await eventsIn(memoized);
      return events.length > 0 ? events : undefined;
    },
    { what: 'the Event on the Workflow' },
  );
  expect(told).toMatchObject([{ type: 'Warning', regarding: { kind: 'Workflow', name: 'cached' } }]);
  expect(await eventsIn(plain)).toEqual([]);
  // Workflows are still moved and pods still decided about where a request comes: nobody is sent elsewhere.
  expect(await detailsOf()).toBe('[!] the API server does not call the webhooks: nothing is memoized\nok\n');
  await pointServiceAt([server]);
  await waitFor(async () => (await detailsOf()) === 'ok\n', { what: 'the trouble to be over' });
});
