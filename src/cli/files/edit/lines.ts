/** Where the members of a block mapping stand: whole lines. */
import type { Pair, YamlNode } from '../yaml/node.ts';
import { NotEditable } from './changes.ts';

/** Whole lines of a block mapping: from a key, or from the beginning of its line, to the end of the last line of its value. */
export interface Lines {
  readonly start: number;
  readonly end: number;
  readonly column: number;
  /** Whether the key is the first thing on its line; else it stands behind dashes. */
  readonly isWholeLine: boolean;
}

export function linesOf(text: string, { key, value }: Pair): Lines {
  const lineStart = text.lastIndexOf('\n', key.start - 1) + 1;
  const before = text.slice(lineStart, key.start);
  if (!/^ *(?:- *)*$/.test(before)) throw new NotEditable('its key does not begin its line');
  const isWholeLine = /^ *$/.test(before);
  return {
    start: isWholeLine ? lineStart : key.start,
    end: endOfLines(text, key, value),
    column: key.start - lineStart,
    isWholeLine,
  };
}

export function endOfLines(text: string, key: YamlNode, value: YamlNode): number {
  const last = lastLeaf(value);
  if (last.kind === 'scalar' && last.style === 'block') {
    const isKept = /^[|>][0-9]?\+/.test(text.slice(last.start, last.start + 3));
    return isKept ? last.end : last.start + text.slice(last.start, last.end).replace(/\n+$/, '').length + 1;
  }
  const from = Math.max(last.end, key.end);
  const lineEnd = text.indexOf('\n', from);
  return lineEnd === -1 ? text.length : lineEnd + 1;
}

export function lastLeaf(node: YamlNode): YamlNode {
  if (node.kind === 'map' && node.style === 'block') {
    const last = node.pairs.at(-1);
    return last === undefined ? node : lastLeaf(last.value);
  }
  if (node.kind === 'list' && node.style === 'block') {
    const last = node.items.at(-1);
    return last === undefined ? node : lastLeaf(last);
  }
  return node;
}

export const DEFAULT_STEP = 2;

/** By how much the members of a block value are indented against its key. */
export function stepOf(text: string, { key, value }: Pair): number {
  const [first] = value.kind === 'map' && value.style === 'block' ? value.pairs : [];
  return first === undefined ? DEFAULT_STEP : columnOf(text, first.key.start) - columnOf(text, key.start);
}

export function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}
