/** Moving `memoize` into annotations of the templates that make pods, in a whole object. */
import { type Place, placeIn, type WorkflowWalk, walkWorkflow } from '../argo/workflow-walk.ts';
import { deepEqual, type JsonObject } from '../base/json.ts';
import type { JsonPatch } from '../base/json-patch.ts';
import { ALLOW_RESOURCE_ANNOTATION } from '../base/names.ts';
import { copyBlock, isCopy, isMoved, moveBlock, removeCopy } from './moved-memoize.ts';
import { readFacts, type TemplateFacts } from './template-facts.ts';

/** The path, from a WorkflowSpec, that messages about defaults speak of. */
const DEFAULTS_FIELD = 'templateDefaults.memoize';
/** kubectl shows each warning on a line of its own; an API server drops what exceeds 4096 characters in all. */
const WARNING_LIMIT = 10;

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

function moveOne(facts: TemplateFacts, defaults: TemplateFacts | undefined, walk: WorkflowWalk): Step {
  if (facts === defaults) return moveDefaults(facts, walk);
  const { walked, reading, annotations } = facts;
  if (reading.state === 'unreadable') {
    return { warning: `${placeIn(walked, 'memoize', ...reading.at).path} ${reading.detail}: nothing is moved there.` };
  }
  if (reading.state === 'absent') return { ...copyDefaults(facts, defaults), ...describeMoved(facts, defaults) };
  if (isCopy(annotations)) return updateCopy(facts, defaults);
  const warning = describeStay(facts, defaults);
  if (warning !== undefined) return { warning };
  if (!annotations.ok) {
    return { warning: `${placeIn(walked, ...annotations.at).path} ${annotations.detail}: memoize stays beside it.` };
  }
  const patch = moveBlock(walked.template, walked, reading, annotations, 'memoize');
  return { patch, isMoved: true, ...describeDaemon(facts, defaults) };
}

/** Whether the block of templateDefaults moves. */
function movingBlock(defaults: TemplateFacts | undefined): JsonObject | undefined {
  if (defaults === undefined || !defaults.annotations.ok) return undefined;
  return defaults.reading.state === 'block' ? defaults.reading.block : undefined;
}

function moveDefaults(facts: TemplateFacts, walk: WorkflowWalk): Step {
  const { walked, reading, annotations } = facts;
  if (reading.state === 'absent') return isMoved(annotations) ? describeReferences(walked, walk) : {};
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

// ---- words

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

function describeDaemon(facts: TemplateFacts, defaults: TemplateFacts | undefined): { warning?: string } {
  if (!isDaemon(facts, defaults)) return {};
  const { path } = facts.walked;
  return { warning: `${path} is a daemon, which has to run and is never served from a cache: remove its memoize.` };
}

/** What a move says, of a template that has moved already: in its manifest, or by the policy in the API server. */
function describeMoved(facts: TemplateFacts, defaults: TemplateFacts | undefined): { warning?: string } {
  return isMoved(facts.annotations) && canMove(facts, defaults) ? describeDaemon(facts, defaults) : {};
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
