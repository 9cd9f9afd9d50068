import { describe, expect, test } from 'vitest';
import { CAPTURE_CONTAINER, HIT_GATE } from '../../../src/base/names.ts';
import { PodTable } from '../../../src/controller/pod-table.ts';
import { createConfigMapReader } from '../../../src/controller/read-config-map.ts';
import { ResultTable } from '../../../src/controller/result-table.ts';
import { createStepMemory } from '../../../src/controller/step-memory.ts';
import { keepGateAlone, keepStepPod } from '../../../src/controller/step-pod.ts';
import type { KubeObject, KubeResult } from '../../../src/kube/types.ts';
import { NOW_MS, podObject, podOf, watchedOf } from './facts.ts';

/** A promise that is settled from outside. */
const gate = <T = void>() => Promise.withResolvers<T>();
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the pods that are remembered', () => {
  test('never fall back to an earlier state', () => {
    const table = new PodTable(createStepMemory());
    const [old, young] = [podOf(), { ...podOf({ phase: 'Succeeded' }), resourceVersion: '9999999' }];
    table.see(young, NOW_MS);
    table.see(old, NOW_MS);
    table.leave(old, NOW_MS);
    expect(table.get('uid-1')?.pod.phase).toBe('Succeeded');
  });

  test('are found by their node, the latest one', () => {
    const table = new PodTable(createStepMemory());
    table.see(podOf(), NOW_MS);
    table.see({ ...podOf(), uid: 'uid-2' }, NOW_MS);
    expect(table.uidOfNode('team', 'wf-1')).toBe('uid-2');
    table.leave(podOf(), NOW_MS);
    table.prune(NOW_MS + 120_000);
    expect(table.get('uid-1')).toBeUndefined();
    expect(table.uidOfNode('team', 'wf-1')).toBe('uid-2');
  });

  test('are forgotten a while after they left, unless outputs are held', () => {
    const table = new PodTable(createStepMemory());
    const held = { captured: { parameters: [] }, digest: 'd', sizeBytes: 7 };
    const record = table.see(podOf(), NOW_MS);
    record.held = held;
    table.leave(podOf(), NOW_MS);
    table.prune(NOW_MS + 120_000);
    expect(table.get('uid-1')).toBe(record);
    expect([table.heldBytes(), table.heldBytes('team'), table.heldBytes('other')]).toEqual([7, 7, 0]);
    record.held = undefined;
    table.prune(NOW_MS + 119_999);
    expect(table.get('uid-1')).toBe(record);
    table.prune(NOW_MS + 120_000);
    expect(table.get('uid-1')).toBeUndefined();
  });

  test('are those that stepmemo has to do with, without what nobody reads', () => {
    const bare = podObject({ annotations: {} });
    expect(keepStepPod(bare)).toBeUndefined();
    expect(keepStepPod({ kind: 'Pod', metadata: { name: 'x' } })).toBeUndefined();
    expect(keepStepPod(podObject({ gates: [HIT_GATE] }))).toBeDefined();
    expect(keepStepPod(podObject({ states: { main: 'running', [CAPTURE_CONTAINER]: 'running' } }))).toBeDefined();
    const spec = { ...(podObject().spec as object), tolerations: [{}], affinity: {} };
    const kept = keepStepPod({ ...podObject({ annotations: { 'stepmemo.io/decision': 'miss' } }), spec });
    expect(kept?.body.value?.spec).not.toHaveProperty('tolerations');
    expect(kept?.body.value?.spec).toHaveProperty('initContainers');
  });

  test('keep nothing that their author filled their containers with', () => {
    const filler = 'x'.repeat(100_000);
    const pod = podObject({ annotations: { 'stepmemo.io/decision': 'miss' } });
    const spec = pod.spec as { containers: { env?: object[] }[] };
    const containers = spec.containers.map((container) => ({
      ...container,
      command: ['sh'],
      args: [filler],
      env: [...(container.env ?? []), { name: 'DATA', value: filler }],
    }));
    const kept = keepStepPod({ ...pod, spec: { ...spec, containers } });
    expect(kept?.body.value?.spec).toEqual(keepStepPod(pod)?.body.value?.spec);
    expect(kept?.body.bytes).toBeLessThan(10_000);
  });

  test('keep of a gated one little more than its names where nobody has opted in', () => {
    const pod = podOf({
      gates: [HIT_GATE],
      annotations: { 'stepmemo.io/decision': 'hit', filler: 'x'.repeat(200_000) },
    });
    const kept = keepGateAlone(pod);
    expect(kept).toMatchObject({ uid: pod.uid, name: pod.name, gates: [HIT_GATE], hasAnnotations: true });
    expect(kept.annotations['stepmemo.io/decision']).toBe('hit');
    expect(kept.body.bytes).toBe(0);
    expect(JSON.stringify(kept).length).toBeLessThan(2_000);
  });

  test('without a digest that is longer than one of ours', () => {
    const annotations = { 'stepmemo.io/decision': 'miss', 'stepmemo.io/outputs-digest': 'x'.repeat(200_000) };
    expect(keepStepPod(podObject({ annotations }))).toMatchObject({ outputsDigest: undefined });
  });
});

/** A pod of 1 MiB: `keepStepPod` keeps the annotations of its body. */
function largePod(namespace: string, uid: string) {
  const filler = 'x'.repeat(250_000);
  const annotations = { 'stepmemo.io/decision': 'miss', a: filler, b: filler, c: filler, d: filler };
  const object = podObject({ annotations });
  const pod = keepStepPod({ ...object, metadata: { ...object.metadata, namespace, uid } });
  if (pod === undefined) throw new Error('unreachable');
  return pod;
}

describe('the bodies of pods', () => {
  test('are bounded, and the namespace that has the most loses its own', () => {
    const memory = createStepMemory(8_000_000);
    const table = new PodTable(memory);
    const small = keepStepPod(podObject({ annotations: { 'stepmemo.io/decision': 'miss' } }));
    if (small === undefined) throw new Error('unreachable');
    const one = table.see(small, NOW_MS);
    const hostile = Array.from({ length: 400 }, (_, at) => table.see(largePod('hostile', `uid-h${at}`), NOW_MS));
    expect(memory.bytes).toBeLessThan(8_000_000);
    expect(one.pod.body.value).toBeDefined();
    expect(hostile.filter(({ pod }) => pod.body.value !== undefined)).toHaveLength(7);
    expect(JSON.stringify(hostile.map(({ pod }) => pod)).length).toBeLessThan(400 * 2_000);
  });

  test('count while their pod is remembered, and only the latest state of it', () => {
    const memory = createStepMemory();
    const table = new PodTable(memory);
    const pod = largePod('team', 'uid-1');
    table.see(pod, NOW_MS);
    table.see({ ...pod, resourceVersion: '9999999' }, NOW_MS);
    const { bytes } = pod.body;
    expect([bytes > 1_000_000, memory.bytes]).toEqual([true, bytes]);
    table.leave(pod, NOW_MS);
    table.prune(NOW_MS + 120_000);
    expect(memory.bytes).toBe(0);
  });

  test('are those of a sensible number of containers, or of a gated pod', () => {
    const many = (parts: Parameters<typeof podObject>[0]) => {
      const pod = podObject(parts);
      const containers = Array.from({ length: 257 }, (_, at) => ({ name: `c-${at}` }));
      return keepStepPod({ ...pod, spec: { ...(pod.spec as object), containers } });
    };
    expect(many({ annotations: { 'stepmemo.io/decision': 'miss' } })).toBeUndefined();
    expect(many({ gates: [HIT_GATE] })).toBeDefined();
  });
});

describe('the task results that are remembered', () => {
  test('stay for a while after Argo deleted them', () => {
    const table = new ResultTable(createStepMemory());
    table.see(watchedOf());
    table.leave(watchedOf(), NOW_MS);
    expect(table.get('team', 'wf-1')).toBeDefined();
    table.prune(NOW_MS + 119_999);
    expect(table.get('team', 'wf-1')).toBeDefined();
    table.prune(NOW_MS + 120_000);
    expect(table.get('team', 'wf-1')).toBeUndefined();
  });

  test('are not those of our own making, once they are gone or taken away', () => {
    const table = new ResultTable(createStepMemory());
    const ours = watchedOf({ markedFor: 'uid-1' });
    table.see(ours);
    expect(table.get('team', 'wf-1')).toBe(ours);
    table.takeAway(ours);
    expect(table.get('team', 'wf-1')).toBeUndefined();
    table.leave(ours, NOW_MS);
    expect(table.get('team', 'wf-1')).toBeUndefined();
    expect(table.live()).toEqual([]);
  });

  test('are not taken for those of a new pod of the node', () => {
    const table = new ResultTable(createStepMemory());
    table.see(watchedOf());
    table.leave(watchedOf(), NOW_MS);
    table.forgetDeleted('team', 'wf-1');
    expect(table.get('team', 'wf-1')).toBeUndefined();
  });
});

describe('the outputs of task results', () => {
  const largeOf = (parts: Parameters<typeof watchedOf>[0]) => watchedOf({ value: 'x'.repeat(1_000_000), ...parts });

  test('share one memory with the bodies of pods', () => {
    const memory = createStepMemory(4_000_000);
    const table = new ResultTable(memory);
    const hostile = Array.from({ length: 100 }, (_, at) => ({
      ...largeOf({}),
      nodeId: `wf-${at}`,
      namespace: 'hostile',
    }));
    const small = watchedOf();
    for (const result of [small, ...hostile]) table.see(result);
    expect(memory.bytes).toBeLessThan(4_000_000);
    expect(hostile.filter(({ outputs }) => !outputs.isLetGo)).toHaveLength(3);
    expect(small.outputs.isLetGo).toBe(false);
  });

  test('count as long as they are remembered', () => {
    const memory = createStepMemory();
    const table = new ResultTable(memory);
    table.see(largeOf({}));
    table.see(largeOf({}));
    expect(memory.size).toBe(1);
    table.leave(largeOf({}), NOW_MS);
    expect(memory.size).toBe(1);
    table.prune(NOW_MS + 120_000);
    expect(memory.size).toBe(0);
    table.see(largeOf({ markedFor: 'uid-1' }));
    table.leave(largeOf({ markedFor: 'uid-1' }), NOW_MS);
    expect(memory.size).toBe(0);
  });
});

describe('reads of one ConfigMap', () => {
  test('that are asked for while one is under way share the next', async () => {
    const answers: PromiseWithResolvers<KubeResult<KubeObject>>[] = [];
    const read = createConfigMapReader({
      get: () => {
        const answer = gate<KubeResult<KubeObject>>();
        answers.push(answer);
        return answer.promise;
      },
    });
    const value = (name: string) => ({ ok: true as const, value: { metadata: { name } } });
    const first = read('ns', 'a');
    const [second, third] = [read('ns', 'a'), read('ns', 'a')];
    const other = read('ns', 'b');
    expect(answers).toHaveLength(2);
    answers[0]?.resolve(value('one'));
    expect(await first).toEqual(value('one'));
    await turn();
    expect(answers).toHaveLength(3);
    const fourth = read('ns', 'a');
    answers[2]?.resolve(value('two'));
    expect(await second).toEqual(value('two'));
    expect(await third).toEqual(value('two'));
    await turn();
    answers[3]?.resolve(value('three'));
    expect(await fourth).toEqual(value('three'));
    answers[1]?.resolve(value('b'));
    await other;
    await turn();
    void read('ns', 'a');
    expect(answers).toHaveLength(5);
  });
});
