/**
 * What is served of a Workflow when it is submitted: the nodes of its steps that are certain to be hits go into its status, and
 * Argo takes them as they are. Pure and idempotent: a Workflow that passes a second time is judged anew.
 */
import { createHash } from 'node:crypto';
import type { ArgoFacts } from '../argo/controller-facts.ts';
import { isOlderThan } from '../argo/versions.ts';
import { asObject, isObject, type JsonObject, ownString } from '../base/json.ts';
import { type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import {
  LOOK_AHEAD_ANNOTATION,
  LOOK_AHEAD_DIGEST_ANNOTATION,
  OPERATION_ANNOTATION,
  REUSE_ANNOTATION,
} from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import { plainText } from '../base/text.ts';
import type { EntryLookup } from '../cache/entry.ts';
import type { Verdict } from '../step/decision.ts';
import type { KnownCluster, NamespaceSettings } from '../step/known-cluster.ts';
import { findBrokenRule } from './check-nodes.ts';
import { sizeOfNode, type WorkflowNode } from './node.ts';
import type { LookUpRepository, LookUpTemplate } from './references.ts';
import { type Walked, walkAhead } from './walk.ts';

export interface AheadInput {
  /** A Workflow that is being created, its namespace filled in. */
  readonly object: JsonObject;
  readonly namespace: NamespaceSettings | undefined;
  readonly cluster: Pick<KnownCluster, 'isSynced' | 'arePoliciesInstalled'>;
  readonly argo: ArgoFacts;
  /** Whether pods or task results of a Workflow of that name are there. */
  readonly knowsWorkflow: (workflowName: string) => boolean;
  readonly lookUp: (cache: string, key: string) => EntryLookup;
  readonly lookUpTemplate: LookUpTemplate;
  readonly lookUpRepository: LookUpRepository;
  /** Random letters and digits, for the name of a Workflow that has none yet. */
  readonly suffix: string;
  readonly now: Date;
  /** Whether the time is up: what is not foreseen by then is left to the pods. */
  readonly isOverdue: () => boolean;
}

/** What becomes of a Workflow. */
export interface AheadVerdict extends Verdict {
  readonly workflowName: string;
  /** How many steps are served. */
  readonly served: number;
  /** By which a Workflow that is there is known to be the one that was answered; undefined where nothing was served. */
  readonly digest: string | undefined;
}

/** What is to stand in the Workflow, or why nothing is. */
interface Outcome {
  readonly reason: Reason;
  readonly message: string;
  readonly nodes?: readonly WorkflowNode[];
}

export function judgeSubmissionAhead(input: AheadInput): AheadVerdict {
  const own = readOwn(input.object);
  const workflowName = nameOf(input);
  const { nodes, reason, message } = findObstacle(input, own, workflowName) ?? foresee(input, workflowName);
  const digest = nodes && digestOf(workflowName, nodes);
  const patch = [
    ...(own.hasNodes ? [{ op: 'remove' as const, path: '/status' }] : []),
    ...(nodes === undefined ? [] : nodesPatch(input.object, own, workflowName, nodes)),
    ...annotationsPatch(input.object, {
      [LOOK_AHEAD_ANNOTATION]: own.setting ?? (digest && message),
      [LOOK_AHEAD_DIGEST_ANNOTATION]: digest,
    }),
  ];
  const decision = nodes === undefined ? 'skip' : 'mutate';
  return { decision, reason, message, patch, warnings: [], workflowName, served: countLeaves(nodes), digest };
}

function countLeaves(nodes: readonly WorkflowNode[] = []): number {
  return nodes.filter(({ type }) => type === 'Pod').length;
}

// ---- what the Workflow came with

interface Own {
  /** What the user's annotation says; not what was written there about another pass, or another Workflow. */
  readonly setting: 'off' | undefined;
  readonly isSwitchedOff: boolean;
  /** Its status is what an earlier pass of this judgement wrote. */
  readonly hasNodes: boolean;
  readonly hasForeignStatus: boolean;
}

function readOwn({ metadata, status }: JsonObject): Own {
  const { annotations, labels, name } = asObject(metadata);
  const digest = ownString(annotations, LOOK_AHEAD_DIGEST_ANNOTATION);
  const { nodes, ...rest } = asObject(status);
  const isStatus = isObject(status) && Object.keys(status).length > 0;
  const hasNodes = isObject(nodes) && Object.keys(rest).length === 0 && digest === digestOf(String(name), nodes);
  const setting = ownString(annotations, LOOK_AHEAD_ANNOTATION) === 'off' ? 'off' : undefined;
  return {
    setting,
    isSwitchedOff: setting === 'off' || ownString(labels, LOOK_AHEAD_ANNOTATION) === 'off',
    hasNodes,
    hasForeignStatus: (isStatus && !hasNodes) || (status !== undefined && status !== null && !isObject(status)),
  };
}

/** A label of each pod holds the name. */
const NAME_LIMIT = 63;

/** With `generateName` the API server would make one up, and nodes carry it: then it is made here, with a longer suffix. */
function nameOf({ object, suffix }: AheadInput): string {
  const { name, generateName } = asObject(object.metadata);
  if (typeof name === 'string' && name !== '') return name;
  const prefix = typeof generateName === 'string' ? generateName : '';
  return prefix.slice(0, NAME_LIMIT - suffix.length) + suffix;
}

// ---- whether anything can be served

function findObstacle(input: AheadInput, own: Own, workflowName: string): Outcome | undefined {
  return (
    findSwitch(input, own) ??
    findState(input, own, workflowName) ??
    findArgoObstacle(input.argo) ??
    findReuseObstacle(input.object)
  );
}

/** Whether somebody wants it. */
function findSwitch({ namespace }: AheadInput, own: Own): Outcome | undefined {
  if (namespace?.isEnabled !== true) return no('namespace-not-enabled', 'The namespace has not opted in.');
  if (namespace.operation === 'off') return no('switched-off', `${OPERATION_ANNOTATION} is "off".`);
  const off = namespace.lookAhead === 'off' ? 'the namespace' : own.isSwitchedOff ? 'the Workflow' : undefined;
  return off && no('look-ahead-off', `${LOOK_AHEAD_ANNOTATION} is "off" on ${off}.`);
}

/** Whether the Workflow, and what is known of the cluster, allow it. */
function findState(
  { object, cluster, knowsWorkflow }: AheadInput,
  own: Own,
  workflowName: string,
): Outcome | undefined {
  const { name, generateName } = asObject(object.metadata);
  if ((name ?? generateName ?? '') === '') return no('nothing-foreseen', 'The Workflow has no name.');
  if (own.hasForeignStatus) return no('status-present', 'The Workflow came with a status.');
  if (!cluster.isSynced) return no('not-synced', 'The caches are not read yet.');
  if (!cluster.arePoliciesInstalled) return no('policies-missing', 'The admission policies are not in place.');
  const isKnown = knowsWorkflow(workflowName);
  return isKnown ? no('workflow-known', `Pods or task results of a Workflow ${workflowName} are there.`) : undefined;
}

function no(reason: Reason, message: string): Outcome {
  return { reason, message };
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

/** What Argo takes a Workflow for before it packs it, less what it will add. */
const SIZE_LIMIT = 900 * 1024;

function foresee({ object, namespace, now, ...input }: AheadInput, workflowName: string): Outcome {
  const room = SIZE_LIMIT - JSON.stringify(object).length;
  const walked = walkAhead({
    workflowName,
    isNameKnown: true,
    namespace: String(asObject(object.metadata).namespace ?? ''),
    spec: asObject(object.spec),
    mode: namespace?.memoize ?? 'managed',
    now,
    roomBytes: room,
    lookUp: input.lookUp,
    lookUpTemplate: input.lookUpTemplate,
    lookUpRepository: input.lookUpRepository,
    isOverdue: input.isOverdue,
  });
  const { nodes } = walked;
  if (countLeaves(nodes) === 0) return no('nothing-foreseen', describe(walked));
  const broken = findBrokenRule(workflowName, nodes);
  if (broken !== undefined) return no('look-ahead-unsound', plainText(broken));
  if (nodes.reduce((sum, node) => sum + sizeOfNode(node), 0) > room)
    return no('look-ahead-too-large', 'The Workflow has no room for these nodes.');
  if (namespace?.operation === 'observe') return no('observed-hit', `would have ${describe(walked)}`);
  return { reason: 'served-at-submission', message: describe(walked), nodes };
}

/** Annotations show on every list of Workflows. */
const MESSAGE_LIMIT = 500;

function describe({ leaves, references }: Walked): string {
  const hits = leaves.filter(({ outcome }) => outcome === 'hit').length;
  const end = leaves.find(({ outcome }) => outcome !== 'hit');
  const summary = `served ${hits} of ${leaves.length} steps at submission`;
  const stored = references.length === 0 ? '' : ` (by ${references.join(', ')})`;
  if (end === undefined) return (summary + stored).slice(0, MESSAGE_LIMIT);
  const how = end.outcome === 'runs' ? 'runs' : 'is left to its pod';
  return `${summary}; ${end.nodeName} ${how}: ${end.message}${stored}`.slice(0, MESSAGE_LIMIT);
}

// ---- the patch

function nodesPatch(
  { metadata, status }: JsonObject,
  { hasNodes }: Own,
  workflowName: string,
  nodes: readonly WorkflowNode[],
): readonly JsonPatchOperation[] {
  const value = { nodes: Object.fromEntries(nodes.map((node) => [node.id, node])) };
  const isNamed = asObject(metadata).name === workflowName;
  const isThere = !hasNodes && status !== undefined;
  return [
    ...(isNamed ? [] : [{ op: 'add' as const, path: '/metadata/name', value: workflowName }]),
    { op: isThere ? 'replace' : 'add', path: '/status', value },
  ];
}

/** Makes annotations be what is wanted; undefined: not there. */
function annotationsPatch(
  { metadata }: JsonObject,
  wanted: Readonly<Record<string, string | undefined>>,
): readonly JsonPatchOperation[] {
  const { annotations } = asObject(metadata);
  const operations = Object.entries(wanted).flatMap(([name, value]): readonly JsonPatchOperation[] => {
    const present = ownString(annotations, name);
    const path = pointer('metadata', 'annotations', name);
    if (present === value) return [];
    return [
      value === undefined ? { op: 'remove', path } : { op: present === undefined ? 'add' : 'replace', path, value },
    ];
  });
  const isMissing = operations.length > 0 && !isObject(annotations);
  return isMissing ? [{ op: 'add', path: '/metadata/annotations', value: {} }, ...operations] : operations;
}

/** Of a name and its nodes, however an API server wrote them since. */
function digestOf(workflowName: string, nodes: readonly WorkflowNode[] | JsonObject): string {
  const list = Array.isArray(nodes) ? nodes : Object.values(nodes);
  const sorted = JSON.stringify([workflowName, list.map(sortMembers).sort()]);
  return createHash('sha256').update(sorted).digest('hex').slice(0, 32);
}

function sortMembers(node: unknown): string {
  return JSON.stringify(node, (_, member: unknown) => {
    if (!isObject(member)) return member;
    const given = Object.entries(member).filter(([, value]) => value !== null && value !== undefined);
    return Object.fromEntries(given.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
