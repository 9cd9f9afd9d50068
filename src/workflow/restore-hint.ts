/**
 * What moving `memoize` back needs beyond the annotations that a step reads. It stands in annotations as plain words and
 * texts, for the policy that moves in the API server (manifests/components/move-in-api-server) writes and reads it as well, and
 * CEL has no JSON. Only a block that words cannot describe is kept as JSON, and that policy leaves such blocks alone.
 */
import { type MemoizeReading, readMemoizeField } from '../argo/memoize-field.ts';
import { deepEqual, isObject, type JsonObject } from '../base/json.ts';
import {
  CACHE_ANNOTATION,
  COPIED_FROM_ANNOTATION,
  KEY_ANNOTATION,
  MAX_AGE_ANNOTATION,
  MOVED_FROM_ANNOTATION,
  RESTORE_ANNOTATION,
  RESTORE_CACHE_ANNOTATION,
  RESTORE_KEY_ANNOTATION,
  RESTORE_MAX_AGE_ANNOTATION,
} from '../base/names.ts';

export const FIELDS = ['key', 'cache', 'maxAge'] as const;
export type Field = (typeof FIELDS)[number];

/** The annotations that a move writes, by the field they come from. */
export const ANNOTATION_OF = {
  key: KEY_ANNOTATION,
  cache: CACHE_ANNOTATION,
  maxAge: MAX_AGE_ANNOTATION,
} as const satisfies Record<Field, string>;
/** Where the block's own value is kept while an annotation that the user wrote takes its place. */
const VALUE_OF = {
  key: RESTORE_KEY_ANNOTATION,
  cache: RESTORE_CACHE_ANNOTATION,
  maxAge: RESTORE_MAX_AGE_ANNOTATION,
} as const satisfies Record<Field, string>;
const NO_VALUES = Object.fromEntries(Object.values(VALUE_OF).map((name) => [name, undefined]));
/** All that a hint may stand in. */
export const RESTORE_ANNOTATIONS = [RESTORE_ANNOTATION, ...Object.values(VALUE_OF)] as const;

/** All that a copy is marked with. */
export const ANNOTATIONS_OF_COPY = [COPIED_FROM_ANNOTATION, ...RESTORE_ANNOTATIONS] as const;

/** What stood in place of the annotations: an empty map or null, in `annotations` or in `metadata`. */
const PLACES = ['empty-annotations', 'null-annotations', 'empty-metadata', 'null-metadata'] as const;
export type EmptyPlace = (typeof PLACES)[number];
/** Fields whose annotation the user had written beside the block: it stays. */
const KEPT = { key: 'kept-key', cache: 'kept-cache', maxAge: 'kept-max-age' } as const;
/** What the block had, or had not, where its annotation reads the same. */
const SHAPES = ['without-key', 'without-cache', 'empty-max-age', 'empty-configmap-key'] as const;
type Shape = (typeof SHAPES)[number];

type MemoizeBlock = Extract<MemoizeReading, { state: 'block' }>;
type Annotations = Readonly<Record<string, string>>;

export interface RestoreHint {
  readonly kept: readonly Field[];
  readonly was: EmptyPlace | undefined;
  readonly shapes: readonly Shape[];
  /** The block, where words do not describe it. */
  readonly block?: JsonObject;
}

/** The annotations of a hint; undefined is for one that is not needed, and goes where it is. */
export function writeHint(
  reading: MemoizeBlock,
  { kept, was }: Pick<RestoreHint, 'kept' | 'was'>,
): Readonly<Record<string, string | undefined>> {
  const shapes = shapesOf(reading, kept);
  const values = Object.fromEntries(
    FIELDS.map((name) => [VALUE_OF[name], kept.includes(name) ? reading[name] : undefined]),
  );
  const fields = Object.fromEntries(
    FIELDS.map((name) => [name, reading[name] ?? (kept.includes(name) ? undefined : '')]),
  );
  const isDescribed = deepEqual(blockOf(fields, { kept, shapes }), reading.block);
  const hint = isDescribed
    ? formatWords({ kept, was, shapes })
    : formatJson({ memoize: reading.block, ...(kept.length > 0 && { kept }), ...(was !== undefined && { was }) });
  return { ...NO_VALUES, ...(isDescribed && values), [RESTORE_ANNOTATION]: hint };
}

/** The annotations of a hint that says what stood in place of the annotations, and no more. */
export function writePlace(was: EmptyPlace | undefined): Readonly<Record<string, string | undefined>> {
  return { ...NO_VALUES, [RESTORE_ANNOTATION]: was };
}

function shapesOf(reading: MemoizeBlock, kept: readonly Field[]): readonly Shape[] {
  const { cache } = reading.block;
  const configMap = isObject(cache) ? cache.configMap : undefined;
  const applies: Record<Shape, boolean> = {
    'without-key': reading.key === undefined && !kept.includes('key'),
    'without-cache': reading.cache === undefined && !kept.includes('cache'),
    'empty-max-age': reading.maxAge === '' && !kept.includes('maxAge'),
    // As everything that passes Argo's own types has it (argo submit, Argo's server): its key has no omitempty.
    'empty-configmap-key': isObject(configMap) && configMap.key === '',
  };
  return SHAPES.filter((shape) => applies[shape]);
}

/** The words, in one order, so that the same hint is always the same text. Undefined where there is none. */
function formatWords({ kept, was, shapes }: Pick<RestoreHint, 'kept' | 'was' | 'shapes'>): string | undefined {
  const words = [...(was === undefined ? [] : [was]), ...kept.map((name) => KEPT[name]), ...shapes];
  return words.length === 0 ? undefined : words.join(' ');
}

/** Argo substitutes `{{…}}` in annotations, so none may be seen in it. */
function formatJson(hint: JsonObject): string {
  // In JSON two braces in a row stand inside strings alone, where they may be written as escapes.
  return JSON.stringify(hint).replaceAll('{{', '\\u007b\\u007b');
}

/** A hint that somebody has spoilt counts for nothing: the other annotations then say what is known. */
export function readHint(annotations: Annotations): RestoreHint {
  const text = annotations[RESTORE_ANNOTATION] ?? '';
  if (text.startsWith('{')) return readJson(text);
  const words = text.split(' ');
  return {
    kept: FIELDS.filter((name) => words.includes(KEPT[name])),
    was: PLACES.find((place) => words.includes(place)),
    shapes: SHAPES.filter((shape) => words.includes(shape)),
  };
}

function readJson(text: string): RestoreHint {
  let hint: unknown;
  try {
    hint = JSON.parse(text);
  } catch {
    hint = undefined;
  }
  const { memoize, kept, was } = isObject(hint) ? hint : {};
  return {
    kept: Array.isArray(kept) ? FIELDS.filter((name) => kept.includes(name)) : [],
    was: PLACES.find((place) => place === was),
    shapes: [],
    ...(isObject(memoize) && { block: memoize }),
  };
}

/** All that a move has written. An annotation that the user had written beside the block is none of it. */
export function annotationsOfMove(annotations: Annotations): readonly string[] {
  const { kept } = readHint(annotations);
  const moved = FIELDS.filter((name) => !kept.includes(name)).map((name) => ANNOTATION_OF[name]);
  return [...moved, MOVED_FROM_ANNOTATION, ...RESTORE_ANNOTATIONS];
}

/**
 * The block that a template had before it moved, changed where somebody has changed the annotations since.
 * Undefined where none of them is left: then the step is memoized no more, and no block should come back.
 */
export function restoredBlock(annotations: Annotations): JsonObject | undefined {
  const hint = readHint(annotations);
  if (hint.kept.length === 0 && FIELDS.every((name) => annotations[ANNOTATION_OF[name]] === undefined))
    return undefined;
  if (hint.block !== undefined) return changedBlock(hint.block, hint.kept, annotations);
  const fields = FIELDS.map((name) => [name, annotations[(hint.kept.includes(name) ? VALUE_OF : ANNOTATION_OF)[name]]]);
  return blockOf(Object.fromEntries(fields), hint);
}

/** The block that its fields and the words describe. */
function blockOf(
  fields: Readonly<Partial<Record<Field, string | undefined>>>,
  { kept, shapes }: Pick<RestoreHint, 'kept' | 'shapes'>,
): JsonObject {
  const { key, cache, maxAge } = fields;
  const isLeftOut = (value: string | undefined, shape: Shape) =>
    value === undefined || (value === '' && shapes.includes(shape));
  // An empty maxAge is left out, as people write it.
  const hasMaxAge =
    maxAge !== undefined && (maxAge !== '' || kept.includes('maxAge') || shapes.includes('empty-max-age'));
  const configMap = { name: cache, ...(shapes.includes('empty-configmap-key') && { key: '' }) };
  return {
    ...(!isLeftOut(key, 'without-key') && { key }),
    ...(hasMaxAge && { maxAge }),
    ...(!isLeftOut(cache, 'without-cache') && { cache: { configMap } }),
  };
}

function changedBlock(block: JsonObject, kept: readonly Field[], annotations: Annotations): JsonObject {
  const original = readMemoizeField({ memoize: block });
  if (original.state !== 'block') return block;
  const changed = FIELDS.filter((name) => {
    return !kept.includes(name) && annotations[ANNOTATION_OF[name]] !== (original[name] ?? '');
  });
  return changed.reduce<JsonObject>((block, name) => withField(block, name, annotations[ANNOTATION_OF[name]]), block);
}

function withField(block: JsonObject, name: Field, value: string | undefined): JsonObject {
  if (name !== 'cache') {
    const { [name]: _, ...rest } = block;
    return value === undefined ? rest : { ...rest, [name]: value };
  }
  const cache = isObject(block.cache) ? block.cache : {};
  const { name: _, ...configMap } = isObject(cache.configMap) ? cache.configMap : {};
  return { ...block, cache: { ...cache, configMap: value === undefined ? configMap : { ...configMap, name: value } } };
}
