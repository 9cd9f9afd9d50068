import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must } from '../integration/harness.ts';
import {
  admin,
  entryOf,
  givenNamespace,
  isArgoOlderThan,
  kubectl,
  memoizedSteps,
  podsOf,
  submit,
  untilEnded,
  untilEntries,
} from './cluster.ts';

/*
 * What needs rights that the workflow controller has not as shipped: its own memoization, for which the manifests have a role,
 * and templates too large for the pod. That role is for this suite alone.
 */
const CACHE_ROLE = new URL('../../manifests/extras/controller-cache-role', import.meta.url).pathname;
const OFFLOAD_ROLE = new URL('../../cluster/argo-offload-role.yaml', import.meta.url).pathname;

describe('native mode', () => {
  beforeAll(() => kubectl('apply', '-k', CACHE_ROLE));
  afterAll(() => kubectl('delete', '-k', CACHE_ROLE));

  const workflow = (key: string, extra: object = {}): KubeObject => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: `${key}-` },
    spec: {
      entrypoint: 'work',
      templates: [
        {
          name: 'work',
          memoize: { key, maxAge: '1h', cache: { configMap: { name: `native-${key}` } } },
          container: {
            image: 'busybox:local',
            command: ['sh', '-c'],
            args: ['cat /proc/sys/kernel/random/uuid > /tmp/out'],
          },
          outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
          ...extra,
        },
      ],
    },
  });

  const outputOf = ({ nodes }: Awaited<ReturnType<typeof untilEnded>>) =>
    nodes.find(({ outputs }) => outputs?.parameters)?.outputs?.parameters?.[0]?.value;

  it("leaves memoize to Argo, and serves a pod that Argo's own cache missed", async () => {
    const namespace = await givenNamespace({ annotations: { 'stepmemo.io/memoize': 'native' } });
    const kube = await admin();
    const key = `argo-${namespace}`;
    const first = await untilEnded(namespace, await submit(namespace, workflow(key)));
    expect(first).toMatchObject({ phase: 'Succeeded' });
    expect(JSON.stringify(first.object.spec)).toContain('"memoize"');
    expect((await memoizedSteps(first))[0]).toMatchObject({ decision: 'miss', hasRun: true });
    await untilEntries(namespace, `native-${key}`, 1);

    // Argo itself hits in its own namespace: no pod at all.
    const second = await untilEnded(namespace, await submit(namespace, workflow(key)));
    expect(second).toMatchObject({ phase: 'Succeeded' });
    expect(await podsOf(second)).toEqual([]);

    // With that entry gone Argo misses, and the pod that it makes is served from the workflow's own namespace.
    must(await kube.remove({ resource: RESOURCES.configMaps, namespace: 'argo', name: `native-${key}` }));
    const third = await untilEnded(namespace, await submit(namespace, workflow(key)));
    expect(third).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(third))[0]).toMatchObject({ decision: 'hit', hasRun: false });
    expect(outputOf(third)).toBe(outputOf(first));
  });
});

describe('templates too large for the pod', () => {
  beforeAll(async () => {
    expect(await readFile(OFFLOAD_ROLE, 'utf8')).toContain('test-only');
    await kubectl('apply', '-f', OFFLOAD_ROLE);
  });
  afterAll(async () => {
    await kubectl('delete', '-f', OFFLOAD_ROLE, '--ignore-not-found');
  });

  const large = (extra: object = {}): KubeObject => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'large-' },
    spec: {
      entrypoint: 'work',
      templates: [
        {
          name: 'work',
          memoize: { key: 'large', maxAge: '1h', cache: { configMap: { name: 'large-cache' } } },
          script: {
            image: 'busybox:local',
            command: ['sh'],
            source: `# ${'x'.repeat(132_000)}\ncat /proc/sys/kernel/random/uuid > /tmp/out\n`,
          },
          outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
          ...extra,
        },
      ],
    },
  });

  // Up to 3.5 nothing is offloaded, and such a pod cannot start.
  it.skipIf(isArgoOlderThan(3, 6))('run, and are served', async () => {
    const namespace = await givenNamespace();
    const first = await untilEnded(namespace, await submit(namespace, large()));
    expect(first).toMatchObject({ phase: 'Succeeded' });
    const [pod] = await podsOf(first);
    expect(JSON.stringify(pod?.spec)).toContain('"offloaded"');
    await untilEntries(namespace, 'large-cache', 1);
    const second = await untilEnded(namespace, await submit(namespace, large()));
    expect(second).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(second))[0]).toMatchObject({ decision: 'hit', hasRun: false });
    expect(second.nodes[0]?.outputs?.parameters).toEqual(first.nodes[0]?.outputs?.parameters);
    expect(await entryOf(namespace, 'large-cache', 'large')).toBeDefined();
  });
});
