import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { createLog } from '../../src/base/log.ts';
import type { KubeCommandDeps } from '../../src/cli/cluster/kube-command.ts';
import { runLs, runPurge, runShow } from '../../src/cli/commands/caches.ts';
import { runExplain } from '../../src/cli/commands/explain.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { createEventRecorder } from '../../src/telemetry/events.ts';
import { createNamespace, kubeAs, kubeAsController, must, type TestKube, waitFor } from './harness.ts';

/*
 * The rights of the server's account, as shipped: that it has those it needs, that it has no others, and that each of
 * them says why it is there.
 */

interface Rule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const RBAC_FILE = new URL('../../manifests/base/rbac.yaml', import.meta.url);

let namespace: string;
let own: TestKube;
let admin: TestKube;

beforeAll(async () => {
  namespace = await createNamespace();
  [own, admin] = await Promise.all([kubeAs('stepmemo'), kubeAs('admin')]);
});

/** What the API server says that the account may do in a namespace, but for what an account without any binding may. */
async function rightsIn(where: string): Promise<string[]> {
  const everybodys = lines(await rulesOf(await kubeAs({ namespace: 'default', account: 'default' }), where));
  return lines(await rulesOf(own, where)).filter((line) => !everybodys.includes(line));
}

async function rulesOf(kube: TestKube, where: string): Promise<Rule[]> {
  const review = await kube.require('POST', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectRulesReview',
    spec: { namespace: where },
  });
  return (review.status as { resourceRules: Rule[] }).resourceRules;
}

async function shipped(kind: 'Role' | 'ClusterRole'): Promise<Rule[]> {
  const documents = parseAllDocuments(await readFile(RBAC_FILE, 'utf8')).map((document) => document.toJS());
  return documents.find((document) => document.kind === kind)?.rules ?? [];
}

/** One line for each right, so that two lists can be compared. */
function lines(rules: readonly Rule[]): string[] {
  return rules
    .flatMap(({ apiGroups = [], resources = [], resourceNames = ['*'], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((name) => verbs.map((verb) => `${verb} ${group}/${resource} ${name}`)),
        ),
      ),
    )
    .sort();
}

test('elsewhere it has the rights of the ClusterRole and no others', async () => {
  expect(await rightsIn(namespace)).toEqual(lines(await shipped('ClusterRole')));
});

test('in its own namespace it has those of the Role besides', async () => {
  const expected = lines([...(await shipped('ClusterRole')), ...(await shipped('Role'))]);
  expect(await rightsIn('stepmemo')).toEqual(expected);
});

test('no right is a wildcard, escalates, or reaches into other pods', async () => {
  for (const line of lines([...(await shipped('ClusterRole')), ...(await shipped('Role'))])) {
    expect(line).not.toMatch(/^\*|\/\* |^(escalate|bind|impersonate|deletecollection|update) /);
    expect(line).not.toMatch(/pods\/(exec|attach|portforward|ephemeralcontainers|binding)|serviceaccounts/);
  }
});

test('each right says why it is there', async () => {
  const text = (await readFile(RBAC_FILE, 'utf8')).split('\n');
  const rules = text.flatMap((line, index) => (line.startsWith('  - apiGroups:') ? [index] : []));
  expect(rules.length).toBeGreaterThan(10);
  for (const index of rules) expect(text[index - 1]).toMatch(/^ {2}# /);
});

test('docs/rbac.md lists each right, and no other', async () => {
  const docs = await readFile(new URL('../../docs/rbac.md', import.meta.url), 'utf8');
  const rows = [...docs.matchAll(/^\| `([^`]*)` +\| ([^|]+) \| ((?:cluster|own namespace)[^|]*) \|/gm)];
  const inDocs = rows.flatMap(([, resource = '', verbs = '', scope = '']) =>
    verbs.split(',').map((verb) => `${verb.trim()} ${resource} ${scope.trim()}`),
  );
  const inManifests = async (kind: 'Role' | 'ClusterRole', scope: string) =>
    (await shipped(kind)).flatMap(({ apiGroups = [], resources = [], resourceNames, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          verbs.map((verb) => {
            const name = group === '' ? resource : `${resource}.${group}`;
            return `${verb} ${name} ${scope}${resourceNames === undefined ? '' : `, \`${resourceNames.join('`, `')}\``}`;
          }),
        ),
      ),
    );
  const expected = [...(await inManifests('ClusterRole', 'cluster')), ...(await inManifests('Role', 'own namespace'))];
  expect(inDocs.sort()).toEqual(expected.sort());
});

describe('limits that RBAC can draw', () => {
  const webhooks = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

  test('a Secret of another namespace, or another of its own, is not read', async () => {
    const secret = { resource: RESOURCES.secrets, namespace, name: 'stepmemo-ca' };
    expect(await own.get(secret)).toMatchObject({ status: 403 });
    expect(await own.get({ ...secret, namespace: 'stepmemo', name: 'other' })).toMatchObject({ status: 403 });
    expect(await own.list({ resource: RESOURCES.secrets, namespace: 'stepmemo' })).toMatchObject({ status: 403 });
    expect(await own.create({ resource: RESOURCES.secrets, namespace }, { metadata: { name: 'x' } })).toMatchObject({
      status: 403,
    });
  });
  test('of webhook configurations its own alone are read, watched by name and written', async () => {
    expect(await own.request('GET', `${webhooks}?fieldSelector=metadata.name%3Dstepmemo`)).toMatchObject({
      status: 200,
    });
    expect(await own.request('GET', webhooks)).toMatchObject({ status: 403 });
    expect(await own.request('GET', `${webhooks}/other`)).toMatchObject({ status: 403 });
    expect(await own.request('POST', webhooks, {})).toMatchObject({ status: 403 });
    expect(await own.request('DELETE', `${webhooks}/stepmemo`)).toMatchObject({ status: 403 });
  });
  test('the policies that hold it are read, and not written', async () => {
    const policies = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
    expect(await own.request('GET', policies)).toMatchObject({ status: 200 });
    expect(await own.request('DELETE', `${policies}/stepmemo-own-pods`)).toMatchObject({ status: 403 });
    const patch = [{ op: 'replace' as const, path: '/spec/failurePolicy', value: 'Ignore' }];
    const path = { resource: RESOURCES.admissionPolicies, name: 'stepmemo-own-pods' };
    expect(await own.patch(path, patch)).toMatchObject({ status: 403 });
  });
  test('Workflows are read by name, never listed, and never changed', async () => {
    const workflows = RESOURCES.workflows;
    const body = {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Workflow',
      metadata: { name: 'wf' },
      spec: { entrypoint: 'main', templates: [{ name: 'main', container: { image: 'none' } }] },
    } as KubeObject;
    must(await admin.create({ resource: workflows, namespace }, body));
    const path = { resource: workflows, namespace, name: 'wf' };
    expect(await own.get(path)).toMatchObject({ ok: true });
    expect(await own.list({ resource: workflows, namespace })).toMatchObject({ status: 403 });
    expect(await own.patch(path, [])).toMatchObject({ status: 403 });
    expect(await own.remove(path)).toMatchObject({ status: 403 });
  });
});

test("the workflow controller's shipped roles hold no write on ConfigMaps, and it needs none", async () => {
  const controller = await kubeAsController();
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cache' } };
  expect(await controller.create({ resource: RESOURCES.configMaps, namespace }, body)).toMatchObject({ status: 403 });
});

test('many Events that say the same are one that counts', async () => {
  const record = createEventRecorder({ kube: own, log: createLog('fatal'), reportingInstance: 'test', flushMs: 20 });
  const regarding = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', namespace, name: 'many', uid: 'u' };
  for (let i = 0; i < 50; i += 1)
    record({ regarding, type: 'Warning', reason: 'key-invalid', message: `pod p-${i}: too long` });
  const counted = await waitFor(
    async () => {
      const events = must(await admin.list({ resource: RESOURCES.events, namespace }));
      const about = events.filter((event) => (event.regarding as { name?: string }).name === 'many');
      return about.some(({ series }) => series !== undefined) ? about : undefined;
    },
    { what: 'the Event that counts' },
  );
  expect(counted).toHaveLength(11);
  expect(counted.find(({ series }) => series !== undefined)).toMatchObject({
    reason: 'KeyInvalid',
    series: { count: 40 },
  });
});

describe('users of kubectl stepmemo', () => {
  const account = 'reader';
  let reader: TestKube;

  /** A new account with one of the shipped roles, in this namespace alone. */
  async function bind(name: string, role: string): Promise<TestKube> {
    must(
      await admin.create(
        { resource: { group: 'rbac.authorization.k8s.io', version: 'v1', resource: 'rolebindings' }, namespace },
        {
          metadata: { name: `${name}-${role}` },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
          subjects: [{ kind: 'ServiceAccount', name, namespace }],
        } as KubeObject,
      ),
    );
    return kubeAs({ namespace, account: name });
  }

  const run = async (kube: TestKube, command: (deps: KubeCommandDeps) => Promise<number>) => {
    const lines: string[] = [];
    const print = (text: string) => void lines.push(text);
    return { code: await command({ kube, out: { print, printError: print } }), text: lines.join('\n') };
  };

  beforeAll(async () => {
    const accounts = { resource: { group: '', version: 'v1', resource: 'serviceaccounts' }, namespace };
    must(await admin.create(accounts, { metadata: { name: account } }));
    reader = await bind(account, 'stepmemo-view');
    const labels = { 'workflows.argoproj.io/configmap-type': 'Cache' };
    const entry = {
      nodeID: 'n',
      outputs: {},
      creationTimestamp: '2026-01-01T00:00:00Z',
      lastHitTimestamp: '2026-01-01T00:00:00Z',
    };
    must(
      await admin.create(
        { resource: RESOURCES.configMaps, namespace },
        { metadata: { name: 'cache', labels }, data: { one: JSON.stringify(entry) } },
      ),
    );
    must(
      await admin.create(
        { resource: RESOURCES.workflows, namespace },
        { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', metadata: { name: 'explained' }, spec: {} },
      ),
    );
  });

  test('the roles join those that every cluster has', async () => {
    const read = async (name: string) => {
      const path = { resource: { group: 'rbac.authorization.k8s.io', version: 'v1', resource: 'clusterroles' }, name };
      const labels = must(await admin.get(path)).metadata?.labels ?? {};
      return Object.keys(labels)
        .filter((label) => label.includes('aggregate-to-'))
        .sort();
    };
    const to = (role: string) => `rbac.authorization.k8s.io/aggregate-to-${role}`;
    expect(await read('stepmemo-view')).toEqual([to('admin'), to('edit'), to('view')]);
    expect(await read('stepmemo-edit')).toEqual([to('admin'), to('edit')]);
  });

  test('may look with stepmemo-view, and not purge', async () => {
    const ls = await run(reader, (deps) => runLs({ namespace, output: 'name' }, deps));
    expect(ls).toEqual({ code: 0, text: 'configmap/cache' });
    const show = await run(reader, (deps) => runShow({ cache: 'cache', namespace, output: 'name' }, deps));
    expect(show).toEqual({ code: 0, text: 'one' });
    const explain = await run(reader, (deps) =>
      runExplain({ what: 'workflow/explained', namespace, output: 'text' }, deps),
    );
    expect(explain.code).toBe(0);
    expect(explain.text).not.toContain('cannot be');
    const purge = await run(reader, (deps) => runPurge({ cache: 'cache', all: true, namespace, yes: true }, deps));
    expect(purge).toEqual({ code: 1, text: expect.stringContaining('Run this with an account that may.') });
  });

  test('may purge with stepmemo-edit beside it', async () => {
    const editor = await bind(account, 'stepmemo-edit');
    const purge = await run(editor, (deps) =>
      runPurge({ cache: 'cache', key: 'one', all: false, namespace, yes: true }, deps),
    );
    expect(purge).toEqual({ code: 0, text: expect.stringContaining('1 entry removed') });
  });
});
