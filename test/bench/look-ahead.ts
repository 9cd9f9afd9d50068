import { parseArgs } from 'node:util';
import { WORKFLOW_LABEL } from '../../src/argo/names.ts';
import { ENABLED_LABEL, LOOK_AHEAD_ANNOTATION } from '../../src/base/names.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeObject, type KubeResult, RESOURCES } from '../../src/kube/types.ts';
import { median } from './statistics.ts';
import { waitFor } from './wait-for.ts';

/*
 * What a workflow takes whose steps are cached: by look-ahead, by the pods' way, and by Argo's own memoization where its
 * controller may write ConfigMaps (`--native`; cluster/argo-native-role.yaml). docs/performance.md says how to read it. Works in
 * namespaces of its own, which it deletes, and for Argo's own with caches named bench-… in the controller's namespace.
 */
const { values: options } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    native: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    /** Shapes whose name holds this. */
    only: { type: 'string', default: '' },
    image: { type: 'string', default: 'busybox:local' },
    'controller-namespace': { type: 'string', default: 'argo' },
  },
});
if (options.kubeconfig === undefined) {
  console.error('which cluster? make bench-look-ahead KUBECONFIG=PATH, or --kubeconfig PATH');
  process.exit(2);
}
const kube = createKubeApi(options.kubeconfig);
const suffix = Date.now().toString(36);
const CACHE = `bench-${suffix}`;
/** The first key of a chain; each entry's output is the key of the step behind it. */
const KEYS = Array.from({ length: 110 }, (_, index) => `k${index}`);

function must<T>(result: KubeResult<T>): T {
  if (result.ok) return result.value;
  throw new Error(`${result.status} ${result.reason}: ${result.message}`);
}

const call = (name: string, x: string, more: object = {}) => ({
  name,
  template: 'work',
  arguments: { parameters: [{ name: 'x', value: x }] },
  ...more,
});
const out = (kind: string, name: string) => `{{${kind}.${name}.outputs.parameters.o}}`;
const chain = (length: number, first = 'k0') =>
  Array.from({ length }, (_, index) => [call(`s${index}`, index === 0 ? first : out('steps', `s${index - 1}`))]);

/** Names of a second chain in one workflow. */
const renamed = (group: object) => JSON.parse(JSON.stringify(group).replaceAll(/\bs(\d+)\b/g, 't$1')) as object;

const SHAPES: Readonly<Record<string, object>> = {
  'one step': { steps: chain(1) },
  'chain of 5': { steps: chain(5) },
  'chain of 50': { steps: chain(50) },
  diamond: {
    dag: {
      tasks: [
        call('a', 'k0'),
        call('b', 'k1', { depends: 'a' }),
        call('c', 'k2', { depends: 'a' }),
        call('d', 'k3', { depends: 'b && c' }),
      ],
    },
  },
  // The commonest: something is fetched, and all that follows on it is cached.
  'chain of 10 behind a step that runs': {
    steps: [[{ name: 'runs', template: 'plain' }], ...chain(10, out('steps', 'runs'))],
  },
  'chain of 10, the fifth runs': {
    steps: [...chain(4), [{ name: 'runs', template: 'plain' }], ...chain(5, out('steps', 'runs')).map(renamed)],
  },
  'fan-out of 100, and a consumer': {
    dag: {
      tasks: [call('fan', 'k{{item}}', { withSequence: { count: '100' } }), call('all', 'k100', { depends: 'fan' })],
    },
  },
};

function workflow(shape: object): KubeObject {
  const memoize = { key: '{{inputs.parameters.x}}', maxAge: '24h', cache: { configMap: { name: CACHE } } };
  const container = { image: options.image, command: ['sh', '-c'], args: ['echo {{inputs.parameters.x}} > /tmp/o'] };
  const work = {
    name: 'work',
    inputs: { parameters: [{ name: 'x' }] },
    memoize,
    container,
    outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
  };
  const plain = {
    name: 'plain',
    container: { ...container, args: ["printf '%s' k0 > /tmp/o"] },
    outputs: work.outputs,
  };
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'bench-' },
    spec: { entrypoint: 'main', templates: [{ name: 'main', ...shape }, work, plain] },
  };
}

async function fill(namespace: string): Promise<void> {
  const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const entries = KEYS.map((key, index) => {
    const outputs = { parameters: [{ name: 'o', value: KEYS[index + 1] ?? 'end', valueFrom: { path: '/tmp/o' } }] };
    return [key, JSON.stringify({ nodeID: 'bench', outputs, creationTimestamp: time, lastHitTimestamp: time })];
  });
  must(
    await kube.create(
      { resource: RESOURCES.configMaps, namespace },
      {
        metadata: { name: CACHE, labels: { 'workflows.argoproj.io/configmap-type': 'Cache' } },
        data: Object.fromEntries(entries),
      },
    ),
  );
}

async function givenNamespace(name: string, labels: Record<string, string>, annotations: Record<string, string>) {
  must(await kube.create({ resource: RESOURCES.namespaces }, { metadata: { name, labels, annotations } }));
  const accounts = { group: '', version: 'v1', resource: 'serviceaccounts' };
  await waitFor(async () => (await kube.get({ resource: accounts, namespace: name, name: 'default' })).ok, {
    what: 'the default account',
  });
}

/** Seconds from the call that submits it to the moment in which it is seen to have ended, and its pods. */
async function run(namespace: string, shape: object): Promise<{ seconds: number; pods: number }> {
  const startMs = performance.now();
  const made = must(await kube.create({ resource: RESOURCES.workflows, namespace }, workflow(shape)));
  const name = made.metadata?.name ?? '';
  let phase = '';
  await waitFor(
    async () => {
      const { status } = must(await kube.get({ resource: RESOURCES.workflows, namespace, name }));
      phase = (status as { phase?: string } | undefined)?.phase ?? '';
      return ['Succeeded', 'Failed', 'Error'].includes(phase);
    },
    { what: `workflow ${name} to end`, deadlineMs: 900_000 },
  );
  const seconds = (performance.now() - startMs) / 1000;
  if (phase !== 'Succeeded') throw new Error(`${name} is ${phase}`);
  const labelSelector = `${WORKFLOW_LABEL}=${name}`;
  const pods = must(await kube.list({ resource: RESOURCES.pods, namespace }, { labelSelector })).length;
  return { seconds, pods };
}

interface Way {
  readonly name: string;
  readonly namespace: string;
}

async function untilServed({ namespace }: Way, isServed: (pods: number) => boolean): Promise<void> {
  await waitFor(async () => isServed((await run(namespace, { steps: chain(1) })).pods), {
    what: 'stepmemo to see the namespace: is it installed?',
    deadlineMs: 60_000,
  });
}

const ways: Way[] = [
  { name: 'look-ahead', namespace: `bench-ahead-${suffix}` },
  { name: "the pods' way", namespace: `bench-pods-${suffix}` },
  ...(options.native ? [{ name: "Argo's own", namespace: `bench-native-${suffix}` }] : []),
];
const enabled = { [ENABLED_LABEL]: 'true' };
try {
  await givenNamespace(ways[0]?.namespace ?? '', enabled, {});
  await givenNamespace(ways[1]?.namespace ?? '', enabled, { [LOOK_AHEAD_ANNOTATION]: 'off' });
  if (ways[2] !== undefined) await givenNamespace(ways[2].namespace, {}, {});
  for (const { namespace } of ways.slice(0, 2)) await fill(namespace);
  if (options.native) await fill(options['controller-namespace']);
  if (ways[0] !== undefined) await untilServed(ways[0], (pods) => pods === 0);
  console.log(
    `seconds from submission to the end (pods), medians of ${options.rounds}: ${ways.map(({ name }) => name).join(' | ')}`,
  );
  for (const [what, shape] of Object.entries(SHAPES).filter(([name]) => name.includes(options.only))) {
    const cells: string[] = [];
    for (const { namespace } of ways) {
      const runs: { seconds: number; pods: number }[] = [];
      for (let round = 0; round < Number(options.rounds); round += 1) runs.push(await run(namespace, shape));
      cells.push(`${median(runs.map(({ seconds }) => seconds)).toFixed(2)} (${median(runs.map(({ pods }) => pods))})`);
    }
    console.log(`${what}: ${cells.join(' | ')}`);
  }
} finally {
  for (const { namespace } of ways) await kube.remove({ resource: RESOURCES.namespaces, name: namespace });
  const native = { resource: RESOURCES.configMaps, namespace: options['controller-namespace'], name: CACHE };
  if (options.native) await kube.remove(native);
  kube.close();
}
