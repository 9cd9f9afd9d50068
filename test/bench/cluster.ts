import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { CAPTURE_CONTAINER, ENABLED_LABEL, KEY_ANNOTATION, LOOK_AHEAD_ANNOTATION } from '../../src/base/names.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeObject, type KubeResult, type KubeWatchApi, RESOURCES } from '../../src/kube/types.ts';
import { type ContainerExits, watchContainerExits } from './container-exits.ts';
import { PodWatch, type SeenPod } from './pod-watch.ts';
import { findSidecars, type ProcessUse, readUse } from './sidecar-processes.ts';
import { median, printTable, type Row, spread } from './statistics.ts';
import { waitFor } from './wait-for.ts';

/*
 * What hits and misses take on a real cluster that has Argo and stepmemo, idle but for this: docs/performance.md says how
 * to read it. Works in two namespaces of its own, which it deletes. How long the sidecar lasts and what memory it takes
 * can be seen on the node alone, so only where this runs on it.
 */

const { values: options } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    hits: { type: 'string', default: '100' },
    pairs: { type: 'string', default: '10' },
    image: { type: 'string', default: 'busybox:local' },
    /** Of containerd; the local cluster's by default. */
    socket: { type: 'string' },
  },
});

const CACHE = 'bench-cache';
const WORK_SECONDS = 3;
const SAMPLE_PAUSE_MS = 200;

const { kubeconfig } = options;
if (kubeconfig === undefined) {
  console.error('which cluster? make bench-cluster KUBECONFIG=PATH, or --kubeconfig PATH');
  process.exit(2);
}
const kube: KubeWatchApi = createKubeApi(kubeconfig);

function must<T>(result: KubeResult<T>): T {
  if (result.ok) return result.value;
  throw new Error(`${result.status} ${result.reason}: ${result.message}`);
}

/** One memoized step that does nothing but wait. */
function workflow(key: string, seconds: number): KubeObject {
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'bench-' },
    spec: {
      entrypoint: 'work',
      arguments: { parameters: [{ name: 'key', value: key }] },
      templates: [
        {
          name: 'work',
          inputs: { parameters: [{ name: 'key' }] },
          memoize: { key: '{{inputs.parameters.key}}', maxAge: '1h', cache: { configMap: { name: CACHE } } },
          container: {
            image: options.image,
            command: ['sh', '-c'],
            args: [`sleep ${seconds}; echo {{inputs.parameters.key}} > /tmp/out`],
          },
          outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
        },
      ],
    },
  };
}

/** Without memoization the same step: a namespace that has not opted in, and nothing for Argo's own to act on. */
function withoutMemoize(object: KubeObject): KubeObject {
  const { spec } = structuredClone(object) as { spec: { templates: Record<string, unknown>[] } };
  for (const template of spec.templates) delete template.memoize;
  return { ...object, spec };
}

async function submit(namespace: string, object: KubeObject): Promise<string> {
  const made = must(await kube.create({ resource: RESOURCES.workflows, namespace }, object));
  return made.metadata?.name ?? '';
}

async function run(watch: PodWatch, namespace: string, object: KubeObject): Promise<SeenPod> {
  return watch.untilSucceeded(await submit(namespace, object));
}

async function givenNamespace(name: string, isEnabled: boolean): Promise<void> {
  const labels: Record<string, string> = isEnabled ? { [ENABLED_LABEL]: 'true' } : {};
  must(
    await kube.create(
      { resource: RESOURCES.namespaces },
      // A hit by its pod is what is measured here; test/bench/look-ahead.ts measures the other way.
      {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name, labels, annotations: { [LOOK_AHEAD_ANNOTATION]: 'off' } },
      },
    ),
  );
  const accounts = { group: '', version: 'v1', resource: 'serviceaccounts' };
  await waitFor(async () => (await kube.get({ resource: accounts, namespace: name, name: 'default' })).ok, {
    what: 'the default account',
  });
}

/** The server learns of a namespace by its watch: tried with suspended workflows, which are deleted again. */
async function untilMemoized(namespace: string): Promise<void> {
  await waitFor(
    async () => {
      const object = workflow('probe', 0);
      const made = must(
        await kube.create(
          { resource: RESOURCES.workflows, namespace },
          { ...object, spec: { ...(object.spec as object), suspend: true } },
        ),
      );
      const { name = '', uid = '' } = made.metadata ?? {};
      await kube.remove({ resource: RESOURCES.workflows, namespace, name }, { uid });
      return JSON.stringify(made.spec).includes(KEY_ANNOTATION);
    },
    { what: 'stepmemo to see the namespace: is it installed?', deadlineMs: 30_000 },
  );
}

async function untilEntry(namespace: string): Promise<void> {
  await waitFor(
    async () => {
      const map = must(await kube.get({ resource: RESOURCES.configMaps, namespace, name: CACHE }));
      return Object.keys((map.data as object | undefined) ?? {}).length > 0;
    },
    { what: 'the entry', deadlineMs: 30_000 },
  );
}

/** One after another: the next workflow is submitted when the pod of the last one is Succeeded. */
async function benchHits(namespace: string, count: number): Promise<void> {
  const watch = await PodWatch.start(kube, namespace);
  await run(watch, namespace, workflow('warm', 0));
  await untilEntry(namespace);
  const hits: SeenPod[] = [];
  for (let index = 0; index < count; index += 1) hits.push(await run(watch, namespace, workflow('warm', 0)));
  await watch.stop();
  const served = hits.filter(({ decision }) => decision === 'hit');
  printTable('Hits, one after another', [
    ['served', `${served.length} of ${count}`],
    ['pod created to Succeeded, ms', spread(served.map(wallMs), 1), 'limit: 100 at p50'],
    ['of that, until its task result is there', spread(served.map(resultMs), 1)],
  ]);
}

function wallMs({ addedMs, endedMs = Number.NaN }: SeenPod): number {
  return endedMs - addedMs;
}

function resultMs({ addedMs, resultMs = Number.NaN }: SeenPod): number {
  return resultMs - addedMs;
}

interface Pair {
  readonly memoized: SeenPod;
  readonly plain: SeenPod;
}

/** The same step side by side, with the sidecar and without stepmemo; who is first changes from pair to pair. */
async function benchMisses(namespace: string, plainNamespace: string, count: number): Promise<void> {
  const watches = [await PodWatch.start(kube, namespace), await PodWatch.start(kube, plainNamespace)] as const;
  const exits = watchExits();
  const uses = new Map<number, ProcessUse>();
  const sampling = setInterval(() => sample(uses), SAMPLE_PAUSE_MS);
  const pairs: Pair[] = [];
  for (let index = 0; index < count; index += 1) {
    const object = workflow(`miss-${index}`, WORK_SECONDS);
    const starts = [
      () => run(watches[0], namespace, object),
      () => run(watches[1], plainNamespace, withoutMemoize(object)),
    ] as const;
    const turned = index % 2 === 1;
    const [one, other] = await Promise.all(turned ? [starts[1](), starts[0]()] : [starts[0](), starts[1]()]);
    pairs.push(turned ? { memoized: other, plain: one } : { memoized: one, plain: other });
  }
  clearInterval(sampling);
  // Containers may be reported a moment after the pod.
  if (exits) await waitForExits(exits, pairs).catch((error: Error) => console.error(error.message));
  exits?.stop();
  await Promise.all(watches.map((watch) => watch.stop()));
  printMisses(pairs, exits, [...uses.values()]);
}

function watchExits(): ContainerExits | undefined {
  const socket = options.socket ?? join(dirname(kubeconfig ?? ''), 'containerd/containerd.sock');
  return existsSync(socket) ? watchContainerExits(socket) : undefined;
}

async function waitForExits({ exits }: ContainerExits, pairs: readonly Pair[]): Promise<void> {
  const ids = pairs.flatMap(({ memoized }) => [...memoized.containerIds.values()]);
  await waitFor(() => ids.every((id) => exits.has(id)), { what: 'all containers to be seen ended', deadlineMs: 5_000 });
}

function sample(uses: Map<number, ProcessUse>): void {
  for (const pid of findSidecars()) {
    const use = readUse(pid);
    const before = uses.get(pid);
    if (use === undefined || Number.isNaN(use.rssBytes)) continue;
    uses.set(pid, {
      rssBytes: Math.max(use.rssBytes, before?.rssBytes ?? 0),
      anonBytes: Math.max(use.anonBytes, before?.anonBytes ?? 0),
      pssBytes: Math.max(use.pssBytes, before?.pssBytes ?? 0),
      cpuMs: use.cpuMs,
    });
  }
}

function printMisses(pairs: readonly Pair[], exits: ContainerExits | undefined, uses: readonly ProcessUse[]): void {
  const memoized = pairs.map((pair) => wallMs(pair.memoized) / 1000);
  const plain = pairs.map((pair) => wallMs(pair.plain) / 1000);
  const differences = pairs.map((pair) => (wallMs(pair.memoized) - wallMs(pair.plain)) / 1000);
  const withSidecar = pairs.filter((pair) => pair.memoized.containerIds.has(CAPTURE_CONTAINER));
  printTable(`Misses: a step of ${WORK_SECONDS} s, ${pairs.length} pairs side by side`, [
    ['with a sidecar', `${withSidecar.length} of ${pairs.length}`],
    ['pod created to Succeeded, s, with', `median ${median(memoized).toFixed(2)}`, list(memoized, 1)],
    ['pod created to Succeeded, s, without', `median ${median(plain).toFixed(2)}`, list(plain, 1)],
    ['difference within a pair, s', `median ${median(differences).toFixed(2)}`, list(differences, 1)],
  ]);
  const rows: Row[] = exits ? exitRows(exits, withSidecar) : [['exits', 'not seen: no containerd here']];
  printTable('The sidecar', [...rows, ...useRows(uses)]);
}

function exitRows({ exits }: ContainerExits, pairs: readonly Pair[]): Row[] {
  const heldUp: number[] = [];
  const afterMain: number[] = [];
  const waitAfterMain: number[] = [];
  for (const { memoized } of pairs) {
    const at = (container: string) => exits.get(memoized.containerIds.get(container) ?? '') ?? Number.NaN;
    heldUp.push(Math.max(0, at(CAPTURE_CONTAINER) - Math.max(at('main'), at('wait'))));
    afterMain.push(at(CAPTURE_CONTAINER) - at('main'));
    waitAfterMain.push(at('wait') - at('main'));
  }
  return [
    ["outlives the last of Argo's containers by, ms", spread(heldUp, 0), `limit: 300; ${list(heldUp)}`],
    ['ends after main, ms', spread(afterMain, 0), list(afterMain)],
    ["Argo's own wait ends after main, ms", spread(waitAfterMain, 0), list(waitAfterMain)],
  ];
}

function useRows(uses: readonly ProcessUse[]): Row[] {
  if (uses.length === 0) return [['memory', 'not seen: no such process here']];
  const mb = (bytes: number[]) =>
    spread(
      bytes.map((count) => count / 1e6),
      1,
    );
  return [
    ['resident memory, MB', mb(uses.map(({ rssBytes }) => rssBytes)), `limit: 60; ${uses.length} processes`],
    ['of that, its own data (not mapped files), MB', mb(uses.map(({ anonBytes }) => anonBytes))],
    ['with shared pages divided (PSS), MB', mb(uses.map(({ pssBytes }) => pssBytes))],
    [
      'CPU from start to end, ms',
      spread(
        uses.map(({ cpuMs }) => cpuMs),
        0,
      ),
    ],
  ];
}

const list = (samples: readonly number[], digits = 0): string => samples.map((s) => s.toFixed(digits)).join(' ');

/** The sizes that the kubelet reports: of the layers as the runtime keeps them. */
async function printImages(): Promise<void> {
  const nodes = must(await kube.list({ resource: { group: '', version: 'v1', resource: 'nodes' } }));
  const images = nodes.flatMap(
    ({ status }) => (status as { images?: { names?: string[]; sizeBytes?: number }[] } | undefined)?.images ?? [],
  );
  const rows = images
    .filter(({ names }) => names?.some((name) => name.includes('stepmemo')))
    .map(({ names = [], sizeBytes = 0 }): Row => [names.at(-1) ?? '', `${(sizeBytes / 1e6).toFixed(1)} MB`]);
  printTable('Image, as the node has it', rows);
}

const suffix = Date.now().toString(36);
const names = { memoized: `bench-${suffix}`, plain: `bench-${suffix}-plain` };
try {
  await givenNamespace(names.memoized, true);
  await givenNamespace(names.plain, false);
  await untilMemoized(names.memoized);
  const [hits, pairs] = [Number(options.hits), Number(options.pairs)];
  if (hits > 0) await benchHits(names.memoized, hits);
  if (pairs > 0) await benchMisses(names.memoized, names.plain, pairs);
  await printImages();
} finally {
  for (const name of Object.values(names)) await kube.remove({ resource: RESOURCES.namespaces, name });
  kube.close();
}
