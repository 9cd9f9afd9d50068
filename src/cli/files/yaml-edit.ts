/**
 * Carries out a JSON Patch on the text of a YAML document, so that whatever the patch does not touch stays as it was
 * written, to the letter. Where the text cannot be edited in place (flow collections, say), the document is printed
 * anew by the `yaml` package, which keeps comments but not all of the layout. Either way the result is read back and
 * compared before it is used.
 */
import jsonpatch from 'jsonpatch';
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  type Pair,
  parseDocument,
  stringify,
  visit,
  type YAMLMap,
} from 'yaml';
import { deepEqual } from '../../base/json.ts';
import type { JsonPatch, JsonPatchOperation } from '../../base/json-patch.ts';

/** As Kubernetes' own reader takes YAML: merge keys (`<<`) count. */
export const YAML_OPTIONS = { merge: true, uniqueKeys: true, logLevel: 'error' } as const;
/** Values are quoted: what is text in YAML 1.2 (`yes`, `1:30`) may be something else to Kubernetes, which reads 1.1. */
const PRINT_OPTIONS = { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' } as const;

export type YamlEdit =
  | { readonly ok: true; readonly text: string; readonly isReprinted: boolean }
  | { readonly ok: false; readonly message: string };

/** The text of one document (no `---` inside) with the patch carried out. Operations: add, replace and remove of members. */
export function editYaml(text: string, patch: JsonPatch): YamlEdit {
  const document = parseDocument(text, YAML_OPTIONS);
  const error = document.errors[0];
  if (error !== undefined) return { ok: false, message: error.message };
  const wanted = jsonpatch.apply_patch(document.toJS(), patch);
  const inPlace = editInPlace(text, document, patch);
  if (inPlace !== undefined && readsAs(inPlace, wanted)) return { ok: true, text: inPlace, isReprinted: false };
  const reprinted = reprint(text, patch);
  if (reprinted !== undefined && readsAs(reprinted, wanted)) return { ok: true, text: reprinted, isReprinted: true };
  return { ok: false, message: 'its aliases or merge keys are in the way: write the annotations by hand' };
}

function readsAs(text: string, wanted: unknown): boolean {
  const document = parseDocument(text, YAML_OPTIONS);
  return document.errors.length === 0 && deepEqual(document.toJS(), wanted);
}

/** The parts of a JSON Pointer, unescaped. */
function partsOf(path: string): string[] {
  return path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

// ---- printing anew

function reprint(text: string, patch: JsonPatch): string | undefined {
  const document = parseDocument(text, YAML_OPTIONS);
  try {
    for (const operation of patch) {
      const path = partsOf(operation.path);
      if (operation.op === 'remove') document.deleteIn(path);
      else if (operation.op !== 'test') document.setIn(path, document.createNode(operation.value));
    }
    return document.toString({
      ...PRINT_OPTIONS,
      indentSeq: !/^( *)[^\s#-][^\n]*:[ \t]*\r?\n\1- /m.test(text),
      flowCollectionPadding: /\{ /.test(text),
    });
  } catch {
    // A path through an alias, or something that is no map.
    return undefined;
  }
}

// ---- editing in place

/** One stretch of the text that becomes another. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** What is to happen to the members of one map. */
interface MapChange {
  readonly map: YAMLMap;
  readonly removed: Pair[];
  readonly added: { readonly key: string; readonly value: unknown; readonly replaces?: Pair }[];
}

/** Undefined where a map of the patch is not a block map with members. */
function editInPlace(text: string, document: Document.Parsed, patch: JsonPatch): string | undefined {
  const changes = new Map<YAMLMap, MapChange>();
  for (const operation of patch) {
    if (operation.op === 'test') continue;
    if (!noteChange(document, operation, changes)) return undefined;
  }
  const edits: Edit[] = [];
  for (const change of changes.values()) {
    const own = editMap(text, change);
    if (own === undefined) return undefined;
    edits.push(...own);
  }
  return applyEdits(text, edits);
}

function noteChange(
  document: Document.Parsed,
  operation: JsonPatchOperation,
  changes: Map<YAMLMap, MapChange>,
): boolean {
  const path = partsOf(operation.path);
  const key = path.pop() ?? '';
  const map = document.getIn(path, true);
  if (!isMap(map) || map.flow === true || map.items.length === 0) return false;
  const change = changes.get(map) ?? { map, removed: [], added: [] };
  changes.set(map, change);
  const present = map.items.find((pair) => isScalar(pair.key) && pair.key.value === key);
  if (operation.op === 'remove') {
    if (present !== undefined) change.removed.push(present);
    return present !== undefined;
  }
  change.added.push({ key, value: operation.value, ...(present !== undefined && { replaces: present }) });
  return true;
}

/** New members take the place of the first one that goes, or stand after the name, or at the end of the map. */
function editMap(text: string, { map, removed, added }: MapChange): Edit[] | undefined {
  const extents = new Map(map.items.map((pair) => [pair, extentOf(text, pair)]));
  const indent = columnOf(text, [...extents.values()].find((extent) => extent !== undefined)?.start ?? 0);
  const fresh = added.filter(({ replaces }) => replaces === undefined);
  const edits = added.flatMap(({ key, value, replaces }) => {
    return replaces === undefined ? [] : [replacePair(text, replaces, extents, render(text, [{ key, value }], indent))];
  });
  for (const [index, pair] of removed.entries()) {
    const takesPlace = index === 0 && fresh.length > 0;
    edits.push(
      takesPlace ? replacePair(text, pair, extents, render(text, fresh, indent)) : removePair(text, map, pair, extents),
    );
  }
  if (removed.length === 0 && fresh.length > 0) {
    const anchor = map.items.find(({ key }) => isScalar(key) && key.value === 'name') ?? map.items.at(-1);
    edits.push(insertAfter(text, anchor && extents.get(anchor), render(text, fresh, indent)));
  }
  return edits.every((edit) => edit !== undefined) ? edits : undefined;
}

type Extents = ReadonlyMap<Pair, Extent | undefined>;

/** From the key of a pair to the end of the last line of its value. */
interface Extent {
  readonly start: number;
  readonly end: number;
}

function extentOf(text: string, pair: Pair): Extent | undefined {
  const start = isNode(pair.key) ? pair.key.range?.[0] : undefined;
  if (start === undefined) return undefined;
  const last = Math.max(lastOffset(pair.key), lastOffset(pair.value));
  // A block scalar ends with its line, everything else before the comment on it.
  if (text[last - 1] === '\n') return { start, end: last };
  const lineEnd = text.indexOf('\n', last);
  return { start, end: lineEnd === -1 ? text.length : lineEnd + 1 };
}

/** Where the last token of a node ends; the range of a block collection would take in comments that follow it. */
function lastOffset(node: unknown): number {
  if (!isNode(node)) return 0;
  if (isScalar(node) || isAlias(node) || ('flow' in node && node.flow === true)) return node.range?.[1] ?? 0;
  const items: readonly unknown[] = 'items' in node && Array.isArray(node.items) ? node.items : [];
  return items.reduce<number>((last, item) => {
    const pair = item as Partial<Pair>;
    return Math.max(last, isNode(item) ? lastOffset(item) : Math.max(lastOffset(pair.key), lastOffset(pair.value)));
  }, 0);
}

function lineStartOf(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

function columnOf(text: string, offset: number): number {
  return offset - lineStartOf(text, offset);
}

/** `metadata:` and what is below it, each line but the first indented. Ends with a line break. */
function render(text: string, members: readonly { key: string; value: unknown }[], indent: number): string {
  const lines = stringify(Object.fromEntries(members.map(({ key, value }) => [key, value])), PRINT_OPTIONS);
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  return lines
    .trimEnd()
    .split('\n')
    .map((line, index) => (index === 0 ? line : ' '.repeat(indent) + line) + eol)
    .join('');
}

function replacePair(text: string, pair: Pair, extents: Extents, replacement: string): Edit | undefined {
  const extent = extents.get(pair);
  if (extent === undefined) return undefined;
  const whole = commentsOf(pair, text, columnOf(text, extent.start)) + replacement;
  return { ...extent, text: text[extent.end - 1] === '\n' ? whole : whole.trimEnd() };
}

/** What was said inside of a pair that goes stays in its place. */
function removePair(text: string, map: YAMLMap, pair: Pair, extents: Extents): Edit | undefined {
  const extent = extents.get(pair);
  if (extent === undefined) return undefined;
  const lineStart = lineStartOf(text, extent.start);
  const comments = commentsOf(pair, text, columnOf(text, extent.start));
  if (/^\s*$/.test(text.slice(lineStart, extent.start))) {
    return comments === ''
      ? { start: lineStart, end: extent.end, text: '' }
      : { ...extent, text: comments.replace(/[ ]+$/, '') };
  }
  // The first key of a list item stands behind the dash: the next one takes its place.
  const next = map.items[map.items.indexOf(pair) + 1];
  const nextStart = next && extents.get(next)?.start;
  return nextStart === undefined ? undefined : { start: extent.start, end: nextStart, text: comments };
}

/** The comments inside of a pair, each on a line of its own; what follows them stands at the same column. */
function commentsOf(pair: Pair, text: string, indent: number): string {
  if (!isNode(pair.value)) return '';
  const found: string[] = [];
  visit(pair.value, {
    Node: (_, node) => {
      found.push(...[node.commentBefore, node.comment].flatMap((comment) => comment?.split('\n') ?? []));
    },
  });
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  return found.map((comment) => `#${comment.trimEnd()}${eol}${' '.repeat(indent)}`).join('');
}

function insertAfter(text: string, anchor: Extent | undefined, rendered: string): Edit | undefined {
  if (anchor === undefined) return undefined;
  const indent = ' '.repeat(columnOf(text, anchor.start));
  const hasEnd = text[anchor.end - 1] === '\n';
  return { start: anchor.end, end: anchor.end, text: hasEnd ? indent + rendered : `\n${indent}${rendered.trimEnd()}` };
}

/** Undefined where two edits overlap. */
function applyEdits(text: string, edits: readonly Edit[]): string | undefined {
  const sorted = [...edits].sort((one, other) => one.start - other.start || one.end - other.end);
  let result = '';
  let at = 0;
  for (const edit of sorted) {
    if (edit.start < at) return undefined;
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}
