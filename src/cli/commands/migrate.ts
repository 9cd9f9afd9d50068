import { ENABLED_LABEL } from '../../base/names.ts';
import { readNamespace } from '../../informers/read-objects.ts';
import { type KubeObject, type KubeResult, RESOURCES } from '../../kube/types.ts';
import { hasOptedIn } from '../../workflow/labels.ts';
import { type MoveResult, moveMemoize } from '../../workflow/move-memoize.ts';
import { describeFailure, fail, formatTable, type KubeCommandDeps, nameObject } from '../cluster/kube-command.ts';
import { changeStored, listClusterTemplates, listTemplates } from '../cluster/stored-objects.ts';
import { EXIT_OK, EXIT_UNDONE, EXIT_USAGE } from '../output.ts';

export interface MigrateClusterOptions {
  readonly namespace?: string | undefined;
  readonly allNamespaces: boolean;
  /** Apply; without it, list what would change (dry run). */
  readonly yes: boolean;
}

/** One stored object and what a move would do to it. */
interface Candidate {
  readonly object: KubeObject;
  readonly move: MoveResult;
}

type Found =
  | { readonly ok: true; readonly objects: readonly KubeObject[] }
  | { readonly ok: false; readonly message: string };

/**
 * `stepmemo migrate --cluster`: moves the memoize of what was stored before its namespace opted in: WorkflowTemplates,
 * CronWorkflows, and ClusterWorkflowTemplates with the opt-in label of their own. Workflows stay as they were admitted.
 * Only namespaces that have opted in, in managed mode: elsewhere a template without memoize would not be memoized at all.
 */
export async function runMigrateCluster(options: MigrateClusterOptions, deps: KubeCommandDeps): Promise<number> {
  const { out } = deps;
  if ((options.namespace === undefined) === !options.allNamespaces) {
    return fail(out, 'migrate', 'say either -n NAMESPACE or --all-namespaces.', EXIT_USAGE);
  }
  const found = await findObjects(options, deps);
  if (!found.ok) return fail(out, 'migrate', found.message, EXIT_UNDONE);
  const candidates = found.objects.map((object): Candidate => ({ object, move: moveMemoize(object) }));
  const changing = candidates.filter(({ move }) => move.patch.length > 0);
  for (const { object, move } of candidates) {
    for (const warning of move.warnings) out.printError(`${nameObject(object)}: ${warning}`);
  }
  if (changing.length === 0) {
    out.print('Nothing to move: no stored template has a memoize that stepmemo could take over.');
    return EXIT_OK;
  }
  out.print(formatTable(['NAMESPACE', 'KIND', 'NAME', 'MOVES'], changing.map(rowOf)));
  if (!options.yes) {
    out.print(`\nDry run: ${countObjects(changing.length)} would change. Run it again with --yes to change them.`);
    return EXIT_OK;
  }
  return changeAll(changing, deps);
}

function rowOf({ object, move }: Candidate): string[] {
  const { namespace = '', name = '' } = object.metadata ?? {};
  return [
    namespace,
    object.kind ?? '',
    name,
    [...move.moved, ...move.copied.map((path) => `${path} (copy)`)].join(', '),
  ];
}

function countObjects(count: number): string {
  return count === 1 ? '1 object' : `${count} objects`;
}

async function changeAll(candidates: readonly Candidate[], deps: KubeCommandDeps): Promise<number> {
  const { out } = deps;
  let changedCount = 0;
  let failedCount = 0;
  for (const { object } of candidates) {
    const result = await changeStored(deps, object, (current) => moveMemoize(current).patch);
    if (!result.ok) {
      failedCount += 1;
      out.printError(describeFailure(`${nameObject(object)} stays as it is`, result.failure));
    } else if (result.outcome === 'changed') changedCount += 1;
  }
  out.print(`\n${countObjects(changedCount)} changed.`);
  return failedCount === 0 ? EXIT_OK : EXIT_UNDONE;
}

// ---- what is looked at

async function findObjects(options: MigrateClusterOptions, deps: KubeCommandDeps): Promise<Found> {
  const inNamespaces =
    options.namespace === undefined ? await findEverywhere(deps) : await findInNamespace(options.namespace, deps.kube);
  if (!inNamespaces.ok) return inNamespaces;
  const cluster = await listClusterTemplates(deps.kube);
  if (!cluster.ok) {
    // Whoever administers one namespace need not see them.
    if (cluster.status !== 403) return lost('ClusterWorkflowTemplates cannot be listed', cluster);
    deps.out.printError('ClusterWorkflowTemplates are left out: you may not list them.');
    return inNamespaces;
  }
  for (const object of cluster.value) {
    if (!hasOptedIn(object) && moveMemoize(object).patch.length > 0) {
      deps.out.printError(
        `${nameObject(object)} has memoize and stays with Argo: it is moved only once it is labelled ${ENABLED_LABEL}=true.`,
      );
    }
  }
  return { ok: true, objects: [...inNamespaces.objects, ...cluster.value.filter(hasOptedIn)] };
}

function lost(what: string, failure: Extract<KubeResult<unknown>, { ok: false }>): Found {
  return { ok: false, message: describeFailure(what, failure) };
}

async function findInNamespace(name: string, kube: KubeCommandDeps['kube']): Promise<Found> {
  const namespace = await kube.get({ resource: RESOURCES.namespaces, name });
  if (!namespace.ok) return lost(`namespace ${name} cannot be read`, namespace);
  const obstacle = obstacleOf(namespace.value);
  if (obstacle !== undefined) return { ok: false, message: obstacle };
  const listed = await listTemplates(kube, name);
  return listed.ok ? { ok: true, objects: listed.value } : lost(`templates of ${name} cannot be listed`, listed);
}

async function findEverywhere({ kube, out }: KubeCommandDeps): Promise<Found> {
  const namespaces = await kube.list({ resource: RESOURCES.namespaces }, { labelSelector: `${ENABLED_LABEL}=true` });
  if (!namespaces.ok) return lost('namespaces cannot be listed', namespaces);
  const [usable, others] = [namespaces.value.filter(isUsable), namespaces.value.filter((object) => !isUsable(object))];
  for (const other of others) out.printError(`${nameObject(other)} is left out: it is in native mode.`);
  const listed = await listTemplates(kube);
  if (!listed.ok) return lost('templates cannot be listed', listed);
  const names = new Set(usable.map((object) => object.metadata?.name));
  return { ok: true, objects: listed.value.filter((object) => names.has(object.metadata?.namespace)) };
}

function isUsable(namespace: KubeObject): boolean {
  return obstacleOf(namespace) === undefined;
}

/** Why templates of a namespace are not to be moved. */
function obstacleOf(namespace: KubeObject): string | undefined {
  const { name = '' } = namespace.metadata ?? {};
  const { settings } = readNamespace(namespace);
  if (!settings.isEnabled) {
    return `namespace ${name} has not opted in, so its steps would not be memoized at all. First: kubectl label namespace ${name} ${ENABLED_LABEL}=true`;
  }
  return settings.memoize === 'native'
    ? `namespace ${name} is in native mode: memoize stays with Argo there, as the namespace asks for.`
    : undefined;
}
