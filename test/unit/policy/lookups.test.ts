import { describe, expect, it } from 'vitest';
import { createArgoSource } from '../../../src/admission/argo-source.ts';
import { judgeWithLookups } from '../../../src/admission/judge-with-lookups.ts';
import { createValidateWorkflows } from '../../../src/admission/validate-workflows.ts';
import { createLog } from '../../../src/base/log.ts';
import { readCacheLabel } from '../../../src/cache/cache-label.ts';
import type { GetOptions, KubeObject, KubeResult, ObjectPath } from '../../../src/kube/types.ts';
import { policySettingsSchema } from '../../../src/policy/settings.ts';
import type { KnownCluster } from '../../../src/step/known-cluster.ts';
import { MEMOIZE, STEP, workflow } from './support.ts';

const notFound = { ok: false, status: 404, reason: 'NotFound', message: 'not found' } as const;
const LABEL = { 'workflows.argoproj.io/configmap-type': 'Cache' };

/** A cluster with these objects, by `resource/namespace/name`; notes what it was asked. */
function cluster(objects: Readonly<Record<string, KubeObject | KubeResult<KubeObject>>>) {
  const asked: string[] = [];
  const get = async (
    { resource, namespace = '', name }: ObjectPath,
    options: GetOptions = {},
  ): Promise<KubeResult<KubeObject>> => {
    const id = `${resource.resource}/${namespace}/${name}`;
    asked.push(options.metadataOnly ? `${id} metadata` : id);
    const found = objects[id];
    if (found === undefined) return notFound;
    return 'ok' in found ? (found as KubeResult<KubeObject>) : { ok: true, value: found as KubeObject };
  };
  return { get, asked };
}

const limits = { deadlineMs: 5000, limit: 50 };

describe('judgeWithLookups', () => {
  it('asks for what the judgement asks for, round by round, each thing once', async () => {
    const { get, asked } = cluster({
      'workflowtemplates/n/a': { kind: 'WorkflowTemplate', next: 'b' },
      'workflowtemplates/n/b': { kind: 'WorkflowTemplate' },
      'configmaps/n/c': { metadata: { labels: LABEL } },
    });
    const verdict = await judgeWithLookups({ get }, limits, ({ lookUpTemplate, cacheLabel }) => {
      const first = lookUpTemplate('WorkflowTemplate', 'n', 'a');
      const second = typeof first?.next === 'string' ? lookUpTemplate('WorkflowTemplate', 'n', first.next) : undefined;
      return [
        first !== undefined,
        second !== undefined,
        lookUpTemplate('ClusterWorkflowTemplate', undefined, 'x'),
        cacheLabel('n', 'c'),
      ];
    });
    expect(verdict).toEqual([true, true, undefined, 'labeled']);
    expect(asked).toEqual([
      'workflowtemplates/n/a',
      'clusterworkflowtemplates//x',
      'configmaps/n/c metadata',
      'workflowtemplates/n/b',
    ]);
  });

  it('holds nothing that fails against anybody', async () => {
    const failing = { ok: false, status: 403, reason: 'Forbidden', message: 'no' } as const;
    const { get } = cluster({ 'configmaps/n/forbidden': failing });
    const labels = await judgeWithLookups({ get }, limits, ({ cacheLabel }) => [
      cacheLabel('n', 'forbidden'),
      cacheLabel('n', 'absent'),
    ]);
    expect(labels).not.toContain('unlabeled');
  });

  it('asks for no more than its limit', async () => {
    const { get, asked } = cluster({});
    await judgeWithLookups({ get }, { ...limits, limit: 3 }, ({ cacheLabel }) =>
      Array.from({ length: 10 }, (_, index) => cacheLabel('n', `c${index}`)),
    );
    expect(asked).toHaveLength(3);
  });

  it('answers with what it knows when its time is up', async () => {
    const { get, asked } = cluster({});
    const verdict = await judgeWithLookups({ get }, { deadlineMs: 0, limit: 50 }, ({ cacheLabel }) =>
      cacheLabel('n', 'c'),
    );
    expect(verdict).toBe('unknown');
    expect(asked).toEqual([]);
  });

  it('ends when every answer asks for something else', async () => {
    const { get, asked } = cluster({});
    let calls = 0;
    await judgeWithLookups({ get }, limits, ({ cacheLabel }) => cacheLabel('n', `c${calls++}`));
    expect(asked.length).toBeLessThan(20);
  });
});

describe('readCacheLabel', () => {
  const now = new Date('2026-01-31T12:00:00Z');
  const young = '2026-01-31T11:59:30Z';
  const managed = (field: string) => [{ manager: 'kubectl', fieldsV1: { [field]: { 'f:a': {} } } }];

  it.each([
    ['labeled', { labels: LABEL }],
    ['unlabeled', {}],
    ['unlabeled', { creationTimestamp: '2026-01-31T11:58:00Z' }],
    ['fresh', { creationTimestamp: young }],
    ['fresh', { creationTimestamp: young, managedFields: managed('f:metadata') }],
    ['unlabeled', { creationTimestamp: young, managedFields: managed('f:data') }],
    ['unlabeled', { creationTimestamp: young, managedFields: managed('f:binaryData') }],
    ['unlabeled', { creationTimestamp: young, labels: { 'workflows.argoproj.io/configmap-type': 'Parameter' } }],
    ['fresh', { creationTimestamp: young, labels: { other: 'label' } }],
  ])('is %s for %j', (expected, metadata) => {
    expect(readCacheLabel({ metadata }, now)).toBe(expected);
  });
});

describe('the version of Argo', () => {
  const log = createLog('fatal');
  const controller = (image: string) => ({ spec: { containers: [{ name: 'workflow-controller', image }] } });
  function source(answers: KubeResult<readonly KubeObject[]>[], setting?: string) {
    const clock = { nowMs: 0, asked: 0 };
    const list = async () => {
      const answer = answers[Math.min(clock.asked, answers.length - 1)];
      clock.asked += 1;
      if (answer === undefined) throw new Error('asked for nothing');
      return answer;
    };
    return {
      clock,
      ...createArgoSource({
        kube: { list, get: async () => notFound },
        controllerNamespace: 'argo',
        setting,
        log,
        nowMs: () => clock.nowMs,
      }),
    };
  }
  const found = (image: string): KubeResult<readonly KubeObject[]> => ({ ok: true, value: [controller(image)] });

  it('is what the setting says', async () => {
    const { read } = source([found('x/workflow-controller:v4.0.5')], '3.4.17');
    expect((await read(1000)).version).toEqual({ major: 3, minor: 4, patch: 17 });
  });

  it('is read from the controller, once a minute, and an old answer serves meanwhile', async () => {
    const { read, clock } = source([found('x/workflow-controller:v3.4.17'), found('x/workflow-controller:v4.0.5')]);
    expect((await read(1000)).version).toMatchObject({ major: 3 });
    expect((await read(1000)).version).toMatchObject({ major: 3 });
    expect(clock.asked).toBe(1);
    clock.nowMs = 61_000;
    expect((await read(1000)).version).toMatchObject({ major: 3 });
    await expect.poll(async () => (await read(1000)).version).toMatchObject({ major: 4 });
    expect(clock.asked).toBe(2);
  });

  it('is unknown where it cannot be had, or takes too long', async () => {
    expect((await source([notFound]).read(1000)).version).toBe('unknown');
    const never = createArgoSource({
      kube: { list: () => new Promise(() => {}), get: async () => notFound },
      controllerNamespace: 'argo',
      setting: undefined,
      log,
    });
    expect((await never.read(5)).version).toBe('unknown');
  });
});

describe('POST /validate/workflows', () => {
  const settings = {
    'team-a': { isEnabled: true, memoize: 'managed' },
    native: { isEnabled: true, memoize: 'native' },
    other: { isEnabled: false, memoize: 'managed' },
  } as const;
  const known = {
    namespace: (name: string) =>
      Object.hasOwn(settings, name) ? { capture: 'sidecar', ...settings[name as 'native'] } : undefined,
  } as unknown as KnownCluster;
  const policy = policySettingsSchema.parse({ argoVersion: '4.0.5' });
  const handler = (objects: Parameters<typeof cluster>[0] = {}) =>
    createValidateWorkflows({
      cluster: known,
      kube: cluster(objects),
      argo: {
        read: async () => ({
          version: { major: 4, minor: 0, patch: 5 },
          defaults: undefined,
          artifactRepository: undefined,
          isWrittenBack: false,
        }),
      },
      config: { policy, controllerAccounts: ['system:serviceaccount:argo:argo'], controllerNamespace: 'argo' },
    });
  const request = (object: KubeObject, namespace: string, operation = 'CREATE') => ({
    uid: 'u',
    kind: { group: 'argoproj.io', version: 'v1alpha1', kind: object.kind ?? '' },
    operation: operation as 'CREATE',
    namespace,
    userInfo: { username: 'jane' },
    object,
  });
  const dotted = workflow(
    { templates: [{ ...STEP, memoize: { ...MEMOIZE, key: 'a.{{inputs.parameters.x}}' } }] },
    { metadata: { name: 'wf' } },
  ) as KubeObject;

  it.each([
    ['team-a', true],
    ['native', false],
    ['other', false],
    ['unheard-of', true],
  ])('judges by the mode of the namespace %s', async (namespace, allowed) => {
    expect(await handler()(request(dotted, namespace))).toMatchObject({ allowed });
  });

  it('looks for the cache in the namespace of the request', async () => {
    const good = workflow({ templates: [STEP] }, { metadata: { name: 'wf' } }) as KubeObject;
    const unlabeled = { 'configmaps/team-a/my-cache': { metadata: { creationTimestamp: '2020-01-01T00:00:00Z' } } };
    expect(await handler(unlabeled)(request(good, 'team-a'))).toMatchObject({
      allowed: false,
      status: {
        code: 403,
        message: expect.stringContaining('The ConfigMap "my-cache" in namespace team-a exists without the label'),
      },
      auditAnnotations: { decision: 'deny', reason: 'cache-unlabeled' },
    });
    expect(await handler()(request(good, 'team-a'))).toMatchObject({
      allowed: true,
      auditAnnotations: { decision: 'allow' },
    });
  });

  it('judges a ClusterWorkflowTemplate by its own label', async () => {
    const object = (labels: Record<string, string>) =>
      ({ ...dotted, kind: 'ClusterWorkflowTemplate', metadata: { name: 'c', labels } }) as KubeObject;
    expect(await handler()(request(object({}), ''))).toMatchObject({ allowed: false });
    expect(await handler()(request(object({ 'stepmemo.io/enabled': 'true' }), ''))).toMatchObject({ allowed: true });
  });

  it('lets pass what it was sent by mistake', async () => {
    expect(await handler()(request({ kind: 'Pod' }, 'team-a'))).toMatchObject({ allowed: true });
    expect(await handler()(request(dotted, 'native', 'DELETE'))).toMatchObject({ allowed: true });
  });
});
