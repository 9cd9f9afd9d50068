import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

async function submit(namespace: string, template: object) {
  const object = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'left-', namespace },
    spec: { entrypoint: 'a', templates: [{ name: 'a', ...template }] },
  };
  const url = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows?dryRun=All`;
  const { status, warnings } = await admin.request('POST', url, object);
  return { status, isWarned: warnings.some((warning) => WARNING.test(warning)) };
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
    expect(await submit(namespaces[namespace], template)).toEqual({ status: 201, isWarned });
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
      expect(await submit(namespaces.managed, template)).toEqual({ status: 201, isWarned: false });
    });
  });
});
