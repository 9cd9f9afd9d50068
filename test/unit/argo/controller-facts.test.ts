import { describe, expect, it } from 'vitest';
import {
  controllerConfigMap,
  controllerEnv,
  describeDefaults,
  readArtifactRepository,
  readNamespaceRepository,
} from '../../../src/argo/controller-facts.ts';

const pod = (container: object, status: object = {}) => ({
  spec: { containers: [{ name: 'workflow-controller', image: 'x/workflow-controller:v4.0.5', ...container }] },
  status,
});

describe('the ConfigMap of the controllers', () => {
  it.each<[string, readonly object[], string | undefined]>([
    ['as shipped', [pod({})], 'workflow-controller-configmap'],
    ['where there is none', [], 'workflow-controller-configmap'],
    ['by an argument', [pod({ args: ['--configmap', 'mine'] })], 'mine'],
    ['by an argument with =', [pod({ command: ['workflow-controller'], args: ['--configmap=mine'] })], 'mine'],
    ['within the command', [pod({ command: ['workflow-controller', '--configmap', 'mine'] })], 'mine'],
    ['of two that agree', [pod({}), pod({})], 'workflow-controller-configmap'],
    ['of two that do not', [pod({}), pod({ args: ['--configmap', 'mine'] })], undefined],
    [
      'of one that has ended',
      [pod({ args: ['--configmap', 'old'] }, { phase: 'Failed' }), pod({})],
      'workflow-controller-configmap',
    ],
  ])('%s', (_, pods, expected) => {
    expect(controllerConfigMap(pods)).toBe(expected);
  });
});

describe('workflowDefaults', () => {
  const with_ = (workflowDefaults: string) => ({ data: { workflowDefaults } });
  it.each<[string, object, string | undefined]>([
    ['none', { data: {} }, undefined],
    ['no data', {}, undefined],
    ['empty', with_(''), undefined],
    [
      'how pods run, and what becomes of them',
      with_('spec: {ttlStrategy: {secondsAfterCompletion: 5}, serviceAccountName: a}'),
      undefined,
    ],
    ['an exit handler', with_('spec: {onExit: bye}'), undefined],
    ['metadata', with_('metadata: {labels: {a: b}}'), undefined],
    ['templateDefaults', with_('spec: {templateDefaults: {}}'), 'workflowDefaults sets spec.templateDefaults'],
    ['arguments', with_('spec: {arguments: {parameters: []}}'), 'workflowDefaults sets spec.arguments'],
    ['hooks', with_('spec: {hooks: {}}'), 'workflowDefaults sets spec.hooks'],
    ['podMetadata', with_('spec: {podMetadata: {}}'), 'workflowDefaults sets spec.podMetadata'],
    ['no YAML', with_('a: ['), 'workflowDefaults cannot be read'],
    ['a text', with_('nothing'), 'workflowDefaults cannot be read'],
    [
      'in the one text of older installations',
      { data: { config: 'workflowDefaults: {spec: {hooks: {}}}' } },
      'workflowDefaults sets spec.hooks',
    ],
    ['of a text without them', { data: { config: 'parallelism: 5' } }, undefined],
  ])('%s', (_, configMap, expected) => {
    expect(describeDefaults(configMap as never)).toBe(expected);
  });
});

describe('artifact repositories', () => {
  const s3 = { bucket: 'b' };
  it('are read from the configuration, old and new', () => {
    expect(readArtifactRepository({ data: { artifactRepository: 's3: {bucket: b}' } })).toEqual({ s3 });
    expect(readArtifactRepository({ data: { config: 'artifactRepository: {s3: {bucket: b}}' } })).toEqual({ s3 });
    expect(readArtifactRepository({ data: {} })).toBeUndefined();
    expect(readArtifactRepository({ data: { artifactRepository: 'a: [' } })).toBeUndefined();
  });

  it('of a namespace count where it names a default', () => {
    const annotations = { 'workflows.argoproj.io/default-artifact-repository': 'mine' };
    expect(readNamespaceRepository({ metadata: { annotations }, data: { mine: 's3: {bucket: b}' } })).toEqual({ s3 });
    expect(readNamespaceRepository({ metadata: {}, data: { mine: 's3: {bucket: b}' } })).toBe('none');
    expect(readNamespaceRepository({ metadata: { annotations }, data: {} })).toBe('none');
    expect(readNamespaceRepository({ metadata: { annotations }, data: { mine: 'a: [' } })).toBeUndefined();
  });
});

it('the environment of the controllers is theirs alone', () => {
  const env = [{ name: 'DEFAULT_REQUEUE_TIME', value: '2s' }];
  const other = { spec: { containers: [{ name: 'server', image: 'argocli:v4', env: [{ name: 'X', value: 'y' }] }] } };
  expect([...controllerEnv([pod({ env }), other])]).toEqual([['DEFAULT_REQUEUE_TIME', '2s']]);
});
