/**
 * What happens to a Workflow or a template object at admission: in managed mode the `memoize` of each template that
 * makes a pod moves into annotations of the template, so that the workflow controller neither looks up nor saves.
 * Pure, total and idempotent: the patched object, judged again, gets an empty patch.
 */

import { type MemoizeReading, readMemoizeField } from '../argo/memoize-field.ts';
import {
  isWorkflowKind,
  isWorkflowObject,
  type Place,
  placeIn,
  type WalkedTemplate,
  type WorkflowWalk,
  walkWorkflow,
} from '../argo/workflow-walk.ts';
import { deepEqual, isObject, type JsonObject } from '../base/json.ts';
import type { JsonPatch } from '../base/json-patch.ts';
import { ALLOW_RESOURCE_ANNOTATION, ENABLED_LABEL, type MemoizeMode, REUSE_ANNOTATION } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import type { Verdict } from '../step/decision.ts';
import type { NamespaceSettings } from '../step/known-cluster.ts';
import {
  type AnnotationsReading,
  copyBlock,
  isCopy,
  isMoved,
  moveBlock,
  readTemplateAnnotations,
  removeCopy,
  restoreBlock,
  restoredBlock,
} from './moved-memoize.ts';

/** The path, from a WorkflowSpec, that messages about defaults speak of. */
const DEFAULTS_FIELD = 'templateDefaults.memoize';
/** kubectl shows each warning on a line of its own; an API server drops what exceeds 4096 characters in all. */
const WARNING_LIMIT = 10;

export interface WorkflowInput {
  readonly object: JsonObject;
  /** On UPDATE, the object as it is stored. */
  readonly oldObject?: JsonObject | null | undefined;
  /** `CREATE`, `UPDATE`, or another operation of an admission request, which is then not handled. */
  readonly operation: string;
  /** Settings of the object's namespace; undefined where it is unknown. Not asked for a ClusterWorkflowTemplate. */
  readonly namespace?: NamespaceSettings | undefined;
  /** Takes the place of the namespace's settings, and of its opt-in. */
  readonly mode?: MemoizeMode | undefined;
}

/** Decides about one object: `mutate` with a patch, or `skip` with the reason. Never throws on any JSON. */
export function judgeWorkflow(input: WorkflowInput): Verdict {
  const obstacle = findObstacle(input);
  if (obstacle !== undefined) return skip(obstacle.reason, obstacle.message);
  const reuse = setReuse(input.object);
  const mode = modeOf(input);
  if (mode === 'native') return judgeNative(reuse);
  const move = moveMemoize(input.object);
  const warnings = [...reuse.warnings, ...move.warnings];
  const patch = [...move.patch, ...reuse.patch];
  if (move.moved.length > 0) {
    return { decision: 'mutate', reason: 'memoize-moved', message: describeMove(move), patch, warnings };
  }
  if (patch.length > 0) return { decision: 'mutate', reason: 'reuse-set', message: reuse.message, patch, warnings };
  return skip('nothing-to-move', move.message, warnings);
}

function judgeNative(reuse: ReuseResult): Verdict {
  const message = 'The namespace is in native mode: memoize stays with the workflow controller.';
  if (reuse.patch.length === 0) return skip('native-mode', message, reuse.warnings);
  return { decision: 'mutate', reason: 'reuse-set', ...reuse };
}

function skip(reason: Reason, message: string, warnings: readonly string[] = []): Verdict {
  return { decision: 'skip', reason, message, patch: [], warnings };
}

// ---- whether the object is ours to change

interface Obstacle {
  readonly reason: Reason;
  readonly message: string;
}

function findObstacle(input: WorkflowInput): Obstacle | undefined {
  const { kind } = input.object;
  if (!isWorkflowObject(input.object) || !isWorkflowKind(kind)) {
    return {
      reason: 'unsupported-kind',
      message: `Objects of kind ${typeof kind === 'string' ? kind : typeof kind} are not changed.`,
    };
  }
  return findOperationObstacle(input, kind) ?? findOptInObstacle(input, kind);
}

function findOperationObstacle({ operation, object, oldObject }: WorkflowInput, kind: string): Obstacle | undefined {
  if (operation === 'CREATE') return undefined;
  if (operation !== 'UPDATE' || kind === 'Workflow') {
    return { reason: 'unsupported-operation', message: `A ${kind} is not changed on ${operation}.` };
  }
  // Whoever labels an object or writes its status has not asked for another spec.
  if (isObject(oldObject) && deepEqual(object.spec, oldObject.spec)) {
    return { reason: 'spec-unchanged', message: 'The update does not change the spec, so nothing is moved.' };
  }
  return undefined;
}

function findOptInObstacle(input: WorkflowInput, kind: string): Obstacle | undefined {
  const reason = 'namespace-not-enabled';
  if (kind === 'ClusterWorkflowTemplate') {
    if (hasOptedIn(input.object)) return undefined;
    return {
      reason,
      message: `A ClusterWorkflowTemplate is changed only with the label ${ENABLED_LABEL}=true of its own.`,
    };
  }
  if (input.mode !== undefined || input.namespace?.isEnabled === true) return undefined;
  return { reason, message: `The namespace does not have the label ${ENABLED_LABEL}=true.` };
}

/** Whether a ClusterWorkflowTemplate carries the opt-in label: it is used from every namespace, enabled or not. */
export function hasOptedIn(object: JsonObject): boolean {
  return labelOf(object, ENABLED_LABEL) === 'true';
}

function labelOf(object: JsonObject, name: string): unknown {
  const labels = isObject(object.metadata) ? object.metadata.labels : undefined;
  return isObject(labels) ? labels[name] : undefined;
}

function modeOf({ object, namespace, mode }: WorkflowInput): MemoizeMode {
  if (object.kind === 'ClusterWorkflowTemplate') return 'managed';
  return mode ?? namespace?.memoize ?? 'managed';
}

// ---- the reuse label of a Workflow

interface ReuseResult {
  readonly patch: JsonPatch;
  readonly message: string;
  readonly warnings: readonly string[];
}

/**
 * Puts the label `stepmemo.io/reuse` of a Workflow into `spec.podMetadata.annotations`: Argo gives these to every pod,
 * those of templates behind references too, and a template's own metadata goes over them (workflowpod.go:addMetadata).
 * The label beats an annotation that stands there: it is what was asked for at this submission.
 */
function setReuse(object: JsonObject): ReuseResult {
  const nothing: ReuseResult = { patch: [], message: '', warnings: [] };
  const value = object.kind === 'Workflow' ? labelOf(object, REUSE_ANNOTATION) : undefined;
  if (value === undefined || value === null) return nothing;
  if (value !== 'off' && value !== 'refresh') {
    const warning = `metadata.labels["${REUSE_ANNOTATION}"] is neither off nor refresh: it has no effect.`;
    return { ...nothing, warnings: [warning] };
  }
  const patch = podAnnotationPatch(object, value);
  if (patch === undefined) {
    return { ...nothing, warnings: [`spec.podMetadata cannot be read: ${REUSE_ANNOTATION}=${value} has no effect.`] };
  }
  return { patch, message: `${REUSE_ANNOTATION}: ${value} is set on the pods of the Workflow.`, warnings: [] };
}

/** Undefined where there is no place to write to. */
function podAnnotationPatch(object: JsonObject, value: string): JsonPatch | undefined {
  if (!isObject(object.spec)) return undefined;
  const place = placeIn({ pointer: '/spec', path: 'spec' }, 'podMetadata');
  const podMetadata = object.spec.podMetadata ?? undefined;
  if (podMetadata === undefined) {
    return [{ op: 'add', path: place.pointer, value: { annotations: { [REUSE_ANNOTATION]: value } } }];
  }
  if (!isObject(podMetadata)) return undefined;
  const annotations = podMetadata.annotations ?? undefined;
  const path = placeIn(place, 'annotations').pointer;
  if (annotations === undefined) return [{ op: 'add', path, value: { [REUSE_ANNOTATION]: value } }];
  if (!isObject(annotations)) return undefined;
  const present = annotations[REUSE_ANNOTATION];
  if (present === value) return [];
  const op = present === undefined ? 'add' : 'replace';
  return [{ op, path: placeIn(place, 'annotations', REUSE_ANNOTATION).pointer, value }];
}

// ---- moving

export interface MoveResult {
  readonly patch: JsonPatch;
  /** Paths of the templates whose memoize moves, say `spec.templates[2]`. */
  readonly moved: readonly string[];
  /** Paths of the templates that get a copy of what stood in templateDefaults, so that Argo goes on memoizing them. */
  readonly copied: readonly string[];
  /** Why nothing moves, where nothing does. */
  readonly message: string;
  /** What stays where it is, and what that means; whole sentences that name paths. */
  readonly warnings: readonly string[];
}

/** What one template, or the defaults, ask for. */
interface TemplateFacts {
  readonly walked: WalkedTemplate;
  readonly reading: MemoizeReading;
  readonly annotations: AnnotationsReading;
}

/** The part of one template in the move. */
interface Step {
  readonly patch?: JsonPatch;
  readonly isMoved?: boolean;
  readonly isCopied?: boolean;
  readonly warning?: string;
}

/**
 * Moves `memoize` into annotations wherever a step pod comes of it, whatever the namespace says. Steps and DAG
 * templates and others that make no pod keep theirs, and where it came from templateDefaults they get a copy of it:
 * annotations do nothing for them, and the defaults give them no field any more.
 */
export function moveMemoize(object: JsonObject): MoveResult {
  const walked = walkWorkflow(object);
  if (!walked.ok)
    return { patch: [], moved: [], copied: [], message: `${walked.detail}: nothing to move.`, warnings: [] };
  const { walk } = walked;
  const templates = walk.templates.map(readFacts);
  const defaults = templates.find(({ walked }) => walked.where === 'templateDefaults');
  const steps = templates.map((facts) => ({ path: facts.walked.path, ...moveOne(facts, defaults, walk) }));
  const warnings = steps.flatMap(({ warning }) => warning ?? []);
  return {
    patch: steps.flatMap(({ patch }) => patch ?? []),
    moved: steps.filter(({ isMoved }) => isMoved === true).map(({ path }) => path),
    copied: steps.filter(({ isCopied }) => isCopied === true).map(({ path }) => path),
    message: 'No template has a memoize that can be moved.',
    warnings: limitWarnings([...warnings, ...describeUnreadable(walk)]),
  };
}

function readFacts(walked: WalkedTemplate): TemplateFacts {
  return {
    walked,
    reading: readMemoizeField(walked.template),
    annotations: readTemplateAnnotations(walked.template),
  };
}

function moveOne(facts: TemplateFacts, defaults: TemplateFacts | undefined, walk: WorkflowWalk): Step {
  if (facts === defaults) return moveDefaults(facts, walk);
  const { walked, reading, annotations } = facts;
  if (reading.state === 'unreadable') {
    return { warning: `${placeIn(walked, 'memoize', ...reading.at).path} ${reading.detail}: nothing is moved there.` };
  }
  if (reading.state === 'absent') return copyDefaults(facts, defaults);
  if (isCopy(annotations)) return updateCopy(facts, defaults);
  const warning = describeStay(facts, defaults);
  if (warning !== undefined) return { warning };
  if (!annotations.ok) {
    return { warning: `${placeIn(walked, ...annotations.at).path} ${annotations.detail}: memoize stays beside it.` };
  }
  const daemon = isDaemon(facts, defaults) ? { warning: describeDaemon(walked) } : {};
  return { patch: moveBlock(walked.template, walked, reading, annotations, 'memoize'), isMoved: true, ...daemon };
}

/** Whether the block of templateDefaults moves. */
function movingBlock(defaults: TemplateFacts | undefined): JsonObject | undefined {
  if (defaults === undefined || !defaults.annotations.ok) return undefined;
  return defaults.reading.state === 'block' ? defaults.reading.block : undefined;
}

function moveDefaults(facts: TemplateFacts, walk: WorkflowWalk): Step {
  const { walked, reading, annotations } = facts;
  if (reading.state === 'absent') return {};
  if (reading.state === 'unreadable') {
    return { warning: `${placeIn(walked, 'memoize', ...reading.at).path} ${reading.detail}: nothing is moved there.` };
  }
  if (!annotations.ok) {
    return { warning: `${placeIn(walked, ...annotations.at).path} ${annotations.detail}: memoize stays beside it.` };
  }
  const patch = moveBlock(walked.template, walked, reading, annotations, DEFAULTS_FIELD);
  return { patch, isMoved: true, ...describeReferences(walked, walk) };
}

/** A template without memoize of its own that would lose what the defaults gave to it. */
function copyDefaults(facts: TemplateFacts, defaults: TemplateFacts | undefined): Step {
  const { walked, annotations } = facts;
  const block = movingBlock(defaults);
  if (block === undefined || !annotations.ok || walked.kind === 'unknown' || canMove(facts, defaults)) return {};
  return { patch: copyBlock(walked.template, walked, block, annotations, DEFAULTS_FIELD), isCopied: true };
}

/** A copy from an earlier move: it follows its original, and goes where the template has become one that can move. */
function updateCopy(facts: TemplateFacts, defaults: TemplateFacts | undefined): Step {
  const { walked, annotations } = facts;
  if (!annotations.ok) return {};
  if (canMove(facts, defaults)) return { patch: removeCopy(walked.template, walked, undefined, annotations) };
  const block = movingBlock(defaults);
  if (block === undefined || deepEqual(block, walked.template.memoize)) return {};
  return { patch: copyBlock(walked.template, walked, block, annotations, DEFAULTS_FIELD), isCopied: true };
}

function canMove(facts: TemplateFacts, defaults: TemplateFacts | undefined): boolean {
  return facts.walked.makesPod && (facts.walked.kind !== 'resource' || isResourceAllowed(facts, defaults));
}

/** As on the pod, where the annotations of the defaults are merged with the template's own, which win. */
function isResourceAllowed(facts: TemplateFacts, defaults: TemplateFacts | undefined): boolean {
  return (
    (annotationOf(facts, ALLOW_RESOURCE_ANNOTATION) ?? annotationOf(defaults, ALLOW_RESOURCE_ANNOTATION)) === 'true'
  );
}

function annotationOf(facts: TemplateFacts | undefined, name: string): string | undefined {
  return facts?.annotations.ok ? facts.annotations.annotations[name] : undefined;
}

function isDaemon(facts: TemplateFacts, defaults: TemplateFacts | undefined): boolean {
  return (facts.walked.template.daemon ?? defaults?.walked.template.daemon) === true;
}

// ---- restoring

export interface RestoreResult {
  readonly patch: JsonPatch;
  /** Paths of the templates that get their memoize back. */
  readonly restored: readonly string[];
}

/** Moves back whatever a move has moved, and takes away the copies that it made. The inverse of `moveMemoize`. */
export function restoreMemoize(object: JsonObject): RestoreResult {
  const walked = walkWorkflow(object);
  if (!walked.ok) return { patch: [], restored: [] };
  const templates = walked.walk.templates.map(readFacts);
  const defaults = templates.find(({ walked }) => walked.where === 'templateDefaults');
  const original = originalBlock(defaults);
  const steps = templates.map((facts) => ({ path: facts.walked.path, patch: restoreOne(facts, original) }));
  const changed = steps.filter(({ patch }) => patch.length > 0);
  return { patch: changed.flatMap(({ patch }) => patch), restored: changed.map(({ path }) => path) };
}

function restoreOne({ walked, annotations }: TemplateFacts, original: JsonObject | undefined): JsonPatch {
  if (!annotations.ok) return [];
  if (isMoved(annotations)) return restoreBlock(walked.template, walked, annotations);
  if (isCopy(annotations)) return removeCopy(walked.template, walked, original, annotations);
  return [];
}

/** The block that templateDefaults will have after the restore. */
function originalBlock(defaults: TemplateFacts | undefined): JsonObject | undefined {
  if (defaults === undefined) return undefined;
  if (defaults.reading.state === 'block') return defaults.reading.block;
  return defaults.annotations.ok && isMoved(defaults.annotations)
    ? restoredBlock(defaults.annotations.annotations)
    : undefined;
}

// ---- words

function describeMove(move: MoveResult): string {
  const copies = move.copied.length === 0 ? '' : `; ${listPaths(move.copied)} got a copy, for Argo to go on memoizing`;
  return `memoize of ${listPaths(move.moved)} moved into the annotations of its metadata${copies}.`;
}

/** `a, b, c and 4 more`. */
function listPaths(paths: readonly string[]): string {
  const shown = paths.slice(0, 3).join(', ');
  return paths.length <= 3 ? shown : `${shown} and ${paths.length - 3} more`;
}

/** Why the memoize of a template stays with Argo; undefined where it does not. */
function describeStay(facts: TemplateFacts, defaults: TemplateFacts | undefined): string | undefined {
  if (canMove(facts, defaults)) return undefined;
  const { kind, path } = facts.walked;
  const stays = `${path}.memoize stays with Argo`;
  switch (kind) {
    case 'steps':
    case 'dag':
      return `${stays}: a ${kind} template makes no pod. For stepmemo, put memoize on the templates that it runs.`;
    case 'resource':
      return `${stays}: the step acts on the cluster. If a cached result may stand for that, set ${ALLOW_RESOURCE_ANNOTATION}: "true" in the metadata.annotations of the template.`;
    case 'unknown':
      return `${stays}: the template has no body that stepmemo knows.`;
    default:
      return `${stays}: a template of kind ${kind} makes no pod, so stepmemo cannot memoize it.`;
  }
}

function describeDaemon(place: Place): string {
  return `${place.path} is a daemon, which has to run and is never served from a cache: remove its memoize.`;
}

function describeReferences(place: Place, walk: WorkflowWalk): { warning?: string } {
  const [first, ...others] = walk.references;
  if (first === undefined) return {};
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return {
    warning: `${place.path}.memoize reaches step pods alone from now on: a steps or DAG template behind ${first.path}${more} is memoized only with memoize of its own.`,
  };
}

function describeUnreadable(walk: WorkflowWalk): readonly string[] {
  return walk.unreadable.map(({ path, detail }) => `${path} ${detail}: nothing is moved there.`);
}

function limitWarnings(warnings: readonly string[]): readonly string[] {
  if (warnings.length <= WARNING_LIMIT) return warnings;
  return [...warnings.slice(0, WARNING_LIMIT), `${warnings.length - WARNING_LIMIT} more like these.`];
}
