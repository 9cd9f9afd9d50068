import { describe, expect, test } from 'vitest';
import { CAPTURE_CONTAINER, HIT_GATE } from '../../../src/base/names.ts';
import { PodTable } from '../../../src/controller/pod-table.ts';
import { createConfigMapReader } from '../../../src/controller/read-config-map.ts';
import { ResultTable } from '../../../src/controller/result-table.ts';
import { keepGateAlone, keepStepPod } from '../../../src/controller/step-pod.ts';
import type { KubeObject, KubeResult } from '../../../src/kube/types.ts';
import { NOW_MS, podObject, podOf, resultOf } from './facts.ts';

/** A promise that is settled from outside. */
const gate = <T = void>() => Promise.withResolvers<T>();
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the pods that are remembered', () => {
  test('never fall back to an earlier state', () => {
    const table = new PodTable();
    const [old, young] = [podOf(), { ...podOf({ phase: 'Succeeded' }), resourceVersion: '9999999' }];
    table.see(young, NOW_MS);
    table.see(old, NOW_MS);
    table.leave(old, NOW_MS);
    expect(table.get('uid-1')?.pod.phase).toBe('Succeeded');
  });

  test('are found by their node, the latest one', () => {
    const table = new PodTable();
    table.see(podOf(), NOW_MS);
    table.see({ ...podOf(), uid: 'uid-2' }, NOW_MS);
    expect(table.uidOfNode('team', 'wf-1')).toBe('uid-2');
    table.leave(podOf(), NOW_MS);
    table.prune(NOW_MS + 120_000);
    expect(table.get('uid-1')).toBeUndefined();
    expect(table.uidOfNode('team', 'wf-1')).toBe('uid-2');
  });

  test('are forgotten a while after they left, unless outputs are held', () => {
    const table = new PodTable();
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
    expect(kept?.object.spec).not.toHaveProperty('tolerations');
    expect(kept?.object.spec).toHaveProperty('initContainers');
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
    expect(kept?.object.spec).toEqual(keepStepPod(pod)?.object.spec);
    expect(JSON.stringify(kept).length).toBeLessThan(10_000);
  });

  test('keep of a gated one little more than its names where nobody has opted in', () => {
    const pod = podOf({
      gates: [HIT_GATE],
      annotations: { 'stepmemo.io/decision': 'hit', filler: 'x'.repeat(200_000) },
    });
    const kept = keepGateAlone(pod);
    expect(kept).toMatchObject({ uid: pod.uid, name: pod.name, gates: [HIT_GATE], hasAnnotations: true });
    expect(kept.annotations['stepmemo.io/decision']).toBe('hit');
    expect(JSON.stringify(kept).length).toBeLessThan(2_000);
  });
});

describe('the task results that are remembered', () => {
  test('stay for a while after Argo deleted them', () => {
    const table = new ResultTable();
    table.see(resultOf());
    table.leave(resultOf(), NOW_MS);
    expect(table.get('team', 'wf-1')).toBeDefined();
    table.prune(NOW_MS + 119_999);
    expect(table.get('team', 'wf-1')).toBeDefined();
    table.prune(NOW_MS + 120_000);
    expect(table.get('team', 'wf-1')).toBeUndefined();
  });

  test('are not those of our own making, once they are gone or taken away', () => {
    const table = new ResultTable();
    const ours = resultOf({ markedFor: 'uid-1' });
    table.see(ours);
    expect(table.get('team', 'wf-1')).toBe(ours);
    table.takeAway(ours);
    expect(table.get('team', 'wf-1')).toBeUndefined();
    table.leave(ours, NOW_MS);
    expect(table.get('team', 'wf-1')).toBeUndefined();
    expect(table.live()).toEqual([]);
  });

  test('are not taken for those of a new pod of the node', () => {
    const table = new ResultTable();
    table.see(resultOf());
    table.leave(resultOf(), NOW_MS);
    table.forgetDeleted('team', 'wf-1');
    expect(table.get('team', 'wf-1')).toBeUndefined();
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
