/** What is to be taken off a cluster, as found before anything is changed. */
import { COMPLETED_LABEL, WORKFLOW_LABEL } from '../../argo/names.ts';
import { listOwnCaches } from '../../cache/own-caches.ts';
import {
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type ObjectPath,
  RESOURCES,
  type ResourcePath,
} from '../../kube/types.ts';
import { restoreMemoize } from '../../workflow/restore-memoize.ts';
import { listGatedPods, listMarkedResults } from './gated-pods.ts';
import { describeFailure, listOrNone, nameObject } from './kube-command.ts';
import { listClusterTemplates, listTemplates } from './stored-objects.ts';

/** All objects of the manifests carry it. */
const PART_OF = 'app.kubernetes.io/part-of=stepmemo';

const rbac = (resource: string): ResourcePath => ({ group: 'rbac.authorization.k8s.io', version: 'v1', resource });

/** What would move memoize again that has moved back, and hold back new pods. */
const INTERCEPTORS = [
  RESOURCES.mutatingWebhookConfigurations,
  RESOURCES.validatingWebhookConfigurations,
  RESOURCES.mutatingAdmissionPolicyBindings,
  RESOURCES.mutatingAdmissionPolicies,
];
/** Bindings before what they bind, so that nothing is half in force. */
const CLUSTER_OBJECTS = [
  RESOURCES.admissionPolicyBindings,
  RESOURCES.admissionPolicies,
  rbac('clusterrolebindings'),
  rbac('clusterroles'),
  rbac('rolebindings'),
  rbac('roles'),
];
/** What stepmemo has in its own namespace, where that is not its own to delete. */
const NAMESPACED_OBJECTS = [
  RESOURCES.deployments,
  { group: 'policy', version: 'v1', resource: 'poddisruptionbudgets' },
  { group: 'networking.k8s.io', version: 'v1', resource: 'networkpolicies' },
  { group: '', version: 'v1', resource: 'services' },
  { group: '', version: 'v1', resource: 'serviceaccounts' },
  RESOURCES.configMaps,
  RESOURCES.secrets,
  RESOURCES.leases,
] as const;

/** One object that goes, and where it is. */
export interface Doomed {
  readonly path: ObjectPath;
  readonly object: KubeObject;
}

/** All that an uninstall will touch. */
export interface UninstallPlan {
  /** Webhooks and mutating admission policies. */
  readonly interceptors: readonly Doomed[];
  readonly gatedPods: readonly KubeObject[];
  readonly templates: readonly KubeObject[];
  readonly results: readonly KubeObject[];
  readonly caches: readonly Doomed[];
  readonly clusterObjects: readonly Doomed[];
  readonly deployment: readonly Doomed[];
  /** The namespace itself, or what stepmemo has in it where somebody else made it. */
  readonly ownObjects: readonly Doomed[];
}

/** A call that failed where an uninstall cannot go on. */
export class Lost extends Error {}

export function must<T>(what: string, result: { ok: true; value: T } | KubeFailure): T {
  if (result.ok) return result.value;
  throw new Lost(describeFailure(what, result));
}

export interface UninstallScope {
  /** Where stepmemo runs. */
  readonly ownNamespace: string;
  /** Delete the caches that stepmemo has written too. */
  readonly caches: boolean;
  /** Whether its objects are another's to delete: Helm's, Argo CD's or Flux's. */
  readonly prepare: boolean;
}

export async function planUninstall(options: UninstallScope, kube: KubeApi): Promise<UninstallPlan> {
  const { ownNamespace: namespace, prepare } = options;
  const deployments = await findOwn(kube, RESOURCES.deployments, namespace);
  return {
    interceptors: await findAll(kube, INTERCEPTORS),
    gatedPods: must('pods cannot be listed', await listGatedPods(kube)),
    templates: await findMovedTemplates(kube),
    results: await findLeftoverResults(kube),
    caches: options.caches ? must('caches cannot be listed', await listOwnCaches(kube)) : [],
    clusterObjects: prepare ? [] : await findAll(kube, CLUSTER_OBJECTS, namespace),
    deployment: deployments,
    ownObjects: prepare ? [] : await findOwnObjects(kube, namespace),
  };
}

async function findOwn(kube: KubeApi, resource: ResourcePath, namespace?: string): Promise<Doomed[]> {
  const what = `${resource.resource} cannot be listed`;
  const found = must(what, await listOrNone(kube, { resource, namespace }, { labelSelector: PART_OF }));
  return found.map((object) => ({ object, path: pathOf(resource, object) }));
}

/** Of several kinds, in all namespaces; what lies in our own namespace goes with that. */
async function findAll(kube: KubeApi, resources: readonly ResourcePath[], except?: string): Promise<Doomed[]> {
  const found: Doomed[] = [];
  for (const resource of resources) found.push(...(await findOwn(kube, resource)));
  return found.filter(({ path }) => path.namespace === undefined || path.namespace !== except);
}

function pathOf(resource: ResourcePath, { metadata }: KubeObject): ObjectPath {
  const { namespace, name = '' } = metadata ?? {};
  return { resource, name, ...(namespace !== undefined && { namespace }) };
}

async function findMovedTemplates(kube: KubeApi): Promise<readonly KubeObject[]> {
  const templates = must('templates cannot be listed', await listTemplates(kube));
  const clusterTemplates = must('ClusterWorkflowTemplates cannot be listed', await listClusterTemplates(kube));
  return [...templates, ...clusterTemplates].filter((object) => restoreMemoize(object).patch.length > 0);
}

/**
 * Task results that stepmemo made and that will not be read any more: their pod runs for itself by now, or their workflow
 * has ended. One whose pod is Succeeded holds the outputs of a hit; Argo deletes it with the others of its workflow.
 */
export async function findLeftoverResults(kube: KubeApi): Promise<readonly KubeObject[]> {
  const marked = must('task results cannot be listed', await listMarkedResults(kube));
  if (marked.size === 0) return [];
  const pods = must('pods cannot be listed', await kube.list({ resource: RESOURCES.pods }));
  const phases = new Map(pods.map((pod) => [pod.metadata?.uid, phaseOf(pod)]));
  const leftover: KubeObject[] = [];
  for (const [uid, result] of marked) {
    const phase = phases.get(uid);
    if (phase === undefined ? await hasEnded(kube, result) : phase !== 'Succeeded') leftover.push(result);
  }
  return leftover;
}

function phaseOf(pod: KubeObject): string {
  return (pod.status as { phase?: string } | undefined)?.phase ?? '';
}

async function hasEnded(kube: KubeApi, result: KubeObject): Promise<boolean> {
  const { namespace = '', labels } = result.metadata ?? {};
  const workflow = await kube.get({ resource: RESOURCES.workflows, namespace, name: labels?.[WORKFLOW_LABEL] ?? '' });
  if (!workflow.ok) return workflow.status === 404;
  return workflow.value.metadata?.labels?.[COMPLETED_LABEL] === 'true';
}

async function findOwnObjects(kube: KubeApi, name: string): Promise<readonly Doomed[]> {
  const namespace = await kube.get({ resource: RESOURCES.namespaces, name });
  if (!namespace.ok && namespace.status === 404) return [];
  const object = must(`namespace ${name} cannot be read`, namespace);
  if (object.metadata?.labels?.['app.kubernetes.io/part-of'] === 'stepmemo') {
    return [{ object: { kind: 'Namespace', ...object }, path: { resource: RESOURCES.namespaces, name } }];
  }
  const found: Doomed[] = [];
  for (const resource of NAMESPACED_OBJECTS) found.push(...(await findOwn(kube, resource, name)));
  found.push(...(await findNamed(kube, RESOURCES.secrets, name, 'stepmemo-ca')));
  found.push(...(await findNamed(kube, RESOURCES.leases, name, 'stepmemo')));
  for (const resource of [rbac('rolebindings'), rbac('roles')]) found.push(...(await findOwn(kube, resource, name)));
  return found;
}

/** What the server made itself, where it has no label. */
async function findNamed(kube: KubeApi, resource: ResourcePath, namespace: string, name: string): Promise<Doomed[]> {
  const path = { resource, namespace, name };
  const found = await kube.get(path);
  if (!found.ok && found.status === 404) return [];
  const object = must(`${resource.resource} ${name} cannot be read`, found);
  return object.metadata?.labels?.['app.kubernetes.io/part-of'] === 'stepmemo' ? [] : [{ object, path }];
}

/** A row for each object: what is done, and with which. */
export function describePlan(plan: UninstallPlan): string[][] {
  const rows = (step: string, objects: readonly KubeObject[]) => objects.map((object) => [step, nameObject(object)]);
  const objectsOf = (doomed: readonly Doomed[]) => doomed.map(({ object }) => object);
  return [
    ...rows('delete', objectsOf(plan.interceptors)),
    ...rows('end or release', plan.gatedPods),
    ...rows('move memoize back', plan.templates),
    ...rows('delete', plan.results),
    ...rows('delete', objectsOf(plan.caches)),
    ...rows('delete', objectsOf(plan.clusterObjects)),
    ...rows('delete', objectsOf(plan.ownObjects)),
    ...(plan.ownObjects.length === 0 ? rows('delete', objectsOf(plan.deployment)) : []),
  ];
}
