import { placeIn } from '../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import type { JsonPatch } from '../base/json-patch.ts';
import { REUSE_ANNOTATION } from '../base/names.ts';
import { labelOf } from './labels.ts';

export interface ReuseResult {
  readonly patch: JsonPatch;
  readonly message: string;
  readonly warnings: readonly string[];
}

/**
 * Puts the label `stepmemo.io/reuse` of a Workflow into `spec.podMetadata.annotations`: Argo gives these to every pod,
 * those of templates behind references too, and a template's own metadata goes over them (workflowpod.go:addMetadata).
 * The label beats an annotation that stands there: it is what was asked for at this submission.
 */
export function setReuse(object: JsonObject): ReuseResult {
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
