/**
 * Manifests in all the layouts that people and tools write them in, and mutants of them: for the tests that hold the reader
 * against kubectl's and the editor against itself.
 */
import type { Random } from './random.ts';

export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };

/** Plain texts whose meaning depends on who reads them. */
const ODD_SCALARS = [
  ...[
    'yes',
    'No',
    'on',
    'OFF',
    'y',
    'N',
    'true',
    'False',
    '~',
    'null',
    'Null',
    '',
    '1_000',
    '0o17',
    '017',
    '0x1F',
    '0b101',
  ],
  ...[
    '-0b11',
    '+12',
    '-7',
    '1.5',
    '.5',
    '1.',
    '1e3',
    '1E-2',
    '-.5',
    '1:30',
    '12:30:45',
    '2026-01-31',
    '2026-01-31T10:00:00Z',
  ],
  ...[
    '2026-1-3',
    '2001-12-14 21:59:43.10',
    '9007199254740993',
    '-9223372036854775808',
    '18446744073709551615',
    '1__0',
    '_1',
    '0_7',
  ],
  ...[
    '08',
    '09',
    '0.0',
    '1h',
    '10s',
    '24h0m',
    'a:b',
    'a#b',
    'x y',
    'http://x.y/z',
    '<<',
    '=',
    '-',
    '- a',
    'a, b',
    '{{inputs.parameters.x}}',
  ],
  ...[
    '0o8',
    '0x',
    '1e',
    '--',
    '.',
    '..',
    '...x',
    '*',
    'é',
    '日本',
    '1,000',
    '+.5',
    '0.1.2',
    '123e',
    '0b',
    '0b2',
    '-0',
    '+0x1f',
    '-0o7',
  ],
];

const WORDS = [
  'name',
  'spec',
  'metadata',
  'labels',
  'args',
  'image',
  'x',
  'key',
  'maxAge',
  'a-b',
  'c.d/e',
  '1',
  'on',
  '010',
  '2026-01-01',
];

function text(random: Random): string {
  if (random.chance(0.35)) return random.pick(ODD_SCALARS);
  const words = Array.from({ length: 1 + random.below(4) }, () =>
    random.pick(['alpha', 'beta', 'x', '#', ':', "it's", '"q"', '\\n', '{', ']', '%', '@', 'ü']),
  );
  return words.join(random.pick([' ', ' ', '', '  ', '\n', '\t']));
}

function value(random: Random, depth: number): Value {
  const roll = random.next();
  if (depth > 3 || roll < 0.5)
    return random.chance(0.75) ? text(random) : random.pick([0, 1, -5, 1.25, 1e21, true, false, null]);
  const length = random.below(4);
  if (roll < 0.7) return Array.from({ length }, () => value(random, depth + 1));
  return Object.fromEntries(Array.from({ length }, () => [name(random), value(random, depth + 1)]));
}

/** No two of these are one key to Go: `yes` and `true` would be. */
function name(random: Random): string {
  const free = text(random);
  return random.chance(0.3) && !ODD_SCALARS.includes(free) ? free : random.pick(WORDS);
}

function object(random: Random): { readonly [key: string]: Value } {
  const common = {
    apiVersion: random.pick(['v1', 'argoproj.io/v1alpha1']),
    kind: random.pick(['ConfigMap', 'Workflow', 'WorkflowTemplate']),
  };
  const metadata = { name: random.pick(['a', 'b-c', 'd']), ...(random.chance(0.3) && { labels: { app: 'x' } }) };
  const whole = { ...common, metadata, spec: value(random, 0), ...(random.chance(0.3) && { data: value(random, 1) }) };
  if (random.chance(0.1))
    return {
      apiVersion: 'v1',
      kind: random.pick(['List', 'ConfigMapList']),
      items: [whole, ...(random.chance(0.5) ? [{ metadata }] : [])],
    };
  return whole;
}

// ---- writing

/** How one document is laid out; chosen once, so that it looks like one hand wrote it. */
interface Layout {
  readonly step: number;
  readonly isIndentless: boolean;
  readonly flowChance: number;
  readonly commentChance: number;
  readonly blankChance: number;
  readonly isPadded: boolean;
  readonly plainChance: number;
}

function layoutOf(random: Random): Layout {
  return {
    step: random.pick([2, 2, 2, 4, 1, 3]),
    isIndentless: random.chance(0.5),
    flowChance: random.pick([0, 0, 0.2, 0.9]),
    commentChance: random.pick([0, 0, 0.15]),
    blankChance: random.pick([0, 0, 0.1]),
    isPadded: random.chance(0.5),
    plainChance: random.pick([1, 0.7, 0.3]),
  };
}

/** Texts that stay what they are without quotes, in both readers, in braces too. */
const SAFE_PLAIN = /^[A-Za-z/][\w./-]*(?: [\w./-]+)*$/;

function scalar(random: Random, layout: Layout, item: Exclude<Value, object>): string {
  if (typeof item !== 'string') return item === null ? random.pick(['null', '~', 'null']) : String(item);
  const isOdd = ODD_SCALARS.includes(item);
  // Half of the odd ones stand without quotes on purpose: what they then are is the question.
  if (isOdd && random.chance(0.5) && /^[\w.+:~/-]*$/.test(item) && !/:$|^[-.]+$/.test(item)) return item;
  if (SAFE_PLAIN.test(item) && random.chance(layout.plainChance)) return item;
  if (random.chance(0.4) && !/[\n\t]/.test(item)) return `'${item.replaceAll("'", "''")}'`;
  return JSON.stringify(item);
}

export type ValueMap = { readonly [key: string]: Value };

function isCollection(item: Value): item is readonly Value[] | ValueMap {
  return typeof item === 'object' && item !== null;
}

function flow(random: Random, layout: Layout, item: Value): string {
  if (!isCollection(item)) return scalar(random, layout, item);
  const parts = Array.isArray(item)
    ? item.map((one) => flow(random, layout, one))
    : Object.entries(item).map(([key, one]) => `${scalar(random, layout, key)}: ${flow(random, layout, one)}`);
  const [open, close] = Array.isArray(item) ? '[]' : '{}';
  const pad = layout.isPadded ? ' ' : '';
  const gap = random.chance(0.1) ? ',\n        ' : ', ';
  return parts.length === 0
    ? `${open}${close}`
    : `${open}${pad}${parts.join(gap)}${random.chance(0.05) ? ',' : ''}${pad}${close}`;
}

function block(random: Random, layout: Layout, item: Value, indent: number): string {
  if (!isCollection(item)) return ` ${blockScalar(random, layout, item, indent)}`;
  const isEmpty = Array.isArray(item) ? item.length === 0 : Object.keys(item).length === 0;
  if (isEmpty || random.chance(layout.flowChance)) return ` ${flow(random, layout, item)}`;
  return isList(item) ? blockList(random, layout, item, indent) : blockMap(random, layout, item, indent);
}

function blockScalar(random: Random, layout: Layout, item: Exclude<Value, object>, indent: number): string {
  if (typeof item === 'string' && item !== '' && random.chance(0.12) && !/^\s|\t/.test(item)) {
    const pad = ' '.repeat(indent + layout.step);
    const ending = random.pick(['', '-', '+']);
    return `${random.pick(['|', '>'])}${ending}\n${item
      .split('\n')
      .map((line) => (line === '' ? '' : pad + line))
      .join('\n')}`;
  }
  if (typeof item === 'string' && random.chance(0.05) && /^[a-z]+( [a-z]+)+$/.test(item))
    return item.replaceAll(' ', `\n${' '.repeat(indent + 1)}`);
  return scalar(random, layout, item);
}

function lead(random: Random, layout: Layout, indent: number): string {
  const blank = random.chance(layout.blankChance) ? '\n' : '';
  const comment = random.chance(layout.commentChance)
    ? `${' '.repeat(random.pick([indent, indent, 0]))}# a note: {x}\n`
    : '';
  return blank + comment;
}

function tail(random: Random, layout: Layout): string {
  return random.chance(layout.commentChance) ? ' # why' : '';
}

function isList(item: readonly Value[] | ValueMap): item is readonly Value[] {
  return Array.isArray(item);
}

function blockMap(random: Random, layout: Layout, item: ValueMap, indent: number): string {
  const lines = Object.entries(item).map(([key, one]) => {
    const name = scalar(random, layout, key);
    const isList = Array.isArray(one);
    const inner = isList && layout.isIndentless ? indent : indent + layout.step;
    const body = block(random, layout, one, inner);
    const isOneLine = !body.includes('\n');
    return `${lead(random, layout, indent)}${' '.repeat(indent)}${name}:${body}${isOneLine ? tail(random, layout) : ''}`;
  });
  return `\n${lines.join('\n')}`;
}

function blockList(random: Random, layout: Layout, items: readonly Value[], indent: number): string {
  const lines = items.map((one) => {
    const body = block(random, layout, one, indent + 2);
    // A map begins behind the dash.
    const shown = body.startsWith('\n') && !/^\n\s*(#|\n|- )/.test(body) ? ` ${body.trimStart()}` : body;
    return `${lead(random, layout, indent)}${' '.repeat(indent)}-${shown}`;
  });
  return `\n${lines.join('\n')}`;
}

/** One document in one of many layouts. */
export function yamlDocument(random: Random, item: ValueMap): string {
  const layout = layoutOf(random);
  if (random.chance(0.1)) return `${flow(random, layout, item)}\n`;
  const body = blockMap(random, layout, item, 0);
  return decorated(random, `${body.replace(/^\n/, '')}\n`);
}

/** With anchors, aliases and merge keys at its end. */
function decorated(random: Random, written: string): string {
  if (!random.chance(0.12)) return written;
  return `${written}shared: &s {a: 1, b: two}\nuse: *s\nmerged:\n  <<: *s\n  b: three\nlater: {b: first, <<: [*s]}\n`;
}

const SEPARATORS = ['---\n', '---\n', '--- # next\n', '---   \n', '...\n---\n'];

/** The text of one file: one document or several, YAML or JSON. */
export function manifestText(random: Random): string {
  const count = random.pick([1, 1, 1, 2, 3]);
  const objects = Array.from({ length: count }, () => object(random));
  if (random.chance(0.12)) {
    const indent = random.pick([undefined, 2, '\t']);
    return objects.map((one) => JSON.stringify(one, null, indent)).join(random.pick(['\n', '', '\n\n', ' ']));
  }
  const documents = objects.map((one) => yamlDocument(random, one));
  let whole = documents.reduce((all, one) => all + random.pick(SEPARATORS) + one);
  if (random.chance(0.3)) whole = random.pick(SEPARATORS.slice(0, 4)) + whole;
  if (random.chance(0.1)) whole = whole.replaceAll('\n', '\r\n');
  if (random.chance(0.05)) whole = `\ufeff${whole}`;
  if (random.chance(0.1)) whole = whole.trimEnd();
  return whole;
}

const SCRAPS = [
  ...[
    ' ',
    '  ',
    '\t',
    '\n',
    '\r\n',
    ':',
    ': ',
    '-',
    '- ',
    '#',
    ' #',
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
    ',',
    '&a ',
    '*a',
    '!',
    '!!str ',
    '!!int ',
  ],
  ...[
    '|',
    '>',
    '>-',
    '|+',
    '?',
    '? ',
    '%',
    '@',
    '`',
    '---',
    '\n---\n',
    '...',
    '\n...\n',
    '<<',
    '<<: ',
    '{{',
    '}}',
    '{{ .x }}',
    '\\',
    '\\u00e9',
  ],
  ...['~', 'null', '0o17', '.inf', '.nan', 'é', '\u2028', '\x85', '\x07', '\ufeff', '0', '1e400', '=', 'x', 'yes'],
];

/** A text with a few places changed, as typing errors and bad templates change them. */
export function mutate(random: Random, text: string): string {
  let mutant = text;
  for (let count = 1 + random.below(3); count > 0; count -= 1) {
    const at = random.below(mutant.length + 1);
    const roll = random.next();
    if (roll < 0.45) mutant = mutant.slice(0, at) + random.pick(SCRAPS) + mutant.slice(at);
    else if (roll < 0.65) mutant = mutant.slice(0, at) + mutant.slice(at + 1 + random.below(3));
    else mutant = mutateLine(random, mutant);
  }
  return mutant;
}

function mutateLine(random: Random, text: string): string {
  const lines = text.split('\n');
  const at = random.below(lines.length);
  const line = lines[at] ?? '';
  const changed = random.pick([
    [],
    [line, line],
    [` ${line}`],
    [line.replace(/^ /, '')],
    [`${line} `],
    ['', line],
    [line.trimStart()],
    [line, '  - x'],
  ]);
  lines.splice(at, 1, ...changed);
  return lines.join('\n');
}
