/** The comment that keeps the place of a member that has moved, and where needed its text, for the way back. */
import type { MapNode, Pair } from '../yaml/node.ts';
import type { MapEdit, PlaceMark } from './changes.ts';
import { columnOf, type Lines, linesOf } from './lines.ts';

/** The member whose place is marked, and found again by the mark. */
export const MARKED_MEMBER = 'memoize';
const MARK = '# stepmemo migrate: memoize stood here';
const MARKED_LINE = '#| ';
const MARKED_LINE_AT_MARGIN = '#<';

export function markText({ document: { text } }: MapEdit, pair: Pair, lines: Lines, mark: PlaceMark): string {
  if (mark === 'none') return '';
  const indent = ' '.repeat(lines.column);
  const kept = mark === 'short' ? [] : text.slice(pair.key.start, lines.end).replace(/\n$/, '').split('\n');
  const shown = kept.map((line, index) => {
    if (index === 0) return `${MARKED_LINE}${line}`;
    return line.startsWith(indent) ? `${MARKED_LINE}${line.slice(lines.column)}` : `${MARKED_LINE_AT_MARGIN}${line}`;
  });
  const all = [MARK, ...shown].map((line, index) => (index === 0 && !lines.isWholeLine ? line : indent + line));
  return `${all.join('\n')}\n`;
}

export interface Mark {
  readonly lines: Lines;
  /** What stood there, to the letter; undefined where only the place is kept. */
  readonly kept: string | undefined;
}

/** The mark in the lines of a mapping, in its column. */
export function findMark(text: string, map: MapNode): Mark | undefined {
  const [first] = map.pairs;
  if (first === undefined) return undefined;
  const column = columnOf(text, first.key.start);
  // The mark may stand before the first member, behind a dash even.
  const from = startOfGap(text, first.key.start);
  const to = endOfGap(text, linesOf(text, map.pairs.at(-1) ?? first).end);
  const pattern = new RegExp(`(?:^ {${column}}|(?<=- ))${MARK}\\n(?:^ {${column}}(?:#\\| |#<)[^\\n]*\\n)*`, 'gm');
  pattern.lastIndex = from;
  const match = pattern.exec(text);
  if (match === null || match.index >= to) return undefined;
  const [whole] = match;
  const kept = whole
    .split('\n')
    .slice(1, -1)
    .map((line) => readKept(line.slice(column), column));
  return {
    lines: { start: match.index, end: match.index + whole.length, column, isWholeLine: !whole.startsWith('#') },
    kept: kept.length === 0 ? undefined : kept.join('\n').slice(column),
  };
}

function readKept(line: string, column: number): string {
  if (line.startsWith(MARKED_LINE)) return ' '.repeat(column) + line.slice(MARKED_LINE.length);
  return line.slice(MARKED_LINE_AT_MARGIN.length);
}

/** The beginning of the blank and comment lines above a key, with the dash of its list item where a comment follows on it. */
function startOfGap(text: string, keyStart: number): number {
  let start = text.lastIndexOf('\n', keyStart - 1) + 1;
  if (text.slice(start, keyStart).includes('-')) return start;
  while (start > 0) {
    const previous = text.lastIndexOf('\n', start - 2) + 1;
    const line = text.slice(previous, start);
    if (/^ *(?:- +)+#/.test(line)) return previous;
    if (!/^ *(?:#.*)?\n$/.test(line)) break;
    start = previous;
  }
  return start;
}

/** The end of the blank and comment lines from there on. */
function endOfGap(text: string, from: number): number {
  const gap = /(?: *(?:#[^\n]*)?\n)*/y;
  gap.lastIndex = from;
  gap.exec(text);
  return gap.lastIndex;
}
