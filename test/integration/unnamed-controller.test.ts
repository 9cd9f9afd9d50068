import { expect, it } from 'vitest';
import { type KubeObject, RESOURCES, type ResourcePath } from '../../src/kube/types.ts';
import { createNamespace, kubeAs, must, startServer, waitFor } from './harness.ts';

/** Argo's Helm chart runs the workflow controller as another account than Argo's manifests do; it is easily not named. */
it('a workflow controller that nobody named is pointed out, and its workflows run on', async () => {
  const admin = await kubeAs('admin');
  const server = await startServer();
  const [home, team] = [await createNamespace({ isEnabled: false }), await createNamespace()];
  const account = 'argo-workflows-workflow-controller';
  const core = (resource: string): ResourcePath => ({ group: '', version: 'v1', resource });
  must(await admin.create({ resource: core('serviceaccounts'), namespace: home }, { metadata: { name: account } }));
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${team}`;
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['create'] }];
  await admin.require('POST', `${rbac}/roles`, { metadata: { name: 'controller' }, rules });
  await admin.require('POST', `${rbac}/rolebindings`, {
    metadata: { name: 'controller' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'controller' },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace: home }],
  });
  const image = 'quay.io/argoproj/workflow-controller:v4.0.5';
  must(
    await admin.create(
      { resource: RESOURCES.pods, namespace: home },
      {
        metadata: { name: 'controller' },
        spec: { serviceAccountName: account, containers: [{ name: 'main', image }] },
      },
    ),
  );
  const controller = await kubeAs({ namespace: home, account });
  const detailsOf = async () => (await fetch(`${server.metricsUrl}/readyz?verbose`)).text();
  const details = await waitFor(
    async () => {
      // The API server learns of a namespace's label a moment later.
      const made = must(await controller.create({ resource: RESOURCES.pods, namespace: team }, stepPod()));
      expect(JSON.stringify(made)).not.toContain('stepmemo.io/');
      const text = await detailsOf();
      return text.includes('[!]') ? text : undefined;
    },
    { what: 'the trouble to be told' },
  );
  expect(details).toBe(
    `[!] a workflow controller runs as system:serviceaccount:${home}:${account}, whose steps are left alone; if it is yours, add it to controllerAccounts\nok\n`,
  );
});

function stepPod(): KubeObject {
  return {
    metadata: {
      generateName: 'step-',
      labels: { 'workflows.argoproj.io/workflow': 'wf' },
      annotations: { 'workflows.argoproj.io/node-id': 'wf-1' },
      ownerReferences: [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'wf', uid: 'u' }],
    },
    spec: { containers: [{ name: 'main', image: 'busybox' }] },
  };
}
