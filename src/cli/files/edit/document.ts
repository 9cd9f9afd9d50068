/**
 * Carries out a JSON Patch on the text of a document. What the patch does not touch stays to the letter: nothing is ever
 * printed anew. Where `memoize` leaves its place, a comment can keep it, for the way back.
 */

import { isObject } from '../../../base/json.ts';
import type { JsonPatch } from '../../../base/json-patch.ts';
import type { ManifestDocument } from '../read-manifests.ts';
import type { Pair, YamlNode } from '../yaml/node.ts';
import { editBlockMap } from './block.ts';
import {
  type DocumentEdit,
  type EditOptions,
  groupChanges,
  type MapChange,
  type MapEdit,
  NotEditable,
  type TextEdit,
  visit,
} from './changes.ts';
import { editFlowMap } from './flow.ts';
import { columnOf } from './lines.ts';
import { type KnownTexts, knownTexts, renderFlow } from './render.ts';

/** Operations: add, replace and remove of members. `test` is passed over. */
export function editDocument(document: ManifestDocument, patch: JsonPatch, options: EditOptions): DocumentEdit {
  try {
    const changes = groupChanges(document.root, patch);
    const removed = changes.flatMap((change) => [...change.removed, ...change.replaced.map(([pair]) => pair)]);
    checkAnchors(document.root, removed);
    const known = new Map([...Map.groupBy(changes, holderOf)].map(([holder, own]) => [holder, knownIn(document, own)]));
    const edits = changes.flatMap((change) => {
      return editMap({ document, known: known.get(holderOf(change)) ?? knownIn(document, []), options, change });
    });
    return { ok: true, edits: distinct(edits) };
  } catch (error) {
    if (error instanceof NotEditable) return { ok: false, message: error.message };
    throw error;
  }
}

/** The template that a change is about: texts that go from one of its members may come back in another. */
function holderOf({ pointer }: MapChange): string {
  return pointer.replace(/\/metadata(?:\/annotations)?$/, '');
}

function knownIn(document: ManifestDocument, changes: readonly MapChange[]): KnownTexts {
  const gone = changes.flatMap(({ removed, replaced }) => [...removed, ...replaced.map(([pair]) => pair)]);
  return knownTexts(
    gone.map(({ value }) => value),
    document.text,
  );
}

/** Two paths may lead to one place, by an alias. */
function distinct(edits: readonly TextEdit[]): readonly TextEdit[] {
  const found = new Map(edits.map((edit) => [JSON.stringify(edit), edit]));
  return [...found.values()].sort((a, b) => a.start - b.start || a.end - b.end || indentOf(b) - indentOf(a));
}

/** Of two insertions at one place the deeper one belongs to what stands above. */
function indentOf({ text }: TextEdit): number {
  return /^ */.exec(text)?.[0].length ?? 0;
}

/** An anchor that goes must not be missed by an alias that stays. */
function checkAnchors(root: YamlNode, removed: readonly Pair[]): void {
  const gone = new Set<string>();
  const isGone = (node: YamlNode) => removed.some(({ key, value }) => node.start >= key.start && node.end <= value.end);
  visit(root, (node) => {
    if (node.kind !== 'alias' && node.anchor !== undefined && isGone(node)) gone.add(node.anchor);
  });
  visit(root, (node) => {
    if (node.kind === 'alias' && gone.has(node.name) && !isGone(node)) {
      throw new NotEditable(`the anchor &${node.name} in it is used elsewhere`);
    }
  });
}

function editMap(edit: MapEdit): readonly TextEdit[] {
  const replaced = edit.change.replaced.map(([pair, value]) => replaceValue(edit, pair, value));
  return [...replaced, ...(edit.change.map.style === 'flow' ? editFlowMap(edit) : editBlockMap(edit))];
}

/** A value takes another's place within its line or its braces. */
function replaceValue(edit: MapEdit, pair: Pair, wanted: unknown): TextEdit {
  const { value: node } = pair;
  if (node.kind === 'map' && node.style === 'flow' && isObject(wanted) && Object.keys(wanted).length === 0) {
    // The braces stay as they are, blanks and all.
    const [first, last] = [node.pairs[0], node.pairs.at(-1)];
    return { start: first?.key.start ?? node.end, end: last?.value.end ?? node.end, text: '' };
  }
  if (node.kind !== 'scalar' && !(node.kind === 'map' && node.style === 'flow')) {
    throw new NotEditable('what is to be replaced stands on several lines');
  }
  return restoreNull(edit, pair, wanted) ?? replaceSource(edit, pair, wanted);
}

function replaceSource({ document, known, change }: MapEdit, { key, value: node }: Pair, wanted: unknown): TextEdit {
  const shown = document.syntax === 'json' ? JSON.stringify(wanted) : inlineText(wanted, known);
  const source = document.text.slice(node.start, node.end);
  const isNull = node.kind === 'scalar' && node.style === 'plain' && isObject(wanted);
  const isNoted = isNull && source !== 'null' && document.syntax === 'yaml';
  const isInBraces = change.map.style === 'flow';
  // Behind a comment the next line begins: the blanks before its comma or brace would not be told from its indentation.
  const blanks = isNoted && isInBraces ? (/^ */.exec(document.text.slice(node.end))?.[0] ?? '') : '';
  const note = isNoted ? ` # stepmemo migrate: was "${source}${blanks}"` : '';
  const next = isNoted && isInBraces ? `\n${' '.repeat(columnOf(document.text, change.map.start) + 2)}` : '';
  const text = shown + note + next;
  if (source !== '') return { start: propertiesStartOf(node), end: node.end + blanks.length, text };
  const start = document.text.indexOf(':', key.end) + 1;
  return { start, end: start + blanks.length, text: ` ${text}` };
}

/** Null as it was written before it gave way, by the note that was left. */
function restoreNull({ document: { text } }: MapEdit, pair: Pair, wanted: unknown): TextEdit | undefined {
  const { key, value: node } = pair;
  if (wanted !== null) return undefined;
  const note = NULL_NOTE.exec(text.slice(node.end));
  if (note === null) return undefined;
  const [whole, source = ''] = note;
  const start = source.trim() === '' ? text.indexOf(':', key.end) + 1 : propertiesStartOf(node);
  return { start, end: node.end + whole.length, text: source };
}

function propertiesStartOf(node: YamlNode): number {
  return node.kind === 'alias' ? node.start : node.propertiesStart;
}

/** How null was written before it gave way, with the blanks behind it; within braces what follows is on the next line. */
const NULL_NOTE = /^ # stepmemo migrate: was "((?:~|Null|NULL|) *)"(?:\n *(?=[,}\]]))?/;

function inlineText(value: unknown, known: KnownTexts): string {
  if (isObject(value)) return `{${renderFlow(Object.entries(value), known)}}`;
  return renderFlow([['x', value]], known).slice('x: '.length);
}
