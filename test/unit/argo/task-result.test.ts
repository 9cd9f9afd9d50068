import jsonpatch from 'jsonpatch';
import { describe, expect, test } from 'vitest';
import type { Step } from '../../../src/argo/step.ts';
import {
  buildTaskResult,
  buildTaskResultPatch,
  isResultOf,
  readTaskResult,
  type TaskResult,
} from '../../../src/argo/task-result.ts';
import type { KubeObject } from '../../../src/kube/types.ts';

const STEP: Step = {
  namespace: 'team',
  podName: 'wf-work-1',
  workflowName: 'wf',
  workflowUid: 'wf-uid',
  nodeId: 'wf-1',
  nodeName: 'wf.work',
  template: { state: 'offloaded' },
  needsResult: false,
  hasMain: true,
};
const OUTPUTS = { parameters: [{ name: 'text', value: 'x' }], exitCode: '0' };

const read = (object: KubeObject): TaskResult => {
  const result = readTaskResult(object);
  if (result === undefined) throw new Error('unreadable');
  return result;
};
/** As the API server would store it. */
const stored = (object: KubeObject): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, uid: 'result-uid', resourceVersion: '7' },
});
const executors = (more: object = {}, metadata: object = {}): KubeObject => ({
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'WorkflowTaskResult',
  metadata: {
    name: 'wf-1',
    namespace: 'team',
    labels: { 'workflows.argoproj.io/workflow': 'wf', 'workflows.argoproj.io/report-outputs-completed': 'false' },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'wf-work-1', uid: 'old-pod' }],
    ...metadata,
  },
  outputs: { result: 'stale' },
  ...more,
});

describe('a task result of our making', () => {
  test('has the labels and the owner that Argo’s executor gives, and our mark', () => {
    expect(buildTaskResult(STEP, 'pod-uid', OUTPUTS)).toEqual({
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'WorkflowTaskResult',
      metadata: {
        name: 'wf-1',
        namespace: 'team',
        labels: { 'workflows.argoproj.io/workflow': 'wf', 'workflows.argoproj.io/report-outputs-completed': 'true' },
        annotations: { 'stepmemo.io/pod-uid': 'pod-uid' },
        ownerReferences: [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'wf', uid: 'wf-uid' }],
      },
      outputs: OUTPUTS,
    });
  });

  test('has the instance id exactly when the pod has one', () => {
    const labelled = buildTaskResult({ ...STEP, instanceId: 'one' }, 'pod-uid', OUTPUTS);
    expect(labelled.metadata?.labels).toHaveProperty(['workflows.argoproj.io/controller-instanceid'], 'one');
    const bare = buildTaskResult(STEP, 'pod-uid', OUTPUTS);
    expect(bare.metadata?.labels).not.toHaveProperty(['workflows.argoproj.io/controller-instanceid']);
  });

  test('is not patched when it says what it should', () => {
    const mine = read(stored(buildTaskResult(STEP, 'pod-uid', OUTPUTS)));
    expect(buildTaskResultPatch(mine, STEP, 'pod-uid', OUTPUTS)).toEqual([]);
    const sparse = { ...OUTPUTS, artifacts: undefined } as unknown as typeof OUTPUTS;
    expect(buildTaskResultPatch(mine, STEP, 'pod-uid', sparse)).toEqual([]);
  });
});

describe('a task result that is there already', () => {
  test.each([
    ['an executor’s', executors({ progress: '1/2', phase: 'Failed', message: 'no' })],
    ['one without labels, annotations and owners', executors({}, { labels: undefined, ownerReferences: undefined })],
    ['one of another pod', stored(buildTaskResult(STEP, 'old-pod', { result: 'stale' }))],
    ['one with an instance id', executors({}, { labels: { 'workflows.argoproj.io/controller-instanceid': 'old' } })],
  ])('%s is made what it should be', (_, object) => {
    const existing = stored(object);
    const patch = buildTaskResultPatch(read(existing), STEP, 'pod-uid', OUTPUTS);
    const patched = jsonpatch.apply_patch(structuredClone(existing), structuredClone(patch));
    expect(patched).toEqual(stored(buildTaskResult(STEP, 'pod-uid', OUTPUTS)));
  });

  test('loses outputs that the step does not have', () => {
    const existing = stored(executors());
    const patch = buildTaskResultPatch(read(existing), STEP, 'pod-uid', undefined);
    expect(jsonpatch.apply_patch(structuredClone(existing), structuredClone(patch))).not.toHaveProperty('outputs');
  });

  test.each([{ uid: 'another' }, { resourceVersion: '8' }])('is not touched when it is another by now: %j', (now) => {
    const existing = stored(executors());
    const patch = buildTaskResultPatch(read(existing), STEP, 'pod-uid', OUTPUTS);
    const other = { ...existing, metadata: { ...existing.metadata, ...now } };
    expect(() => jsonpatch.apply_patch(structuredClone(other), structuredClone(patch))).toThrow();
  });
});

describe('reading', () => {
  test.each([
    ['true', true],
    ['false', false],
    [undefined, true],
    ['', true],
  ])('takes the label %j for complete: %j', (label, isComplete) => {
    const labels = label === undefined ? {} : { 'workflows.argoproj.io/report-outputs-completed': label };
    expect(read(executors({}, { labels })).isComplete).toBe(isComplete);
  });

  test('takes outputs that are none for none', () => {
    expect(read(executors({ outputs: { parameters: 'all' } })).outputs).toBeUndefined();
  });

  test.each([undefined, null, 3, {}, { metadata: {} }])('says nothing of %j', (object) => {
    expect(readTaskResult(object)).toBeUndefined();
  });

  test.each([
    ['the Workflow owns it', [{ kind: 'Workflow', uid: 'wf-uid' }], true],
    ['the pod owns it (up to 3.5.1)', [{ kind: 'Pod', uid: 'pod-uid' }], true],
    ['another Workflow of that name owns it', [{ kind: 'Workflow', uid: 'earlier' }], false],
    ['nobody owns it', [], false],
  ])('tells whose it is: %s', (_, ownerReferences, isIt) => {
    const result = read(executors({}, { ownerReferences }));
    expect(isResultOf(result, STEP, 'pod-uid')).toBe(isIt);
    expect(isResultOf(result, { ...STEP, nodeId: 'other' }, 'pod-uid')).toBe(false);
  });
});
