import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RESOURCES } from '../../src/kube/types.ts';
import { createNamespace, kubeAs, startServer, waitFor } from './harness.ts';
import type { TestKube } from './test-kube.ts';

/** What the API server says by itself, whether stepmemo answers or not. */
const WARNING = /memoize is still in a template of this Workflow: stepmemo did not move it/;

let admin: TestKube;
const namespaces: Record<'managed' | 'native' | 'other', string> = { managed: '', native: '', other: '' };

beforeAll(async () => {
  admin = await kubeAs('admin');
  namespaces.managed = await createNamespace();
  namespaces.native = await createNamespace({ annotations: { 'stepmemo.io/memoize': 'native' } });
  namespaces.other = await createNamespace({ isEnabled: false });
  // The API server takes up new policies, and new namespaces, a moment later.
  await waitFor(async () => (await submit(namespaces.managed, container)).isWarned, {
    what: 'the policy to be in force',
  });
});

const MEMOIZE = { key: 'k', maxAge: '1h', cache: { configMap: { name: 'c' } } };
const OUTPUTS = { parameters: [{ name: 'o', valueFrom: { path: '/o' } }] };

async function submit(namespace: string, template: object, metadata: object = {}) {
  const object = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'left-', namespace, ...metadata },
    spec: { entrypoint: 'a', templates: [{ name: 'a', ...template }] },
  };
  const url = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows?dryRun=All`;
  const { status, warnings } = await admin.request('POST', url, object);
  const has = (pattern: RegExp) => warnings.some((warning) => pattern.test(warning));
  return { status, isWarned: has(WARNING), isSilent: has(/stepmemo has been silent since 20.*not cached/) };
}

const container = { memoize: MEMOIZE, outputs: OUTPUTS, container: { image: 'busybox' } };
const script = { memoize: MEMOIZE, outputs: OUTPUTS, script: { image: 'busybox', source: 'true' } };
const annotated = {
  outputs: OUTPUTS,
  container: { image: 'busybox' },
  metadata: { annotations: { 'stepmemo.io/key': 'k', 'stepmemo.io/cache': 'c' } },
};
const suspended = { memoize: MEMOIZE, suspend: {} };

describe('a Workflow that keeps its memoize', () => {
  it.each([
    { what: 'a container', namespace: 'managed', template: container, isWarned: true },
    { what: 'a script', namespace: 'managed', template: script, isWarned: true },
    { what: 'a container in native mode', namespace: 'native', template: container, isWarned: false },
    { what: 'a container where nobody opted in', namespace: 'other', template: container, isWarned: false },
    { what: 'annotations', namespace: 'managed', template: annotated, isWarned: false },
    { what: 'a template without a pod', namespace: 'managed', template: suspended, isWarned: false },
  ] as const)('while stepmemo is away, $what: warned $isWarned', async ({ namespace, template, isWarned }) => {
    expect(await submit(namespaces[namespace], template)).toMatchObject({ status: 201, isWarned });
  });

  describe('is none while stepmemo answers', () => {
    let stop: () => Promise<unknown>;
    beforeAll(async () => {
      const server = await startServer({});
      stop = () => server.stop();
    });
    afterAll(() => stop());

    it.each([
      ['a container', container],
      ['a script', script],
    ])('%s', async (_, template) => {
      expect(await submit(namespaces.managed, template)).toMatchObject({ status: 201, isWarned: false });
    });
  });
});

describe('a Workflow with annotations', () => {
  const path = { resource: RESOURCES.leases, namespace: 'stepmemo', name: 'stepmemo' };

  async function renewed(secondsAgo: number): Promise<void> {
    await admin.remove(path);
    const renewTime = new Date(Date.now() - secondsAgo * 1000).toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: 'somebody', leaseDurationSeconds: 8, renewTime };
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'stepmemo' }, spec };
    await admin.require('POST', '/apis/coordination.k8s.io/v1/namespaces/stepmemo/leases', lease);
  }
  const isSilent = async (namespace: string, template: object, metadata?: object) =>
    (await submit(namespace, template, metadata)).isSilent;

  it('is told that stepmemo is silent once nobody has renewed its Lease for a minute', async () => {
    await renewed(300);
    await waitFor(() => isSilent(namespaces.managed, annotated), { what: 'the policy to see the Lease' });
    expect(await isSilent(namespaces.other, annotated)).toBe(false);
    expect(await isSilent(namespaces.managed, { container: { image: 'busybox' } })).toBe(false);
    // stepmemo has just written these, whatever the API server takes the Lease for.
    const served = { annotations: { 'stepmemo.io/look-ahead-digest': 'd' } };
    const marked = { labels: { 'stepmemo.io/look-ahead-continues': 'true' } };
    expect(await isSilent(namespaces.managed, annotated, served)).toBe(false);
    expect(await isSilent(namespaces.managed, annotated, marked)).toBe(false);
    await renewed(5);
    await waitFor(async () => !(await isSilent(namespaces.managed, annotated)), { what: 'the renewal to be seen' });
  });

  it('is told nothing where stepmemo has never run', async () => {
    await renewed(300);
    await waitFor(() => isSilent(namespaces.managed, annotated), { what: 'the policy to see the Lease' });
    await admin.remove(path);
    await waitFor(async () => !(await isSilent(namespaces.managed, annotated)), { what: 'the Lease to be gone' });
  });
});
