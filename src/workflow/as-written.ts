import { isObject, type JsonObject } from '../base/json.ts';
import { COPIED_FROM_ANNOTATION, MOVED_FROM_ANNOTATION } from '../base/names.ts';
import { readTemplateAnnotations } from './moved-memoize.ts';
import { ANNOTATIONS_OF_COPY, annotationsOfMove, restoredBlock } from './restore-hint.ts';

/**
 * A template as its author wrote it. Validation sees objects after the move of `memoize` into annotations; rules and
 * messages are about what was written, and say the same before and after.
 */
export function asWritten(template: JsonObject): { template: JsonObject; isMoved: boolean } {
  const reading = readTemplateAnnotations(template);
  if (!reading.ok) return { template, isMoved: false };
  const { annotations } = reading;
  if (annotations[COPIED_FROM_ANNOTATION] !== undefined) {
    // The block is a copy of the one in templateDefaults, where its author will look for it.
    const { memoize: _, ...rest } = template;
    return {
      template: withAnnotations(rest, without(annotations, ANNOTATIONS_OF_COPY)),
      isMoved: false,
    };
  }
  if (annotations[MOVED_FROM_ANNOTATION] === undefined || (template.memoize ?? undefined) !== undefined) {
    return { template, isMoved: false };
  }
  const left = without(annotations, annotationsOfMove(annotations));
  const memoize = restoredBlock(annotations);
  return { template: withAnnotations({ ...template, ...(memoize !== undefined && { memoize }) }, left), isMoved: true };
}

function without(annotations: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => !names.includes(name)));
}

function withAnnotations(template: JsonObject, annotations: JsonObject): JsonObject {
  const metadata = isObject(template.metadata) ? template.metadata : {};
  return { ...template, metadata: { ...metadata, annotations } };
}
