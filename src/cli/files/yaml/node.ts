/** What a document is made of, each part with its place in the text: offsets in UTF-16 units, `end` exclusive. */
export type YamlNode = ScalarNode | MapNode | ListNode | AliasNode;

interface Placed {
  readonly start: number;
  readonly end: number;
}

interface Anchored extends Placed {
  readonly anchor?: string;
  /** Where anchor and tag begin; `start` where there are none. */
  readonly propertiesStart: number;
}

export interface ScalarNode extends Anchored {
  readonly kind: 'scalar';
  /** Quotes, escapes and folded lines undone. */
  readonly text: string;
  /** `json`: a number, a boolean or null of a JSON text. */
  readonly style: 'plain' | 'single' | 'double' | 'block' | 'json';
  readonly tag?: string;
}

export interface Pair {
  readonly key: YamlNode;
  readonly value: YamlNode;
}

export interface MapNode extends Anchored {
  readonly kind: 'map';
  readonly style: 'block' | 'flow';
  readonly pairs: readonly Pair[];
}

export interface ListNode extends Anchored {
  readonly kind: 'list';
  readonly style: 'block' | 'flow';
  readonly items: readonly YamlNode[];
}

export interface AliasNode extends Placed {
  readonly kind: 'alias';
  readonly name: string;
  readonly target: Exclude<YamlNode, AliasNode>;
}

/** What keeps a text from being read, at an offset. */
export class SyntaxProblem extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** The node that an alias stands for. */
export function targetOf(node: YamlNode): Exclude<YamlNode, AliasNode> {
  return node.kind === 'alias' ? node.target : node;
}
