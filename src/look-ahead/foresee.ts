/** What serving ahead of pods needs to be allowed, whenever in a Workflow's life it happens; and how its result is told. */
import type { ArgoFacts } from '../argo/controller-facts.ts';
import { isOlderThan } from '../argo/versions.ts';
import { asObject, isObject, type JsonObject, ownString } from '../base/json.ts';
import { type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import { KEY_ANNOTATION, LOOK_AHEAD_ANNOTATION, OPERATION_ANNOTATION, REUSE_ANNOTATION } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import { plainText } from '../base/text.ts';
import type { EntryLookup } from '../cache/entry.ts';
import type { KnownCluster, NamespaceSettings } from '../step/known-cluster.ts';
import { findBrokenRule } from './check-nodes.ts';
import { sizeOfNode, type WorkflowNode } from './node.ts';
import type { PresentNodes } from './present.ts';
import type { LookUpRepository, LookUpTemplate } from './references.ts';
import type { WalkInput } from './walk/state.ts';
import { type Walked, walkAhead } from './walk/walk.ts';

/** What is known when a Workflow is to be foreseen. */
export interface ForesightInput {
  /** The Workflow, its namespace filled in. */
  readonly object: JsonObject;
  readonly namespace: NamespaceSettings | undefined;
  readonly cluster: Pick<KnownCluster, 'isSynced' | 'arePoliciesInstalled'>;
  readonly argo: ArgoFacts;
  readonly lookUp: (cache: string, key: string) => EntryLookup;
  readonly lookUpTemplate: LookUpTemplate;
  readonly lookUpRepository: LookUpRepository;
  readonly now: Date;
  /** Whether the time is up: what is not foreseen by then is left to the pods. */
  readonly isOverdue: () => boolean;
}

/** What is added to the Workflow, or why nothing is. */
export interface Outcome {
  readonly reason: Reason;
  readonly message: string;
  readonly nodes?: readonly WorkflowNode[];
  readonly walked?: Walked;
}

export function no(reason: Reason, message: string): Outcome {
  return { reason, message };
}

/** Whether anybody wants it, and what is known of cluster and controller allows it. */
export function findObstacle(input: ForesightInput): Outcome | undefined {
  return (
    findSwitch(input) ?? findClusterObstacle(input) ?? findArgoObstacle(input.argo) ?? findReuseObstacle(input.object)
  );
}

/** Whether somebody wants it. */
function findSwitch({ namespace, object }: ForesightInput): Outcome | undefined {
  if (namespace?.isEnabled !== true) return no('namespace-not-enabled', 'The namespace has not opted in.');
  if (namespace.operation === 'off') return no('switched-off', `${OPERATION_ANNOTATION} is "off".`);
  const off = namespace.lookAhead === 'off' ? 'the namespace' : isSwitchedOff(object) ? 'the Workflow' : undefined;
  return off && no('look-ahead-off', `${LOOK_AHEAD_ANNOTATION} is "off" on ${off}.`);
}

/** What the user says on the Workflow, as an annotation or a label. */
function isSwitchedOff({ metadata }: JsonObject): boolean {
  const { annotations, labels } = asObject(metadata);
  return [annotations, labels].some((map) => ownString(map, LOOK_AHEAD_ANNOTATION) === 'off');
}

function findClusterObstacle({ cluster }: ForesightInput): Outcome | undefined {
  if (!cluster.isSynced) return no('not-synced', 'The caches are not read yet.');
  return cluster.arePoliciesInstalled ? undefined : no('policies-missing', 'The admission policies are not in place.');
}

function findArgoObstacle({ version, defaults }: ArgoFacts): Outcome | undefined {
  if (version === 'unknown') return no('argo-unknown', 'The version of Argo is not known.');
  // How nodes must stand was held against 3.4, 3.7 and 4.0 (`make look-ahead-oracle`).
  const { major, minor } = version;
  if (isOlderThan(version, 3, 4, 0) || !isOlderThan(version, 4, 1, 0))
    return no('argo-unknown', `How Argo ${major}.${minor} takes nodes that are there is not known.`);
  return defaults === undefined ? undefined : no('argo-unknown', `In the controller's configuration ${defaults}.`);
}

/** Where the label has come to the pods, the walk sees it; it has not where the server was away then. */
function findReuseObstacle({ metadata }: JsonObject): Outcome | undefined {
  const reuse = ownString(asObject(metadata).labels, REUSE_ANNOTATION);
  if (reuse === 'off') return no('reuse-off', `The label ${REUSE_ANNOTATION} is "off".`);
  return reuse === 'refresh' ? no('refresh', `The label ${REUSE_ANNOTATION} is "refresh".`) : undefined;
}

// ---- the walk

/** What Argo takes a Workflow for before it packs it, less what it will add. */
const SIZE_LIMIT = 900 * 1024;

/** Walks the Workflow, and judges what comes of it. */
export function foresee(
  { object, namespace, argo, now, lookUp, lookUpTemplate, lookUpRepository, isOverdue }: ForesightInput,
  where: Pick<WalkInput, 'workflowName' | 'present'>,
): Outcome {
  const room = SIZE_LIMIT - JSON.stringify(object).length;
  const walked = walkAhead({
    ...where,
    isNameKnown: true,
    ...(argo.version !== 'unknown' && { argoVersion: argo.version }),
    namespace: String(asObject(object.metadata).namespace ?? ''),
    spec: asObject(object.spec),
    mode: namespace?.memoize ?? 'managed',
    now,
    roomBytes: room,
    lookUp,
    lookUpTemplate,
    lookUpRepository,
    isOverdue,
  });
  return { ...judgeWalk(walked, where, room, namespace), walked };
}

function judgeWalk(
  walked: Walked,
  { workflowName, present }: { readonly workflowName: string; readonly present?: { readonly nodes: PresentNodes } },
  room: number,
  namespace: NamespaceSettings | undefined,
): Outcome {
  const { nodes, links } = walked;
  const isBehind = present !== undefined;
  if (countLeaves(nodes) === 0) return no('nothing-foreseen', describe(walked, isBehind));
  const broken = findBrokenRule(workflowName, nodes, present && { nodes: present.nodes, links });
  if (broken !== undefined) return no('look-ahead-unsound', plainText(broken));
  if (nodes.reduce((sum, node) => sum + sizeOfNode(node), 0) > room)
    return no('look-ahead-too-large', 'The Workflow has no room for these nodes.');
  if (namespace?.operation === 'observe') return no('observed-hit', `would have ${describe(walked, isBehind)}`);
  return { reason: isBehind ? 'served-ahead' : 'served-at-submission', message: describe(walked, isBehind), nodes };
}

export function countLeaves(nodes: readonly WorkflowNode[] = []): number {
  return nodes.filter(({ type }) => type === 'Pod').length;
}

/** Annotations show on every list of Workflows. */
export const MESSAGE_LIMIT = 500;

function describe({ leaves, references }: Walked, isBehind: boolean): string {
  const hits = leaves.filter(({ outcome }) => outcome === 'hit').length;
  const end = leaves.find(({ outcome }) => outcome !== 'hit');
  const summary = isBehind
    ? `served ${hits} of ${leaves.length} steps that follow on a hit`
    : `served ${hits} of ${leaves.length} steps at submission`;
  const stored = references.length === 0 ? '' : ` (by ${references.join(', ')})`;
  if (end === undefined) return (summary + stored).slice(0, MESSAGE_LIMIT);
  const how = end.outcome === 'runs' ? 'runs' : 'is left to its pod';
  return `${summary}; ${end.nodeName} ${how}: ${end.message}${stored}`.slice(0, MESSAGE_LIMIT);
}

// ---- the mark

const ASKS = new RegExp(`"${KEY_ANNOTATION.replaceAll('.', '\\.')}"|"memoize"|"templateRef"|"workflowTemplateRef"`);

/**
 * Whether hits may still be foreseen when the controller writes the Workflow: Argo takes nodes that are added then from 4.0
 * on, unless it writes what it has done back into its own memory (`INFORMER_WRITE_BACK`).
 */
export function mayContinue({ object, namespace, argo }: ForesightInput, walked: Walked | undefined): boolean {
  const takesNodes = argo.version !== 'unknown' && !isOlderThan(argo.version, 4, 0, 0) && !argo.isWrittenBack;
  if (walked === undefined || !takesNodes || namespace?.operation === 'observe') return false;
  return walked.leaves.some(({ isBehind }) => isBehind) && ASKS.test(JSON.stringify(object.spec));
}

// ---- the patch

/** Makes annotations or labels be what is wanted; undefined: not there. */
export function metadataPatch(
  { metadata }: JsonObject,
  member: 'annotations' | 'labels',
  wanted: Readonly<Record<string, string | undefined>>,
): readonly JsonPatchOperation[] {
  const map = asObject(metadata)[member];
  const operations = Object.entries(wanted).flatMap(([name, value]): readonly JsonPatchOperation[] => {
    const present = ownString(map, name);
    const path = pointer('metadata', member, name);
    if (present === value) return [];
    return [
      value === undefined ? { op: 'remove', path } : { op: present === undefined ? 'add' : 'replace', path, value },
    ];
  });
  const isMissing = operations.length > 0 && !isObject(map);
  return isMissing ? [{ op: 'add', path: pointer('metadata', member), value: {} }, ...operations] : operations;
}
