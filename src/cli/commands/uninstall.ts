import { COMPLETED_LABEL, WORKFLOW_LABEL } from '../../argo/names.ts';
import { ENABLED_LABEL } from '../../base/names.ts';
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
import { listGatedPods, listMarkedResults, removeResult } from '../cluster/gated-pods.ts';
import {
  describeFailure,
  EXIT_OK,
  EXIT_UNDONE,
  fail,
  formatTable,
  type KubeCommandDeps,
  listOrNone,
  nameObject,
  sleepOf,
} from '../cluster/kube-command.ts';
import { changeStored, listClusterTemplates, listTemplates } from '../cluster/stored-objects.ts';
import { isServerRunning, releaseAll } from './release.ts';

export interface UninstallOptions {
  /** Apply; without it, list what would be done (dry run). */
  readonly yes: boolean;
  /** Delete the caches that stepmemo has written too. */
  readonly caches: boolean;
  /** Where stepmemo runs. */
  readonly ownNamespace: string;
  /** How long to wait for the server to end the pods that it holds back, and then for it to stop, in milliseconds. */
  readonly waitMs: number;
}

/** All objects of the manifests carry it. */
const PART_OF = 'app.kubernetes.io/part-of=stepmemo';
const POLL_MS = 250;

const rbac = (resource: string): ResourcePath => ({ group: 'rbac.authorization.k8s.io', version: 'v1', resource });

const WEBHOOKS = [RESOURCES.mutatingWebhookConfigurations, RESOURCES.validatingWebhookConfigurations];
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
interface Doomed {
  readonly path: ObjectPath;
  readonly object: KubeObject;
}

/** All that an uninstall will touch, as found before anything is changed. */
interface Plan {
  readonly webhooks: readonly Doomed[];
  readonly gatedPods: readonly KubeObject[];
  readonly templates: readonly KubeObject[];
  readonly results: readonly KubeObject[];
  readonly caches: readonly Doomed[];
  readonly clusterObjects: readonly Doomed[];
  readonly deployment: readonly Doomed[];
  /** The namespace itself, or what stepmemo has in it where somebody else made it. */
  readonly ownObjects: readonly Doomed[];
}

/** A call that failed where the uninstall cannot go on. */
class Lost extends Error {}

function must<T>(what: string, result: { ok: true; value: T } | KubeFailure): T {
  if (result.ok) return result.value;
  throw new Lost(describeFailure(what, result));
}

/**
 * `stepmemo uninstall`: takes stepmemo out of a cluster and leaves that as it was. The order matters: webhooks first,
 * so that no new pod is held back; then the gated pods, ended by the server while it runs, released when it has stopped;
 * then memoize moves back into stored templates; then everything else goes, the namespace last.
 */
export async function runUninstall(options: UninstallOptions, deps: KubeCommandDeps): Promise<number> {
  const { out } = deps;
  try {
    const plan = await makePlan(options, deps.kube);
    const rows = describePlan(plan);
    if (rows.length === 0) {
      out.print('Nothing of stepmemo is in this cluster.');
      return EXIT_OK;
    }
    out.print(formatTable(['STEP', 'WHAT'], rows));
    await noteWhatStays(options, deps);
    if (!options.yes) {
      out.print('\nDry run: nothing was changed. Run it again with --yes.');
      return EXIT_OK;
    }
    return await carryOut(plan, options, deps);
  } catch (error) {
    if (!(error instanceof Lost)) throw error;
    return fail(
      out,
      'uninstall',
      `${error.message} Mend that and run it again: what is done already stays done.`,
      EXIT_UNDONE,
    );
  }
}

// ---- the plan

async function makePlan(options: UninstallOptions, kube: KubeApi): Promise<Plan> {
  const { ownNamespace: namespace } = options;
  const deployments = await findOwn(kube, RESOURCES.deployments, namespace);
  return {
    webhooks: await findAll(kube, WEBHOOKS),
    gatedPods: must('pods cannot be listed', await listGatedPods(kube)),
    templates: await findMovedTemplates(kube),
    results: await findLeftoverResults(kube),
    caches: options.caches ? must('caches cannot be listed', await listOwnCaches(kube)) : [],
    clusterObjects: await findAll(kube, CLUSTER_OBJECTS, namespace),
    deployment: deployments,
    ownObjects: await findOwnObjects(kube, namespace),
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
 * Task results that stepmemo made and nobody will read any more: their pod runs for itself by now, or their workflow
 * has ended. One whose pod is Succeeded holds the outputs of a hit; Argo deletes it with the others of its workflow.
 */
async function findLeftoverResults(kube: KubeApi): Promise<readonly KubeObject[]> {
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

function describePlan(plan: Plan): string[][] {
  const rows = (step: string, objects: readonly KubeObject[]) => objects.map((object) => [step, nameObject(object)]);
  const objectsOf = (doomed: readonly Doomed[]) => doomed.map(({ object }) => object);
  return [
    ...rows('delete', objectsOf(plan.webhooks)),
    ...rows('end or release', plan.gatedPods),
    ...rows('move memoize back', plan.templates),
    ...rows('delete', plan.results),
    ...rows('delete', objectsOf(plan.caches)),
    ...rows('delete', objectsOf(plan.clusterObjects)),
    ...rows('delete', objectsOf(plan.ownObjects)),
  ];
}

/** What an uninstall leaves, because it is not stepmemo's. */
async function noteWhatStays(options: UninstallOptions, { kube, out }: KubeCommandDeps): Promise<void> {
  if (!options.caches)
    out.print('\nCaches stay: Argo can read them. With --caches those that stepmemo wrote are deleted.');
  const enabled = await kube.list({ resource: RESOURCES.namespaces }, { labelSelector: `${ENABLED_LABEL}=true` });
  if (!enabled.ok || enabled.value.length === 0) return;
  const names = enabled.value.map(({ metadata }) => metadata?.name).join(' ');
  out.print(
    `The opt-in of namespaces is yours and stays. To remove it: kubectl label namespace ${names} ${ENABLED_LABEL}-`,
  );
}

// ---- carrying it out

async function carryOut(plan: Plan, options: UninstallOptions, deps: KubeCommandDeps): Promise<number> {
  const { kube, out } = deps;
  out.print('');
  await removeAll(plan.webhooks, kube, out);
  const arePodsFree = await freePods(plan, options, deps);
  const areTemplatesBack = await restoreTemplates(plan.templates, deps);
  for (const result of await findLeftoverResults(kube)) {
    if (wasDeleted(nameObject(result), await removeResult(kube, result))) out.print(`deleted ${nameObject(result)}`);
  }
  if (!arePodsFree || !areTemplatesBack) {
    return fail(out, 'uninstall', 'the rest of stepmemo stays until that is mended; then run it again.', EXIT_UNDONE);
  }
  await removeAll(plan.caches, kube, out);
  await removeAll(plan.clusterObjects, kube, out);
  await removeAll(plan.ownObjects, kube, out);
  await waitUntilGone(plan.ownObjects, options, deps);
  out.print('stepmemo is out of this cluster.');
  return EXIT_OK;
}

/** Whether it was there to be deleted. A namesake that was made meanwhile is not what was meant. */
function wasDeleted(what: string, result: { ok: true; value: KubeObject } | KubeFailure): boolean {
  if (!result.ok && result.status !== 404 && result.status !== 409) {
    throw new Lost(describeFailure(`${what} cannot be deleted`, result));
  }
  return result.ok;
}

async function removeAll(doomed: readonly Doomed[], kube: KubeApi, out: KubeCommandDeps['out']): Promise<void> {
  for (const { path, object } of doomed) {
    const { uid } = object.metadata ?? {};
    const result = await kube.remove(path, uid === undefined ? {} : { uid });
    if (wasDeleted(nameObject(object), result)) out.print(`deleted ${nameObject(object)}`);
  }
}

/** Lets the running server end the pods that it holds back, stops it, and lets go of those that are left. */
async function freePods(plan: Plan, options: UninstallOptions, deps: KubeCommandDeps): Promise<boolean> {
  const { kube, out } = deps;
  const gated = async () => must('pods cannot be listed', await listGatedPods(kube));
  if (await isServerRunning(kube, options.ownNamespace)) {
    await waitFor(async () => (await gated()).length === 0, options, deps);
  }
  await removeAll(plan.deployment, kube, out);
  // While a replica is at work, the two of us would meet at one pod.
  const servers = { resource: RESOURCES.pods, namespace: options.ownNamespace };
  const selector = { labelSelector: 'app.kubernetes.io/name=stepmemo' };
  const isStopped = async () => must('pods cannot be listed', await kube.list(servers, selector)).length === 0;
  if (!(await waitFor(isStopped, options, deps))) {
    out.printError(`replicas of stepmemo in namespace ${options.ownNamespace} do not stop: look at them with kubectl.`);
    return false;
  }
  const left = await gated();
  return left.length === 0 || (await releaseAll(left, deps));
}

/** False when the time was up. */
async function waitFor(
  condition: () => Promise<boolean>,
  { waitMs }: UninstallOptions,
  deps: KubeCommandDeps,
): Promise<boolean> {
  const sleep = sleepOf(deps);
  for (let waitedMs = 0; !(await condition()); waitedMs += POLL_MS) {
    if (waitedMs >= waitMs) return false;
    await sleep(POLL_MS);
  }
  return true;
}

async function restoreTemplates(templates: readonly KubeObject[], deps: KubeCommandDeps): Promise<boolean> {
  const { out } = deps;
  let areAllBack = true;
  for (const template of templates) {
    const result = await changeStored(deps, template, (current) => restoreMemoize(current).patch);
    if (result.ok) out.print(`memoize moved back in ${nameObject(template)}`);
    else out.printError(describeFailure(`${nameObject(template)} stays as it is`, result.failure));
    areAllBack &&= result.ok;
  }
  return areAllBack;
}

/** A namespace takes its time; whoever installs anew at once would meet the old one. */
async function waitUntilGone(
  doomed: readonly Doomed[],
  options: UninstallOptions,
  deps: KubeCommandDeps,
): Promise<void> {
  for (const { path, object } of doomed) {
    const isGone = await waitFor(async () => !(await deps.kube.get(path)).ok, options, deps);
    if (!isGone) deps.out.printError(`${nameObject(object)} is still being deleted by the cluster.`);
  }
}
