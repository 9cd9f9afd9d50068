import { afterEach, describe, expect, it } from 'vitest';
import { CACHE_LABEL } from '../../../src/argo/names.ts';
import { POLICY_NAMES } from '../../../src/base/names.ts';
import { countsCompute, enforcedPolicy, readLimitRange, readNamespace } from '../../../src/informers/read-objects.ts';
import { createSidecarHealth } from '../../../src/informers/sidecar-health.ts';
import { type WatchedCluster, watchCluster } from '../../../src/informers/watch-cluster.ts';
import { type KubeObject, RESOURCES } from '../../../src/kube/types.ts';
import { fail, MemoryKube, memoryLog } from '../kube/memory-kube.ts';

const namespace = (labels: Record<string, string>, annotations: Record<string, string> = {}): KubeObject => ({
  metadata: { name: 'team', labels, annotations },
});

describe('readNamespace', () => {
  it.each([
    ['no label', {}, {}, { isEnabled: false, memoize: 'managed', capture: 'sidecar' }],
    ['the label', { 'stepmemo.io/enabled': 'true' }, {}, { isEnabled: true, memoize: 'managed', capture: 'sidecar' }],
    ['another value', { 'stepmemo.io/enabled': 'yes' }, {}, { isEnabled: false }],
    ['native mode', {}, { 'stepmemo.io/memoize': 'native' }, { memoize: 'native' }],
    ['server capture', {}, { 'stepmemo.io/capture': 'server' }, { capture: 'server' }],
    ['no capture', {}, { 'stepmemo.io/capture': 'off' }, { capture: 'off' }],
  ])('%s', (_, labels, annotations, expected) => {
    const read = readNamespace(namespace(labels as Record<string, string>, annotations as Record<string, string>));
    expect(read.settings).toMatchObject(expected);
    expect(read.bad).toEqual([]);
  });

  it('takes the default for a word it does not know, and says so', () => {
    const read = readNamespace(namespace({}, { 'stepmemo.io/memoize': 'Native', 'stepmemo.io/capture': '' }));
    expect(read.settings).toMatchObject({ memoize: 'managed', capture: 'sidecar' });
    expect(read.bad.map(({ annotation, value }) => `${annotation}=${value}`)).toEqual([
      'stepmemo.io/memoize=Native',
      'stepmemo.io/capture=',
    ]);
  });
});

describe('readLimitRange', () => {
  it('keeps what binds pods and containers', () => {
    const limits = [
      { type: 'Container', min: { cpu: '100m' }, max: { memory: '1Gi' }, default: { cpu: '1' } },
      { type: 'Pod', maxLimitRequestRatio: { cpu: 2 } },
      { type: 'PersistentVolumeClaim', max: { storage: '1Gi' } },
    ];
    expect(readLimitRange({ spec: { limits } })).toEqual([
      { type: 'Container', min: { cpu: '100m' }, max: { memory: '1Gi' } },
      { type: 'Pod', maxLimitRequestRatio: { cpu: '2' } },
    ]);
  });
  it.each([{}, { spec: null }, { spec: { limits: 'x' } }])('makes nothing of %j', (object) => {
    expect(readLimitRange(object)).toEqual([]);
  });
});

describe('countsCompute', () => {
  it.each([
    ['cpu', true],
    ['memory', true],
    ['requests.cpu', true],
    ['limits.memory', true],
    ['requests.ephemeral-storage', true],
    ['ephemeral-storage', true],
    ['pods', false],
    ['requests.storage', false],
    ['count/configmaps', false],
    ['requests.nvidia.com/gpu', false],
  ])('%s: %s', (resource, expected) => {
    expect(countsCompute({ spec: { hard: { pods: '5', [resource]: '1' } } })).toBe(expected);
  });
  it('makes nothing of a quota without limits', () => {
    expect(countsCompute({ spec: {} })).toBe(false);
    expect(countsCompute({})).toBe(false);
  });
});

describe('enforcedPolicy', () => {
  it.each([
    [{ policyName: 'p', validationActions: ['Deny'] }, 'p'],
    [{ policyName: 'p', validationActions: ['Audit', 'Deny'] }, 'p'],
    [{ policyName: 'p', validationActions: ['Audit'] }, undefined],
    [{ policyName: 'p' }, undefined],
    [{}, undefined],
  ])('%j: %s', (spec, expected) => expect(enforcedPolicy({ spec })).toBe(expected));
});

describe('createSidecarHealth', () => {
  const MINUTE = 60_000;
  const at = (minutes: number) => new Date(minutes * MINUTE);

  it('lets exactly one try through in each window after a break', () => {
    let now = 100;
    const health = createSidecarHealth(10 * MINUTE, () => at(now));
    expect(health.isUsable).toBe(true);
    health.noteInjected(at(now));
    expect(health.isUsable).toBe(true);
    health.markBroken(at(now));
    const injectedAt: number[] = [];
    for (; now < 135; now += 1) {
      // Reading it twice is no try.
      if (health.isUsable && health.isUsable) {
        health.noteInjected(at(now));
        injectedAt.push(now);
      }
    }
    expect(injectedAt).toEqual([110, 120, 130]);
  });

  it('starts the window anew when the try breaks, and ends it when one works', () => {
    let now = 100;
    const health = createSidecarHealth(10 * MINUTE, () => at(now));
    health.markBroken(at(100));
    now = 110;
    health.noteInjected(at(110));
    health.markBroken(at(112));
    now = 121;
    expect(health.isUsable).toBe(false);
    health.markWorking(at(111));
    expect(health.isUsable).toBe(false);
    health.markWorking(at(120));
    expect(health.isUsable).toBe(true);
  });

  it('is not set back by what is told late', () => {
    const health = createSidecarHealth(10 * MINUTE, () => at(112));
    health.markBroken(at(110));
    health.markBroken(at(90));
    health.noteInjected(at(95));
    expect(health.isUsable).toBe(false);
    health.markWorking(at(100));
    expect(health.isUsable).toBe(false);
  });
});

describe('watchCluster', () => {
  let cluster: WatchedCluster | undefined;
  afterEach(() => cluster?.stop());

  function make(more: { cacheLimitBytes?: number; controllerAccounts?: string[] } = {}) {
    const kube = new MemoryKube();
    const log = memoryLog();
    const { controllerAccounts = [], ...rest } = more;
    const config = { ownNamespace: 'stepmemo', sidecarRetryMinutes: 10, controllerAccounts };
    cluster = watchCluster({ kube, config, log, ...rest });
    return { kube, log, cluster };
  }

  const cache = (name: string, data: Record<string, string>): KubeObject => ({
    kind: 'ConfigMap',
    metadata: { namespace: 'team', name, labels: { [CACHE_LABEL]: 'Cache' } },
    data,
  });
  const entry = JSON.stringify({
    nodeID: 'n',
    outputs: null,
    creationTimestamp: '2026-01-01T00:00:00Z',
    lastHitTimestamp: null,
  });
  const policy = (name: string): KubeObject => ({ metadata: { name }, spec: {} });
  const binding = (name: string, validationActions = ['Deny']): KubeObject => ({
    metadata: { name },
    spec: { policyName: name, validationActions },
  });

  it('lets the annotation of its own namespace hold for all, unless one says more', async () => {
    const { kube, cluster } = make();
    const put = (name: string, operation?: string) =>
      kube.put(RESOURCES.namespaces, {
        metadata: { name, ...(operation !== undefined && { annotations: { 'stepmemo.io/operation': operation } }) },
      });
    put('stepmemo', 'observe');
    put('team');
    put('strict', 'off');
    cluster.start();
    await cluster.whenSynced();
    const seen = () => ['team', 'strict'].map((name) => cluster.namespace(name)?.operation);
    expect(seen()).toEqual(['observe', 'off']);
    await expect.poll(() => kube.calls.some(({ verb, name }) => verb === 'watch' && name === 'namespaces')).toBe(true);
    put('stepmemo');
    await expect.poll(seen).toEqual(['on', 'off']);
  });

  const untilWatched = (kube: MemoryKube) =>
    expect.poll(() => kube.calls.filter(({ verb }) => verb === 'watch').length).toBe(6);

  it('knows nothing before it is started, and what was there when it is synced', async () => {
    const { kube, cluster } = make();
    kube.put(RESOURCES.namespaces, {
      metadata: {
        name: 'team',
        labels: { 'stepmemo.io/enabled': 'true' },
        annotations: { 'stepmemo.io/capture': 'off' },
      },
    });
    kube.put(RESOURCES.configMaps, cache('results', { key: entry }));
    kube.put(RESOURCES.limitRanges, {
      metadata: { namespace: 'team', name: 'limits' },
      spec: { limits: [{ type: 'Pod', max: { cpu: '1' } }] },
    });
    kube.put(RESOURCES.resourceQuotas, {
      metadata: { namespace: 'team', name: 'quota' },
      spec: { hard: { 'requests.cpu': '1' } },
    });
    expect(cluster.isSynced).toBe(false);
    expect(cluster.namespace('team')).toBeUndefined();
    cluster.start();
    expect(cluster.isSynced).toBe(false);
    await cluster.whenSynced();
    expect(cluster.isSynced).toBe(true);
    expect(cluster.namespace('team')).toEqual({
      isEnabled: true,
      memoize: 'managed',
      capture: 'off',
      lookAhead: 'on',
      operation: 'on',
    });
    expect(cluster.lookUp('team', 'results', 'key')).toMatchObject({ found: 'entry', entry: { nodeID: 'n' } });
    expect(cluster.lookUp('other', 'results', 'key')).toEqual({ found: 'nothing' });
    expect(cluster.limitRanges('team')).toEqual([{ type: 'Pod', max: { cpu: '1' } }]);
    expect(cluster.limitRanges('other')).toEqual([]);
    expect(cluster.hasComputeQuota('team')).toBe(true);
    expect(cluster.hasComputeQuota('other')).toBe(false);
    expect(cluster.cacheStats.caches).toBe(1);
  });

  it('follows changes and deletions', async () => {
    const { kube, cluster } = make();
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    const quota = (hard: object) => ({ metadata: { namespace: 'team', name: 'quota' }, spec: { hard } });
    kube.put(RESOURCES.namespaces, namespace({ 'stepmemo.io/enabled': 'true' }));
    kube.put(RESOURCES.configMaps, cache('results', { key: entry }));
    kube.put(RESOURCES.resourceQuotas, quota({ cpu: '1' }));
    kube.put(RESOURCES.limitRanges, {
      metadata: { namespace: 'team', name: 'l' },
      spec: { limits: [{ type: 'Pod' }] },
    });
    expect(cluster.namespace('team')?.isEnabled).toBe(true);
    expect(cluster.lookUp('team', 'results', 'key').found).toBe('entry');
    expect(cluster.hasComputeQuota('team')).toBe(true);
    expect(cluster.limitRanges('team')).toHaveLength(1);
    kube.put(RESOURCES.resourceQuotas, quota({ pods: '1' }));
    kube.put(RESOURCES.configMaps, cache('results', {}));
    expect(cluster.hasComputeQuota('team')).toBe(false);
    expect(cluster.lookUp('team', 'results', 'key').found).toBe('nothing');
    kube.put(RESOURCES.configMaps, cache('results', { key: entry }));
    kube.drop(RESOURCES.configMaps, 'team', 'results');
    kube.drop(RESOURCES.namespaces, undefined, 'team');
    kube.drop(RESOURCES.limitRanges, 'team', 'l');
    expect(cluster.lookUp('team', 'results', 'key').found).toBe('nothing');
    expect(cluster.namespace('team')).toBeUndefined();
    expect(cluster.limitRanges('team')).toEqual([]);
    expect(cluster.cacheStats).toEqual({ caches: 0, bytes: 0 });
  });

  it.each(['stepmemo', 'kube-system'])('never has %s enabled', async (name) => {
    const { kube, cluster } = make();
    kube.put(RESOURCES.namespaces, { metadata: { name, labels: { 'stepmemo.io/enabled': 'true' } } });
    cluster.start();
    await cluster.whenSynced();
    expect(cluster.namespace(name)?.isEnabled).toBe(false);
  });

  it('warns once of an annotation that says nothing', async () => {
    const { kube, cluster, log } = make();
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    for (let change = 0; change < 3; change += 1) {
      kube.put(RESOURCES.namespaces, namespace({ change: String(change) }, { 'stepmemo.io/memoize': 'on' }));
    }
    expect(cluster.namespace('team')?.memoize).toBe('managed');
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it('misses the policies until each of them is there and refuses', async () => {
    const { kube, cluster } = make();
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    for (const name of POLICY_NAMES) kube.put(RESOURCES.admissionPolicies, policy(name));
    expect(cluster.arePoliciesInstalled).toBe(false);
    for (const name of POLICY_NAMES) kube.put(RESOURCES.admissionPolicyBindings, binding(name));
    expect(cluster.arePoliciesInstalled).toBe(true);
    const [first] = POLICY_NAMES;
    kube.put(RESOURCES.admissionPolicyBindings, binding(first, ['Warn']));
    expect(cluster.arePoliciesInstalled).toBe(false);
    kube.put(RESOURCES.admissionPolicyBindings, binding(first));
    expect(cluster.arePoliciesInstalled).toBe(true);
    kube.drop(RESOURCES.admissionPolicies, undefined, first);
    expect(cluster.arePoliciesInstalled).toBe(false);
  });

  it('names the policies that would warn of an outage, while they are missing', async () => {
    const { kube, cluster } = make();
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    expect(cluster.missingOutagePolicies).toEqual(['stepmemo-memoize-left', 'stepmemo-silent']);
    kube.put(RESOURCES.admissionPolicies, policy('stepmemo-silent'));
    expect(cluster.missingOutagePolicies).toEqual(['stepmemo-memoize-left']);
    kube.put(RESOURCES.admissionPolicies, policy('stepmemo-memoize-left'));
    expect(cluster.missingOutagePolicies).toEqual([]);
  });

  it('takes a policy that does not know one of our controllers for missing, and says so', async () => {
    const { kube, log, cluster } = make({ controllerAccounts: ['a', 'b'] });
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    for (const name of POLICY_NAMES) kube.put(RESOURCES.admissionPolicies, policy(name));
    for (const name of POLICY_NAMES) kube.put(RESOURCES.admissionPolicyBindings, binding(name));
    const knowing = (expression: string): KubeObject => ({
      ...policy('stepmemo-pod-creation'),
      spec: { variables: [{ name: 'controllers', expression }] },
    });
    kube.put(RESOURCES.admissionPolicies, knowing("'a'.split(',')"));
    expect(cluster.arePoliciesInstalled).toBe(false);
    expect(log.lines.filter(({ level }) => level === 'warn')).toMatchObject([{ fields: { accounts: ['b'] } }]);
    kube.put(RESOURCES.admissionPolicies, knowing("'a,b'.split(',')"));
    expect(cluster.arePoliciesInstalled).toBe(true);
  });

  it('is synced, without policies, on a cluster that does not know them', async () => {
    const { kube, cluster } = make();
    kube.before = ({ verb, name }) =>
      verb === 'listPage' && name.startsWith('validatingadmission') ? fail(404, 'NotFound', 'no such kind') : undefined;
    cluster.start();
    await cluster.whenSynced();
    expect(cluster.arePoliciesInstalled).toBe(false);
  });

  it('lets a cache go for which it has no memory, says so once, and reads it again when there is room', async () => {
    const { kube, cluster, log } = make({ cacheLimitBytes: 4_000 });
    kube.put(RESOURCES.namespaces, namespace({ 'stepmemo.io/enabled': 'true' }));
    kube.put(RESOURCES.configMaps, cache('first', { key: entry, more: 'x'.repeat(3_000) }));
    kube.put(RESOURCES.configMaps, cache('second', { key: entry, more: 'x'.repeat(3_000) }));
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    expect(cluster.lookUp('team', 'second', 'key').found).toBe('entry');
    expect(cluster.lookUp('team', 'first', 'key').found).toBe('unknown');
    expect(log.lines.filter(({ level }) => level === 'warn')).toMatchObject([{ fields: { cache: 'first' } }]);
    kube.drop(RESOURCES.configMaps, 'team', 'second');
    await expect.poll(() => cluster.lookUp('team', 'first', 'key').found, { timeout: 5_000 }).toBe('entry');
  });

  it('holds no cache of a namespace that has not opted in, and reads them when it does', async () => {
    const { kube, cluster } = make({ cacheLimitBytes: 100_000 });
    kube.put(RESOURCES.namespaces, namespace({}));
    for (let number = 0; number < 20; number += 1) {
      kube.put(RESOURCES.configMaps, cache(`c-${number}`, { key: entry, more: 'x'.repeat(3_000) }));
    }
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    expect(cluster.cacheStats).toEqual({ caches: 0, bytes: 0 });
    kube.put(RESOURCES.namespaces, namespace({ 'stepmemo.io/enabled': 'true' }));
    expect(cluster.lookUp('team', 'c-0', 'key').found).toBe('unknown');
    await expect.poll(() => cluster.cacheStats.caches).toBe(20);
    await expect.poll(() => cluster.lookUp('team', 'other', 'key').found).toBe('nothing');
    kube.put(RESOURCES.namespaces, namespace({}));
    expect(cluster.cacheStats).toEqual({ caches: 0, bytes: 0 });
  });

  it('takes up what it could not read of a namespace that opts in', { timeout: 15_000 }, async () => {
    const { kube, cluster } = make();
    kube.put(RESOURCES.namespaces, namespace({}));
    kube.put(RESOURCES.configMaps, cache('results', { key: entry }));
    cluster.start();
    await cluster.whenSynced();
    await untilWatched(kube);
    let failures = 0;
    kube.before = ({ verb }) => {
      if (verb !== 'listPage' || failures > 0) return undefined;
      failures += 1;
      return fail(503, 'ServiceUnavailable', 'not now');
    };
    kube.put(RESOURCES.namespaces, namespace({ 'stepmemo.io/enabled': 'true' }));
    await expect.poll(() => failures).toBe(1);
    expect(cluster.lookUp('team', 'results', 'key').found).toBe('unknown');
    await expect.poll(() => cluster.lookUp('team', 'results', 'key').found, { timeout: 8_000 }).toBe('entry');
  });

  it('hands the sidecar’s health on', async () => {
    const { cluster } = make();
    const now = new Date();
    expect(cluster.isSidecarUsable).toBe(true);
    cluster.markSidecarBroken(now);
    expect(cluster.isSidecarUsable).toBe(false);
    cluster.markSidecarWorking(new Date(now.getTime() + 1));
    expect(cluster.isSidecarUsable).toBe(true);
  });
});
