import { describe, expect, it } from 'vitest';
import { decidePod } from '../../../src/step/decide-pod.ts';
import {
  buildPod,
  CONTAINER,
  LAYOUTS,
  MANAGED,
  MEMOIZE,
  OUT,
  PLAIN_TEMPLATE,
  type PodOptions,
} from '../../support/argo-pod.ts';
import { buildCluster, buildEntry, type ClusterOptions, CONTROLLER, NATIVE, NOW, SETTINGS } from './builders.ts';

interface Case {
  readonly pod?: PodOptions;
  readonly cluster?: ClusterOptions;
  readonly creator?: string;
}

function decide({ pod = {}, cluster = {}, creator = CONTROLLER }: Case): ReturnType<typeof decidePod> {
  return decidePod({
    pod: buildPod({ annotations: MANAGED, ...pod }),
    creator,
    cluster: buildCluster(cluster),
    settings: SETTINGS,
    now: NOW,
  });
}

const NATIVE_POD: PodOptions = { annotations: {}, template: { ...PLAIN_TEMPLATE, memoize: MEMOIZE } };

describe('decidePod skips', () => {
  it.each<[string, Case, string]>([
    [
      'a pod without the workflow label',
      { pod: { labels: { 'workflows.argoproj.io/workflow': undefined as never } } },
      'not-a-step',
    ],
    ['an agent pod', { pod: { labels: { 'workflows.argoproj.io/component': 'agent' } } }, 'agent-pod'],
    ['an artifact GC pod', { pod: { labels: { 'workflows.argoproj.io/component': 'artifact-gc' } } }, 'agent-pod'],
    ['a creator that is no controller', { creator: 'system:serviceaccount:team-a:default' }, 'creator-untrusted'],
    [
      'a namespace that has not opted in',
      { cluster: { settings: { ...NATIVE, isEnabled: false } } },
      'namespace-not-enabled',
    ],
    ['an unknown namespace', { cluster: { settings: undefined } }, 'namespace-not-enabled'],
    [
      'an unknown namespace before the lists are read',
      { cluster: { settings: undefined, isSynced: false } },
      'not-synced',
    ],
    [
      'a node id of another workflow',
      { pod: { annotations: { ...MANAGED, 'workflows.argoproj.io/node-id': 'other-1' } } },
      'identity-mismatch',
    ],
    ['caches that are not read', { cluster: { isSynced: false } }, 'not-synced'],
    ['missing policies', { cluster: { arePoliciesInstalled: false } }, 'policies-missing'],
    ['a pod that names its node', { pod: { spec: { nodeName: 'n1' } } }, 'node-name-set'],
    ['no memoization', { pod: { annotations: {} } }, 'not-memoized'],
    [
      'memoization, while the policies are missing, only if there is any',
      { pod: { annotations: {} }, cluster: { arePoliciesInstalled: false } },
      'not-memoized',
    ],
    ['memoize in managed mode', { pod: NATIVE_POD }, 'memoize-in-template'],
    [
      'memoize in managed mode beside annotations',
      { pod: { ...NATIVE_POD, annotations: MANAGED } },
      'memoize-in-template',
    ],
    [
      "memoize in managed mode of what is the controller's own anyway",
      { pod: { ...NATIVE_POD, annotations: { 'stepmemo.io/reuse': 'off' } } },
      'memoize-in-template',
    ],
    [
      'memoize in the namespace of the controller',
      { pod: { ...NATIVE_POD, namespace: 'argo' }, cluster: { settings: NATIVE } },
      'controller-cache',
    ],
    ['a daemon', { pod: { template: { ...PLAIN_TEMPLATE, daemon: true } } }, 'daemon'],
    [
      'a daemon in native mode',
      {
        pod: { annotations: {}, template: { ...PLAIN_TEMPLATE, daemon: true, memoize: MEMOIZE } },
        cluster: { settings: NATIVE },
      },
      'daemon',
    ],
    [
      'a daemon that asks for nothing',
      { pod: { annotations: {}, template: { ...PLAIN_TEMPLATE, daemon: true } } },
      'not-memoized',
    ],
    ['a resource step', { pod: { template: { outputs: {}, resource: { action: 'create' } } } }, 'resource-not-allowed'],
    [
      'a resource step that says true as anything but "true"',
      {
        pod: {
          template: { resource: { action: 'create' } },
          annotations: { ...MANAGED, 'stepmemo.io/allow-resource': 'yes' },
        },
      },
      'resource-not-allowed',
    ],
    [
      'an offloaded template in native mode',
      { pod: { isOffloaded: true }, cluster: { settings: NATIVE } },
      'template-offloaded',
    ],
    ['an offloaded template without annotations', { pod: { isOffloaded: true, annotations: {} } }, 'not-memoized'],
    ['a template without a body', { pod: { template: { outputs: OUT } } }, 'template-unreadable'],
    [
      'a template with two bodies',
      { pod: { template: { container: CONTAINER, script: CONTAINER } } },
      'template-unreadable',
    ],
    ['reuse off', { pod: { annotations: { ...MANAGED, 'stepmemo.io/reuse': 'off' } } }, 'reuse-off'],
    ['an empty key', { pod: { annotations: { ...MANAGED, 'stepmemo.io/key': '' } } }, 'key-missing'],
    ['a cache alone', { pod: { annotations: { 'stepmemo.io/cache': 'cache' } } }, 'key-missing'],
    ['a key alone', { pod: { annotations: { 'stepmemo.io/key': 'k' } } }, 'cache-missing'],
    [
      'an unresolved key',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/key': 'a-{{inputs.parameters.x}}' } } },
      'key-unresolved',
    ],
    [
      'a key with control characters',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/key': 'a\nb' } } },
      'key-invalid',
    ],
    [
      'a key that is too long',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/key': 'ä'.repeat(8193) } } },
      'key-invalid',
    ],
    [
      'an unresolved cache name',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/cache': '{{x}}' } } },
      'cache-name-invalid',
    ],
    [
      'a cache name in capitals',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/cache': 'Cache' } } },
      'cache-name-invalid',
    ],
    [
      'a cache name that is too long',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/cache': 'c'.repeat(254) } } },
      'cache-name-invalid',
    ],
    ['a maxAge in days', { pod: { annotations: { ...MANAGED, 'stepmemo.io/max-age': '1d' } } }, 'max-age-invalid'],
  ])('%s', (_, input, reason) => {
    expect(decide(input)).toMatchObject({ decision: 'skip', reason });
  });

  it('quotes the key that was left unresolved', () => {
    const pod = { annotations: { ...MANAGED, 'stepmemo.io/key': 'a-{{inputs.parameters.x}}' } };
    expect(decide({ pod }).message).toContain('a-{{inputs.parameters.x}}');
  });
});

describe('decidePod finds a hit', () => {
  it.each(LAYOUTS)('on the pods of Argo %s, in both modes', (layout) => {
    expect(decide({ pod: { layout }, cluster: { entry: buildEntry() } })).toMatchObject({
      decision: 'hit',
      reason: 'fresh-entry',
      memoization: { key: 'k', cache: 'cache', maxAge: '1h', maxAgeMs: 3_600_000, isRefresh: false },
    });
    expect(
      decide({ pod: { layout, ...NATIVE_POD }, cluster: { entry: buildEntry(), settings: NATIVE } }),
    ).toMatchObject({
      decision: 'hit',
    });
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['script', { script: CONTAINER, outputs: OUT }, { parameters: [{ name: 'out', value: '1' }] }],
    ['containerSet', { containerSet: { containers: [{ name: 'a' }, { name: 'b' }] }, outputs: {} }, {}],
    ['data', { data: { source: {} }, outputs: {} }, { result: '[]' }],
    ['resource', { resource: { action: 'get' }, outputs: {} }, {}],
  ])('for a step of kind %s', (_, template, outputs) => {
    const annotations = { ...MANAGED, 'stepmemo.io/allow-resource': 'true' };
    for (const layout of LAYOUTS) {
      const pod = { layout, template, annotations };
      expect(decide({ pod, cluster: { entry: buildEntry(outputs) } })).toMatchObject({ decision: 'hit' });
    }
  });

  it('for an offloaded template in managed mode: the controller looks at it before it completes', () => {
    expect(decide({ pod: { isOffloaded: true }, cluster: { entry: buildEntry({}) } })).toMatchObject({
      decision: 'hit',
    });
  });

  it('with the annotation where it differs from the field of the same name', () => {
    const pod = { ...NATIVE_POD, annotations: { 'stepmemo.io/key': 'better', 'stepmemo.io/max-age': '' } };
    const decision = decide({ pod, cluster: { entry: buildEntry(), settings: NATIVE } });
    expect(decision).toMatchObject({ decision: 'hit', memoization: { key: 'better', cache: 'cache' } });
    expect(decision).not.toHaveProperty('memoization.maxAge');
  });

  it('for a retried, exit handler or root step alike', () => {
    const pods: PodOptions[] = [{ nodeId: 'wf' }, { labels: { 'workflows.argoproj.io/on-exit': 'true' } }];
    for (const pod of pods)
      expect(decide({ pod, cluster: { entry: buildEntry() } })).toMatchObject({ decision: 'hit' });
  });
});

describe('decidePod finds a miss', () => {
  const expired = (maxAge: string): PodOptions => ({ annotations: { ...MANAGED, 'stepmemo.io/max-age': maxAge } });

  it.each<[string, Case, string, RegExp]>([
    ['no entry', {}, 'no-entry', /^no entry for key "k" in cache cache$/],
    [
      'an expired entry',
      { pod: expired('10s'), cluster: { entry: buildEntry() } },
      'expired',
      /^expired: 14 s old, maxAge 10 s$/,
    ],
    ['maxAge zero', { pod: expired('0'), cluster: { entry: buildEntry() } }, 'expired', /maxAge 0 s/],
    ['no outputs at all', { cluster: { entry: buildEntry(null) } }, 'incomplete-entry', /lacks parameter out/],
    ['a missing parameter', { cluster: { entry: buildEntry({}) } }, 'incomplete-entry', /lacks parameter out/],
    [
      'a missing result',
      { pod: { needsResult: true }, cluster: { entry: buildEntry() } },
      'incomplete-entry',
      /lacks result/,
    ],
    [
      'a missing result of an offloaded template',
      { pod: { isOffloaded: true, needsResult: true }, cluster: { entry: buildEntry() } },
      'incomplete-entry',
      /lacks result/,
    ],
    [
      'an entry that is malformed',
      { cluster: { entry: { found: 'malformed', detail: 'it is not JSON' } } },
      'malformed-entry',
      /not JSON/,
    ],
    [
      'a refresh',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/reuse': 'refresh' } }, cluster: { entry: buildEntry() } },
      'refresh',
      /./,
    ],
  ])('%s', (_, input, reason, message) => {
    const decision = decide(input);
    expect(decision).toMatchObject({ decision: 'miss', reason, capture: { way: 'sidecar' } });
    expect(decision.message).toMatch(message);
  });

  it('an entry without nodeID', () => {
    const entry = buildEntry();
    if (entry.found !== 'entry') return;
    const cluster = { entry: { ...entry, entry: { ...entry.entry, nodeID: '' } } };
    expect(decide({ cluster })).toMatchObject({ decision: 'miss', reason: 'incomplete-entry' });
  });

  it('never says anything of an entry but its age and origin', () => {
    const cluster = { entry: buildEntry({ parameters: [{ name: 'out', value: 'top-secret' }] }) };
    expect(JSON.stringify(decide({ cluster }).message)).not.toContain('top-secret');
  });
});

describe('decidePod where stepmemo is not to act', () => {
  const at = (operation: 'observe' | 'off') => {
    const settings = { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation } as const;
    const { decision, reason, message } = decide({ cluster: { settings } });
    return { decision, reason, message };
  };

  it('says what it would have done, and does nothing', () => {
    expect(at('observe')).toMatchObject({ decision: 'skip', reason: 'observed-miss' });
    expect(at('observe').message).toMatch(/^would be a miss: no entry for key/);
  });

  it('does not even look where it is switched off', () => {
    expect(at('off')).toEqual({ decision: 'skip', reason: 'switched-off', message: 'stepmemo.io/operation is off' });
  });
});

describe('decidePod chooses how to capture', () => {
  const capture = (input: Case): unknown => {
    const decision = decide(input);
    return decision.decision === 'miss' ? decision.capture.way : decision.reason;
  };

  it.each<[string, Case, string]>([
    ['by default', {}, 'sidecar'],
    [
      'as the namespace says',
      {
        cluster: {
          settings: { isEnabled: true, memoize: 'managed', capture: 'server', lookAhead: 'on', operation: 'on' },
        },
      },
      'server',
    ],
    [
      'off as the namespace says',
      {
        cluster: {
          settings: { isEnabled: true, memoize: 'managed', capture: 'off', lookAhead: 'on', operation: 'on' },
        },
      },
      'off',
    ],
    ['as the template says', { pod: { annotations: { ...MANAGED, 'stepmemo.io/capture': 'server' } } }, 'server'],
    [
      'as the namespace says where the template says nothing that can be',
      { pod: { annotations: { ...MANAGED, 'stepmemo.io/capture': 'maybe' } } },
      'sidecar',
    ],
    ['where the sidecar was seen not to start', { cluster: { isSidecarUsable: false } }, 'server'],
    ['where a quota counts compute', { cluster: { hasComputeQuota: () => true } }, 'server'],
    [
      'where no LimitRange can be kept to',
      { cluster: { limitRanges: () => [{ type: 'Container', max: { memory: '16Mi' } }] } },
      'server',
    ],
    ['of a data step', { pod: { template: { data: {}, outputs: {} } } }, 'server'],
    [
      'of a resource step',
      {
        pod: {
          template: { resource: { action: 'get' }, outputs: {} },
          annotations: { ...MANAGED, 'stepmemo.io/allow-resource': 'true' },
        },
      },
      'server',
    ],
    ['of an offloaded template', { pod: { isOffloaded: true } }, 'sidecar'],
    ['in the init-less layout', { pod: { layout: '4.1.2-initless' } }, 'sidecar'],
  ])('%s', (_, input, way) => {
    expect(capture(input)).toBe(way);
  });
});
