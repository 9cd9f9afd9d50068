/**
 * What is served of a Workflow when it is submitted: the nodes of its steps that are certain to be hits go into its status, and
 * Argo takes them as they are. Pure and idempotent: a Workflow that passes a second time is judged anew.
 */
import { createHash } from 'node:crypto';
import { asObject, isObject, type JsonObject, ownString } from '../base/json.ts';
import type { JsonPatchOperation } from '../base/json-patch.ts';
import { LOOK_AHEAD_ANNOTATION, LOOK_AHEAD_DIGEST_ANNOTATION, LOOK_AHEAD_MARK_LABEL } from '../base/names.ts';
import type { Verdict } from '../step/decision.ts';
import {
  countLeaves,
  type ForesightInput,
  findObstacle,
  foresee,
  mayContinue,
  metadataPatch,
  no,
  type Outcome,
} from './foresee.ts';
import type { WorkflowNode } from './node.ts';

export interface AheadInput extends ForesightInput {
  /** Whether pods or task results of a Workflow of that name are there. */
  readonly knowsWorkflow: (workflowName: string) => boolean;
  /** Random letters and digits, for the name of a Workflow that has none yet. */
  readonly suffix: string;
}

/** What becomes of a Workflow. */
export interface AheadVerdict extends Verdict {
  readonly workflowName: string;
  /** How many steps are served. */
  readonly served: number;
  /** By which a Workflow that is there is known to be the one that was answered; undefined where nothing was served. */
  readonly digest: string | undefined;
}

export function judgeSubmissionAhead(input: AheadInput): AheadVerdict {
  const own = readOwn(input.object);
  const workflowName = nameOf(input);
  const outcome = findObstacle(input) ?? findState(input, own, workflowName) ?? foresee(input, { workflowName });
  const { nodes, reason, message } = outcome;
  const digest = nodes && digestOf(workflowName, nodes);
  const patch = [
    ...(own.hasNodes ? [{ op: 'remove' as const, path: '/status' }] : []),
    ...(nodes === undefined ? [] : nodesPatch(input.object, own, workflowName, nodes)),
    ...metadataPatch(input.object, 'annotations', {
      [LOOK_AHEAD_ANNOTATION]: own.setting ?? (digest && message),
      [LOOK_AHEAD_DIGEST_ANNOTATION]: digest,
    }),
    ...markPatch(input, outcome),
  ];
  const decision = nodes === undefined ? 'skip' : 'mutate';
  return { decision, reason, message, patch, warnings: [], workflowName, served: countLeaves(nodes), digest };
}

// ---- what the Workflow came with

interface Own {
  /** What the user's annotation says; not what was written there about another pass, or another Workflow. */
  readonly setting: 'off' | undefined;
  /** Its status is what an earlier pass of this judgement wrote. */
  readonly hasNodes: boolean;
  readonly hasForeignStatus: boolean;
}

function readOwn({ metadata, status }: JsonObject): Own {
  const { annotations, name } = asObject(metadata);
  const digest = ownString(annotations, LOOK_AHEAD_DIGEST_ANNOTATION);
  const { nodes, ...rest } = asObject(status);
  const isStatus = isObject(status) && Object.keys(status).length > 0;
  const hasNodes = isObject(nodes) && Object.keys(rest).length === 0 && digest === digestOf(String(name), nodes);
  const setting = ownString(annotations, LOOK_AHEAD_ANNOTATION) === 'off' ? 'off' : undefined;
  return {
    setting,
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

/** Whether the Workflow is one that can begin with nodes. */
function findState({ object, knowsWorkflow }: AheadInput, own: Own, workflowName: string): Outcome | undefined {
  const { name, generateName } = asObject(object.metadata);
  if ((name ?? generateName ?? '') === '') return no('nothing-foreseen', 'The Workflow has no name.');
  if (own.hasForeignStatus) return no('status-present', 'The Workflow came with a status.');
  const isKnown = knowsWorkflow(workflowName);
  return isKnown ? no('workflow-known', `Pods or task results of a Workflow ${workflowName} are there.`) : undefined;
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

/** The mark by which the controller's writes of the Workflow come here; one that it was copied with goes. */
function markPatch(input: AheadInput, { walked }: Outcome): readonly JsonPatchOperation[] {
  return metadataPatch(input.object, 'labels', {
    [LOOK_AHEAD_MARK_LABEL]: mayContinue(input, walked) ? 'true' : undefined,
  });
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
