import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import type { PolicyContext } from '../../src/policy/context.ts';
import { findFindings } from '../../src/policy/find-findings.ts';
import { RULE_NAMES, RULES, type Rule } from '../../src/policy/rules.ts';
import { CASES, type Case } from '../unit/policy/cases.ts';
import { context as contextOf, STEP } from '../unit/policy/support.ts';
import { createNamespace, kubeAs, kubeAsController, type ServerHandle, startServer, type TestKube } from './harness.ts';
import { type Answer, urlOf } from './test-kube.ts';

/*
 * The policy through a real API server: what the rules find in an object is what its author is told, for every rule,
 * each kind and each place that memoize may stand in. The unit tests say what the rules find; here the same cases are
 * sent, as dry runs, and the answer is held against that.
 */

const KINDS = {
  Workflow: RESOURCES.workflows,
  WorkflowTemplate: RESOURCES.workflowTemplates,
  ClusterWorkflowTemplate: RESOURCES.clusterWorkflowTemplates,
  CronWorkflow: RESOURCES.cronWorkflows,
} as const;
type Kind = keyof typeof KINDS;
const VERSION = '4.0.5';

let admin: TestKube;
let managed: string;
let native: string;

beforeAll(async () => {
  admin = await kubeAs('admin');
  managed = await createNamespace({ prefix: 'managed' });
  native = await createNamespace({ prefix: 'native', annotations: { 'stepmemo.io/memoize': 'native' } });
  for (const namespace of [managed, native]) await makeUnlabeled(namespace, 'my-cache');
});

/** A ConfigMap with data and without label, which is no cache. */
async function makeUnlabeled(namespace: string, name: string): Promise<void> {
  await admin.require('POST', urlOf(RESOURCES.configMaps, { namespace }), { metadata: { name }, data: { a: 'b' } });
}

// ---- the cases

/** Where the template of a case may be put, below the WorkflowSpec; undefined where it cannot. */
const PLACES: Readonly<Record<string, (template: JsonObject) => JsonObject | undefined>> = {
  templates: (template) => ({ templates: [template] }),
  'inline in steps': (template) => ({
    templates: [{ name: 'outer', steps: [[{ name: 'a', inline: unnamed(template) }]] }],
  }),
  'inline in a DAG': (template) => ({
    templates: [{ name: 'outer', dag: { tasks: [{ name: 'a', inline: unnamed(template) }] } }],
  }),
  templateDefaults: ({ memoize, metadata, ...rest }) =>
    memoize === undefined && metadata === undefined
      ? undefined
      : { templateDefaults: { memoize, metadata }, templates: [rest] },
};

function unnamed({ name: _, ...rest }: JsonObject): JsonObject {
  return rest;
}

function objectOf(kind: Kind, one: Case, place: string, namespace: string): KubeObject | undefined {
  const { more = [], ...spec } = (one.spec ?? {}) as { more?: JsonObject[]; templateDefaults?: JsonObject };
  const placed = PLACES[place]?.(one.template) as
    | { templates: JsonObject[]; templateDefaults?: JsonObject }
    | undefined;
  if (placed === undefined) return undefined;
  const defaults =
    placed.templateDefaults === undefined
      ? {}
      : { templateDefaults: { ...spec.templateDefaults, ...placed.templateDefaults } };
  const templates = [...placed.templates, ...more];
  const whole = { entrypoint: templates.length > 0 ? 'outer' : '', ...spec, ...defaults, templates };
  const isCluster = kind === 'ClusterWorkflowTemplate';
  return JSON.parse(
    JSON.stringify({
      apiVersion: 'argoproj.io/v1alpha1',
      kind,
      metadata: {
        name: 'judged',
        ...(!isCluster && { namespace }),
        ...(isCluster && namespace === managed && { labels: { 'stepmemo.io/enabled': 'true' } }),
      },
      spec: kind === 'CronWorkflow' ? { schedules: ['0 0 * * *'], workflowSpec: whole } : whole,
    }),
  );
}

/** What the pure rules find, with the cluster of this test around them. */
function expectedFindings(object: KubeObject, namespace: string, one: Case) {
  const changes: Partial<PolicyContext> = {
    mode: namespace === native ? 'native' : 'managed',
    namespace: object.kind === 'ClusterWorkflowTemplate' ? undefined : namespace,
    argoVersion: one.context?.argoVersion ?? { major: 4, minor: 0, patch: 5 },
    areTemplatesStored: true,
    cacheLabel: (where, name) => (name === 'my-cache' && where !== 'argo' ? 'unlabeled' : 'absent'),
  };
  return findFindings(object, contextOf(changes));
}

async function submit(object: KubeObject, namespace: string): Promise<Answer> {
  const kind = object.kind as Kind;
  const where = kind === 'ClusterWorkflowTemplate' ? {} : { namespace };
  return admin.request('POST', `${urlOf(KINDS[kind], where)}?dryRun=All`, object);
}

const OTHER_CACHE = { ...STEP, memoize: { ...STEP.memoize, cache: { configMap: { name: 'other' } } } };

/** The cases of a rule that a server of this version can be asked; cases without ConfigMaps get a cache that is absent. */
function casesOf(rule: Rule, version: string): readonly Case[] {
  return (CASES[rule] ?? []).filter((one) => {
    const { argoVersion = { major: 4, minor: 0, patch: 5 } } = one.context ?? {};
    const text =
      argoVersion === 'unknown' ? 'unknown' : `${argoVersion.major}.${argoVersion.minor}.${argoVersion.patch}`;
    return text === version && one.context?.settings === undefined;
  });
}

const seen = new Map<string, Set<string>>();

async function judgeCase(kind: Kind, place: string, rule: Rule, one: Case): Promise<void> {
  const namespace = one.context?.mode === 'native' ? native : managed;
  const object = objectOf(kind, one, place, namespace);
  if (object === undefined) return;
  const answer = await submit(object, namespace);
  const findings = expectedFindings(object, namespace, one).filter((finding) => !isPruned(finding, answer));
  const denials = findings.filter(({ severity }) => severity === 'deny');
  const what = `${rule}: ${one.says}: ${JSON.stringify(answer.body)}`;
  // The CRDs of Argo refuse some objects by themselves (a number for a text, a missing name).
  if (answer.status === 422) return;
  const told = answer.status === 403 ? String(answer.body.message) : '';
  const outcome = denials.length > 0 ? 403 : 201;
  expect(answer.status, what).toBe(outcome);
  for (const { path, rule: found } of denials) expect(lineOf(told, path, found), what).not.toBe('');
  const warnings = outcome === 201 ? findings.filter(({ severity }) => severity === 'warn') : [];
  for (const { path, message } of warnings)
    expect(answer.warnings.join('\n'), what).toContain(`${path}: ${message}`.slice(0, 120));
  note(
    kind,
    rule,
    findings.some((finding) => finding.rule === rule),
  );
}

/** The rules about members that no schema of Argo has. */
const ABOUT_UNKNOWN_MEMBERS: readonly Rule[] = ['member-unknown', 'memoize-misplaced'];

/**
 * Whether the API server took the member away before any webhook saw it, as the full CRDs of Argo have it do.
 * It then says so itself, in a warning of its own.
 */
function isPruned({ rule }: { rule: Rule }, { warnings }: Answer): boolean {
  return ABOUT_UNKNOWN_MEMBERS.includes(rule) && warnings.some((warning) => warning.startsWith('unknown field "'));
}

/** The line of a denial about this rule and path. */
function lineOf(told: string, path: string, rule: string): string {
  return told.split('\n').find((line) => line.startsWith(`- ${path}: `) && line.includes(`[${rule}`)) ?? '';
}

function note(kind: Kind, rule: Rule, isFound: boolean): void {
  const id = `${kind} ${rule}`;
  seen.set(id, (seen.get(id) ?? new Set()).add(isFound ? 'found' : 'passed'));
}

describe.each([VERSION, '3.4.17', 'unknown'])('with Argo %s', (version) => {
  let server: ServerHandle;
  beforeAll(async () => {
    server = await startServer({ config: version === 'unknown' ? {} : { policy: policyWith(version) } });
  });
  afterAll(() => server.stop());

  describe.each(Object.keys(KINDS) as Kind[])('a %s', (kind) => {
    it.each(Object.keys(PLACES))('is judged at %s as the rules say', async (place) => {
      for (const rule of RULE_NAMES) for (const one of casesOf(rule, version)) await judgeCase(kind, place, rule, one);
    });
  });
});

function policyWith(argoVersion: string, more: object = {}) {
  return { argoVersion, lookupDeadlineMs: 5000, lookupLimit: 50, rules: {}, namespaces: {}, ...more };
}

describe('the cases together', () => {
  const aboutOthers = ['entry-invalid', 'cache-label-removed', 'duplicate-key'];
  // A cluster-scoped object has no namespace in which stepmemo would look, and off is off.
  const silent = (kind: Kind, rule: Rule) =>
    RULES[rule].severity === 'off' || (kind === 'ClusterWorkflowTemplate' && rule === 'cache-unlabeled');

  it.each(Object.keys(KINDS) as Kind[])('had every rule find and pass a %s', (kind) => {
    for (const rule of RULE_NAMES) {
      if (aboutOthers.includes(rule) || silent(kind, rule)) continue;
      // Such a memoize is refused by the CRDs wherever they look at it; inline they do not.
      expect([...(seen.get(`${kind} ${rule}`) ?? [])].sort(), `${kind} ${rule}`).toEqual(['found', 'passed']);
    }
  });
});

// ---- what runs, and who may do what

describe('what is stored already', () => {
  const bad = (name: string, namespace: string) => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { name, namespace },
    spec: { entrypoint: 'step', templates: [{ ...OTHER_CACHE, memoize: { ...OTHER_CACHE.memoize, maxAge: '1d' } }] },
  });
  let server: ServerHandle;
  let namespace: string;
  const path = (name: string) => ({ resource: RESOURCES.workflows, namespace, name });

  beforeAll(async () => {
    namespace = await createNamespace({ prefix: 'stored' });
    server = await startServer({ config: { policy: policyWith(VERSION, { rules: { 'max-age-invalid': 'off' } }) } });
    for (const name of ['running', 'dying'])
      await admin.require('POST', urlOf(RESOURCES.workflows, { namespace }), bad(name, namespace));
    await admin.require('POST', urlOf(RESOURCES.workflows, { namespace }), {
      ...bad('held', namespace),
      metadata: { name: 'held', namespace, finalizers: ['example.com/hold'] },
    });
    await server.stop();
    server = await startServer({ config: { policy: policyWith(VERSION) } });
  });
  afterAll(() => server.stop());

  it('is what a stricter policy would refuse', async () => {
    expect((await admin.request('POST', urlOf(RESOURCES.workflows, { namespace }), bad('new', namespace))).status).toBe(
      403,
    );
  });

  it.each([
    ['suspended', { spec: { suspend: true } }],
    ['resumed', { spec: { suspend: null } }],
    ['stopped', { spec: { shutdown: 'Stop' } }],
    ['terminated', { spec: { shutdown: 'Terminate' } }],
    ['labelled', { metadata: { labels: { 'workflows.argoproj.io/completed': 'false' } } }],
    ['given a status', { status: { phase: 'Running' } }],
    ['given another priority', { spec: { priority: 5 } }],
  ])('can be %s by anybody who may', async (_, patch) => {
    const answer = await admin.merge(path('running'), patch);
    expect(answer).toMatchObject({ ok: true });
  });

  it('can be updated whole by the workflow controller, whatever it writes', async () => {
    const controller = await kubeAsController();
    const stored = await controller.get(path('running'));
    if (!stored.ok) throw new Error(stored.message);
    const spec = stored.value.spec as { templates: JsonObject[] };
    const templates = [
      ...spec.templates,
      {
        name: 'more',
        container: { image: 'x' },
        memoize: { key: '', maxAge: '2d', cache: { configMap: { name: 'A' } } },
      },
    ];
    const written = await controller.update(path('running'), {
      ...stored.value,
      spec: { ...spec, templates },
      status: { phase: 'Running' },
    });
    expect(written).toMatchObject({ ok: true });
  });

  it('is refused a new fault, and only that is told', async () => {
    const stored = await admin.get(path('dying'));
    if (!stored.ok) throw new Error(stored.message);
    const spec = stored.value.spec as { templates: JsonObject[] };
    const added = { ...OTHER_CACHE, name: 'added', memoize: { ...OTHER_CACHE.memoize, maxAge: '3d' } };
    const written = await admin.update(path('dying'), {
      ...stored.value,
      spec: { ...spec, templates: [...spec.templates, added] },
    });
    expect(written).toMatchObject({ ok: false, status: 403 });
    expect(written.ok ? '' : written.message).toContain('spec.templates[1].memoize.maxAge: "3d"');
    expect(written.ok ? '' : written.message).not.toContain('"1d"');
  });

  it('can be deleted, and let go of its finalizers', async () => {
    expect(await admin.remove(path('dying'))).toMatchObject({ ok: true });
    expect(await admin.remove(path('held'))).toMatchObject({ ok: true });
    expect(await admin.merge(path('held'), { metadata: { finalizers: null } })).toMatchObject({ ok: true });
    expect(await admin.get(path('held'))).toMatchObject({ ok: false, status: 404 });
  });

  it('is judged by the severities of its namespace', async () => {
    const lax = await createNamespace({ prefix: 'lax' });
    await server.stop();
    server = await startServer({
      config: { policy: policyWith(VERSION, { namespaces: { [lax]: { 'max-age-invalid': 'warn' } } }) },
    });
    const answer = await admin.request('POST', urlOf(RESOURCES.workflows, { namespace: lax }), bad('new', lax));
    expect(answer.status).toBe(201);
    expect(answer.warnings.join()).toContain('spec.templates[0].memoize.maxAge: "1d" is no duration');
    expect((await admin.request('POST', urlOf(RESOURCES.workflows, { namespace }), bad('new', namespace))).status).toBe(
      403,
    );
  });
});

describe('templates that a Workflow names', () => {
  let server: ServerHandle;
  let namespace: string;
  const caller = (spec: JsonObject): KubeObject => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { name: 'caller', namespace },
    spec: { entrypoint: 'main', ...spec },
  });
  const library = (kind: Kind, name: string): KubeObject => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind,
    metadata: { name, ...(kind === 'WorkflowTemplate' && { namespace }) },
    spec: { entrypoint: 'step', templates: [{ ...OTHER_CACHE, outputs: undefined }] },
  });

  beforeAll(async () => {
    namespace = await createNamespace({ prefix: 'named' });
    server = await startServer({ config: { policy: policyWith(VERSION) } });
    await admin.require('POST', urlOf(RESOURCES.workflowTemplates, { namespace }), library('WorkflowTemplate', 'lib'));
    await admin.require(
      'POST',
      urlOf(RESOURCES.clusterWorkflowTemplates),
      library('ClusterWorkflowTemplate', 'policy-lib'),
    );
    await server.stop();
    server = await startServer({ config: { policy: policyWith('3.4.17') } });
  });
  afterAll(async () => {
    await admin.remove({ resource: RESOURCES.clusterWorkflowTemplates, name: 'policy-lib' });
    await server.stop();
  });

  const steps = (templateRef: JsonObject) => ({ templates: [{ name: 'main', steps: [[{ name: 'a', templateRef }]] }] });
  it.each([
    [
      'templateRef',
      steps({ name: 'lib', template: 'step' }),
      'spec.templates[0].steps[0][0].templateRef: WorkflowTemplate "lib", spec.templates[0].memoize: ',
    ],
    [
      'clusterScope',
      steps({ name: 'policy-lib', template: 'step', clusterScope: true }),
      'spec.templates[0].steps[0][0].templateRef: ClusterWorkflowTemplate "policy-lib", spec.templates[0].memoize: ',
    ],
    [
      'workflowTemplateRef',
      { workflowTemplateRef: { name: 'lib' } },
      'spec.workflowTemplateRef: WorkflowTemplate "lib", spec.templates[0].memoize: ',
    ],
  ])('by %s are judged with it', async (_, spec, told) => {
    const answer = await submit(caller(spec), namespace);
    expect(answer.status).toBe(403);
    expect(String(answer.body.message)).toContain(told);
    expect(String(answer.body.message)).toContain('[outputless-before-3.5]');
  });

  it('and that are not there are not held against it', async () => {
    expect((await submit(caller(steps({ name: 'none', template: 'step' })), namespace)).status).toBe(201);
  });
});

describe('the version of Argo', () => {
  const controllerPod = (tag: string) => ({
    metadata: { name: 'workflow-controller', labels: { app: 'workflow-controller' } },
    spec: { containers: [{ name: 'workflow-controller', image: `quay.io/argoproj/workflow-controller:${tag}` }] },
  });
  const outputless: KubeObject = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { name: 'judged' },
    spec: { entrypoint: 'step', templates: [{ ...OTHER_CACHE, outputs: undefined }] },
  };
  let server: ServerHandle;
  afterAll(async () => {
    await admin.request('DELETE', urlOf(RESOURCES.pods, { namespace: 'argo', name: 'workflow-controller' }), {
      gracePeriodSeconds: 0,
    });
    await server.stop();
  });

  it('is read from the running workflow-controller', async () => {
    await admin.request(
      'POST',
      urlOf({ group: '', version: 'v1', resource: 'serviceaccounts' }, { namespace: 'argo' }),
      { metadata: { name: 'default' } },
    );
    await admin.require('POST', urlOf(RESOURCES.pods, { namespace: 'argo' }), controllerPod('v3.4.17'));
    server = await startServer();
    const answer = await submit(outputless, managed);
    expect(answer.status).toBe(403);
    expect(String(answer.body.message)).toContain('Argo 3.4.17 does not memoize such steps');
  });
});

// ---- caches

describe('a ConfigMap', () => {
  const CACHE = { 'workflows.argoproj.io/configmap-type': 'Cache' };
  const ENTRY =
    '{"nodeID":"n","outputs":null,"creationTimestamp":"2026-01-31T12:00:00Z","lastHitTimestamp":"2026-01-31T12:00:00Z"}';
  let server: ServerHandle;
  let namespace: string;
  const url = () => urlOf(RESOURCES.configMaps, { namespace });
  const path = (name: string) => ({ resource: RESOURCES.configMaps, namespace, name });
  const create = (kube: TestKube, name: string, labels: JsonObject, data: JsonObject) =>
    kube.request('POST', url(), { metadata: { name, labels }, data });

  beforeAll(async () => {
    namespace = await createNamespace({ prefix: 'caches' });
    server = await startServer({ config: { policy: policyWith(VERSION) } });
  });
  afterAll(() => server.stop());

  it('that is a cache holds entries alone', async () => {
    const answer = await create(admin, 'bad', CACHE, { good: ENTRY, bad: '{"nodeID":5}' });
    expect(answer.status).toBe(403);
    expect(String(answer.body.message)).toContain(
      'data.bad: The value under the key "bad" is no cache entry: nodeID is not as Argo writes it.',
    );
    expect((await create(admin, 'good', CACHE, { good: ENTRY })).status).toBe(201);
    expect(await admin.merge(path('good'), { data: { more: 'text' } })).toMatchObject({ ok: false, status: 403 });
    expect(await admin.merge(path('good'), { data: { more: ENTRY } })).toMatchObject({ ok: true });
  });

  it('that is a cache with entries keeps its label; the way to empty it works', async () => {
    await create(admin, 'full', CACHE, { a: ENTRY });
    const removal = { metadata: { labels: { 'workflows.argoproj.io/configmap-type': null } } };
    const refused = await admin.merge(path('full'), removal);
    expect(refused).toMatchObject({ ok: false, status: 403 });
    const patch = /--type=json -p '(.*)'/.exec(refused.ok ? '' : refused.message)?.[1] ?? '';
    expect(await admin.patch(path('full'), JSON.parse(patch))).toMatchObject({ ok: true });
    expect(await admin.merge(path('full'), removal)).toMatchObject({ ok: true });
  });

  it('is written by Argo as it does: bare, then labelled with an entry; and by stepmemo', async () => {
    const controller = await kubeAsController();
    await admin.require('POST', `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`, {
      metadata: { name: 'saver' },
      rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'create', 'update'] }],
    });
    await admin.require('POST', `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
      metadata: { name: 'saver' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'saver' },
      subjects: [{ kind: 'ServiceAccount', name: 'argo', namespace: 'argo' }],
    });
    expect((await create(controller, 'argo-made', {}, {})).status).toBe(201);
    const stored = await controller.get(path('argo-made'));
    if (!stored.ok) throw new Error(stored.message);
    const labelled = {
      ...stored.value,
      metadata: { ...stored.value.metadata, labels: CACHE },
      data: { k: 'not for us to judge' },
    };
    expect(await controller.update(path('argo-made'), labelled)).toMatchObject({ ok: true });
    const own = await kubeAs('stepmemo');
    expect((await create(own, 'own', CACHE, { k: ENTRY })).status).toBe(201);
  });

  it('that is no cache is never sent, nor is one that Argo or stepmemo writes', async () => {
    const count = async () => {
      const text = await (await fetch(`${server.metricsUrl}/metrics`)).text();
      const lines = text
        .split('\n')
        .filter(
          (line) =>
            line.startsWith('stepmemo_admission_duration_seconds_count') && line.includes('/validate/configmaps'),
        );
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    const before = await count();
    await create(admin, 'plain', {}, { a: 'b' });
    await admin.merge(path('plain'), { data: { a: 'c' } });
    await create(admin, 'parameters', { 'workflows.argoproj.io/configmap-type': 'Parameter' }, { a: 'b' });
    await create(await kubeAs('stepmemo'), 'own-2', CACHE, { k: ENTRY });
    expect(await count()).toBe(before);
    await create(admin, 'cache', CACHE, { a: ENTRY });
    expect(await count()).toBe(before + 1);
  });
});
