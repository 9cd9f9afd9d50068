import { describe, expect, it } from 'vitest';
import { identifyStep } from '../../../src/argo/step.ts';
import { buildPod, LAYOUTS, type PodOptions } from '../../support/argo-pod.ts';

type Json = Record<string, unknown>;

function identify(options: PodOptions, change: (pod: ReturnType<typeof buildPod>) => void = () => {}): unknown {
  const pod = buildPod(options);
  change(pod);
  const result = identifyStep(pod);
  return result.ok ? result.step : result.reason;
}

describe('identifyStep', () => {
  it.each(LAYOUTS)('reads all that the pods of Argo %s tell', (layout) => {
    expect(identify({ layout, labels: { 'workflows.argoproj.io/controller-instanceid': 'blue' } })).toMatchObject({
      namespace: 'team-a',
      podName: 'wf-main-123456',
      workflowName: 'wf',
      workflowUid: 'wf-uid',
      nodeId: 'wf-123456',
      nodeName: 'wf.step',
      instanceId: 'blue',
      template: { state: 'inline', kind: 'container' },
      needsResult: false,
      hasMain: true,
    });
  });

  it('has no instance id where the pod has none', () => {
    expect(identify({})).not.toHaveProperty('instanceId');
  });

  it.each(['wf', 'wf-1', 'wf-4294967295'])('takes %s for a node of wf', (nodeId) => {
    expect(identify({ nodeId })).toMatchObject({ nodeId });
  });

  it.each(['wf-', 'wf-x', 'wf-1x', 'wf1', 'w', 'wf-1-2', '', 'WF'])('does not take %j for a node of wf', (nodeId) => {
    expect(identify({ nodeId })).toBe('identity-mismatch');
  });

  it.each<[string, Json[], string]>([
    ['none', [], 'not-a-step'],
    [
      'one that does not control',
      [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'wf', uid: 'u' }],
      'not-a-step',
    ],
    [
      'a Workflow of another group',
      [{ apiVersion: 'example.com/v1', kind: 'Workflow', name: 'wf', uid: 'u', controller: true }],
      'not-a-step',
    ],
    ['a Job', [{ apiVersion: 'batch/v1', kind: 'Job', name: 'wf', uid: 'u', controller: true }], 'not-a-step'],
    [
      'a GC task',
      [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'WorkflowArtifactGCTask', name: 'wf', uid: 'u', controller: true }],
      'not-a-step',
    ],
    [
      'two that control',
      [1, 2].map(() => ({
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Workflow',
        name: 'wf',
        uid: 'u',
        controller: true,
      })),
      'not-a-step',
    ],
    [
      'one without uid',
      [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'wf', controller: true }],
      'not-a-step',
    ],
    [
      'another workflow than the label says',
      [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'other', uid: 'u', controller: true }],
      'identity-mismatch',
    ],
  ])('with an owner that is %s', (_, ownerReferences, reason) => {
    expect(identify({}, (pod) => Object.assign(pod.metadata, { ownerReferences }))).toBe(reason);
  });

  it('reads a Workflow of a later API version beside an owner that does not control', () => {
    const ownerReferences = [
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'c', uid: 'c' },
      { apiVersion: 'argoproj.io/v1', kind: 'Workflow', name: 'wf', uid: 'u', controller: true },
    ];
    expect(identify({}, (pod) => Object.assign(pod.metadata, { ownerReferences }))).toMatchObject({ workflowUid: 'u' });
  });

  const annotate = (nodeId: string) => (pod: ReturnType<typeof buildPod>) => {
    (pod.metadata.annotations as Json)['workflows.argoproj.io/node-id'] = nodeId;
  };

  it.each(LAYOUTS)('does not believe a node id that template metadata has overwritten (%s)', (layout) => {
    expect(identify({ layout }, annotate('wf-999'))).toBe('identity-mismatch');
    expect(identify({ layout, template: { data: {}, outputs: {} } }, annotate('wf-999'))).toBe('identity-mismatch');
  });

  it('does not believe containers that disagree, nor a variable that is set twice', () => {
    const setEnv = (value: Json[]) => (pod: ReturnType<typeof buildPod>) => {
      ((pod.spec as Json).containers as Json[])[1] = { name: 'main', env: value };
    };
    const id = { name: 'ARGO_NODE_ID', value: 'wf-123456' };
    expect(identify({}, setEnv([{ name: 'ARGO_NODE_ID', value: 'wf-1' }]))).toBe('identity-mismatch');
    expect(identify({}, setEnv([id, { name: 'ARGO_NODE_ID', value: 'wf-1' }]))).toBe('identity-mismatch');
    expect(identify({}, setEnv([{ name: 'ARGO_NODE_ID', valueFrom: {} }]))).toBe('identity-mismatch');
    expect(identify({}, setEnv([id, id]))).toMatchObject({ nodeId: 'wf-123456' });
  });

  it('looks at the members of a containerSet, too', () => {
    const template = { containerSet: { containers: [{ name: 'a' }] } };
    const change = (pod: ReturnType<typeof buildPod>): void => {
      const containers = (pod.spec as Json).containers as Json[];
      containers[1] = { ...containers[1], env: [{ name: 'ARGO_NODE_ID', value: 'wf-1' }] };
    };
    expect(identify({ template })).toMatchObject({ hasMain: false });
    expect(identify({ template }, change)).toBe('identity-mismatch');
  });

  it('is none when no container has the variable', () => {
    const strip = (pod: ReturnType<typeof buildPod>): void => {
      const spec = pod.spec as { containers: Json[]; initContainers: Json[] };
      for (const container of [...spec.containers, ...spec.initContainers]) container.env = [];
    };
    expect(identify({}, strip)).toBe('identity-mismatch');
  });

  it.each<[string, PodOptions, boolean]>([
    ['a container that nobody reads', {}, false],
    ['a container that somebody reads', { needsResult: true }, true],
    ['data, always', { template: { data: {} } }, true],
    ['a resource, never', { template: { resource: {} }, needsResult: true }, false],
    [
      'a containerSet with main',
      { template: { containerSet: { containers: [{ name: 'main' }] } }, needsResult: true },
      true,
    ],
    [
      'a containerSet without main',
      { template: { containerSet: { containers: [{ name: 'a' }] } }, needsResult: true },
      false,
    ],
    ['an offloaded template', { isOffloaded: true, needsResult: true }, true],
  ])('needs a result for %s', (_, options, needsResult) => {
    expect(identify(options)).toMatchObject({ needsResult });
  });
});
