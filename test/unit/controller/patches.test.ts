import jsonpatch from 'jsonpatch';
import { describe, expect, test } from 'vitest';
import type { JsonPatch } from '../../../src/base/json-patch.ts';
import { CAPTURE_CONTAINER, HIT_GATE, MISS_GATE } from '../../../src/base/names.ts';
import {
  buildCompletionPatch,
  buildDigestPatch,
  buildHealingPatch,
  buildReleasePatch,
} from '../../../src/controller/patches.ts';
import { readStepPod } from '../../../src/controller/step-pod.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import { NOW_MS, type PodParts, podObject, podOf, WELL_ENDED } from './facts.ts';

interface Pod extends KubeObject {
  readonly spec: { readonly schedulingGates: readonly { readonly name: string }[] };
  readonly status: Readonly<Record<string, unknown>> & {
    readonly containerStatuses: readonly Readonly<Record<string, unknown>>[];
  };
}

const apply = (object: KubeObject, patch: JsonPatch): Pod =>
  jsonpatch.apply_patch(structuredClone(object), structuredClone(patch)) as Pod;
const isRefused = (object: KubeObject, patch: JsonPatch): boolean => {
  try {
    apply(object, patch);
    return false;
  } catch {
    return true;
  }
};
const changed = (object: KubeObject, metadata: object): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, ...metadata },
});

const GATED: PodParts = { gates: ['foreign', HIT_GATE], states: { wait: 'unknown', main: 'unknown', db: 'unknown' } };

describe('the patch that completes', () => {
  test('gives every container a status that ended well, and the pod its phase', () => {
    const { status } = apply(podObject(GATED), buildCompletionPatch(podOf(GATED), NOW_MS));
    expect(status.phase).toBe('Succeeded');
    expect(status.containerStatuses.map(({ name }) => name)).toEqual(['wait', 'main', 'db']);
    for (const { state, image } of status.containerStatuses) {
      const at = '2026-01-02T12:00:00Z';
      expect(state).toEqual({ terminated: { exitCode: 0, reason: 'Completed', startedAt: at, finishedAt: at } });
      expect(image).toMatch(/argoexec:4.0.5|busybox|none/);
    }
    expect(status).not.toHaveProperty('initContainerStatuses');
  });

  test('does so for a pod that has no status yet', () => {
    const parts = { ...GATED, hasStatus: false };
    const { status } = apply(podObject(parts), buildCompletionPatch(podOf(parts), NOW_MS));
    expect(status).toMatchObject({ phase: 'Succeeded', containerStatuses: [{}, {}, {}] });
  });

  test('touches nothing but the status', () => {
    const { status: _is, ...rest } = apply(podObject(GATED), buildCompletionPatch(podOf(GATED), NOW_MS));
    const { status: _was, ...before } = podObject(GATED);
    expect(rest).toEqual(before);
  });

  test.each([
    ['another pod of that name', changed(podObject(GATED), { uid: 'uid-2' })],
    ['a pod that has changed', changed(podObject(GATED), { resourceVersion: '11' })],
    ['a pod without our gate', podObject({ ...GATED, gates: ['foreign'] })],
    ['a pod whose gates moved', podObject({ ...GATED, gates: [HIT_GATE, 'foreign'] })],
  ])('does not apply to %s', (_, object) => {
    expect(isRefused(object, buildCompletionPatch(podOf(GATED), NOW_MS))).toBe(true);
  });
});

describe('the patch that releases', () => {
  test.each([
    [[HIT_GATE], []],
    [['foreign', HIT_GATE], ['foreign']],
    [[HIT_GATE, 'foreign', MISS_GATE], ['foreign']],
    [[MISS_GATE, HIT_GATE], []],
  ])('takes ours out of %j', (gates, left) => {
    const pod = apply(podObject({ gates }), buildReleasePatch(podOf({ gates }), 'miss', 'no-entry'));
    expect(pod.spec.schedulingGates.map(({ name }) => name)).toEqual(left);
    expect(pod.metadata?.annotations).toMatchObject({
      'stepmemo.io/decision': 'miss',
      'stepmemo.io/reason': 'no-entry',
    });
  });

  test('makes no annotations where there are none', () => {
    const object = changed(podObject({ gates: [HIT_GATE] }), { annotations: undefined });
    const pod = readStepPod(object);
    if (pod === undefined) throw new Error('unreadable');
    expect(apply(object, buildReleasePatch(pod, 'skip', 'gate-unknown')).metadata?.annotations).toBeUndefined();
  });

  test.each([
    ['another pod of that name', changed(podObject(GATED), { uid: 'uid-2' })],
    ['a pod whose gate is gone', podObject({ ...GATED, gates: ['foreign'] })],
  ])('does not apply to %s', (_, object) => {
    expect(isRefused(object, buildReleasePatch(podOf(GATED), 'miss', 'no-entry'))).toBe(true);
  });

  test('applies to a pod that has changed otherwise', () => {
    const object = changed(podObject(GATED), { resourceVersion: '11' });
    expect(isRefused(object, buildReleasePatch(podOf(GATED), 'miss', 'no-entry'))).toBe(false);
  });
});

describe('the patch that ends a pod without our container', () => {
  const parts = (main: number, capture: PodParts['states']): PodParts => ({
    states: { ...WELL_ENDED, main: { exitCode: main }, ...capture },
  });
  const heal = (given: PodParts): Pod => {
    const patch = buildHealingPatch(podOf(given), NOW_MS);
    if (patch === undefined) throw new Error('no patch');
    return apply(podObject(given), patch);
  };

  test.each([
    ['Succeeded', 0],
    ['Failed', 1],
  ])('ends it as %s where main exited %i', (phase, exitCode) => {
    const { status } = heal(parts(exitCode, { [CAPTURE_CONTAINER]: { waiting: 'ErrImagePull' } }));
    expect(status.phase).toBe(phase);
    expect(status.containerStatuses).toHaveLength(3);
    expect(status.containerStatuses[2]).toMatchObject({
      name: CAPTURE_CONTAINER,
      state: { terminated: { exitCode: 0 } },
    });
    expect(status.containerStatuses[1]).toMatchObject({ name: 'main', state: { terminated: { exitCode } } });
  });

  test('adds a status where the kubelet has told of none', () => {
    const { status } = heal(parts(0, { [CAPTURE_CONTAINER]: 'unknown' }));
    expect(status.containerStatuses.map(({ name }) => name)).toEqual(['wait', 'main', CAPTURE_CONTAINER]);
  });

  test('is none for a pod that has no container of ours', () => {
    expect(buildHealingPatch(podOf(parts(0, {})), NOW_MS)).toBeUndefined();
  });

  test('does not apply to a pod that has changed', () => {
    const given = parts(0, { [CAPTURE_CONTAINER]: 'running' });
    const patch = buildHealingPatch(podOf(given), NOW_MS) ?? [];
    expect(isRefused(changed(podObject(given), { resourceVersion: '11' }), patch)).toBe(true);
  });
});

test('the patch that notes a digest tests that none is noted', () => {
  expect(buildDigestPatch(podOf(), 'abc')).toEqual([
    { op: 'test', path: '/metadata/uid', value: 'uid-1' },
    { op: 'test', path: '/metadata/annotations/stepmemo.io~1outputs-digest', value: null },
    { op: 'add', path: '/metadata/annotations/stepmemo.io~1outputs-digest', value: 'abc' },
  ]);
});
