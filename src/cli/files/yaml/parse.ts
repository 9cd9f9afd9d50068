/** Makes a tree of one YAML document, by the grammar of libyaml (go.yaml.in/yaml/v2: parserc.go). */
import {
  type AliasNode,
  type ListNode,
  type MapNode,
  type Pair,
  type ScalarNode,
  SyntaxProblem,
  type YamlNode,
} from './node.ts';
import { Scanner, type Token, type TokenType } from './scan.ts';

/** What kubectl's reader of characters refuses anywhere in a document. */
const BAD_CHARACTER = /(?![\t\n\r\u0085])[\p{Cc}\p{Cs}\ufffe\uffff]|(?<!^)\ufeff/u;

/**
 * The root of the document that a text holds; undefined where it holds none. The text is one document of a stream, its
 * lines ended by LF. Throws a SyntaxProblem.
 */
export function parseYaml(text: string): YamlNode | undefined {
  const bad = BAD_CHARACTER.exec(text);
  if (bad !== null) {
    const code = (text.codePointAt(bad.index) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    throw new SyntaxProblem(
      `the character U+${code} is not allowed in YAML: write it as an escape in double quotes`,
      bad.index,
    );
  }
  return new Parser(new Scanner(text)).parseDocument();
}

interface Properties {
  readonly start: number;
  readonly anchor?: string;
  readonly tag?: string;
}

/** Where a node stands: decides what may begin there. */
type Context = 'block' | 'block-value' | 'flow';

class Parser {
  readonly #scanner: Scanner;
  readonly #anchors = new Map<string, Exclude<YamlNode, AliasNode>>();
  /** Anchored nodes that are not complete: an alias to one would hold itself. */
  readonly #open = new Set<string>();

  constructor(scanner: Scanner) {
    this.#scanner = scanner;
  }

  parseDocument(): YamlNode | undefined {
    if (this.#next() === 'stream-end') return undefined;
    const isMarked = this.#next() === 'document-start';
    if (isMarked) this.#scanner.take();
    else if (this.#next() === 'document-end') throw new SyntaxProblem('nothing stands before this "..."', 0);
    const isEmpty = this.#isAny('document-start', 'document-end', 'stream-end');
    const root = isEmpty ? undefined : this.#parseNode('block');
    if (this.#next() === 'document-end') this.#scanner.take();
    const rest = this.#scanner.peek();
    // Go reads one document here and drops the rest without a word.
    if (rest.type !== 'stream-end') {
      throw new SyntaxProblem(
        'kubectl would drop what follows from here: it reads no further in this document',
        rest.start,
      );
    }
    return root;
  }

  #next(): TokenType {
    return this.#scanner.peek().type;
  }

  #isAny(...types: readonly TokenType[]): boolean {
    return types.includes(this.#next());
  }

  #parseNode(context: Context): YamlNode {
    const token = this.#scanner.peek();
    if (token.type === 'alias') return this.#parseAlias();
    const properties = this.#parseProperties();
    if (properties.anchor === undefined) return this.#parseContent(context, properties);
    this.#open.add(properties.anchor);
    this.#anchors.delete(properties.anchor);
    const node = this.#parseContent(context, properties);
    this.#open.delete(properties.anchor);
    this.#anchors.set(properties.anchor, node);
    return node;
  }

  #parseAlias(): AliasNode {
    const { text: name = '', start, end } = this.#scanner.take();
    if (this.#open.has(name)) throw new SyntaxProblem(`the anchor ${name} would hold itself`, start);
    const target = this.#anchors.get(name);
    if (target === undefined) throw new SyntaxProblem(`there is no anchor ${name} before this alias`, start);
    return { kind: 'alias', name, target, start, end };
  }

  #parseProperties(): Properties {
    const { start } = this.#scanner.peek();
    const found: { anchor?: string; tag?: string } = {};
    for (
      let token = this.#scanner.peek();
      token.type === 'anchor' || token.type === 'tag';
      token = this.#scanner.peek()
    ) {
      if (found[token.type] !== undefined) break;
      found[token.type] = token.text ?? '';
      this.#scanner.take();
    }
    return { start, ...found };
  }

  #parseContent(context: Context, properties: Properties): Exclude<YamlNode, AliasNode> {
    const token = this.#scanner.peek();
    const { start: propertiesStart, anchor, tag } = properties;
    const common = { propertiesStart, ...(anchor !== undefined && { anchor }) };
    if (context === 'block-value' && token.type === 'block-entry') return this.#parseIndentless(common);
    switch (token.type) {
      case 'scalar':
        return this.#scalarOf(this.#scanner.take(), common, tag);
      case 'list-start':
        return this.#parseFlowList(common);
      case 'map-start':
        return this.#parseFlowMap(common);
      case 'block-list':
        if (context !== 'flow') return this.#parseBlockList(common);
        break;
      case 'block-map':
        if (context !== 'flow') return this.#parseBlockMap(common);
        break;
    }
    if (anchor === undefined && tag === undefined) throw new SyntaxProblem('a value is missing here', token.start);
    return {
      kind: 'scalar',
      text: '',
      style: 'plain',
      start: token.start,
      end: token.start,
      ...common,
      ...(tag !== undefined && { tag }),
    };
  }

  #scalarOf({ start, end, text = '', style = 'plain' }: Token, common: Common, tag: string | undefined): ScalarNode {
    return { kind: 'scalar', text, style, start, end, ...common, ...(tag !== undefined && { tag }) };
  }

  #empty(at: number): ScalarNode {
    return { kind: 'scalar', text: '', style: 'plain', start: at, end: at, propertiesStart: at };
  }

  #parseBlockList(common: Common): ListNode {
    const { start } = this.#scanner.take();
    const items: YamlNode[] = [];
    while (this.#next() === 'block-entry') {
      const { end } = this.#scanner.take();
      items.push(this.#isAny('block-entry', 'block-end') ? this.#empty(end) : this.#parseNode('block'));
    }
    this.#expect('block-end', "a '-' is missing here: the list has no other items in this column");
    return { kind: 'list', style: 'block', items, start, end: endOf(items, start), ...common };
  }

  /** A list whose dashes are in the column of the key that holds it. */
  #parseIndentless(common: Common): ListNode {
    const { start } = this.#scanner.peek();
    const items: YamlNode[] = [];
    while (this.#next() === 'block-entry') {
      const { end } = this.#scanner.take();
      const isEmpty = this.#isAny('block-entry', 'key', 'value', 'block-end');
      items.push(isEmpty ? this.#empty(end) : this.#parseNode('block'));
    }
    return { kind: 'list', style: 'block', items, start, end: endOf(items, start), ...common };
  }

  #parseBlockMap(common: Common): MapNode {
    const { start } = this.#scanner.take();
    const pairs: Pair[] = [];
    while (this.#next() === 'key') pairs.push(this.#parseBlockPair());
    this.#expect('block-end', 'a key is missing here: check the indentation');
    return { kind: 'map', style: 'block', pairs, start, end: pairs.at(-1)?.value.end ?? start, ...common };
  }

  #parseBlockPair(): Pair {
    const key = this.#parseBlockPart(this.#scanner.take().end);
    if (this.#next() !== 'value') return { key, value: this.#empty(this.#scanner.peek().start) };
    return { key, value: this.#parseBlockPart(this.#scanner.take().end) };
  }

  #parseBlockPart(at: number): YamlNode {
    return this.#isAny('key', 'value', 'block-end') ? this.#empty(at) : this.#parseNode('block-value');
  }

  #parseFlowList(common: Common): ListNode {
    const { start } = this.#scanner.take();
    const items: YamlNode[] = [];
    while (this.#next() !== 'list-end') {
      if (items.length > 0) this.#expect('flow-entry', "a ',' or ']' is missing here");
      if (this.#next() === 'key') items.push(this.#parseFlowPairAsMap());
      else if (this.#next() !== 'list-end') items.push(this.#parseNode('flow'));
      else break;
    }
    const { end } = this.#scanner.take();
    return { kind: 'list', style: 'flow', items, start, end, ...common };
  }

  /** `[a: b]` is a list of one map. */
  #parseFlowPairAsMap(): MapNode {
    const { start } = this.#scanner.take();
    const isKeyEmpty = this.#isAny('value', 'flow-entry', 'list-end');
    // An empty key takes the token that follows with it; this does not occur in practice.
    if (isKeyEmpty) throw new SyntaxProblem('a key is missing here', start);
    const key = this.#parseNode('flow');
    const value = this.#parseFlowValue('list-end');
    return { kind: 'map', style: 'flow', pairs: [{ key, value }], start, end: value.end, propertiesStart: start };
  }

  #parseFlowMap(common: Common): MapNode {
    const { start } = this.#scanner.take();
    const pairs: Pair[] = [];
    while (this.#next() !== 'map-end') {
      if (pairs.length > 0) this.#expect('flow-entry', "a ',' or '}' is missing here");
      if (this.#next() === 'key') pairs.push(this.#parseFlowPair());
      else if (this.#next() !== 'map-end') {
        const key = this.#parseNode('flow');
        pairs.push({ key, value: this.#empty(key.end) });
      } else break;
    }
    const { end } = this.#scanner.take();
    return { kind: 'map', style: 'flow', pairs, start, end, ...common };
  }

  #parseFlowPair(): Pair {
    const { end } = this.#scanner.take();
    const isEmpty = this.#isAny('value', 'flow-entry', 'map-end');
    const key = isEmpty ? this.#empty(end) : this.#parseNode('flow');
    return { key, value: this.#parseFlowValue('map-end') };
  }

  #parseFlowValue(closing: TokenType): YamlNode {
    if (this.#next() !== 'value') return this.#empty(this.#scanner.peek().start);
    const { end } = this.#scanner.take();
    return this.#isAny('flow-entry', closing) ? this.#empty(end) : this.#parseNode('flow');
  }

  #expect(type: TokenType, message: string): void {
    const token = this.#scanner.peek();
    if (token.type !== type) throw new SyntaxProblem(message, token.start);
    this.#scanner.take();
  }
}

interface Common {
  readonly propertiesStart: number;
  readonly anchor?: string;
}

function endOf(items: readonly YamlNode[], start: number): number {
  return items.at(-1)?.end ?? start;
}
