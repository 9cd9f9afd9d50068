/** The way back of move-memoize.ts. */
import { walkWorkflow } from '../argo/workflow-walk.ts';
import type { JsonObject } from '../base/json.ts';
import type { JsonPatch } from '../base/json-patch.ts';
import { isCopy, isMoved, removeCopy, restoreBlock } from './moved-memoize.ts';
import { restoredBlock } from './restore-hint.ts';
import { readFacts, type TemplateFacts } from './template-facts.ts';

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
