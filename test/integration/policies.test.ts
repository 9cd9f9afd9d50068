import { beforeAll, describe, expect, test } from 'vitest';
import * as names from '../../src/base/names.ts';
import { labelReplicas } from '../../src/controller/label-replicas.ts';
import { type KubeObject, type KubeResult, RESOURCES } from '../../src/kube/types.ts';
import { createNamespace, kubeAs, kubeAsController, must, type TestKube } from './harness.ts';

/*
 * Each clause of the admission policies in manifests/base, as shipped, on a real API server: what it refuses, and what
 * it lets pass. The accounts have their real rights; where RBAC alone would already refuse, the test widens it, so that
 * it is the policy that answers.
 */

const OWN_ACCOUNT = 'system:serviceaccount:stepmemo:stepmemo';

let namespace: string;
let admin: TestKube;
let controller: TestKube;
let own: TestKube;
let tenant: TestKube;

beforeAll(async () => {
  namespace = await createNamespace();
  [admin, controller, own, tenant] = await Promise.all([
    kubeAs('admin'),
    kubeAsController(),
    kubeAs('stepmemo'),
    kubeAs({ namespace, account: 'tenant' }),
  ]);
  await allowTooMuch();
});

/** Grants the server's account every verb on everything: what is refused now is refused by a policy. */
async function allowTooMuch(): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  await admin.require('POST', `${rbac}/roles`, {
    metadata: { name: 'too-much' },
    rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }],
  });
  await admin.require('POST', `${rbac}/rolebindings`, {
    metadata: { name: 'too-much' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'too-much' },
    subjects: [{ kind: 'ServiceAccount', name: 'stepmemo', namespace: 'stepmemo' }],
  });
}

// ---- what the tests make

interface PodParts {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly gates?: readonly string[];
  readonly containers?: readonly string[];
  readonly hasInit?: boolean;
  readonly finalizers?: readonly string[];
}

let counter = 0;

/** As little of a pod as the API server takes: fields that are not asked for are absent, not empty. */
function podOf(parts: PodParts = {}): KubeObject {
  const { labels, annotations, gates, containers = ['main'], hasInit = false, finalizers } = parts;
  const container = (name: string) => ({ name, image: 'none' });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `pod-${counter++}`,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
    },
    spec: {
      containers: containers.map(container),
      ...(hasInit && { initContainers: [container('init')] }),
      ...(gates && { schedulingGates: gates.map((name) => ({ name })) }),
    },
  };
}

const STEP_LABELS = { 'workflows.argoproj.io/workflow': 'wf', 'workflows.argoproj.io/completed': 'false' };
const STEP_ANNOTATIONS = {
  'workflows.argoproj.io/node-id': 'wf-1',
  [names.KEY_ANNOTATION]: 'k',
  [names.CACHE_ANNOTATION]: 'c',
};
const DECISION = { [names.DECISION_ANNOTATION]: 'hit', [names.REASON_ANNOTATION]: 'fresh-entry' };
const GATED: PodParts = {
  labels: STEP_LABELS,
  annotations: { ...STEP_ANNOTATIONS, ...DECISION },
  gates: [names.HIT_GATE],
  hasInit: true,
};

const createPod = (kube: TestKube, parts: PodParts) =>
  kube.create({ resource: RESOURCES.pods, namespace }, podOf(parts));
const madePod = async (parts: PodParts) => must(await createPod(controller, parts));
const pathOf = (object: KubeObject, resource: (typeof RESOURCES)[keyof typeof RESOURCES] = RESOURCES.pods) => ({
  resource,
  namespace,
  name: object.metadata?.name ?? '',
});

/** Refused by one of our policies; by nothing else. */
function expectRefused(result: KubeResult<unknown>, policy: string): void {
  expect(result).toMatchObject({ ok: false, status: 403 });
  if (!result.ok) expect(result.message).toContain(`ValidatingAdmissionPolicy '${policy}`);
}
const expectPassed = (result: KubeResult<unknown>): void =>
  expect(result.ok ? 'passed' : `${result.status}: ${result.message}`).toBe('passed');

const escapeKey = (key: string) => key.replaceAll('/', '~1');
const annotate = (key: string, value: string) => ({
  op: 'add' as const,
  path: `/metadata/annotations/${escapeKey(key)}`,
  value,
});

// ---- pods that others create

describe('creating a pod with gates or a decision of ours', () => {
  const policy = 'stepmemo-pod-creation';
  const forged: [string, PodParts][] = [
    ['the gate of a hit', { gates: [names.HIT_GATE] }],
    ['the gate of a miss', { gates: ['example.com/queue', names.MISS_GATE] }],
    ...names.DECISION_ANNOTATIONS.map((key): [string, PodParts] => [key, { annotations: { [key]: 'x' } }]),
  ];

  test.each(forged)('is refused to a tenant: %s', async (_, parts) => {
    expectRefused(await createPod(tenant, parts), policy);
  });
  test.each(forged)('is refused to an admin: %s', async (_, parts) => {
    expectRefused(await createPod(admin, parts), policy);
  });
  test.each(forged)('is left to the workflow controller: %s', async (_, parts) => {
    expectPassed(await createPod(controller, parts));
  });
  test('is refused to an account that merely has the same name', async () => {
    const name = 'argo';
    await admin.require('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
    const body = { ...podOf({ gates: [names.HIT_GATE] }) };
    const namesake = admin.asUser(`system:serviceaccount:${namespace}:argo`, ['system:masters']);
    expectRefused(await namesake.create({ resource: RESOURCES.pods, namespace }, body), policy);
  });
  test.each<[string, PodParts]>([
    ['without labels, annotations, gates and init containers', {}],
    ['with a gate of somebody else', { gates: ['example.com/queue'] }],
    ["with the annotations of a template's author", { annotations: STEP_ANNOTATIONS }],
    ['with annotations of others and init containers', { annotations: { a: 'b' }, hasInit: true }],
  ])('says nothing of a pod %s', async (_, parts) => {
    expectPassed(await createPod(tenant, parts));
  });
  test('a ReplicaSet or Job, which passes a template on, gets no further than its tenant', async () => {
    const jobs = admin.asUser('system:serviceaccount:kube-system:job-controller', ['system:masters']);
    expectRefused(await createPod(jobs, { gates: [names.MISS_GATE] }), policy);
  });
  test('a pod made huge on purpose gets no way past it', async () => {
    const filler = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`f/${i}`, '']));
    expectRefused(await createPod(tenant, { annotations: { ...filler, [names.DECISION_ANNOTATION]: 'hit' } }), policy);
    const gates = Array.from({ length: 5_000 }, (_, i) => `example.com/${i}`);
    expectRefused(await createPod(tenant, { gates: [...gates, names.HIT_GATE] }), policy);
    expectPassed(await createPod(tenant, { annotations: filler, gates }));
  });
});

// ---- pods that others change

/** These stand on namespaces, Workflows and task results, and say nothing on a pod. */
const ELSEWHERE: readonly string[] = [
  names.MEMOIZE_MODE_ANNOTATION,
  names.OPERATION_ANNOTATION,
  names.LOOK_AHEAD_ANNOTATION,
  names.LOOK_AHEAD_DIGEST_ANNOTATION,
  names.RESULT_POD_UID_ANNOTATION,
  names.STALE_ANNOTATION,
  names.PREFERRED_HOLDER_ANNOTATION,
];
const OUR_ANNOTATIONS = Object.entries(names)
  .filter(([name]) => /^[A-Z_]+_ANNOTATION$/.test(name))
  .map(([, value]) => value as string)
  .filter((value) => !ELSEWHERE.includes(value));

describe('changing our annotations of a pod that exists', () => {
  const policy = 'stepmemo-pod-annotations';

  test.each(OUR_ANNOTATIONS)('%s is neither added, changed nor removed by a tenant', async (key) => {
    const without = await madePod({ annotations: { other: 'x' } });
    expectRefused(await tenant.patch(pathOf(without), [annotate(key, 'x')]), policy);
    const having = await madePod({ annotations: { [key]: 'x' } });
    expectRefused(await tenant.patch(pathOf(having), [annotate(key, 'y')]), policy);
    expectRefused(await tenant.patch(pathOf(having), [{ op: 'remove', path: '/metadata/annotations' }]), policy);
    expectRefused(await tenant.merge(pathOf(having), { metadata: { annotations: { [key]: null } } }), policy);
  });
  test('a pod without any annotation gets none', async () => {
    const bare = await madePod({});
    const patch = { metadata: { annotations: { [names.DECISION_ANNOTATION]: 'hit' } } };
    expectRefused(await tenant.merge(pathOf(bare), patch), policy);
    expectRefused(await admin.merge(pathOf(bare), patch), policy);
    expectRefused(await controller.merge(pathOf(bare), patch), policy);
  });
  test('the status subresource is no way around it', async () => {
    const pod = await madePod(GATED);
    expectRefused(await admin.patch(pathOf(pod), [annotate(names.OUTPUTS_DIGEST_ANNOTATION, 'x')], 'status'), policy);
    expectPassed(await admin.patch(pathOf(pod), [{ op: 'add', path: '/status/message', value: 'seen' }], 'status'));
  });
  test('nor are other subresources: they take no annotations at all', async () => {
    const pod = await madePod({ ...GATED, gates: ['example.com/queue'] });
    const body = { ...pod, metadata: { ...pod.metadata, annotations: { [names.DECISION_ANNOTATION]: 'miss' } } };
    for (const subresource of ['ephemeralcontainers', 'resize']) {
      await admin.update(pathOf(pod), body as KubeObject, subresource);
      const now = must(await admin.get(pathOf(pod)));
      expect(now.metadata?.annotations).toEqual(pod.metadata?.annotations);
    }
  });
  test('our own account may, on the pod itself', async () => {
    const pod = await madePod(GATED);
    expectPassed(await own.patch(pathOf(pod), [annotate(names.OUTPUTS_DIGEST_ANNOTATION, 'abc')]));
  });
  test('what Argo changes on its pods passes', async () => {
    const pod = await madePod(GATED);
    expectPassed(
      await controller.merge(pathOf(pod), {
        metadata: {
          labels: { 'workflows.argoproj.io/completed': 'true' },
          annotations: { 'workflows.argoproj.io/outputs': '{}' },
        },
      }),
    );
    const bare = await madePod({});
    expectPassed(await controller.merge(pathOf(bare), { metadata: { labels: { a: 'b' } } }));
  });
  test('whoever may update the pod may remove our gate, and others', async () => {
    const pod = await madePod({ ...GATED, gates: [names.HIT_GATE, 'example.com/queue'] });
    expectPassed(await tenant.patch(pathOf(pod), [{ op: 'remove', path: '/spec/schedulingGates/0' }]));
    expectPassed(await tenant.patch(pathOf(pod), [{ op: 'remove', path: '/spec/schedulingGates' }]));
  });
  test('a whole update that leaves them alone passes', async () => {
    const pod = await madePod(GATED);
    const body = { ...pod, metadata: { ...pod.metadata, labels: { a: 'b' } } };
    expectPassed(await tenant.update(pathOf(pod), body as KubeObject));
  });
  test('deleting a pod, or all of them, passes', async () => {
    const pod = await madePod(GATED);
    expectPassed(await tenant.remove(pathOf(pod)));
    await madePod({ ...GATED, labels: { sweep: 'me' } });
    expectPassed(await tenant.removeAll({ resource: RESOURCES.pods, namespace }, 'sweep=me'));
  });
});

describe('binding a pod to a node', () => {
  const bind = (pod: KubeObject, annotations?: Record<string, string>) =>
    admin.request('POST', `/api/v1/namespaces/${namespace}/pods/${pod.metadata?.name}/binding`, {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: pod.metadata?.name, ...(annotations && { annotations }) },
      target: { kind: 'Node', name: 'somewhere' },
    });

  test('brings no annotation of ours along', async () => {
    const pod = await madePod({});
    const answer = await bind(pod, { [names.OUTPUTS_DIGEST_ANNOTATION]: 'x' });
    expect(answer).toMatchObject({ status: 403 });
    expect(answer.body.message).toContain("'stepmemo-pod-binding'");
    expect(await bind(pod, { other: 'x' })).toMatchObject({ status: 201 });
  });
  test('passes without annotations, as the scheduler does it', async () => {
    expect(await bind(await madePod({}))).toMatchObject({ status: 201 });
  });
});

// ---- task results

const MARK = names.RESULT_POD_UID_ANNOTATION;
const OUTPUTS = { parameters: [{ name: 'p', value: 'v' }] };

function resultOf(parts: { annotations?: Record<string, string>; labels?: Record<string, string>; outputs?: unknown }) {
  const { outputs, ...metadata } = parts;
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'WorkflowTaskResult',
    metadata: { name: `result-${counter++}`, ...metadata },
    ...(outputs !== undefined && { outputs }),
  } as KubeObject;
}
const results = RESOURCES.workflowTaskResults;
const createResult = (kube: TestKube, parts: Parameters<typeof resultOf>[0]) =>
  kube.create({ resource: results, namespace }, resultOf(parts));
const markedResult = async () =>
  must(await createResult(own, { annotations: { [MARK]: 'uid-1' }, labels: STEP_LABELS, outputs: OUTPUTS }));
const resultPath = (object: KubeObject) => pathOf(object, results);

describe('task results that others write', () => {
  const policy = 'stepmemo-task-results';

  test('none of them is marked as ours', async () => {
    const parts = { annotations: { [MARK]: 'uid-1' }, outputs: OUTPUTS };
    expectRefused(await createResult(tenant, parts), policy);
    expectRefused(await createResult(await kubeAs({ namespace, account: 'default' }), parts), policy);
    const theirs = must(await createResult(tenant, { outputs: OUTPUTS }));
    expectRefused(await tenant.merge(resultPath(theirs), { metadata: { annotations: { [MARK]: 'x' } } }), policy);
  });
  test('the mark of ours is neither changed nor removed', async () => {
    const ours = await markedResult();
    expectRefused(await tenant.merge(resultPath(ours), { metadata: { annotations: { [MARK]: 'uid-2' } } }), policy);
    expectRefused(await tenant.merge(resultPath(ours), { metadata: { annotations: null } }), policy);
  });
  test('outputs and labels of ours are neither changed, added nor removed', async () => {
    const ours = await markedResult();
    const forged = { parameters: [{ name: 'p', value: 'forged' }] };
    expectRefused(await tenant.merge(resultPath(ours), { outputs: forged }), policy);
    expectRefused(await tenant.merge(resultPath(ours), { outputs: null }), policy);
    expectRefused(await tenant.merge(resultPath(ours), { metadata: { labels: { a: 'b' } } }), policy);
    expectRefused(await tenant.merge(resultPath(ours), { metadata: { labels: null } }), policy);
    const empty = must(await createResult(own, { annotations: { [MARK]: 'uid-1' } }));
    expectRefused(await tenant.merge(resultPath(empty), { outputs: forged }), policy);
    expectRefused(await tenant.merge(resultPath(empty), { metadata: { labels: { a: 'b' } } }), policy);
  });
  test("the executor's and everybody's own results pass, with and without metadata and outputs", async () => {
    const executor = await kubeAs({ namespace, account: 'default' });
    const result = must(await createResult(executor, {}));
    expectPassed(await executor.merge(resultPath(result), { outputs: OUTPUTS }));
    const labels = { 'workflows.argoproj.io/report-outputs-completed': 'true' };
    expectPassed(await executor.merge(resultPath(result), { metadata: { labels } }));
    expectPassed(await createResult(tenant, { annotations: { other: 'x' }, labels: { a: 'b' }, outputs: OUTPUTS }));
  });
  test('garbage collection may touch owners and finalizers of ours', async () => {
    const ours = await markedResult();
    const collector = admin.asUser('system:serviceaccount:kube-system:generic-garbage-collector', ['system:masters']);
    expectPassed(await collector.merge(resultPath(ours), { metadata: { finalizers: ['foregroundDeletion'] } }));
    expectPassed(await collector.merge(resultPath(ours), { metadata: { finalizers: null } }));
  });
  test('Argo deletes all results of a workflow, ours among them', async () => {
    await markedResult();
    const selector = 'workflows.argoproj.io/workflow=wf';
    expectPassed(await controller.removeAll({ resource: results, namespace }, selector));
    expect(must(await admin.list({ resource: results, namespace }, { labelSelector: selector }))).toEqual([]);
  });
});

// ---- our own account

const NAME = 'app.kubernetes.io/name';

/** As the namespace of the server asks for. */
function podSpecRestricted(): object {
  return {
    serviceAccountName: 'stepmemo',
    securityContext: { runAsNonRoot: true, runAsUser: 1, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'server',
        image: 'none',
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  };
}

describe("the server's own account and pods", () => {
  const policy = 'stepmemo-own-pods';

  test('it creates none', async () => {
    expectRefused(await createPod(own, {}), policy);
    // This is refused by stepmemo-pod-creation as well; which of the two answers is not said.
    expectRefused(await createPod(own, { gates: [names.HIT_GATE] }), 'stepmemo-');
  });
  test('it removes its own gates, alone and beside those of others', async () => {
    const pod = await madePod(GATED);
    const gate = [
      { op: 'test' as const, path: '/spec/schedulingGates/0/name', value: names.HIT_GATE },
      { op: 'remove' as const, path: '/spec/schedulingGates/0' },
    ];
    expectPassed(await own.patch(pathOf(pod), gate));
    const both = await madePod({ ...GATED, gates: [names.MISS_GATE, 'example.com/queue'] });
    expectPassed(await own.patch(pathOf(both), [{ op: 'remove', path: '/spec/schedulingGates/0' }]));
  });
  test('it labels its own replicas by their role, and changes nothing else about them', async () => {
    const where = { resource: RESOURCES.pods, namespace: 'stepmemo' };
    const at = ({ metadata }: KubeObject) => ({ ...where, name: metadata?.name ?? '' });
    const labels = { 'app.kubernetes.io/name': 'stepmemo', 'app.kubernetes.io/component': 'server' };
    const replica = (metadata: object) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { generateName: 'replica-', namespace: 'stepmemo', ...metadata },
      spec: podSpecRestricted(),
    });
    const pod = must(await admin.create(where, replica({ labels })));
    const foreign = must(await admin.create(where, replica({ labels: { 'app.kubernetes.io/name': 'other' } })));
    try {
      const label = (value: string | null) => ({ metadata: { labels: { 'stepmemo.io/role': value } } });
      expectPassed(await own.merge(at(pod), label('leader')));
      expectPassed(await own.merge(at(pod), label('follower')));
      expectRefused(await own.merge(at(pod), { metadata: { labels: { a: 'b' } } }), policy);
      expectRefused(await own.merge(at(pod), { metadata: { labels: { [NAME]: 'other' } } }), policy);
      expectRefused(await own.merge(at(pod), { metadata: { labels: { [NAME]: null } } }), policy);
      expectRefused(await own.merge(at(pod), { metadata: { annotations: { a: 'b' } } }), policy);
      expectRefused(await own.merge(at(foreign), label('leader')), policy);
      const elsewhere = await madePod({ labels });
      expectRefused(await own.merge(pathOf(elsewhere), label('leader')), policy);
      expect(await labelReplicas(own, 'stepmemo', pod.metadata?.name ?? '')).toBeUndefined();
      expect(must(await admin.get(at(pod))).metadata?.labels).toMatchObject({ 'stepmemo.io/role': 'leader' });
      expect(await labelReplicas(own, 'stepmemo', 'another')).toBeUndefined();
      expect(must(await admin.get(at(pod))).metadata?.labels).toMatchObject({ 'stepmemo.io/role': 'follower' });
      expect(must(await admin.get(at(foreign))).metadata?.labels).not.toHaveProperty('stepmemo.io/role');
    } finally {
      for (const made of [pod, foreign]) await admin.remove(at(made));
    }
  });
  test('it removes no gate of anybody else', async () => {
    const pod = await madePod({ ...GATED, gates: [names.HIT_GATE, 'example.com/queue'] });
    expectRefused(await own.patch(pathOf(pod), [{ op: 'remove', path: '/spec/schedulingGates/1' }]), policy);
    expectRefused(await own.patch(pathOf(pod), [{ op: 'remove', path: '/spec/schedulingGates' }]), policy);
  });
  test.each(['containers', 'initContainers'])('it changes no image of %s', async (list) => {
    const pod = await madePod(GATED);
    const patch = [{ op: 'replace' as const, path: `/spec/${list}/0/image`, value: 'evil' }];
    expectRefused(await own.patch(pathOf(pod), patch), policy);
  });
  test.each<[string, unknown]>([
    ['tolerations/-', { operator: 'Exists' }],
    ['nodeSelector', { a: 'b' }],
    ['activeDeadlineSeconds', 1],
    [
      'affinity',
      {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
          },
        },
      },
    ],
  ])('it changes nothing else that the API server would take: %s', async (field, value) => {
    const pod = await madePod(GATED);
    const patch = [{ op: 'add' as const, path: `/spec/${field}`, value }];
    expectRefused(await own.patch(pathOf(pod), patch), policy);
    expectPassed(await admin.patch(pathOf(pod), patch));
  });
  test('it adds no ephemeral container', async () => {
    const pod = await madePod({});
    const body = {
      ...pod,
      spec: { ...(pod.spec as object), ephemeralContainers: [{ name: 'debug', image: 'evil' }] },
    };
    expectRefused(await own.update(pathOf(pod), body as KubeObject, 'ephemeralcontainers'), policy);
  });
  test.each<[string, unknown]>([
    ['labels', { a: 'b' }],
    ['finalizers', ['example.com/stay']],
    ['ownerReferences', [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'y' }]],
  ])('it changes no %s, whether there were some or not', async (field, value) => {
    for (const pod of [await madePod(GATED), await madePod({ gates: [names.HIT_GATE] })]) {
      expectRefused(await own.merge(pathOf(pod), { metadata: { [field]: value } }), policy);
    }
    const owned = await madePod({ labels: { a: 'b' } });
    expectRefused(await own.merge(pathOf(owned), { metadata: { labels: null } }), policy);
  });
  test('it notes its decision, on pods with and without annotations, and takes it back', async () => {
    for (const pod of [await madePod(GATED), await madePod({ gates: [names.HIT_GATE] })]) {
      expectPassed(await own.merge(pathOf(pod), { metadata: { annotations: DECISION } }));
      const none = { [names.DECISION_ANNOTATION]: null, [names.REASON_ANNOTATION]: null };
      expectPassed(await own.merge(pathOf(pod), { metadata: { annotations: none } }));
    }
  });
  test.each(['a', 'workflows.argoproj.io/node-id', names.KEY_ANNOTATION])(
    'it changes no other annotation: %s',
    async (key) => {
      const pod = await madePod({ annotations: { a: 'b', ...STEP_ANNOTATIONS } });
      expectRefused(await own.merge(pathOf(pod), { metadata: { annotations: { [key]: 'x' } } }), policy);
      expectRefused(await own.merge(pathOf(pod), { metadata: { annotations: { [key]: null } } }), policy);
      const bare = await madePod({});
      expectRefused(await own.merge(pathOf(bare), { metadata: { annotations: { [key]: 'x' } } }), policy);
    },
  );
});

describe("the server's own account and the status of pods", () => {
  const policy = 'stepmemo-own-pod-status';
  const succeed = [
    { op: 'replace' as const, path: '/status/phase', value: 'Succeeded' },
    {
      op: 'add' as const,
      path: '/status/containerStatuses',
      value: [
        {
          name: 'main',
          image: 'none',
          imageID: '',
          ready: false,
          restartCount: 0,
          state: {
            terminated: {
              exitCode: 0,
              reason: 'Completed',
              startedAt: '2026-01-01T00:00:00Z',
              finishedAt: '2026-01-01T00:00:00Z',
            },
          },
        },
      ],
    },
  ];

  test.each([[names.HIT_GATE], [names.MISS_GATE]])('it ends a pod that %s holds', async (gate) => {
    const pod = await madePod({ ...GATED, gates: [gate] });
    const test = [{ op: 'test' as const, path: '/spec/schedulingGates/0/name', value: gate }];
    expectPassed(await own.patch(pathOf(pod), [...test, ...succeed], 'status'));
  });
  test('it ends a pod that has its sidecar', async () => {
    const pod = await madePod({ containers: ['main', names.CAPTURE_CONTAINER] });
    expectPassed(await own.patch(pathOf(pod), succeed, 'status'));
  });
  test.each<[string, PodParts]>([
    ['without labels, annotations, gates and init containers', {}],
    ['of a step that is not held', { labels: STEP_LABELS, annotations: { ...STEP_ANNOTATIONS, ...DECISION } }],
    ['held by somebody else', { gates: ['example.com/queue'] }],
  ])('it ends no pod %s', async (_, parts) => {
    const pod = await madePod(parts);
    expectRefused(await own.patch(pathOf(pod), succeed, 'status'), policy);
  });
  test.each<[string, unknown]>([
    ['labels', { 'workflows.argoproj.io/completed': 'true' }],
    ['annotations', DECISION],
    ['finalizers', ['example.com/stay']],
  ])('it changes no %s by way of the status', async (field, value) => {
    for (const parts of [GATED, { gates: [names.HIT_GATE] }]) {
      const pod = await madePod(parts);
      const patch = [{ op: 'add' as const, path: `/metadata/${field}`, value }];
      const result = await own.patch(pathOf(pod), [...patch, ...succeed], 'status');
      const now = must(await admin.get(pathOf(pod)));
      // What the API server drops by itself needs no refusal.
      if (result.ok) expect(now.metadata).toMatchObject(pod.metadata ?? {});
      else expectRefused(result, policy);
    }
  });
  test.each([
    ['podIP', '/status/podIP', '10.0.0.1'],
    ['podIPs', '/status/podIPs', [{ ip: '10.0.0.1' }]],
    ['hostIP', '/status/hostIP', '10.0.0.1'],
  ])('it writes no address: %s', async (_, path, value) => {
    const pod = await madePod(GATED);
    expectRefused(await own.patch(pathOf(pod), [{ op: 'add', path, value }], 'status'), policy);
  });
  test('others write the status of any pod, as the kubelet does', async () => {
    expectPassed(await admin.patch(pathOf(await madePod({})), succeed, 'status'));
    expectPassed(await admin.patch(pathOf(await madePod(GATED)), succeed, 'status'));
  });
});

describe("the server's own account and the deletion of pods", () => {
  const policy = 'stepmemo-own-pod-deletes';

  test('a pod with its gate, by UID', async () => {
    const pod = await madePod(GATED);
    expectPassed(await own.remove(pathOf(pod), { uid: pod.metadata?.uid ?? '' }));
  });
  test.each<[string, PodParts]>([
    ['without labels, annotations, gates and init containers', {}],
    ['of a step that runs', { labels: STEP_LABELS, annotations: STEP_ANNOTATIONS }],
    ['held by somebody else', { labels: STEP_LABELS, gates: ['example.com/queue'] }],
  ])('no pod %s', async (_, parts) => {
    expectRefused(await own.remove(pathOf(await madePod(parts))), policy);
  });
  test.each([{}, { labels: STEP_LABELS }, GATED])('no pod that has ended: %j', async (parts) => {
    const pod = await madePod(parts);
    must(await admin.patch(pathOf(pod), [{ op: 'replace', path: '/status/phase', value: 'Succeeded' }], 'status'));
    expectRefused(await own.remove(pathOf(pod)), policy);
  });
});

describe("the server's own account and ConfigMaps", () => {
  const policy = 'stepmemo-own-configmaps';
  const CACHE = { 'workflows.argoproj.io/configmap-type': 'Cache' };
  const configMaps = RESOURCES.configMaps;
  const create = (kube: TestKube, parts: { labels?: Record<string, string>; data?: Record<string, string> }) => {
    const { data, ...metadata } = parts;
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `cm-${counter++}`, ...metadata }, data };
    return kube.create({ resource: configMaps, namespace }, body as KubeObject);
  };
  const path = (object: KubeObject) => pathOf(object, configMaps);
  const entry = [{ op: 'add' as const, path: '/data', value: { k: 'v' } }];

  test('it creates caches, and nothing without the label', async () => {
    expectPassed(await create(own, { labels: CACHE, data: { k: 'v' } }));
    expectPassed(await create(own, { labels: CACHE }));
    expectRefused(await create(own, { data: { k: 'v' } }), policy);
    expectRefused(await create(own, { labels: { a: 'b' } }), policy);
    expectRefused(await create(own, { labels: { 'workflows.argoproj.io/configmap-type': 'Parameter' } }), policy);
  });
  test('it writes into caches, and into nothing without the label', async () => {
    expectPassed(await own.patch(path(must(await create(tenant, { labels: CACHE }))), entry));
    expectRefused(await own.patch(path(must(await create(tenant, {}))), entry), policy);
    expectRefused(await own.patch(path(must(await create(tenant, { labels: { a: 'b' } }))), entry), policy);
  });
  test('it makes no ConfigMap of others a cache, and takes no label away', async () => {
    const theirs = must(await create(tenant, { data: { a: 'b' } }));
    expectRefused(await own.merge(path(theirs), { metadata: { labels: CACHE }, data: { k: 'v' } }), policy);
    const labelled = must(await create(tenant, { labels: { a: 'b' } }));
    expectRefused(await own.merge(path(labelled), { metadata: { labels: CACHE } }), policy);
    const cache = must(await create(tenant, { labels: { ...CACHE, a: 'b' } }));
    expectRefused(await own.merge(path(cache), { metadata: { labels: { a: null } } }), policy);
    expectRefused(await own.merge(path(cache), { metadata: { labels: null } }), policy);
  });
  test('it gives none an owner or a finalizer', async () => {
    const cache = must(await create(tenant, { labels: CACHE }));
    expectRefused(await own.merge(path(cache), { metadata: { finalizers: ['example.com/stay'] } }), policy);
    const owner = [{ apiVersion: 'v1', kind: 'Pod', name: 'x', uid: 'y' }];
    expectRefused(await own.merge(path(cache), { metadata: { ownerReferences: owner } }), policy);
  });
  test('it deletes none', async () => {
    expectRefused(await own.remove(path(must(await create(tenant, { labels: CACHE })))), policy);
    expectRefused(await own.removeAll({ resource: configMaps, namespace }), policy);
  });
  test('others do with their ConfigMaps as they like', async () => {
    const cache = must(await create(tenant, { labels: CACHE, data: { k: 'v' } }));
    expectPassed(await tenant.merge(path(cache), { metadata: { labels: null } }));
    expectPassed(await tenant.remove(path(cache)));
  });
});

describe("the server's own account and task results", () => {
  const policy = 'stepmemo-own-task-results';

  test('it writes marked ones alone', async () => {
    expectPassed(await createResult(own, { annotations: { [MARK]: 'uid-1' }, outputs: OUTPUTS }));
    expectRefused(await createResult(own, { outputs: OUTPUTS }), policy);
    expectRefused(await createResult(own, { annotations: { other: 'x' } }), policy);
  });
  test('it makes one that exists its own by marking it', async () => {
    const theirs = must(await createResult(tenant, { outputs: OUTPUTS }));
    expectRefused(await own.merge(resultPath(theirs), { outputs: {} }), policy);
    expectPassed(await own.merge(resultPath(theirs), { metadata: { annotations: { [MARK]: 'uid-1' } }, outputs: {} }));
    expectPassed(await own.remove(resultPath(theirs)));
  });
  test('it deletes marked ones alone', async () => {
    expectPassed(await own.remove(resultPath(await markedResult())));
    expectRefused(await own.remove(resultPath(must(await createResult(tenant, { outputs: OUTPUTS })))), policy);
  });
});

test('the policies and their bindings are those that the server looks for', async () => {
  const part = { labelSelector: 'app.kubernetes.io/part-of=stepmemo' };
  for (const resource of [RESOURCES.admissionPolicies, RESOURCES.admissionPolicyBindings]) {
    const found = must(await own.list({ resource }, part)).map((object) => object.metadata?.name);
    // Two more only warn, and nothing rests on them.
    expect(found.sort()).toEqual([...names.POLICY_NAMES, 'stepmemo-memoize-left', 'stepmemo-silent'].sort());
  }
  expect(OWN_ACCOUNT).toBe('system:serviceaccount:stepmemo:stepmemo');
});
