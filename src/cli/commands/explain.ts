import { NODE_ID_ANNOTATION, WORKFLOW_LABEL } from '../../argo/names.ts';
import { annotationOf, labelOf } from '../../argo/pod.ts';
import { ENABLED_LABEL, LOOK_AHEAD_ANNOTATION } from '../../base/names.ts';
import { plainText } from '../../base/text.ts';
import { CACHE_SELECTOR } from '../../cache/cache-label.ts';
import { readNamespace } from '../../informers/read-objects.ts';
import { type KubeObject, type KubeResult, RESOURCES } from '../../kube/types.ts';
import type { NamespaceSettings } from '../../step/known-cluster.ts';
import { type ExplainedStep, explainSteps } from '../cluster/explain-steps.ts';
import { describeFailure, describeUnread, fail, formatTable, type KubeCommandDeps } from '../cluster/kube-command.ts';
import { indexCaches } from '../files/read-objects.ts';
import { type Format, printAs } from '../formats.ts';
import { EXIT_OK, EXIT_UNDONE, EXIT_USAGE } from '../output.ts';

export interface ExplainOptions {
  /** `workflow/NAME` or `pod/NAME`. */
  readonly what: string;
  readonly namespace: string;
  readonly output: Format;
}

/**
 * `stepmemo explain`: why each memoized step of a Workflow was served or not, and what would make it a hit. Needs get on
 * Workflows and pods, list on pods, Events and ConfigMaps; what may not be read is said. Exit code 0, 1, 2.
 */
export async function runExplain(options: ExplainOptions, deps: KubeCommandDeps): Promise<number> {
  const { namespace, output } = options;
  const { kube, out } = deps;
  const target = await findTarget(options, deps);
  if ('exitCode' in target) return fail(out, 'explain', target.message, target.exitCode);
  const read = await kube.get({ resource: RESOURCES.workflows, namespace, name: target.workflow });
  if (!read.ok)
    return fail(out, 'explain', describeUnread(`Workflow ${namespace}/${target.workflow}`, read), EXIT_UNDONE);
  const workflow = read.value;
  const labelSelector = `${WORKFLOW_LABEL}=${target.workflow}`;
  const orNone = noting(out.printError);
  const pods = orNone('its pods', await kube.list({ resource: RESOURCES.pods, namespace }, { labelSelector }));
  const fieldSelector = `regarding.name=${target.workflow}`;
  const events = orNone('Events', await kube.list({ resource: RESOURCES.events, namespace }, { fieldSelector }));
  const maps = orNone(
    'caches',
    await kube.list({ resource: RESOURCES.configMaps, namespace }, { labelSelector: CACHE_SELECTOR }),
  );
  const where = await kube.get({ resource: RESOURCES.namespaces, name: namespace });
  const settings = where.ok ? readNamespace(where.value).settings : undefined;
  const { index } = indexCaches(maps, new Set([namespace]));
  const wanted = target.node === undefined ? undefined : nodeNameOf(workflow, target.node);
  const steps = explainSteps({
    workflow,
    pods,
    events: [...events].sort((a, b) => timeOf(a).localeCompare(timeOf(b))),
    mode: settings?.memoize ?? 'managed',
    lookUp: (cache, key) => index.lookUp(namespace, cache, key),
    now: new Date(),
  }).filter(({ node }) => target.node === undefined || node === wanted);
  printAs(out, output, {
    data: { workflow: target.workflow, namespace, steps },
    names: steps.map(({ node }) => node),
    text: (isWide) => [...remarks(settings, workflow, namespace), tableOf(steps, isWide)].join('\n\n'),
  });
  return EXIT_OK;
}

/** What concerns all of its steps. */
function remarks(settings: NamespaceSettings | undefined, workflow: KubeObject, namespace: string): readonly string[] {
  const ahead = workflow.metadata?.annotations?.[LOOK_AHEAD_ANNOTATION];
  const label = `${ENABLED_LABEL}=true`;
  return [
    ...(settings?.isEnabled === false
      ? [`Namespace ${namespace} has not opted in: nothing is served or captured there (label it ${label}).`]
      : []),
    ...(ahead === undefined ? [] : [`Look-ahead: ${plainText(ahead)}`]),
  ];
}

interface Target {
  readonly workflow: string;
  /** Of the one step that is asked about; undefined: all of them. */
  readonly node: string | undefined;
}

async function findTarget(
  { what, namespace }: ExplainOptions,
  { kube }: KubeCommandDeps,
): Promise<Target | { readonly message: string; readonly exitCode: number }> {
  const match = /^(workflows?|wf|pods?|po)\/(.+)$/.exec(what);
  if (match === null) return { message: `say workflow/NAME or pod/NAME, not "${what}".`, exitCode: EXIT_USAGE };
  const [, kind = '', name = ''] = match;
  if (kind.startsWith('w')) return { workflow: name, node: undefined };
  const pod = await kube.get({ resource: RESOURCES.pods, namespace, name });
  if (!pod.ok) return { message: describeUnread(`Pod ${namespace}/${name}`, pod), exitCode: EXIT_UNDONE };
  const workflow = labelOf(pod.value, WORKFLOW_LABEL);
  const node = annotationOf(pod.value, NODE_ID_ANNOTATION);
  if (workflow === undefined) return { message: `pod ${name} is not a step of a Workflow.`, exitCode: EXIT_UNDONE };
  return { workflow, node };
}

function nodeNameOf(workflow: KubeObject, id: string): string | undefined {
  const { nodes = {} } = (workflow.status ?? {}) as { nodes?: Record<string, { name: string }> };
  return nodes[id]?.name;
}

/** What cannot be listed is said, and counts as empty: the rest explains what it can. */
function noting(printError: (text: string) => void) {
  return (what: string, listed: KubeResult<readonly KubeObject[]>): readonly KubeObject[] => {
    if (listed.ok) return listed.value;
    printError(describeFailure(`${what} cannot be listed`, listed));
    return [];
  };
}

function timeOf(event: KubeObject): string {
  return String(event.eventTime ?? event.metadata?.creationTimestamp ?? '');
}

function tableOf(steps: readonly ExplainedStep[], isWide: boolean): string {
  if (steps.length === 0) return 'No step of it asks for memoization.';
  const rows = steps.map(({ node, key = '', outcome, reason = '', source, cache = '' }) => [
    node,
    plainText(key),
    outcome,
    reason,
    source,
    ...(isWide ? [plainText(cache)] : []),
  ]);
  const header = ['NODE', 'KEY', 'OUTCOME', 'REASON', 'KNOWN FROM', ...(isWide ? ['CACHE'] : [])];
  const notes = steps.flatMap(({ node, message, fix }) => [
    `${node}: ${plainText(message)}`,
    ...(fix === '' ? [] : [`  ${fix}`]),
  ]);
  return `${formatTable(header, rows)}\n\n${notes.join('\n')}`;
}
