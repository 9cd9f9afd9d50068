/** Moves `memoize` in the text of a manifest into annotations, or back, so that all else stays to the letter. */
import { isWorkflowObject } from '../../argo/workflow-walk.ts';
import { deepEqual, isObject, type JsonObject } from '../../base/json.ts';
import { type JsonPatch, pointer } from '../../base/json-patch.ts';
import { MOVED_FROM_ANNOTATION } from '../../base/names.ts';
import { moveMemoize } from '../../workflow/move-memoize.ts';
import { restoreMemoize } from '../../workflow/restore-memoize.ts';
import { applyPatch } from '../apply-patch.ts';
import { findPair, type PlaceMark, type TextEdit } from './edit/changes.ts';
import { editDocument } from './edit/document.ts';
import { hasOwnLayout } from './edit/layout.ts';
import { MARKED_MEMBER } from './edit/mark.ts';
import { type Manifest, type ManifestDocument, readManifest } from './read-manifests.ts';

export interface RewrittenManifest {
  readonly text: string;
  /** What happened, and what stays by design, for people. */
  readonly notes: readonly string[];
  /** What could not be done: these objects are as they were. */
  readonly failures: readonly string[];
}

type Direction = 'forth' | 'back';

/** `manifest` is what `readManifest` made of `text`, without problems. */
export function rewriteManifest(text: string, manifest: Manifest, direction: Direction): RewrittenManifest {
  // A last line without an end gets one for as long as lines are moved about.
  const ending = text.endsWith('\n') || text === '' ? '' : lineBreakAt(text, text.length);
  const whole = text + ending;
  const rewritten = manifest.documents.map((document) => rewriteDocument(document, direction));
  const edits = rewritten.flatMap(({ edits }, index) => {
    const document = manifest.documents[index];
    return document === undefined ? [] : edits.map((edit) => toFileEdit(whole, ending, document, edit));
  });
  const edited = applyEdits(whole, edits);
  const result = ending !== '' && edited.endsWith(ending) ? edited.slice(0, -ending.length) : edited;
  const failures = rewritten.flatMap((document) => document.failures);
  const wanted = rewritten.map((document) => document.value);
  if (!isReadAs(result, wanted)) return { text, notes: [], failures: [...failures, MISREAD] };
  return { text: result, notes: rewritten.flatMap((document) => document.notes), failures };
}

interface RewrittenDocument {
  readonly edits: readonly TextEdit[];
  /** What the edited document is to be read as. */
  readonly value: unknown;
  readonly notes: readonly string[];
  readonly failures: readonly string[];
}

function rewriteDocument(document: ManifestDocument, direction: Direction): RewrittenDocument {
  let result: RewrittenDocument = { edits: [], value: document.value, notes: [], failures: [] };
  for (const { object, path } of document.objects.filter(({ object }) => isWorkflowObject(object))) {
    const { name, notes, ...change } = direction === 'back' ? changeBack(object) : changeForth(object);
    const patch = change.patch.map((operation) => ({ ...operation, path: pointer(...path) + operation.path }));
    const edited = patch.length === 0 ? NO_EDITS : editObject(document, patch, direction);
    result = edited.ok
      ? {
          ...result,
          edits: [...result.edits, ...edited.edits],
          value: applyPatch(result.value, patch),
          notes: [...result.notes, ...notes],
        }
      : { ...result, failures: [...result.failures, `${name} is left as it is: ${edited.message}. Edit it by hand.`] };
  }
  return result;
}

const NO_EDITS = { ok: true, edits: [] } as const;
const MISREAD = 'the result would not be read as it is meant, so nothing is changed. Please report this with the file';

function isReadAs(text: string, wanted: readonly unknown[]): boolean {
  const { documents, problems } = readManifest(text);
  return (
    problems.length === 0 &&
    deepEqual(
      documents.map(({ value }) => value),
      wanted,
    )
  );
}

// ---- what is to be done

interface Change {
  readonly name: string;
  readonly patch: JsonPatch;
  readonly notes: readonly string[];
}

function changeForth(object: JsonObject): Change {
  const name = describe(object);
  const { patch, moved, copied, warnings } = moveMemoize(object);
  const notes = [
    ...moved.map((path) => `${name}: ${path}.memoize moved into annotations.`),
    ...copied.map((path) => `${name}: ${path} got a copy of templateDefaults.memoize.`),
    ...warnings.map((warning) => `${name}: ${warning}`),
  ];
  return { name, patch, notes };
}

function changeBack(object: JsonObject): Change {
  const name = describe(object);
  const { patch, restored } = restoreMemoize(object);
  return { name, patch, notes: restored.map((path) => `${name}: ${path} is as it was before the move.`) };
}

function describe({ kind, metadata }: JsonObject): string {
  const { name, generateName } = isObject(metadata) ? metadata : {};
  const shown = name ?? generateName;
  return typeof shown === 'string' ? `${kind} ${shown}` : `${kind}`;
}

// ---- how it is done

type Edited = ReturnType<typeof editDocument>;

function editObject(document: ManifestDocument, patch: JsonPatch, direction: Direction): Edited {
  if (direction === 'forth') return editForth(document, patch);
  const wanted = applyPatch(document.value, patch);
  const attempts = [true, false].map(
    (usesKept) => () => editDocument(document, patch, { usesKept, markOf: () => 'none' }),
  );
  return firstReadAs(document, wanted, attempts);
}

/** The first attempt that leads to a document that is read as it should. */
function firstReadAs(document: ManifestDocument, wanted: unknown, attempts: readonly (() => Edited)[]): Edited {
  let last: Edited = { ok: false, message: 'its aliases or merge keys are in the way' };
  for (const attempt of attempts) {
    const edited = attempt();
    if (edited.ok && isReadAs(applyEdits(document.text, edited.edits), [wanted])) return edited;
    if (!edited.ok) last = edited;
  }
  return last;
}

/**
 * A mark is left only where the way back needs it: the place alone where annotations join others, the whole text where it
 * was written in a way that would not come back by itself.
 */
function editForth(document: ManifestDocument, patch: JsonPatch): Edited {
  const templates = movedTemplates(patch);
  const marks = new Map(templates.map((template) => [template, leastMark(document, template)]));
  for (const template of templates) {
    const isWorthKeeping = hasOwnLayout(document, `${template}/${MARKED_MEMBER}`);
    if (isWorthKeeping && !comesBack(document, patch, template, marks.get(template) ?? 'none'))
      marks.set(template, 'long');
  }
  const wanted = applyPatch(document.value, patch);
  const edit = (markOf: (pointer: string) => PlaceMark) => () =>
    editDocument(document, patch, { usesKept: true, markOf });
  return firstReadAs(document, wanted, [edit((template) => marks.get(template) ?? 'none')]);
}

/** The templates whose block moves. */
function movedTemplates(patch: JsonPatch): readonly string[] {
  const marked = patch.flatMap(({ op, path }) => {
    return op === 'remove' && path.endsWith(`/${MARKED_MEMBER}`) ? [path.slice(0, -MARKED_MEMBER.length - 1)] : [];
  });
  return marked.filter((template) => operationsOn(patch, template).some(movesInto));
}

function operationsOn(patch: JsonPatch, template: string): JsonPatch {
  return patch.filter(({ path }) => path.startsWith(`${template}/memoize`) || path.startsWith(`${template}/metadata`));
}

function movesInto(operation: JsonPatch[number]): boolean {
  return (
    operation.path.endsWith(pointer(MOVED_FROM_ANNOTATION)) ||
    JSON.stringify('value' in operation ? operation.value : '').includes(MOVED_FROM_ANNOTATION)
  );
}

/** New metadata take the place of the block; where there are some already, the place is left empty. */
function leastMark({ root }: ManifestDocument, template: string): PlaceMark {
  return findPair(root, `${template}/metadata`) === undefined ? 'none' : 'short';
}

/** Whether this template alone, moved and moved back, is what it was, to the letter. */
function comesBack(document: ManifestDocument, patch: JsonPatch, template: string, mark: PlaceMark): boolean {
  const own = operationsOn(patch, template);
  const there = editDocument(document, own, { usesKept: true, markOf: () => mark });
  if (!there.ok) return false;
  const [moved] = readManifest(applyEdits(document.text, there.edits)).documents;
  const object = moved?.objects.find(({ path }) => template.startsWith(`${pointer(...path)}/`));
  if (moved === undefined || object === undefined) return true;
  const prefix = pointer(...object.path);
  const restored = restoreMemoize(object.object).patch.map((operation) => ({
    ...operation,
    path: prefix + operation.path,
  }));
  const back = editDocument(moved, operationsOn(restored, template), { usesKept: true, markOf: () => 'none' });
  return back.ok && applyEdits(moved.text, back.edits) === document.text;
}

// ---- text

/** Edits do not overlap; those at one place keep their order. */
function applyEdits(text: string, edits: readonly TextEdit[]): string {
  const sorted = [...edits].sort((a, b) => a.start - b.start || a.end - b.end);
  let result = '';
  let position = 0;
  for (const edit of sorted) {
    result += text.slice(position, Math.max(edit.start, position)) + edit.text;
    position = Math.max(edit.end, position);
  }
  return result + text.slice(position);
}

/** From the text of a document, its lines ended by LF, to that of its file, whose last line is ended too. */
function toFileEdit(file: string, ending: string, document: ManifestDocument, edit: TextEdit): TextEdit {
  if (document.syntax === 'json') return edit;
  const toFile = (offset: number) => {
    const at = document.toFileOffset(offset);
    return offset === document.text.length && at === file.length - ending.length ? file.length : at;
  };
  const start = toFile(edit.start);
  return { start, end: toFile(edit.end), text: edit.text.replaceAll('\n', lineBreakAt(file, start)) };
}

/** As the lines around end. */
function lineBreakAt(file: string, offset: number): string {
  const after = file.indexOf('\n', offset);
  const at = after === -1 ? file.lastIndexOf('\n') : after;
  return at > 0 && file[at - 1] === '\r' ? '\r\n' : '\n';
}
