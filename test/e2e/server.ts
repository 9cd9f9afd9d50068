import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import { admin, kubectl } from './cluster.ts';

/*
 * What tests do to the server: take it away, bring it back, give it other settings for a while.
 */
const DEPLOYMENT = { resource: RESOURCES.deployments, namespace: 'stepmemo', name: 'stepmemo' };

export async function scaleServer(replicas: number): Promise<void> {
  await kubectl('scale', 'deployment/stepmemo', '-n', 'stepmemo', `--replicas=${replicas}`);
  if (replicas > 0) return untilServerReady();
  await waitFor(async () => (await serverPods()).length === 0, { what: 'the server to be gone', deadlineMs: 60_000 });
}

export async function untilServerReady(): Promise<void> {
  await kubectl('rollout', 'status', 'deployment/stepmemo', '-n', 'stepmemo', '--timeout=120s');
  // One that goes answers until it is gone, to an API server that keeps its connection.
  await waitFor(async () => (await serverPods()).every(({ metadata }) => metadata?.deletionTimestamp === undefined), {
    what: 'old replicas to be gone',
    deadlineMs: 60_000,
  });
}

export async function serverPods(): Promise<readonly KubeObject[]> {
  const kube = await admin();
  const where = { resource: RESOURCES.pods, namespace: 'stepmemo' };
  return must(await kube.list(where, { labelSelector: 'app.kubernetes.io/name=stepmemo' }));
}

/** Runs `work` with the server's environment changed, and puts it back as it was. */
export async function withServerEnv(env: Readonly<Record<string, string>>, work: () => Promise<void>): Promise<void> {
  const kube = await admin();
  const before = must(await kube.get(DEPLOYMENT));
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  await kubectl('set', 'env', 'deployment/stepmemo', '-n', 'stepmemo', ...settings);
  try {
    await untilServerReady();
    await work();
  } finally {
    const template = (before.spec as { template: unknown }).template;
    await kube.patch(DEPLOYMENT, [{ op: 'replace', path: '/spec/template', value: template }]);
    await untilServerReady();
  }
}

/** Takes the lease away, so that no replica completes anything, until `work` has been done. */
export async function whileNobodyLeads(work: () => Promise<void>, ownNamespace = 'stepmemo'): Promise<void> {
  const kube = await admin();
  const lease = { resource: RESOURCES.leases, namespace: ownNamespace, name: 'stepmemo' };
  const renewTime = new Date(Date.now() + 3_600_000).toISOString().replace('Z', '000Z');
  const spec = { holderIdentity: 'nobody', leaseDurationSeconds: 3600, renewTime };
  must(await kube.merge(lease, { spec }));
  await waitFor(async () => !(await hasLeader(ownNamespace)), { what: 'the leader to step down', deadlineMs: 30_000 });
  try {
    await work();
  } finally {
    must(await kube.remove(lease));
  }
}

/** Every replica says on its metrics page whether it leads. */
async function hasLeader(namespace: string): Promise<boolean> {
  const kube = await admin();
  const pods = must(await kube.list({ resource: RESOURCES.pods, namespace }));
  const pages = await Promise.all(
    pods.map(({ metadata }) =>
      kube.request('GET', `/api/v1/namespaces/${namespace}/pods/${metadata?.name}:8080/proxy/metrics`),
    ),
  );
  return pages.some(({ body }) => /^stepmemo_leader 1$/m.test(String(body.message)));
}
