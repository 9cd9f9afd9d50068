import { beforeAll, describe, expect, it } from 'vitest';
import { HIT_GATE } from '../../src/base/names.ts';
import { listEntries } from '../../src/cli/cluster/cache-entries.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import { createRandom, type Random } from '../support/random.ts';
import {
  admin,
  type EndedWorkflow,
  giveAccount,
  givenNamespace,
  kubectl,
  podsOf,
  submit,
  untilEnded,
} from './cluster.ts';
import { pidOf, restartDaemon, serverProcesses, usageOf } from './processes.ts';
import { serverPods, untilServerReady } from './server.ts';

/*
 * Three tenants with workflows of all kinds, a fourth who means harm, and faults one after the other, for as long as it is told to:
 * SOAK_MINUTES (2 among the other e2e tests, 20 with `make test-soak`), SEED. Everything ends by itself. What each step gives
 * follows from its input, so each output, and each entry of each cache, is known to be right or wrong.
 */
const MINUTES = Number(process.env.SOAK_MINUTES ?? '2');
const SEED = Number(process.env.SEED ?? '1');
/** Argo itself does not always survive these, so the short run among the other tests is without. */
const WITH_RESTARTS = MINUTES >= 10;
const TENANTS = 3;
/** Workflows of a tenant at a time. */
const AT_A_TIME = 2;
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];

const endMs = () => startedMs + MINUTES * 60_000;
let startedMs = 0;
const isOver = () => Date.now() >= endMs();

// ---- workflows

const io = {
  inputs: { parameters: [{ name: 'x' }] },
  container: {
    image: 'busybox:local',
    command: ['sh', '-c'],
    args: ["printf '%s+' '{{inputs.parameters.x}}' > /tmp/o"],
  },
  outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
};
const plain = { name: 'plain', ...io };
/** As it is in a repository that was migrated, and as it is in any other. */
const work = (cache: string, isMigrated: boolean) => ({
  name: 'work',
  ...io,
  ...(isMigrated
    ? { metadata: { annotations: { 'stepmemo.io/key': '{{inputs.parameters.x}}', 'stepmemo.io/cache': cache } } }
    : { memoize: { key: '{{inputs.parameters.x}}', maxAge: '24h', cache: { configMap: { name: cache } } } }),
});
const call = (name: string, x: string, more: object = {}) => ({
  name,
  template: 'work',
  arguments: { parameters: [{ name: 'x', value: x }] },
  ...more,
});
const out = (kind: string, name: string) => `{{${kind}.${name}.outputs.parameters.o}}`;

function workflowOf(random: Random): KubeObject {
  const x = random.pick(KEYS);
  const shapes = [
    { steps: [[call('a', x)]] },
    { steps: [[call('a', x)], [call('b', out('steps', 'a'))], [call('c', out('steps', 'b'))]] },
    {
      steps: [
        [call('runs', `${x}-${random.below(1e6)}`, { template: 'plain' })],
        [call('a', x)],
        [call('b', out('steps', 'a'))],
      ],
    },
    {
      dag: {
        tasks: [call('a', x), call('b', `${out('tasks', 'a')}b`, { depends: 'a' }), call('c', x, { depends: 'a' })],
      },
    },
    { dag: { tasks: [call('fan', '{{item}}', { withItems: ['p', 'q', x] }), call('all', x, { depends: 'fan' })] } },
  ];
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'soak-' },
    spec: {
      entrypoint: 'main',
      templates: [
        { name: 'main', ...random.pick(shapes) },
        work(random.pick(['one', 'two']), random.chance(0.7)),
        plain,
      ],
    },
  };
}

/** What is wrong with a workflow that has ended. */
function faultsOf({ name, phase, message, nodes }: EndedWorkflow): readonly string[] {
  const failed = nodes.filter((node) => node.type === 'Pod' && !['Succeeded', 'Skipped'].includes(node.phase));
  const isAll = (start: string) =>
    failed.length > 0 && failed.every((node) => node.message?.startsWith(start) === true);
  // Argo's own containers give a step up where the API server or containerd is killed at a bad moment for them.
  const isArgos = isAll('wait: Error') || isAll('init: ');
  if (isArgos) counts.givenUpByArgo += 1;
  // A Workflow that was submitted while no webhook was called: where it has memoize, that is the outage that docs/outage.md is about.
  if (isAll('could not save to config map cache')) counts.passedBy += 1;
  if (isArgos || isAll('could not save to config map cache')) return [];
  if (phase !== 'Succeeded') return [`${name}: ${phase} ${message}`];
  return nodes
    .filter(({ type }) => type === 'Pod')
    .flatMap((node) => {
      const x = (node.inputs as { parameters: { value: string }[] }).parameters[0]?.value;
      const given = node.outputs?.parameters?.find((parameter) => parameter.name === 'o')?.value;
      return given === `${x}+` ? [] : [`${name} ${node.displayName}: ${x} gave ${given}`];
    });
}

const counts = {
  workflows: 0,
  givenUpByArgo: 0,
  lostByArgo: 0,
  passedBy: 0,
  pods: 0,
  served: 0,
  refused: 0,
  killed: 0,
  apiServer: 0,
  containerd: 0,
  authorities: 0,
};
const faults: string[] = [];

/** Submits one after the other; an API server that is away is asked again. */
async function runTenant(namespace: string, random: Random): Promise<void> {
  while (!isOver()) {
    const name = await persist(() => submit(namespace, workflowOf(random)));
    const ended = await untilEnded(namespace, name, 240_000).catch((error: unknown) => stuck(namespace, name, error));
    if (ended === undefined) continue;
    counts.workflows += 1;
    const steps = ended.nodes.filter(({ type }) => type === 'Pod');
    counts.pods += steps.filter(({ hostNodeName }) => (hostNodeName ?? '') !== '').length;
    counts.served += steps.filter(({ hostNodeName }) => (hostNodeName ?? '') === '').length;
    faults.push(...faultsOf(ended));
  }
}

/** Argo's controller may lose sight of a workflow when the API server is killed; a fault is one whose pods have not all ended. */
async function stuck(namespace: string, name: string, error: unknown): Promise<undefined> {
  const pods = await podsOf({ namespace, name });
  const haveEnded = pods.every(({ status }) => ['Succeeded', 'Failed'].includes((status as { phase: string }).phase));
  if (haveEnded && WITH_RESTARTS) counts.lostByArgo += 1;
  else faults.push(`${name}: ${String(error)}`);
}

const persist = <T>(attempt: () => Promise<T>): Promise<NonNullable<T>> =>
  waitFor(attempt, { what: 'the API server', deadlineMs: 120_000 });

const pause = (ms: number) =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, Math.min(ms, endMs() - Date.now()))));

// ---- harm

/** Caches as large as they may be, again and again; pods with our gates; posts to our ports from a pod of its own. */
async function harm(namespace: string, random: Random): Promise<void> {
  const kube = await admin();
  const filler = 'x'.repeat(900 * 1024);
  const labels = { 'workflows.argoproj.io/configmap-type': 'Cache' };
  const intruder = await kube.withToken((await kube.tokenOf(namespace, 'intruder')).token);
  await persist(() => kube.create({ resource: RESOURCES.pods, namespace }, noisyPod()));
  for (let round = 0; !isOver(); round += 1) {
    const data = { [`k${round}`]: filler };
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `large-${round % 30}`, labels }, data };
    await persist(() => intruder.create({ resource: RESOURCES.configMaps, namespace }, map));
    const forged = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        generateName: 'forged-',
        labels: { 'workflows.argoproj.io/workflow': 'w' },
        annotations: { 'stepmemo.io/decision': random.pick(['hit', 'miss']), 'workflows.argoproj.io/node-id': 'w-1' },
      },
      spec: { schedulingGates: [{ name: HIT_GATE }], containers: [{ name: 'main', image: 'busybox:local' }] },
    };
    const made = await persist(() => intruder.create({ resource: RESOURCES.pods, namespace }, forged));
    if (made.ok) faults.push('a forged pod was let in');
    else if (made.status === 403 || made.status === 422) counts.refused += 1;
    await pause(1_000);
  }
}

function noisyPod(): KubeObject {
  const posts =
    'while sleep 0.2; do for port in 443 8444; do head -c 500000 /dev/zero | timeout 2 nc stepmemo.stepmemo.svc.cluster.local $port; done; done';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'noisy-' },
    spec: {
      restartPolicy: 'Never',
      activeDeadlineSeconds: Math.ceil(MINUTES * 60),
      containers: [
        { name: 'main', image: 'busybox:local', imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', posts] },
      ],
    },
  };
}

// ---- faults

async function killReplicas(random: Random): Promise<void> {
  for (;;) {
    await pause(30_000);
    if (isOver()) return;
    // With a signal alone the kubelet would wait longer each time before it starts the container again.
    const name = random.pick(await persist(serverPods)).metadata?.name ?? '';
    await persist(async () => {
      await kubectl('delete', 'pod', name, '-n', 'stepmemo', '--force', '--grace-period=0', '--ignore-not-found');
      return true;
    });
    counts.killed += 1;
  }
}

/** The API server twice and containerd once, spread over the time. */
async function restartDaemons(): Promise<void> {
  for (const [at, daemon] of [
    [0.25, 'kube-apiserver'],
    [0.5, 'containerd'],
    [0.7, 'kube-apiserver'],
  ] as const) {
    await pause(startedMs + at * MINUTES * 60_000 - Date.now());
    await restartDaemon(daemon);
    counts[daemon === 'containerd' ? 'containerd' : 'apiServer'] += 1;
  }
}

/** Without its Secret the server makes a new certificate authority. */
async function rotateAuthorities(): Promise<void> {
  for (;;) {
    await pause(60_000);
    if (isOver()) return;
    await persist(async () => {
      await kubectl('delete', 'secret', 'stepmemo-ca', '-n', 'stepmemo', '--ignore-not-found');
      return true;
    });
    counts.authorities += 1;
  }
}

// ---- measures

const most = { mib: 0, files: 0, apiServerMib: 0 };

async function measure(): Promise<void> {
  while (!isOver()) {
    for (const pid of await serverProcesses()) {
      const { mib = 0, files = 0 } = (await usageOf(pid)) ?? {};
      most.mib = Math.max(most.mib, mib);
      most.files = Math.max(most.files, files);
    }
    const apiServer = await usageOf(await pidOf('kube-apiserver'));
    most.apiServerMib = Math.max(most.apiServerMib, apiServer?.mib ?? 0);
    await pause(2_000);
  }
}

describe(`${MINUTES} minutes of load, harm and faults, seed ${SEED}`, { retry: 0 }, () => {
  const namespaces: string[] = [];
  beforeAll(
    async () => {
      for (let index = 0; index < TENANTS; index += 1) namespaces.push(await givenNamespace({ lookAhead: 'on' }));
      const hostile = await givenNamespace();
      await giveAccount(await admin(), hostile, 'intruder', [
        { apiGroups: [''], resources: ['configmaps', 'pods'], verbs: ['create', 'update', 'patch', 'get'] },
      ]);
      startedMs = Date.now();
      const random = (index: number) => createRandom(SEED * 1_000 + index);
      const tenants = namespaces.flatMap((namespace, index) =>
        Array.from({ length: AT_A_TIME }, (_, at) => runTenant(namespace, random(10 * index + at))),
      );
      await Promise.all([
        ...tenants,
        harm(hostile, random(100)),
        killReplicas(random(101)),
        ...(WITH_RESTARTS ? [restartDaemons()] : []),
        rotateAuthorities(),
        measure(),
      ]);
      await persist(async () => {
        await untilServerReady();
        return true;
      });
      console.log(`soak: ${JSON.stringify({ ...counts, ...most })}`);
    },
    (MINUTES * 60 + 600) * 1_000,
  );

  it('every workflow ended well, each step with the output that its input gives', () => {
    expect(faults).toEqual([]);
    expect(counts.workflows).toBeGreaterThan(0);
    expect(counts.served).toBeGreaterThan(0);
    // With one of two replicas killed at a time.
    expect(counts.passedBy).toBeLessThan(counts.workflows / 10);
  });

  it('no pod is held any more', async () => {
    const kube = await admin();
    await waitFor(
      async () => {
        const pods = must(await kube.list({ resource: RESOURCES.pods }));
        const held = pods.filter(({ spec, status }) => {
          const gates = (spec as { schedulingGates?: { name: string }[] }).schedulingGates ?? [];
          return (status as { phase: string }).phase === 'Pending' && gates.some(({ name }) => name === HIT_GATE);
        });
        return held.length === 0;
      },
      { what: 'held pods to be gone', deadlineMs: 60_000 },
    );
  });

  it('no entry is wrong', async () => {
    const kube = await admin();
    let entries = 0;
    for (const namespace of namespaces) {
      const maps = must(
        await kube.list(
          { resource: RESOURCES.configMaps, namespace },
          { labelSelector: 'workflows.argoproj.io/configmap-type=Cache' },
        ),
      );
      for (const { key, entry } of maps.flatMap((map) => listEntries(map, new Date()))) {
        expect(entry?.outputs?.parameters?.[0]?.value, `entry ${key} of ${namespace}`).toBe(`${key}+`);
        entries += 1;
      }
    }
    expect(entries).toBeGreaterThan(0);
  });

  it('memory stays within what the container may have, and files within reason', () => {
    expect(most.mib).toBeLessThan(0.7 * 768);
    expect(most.files).toBeLessThan(500);
  });
});
