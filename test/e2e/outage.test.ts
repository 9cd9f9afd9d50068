import jsonpatch from 'jsonpatch';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { judgeWorkflow } from '../../src/workflow/mutate-workflow.ts';
import { must, waitFor } from '../integration/harness.ts';
import {
  admin,
  describeWorkflow,
  type EndedWorkflow,
  givenNamespace,
  kubectl,
  memoizedSteps,
  submit,
  untilEnded,
  untilEntries,
  untilHeld,
} from './cluster.ts';
import { cutOff, restartDaemon, serverProcesses, signal } from './processes.ts';
import { scaleServer, untilServerReady, whileNobodyLeads } from './server.ts';

/*
 * What becomes of memoized Workflows of every kind that are submitted while stepmemo is away, with each of the floors of
 * docs/outage.md, which gives the counts. `make test-outage`; the policy needs an API server of 1.36 or later.
 */
const POLICIES = new URL('../../manifests/components/move-in-api-server/policies-move.yaml', import.meta.url).pathname;
const API = 'argoproj.io/v1alpha1';

let counter = 0;
const memoize = () => ({
  key: `outage-${Date.now()}-${counter++}`,
  maxAge: '1h',
  cache: { configMap: { name: 'outage' } },
});
const container = { image: 'busybox:local', command: ['sh', '-c'], args: ['echo x > /tmp/out'] };
const outputs = { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] };
const work = (name = 'work') => ({ name, memoize: memoize(), container, outputs });
const workflow = (spec: object): KubeObject => ({
  apiVersion: API,
  kind: 'Workflow',
  metadata: { generateName: 'outage-' },
  spec,
});
const main = (body: object, ...templates: readonly object[]) =>
  workflow({ entrypoint: 'main', templates: [{ name: 'main', ...body }, ...templates] });

/** Stored while stepmemo is there. */
const stored = (): readonly KubeObject[] => [
  {
    apiVersion: API,
    kind: 'WorkflowTemplate',
    metadata: { name: 'shared' },
    spec: { entrypoint: 'work', templates: [work()] },
  },
];

const KINDS = {
  'one step': () => workflow({ entrypoint: 'work', templates: [work()] }),
  steps: () =>
    main({ steps: [[{ name: 'a', template: 'one' }], [{ name: 'b', template: 'two' }]] }, work('one'), work('two')),
  DAG: () => main({ dag: { tasks: [{ name: 'a', template: 'work' }] } }, work()),
  inline: () => main({ steps: [[{ name: 'a', inline: { memoize: memoize(), container, outputs } }]] }),
  templateDefaults: () =>
    workflow({
      entrypoint: 'work',
      templateDefaults: { memoize: memoize() },
      templates: [{ name: 'work', container, outputs }],
    }),
  templateRef: () => main({ steps: [[{ name: 'a', templateRef: { name: 'shared', template: 'work' } }]] }),
  workflowTemplateRef: () => workflow({ workflowTemplateRef: { name: 'shared' } }),
  CronWorkflow: (): KubeObject => ({
    apiVersion: API,
    kind: 'CronWorkflow',
    metadata: { generateName: 'outage-' },
    spec: { schedules: ['* * * * *'], workflowSpec: { entrypoint: 'work', templates: [work()] } },
  }),
};

/** As `stepmemo migrate` writes it. */
function migrated(object: KubeObject): KubeObject {
  const { patch } = judgeWorkflow({ object: object as JsonObject, operation: 'CREATE', mode: 'managed' });
  return jsonpatch.apply_patch(structuredClone(object), patch) as KubeObject;
}

/** The Workflow that an object becomes: itself, or the first that is made of a CronWorkflow. */
async function untilDone(namespace: string, kind: string | undefined, name: string): Promise<EndedWorkflow> {
  if (kind === 'Workflow') return untilEnded(namespace, name);
  const kube = await admin();
  const labelSelector = `workflows.argoproj.io/cron-workflow=${name}`;
  const done = await waitFor(
    async () => {
      const made = must(await kube.list({ resource: RESOURCES.workflows, namespace }, { labelSelector }));
      return made.map(describeWorkflow).find(({ phase }) => ['Succeeded', 'Failed', 'Error'].includes(phase));
    },
    { what: `a Workflow of ${name} to end`, deadlineMs: 180_000 },
  );
  must(await kube.remove({ resource: RESOURCES.cronWorkflows, namespace, name }));
  return done;
}

/** Submits one object of each kind, again where the API server itself is away, and says what came of each. */
async function submitAll(namespace: string, way: (object: KubeObject) => KubeObject): Promise<Record<string, string>> {
  const runs = Object.entries(KINDS).map(async ([kind, make]) => {
    const object = way(make());
    const name = await waitFor(() => submit(namespace, object), { what: `${kind} to be accepted`, deadlineMs: 60_000 });
    const { phase, message } = await untilDone(namespace, object.kind, name);
    return [kind, phase === 'Succeeded' ? phase : `${phase}: ${message}`] as const;
  });
  return Object.fromEntries(await Promise.all(runs));
}

const CONDITIONS: Readonly<Record<string, (work: () => Promise<void>) => Promise<void>>> = {
  'no replica runs': async (work) => {
    await scaleServer(0);
    await work();
  },
  'one of two replicas hangs': async (work) => {
    const [pid] = await serverProcesses();
    const pids = pid === undefined ? [] : [pid];
    signal(pids, 'SIGSTOP');
    await work().finally(() => signal(pids, 'SIGCONT'));
  },
  'one of two replicas is cut off the network': async (work) => {
    const [pid] = await serverProcesses();
    if (pid === undefined) throw new Error('there is no server');
    const connect = await cutOff(pid);
    await work().finally(connect);
  },
  'a rollout goes on': async (work) => {
    await kubectl('rollout', 'restart', 'deployment/stepmemo', '-n', 'stepmemo');
    await work();
  },
  'the API server restarts': async (work) => {
    await restartDaemon('kube-apiserver');
    await work();
  },
};

const all = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, 'Succeeded']));

function tell(condition: string, way: string, outcome: Record<string, string>): void {
  const good = Object.values(outcome).filter((phase) => phase === 'Succeeded').length;
  const others = Object.entries(outcome).filter(([, phase]) => phase !== 'Succeeded');
  console.info(`outage: ${condition}, ${way}: ${good} of ${Object.keys(outcome).length} Succeeded`, ...others.flat());
}

let namespace: string;
beforeAll(async () => {
  namespace = await givenNamespace();
  for (const object of stored()) await submit(namespace, object);
});
afterEach(async () => {
  await scaleServer(2);
  await untilServerReady();
});

describe.each(Object.keys(CONDITIONS))('while %s', (condition) => {
  const during = CONDITIONS[condition];

  it('with nothing but the webhook: what it is', async () => {
    await during?.(async () => {
      const outcome = await submitAll(namespace, (object) => object);
      tell(condition, 'the webhook alone', outcome);
      // No floor holds an outage of all; the rest is what two replicas are for.
      if (condition !== 'no replica runs') expect(outcome).toEqual(all);
    });
  });

  it('migrated manifests all succeed', async () => {
    await during?.(async () => {
      const outcome = await submitAll(namespace, migrated);
      tell(condition, 'migrated manifests', outcome);
      expect(outcome).toEqual(all);
    });
  });

  it('with the move in the API server all succeed', async ({ skip }) => {
    const { minor } = (await (await admin()).require('GET', '/version')) as unknown as { minor: string };
    if (Number.parseInt(minor, 10) < 36) skip('needs Kubernetes 1.36 or later: K8S=1.37.2');
    await kubectl('apply', '-f', POLICIES);
    try {
      await untilMoving();
      await during?.(async () => {
        const outcome = await submitAll(namespace, (object) => object);
        tell(condition, 'the policy', outcome);
        expect(outcome).toEqual(all);
      });
    } finally {
      await kubectl('delete', '-f', POLICIES);
    }
  });
});

describe('a pod that is held for a hit', () => {
  const MINUTES = 10;

  it(`ends when a replica is back after ${MINUTES} minutes without`, { timeout: (MINUTES + 10) * 60_000 }, async () => {
    const object = migrated(KINDS['one step']());
    await untilEnded(namespace, await submit(namespace, object));
    await untilEntries(namespace, 'outage', 1);
    const names: string[] = [];
    await whileNobodyLeads(async () => {
      for (let count = 0; count < 3; count += 1) names.push(await submit(namespace, object));
      await untilHeld(namespace, names);
      await scaleServer(0);
    });
    await new Promise((resolve) => setTimeout(resolve, MINUTES * 60_000));
    await scaleServer(2);
    for (const name of names) {
      expect(await untilEnded(namespace, name)).toMatchObject({ phase: 'Succeeded' });
      expect((await memoizedSteps({ namespace, name }))[0]).toMatchObject({ decision: 'hit', hasRun: false });
    }
  });
});

/** A new policy is in force some seconds later: seen where no webhook is called. */
async function untilMoving(): Promise<void> {
  const kube = await admin();
  const path = `/apis/${API}/namespaces/${namespace}/workflows?dryRun=All`;
  await scaleServer(0);
  await waitFor(
    async () => JSON.stringify((await kube.request('POST', path, KINDS['one step']())).body).includes('moved-from'),
    { what: 'the policy to move', deadlineMs: 60_000 },
  );
  await scaleServer(2);
}
