/** Makes a tree of JSON, strictly by RFC 8259, with the place of each part: what `JSON.parse` does not tell. */
import { type MapNode, type Pair, type ScalarNode, SyntaxProblem, type YamlNode } from './node.ts';

const DEPTH_LIMIT = 10_000;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a text may not hold
const STRING = /"[^"\\\0-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\0-\x1f]*)*"/y;
const WORD = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null/y;
const BLANKS = /[ \t\n\r]*/y;

/** Reads one value from `position` on; `end` is where it ends. Throws a SyntaxProblem. */
export function parseJsonAt(text: string, position: number): YamlNode {
  return new JsonParser(text, position).parseValue(0);
}

export function skipJsonBlanks(text: string, position: number): number {
  BLANKS.lastIndex = position;
  BLANKS.exec(text);
  return BLANKS.lastIndex;
}

class JsonParser {
  readonly #text: string;
  #position: number;

  constructor(text: string, position: number) {
    this.#text = text;
    this.#position = position;
  }

  parseValue(depth: number): YamlNode {
    if (depth > DEPTH_LIMIT) this.#fail('nested too deeply');
    this.#position = skipJsonBlanks(this.#text, this.#position);
    switch (this.#text[this.#position]) {
      case '{':
        return this.#parseMap(depth);
      case '[':
        return this.#parseList(depth);
      case '"':
        return this.#parseString();
      default:
        return this.#parseWord();
    }
  }

  #fail(message: string): never {
    throw new SyntaxProblem(message, this.#position);
  }

  #take(character: string): boolean {
    this.#position = skipJsonBlanks(this.#text, this.#position);
    if (this.#text[this.#position] !== character) return false;
    this.#position += 1;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#position += found.length;
    return found;
  }

  #parseMap(depth: number): MapNode {
    const start = this.#position;
    const pairs: Pair[] = [];
    this.#position += 1;
    if (!this.#take('}')) {
      do pairs.push(this.#parsePair(depth));
      while (this.#take(','));
      if (!this.#take('}')) this.#fail("a ',' or '}' is missing here");
    }
    return { kind: 'map', style: 'flow', pairs, start, end: this.#position, propertiesStart: start };
  }

  #parsePair(depth: number): Pair {
    this.#position = skipJsonBlanks(this.#text, this.#position);
    const key = this.#parseString();
    if (!this.#take(':')) this.#fail("a ':' is missing here");
    return { key, value: this.parseValue(depth + 1) };
  }

  #parseList(depth: number): YamlNode {
    const start = this.#position;
    const items: YamlNode[] = [];
    this.#position += 1;
    if (!this.#take(']')) {
      do items.push(this.parseValue(depth + 1));
      while (this.#take(','));
      if (!this.#take(']')) this.#fail("a ',' or ']' is missing here");
    }
    return { kind: 'list', style: 'flow', items, start, end: this.#position, propertiesStart: start };
  }

  #parseString(): ScalarNode {
    const start = this.#position;
    const source = this.#match(STRING);
    if (source === undefined) this.#fail('a text in double quotes is missing here');
    // Go has no half of a surrogate pair in a text.
    const text = (JSON.parse(source) as string).toWellFormed();
    return { kind: 'scalar', style: 'double', text, start, end: this.#position, propertiesStart: start };
  }

  #parseWord(): ScalarNode {
    const start = this.#position;
    const text = this.#match(WORD);
    if (text === undefined) this.#fail('a value is missing here');
    return { kind: 'scalar', style: 'json', text, start, end: this.#position, propertiesStart: start };
  }
}
