import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { CAPTURE_CONTAINER } from '../../src/base/names.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { forEachAtOnce } from '../support/at-once.ts';
import {
  createNamespace,
  kubeAs,
  kubeAsController,
  must,
  type ServerHandle,
  startServer,
  type TestKube,
  waitFor,
} from './harness.ts';

/*
 * A large cluster: 100 namespaces, a cache of 100 entries in each, 10,000 step pods that are being captured. Bounded in memory, and
 * still answering. `make test-scale`, which prints the figures of docs/performance.md.
 */
const NAMESPACES = 100;
const ENTRIES = 100;
const PODS = 100;
const REVIEWS = 2_000;
const WORKERS = 4;
/** The container's limit, as shipped. */
const LIMIT_MIB = 768;
/** What Node.js takes for its heap in a container of that limit: half of it. Here it would take gigabytes before it collects. */
const HEAP = { NODE_OPTIONS: `--max-old-space-size=${LIMIT_MIB / 2}` };

let admin: TestKube;
let argo: TestKube;
const enabled: string[] = [];
let other: string;

function entry(index: number): string {
  const at = new Date().toISOString().replace(/\.\d+Z/, 'Z');
  const outputs = {
    parameters: [{ name: 'text', value: `${index}-${'v'.repeat(500)}`, valueFrom: { path: '/tmp/text' } }],
    exitCode: '0',
  };
  return JSON.stringify({ nodeID: `earlier-${index}`, outputs, creationTimestamp: at, lastHitTimestamp: at });
}

const cache = (): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'cache', labels: { 'workflows.argoproj.io/configmap-type': 'Cache' } },
  data: Object.fromEntries(Array.from({ length: ENTRIES }, (_, index) => [`key-${index}`, entry(index)])),
});

/** A pod of about 10 kB, as Argo makes them; one that is being captured has the sidecar's name and the decision. */
function pod(name: string, key: string, isMiss: boolean): KubeObject {
  const outputs = { parameters: [{ name: 'text', valueFrom: { path: '/tmp/text' } }] };
  const template = { name: 'work', outputs, container: { name: '', image: 'none', args: ['x'.repeat(4_000)] } };
  const env = [{ name: 'ARGO_NODE_ID', value: name }];
  const full = [...env, { name: 'ARGO_TEMPLATE', value: JSON.stringify(template) }];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      labels: { 'workflows.argoproj.io/workflow': name, 'workflows.argoproj.io/completed': 'false' },
      annotations: {
        'workflows.argoproj.io/node-id': name,
        'workflows.argoproj.io/node-name': name,
        'stepmemo.io/key': key,
        'stepmemo.io/cache': 'cache',
        ...(isMiss && { 'stepmemo.io/decision': 'miss', 'stepmemo.io/reason': 'no-entry' }),
      },
      ownerReferences: [
        {
          apiVersion: 'argoproj.io/v1alpha1',
          kind: 'Workflow',
          name,
          uid: OWNER_UID,
          controller: true,
        },
      ],
    },
    spec: {
      restartPolicy: 'Never',
      initContainers: [{ name: 'init', image: 'argoexec:4.0.5', env: full }],
      containers: [
        { name: 'wait', image: 'argoexec:4.0.5', env: full },
        { name: 'main', image: 'none', env },
        ...(isMiss ? [{ name: CAPTURE_CONTAINER, image: 'stepmemo:local' }] : []),
      ],
    },
  } as KubeObject;
}

/** Nobody collects garbage here, so the owners need not be there. */
const OWNER_UID = '00000000-0000-4000-8000-000000000000';

async function mib(field: 'VmRSS' | 'VmHWM', { pid }: ServerHandle): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) / 1024);
}

/** Milliseconds of dry-run creations of pods, sorted; and how many of them were made hits. */
async function review(namespaces: readonly string[]): Promise<{ ms: readonly number[]; hits: number }> {
  const ms: number[] = [];
  let hits = 0;
  const reviews = Array.from({ length: REVIEWS }, (_, index) => index);
  await forEachAtOnce(reviews, WORKERS, async (index) => {
    const namespace = namespaces[index % namespaces.length] ?? '';
    const object = pod(`review-${index}`, `key-${index % ENTRIES}`, false);
    const startMs = performance.now();
    const { status, body } = await argo.request('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, object);
    ms.push(performance.now() - startMs);
    if (status === 201 && body.metadata?.annotations?.['stepmemo.io/decision'] === 'hit') hits += 1;
  });
  return { ms: ms.sort((a, b) => a - b), hits };
}

const at = (sorted: readonly number[], part: number) => (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(1);

describe('10,000 pods in 100 namespaces', { timeout: 900_000 }, () => {
  beforeAll(async () => {
    [admin, argo] = await Promise.all([kubeAs('admin'), kubeAsController()]);
    other = await createNamespace({ isEnabled: false });
    for (let index = 0; index < NAMESPACES; index += 1) enabled.push(await createNamespace());
    await forEachAtOnce(enabled, WORKERS, async (namespace) =>
      must(await admin.create({ resource: RESOURCES.configMaps, namespace }, cache())),
    );
    const pods = enabled.flatMap((namespace) =>
      Array.from({ length: PODS }, (_, index) => ({ namespace, name: `pod-${index}` })),
    );
    await forEachAtOnce(pods, WORKERS, async ({ namespace, name }) =>
      must(await argo.create({ resource: RESOURCES.pods, namespace }, pod(name, `new-${name}`, true))),
    );
  }, 900_000);

  it('are read within the limit of memory, and admission goes on', async () => {
    const startMs = performance.now();
    const server = await startServer({ env: HEAP });
    const readySeconds = ((performance.now() - startMs) / 1000).toFixed(1);
    await waitFor(
      async () => (await (await fetch(`${server.metricsUrl}/metrics`)).text()).includes('stepmemo_leader 1'),
      {
        what: 'the server to lead',
        deadlineMs: 60_000,
      },
    );
    const readyMib = await mib('VmRSS', server);
    await review(enabled.slice(0, 1)); // warm
    const without = await review([other]);
    const withUs = await review(enabled);
    const [restMib, peakMib] = [await mib('VmRSS', server), await mib('VmHWM', server)];
    console.info(
      [
        `start to ready: ${readySeconds} s; memory: ${readyMib} MiB then, ${restMib} after the reviews, ${peakMib} at most`,
        `creating a pod, ${WORKERS} at a time: p50 ${at(withUs.ms, 0.5)} ms, p99 ${at(withUs.ms, 0.99)} ms`,
        `the same where nobody opted in: p50 ${at(without.ms, 0.5)} ms, p99 ${at(without.ms, 0.99)} ms`,
      ].join('\n'),
    );
    expect(withUs.hits).toBe(REVIEWS);
    expect(without.hits).toBe(0);
    expect(peakMib).toBeLessThan(LIMIT_MIB);
  });
});
