import { beforeAll, describe, expect, it } from 'vitest';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import {
  admin,
  entryOf,
  givenNamespace,
  isArgoOlderThan,
  memoizedSteps,
  podsOf,
  submit,
  untilEnded,
  untilEntry,
} from './cluster.ts';
import { oneStep } from './one-step.ts';

/*
 * Beside others: gates of a queue, and users who say for one run what they want of the cache.
 */
const CACHE = 'coexist';
let namespace: string;
beforeAll(async () => {
  namespace = await givenNamespace();
});

const workflow = (key: string, parts: { labels?: object; spec?: object } = {}): KubeObject =>
  oneStep(key, { cache: CACHE, ...parts });

async function givenEntry(key: string): Promise<string> {
  expect(await untilEnded(namespace, await submit(namespace, workflow(key)))).toMatchObject({ phase: 'Succeeded' });
  return JSON.stringify(await untilEntry(namespace, CACHE, key));
}

describe('beside other gates', () => {
  // Up to 3.4 Argo's own pod type has no gates yet, so a podSpecPatch loses them.
  const hasNoGates = isArgoOlderThan(3, 5);
  it.skipIf(hasNoGates)('waits with a hit until the other gate is gone, and completes it then', async () => {
    await givenEntry('gated');
    const patch = '{"schedulingGates": [{"name": "other.io/wait"}]}';
    const name = await submit(namespace, workflow('gated', { spec: { podSpecPatch: patch } }));
    const pod = await waitFor(async () => (await podsOf({ namespace, name }))[0], { what: 'the pod' });
    const gates = (pod.spec as { schedulingGates?: { name: string }[] }).schedulingGates ?? [];
    expect(gates.map((gate) => gate.name)).toContain('other.io/wait');
    expect((pod.status as { phase?: string }).phase).toBe('Pending');
    const kube = await admin();
    const index = gates.findIndex((gate) => gate.name === 'other.io/wait');
    const path = { resource: RESOURCES.pods, namespace, name: pod.metadata?.name ?? '' };
    must(await kube.patch(path, [{ op: 'remove', path: `/spec/schedulingGates/${index}` }]));
    const ended = await untilEnded(namespace, name, 40_000);
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(ended))[0]).toMatchObject({ decision: 'hit', hasRun: false });
  });
});

describe('beside users who know better', () => {
  it.each(['off', 'refresh'])('runs a step of a workflow labelled stepmemo.io/reuse: %s', async (reuse) => {
    const key = `reuse-${reuse}`;
    const before = await givenEntry(key);
    const labels = { 'stepmemo.io/reuse': reuse };
    const ended = await untilEnded(namespace, await submit(namespace, workflow(key, { labels })));
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(ended))[0]).toMatchObject({ hasRun: true });
    const isSame = async () => JSON.stringify(await entryOf(namespace, CACHE, key)) === before;
    if (reuse === 'off') expect(await isSame()).toBe(true);
    else await waitFor(async () => !(await isSame()), { what: 'the entry to be written anew', deadlineMs: 30_000 });
  });
});
