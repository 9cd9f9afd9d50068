import { isObject, type JsonObject } from '../base/json.ts';
import {
  CACHE_ANNOTATION,
  COPIED_FROM_ANNOTATION,
  KEY_ANNOTATION,
  MAX_AGE_ANNOTATION,
  MOVED_FROM_ANNOTATION,
  RESTORE_ANNOTATION,
} from '../base/names.ts';
import { readTemplateAnnotations, restoredBlock } from './moved-memoize.ts';

/** The annotations that a move writes, by the field they come from. */
export const MOVED_ANNOTATIONS = { key: KEY_ANNOTATION, cache: CACHE_ANNOTATION, maxAge: MAX_AGE_ANNOTATION } as const;

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
      template: withAnnotations(rest, without(annotations, [COPIED_FROM_ANNOTATION, RESTORE_ANNOTATION])),
      isMoved: false,
    };
  }
  if (annotations[MOVED_FROM_ANNOTATION] === undefined || (template.memoize ?? undefined) !== undefined) {
    return { template, isMoved: false };
  }
  const kept = keptFields(annotations[RESTORE_ANNOTATION]);
  const moved = Object.entries(MOVED_ANNOTATIONS).flatMap(([field, name]) => (kept.includes(field) ? [] : [name]));
  const left = without(annotations, [...moved, MOVED_FROM_ANNOTATION, RESTORE_ANNOTATION]);
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

/** Fields whose annotation was there before the move (the hint of moved-memoize.ts). */
function keptFields(hint: string | undefined): readonly unknown[] {
  try {
    const parsed: unknown = hint === undefined ? undefined : JSON.parse(hint);
    return isObject(parsed) && Array.isArray(parsed.kept) ? parsed.kept : [];
  } catch {
    return [];
  }
}
