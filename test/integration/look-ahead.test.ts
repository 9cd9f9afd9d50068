import { request as httpsRequest } from 'node:https';
import { beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import { dataKeyFor } from '../../src/cache/data-key.ts';
import { serializeEntry } from '../../src/cache/entry.ts';
import { runPlan } from '../../src/cli/commands/plan.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { walkAhead } from '../../src/look-ahead/walk/walk.ts';
import { cacheOf, oracleWorkflow } from '../support/oracle-workflows.ts';
import { createRandom } from '../support/random.ts';
import { createNamespace, kubeAs, must, type ServerHandle, startServer, type TestKube, waitFor } from './harness.ts';

/*
 * Workflows that an API server sends on the path that the server has written into its webhook's configuration: what is cached
 * stands in their status when they are stored.
 */
const CONFIGURATION = { resource: RESOURCES.mutatingWebhookConfigurations, name: 'stepmemo' };
const SECRET_VALUE = 'what is cached';
const LOOK_AHEAD = 'stepmemo.io/look-ahead';

let admin: TestKube;
let tenant: TestKube;
let namespace: string;
let server: ServerHandle;

beforeAll(async () => {
  admin = await kubeAs('admin');
  namespace = await createNamespace();
  tenant = await kubeAs({ namespace, account: 'tenant' });
  const entry = {
    nodeID: 'n',
    outputs: { parameters: [{ name: 'o', value: SECRET_VALUE }], exitCode: '0' },
    creationTimestamp: '2026-01-01T00:00:00Z',
    lastHitTimestamp: '2026-01-01T00:00:00Z',
  };
  must(
    await admin.create(
      { resource: RESOURCES.configMaps, namespace },
      {
        metadata: { name: 'work', labels: { 'workflows.argoproj.io/configmap-type': 'Cache' } },
        data: { one: JSON.stringify(entry), [SECRET_VALUE.replaceAll(' ', '-')]: JSON.stringify(entry) },
      },
    ),
  );
  // There is no workflow controller here whose image would say it.
  server = await startServer({ config: { policy: { argoVersion: '4.0.5' } as never } });
  await waitFor(async () => (await submit({ name: 'probe' }, { isDryRun: true })).status !== undefined, {
    what: 'the path to be known to the API server',
  });
});

function workflow(metadata: KubeObject['metadata']): KubeObject {
  const memoize = { key: '{{inputs.parameters.x}}', maxAge: '99999h', cache: { configMap: { name: 'work' } } };
  const templates = [
    {
      name: 'main',
      steps: [[{ name: 'a', template: 'work', arguments: { parameters: [{ name: 'x', value: 'one' }] } }]],
    },
    {
      name: 'work',
      memoize,
      inputs: { parameters: [{ name: 'x' }] },
      outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
      container: { image: 'none' },
    },
  ];
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { ...metadata },
    spec: { entrypoint: 'main', templates },
  };
}

interface Stored extends KubeObject {
  readonly status?: { readonly nodes: Record<string, { readonly name: string; readonly phase: string }> };
}

async function submit(metadata: KubeObject['metadata'], { isDryRun = false } = {}): Promise<Stored> {
  const url = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows${isDryRun ? '?dryRun=All' : ''}`;
  return (await tenant.require('POST', url, workflow(metadata))) as Stored;
}

const nodesOf = ({ status }: Stored) => Object.values(status?.nodes ?? {}).map(({ name, phase }) => [name, phase]);

describe('a Workflow of a tenant', () => {
  it('is stored with the node of its cached step, and the user is told by an Event', async () => {
    const made = await submit({ name: 'served' });
    expect(nodesOf(made)).toEqual([['served[0].a', 'Succeeded']]);
    expect(JSON.stringify(made.status)).toContain(SECRET_VALUE);
    expect(made.metadata?.annotations?.[LOOK_AHEAD]).toBe('served 1 of 1 steps at submission');
    const event = await waitFor(
      async () => {
        const events = must(await admin.list({ resource: RESOURCES.events, namespace }));
        return events.find(({ regarding }) => (regarding as { name?: string }).name === 'served');
      },
      { what: 'the Event' },
    );
    expect(event).toMatchObject({
      reason: 'ServedAtSubmission',
      note: 'served 1 of 1 steps at submission',
      regarding: { kind: 'Workflow', uid: made.metadata?.uid },
    });
  });

  it('gets a name where the API server would have made one', async () => {
    const made = await submit({ generateName: 'wf-' });
    expect(made.metadata?.name).toMatch(/^wf-[a-z0-9]{10}$/);
    expect(nodesOf(made)).toEqual([[`${made.metadata?.name}[0].a`, 'Succeeded']]);
  });

  it('is answered alike as a dry run, which is counted and leaves nothing', async () => {
    expect(nodesOf(await submit({ name: 'dry' }, { isDryRun: true }))).toEqual([['dry[0].a', 'Succeeded']]);
    const metrics = await (await fetch(`${server.metricsUrl}/metrics`)).text();
    expect(metrics).toMatch(/^stepmemo_served_at_submission_total\{dry_run="true"\} [1-9]/m);
    expect(metrics).toMatch(/path="\/look-ahead",decision="mutate",reason="served-at-submission"/);
    expect(metrics).not.toMatch(/look-ahead\/[0-9a-f]/);
    expect((await tenant.get({ resource: RESOURCES.workflows, namespace, name: 'dry' })).ok).toBe(false);
  });

  it('is left to the pods where it says so', async () => {
    const made = await submit({ name: 'off', annotations: { [LOOK_AHEAD]: 'off' } });
    expect(made.status).toBeUndefined();
    expect(made.metadata?.annotations).toEqual({ [LOOK_AHEAD]: 'off' });
  });
});

describe('stepmemo plan', () => {
  const CASES = 60;
  /** Caches with what some of the generated workflows ask for, by their own namespace. */
  async function givenCaches(): Promise<{ namespace: string; workflows: readonly KubeObject[] }> {
    const own = await createNamespace();
    const workflows: KubeObject[] = [];
    const caches = new Map<string, Record<string, string>>();
    for (let number = 0; number < CASES; number += 1) {
      const { workflow: object, stored, fill, salt } = oracleWorkflow(createRandom(number + 7_000));
      if (stored.length > 0) continue;
      const filled = cacheOf(fill, salt);
      const metadata = { name: `wf-${number}`, namespace: own };
      walkAhead({
        workflowName: metadata.name,
        isNameKnown: true,
        namespace: own,
        spec: object.spec as JsonObject,
        mode: 'managed',
        lookUp: (cache, key) => {
          const found = filled(cache, key);
          if (found.found === 'entry')
            caches.set(cache, { ...caches.get(cache), [dataKeyFor(key)]: serializeEntry(found.entry) });
          return found;
        },
        now: new Date(),
      });
      workflows.push({ ...object, metadata } as KubeObject);
    }
    for (const [name, data] of caches) {
      const labels = { 'workflows.argoproj.io/configmap-type': 'Cache' };
      must(
        await admin.create({ resource: RESOURCES.configMaps, namespace: own }, { metadata: { name, labels }, data }),
      );
    }
    return { namespace: own, workflows };
  }

  async function planned(object: KubeObject, own: string): Promise<readonly string[]> {
    const printed: string[] = [];
    const out = { print: (text: string) => void printed.push(text), printError: () => {} };
    const sources = { read: async () => ({ ok: true as const, text: JSON.stringify(object) }) };
    await runPlan({ files: ['-'], namespace: own, output: 'json' }, { out, sources, connect: async () => admin });
    const { steps } = JSON.parse(printed.join('\n')) as { steps: readonly { node: string; outcome: string }[] };
    return steps
      .filter(({ outcome }) => outcome === 'hit')
      .map(({ node }) => node)
      .sort();
  }

  it('foresees what is then served', async () => {
    const { namespace: own, workflows } = await givenCaches();
    const served = async (object: KubeObject) => {
      const url = `/apis/argoproj.io/v1alpha1/namespaces/${own}/workflows?dryRun=All`;
      const made = (await admin.require('POST', url, object)) as Stored;
      return Object.values(made.status?.nodes ?? {});
    };
    await waitFor(async () => (await Promise.all(workflows.slice(0, 10).map(served))).flat().length > 0, {
      what: 'the caches to be known to the server',
    });
    let count = 0;
    for (const object of workflows) {
      const nodes = (await served(object)) as readonly { name: string; type?: string }[];
      const names = nodes.filter(({ type }) => type === 'Pod').map(({ name }) => name);
      const hits = await planned(object, own);
      // Hits within a template that is given up as a whole are foreseen, and left to their pods.
      expect([object.metadata?.name, names.filter((name) => !hits.includes(name))]).toEqual([
        object.metadata?.name,
        [],
      ]);
      count += names.length;
    }
    expect(count).toBeGreaterThan(20);
  });
});

describe('whoever reaches the port', () => {
  const review = () => ({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u',
      kind: { group: 'argoproj.io', version: 'v1alpha1', kind: 'Workflow' },
      operation: 'CREATE',
      namespace,
      object: {
        ...workflow({ name: 'spy' }),
        spec: {
          entrypoint: 'work',
          templates: [
            {
              name: 'work',
              metadata: { annotations: { 'stepmemo.io/key': 'one', 'stepmemo.io/cache': 'work' } },
              outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
              container: { image: 'none' },
            },
          ],
        },
      },
    },
  });

  async function post(path: string): Promise<{ status: number | undefined; text: string; patch: string }> {
    const body = JSON.stringify(review());
    return new Promise((resolve, reject) => {
      const call = httpsRequest(
        { host: '127.0.0.1', port: server.webhookPort, path, method: 'POST', rejectUnauthorized: false },
        (answer) => {
          let text = '';
          answer.on('data', (chunk) => {
            text += String(chunk);
          });
          answer.on('end', () => {
            const { response } = JSON.parse(text) as { response?: { patch?: string } };
            const patch = Buffer.from(response?.patch ?? '', 'base64').toString();
            resolve({ status: answer.statusCode, text, patch });
          });
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  }

  it('gets nothing of an entry but on the path in the configuration', async () => {
    const { webhooks } = must(await admin.get(CONFIGURATION)) as unknown as {
      webhooks: { name: string; clientConfig: { service: { path?: string } } }[];
    };
    const path = webhooks.find(({ name }) => name === 'look-ahead.stepmemo.io')?.clientConfig.service.path ?? '';
    expect(path).toMatch(/^\/look-ahead\/[0-9a-f]{64}$/);
    expect((await post(path)).patch).toContain(SECRET_VALUE);
    const others = [
      '/',
      '/look-ahead',
      '/look-ahead/',
      `/look-ahead/${'0'.repeat(64)}`,
      `${path}0`,
      '/mutate/workflows',
    ];
    for (const other of others) {
      const { text, patch } = await post(other);
      expect([other, `${text}${patch}`.includes(SECRET_VALUE)]).toEqual([other, false]);
    }
    expect(await post('/')).toMatchObject({ status: 200, patch: '' });
    expect(await post(`/look-ahead/${'0'.repeat(64)}`)).toMatchObject({ status: 404 });
  });
});
