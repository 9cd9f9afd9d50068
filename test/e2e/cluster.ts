import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { NODE_ID_ANNOTATION, WORKFLOW_LABEL } from '../../src/argo/names.ts';
import type { Outputs } from '../../src/argo/outputs.ts';
import { isOlderThan, parseArgoVersion } from '../../src/argo/versions.ts';
import { ENABLED_LABEL, HIT_GATE, KEY_ANNOTATION, LOOK_AHEAD_ANNOTATION } from '../../src/base/names.ts';
import { type KubeObject, RESOURCES, type ResourcePath } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import { connect, type TestKube } from '../integration/test-kube.ts';

/*
 * What e2e tests are written in. They read: given a namespace, when a workflow is submitted and has ended, then its
 * nodes, its pods and the cache say so.
 */

const run = promisify(execFile);
let shared: Promise<TestKube> | undefined;

/** The cluster's admin: submits workflows, and looks. stepmemo itself runs with the shipped RBAC. */
export function admin(): Promise<TestKube> {
  shared ??= connect(inject('e2e').kubeconfig);
  return shared;
}

/** Runs kubectl as the admin and returns what it printed. */
export async function kubectl(...args: readonly string[]): Promise<string> {
  const { kubeconfig, kubectl: program } = inject('e2e');
  const { stdout } = await run(program, ['--kubeconfig', kubeconfig, ...args], { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** Whether the suite runs against an Argo before a minor release, say 3.5. */
export function isArgoOlderThan(major: number, minor: number): boolean {
  const version = parseArgoVersion(inject('e2e').argoVersion);
  if (version === undefined) throw new Error(`ARGO: "${inject('e2e').argoVersion}" is no version such as 4.0.5`);
  return isOlderThan(version, major, minor, 0);
}

let counter = 0;

/**
 * A fresh namespace, opted in unless told otherwise, with what artifact and resource steps need. Hits come by the pods' way unless
 * look-ahead is asked for.
 */
export async function givenNamespace(
  options: {
    isEnabled?: boolean;
    lookAhead?: 'on' | 'off';
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
  } = {},
): Promise<string> {
  const { isEnabled = true, lookAhead = 'off', labels = {} } = options;
  const annotations = { [LOOK_AHEAD_ANNOTATION]: lookAhead, ...options.annotations };
  const kube = await admin();
  // Files run side by side, each in a process of its own.
  const name = `e2e-${process.pid}-${Date.now().toString(36)}-${counter++}`;
  await kube.require('POST', '/api/v1/namespaces', {
    metadata: { name, annotations, labels: { ...(isEnabled && { [ENABLED_LABEL]: 'true' }), ...labels } },
  });
  await kube.require('POST', `/api/v1/namespaces/${name}/secrets`, {
    metadata: { name: 's3-credentials' },
    stringData: { accesskey: 'test-access', secretkey: 'test-secret' },
  });
  await giveAccount(kube, name, 'resource-step', [
    { apiGroups: [''], resources: ['configmaps'], verbs: ['create', 'get'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'patch'] },
  ]);
  await waitFor(async () => (await kube.get({ resource: serviceAccounts, namespace: name, name: 'default' })).ok, {
    what: 'the default account',
  });
  // The server learns of a namespace by its watch; a workflow that is quicker would find it not opted in.
  if (isEnabled) await waitFor(() => isKnown(name), { what: 'stepmemo to see the namespace' });
  return name;
}

const serviceAccounts: ResourcePath = { group: '', version: 'v1', resource: 'serviceaccounts' };

/** A ServiceAccount with a Role of the same name. */
export async function giveAccount(
  kube: TestKube,
  namespace: string,
  name: string,
  rules: readonly object[],
): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  await kube.require('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
  await kube.require('POST', `${rbac}/roles`, { metadata: { name }, rules });
  await kube.require('POST', `${rbac}/rolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  });
}

/** Whether the webhook treats a dry-run workflow of the namespace as one of an enabled namespace. */
async function isKnown(namespace: string): Promise<boolean> {
  const mode = await (await admin()).get({ resource: RESOURCES.namespaces, name: namespace });
  if (must(mode).metadata?.annotations?.['stepmemo.io/memoize'] === 'native') return true;
  const made = await (await admin()).require(
    'POST',
    `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows?dryRun=All`,
    {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Workflow',
      metadata: { generateName: 'probe-' },
      spec: {
        entrypoint: 'a',
        templates: [
          {
            name: 'a',
            memoize: { key: 'k', maxAge: '1s', cache: { configMap: { name: 'c' } } },
            container: { image: 'busybox:local' },
            outputs: { parameters: [{ name: 'o', valueFrom: { path: '/o' } }] },
          },
        ],
      },
    },
  );
  return JSON.stringify(made).includes(KEY_ANNOTATION);
}

/** A node of a workflow's status, the members that tests look at. */
export interface WorkflowNode {
  readonly id: string;
  readonly name: string;
  readonly displayName: string;
  readonly type: string;
  readonly phase: string;
  readonly message?: string;
  readonly hostNodeName?: string;
  readonly templateName?: string;
  readonly templateScope?: string;
  readonly boundaryID?: string;
  readonly children?: readonly string[];
  readonly outboundNodes?: readonly string[];
  readonly inputs?: unknown;
  readonly outputs?: Outputs;
  readonly memoizationStatus?: { readonly hit: boolean };
  readonly startedAt?: string;
  readonly finishedAt?: string;
}

export interface EndedWorkflow {
  readonly name: string;
  readonly namespace: string;
  readonly phase: string;
  readonly message: string;
  readonly nodes: readonly WorkflowNode[];
  /** From startedAt to finishedAt, whole seconds as Argo keeps them. */
  readonly seconds: number;
  readonly object: KubeObject;
}

const RESOURCE_OF: Readonly<Record<string, ResourcePath>> = {
  Workflow: RESOURCES.workflows,
  WorkflowTemplate: RESOURCES.workflowTemplates,
  ClusterWorkflowTemplate: RESOURCES.clusterWorkflowTemplates,
  CronWorkflow: RESOURCES.cronWorkflows,
};

/** Creates what a file of test/e2e/workflows/ holds, templates first, and returns the Workflow's name. */
export async function submitFile(namespace: string, file: string): Promise<string> {
  const text = await readFile(new URL(`workflows/${file}.yaml`, import.meta.url), 'utf8');
  const objects = parseAllDocuments(text).map((document) => document.toJS() as KubeObject);
  let name = '';
  for (const object of objects) name = await submit(namespace, object);
  return name;
}

/** Creates one object of Argo's; a template that is there already stays. */
export async function submit(namespace: string, object: KubeObject): Promise<string> {
  const kube = await admin();
  const resource = RESOURCE_OF[object.kind ?? ''];
  if (resource === undefined) throw new Error(`no such kind: ${object.kind}`);
  const where = resource === RESOURCES.clusterWorkflowTemplates ? { resource } : { resource, namespace };
  const made = await kube.create(where, object);
  if (made.ok) return made.value.metadata?.name ?? '';
  if (made.reason === 'AlreadyExists') return object.metadata?.name ?? '';
  throw new Error(`${object.kind}: ${made.message}`);
}

/** Waits until the workflow is over, whatever came of it. */
export async function untilEnded(namespace: string, name: string, deadlineMs = 180_000): Promise<EndedWorkflow> {
  const kube = await admin();
  return waitFor(
    async () => {
      const object = must(await kube.get({ resource: RESOURCES.workflows, namespace, name }));
      const ended = describeWorkflow(object);
      if (!['Succeeded', 'Failed', 'Error'].includes(ended.phase)) throw new Error(summary(ended));
      return ended;
    },
    { what: `workflow ${name} to end`, deadlineMs },
  );
}

export function describeWorkflow(object: KubeObject): EndedWorkflow {
  const status = (object.status ?? {}) as {
    phase?: string;
    message?: string;
    nodes?: Record<string, WorkflowNode>;
    startedAt?: string;
    finishedAt?: string;
  };
  return {
    name: object.metadata?.name ?? '',
    namespace: object.metadata?.namespace ?? '',
    phase: status.phase ?? '',
    message: status.message ?? '',
    nodes: Object.values(status.nodes ?? {}),
    seconds: (Date.parse(status.finishedAt ?? '') - Date.parse(status.startedAt ?? '')) / 1000,
    object,
  };
}

function summary({ phase, message, nodes }: EndedWorkflow): string {
  const open = nodes
    .filter((node) => node.phase !== 'Succeeded')
    .map((n) => `${n.displayName}: ${n.phase} ${n.message ?? ''}`);
  return `phase ${phase} ${message}; ${open.join(', ')}`;
}

/** The pods of a workflow, those that ask for memoization first seen by their key. */
export async function podsOf(workflow: { namespace: string; name: string }): Promise<readonly KubeObject[]> {
  const kube = await admin();
  const labelSelector = `${WORKFLOW_LABEL}=${workflow.name}`;
  return must(await kube.list({ resource: RESOURCES.pods, namespace: workflow.namespace }, { labelSelector }));
}

/** What became of one memoized step pod. */
export interface Step {
  readonly key: string;
  readonly nodeId: string;
  readonly podName: string;
  readonly decision: string;
  readonly reason: string;
  /** Whether it reached a node, which a hit never does. */
  readonly hasRun: boolean;
  readonly phase: string;
  readonly pod: KubeObject;
}

export async function memoizedSteps(workflow: { namespace: string; name: string }): Promise<readonly Step[]> {
  return (await podsOf(workflow)).map(describeStep).filter(({ key }) => key !== '');
}

export function describeStep(pod: KubeObject): Step {
  const annotations = pod.metadata?.annotations ?? {};
  const spec = pod.spec as { nodeName?: string };
  const status = pod.status as { phase?: string };
  return {
    key: annotations[KEY_ANNOTATION] ?? '',
    nodeId: annotations[NODE_ID_ANNOTATION] ?? '',
    podName: pod.metadata?.name ?? '',
    decision: annotations['stepmemo.io/decision'] ?? '',
    reason: annotations['stepmemo.io/reason'] ?? '',
    hasRun: spec.nodeName !== undefined,
    phase: status.phase ?? '',
    pod,
  };
}

/** Reasons of the Events about an object, by its name. */
export async function eventReasons(namespace: string, name: string): Promise<readonly string[]> {
  const fieldSelector = `regarding.name=${name}`;
  const events = await (await admin()).list({ resource: RESOURCES.events, namespace }, { fieldSelector });
  return must(events).map(({ reason }) => String(reason));
}

/**
 * Writes a task result `forged` for the only step of a workflow, over and over until that has succeeded, and returns how often. Its
 * output parameter is `out`, as `oneStep` has it.
 */
export async function forgeResults(writer: TestKube, { namespace, name }: { namespace: string; name: string }) {
  const kube = await admin();
  const [pod] = await podsOf({ namespace, name });
  const nodeId = pod?.metadata?.annotations?.[NODE_ID_ANNOTATION] ?? '';
  const outputs = { parameters: [{ name: 'out', value: 'forged', valueFrom: { path: '/tmp/out' } }] };
  const forged = { metadata: { labels: { [WORKFLOW_LABEL]: name } }, outputs };
  const where = { resource: RESOURCES.workflowTaskResults, namespace };
  const kind = { apiVersion: 'argoproj.io/v1alpha1', kind: 'WorkflowTaskResult' };
  let written = 0;
  await waitFor(
    async () => {
      const patched = await writer.merge({ ...where, name: nodeId }, forged);
      const made = patched.ok
        ? patched
        : await writer.create(where, { ...kind, ...forged, metadata: { ...forged.metadata, name: nodeId } });
      if (made.ok) written++;
      const { phase } = describeWorkflow(must(await kube.get({ resource: RESOURCES.workflows, namespace, name })));
      return phase === 'Succeeded';
    },
    { what: `workflow ${name} to end`, deadlineMs: 120_000 },
  );
  return written;
}

/** The entry of a key, as `kubectl` would show it; undefined while there is none. */
export async function entryOf(
  namespace: string,
  cache: string,
  dataKey: string,
): Promise<Record<string, unknown> | undefined> {
  const kube = await admin();
  const map = await kube.get({ resource: RESOURCES.configMaps, namespace, name: cache });
  if (!map.ok) return undefined;
  const text = (map.value.data as Record<string, string> | undefined)?.[dataKey];
  return text === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>);
}

/** Waits until a cache holds at least `count` entries. */
export async function untilEntries(namespace: string, cache: string, count: number): Promise<void> {
  const kube = await admin();
  await waitFor(
    async () => {
      const map = must(await kube.get({ resource: RESOURCES.configMaps, namespace, name: cache }));
      return Object.keys((map.data as object | undefined) ?? {}).length >= count;
    },
    { what: `${count} entries in ${cache}`, deadlineMs: 30_000 },
  );
}

/** Waits for the entry of a key, and returns it. */
export function untilEntry(namespace: string, cache: string, key: string): Promise<Record<string, unknown>> {
  return waitFor(() => entryOf(namespace, cache, key), { what: `the entry ${key}`, deadlineMs: 30_000 });
}

/** Held back now: a completed pod keeps the gate in its spec for good. */
export const isHeld = (pod: KubeObject): boolean =>
  (pod.status as { phase?: string }).phase === 'Pending' &&
  ((pod.spec as { schedulingGates?: { name: string }[] }).schedulingGates ?? []).some(({ name }) => name === HIT_GATE);

/** Waits until all pods of these workflows are held for their hits, and each has one. */
export async function untilHeld(namespace: string, names: readonly string[]): Promise<void> {
  const pods = () => Promise.all(names.map((name) => podsOf({ namespace, name })));
  await waitFor(async () => (await pods()).every((ofOne) => ofOne.some(isHeld)), {
    what: 'the pods to be held',
    deadlineMs: 30_000,
  });
}
