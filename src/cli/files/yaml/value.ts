/** The JSON value of a tree, as Go decodes it and kubectl sends it (go.yaml.in/yaml/v2: decode.go; sigs.k8s.io/yaml). */
import { narrow, resolveScalar, type ScalarValue } from './go-scalar.ts';
import { type MapNode, type ScalarNode, SyntaxProblem, targetOf, type YamlNode } from './node.ts';

/** A key that stands twice in one mapping; the last one counts. */
export interface DuplicateKey {
  readonly key: string;
  readonly offset: number;
}

export interface DecodedValue {
  readonly value: unknown;
  readonly duplicates: readonly DuplicateKey[];
}

/** Throws a SyntaxProblem where kubectl would refuse the document. */
export function decodeNode(root: YamlNode): DecodedValue {
  const decoder = new Decoder();
  return { value: decoder.decode(root), duplicates: decoder.duplicates };
}

/** A value read from an integer that JavaScript's numbers cannot hold is a bigint. */
class Decoder {
  readonly duplicates: DuplicateKey[] = [];
  #count = 0;
  #aliasCount = 0;
  #aliasDepth = 0;

  decode(node: YamlNode): unknown {
    this.#countNode(node);
    switch (node.kind) {
      case 'scalar':
        return readScalar(node);
      case 'list':
        return node.items.map((item) => this.decode(item));
      case 'map': {
        const members = new Map<string, unknown>();
        this.#fill(node, members);
        return Object.fromEntries(members);
      }
      case 'alias': {
        this.#aliasDepth += 1;
        const value = this.decode(node.target);
        this.#aliasDepth -= 1;
        return value;
      }
    }
  }

  /** Aliases of aliases can make much of little: Go's bounds (decode.go:allowedAliasRatio). */
  #countNode(node: YamlNode): void {
    this.#count += 1;
    if (this.#aliasDepth > 0) this.#aliasCount += 1;
    const isLarge = this.#aliasCount > 100 && this.#count > 1000;
    if (isLarge && this.#aliasCount / this.#count > allowedAliasRatio(this.#count)) {
      throw new SyntaxProblem('the aliases of this document stand for far too much', node.start);
    }
  }

  /** In the order of the text, merge keys too: what comes later wins, whichever of the two it is. */
  #fill(map: MapNode, members: Map<string, unknown>): void {
    const seen = new Map<string, string>();
    for (const { key, value } of map.pairs) {
      if (isMergeKey(key)) {
        this.#merge(value, members);
        continue;
      }
      this.#countNode(key);
      const { name, typed } = readKey(key);
      const before = seen.get(name);
      if (before !== undefined) {
        // Two Go keys that are one in JSON: which of them wins is left to chance there.
        if (before !== typed)
          throw new SyntaxProblem(`two keys of different types are both "${name}" in JSON`, key.start);
        this.duplicates.push({ key: name, offset: key.start });
      }
      seen.set(name, typed);
      members.set(name, this.decode(value));
    }
  }

  #merge(source: YamlNode, members: Map<string, unknown>): void {
    const isList = source.kind === 'list';
    // Earlier maps of a list win, so they are merged last.
    const maps = isList ? [...source.items].reverse() : [source];
    for (const one of maps) {
      const map = targetOf(one);
      if (map.kind !== 'map') throw new SyntaxProblem('a merge key (<<) takes a map or a list of maps', one.start);
      this.#countNode(one);
      if (one.kind === 'alias') this.#aliasDepth += 1;
      this.#fill(map, members);
      if (one.kind === 'alias') this.#aliasDepth -= 1;
    }
  }
}

const RATIO_LOW = 400_000;
const RATIO_HIGH = 4_000_000;

function allowedAliasRatio(count: number): number {
  if (count <= RATIO_LOW) return 0.99;
  if (count >= RATIO_HIGH) return 0.1;
  return 0.99 - 0.89 * ((count - RATIO_LOW) / (RATIO_HIGH - RATIO_LOW));
}

/** `<<`, written plainly or tagged as such: its value is merged into the map (decode.go:isMerge). */
export function isMergeKey(key: YamlNode): boolean {
  if (key.kind !== 'scalar' || key.text !== '<<') return false;
  return key.tag === undefined ? key.style === 'plain' : key.tag === '!' || key.tag === 'tag:yaml.org,2002:merge';
}

function readScalar(node: ScalarNode): ScalarValue {
  if (node.style === 'json') return readJsonScalar(node);
  const reading = resolveScalar(node.text, node.tag, node.style === 'plain');
  if (!reading.ok) throw new SyntaxProblem(reading.message, node.start);
  return reading.value;
}

function readJsonScalar({ text, start }: ScalarNode): ScalarValue {
  if (text === 'null') return null;
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^-?\d+$/.test(text)) {
    const integer = BigInt(text);
    // Kubernetes keeps integers as int64, and all else as float64.
    if (BigInt.asIntN(64, integer) === integer) return narrow(integer);
  }
  const number = Number(text);
  if (!Number.isFinite(number)) throw new SyntaxProblem(`${text} is too large a number`, start);
  return number;
}

/** The name of a member: a key that is no text is written as Go writes it (sigs.k8s.io/yaml: convertToJSONableObject). */
function readKey(key: YamlNode): { readonly name: string; readonly typed: string } {
  const node = targetOf(key);
  if (node.kind !== 'scalar') throw new SyntaxProblem('a map or a list cannot be a key', key.start);
  const typed = readScalar(node);
  if (typed === null) throw new SyntaxProblem('null cannot be a key', key.start);
  if (typeof typed !== 'number') return { name: String(typed), typed: `${typeof typed} ${typed}` };
  if (/^[-+]?[0-9_]*(\.|[0-9._]*[eE])/.test(node.text)) return { name: formatFloatKey(typed), typed: `float ${typed}` };
  if (!Number.isSafeInteger(typed))
    throw new SyntaxProblem(`the number ${node.text} is too large for a key`, key.start);
  return { name: String(typed), typed: `integer ${typed}` };
}

/** strconv.FormatFloat(value, 'g', -1, 32): the fewest digits that tell the single-precision number from its neighbours. */
function formatFloatKey(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const single = Math.fround(value);
  let digits = 1;
  while (digits < 17 && Math.fround(Number(value.toPrecision(digits))) !== single) digits += 1;
  const [mantissa = '', exponentText = '0'] = value.toExponential(digits - 1).split('e');
  const exponent = Number(exponentText);
  const shortest = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa;
  if (exponent >= -4 && exponent < 6) return String(Number(`${shortest}e${exponent}`));
  const sign = exponent < 0 ? '-' : '+';
  return `${shortest}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
}
