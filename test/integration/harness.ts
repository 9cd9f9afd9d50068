import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, inject } from 'vitest';
import { stringify } from 'yaml';
import { ENABLED_LABEL } from '../../src/base/names.ts';
import type { Config } from '../../src/config/config.ts';
import { type KubeObject, type KubeResult, RESOURCES } from '../../src/kube/types.ts';
import type { ClusterInfo } from './global-setup.ts';
import { connect, type TestKube } from './test-kube.ts';

export type { ClusterInfo } from './global-setup.ts';
export { type Answer, connect, type TestKube, urlOf } from './test-kube.ts';

/*
 * What integration tests stand on. A test file does, say:
 *
 *   const admin = await kubeAs('admin');
 *   const namespace = await createNamespace({ isEnabled: true });
 *   const server = await startServer();
 *   const controller = await kubeAs({ namespace: 'argo', account: 'argo' });   // Argo's shipped roles
 *   const pod = await controller.create({ resource: RESOURCES.pods, namespace }, stepPod);
 *   await waitFor(() => …, { what: 'the pod to be Succeeded' });
 *
 * Namespaces and servers made here are ended when the file is done.
 */

const CONTROLLER_NAMESPACE = 'argo';

/** The cluster that global-setup.ts brought up. */
export function clusterInfo(): ClusterInfo {
  return inject('cluster');
}

// ---- clients

/** Who calls: the cluster's admin, the server's own account, any ServiceAccount, or a person without any right. */
export type Caller =
  | 'admin'
  | 'stepmemo'
  | { namespace: string; account: string }
  | { user: string; groups?: string[] };

/** A client with that caller's own credentials; people are impersonated. */
export async function kubeAs(caller: Caller): Promise<TestKube> {
  const admin = await connect(clusterInfo().adminKubeconfig);
  if (caller === 'admin') return admin;
  if (caller === 'stepmemo') return kubeAs({ namespace: 'stepmemo', account: 'stepmemo' });
  if ('user' in caller) return admin.asUser(caller.user, caller.groups);
  const { token } = await admin.tokenOf(caller.namespace, caller.account);
  return admin.withToken(token);
}

/** The workflow controller's account, with the roles that Argo ships. */
export const kubeAsController = (): Promise<TestKube> => kubeAs({ namespace: CONTROLLER_NAMESPACE, account: 'argo' });

/** The value of a result; throws where the call failed. */
export function must<T>(result: KubeResult<T>): T {
  if (result.ok) return result.value;
  throw new Error(`${result.status} ${result.reason}: ${result.message}`);
}

// ---- conditions

/**
 * Asks again and again until the answer is truthy, and returns it. A condition that throws counts as not met; its last
 * error is part of the message when the deadline has passed.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: { what: string; deadlineMs?: number },
): Promise<NonNullable<T>> {
  const { what, deadlineMs = 15_000 } = options;
  const end = Date.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`waited ${deadlineMs} ms in vain for ${what}; last: ${String(last)}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

// ---- namespaces

let counter = 0;
const namespaces: string[] = [];

/**
 * Makes a namespace with the account `default`, which has the rights that Argo documents for the executor (create and
 * patch task results), and the account `tenant`, which has Kubernetes' `edit` and may do the same with Argo's objects.
 */
export async function createNamespace(
  options: {
    isEnabled?: boolean;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
    prefix?: string;
  } = {},
): Promise<string> {
  const { isEnabled = true, annotations = {}, labels = {}, prefix = 'test' } = options;
  const name = `${prefix}-${process.pid}-${counter++}`;
  const admin = await kubeAs('admin');
  await admin.require('POST', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, annotations, labels: { ...(isEnabled && { [ENABLED_LABEL]: 'true' }), ...labels } },
  });
  namespaces.push(name);
  // There is no controller manager that would make the account.
  for (const account of ['default', 'tenant']) {
    await admin.require('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: account } });
  }
  await grant(admin, name, 'executor', 'default', [
    { apiGroups: ['argoproj.io'], resources: ['workflowtaskresults'], verbs: ['create', 'patch'] },
  ]);
  await grant(admin, name, 'tenant', 'tenant', [
    {
      apiGroups: ['', 'argoproj.io'],
      resources: ['*'],
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection'],
    },
  ]);
  return name;
}

/** A Role and its binding, of one name, for one account of the namespace. */
export async function grant(
  admin: TestKube,
  namespace: string,
  name: string,
  account: string,
  rules: readonly unknown[],
): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  await admin.require('POST', `${rbac}/roles`, { metadata: { name }, rules });
  await admin.require('POST', `${rbac}/rolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
  });
}

/** Deletes what a test may have left in a namespace. The namespace itself stays: nobody here would finalize it. */
export async function sweep(namespace: string): Promise<void> {
  const admin = await kubeAs('admin');
  const kinds = [
    'workflows',
    'workflowTemplates',
    'cronWorkflows',
    'workflowTaskResults',
    'pods',
    'configMaps',
  ] as const;
  for (const kind of kinds) {
    await admin.request('DELETE', collectionUrl(namespace, kind), { gracePeriodSeconds: 0 });
  }
}

function collectionUrl(namespace: string, kind: keyof typeof RESOURCES): string {
  const { group, version, resource } = RESOURCES[kind];
  return `${group === '' ? '/api' : `/apis/${group}`}/${version}/namespaces/${namespace}/${resource}`;
}

// ---- the server

export interface ServerHandle {
  readonly pid: number;
  readonly webhookPort: number;
  readonly capturePort: number;
  readonly metricsPort: number;
  /** Base URL of the plain port, for /healthz, /readyz and /metrics. */
  readonly metricsUrl: string;
  /** Where its log goes, one JSON object a line. */
  readonly logFile: string;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL, as a crash. */
  kill(): Promise<void>;
}

const servers = new Map<number, () => Promise<unknown>>();

/**
 * Starts the real server as a process of its own, `src/main.ts server`, with the token of its own ServiceAccount, on
 * free ports, and waits until it is ready. Unless `isBehindService` is false, the Service's EndpointSlice then points
 * to it alone, so that the API server calls its webhooks.
 */
export async function startServer(
  options: {
    config?: Partial<Config>;
    env?: Record<string, string>;
    isBehindService?: boolean;
    isReadyAwaited?: boolean;
  } = {},
): Promise<ServerHandle> {
  const { config = {}, env = {}, isBehindService = true, isReadyAwaited = true } = options;
  const { serverKubeconfig, scratch, hostAddress } = clusterInfo();
  const [webhookPort = 0, capturePort = 0, metricsPort = 0] = await freePorts(3);
  const name = `server-${process.pid}-${counter++}`;
  const file = join(scratch, `${name}.yaml`);
  await writeFile(
    file,
    stringify({
      kubeconfig: serverKubeconfig,
      webhookPort,
      capturePort,
      metricsPort,
      captureUrl: `https://${hostAddress}:${capturePort}`,
      shutdownGraceMs: 0,
      ...config,
    }),
  );
  const logFile = join(scratch, `${name}.log`);
  const log = createWriteStream(logFile);
  const main = new URL('../../src/main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, 'server', '--config', file], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  const handle = handleOf(child, { webhookPort, capturePort, metricsPort, logFile });
  servers.set(handle.pid, handle.kill);
  if (isReadyAwaited) await waitUntilReady(child, handle);
  if (isBehindService) await pointServiceAt([handle]);
  return handle;
}

function handleOf(
  child: ChildProcess,
  facts: Pick<ServerHandle, 'webhookPort' | 'capturePort' | 'metricsPort' | 'logFile'>,
): ServerHandle {
  const pid = child.pid;
  if (pid === undefined) throw new Error('the server could not be started');
  const exited = once(child, 'exit').then(([code]) => {
    servers.delete(pid);
    return code as number | null;
  });
  const end = (signal: 'SIGTERM' | 'SIGKILL') => {
    child.kill(signal);
    return exited;
  };
  return {
    ...facts,
    pid,
    metricsUrl: `http://127.0.0.1:${facts.metricsPort}`,
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
  };
}

async function waitUntilReady(child: ChildProcess, handle: ServerHandle): Promise<void> {
  let reason = '';
  const isReady = async () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    const answer = await fetch(`${handle.metricsUrl}/readyz`);
    reason = await answer.text();
    return answer.ok;
  };
  try {
    await waitFor(isReady, { what: 'the server to be ready', deadlineMs: 60_000 });
  } catch (cause) {
    throw new Error(`the server is not ready (${reason}); its log: ${handle.logFile}`, { cause });
  }
}

/** Makes the Service lead to these servers, or to none. They have to share their ports, so: to one, as a rule. */
export async function pointServiceAt(
  targets: readonly Pick<ServerHandle, 'webhookPort' | 'capturePort'>[],
  service = 'stepmemo',
): Promise<void> {
  const admin = await kubeAs('admin');
  const [first] = targets;
  const path = `/apis/discovery.k8s.io/v1/namespaces/stepmemo/endpointslices/${service}-host`;
  const endpoints =
    first === undefined ? [] : [{ addresses: [clusterInfo().hostAddress], conditions: { ready: true } }];
  const ports =
    first === undefined
      ? []
      : [
          { name: 'webhooks', port: first.webhookPort, protocol: 'TCP' },
          { name: 'capture', port: first.capturePort, protocol: 'TCP' },
        ];
  await admin.require('PATCH', path, { endpoints, ports }, 'application/merge-patch+json');
  const subsets = first === undefined ? [] : [{ addresses: [{ ip: clusterInfo().hostAddress }], ports }];
  const old = `/api/v1/namespaces/stepmemo/endpoints/${service}`;
  await admin.require('PATCH', old, { subsets }, 'application/merge-patch+json');
}

/** Ports that nobody listens on at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    probes.map(async (probe) => {
      probe.listen(0, '0.0.0.0');
      await once(probe, 'listening');
      return (probe.address() as { port: number }).port;
    }),
  );
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return ports;
}

// ---- the end of a test file

afterAll(async () => {
  await Promise.all([...servers.values()].map((kill) => kill()));
  for (const namespace of namespaces.splice(0)) await sweep(namespace);
});

/** A copy of a stored object without what the API server filled in, to be sent again. */
export function withoutServerFields(object: KubeObject): KubeObject {
  const { uid, resourceVersion, creationTimestamp, managedFields, ...metadata } = (object.metadata ?? {}) as Record<
    string,
    unknown
  >;
  const { status, ...rest } = object;
  return { ...rest, metadata };
}
