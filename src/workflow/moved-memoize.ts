/**
 * Moving the `memoize` of one template into its annotations, and back.
 *
 * One annotation a field, never a JSON text of them: Argo substitutes tags inside the value. A field that the block
 * lacks is written as an empty annotation, for that is how Argo itself reads it: its JSON of a Memoize always has all
 * three (workflow_types.go:Memoize, no omitempty), so a template's own block replaces the one of templateDefaults
 * whole, while annotations of the two are merged one by one (operator.go:mergedTemplateDefaultsInto).
 */

import type { MemoizeReading } from '../argo/memoize-field.ts';
import { type Place, placeIn } from '../argo/workflow-walk.ts';
import { deepEqual, isObject, type JsonObject } from '../base/json.ts';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import { COPIED_FROM_ANNOTATION, MOVED_FROM_ANNOTATION } from '../base/names.ts';
import {
  ANNOTATION_OF,
  ANNOTATIONS_OF_COPY,
  annotationsOfMove,
  type EmptyPlace,
  FIELDS,
  readHint,
  restoredBlock,
  writeHint,
  writePlace,
} from './restore-hint.ts';

type MemoizeBlock = Extract<MemoizeReading, { state: 'block' }>;

/** The annotations of a template, with what it takes to change them. */
export type AnnotationsReading =
  | { readonly ok: true; readonly annotations: Readonly<Record<string, string>>; readonly was: EmptyPlace | undefined }
  | { readonly ok: false; readonly at: readonly string[]; readonly detail: string };

/** Reads `template.metadata.annotations`; missing and null are an empty map. */
export function readTemplateAnnotations(template: JsonObject): AnnotationsReading {
  const metadata = template.metadata;
  if (metadata === undefined) return { ok: true, annotations: {}, was: undefined };
  if (metadata === null) return { ok: true, annotations: {}, was: 'null-metadata' };
  if (!isObject(metadata)) return { ok: false, at: ['metadata'], detail: 'is not an object' };
  const { annotations } = metadata;
  if (annotations === undefined) {
    return { ok: true, annotations: {}, was: Object.keys(metadata).length === 0 ? 'empty-metadata' : undefined };
  }
  if (annotations === null) return { ok: true, annotations: {}, was: 'null-annotations' };
  if (!isObject(annotations)) return { ok: false, at: ['metadata', 'annotations'], detail: 'is not an object' };
  if (!isStringRecord(annotations)) {
    const name = Object.keys(annotations).find((name) => typeof annotations[name] !== 'string') ?? '';
    return { ok: false, at: ['metadata', 'annotations', name], detail: 'is not a string' };
  }
  return { ok: true, annotations, was: Object.keys(annotations).length === 0 ? 'empty-annotations' : undefined };
}

function isStringRecord(value: JsonObject): value is Readonly<Record<string, string>> {
  return Object.values(value).every((member) => typeof member === 'string');
}

/** The patch that moves a block into annotations. `field` is the path that messages are to speak of, say `memoize`. */
export function moveBlock(
  template: JsonObject,
  place: Place,
  reading: MemoizeBlock,
  annotations: Extract<AnnotationsReading, { ok: true }>,
  field: string,
): JsonPatch {
  const present = annotations.annotations;
  const wasMoved = present[MOVED_FROM_ANNOTATION] !== undefined;
  const before = readHint(wasMoved ? present : {});
  // A block beside annotations that a move has written is newer than they are: somebody applied the manifest again.
  const kept = FIELDS.filter((name) => {
    return present[ANNOTATION_OF[name]] !== undefined && (!wasMoved || before.kept.includes(name));
  });
  const moved = FIELDS.filter((name) => !kept.includes(name));
  const wanted: Record<string, string | undefined> = {
    ...Object.fromEntries(moved.map((name) => [ANNOTATION_OF[name], reading[name] ?? ''])),
    [MOVED_FROM_ANNOTATION]: field,
    ...writeHint(reading, { kept, was: wasMoved ? before.was : annotations.was }),
  };
  return [{ op: 'remove', path: placeIn(place, 'memoize').pointer }, ...setAnnotations(template, place, wanted)];
}

/** The patch that gives a template a copy of another's block, marked as one. */
export function copyBlock(
  template: JsonObject,
  place: Place,
  block: JsonObject,
  annotations: Extract<AnnotationsReading, { ok: true }>,
  field: string,
): JsonPatch {
  const isMarked = annotations.annotations[COPIED_FROM_ANNOTATION] !== undefined;
  return [
    { op: 'add', path: placeIn(place, 'memoize').pointer, value: block },
    ...(isMarked
      ? []
      : setAnnotations(template, place, { [COPIED_FROM_ANNOTATION]: field, ...writePlace(annotations.was) })),
  ];
}

/** Whether the block of a template is a copy of the one in templateDefaults, made by stepmemo. */
export function isCopy(annotations: AnnotationsReading): boolean {
  return annotations.ok && annotations.annotations[COPIED_FROM_ANNOTATION] !== undefined;
}

/** Whether the block of a template is now in its annotations. */
export function isMoved(annotations: AnnotationsReading): boolean {
  return annotations.ok && annotations.annotations[MOVED_FROM_ANNOTATION] !== undefined;
}

/** The patch that moves a block back, or, where a newer block is there, takes the annotations of the move away. */
export function restoreBlock(
  template: JsonObject,
  place: Place,
  annotations: Extract<AnnotationsReading, { ok: true }>,
): JsonPatch {
  const present = annotations.annotations;
  const { was } = readHint(present);
  const block = hasBlock(template) ? undefined : restoredBlock(present);
  return [
    ...(block === undefined ? [] : [{ op: 'add', path: placeIn(place, 'memoize').pointer, value: block } as const]),
    ...dropAnnotations(template, place, present, annotationsOfMove(present), was),
  ];
}

/** The patch that takes a copy away; one that differs from `block` by now was made somebody's own, and stays. */
export function removeCopy(
  template: JsonObject,
  place: Place,
  block: JsonObject | undefined,
  annotations: Extract<AnnotationsReading, { ok: true }>,
): JsonPatch {
  const present = annotations.annotations;
  const isOurs = hasBlock(template) && (block === undefined || deepEqual(template.memoize, block));
  const { was } = readHint(present);
  return [
    ...(isOurs ? [{ op: 'remove', path: placeIn(place, 'memoize').pointer } as const] : []),
    ...dropAnnotations(template, place, present, ANNOTATIONS_OF_COPY, was),
  ];
}

function hasBlock(template: JsonObject): boolean {
  return template.memoize !== undefined && template.memoize !== null;
}

// ---- annotations

/** Sets annotations, undefined removes one; makes the maps that are missing, and writes nothing that is there already. */
function setAnnotations(
  template: JsonObject,
  place: Place,
  wanted: Readonly<Record<string, string | undefined>>,
): JsonPatchOperation[] {
  const metadata = isObject(template.metadata) ? template.metadata : undefined;
  const present = isObject(metadata?.annotations) ? metadata.annotations : undefined;
  const values = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
  const metadataPath = placeIn(place, 'metadata').pointer;
  if (metadata === undefined) return [{ op: 'add', path: metadataPath, value: { annotations: values } }];
  const path = `${metadataPath}/annotations`;
  if (present === undefined) return [{ op: 'add', path, value: values }];
  return Object.entries(wanted).flatMap(([name, value]): JsonPatchOperation[] => {
    const at = path + pointer(name);
    if (present[name] === value) return [];
    if (value === undefined) return [{ op: 'remove', path: at }];
    return [{ op: present[name] === undefined ? 'add' : 'replace', path: at, value }];
  });
}

/** Removes annotations, and with the last one the map that was made for them. */
function dropAnnotations(
  template: JsonObject,
  place: Place,
  present: Readonly<Record<string, string>>,
  names: readonly string[],
  was: EmptyPlace | undefined,
): JsonPatchOperation[] {
  const path = placeIn(place, 'metadata').pointer;
  const dropped = names.filter((name) => present[name] !== undefined);
  if (Object.keys(present).length > dropped.length) {
    return dropped.map((name) => ({ op: 'remove', path: `${path}/annotations${pointer(name)}` }));
  }
  const hasOthers = isObject(template.metadata) && Object.keys(template.metadata).length > 1;
  switch (was) {
    case 'empty-annotations':
      return [{ op: 'replace', path: `${path}/annotations`, value: {} }];
    case 'null-annotations':
      return [{ op: 'replace', path: `${path}/annotations`, value: null }];
    case 'empty-metadata':
      return hasOthers ? [{ op: 'remove', path: `${path}/annotations` }] : [{ op: 'replace', path, value: {} }];
    case 'null-metadata':
      return hasOthers ? [{ op: 'remove', path: `${path}/annotations` }] : [{ op: 'replace', path, value: null }];
    default:
      return [{ op: 'remove', path: hasOthers ? `${path}/annotations` : path }];
  }
}
