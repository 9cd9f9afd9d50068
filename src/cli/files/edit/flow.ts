/** Members of mappings in braces: in YAML, and in JSON. */
import type { ManifestDocument } from '../read-manifests.ts';
import type { MapNode, Pair, YamlNode } from '../yaml/node.ts';
import { type MapChange, type MapEdit, type TextEdit, visit } from './changes.ts';
import { columnOf } from './lines.ts';
import { FLOW_GAP, renderFlow, renderJson } from './render.ts';

export function editFlowMap(edit: MapEdit): readonly TextEdit[] {
  const { document, change } = edit;
  const { removed, added, map } = change;
  const [place, ...others] = removed;
  if (place !== undefined && added.length > 0) {
    const comments = commentsIn(document, place);
    const text = comments + flowMembers(edit, added);
    return [
      { start: place.key.start, end: place.value.end, text },
      ...others.map((pair) => removeFlowPair(document, map, pair)),
    ];
  }
  const edits = removed.map((pair) => removeFlowPair(document, map, pair));
  return added.length === 0 ? edits : [...edits, insertFlow(edit, added)];
}

function flowMembers({ document, known, change }: MapEdit, members: MapChange['added']): string {
  if (document.syntax === 'yaml') return renderFlow(members, known, gapIn(document.text, change.map));
  return renderJson(members, lineIndent(document.text, change.map), indentUnit(document.text, change.map));
}

/** How each member is indented where each has a line of its own; undefined where they share one. */
function lineIndent(text: string, { start, pairs }: MapNode): string | undefined {
  const [first] = pairs;
  if (first === undefined) return undefined;
  const gap = text.slice(start + 1, first.key.start);
  return /^[ \t]*\r?\n[ \t]*$/.test(gap) ? gap.slice(gap.lastIndexOf('\n') + 1) : undefined;
}

function indentUnit(text: string, map: MapNode): string {
  const own = lineIndent(text, map) ?? '';
  const outer = /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', map.start) + 1))?.[0] ?? '';
  return own.startsWith(outer) && own.length > outer.length ? own.slice(outer.length) : '  ';
}

/** Annotations in braces that begin on a line of their own get a line each: one line for all would be long. */
const ALONE = /^ *(?:- +)*["']?metadata["']?: *\{? *(?:["']?annotations["']?: *)?$/;

function gapIn(text: string, map: MapNode): string {
  const lineStart = text.lastIndexOf('\n', map.start - 1) + 1;
  const before = text.slice(lineStart, map.start);
  const isAlone = ALONE.test(before) || /^ *["']?annotations["']?: *$/.test(before);
  return isAlone ? `,\n${' '.repeat(before.search(/[^ -]/) + 2)}` : FLOW_GAP;
}

function insertFlow(edit: MapEdit, members: MapChange['added']): TextEdit {
  const { document, change } = edit;
  const last = change.map.pairs.at(-1);
  if (last === undefined) {
    const start = change.map.start + 1;
    return { start, end: start, text: flowMembers(edit, members) };
  }
  const indent = lineIndent(document.text, change.map);
  const flowGap = document.syntax === 'yaml' ? gapIn(document.text, change.map) : FLOW_GAP;
  const gap = indent === undefined ? flowGap : `,\n${indent}`;
  return { start: last.value.end, end: last.value.end, text: gap + flowMembers(edit, members) };
}

/** With the comma that it needs no more; comments around it stay. */
function removeFlowPair({ text }: ManifestDocument, map: MapNode, pair: Pair): TextEdit {
  const index = map.pairs.indexOf(pair);
  const [before, after] = [map.pairs[index - 1], map.pairs[index + 1]];
  const gapBefore = before === undefined ? undefined : text.slice(before.value.end, pair.key.start);
  if (before !== undefined && gapBefore !== undefined && !gapBefore.includes('#')) {
    return { start: before.value.end, end: pair.value.end, text: '' };
  }
  const gapAfter = after === undefined ? '' : text.slice(pair.value.end, after.key.start);
  const isClean = !gapAfter.includes('#');
  return {
    start: pair.key.start,
    end: isClean ? pair.value.end + gapAfter.length : pair.value.end + gapAfter.indexOf(',') + 1,
    text: '',
  };
}

/** The comments within a pair, each on its line; what follows is in the column of the pair. */
function commentsIn({ text }: ManifestDocument, pair: Pair): string {
  const comments = findComments(text, pair);
  const column = columnOf(text, pair.key.start);
  return comments.map((comment) => `${comment}\n${' '.repeat(column)}`).join('');
}

export function findComments(text: string, pair: Pair): readonly string[] {
  const comments: string[] = [];
  let position = pair.key.start;
  const leaves: YamlNode[] = [];
  visit(
    {
      kind: 'map',
      style: 'flow',
      pairs: [pair],
      start: pair.key.start,
      end: pair.value.end,
      propertiesStart: pair.key.start,
    },
    (node) => {
      if (node.kind === 'scalar' || node.kind === 'alias') leaves.push(node);
    },
  );
  for (const { start, end } of [...leaves, { start: pair.value.end, end: pair.value.end }]) {
    comments.push(...(text.slice(position, Math.max(start, position)).match(/#[^\n]*/g) ?? []));
    position = Math.max(end, position);
  }
  return comments.map((comment) => comment.trimEnd());
}
