import { ENABLED_LABEL } from '../../base/names.ts';
import { type KubeApi, type KubeFailure, type KubeObject, RESOURCES } from '../../kube/types.ts';
import { restoreMemoize } from '../../workflow/restore-memoize.ts';
import { listGatedPods, removeResult } from '../cluster/gated-pods.ts';
import {
  describeFailure,
  fail,
  formatTable,
  type KubeCommandDeps,
  nameObject,
  sleepOf,
} from '../cluster/kube-command.ts';
import { changeStored } from '../cluster/stored-objects.ts';
import {
  type Doomed,
  describePlan,
  findLeftoverResults,
  Lost,
  must,
  planUninstall,
  type UninstallPlan,
  type UninstallScope,
} from '../cluster/uninstall-plan.ts';
import { EXIT_OK, EXIT_UNDONE } from '../output.ts';
import { isServerRunning, releaseAll } from './release.ts';

export interface UninstallOptions extends UninstallScope {
  /** Apply; without it, list what would be done (dry run). */
  readonly yes: boolean;
  /** How long to wait for the server to end the pods that it holds back, and then for it to stop, in milliseconds. */
  readonly waitMs: number;
}

const POLL_MS = 250;

/**
 * `stepmemo uninstall`: takes stepmemo out of a cluster and leaves that as it was. The order matters: webhooks and
 * the policy that moves memoize first, so that no new pod is held back and nothing is moved again; then the gated pods, ended by the server while it runs, released when it has stopped;
 * then memoize moves back into stored templates; then everything else goes, the namespace last. Where another program owns
 * the objects, `--prepare` does all of it but the last step.
 */
export async function runUninstall(options: UninstallOptions, deps: KubeCommandDeps): Promise<number> {
  const { out } = deps;
  try {
    const plan = await planUninstall(options, deps.kube);
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
      `${error.message} Fix that and run it again: completed steps are not repeated.`,
      EXIT_UNDONE,
    );
  }
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

async function carryOut(plan: UninstallPlan, options: UninstallOptions, deps: KubeCommandDeps): Promise<number> {
  const { kube, out } = deps;
  out.print('');
  await removeAll(plan.interceptors, kube, out);
  const arePodsFree = await freePods(plan, options, deps);
  const areTemplatesBack = await restoreTemplates(plan.templates, deps);
  for (const result of await findLeftoverResults(kube)) {
    if (wasDeleted(nameObject(result), await removeResult(kube, result))) out.print(`deleted ${nameObject(result)}`);
  }
  if (!arePodsFree || !areTemplatesBack) {
    return fail(out, 'uninstall', 'the rest of stepmemo stays until that is fixed; then run it again.', EXIT_UNDONE);
  }
  await removeAll(plan.caches, kube, out);
  if (options.prepare) {
    out.print('Nothing depends on stepmemo any more. Delete its objects with what made them (helm uninstall, say).');
    return EXIT_OK;
  }
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
async function freePods(plan: UninstallPlan, options: UninstallOptions, deps: KubeCommandDeps): Promise<boolean> {
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
