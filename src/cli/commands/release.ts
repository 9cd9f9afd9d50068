import { type KubeApi, type KubeObject, RESOURCES } from '../../kube/types.ts';
import { fateOf, listGatedPods, listMarkedResults, releasePod } from '../cluster/gated-pods.ts';
import {
  describeFailure,
  fail,
  formatTable,
  holderOf,
  type KubeCommandDeps,
  nameObject,
} from '../cluster/kube-command.ts';
import { EXIT_OK, EXIT_UNDONE, EXIT_USAGE } from '../output.ts';

export interface ReleaseOptions {
  readonly namespace?: string | undefined;
  readonly allNamespaces: boolean;
  /** Release the pods; without it, list them (dry run). */
  readonly yes: boolean;
  /** Do it even though stepmemo runs, which ends gated pods by itself. */
  readonly force: boolean;
  /** Where stepmemo runs, or ran. */
  readonly ownNamespace: string;
}

/**
 * `stepmemo release`: takes our gates off all pods that carry one, so that they run. For the case that stepmemo went
 * away without its uninstall; while it runs, it ends every gated pod by itself, and the two would meet.
 */
export async function runRelease(options: ReleaseOptions, deps: KubeCommandDeps): Promise<number> {
  const { kube, out } = deps;
  if ((options.namespace === undefined) === !options.allNamespaces) {
    return fail(out, 'release', 'say either -n NAMESPACE or --all-namespaces.', EXIT_USAGE);
  }
  const pods = await listGatedPods(kube, options.namespace);
  if (!pods.ok) return fail(out, 'release', describeFailure('pods cannot be listed', pods), EXIT_UNDONE);
  if (pods.value.length === 0) {
    out.print('No pod carries a gate of stepmemo.');
    return EXIT_OK;
  }
  out.print(formatTable(['NAMESPACE', 'POD', 'THEN IT IS'], pods.value.map(rowOf)));
  const isRunning = await isServerRunning(kube, options.ownNamespace);
  const running = `stepmemo runs in namespace ${options.ownNamespace} and ends gated pods by itself`;
  if (!options.yes) {
    if (isRunning) out.printError(`${running}: wait a moment, or look into its log if they stay.`);
    out.print(`\nDry run: ${countPods(pods.value.length)} would be released. Run it again with --yes.`);
    return EXIT_OK;
  }
  if (isRunning && !options.force) {
    return fail(out, 'release', `${running}. Stop it first, or say --force.`, EXIT_UNDONE);
  }
  return (await releaseAll(pods.value, deps, options.namespace)) ? EXIT_OK : EXIT_UNDONE;
}

function rowOf(pod: KubeObject): string[] {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  return [namespace, name, fateOf(pod) === 'delete' ? 'deleted (its step has ended)' : 'run'];
}

function countPods(count: number): string {
  return count === 1 ? '1 pod' : `${count} pods`;
}

/**
 * Whether the server is at work, as far as the caller may see: a replica is ready, or the lease of the one that ends
 * gated pods is being renewed.
 */
export async function isServerRunning(kube: KubeApi, namespace: string): Promise<boolean> {
  const deployment = await kube.get({ resource: RESOURCES.deployments, namespace, name: 'stepmemo' });
  const status = deployment.ok ? (deployment.value.status as { readyReplicas?: number } | undefined) : undefined;
  if ((status?.readyReplicas ?? 0) > 0) return true;
  const lease = await kube.get({ resource: RESOURCES.leases, namespace, name: 'stepmemo' });
  return lease.ok && holderOf(lease.value, new Date()) !== undefined;
}

/** Releases all of these pods and says what became of them; false where one could not be released. */
export async function releaseAll(
  pods: readonly KubeObject[],
  { kube, out }: KubeCommandDeps,
  namespace?: string,
): Promise<boolean> {
  const results = await listMarkedResults(kube, namespace);
  if (!results.ok) {
    out.printError(describeFailure('task results cannot be listed, and no pod is released', results));
    return false;
  }
  const outcomes = [];
  for (const pod of pods) {
    const result = await releasePod(kube, pod, results.value);
    outcomes.push(result);
    if (!result.ok) out.printError(describeFailure(`${nameObject(pod)} stays gated`, result.failure));
  }
  const released = outcomes.filter((result) => result.ok && result.outcome === 'released').length;
  const deleted = outcomes.filter((result) => result.ok && result.outcome === 'deleted').length;
  out.print(`${countPods(released)} released, ${deleted} deleted.`);
  return outcomes.every(({ ok }) => ok);
}
