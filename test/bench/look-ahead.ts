import { parseArgs } from 'node:util';
import { WORKFLOW_LABEL } from '../../src/argo/names.ts';
import { ENABLED_LABEL, LOOK_AHEAD_ANNOTATION } from '../../src/base/names.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeObject, type KubeResult, RESOURCES } from '../../src/kube/types.ts';
import { median } from './statistics.ts';
import { waitFor } from './wait-for.ts';

/*
 * What a workflow takes whose steps are cached: by look-ahead, by the pods' way, and by Argo's own memoization where its
 * controller may write ConfigMaps (`--native`; manifests/extras/controller-cache-role). docs/performance.md says how to read it. Works in
 * namespaces of its own, which it deletes, and for Argo's own with caches named bench-… in the controller's namespace.
 */
const { values: options } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    native: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    /** Shapes whose name matches this regular expression. */
    only: { type: 'string', default: '' },
    image: { type: 'string', default: 'busybox:local' },
    'controller-namespace': { type: 'string', default: 'argo' },
  },
});
if (options.kubeconfig === undefined) {
  console.error('which cluster? make bench-look-ahead KUBECONFIG=PATH, or --kubeconfig PATH');
  process.exit(2);
}
const only = new RegExp(options.only);
const kube = createKubeApi(options.kubeconfig);
const ending = new AbortController();
const suffix = Date.now().toString(36);
const CACHE = `bench-${suffix}`;
/** What each cache holds before a run, by the number of the key. */
const CACHES: Readonly<Record<string, (index: number) => boolean>> = {
  [CACHE]: () => true,
  [`${CACHE}-half`]: (index) => index % 2 === 0,
  [`${CACHE}-none`]: () => false,
};
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

const inCache = (which: string, groups: readonly object[]) =>
  JSON.parse(JSON.stringify(groups).replaceAll('"work"', `"work-${which}"`)) as object[];

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
  'chain of 10, every second step cached': { steps: inCache('half', chain(10)) },
  'chain of 5, nothing cached': { steps: inCache('none', chain(5)) },
  'fan-out of 100, and a consumer': {
    dag: {
      tasks: [call('fan', 'k{{item}}', { withSequence: { count: '100' } }), call('all', 'k100', { depends: 'fan' })],
    },
  },
};

function workflow(shape: object): KubeObject {
  const container = { image: options.image, command: ['sh', '-c'] };
  const outputs = { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] };
  const memoized = Object.keys(CACHES).map((name) => ({
    name: name.replace(CACHE, 'work'),
    inputs: { parameters: [{ name: 'x' }] },
    memoize: { key: '{{inputs.parameters.x}}', maxAge: '24h', cache: { configMap: { name } } },
    // As the entries have it: what it gives is the next key.
    container: { ...container, args: ['x={{inputs.parameters.x}}; printf k%s $(($(echo $x | tr -d k) + 1)) > /tmp/o'] },
    outputs,
  }));
  const plain = { name: 'plain', container: { ...container, args: ["printf '%s' k0 > /tmp/o"] }, outputs };
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'bench-' },
    spec: { entrypoint: 'main', templates: [{ name: 'main', ...shape }, ...memoized, plain] },
  };
}

/** Makes the caches what they are before a run: one that was filled in part has been filled since. */
async function fill(namespace: string): Promise<void> {
  const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  for (const [name, isThere] of Object.entries(CACHES)) {
    const entries = KEYS.flatMap((key, index) => {
      const outputs = { parameters: [{ name: 'o', value: KEYS[index + 1] ?? 'end', valueFrom: { path: '/tmp/o' } }] };
      const entry = { nodeID: 'bench', outputs, creationTimestamp: time, lastHitTimestamp: time };
      return isThere(index) ? [[key, JSON.stringify(entry)] as const] : [];
    });
    const labels = { 'workflows.argoproj.io/configmap-type': 'Cache' };
    const resource = { resource: RESOURCES.configMaps, namespace };
    await kube.remove({ ...resource, name });
    must(await kube.create(resource, { metadata: { name, labels }, data: Object.fromEntries(entries) }));
  }
}

async function givenNamespace(name: string, labels: Record<string, string>, annotations: Record<string, string>) {
  must(await kube.create({ resource: RESOURCES.namespaces }, { metadata: { name, labels, annotations } }));
  const accounts = { group: '', version: 'v1', resource: 'serviceaccounts' };
  await waitFor(async () => (await kube.get({ resource: accounts, namespace: name, name: 'default' })).ok, {
    what: 'the default account',
  });
}

interface Ended {
  readonly atMs: number;
  readonly phase: string;
}

/** The first event that shows a workflow as ended, by its name: to ask every now and then is coarser than what is measured. */
async function watchEnds(namespace: string): Promise<Map<string, Ended>> {
  const scope = { resource: RESOURCES.workflows, namespace };
  const { resourceVersion } = must(await kube.listPage(scope, { limit: 1 }));
  const ends = new Map<string, Ended>();
  const options = { resourceVersion, timeoutSeconds: 7_200, idleLimitMs: 7_200_000, signal: ending.signal };
  void kube.watch(scope, options, ({ object: { metadata, status } }) => {
    const name = metadata?.name ?? '';
    const phase = (status as { phase?: string } | undefined)?.phase ?? '';
    if (['Succeeded', 'Failed', 'Error'].includes(phase) && !ends.has(name))
      ends.set(name, { atMs: performance.now(), phase });
  });
  return ends;
}

/** Seconds from the call that submits it to the moment in which it is seen to have ended, and its pods. */
async function run({ namespace, ends }: Way, shape: object): Promise<{ seconds: number; pods: number }> {
  const startMs = performance.now();
  const made = must(await kube.create({ resource: RESOURCES.workflows, namespace }, workflow(shape)));
  const name = made.metadata?.name ?? '';
  await waitFor(() => ends.has(name), { what: `workflow ${name} to end`, deadlineMs: 900_000 });
  const { atMs, phase } = ends.get(name) ?? { atMs: 0, phase: '' };
  if (phase !== 'Succeeded') throw new Error(`${name} is ${phase}`);
  const labelSelector = `${WORKFLOW_LABEL}=${name}`;
  const pods = must(await kube.list({ resource: RESOURCES.pods, namespace }, { labelSelector })).length;
  return { seconds: (atMs - startMs) / 1000, pods };
}

interface Way {
  readonly name: string;
  readonly namespace: string;
  readonly ends: ReadonlyMap<string, Ended>;
}

/** Argo's own memoization looks in the namespace of its controller. */
function cachesOf(namespace: string): string {
  return namespace.startsWith('bench-native') ? options['controller-namespace'] : namespace;
}

async function untilServed(way: Way, isServed: (pods: number) => boolean): Promise<void> {
  await waitFor(async () => isServed((await run(way, { steps: chain(1) })).pods), {
    what: 'stepmemo to see the namespace: is it installed?',
    deadlineMs: 60_000,
  });
}

const namespaces = [
  `bench-ahead-${suffix}`,
  `bench-pods-${suffix}`,
  ...(options.native ? [`bench-native-${suffix}`] : []),
];
const WAYS = ['look-ahead', "the pods' way", "Argo's own"];
const enabled = { [ENABLED_LABEL]: 'true' };
try {
  const [ahead = '', byPods = '', native] = namespaces;
  await givenNamespace(ahead, enabled, {});
  await givenNamespace(byPods, enabled, { [LOOK_AHEAD_ANNOTATION]: 'off' });
  if (native !== undefined) await givenNamespace(native, {}, {});
  for (const namespace of [ahead, byPods]) await fill(namespace);
  if (options.native) await fill(options['controller-namespace']);
  const ways: Way[] = [];
  for (const [index, namespace] of namespaces.entries())
    ways.push({ name: WAYS[index] ?? '', namespace, ends: await watchEnds(namespace) });
  if (ways[0] !== undefined) await untilServed(ways[0], (pods) => pods === 0);
  console.log(
    `seconds from submission to the end (pods), medians of ${options.rounds}: ${ways.map(({ name }) => name).join(' | ')}`,
  );
  for (const [what, shape] of Object.entries(SHAPES).filter(([name]) => only.test(name))) {
    const runs = ways.map(() => [] as { seconds: number; pods: number }[]);
    for (let round = 0; round < Number(options.rounds); round += 1) {
      for (const [index, way] of ways.entries()) {
        await fill(cachesOf(way.namespace));
        // For the watches to hear of it.
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        runs[index]?.push(await run(way, shape));
      }
    }
    const cells = runs.map((of) => {
      const seconds = median(of.map((one) => one.seconds));
      return `${seconds.toFixed(3)} (${median(of.map((one) => one.pods))})`;
    });
    console.log(`${what}: ${cells.join(' | ')}`);
  }
} finally {
  ending.abort();
  for (const name of namespaces) await kube.remove({ resource: RESOURCES.namespaces, name });
  for (const name of options.native ? Object.keys(CACHES) : [])
    await kube.remove({ resource: RESOURCES.configMaps, namespace: options['controller-namespace'], name });
  kube.close();
}
