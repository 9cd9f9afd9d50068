/** Members of block mappings: one member a line, or more. */

import type { Pair } from '../yaml/node.ts';
import { type MapChange, type MapEdit, NotEditable, type TextEdit } from './changes.ts';
import { DEFAULT_STEP, type Lines, linesOf, stepOf } from './lines.ts';
import { findMark, MARKED_MEMBER, type Mark, markText } from './mark.ts';
import { renderBlock } from './render.ts';

export function editBlockMap(edit: MapEdit): readonly TextEdit[] {
  const { document, change } = edit;
  const { removed, added, map } = change;
  const mark = added.some(([key]) => key === MARKED_MEMBER) ? findMark(document.text, map) : undefined;
  if (mark !== undefined) return [fillMark(edit, mark), ...removed.map((pair) => removeLines(edit, pair))];
  const [place, ...others] = removed;
  if (place !== undefined && added.length > 0) {
    return [replaceLines(edit, place, added), ...others.map((pair) => removeLines(edit, pair))];
  }
  const edits = removed.map((pair) => removeLines(edit, pair));
  return added.length === 0 ? edits : [...edits, insertLines(edit, added)];
}

function replaceLines(edit: MapEdit, place: Pair, members: MapChange['added']): TextEdit {
  const { document } = edit;
  const lines = linesOf(document.text, place);
  const mark = markText(edit, place, lines, edit.options.markOf(edit.change.pointer));
  return {
    start: lines.start,
    end: lines.end,
    text: mark + blockText(edit, members, lines, mark !== '', stepOf(document.text, place)),
  };
}

/** Members on lines of their own. Behind dashes the first line is indented by what stands before it already. */
function blockText(
  { known }: MapEdit,
  members: MapChange['added'],
  lines: Lines,
  isBehindMark: boolean,
  step: number,
): string {
  const text = renderBlock(members, { column: lines.column, step, known });
  const isIndented = lines.isWholeLine || isBehindMark;
  return `${isIndented ? ' '.repeat(lines.column) : ''}${text}\n`;
}

function removeLines(edit: MapEdit, pair: Pair): TextEdit {
  const { document, change, options } = edit;
  const lines = linesOf(document.text, pair);
  const mark = pair.key.kind === 'scalar' && pair.key.text === MARKED_MEMBER ? options.markOf(change.pointer) : 'none';
  const text = markText(edit, pair, lines, mark);
  if (text === '' && !lines.isWholeLine) {
    // The next member, or the comment before it, moves up behind the dash.
    const next = change.map.pairs[change.map.pairs.indexOf(pair) + 1];
    if (next === undefined) throw new NotEditable('nothing would be left of its mapping');
    const comment = document.text.slice(lines.end, next.key.start).indexOf('#');
    return { start: lines.start, end: comment === -1 ? next.key.start : lines.end + comment, text: '' };
  }
  return { start: lines.start, end: lines.end, text };
}

function insertLines(edit: MapEdit, members: MapChange['added']): TextEdit {
  const { document, change } = edit;
  const { pairs } = change.map;
  const named = pairs.find(({ key, value }) => key.kind === 'scalar' && key.text === 'name' && value.kind === 'scalar');
  const isOneLine = named !== undefined && !document.text.slice(named.key.start, named.value.end).includes('\n');
  const anchor = members.some(([key]) => key === MARKED_MEMBER) && isOneLine ? named : pairs.at(-1);
  if (anchor === undefined) throw new NotEditable('its mapping is empty');
  const lines = linesOf(document.text, anchor);
  const text = blockText(edit, members, { ...lines, isWholeLine: true }, false, DEFAULT_STEP);
  return { start: lines.end, end: lines.end, text };
}

function fillMark(edit: MapEdit, { lines, kept }: Mark): TextEdit {
  const members = edit.change.added;
  const indent = lines.isWholeLine ? ' '.repeat(lines.column) : '';
  const isAlone = members.length === 1;
  if (kept !== undefined && isAlone && edit.options.usesKept)
    return { start: lines.start, end: lines.end, text: `${indent}${kept}\n` };
  const [place] = edit.change.removed;
  const step = place === undefined ? DEFAULT_STEP : stepOf(edit.document.text, place);
  return { start: lines.start, end: lines.end, text: blockText(edit, members, lines, false, step) };
}
