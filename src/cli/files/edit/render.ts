/** Writes values in the layout that surrounds them, so that what was written before is written the same way again. */
import { isObject } from '../../../base/json.ts';
import type { ScalarNode, YamlNode } from '../yaml/node.ts';

/** How texts were written before: a value that is written again keeps its quotes, and its place among others. */
export interface KnownTexts {
  /** Takes the next place where this text stood; undefined where it stood nowhere. */
  take(text: string): { readonly source: string; readonly position: number } | undefined;
}

/** The single-line texts below some nodes, in their order. */
export function knownTexts(nodes: readonly YamlNode[], text: string): KnownTexts {
  const found = nodes.flatMap(scalarsBelow).flatMap(({ style, start, end, text: value }) => {
    const source = text.slice(start, end);
    const isKept = style !== 'block' && style !== 'json' && source !== '' && !source.includes('\n');
    return isKept ? [{ value, source, position: start }] : [];
  });
  const places = Map.groupBy(found, ({ value }) => value);
  return { take: (wanted) => places.get(wanted)?.shift() };
}

function scalarsBelow(node: YamlNode): readonly ScalarNode[] {
  if (node.kind === 'scalar') return [node];
  if (node.kind === 'list') return node.items.flatMap(scalarsBelow);
  return node.kind === 'map' ? node.pairs.flatMap(({ value }) => scalarsBelow(value)) : [];
}

/** A member with its value written out, or members below it. */
interface Written {
  readonly key: string;
  readonly value: string | readonly Written[];
  /** Where its first known text stood; Infinity where it has none. */
  readonly position: number;
}

/** Members in the order in which their texts stood before; those that are new come last. */
function write(
  members: readonly (readonly [string, unknown])[],
  known: KnownTexts,
  isFlow: boolean,
): readonly Written[] {
  const written = members.map(([key, value]): Written => {
    if (isObject(value) && Object.keys(value).length > 0) {
      const below = write(Object.entries(value), known, isFlow);
      return { key: keyText(key), value: below, position: Math.min(...below.map(({ position }) => position)) };
    }
    const place = typeof value === 'string' ? known.take(value) : undefined;
    const source =
      place !== undefined && !(isFlow && /[,[\]{}?]/.test(place.source) && !/^["']/.test(place.source))
        ? place.source
        : undefined;
    return {
      key: keyText(key),
      value: source ?? scalarText(value),
      position: place?.position ?? Number.POSITIVE_INFINITY,
    };
  });
  return [...written].sort((a, b) => (a.position === b.position ? 0 : a.position - b.position));
}

function keyText(key: string): string {
  return /^[A-Za-z_][\w./-]*$/.test(key) && !/^(?:y|n|yes|no|on|off|true|false|null)$/i.test(key) ? key : quoted(key);
}

function scalarText(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  return JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? Number(member) : member));
}

/** In double quotes, with escapes for all that a reader of YAML might take for a line break, or refuse. */
export function quoted(text: string): string {
  return JSON.stringify(text).replace(/[\x7f-\x9f\u2028\u2029\ufeff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** Members of a block mapping, one line each or more, without the indentation of the first line. */
export function renderBlock(
  members: readonly (readonly [string, unknown])[],
  { column, step, known }: { readonly column: number; readonly step: number; readonly known: KnownTexts },
): string {
  const lines = (written: readonly Written[], indent: number): string[] => {
    return written.flatMap(({ key, value }) => {
      const start = ' '.repeat(indent) + key;
      return typeof value === 'string' ? [`${start}: ${value}`] : [`${start}:`, ...lines(value, indent + step)];
    });
  };
  return lines(write(members, known, false), column)
    .join('\n')
    .slice(column);
}

/** Members of a mapping in braces, without the braces; `gap` stands between two of them. */
export function renderFlow(
  members: readonly (readonly [string, unknown])[],
  known: KnownTexts,
  gap: string = FLOW_GAP,
): string {
  const join = (written: readonly Written[]): string => {
    return written
      .map(({ key, value }) => `${key}: ${typeof value === 'string' ? value : `{${join(value)}}`}`)
      .join(gap);
  };
  return join(write(members, known, true));
}

export const FLOW_GAP = ', ';

/** Members of a JSON object, without the braces: on lines of their own where `indent` says how they are indented. */
export function renderJson(
  members: readonly (readonly [string, unknown])[],
  indent: string | undefined,
  unit: string,
): string {
  const shown = members.map(([key, value]) => {
    const text = JSON.stringify(value, null, indent === undefined ? undefined : unit) ?? 'null';
    return `${JSON.stringify(key)}: ${indent === undefined ? text : text.replaceAll('\n', `\n${indent}`)}`;
  });
  return shown.join(indent === undefined ? ', ' : `,\n${indent}`);
}
