/**
 * Cuts YAML into tokens as libyaml does, and so Go's reader in kubectl (go.yaml.in/yaml/v2: scannerc.go): where a key may
 * stand without `?`, what indentation opens and closes, which characters begin what. The specification's own rules are
 * stricter in places (text in quotes or brackets may go on at the margin here), and more generous in others.
 */
import { SyntaxProblem } from './node.ts';

export type TokenType =
  | 'document-start'
  | 'document-end'
  | 'stream-end'
  | 'block-list'
  | 'block-map'
  | 'block-end'
  | 'list-start'
  | 'list-end'
  | 'map-start'
  | 'map-end'
  | 'block-entry'
  | 'flow-entry'
  | 'key'
  | 'value'
  | 'alias'
  | 'anchor'
  | 'tag'
  | 'scalar';

export interface Token {
  readonly type: TokenType;
  readonly start: number;
  readonly end: number;
  /** Of a scalar its text, of an alias or anchor its name, of a tag the tag. */
  readonly text?: string;
  readonly style?: 'plain' | 'single' | 'double' | 'block';
}

/** A place where a key may have begun; known only once its `:` is found. */
interface SimpleKey {
  readonly tokenNumber: number;
  readonly start: number;
  readonly line: number;
  readonly column: number;
  /** Nothing but a key may stand there. */
  readonly isRequired: boolean;
}

/** A key without `?` stands on one line, and its `:` within so many characters. */
const LONGEST_SIMPLE_KEY = 1024;
const DEPTH_LIMIT = 10_000;

const FLOW_INDICATORS = new Set([',', '?', '[', ']', '{', '}']);
/** What cannot begin a plain text. */
const INDICATORS = new Set([
  ...['-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', "'", '"', '%', '@', '`'],
]);
const STARTS: Readonly<Record<string, TokenType>> = {
  '[': 'list-start',
  '{': 'map-start',
  ']': 'list-end',
  '}': 'map-end',
};

function isBreak(character: string): boolean {
  return (
    character === '\n' || character === '\r' || character === '\x85' || character === '\u2028' || character === '\u2029'
  );
}

function isBlank(character: string): boolean {
  return character === ' ' || character === '\t';
}

/** At the end of the text there is the empty string. */
function isBlankOrEnd(character: string): boolean {
  return character === '' || isBlank(character) || isBreak(character);
}

/** What a line break is worth within a text. */
function breakText(character: string): string {
  return character === '\u2028' || character === '\u2029' ? character : '\n';
}

export class Scanner {
  readonly #text: string;
  #position = 0;
  #line = 0;
  #column = 0;
  #indent = -1;
  readonly #indents: number[] = [];
  #flowLevel = 0;
  #isKeyAllowed = true;
  /** One for each level of flow; undefined where no key can begin. */
  readonly #simpleKeys: (SimpleKey | undefined)[] = [undefined];
  readonly #queue: Token[] = [];
  #taken = 0;
  #isEnded = false;

  /** `text` is one document, its lines ended by LF. */
  constructor(text: string) {
    this.#text = text;
  }

  /** The next token, which stays where it is. */
  peek(): Token {
    while (this.#needsMore()) this.#fetch();
    const token = this.#queue[0];
    if (token === undefined) throw new SyntaxProblem('unexpected end', this.#position);
    return token;
  }

  take(): Token {
    const token = this.peek();
    if (token.type !== 'stream-end') {
      this.#queue.shift();
      this.#taken += 1;
    }
    return token;
  }

  /** The first token in the queue may still turn out to be a key. */
  #needsMore(): boolean {
    if (this.#isEnded) return false;
    if (this.#queue.length === 0) return true;
    return this.#simpleKeys.some((key, level) => key?.tokenNumber === this.#taken && this.#isKeyAlive(level));
  }

  // ---- characters

  #at(ahead = 0): string {
    return this.#text.charAt(this.#position + ahead);
  }

  #skip(count = 1): void {
    for (let index = 0; index < count; index += 1) {
      const isAstral = (this.#text.codePointAt(this.#position) ?? 0) > 0xffff;
      this.#position += isAstral ? 2 : 1;
      this.#column += 1;
    }
  }

  #skipBreak(): string {
    const character = this.#at();
    this.#position += character === '\r' && this.#at(1) === '\n' ? 2 : 1;
    this.#line += 1;
    this.#column = 0;
    return breakText(character);
  }

  #read(): string {
    const from = this.#position;
    this.#skip();
    return this.#text.slice(from, this.#position);
  }

  #fail(message: string, offset = this.#position): never {
    throw new SyntaxProblem(message, offset);
  }

  // ---- tokens

  #push(type: TokenType, start: number, extra: Pick<Token, 'text' | 'style'> = {}): void {
    this.#queue.push({ type, start, end: this.#position, ...extra });
  }

  #fetch(): void {
    this.#skipToToken();
    this.#unroll(this.#column);
    const character = this.#at();
    if (character === '') this.#fetchEnd();
    else if (this.#column === 0 && character === '%') this.#fail('directives are not supported');
    else if (this.#isDocumentMark()) this.#fetchDocumentMark(character === '-' ? 'document-start' : 'document-end');
    else if (!this.#fetchIndicator(character)) this.#fetchContent(character);
  }

  /** The characters that give a document its structure; false where this one does not, here. */
  #fetchIndicator(character: string): boolean {
    switch (character) {
      case '[':
      case '{':
        this.#fetchFlowStart(character);
        return true;
      case ']':
      case '}':
        this.#fetchFlowEnd(character);
        return true;
      case ',':
        this.#fetchFlowEntry();
        return true;
      default:
        return this.#fetchFreeIndicator(character);
    }
  }

  /** Those that are followed by a blank; in flow a key and a value need none. */
  #fetchFreeIndicator(character: string): boolean {
    const isFree = isBlankOrEnd(this.#at(1));
    const isInFlow = this.#flowLevel > 0;
    if (character === '-' && isFree) this.#fetchBlockEntry();
    else if (character === '?' && (isInFlow || isFree)) this.#fetchKey();
    else if (character === ':' && (isInFlow || isFree)) this.#fetchValue();
    else return false;
    return true;
  }

  #fetchContent(character: string): void {
    if (character === '*') this.#fetchAnchor('alias');
    else if (character === '&') this.#fetchAnchor('anchor');
    else if (character === '!') this.#fetchTag();
    else if ((character === '|' || character === '>') && this.#flowLevel === 0) this.#fetchBlockScalar(character);
    else if (character === "'" || character === '"') this.#fetchQuoted(character);
    else if (this.#beginsPlain(character)) this.#fetchPlain();
    else this.#fail(`found the character ${JSON.stringify(character)} where nothing can begin with it`);
  }

  #beginsPlain(character: string): boolean {
    if (!isBlankOrEnd(character) && !INDICATORS.has(character)) return true;
    const next = this.#at(1);
    if (character === '-') return !isBlank(next);
    return this.#flowLevel === 0 && (character === '?' || character === ':') && !isBlankOrEnd(next);
  }

  #isDocumentMark(): boolean {
    if (this.#column !== 0) return false;
    const mark = this.#text.slice(this.#position, this.#position + 3);
    return (mark === '---' || mark === '...') && isBlankOrEnd(this.#at(3));
  }

  /** Blanks, comments and line breaks. A tab may not stand where a key could begin. */
  #skipToToken(): void {
    for (;;) {
      if (this.#position === 0 && this.#at() === '\ufeff') this.#skip();
      this.#skipBlanks(this.#flowLevel > 0 || !this.#isKeyAllowed);
      this.#skipComment();
      if (!this.#isAtBreak()) return;
      this.#skipBreak();
      if (this.#flowLevel === 0) this.#isKeyAllowed = true;
    }
  }

  #skipBlanks(areTabsBlank: boolean): void {
    while (this.#at() === ' ' || (areTabsBlank && this.#at() === '\t')) this.#skip();
  }

  #skipComment(): void {
    if (this.#at() === '#') this.#skipLine();
  }

  /** Up to the line break. */
  #skipLine(): void {
    while (this.#at() !== '' && !this.#isAtBreak()) this.#skip();
  }

  #isAtBreak(): boolean {
    return isBreak(this.#at());
  }

  // ---- keys that are known by their `:`

  #isKeyAlive(level: number): boolean {
    const key = this.#simpleKeys[level];
    if (key === undefined) return false;
    if (key.line === this.#line && key.start + LONGEST_SIMPLE_KEY >= this.#position) return true;
    if (key.isRequired) this.#fail("a ':' is missing behind this key", key.start);
    this.#simpleKeys[level] = undefined;
    return false;
  }

  #saveKey(): void {
    if (!this.#isKeyAllowed) return;
    this.#removeKey();
    this.#simpleKeys[this.#flowLevel] = {
      tokenNumber: this.#taken + this.#queue.length,
      start: this.#position,
      line: this.#line,
      column: this.#column,
      isRequired: this.#flowLevel === 0 && this.#indent === this.#column,
    };
  }

  #removeKey(): void {
    const key = this.#simpleKeys[this.#flowLevel];
    if (key?.isRequired) this.#fail("a ':' is missing behind this key", key.start);
    this.#simpleKeys[this.#flowLevel] = undefined;
  }

  // ---- indentation

  #roll(column: number, type: TokenType, start: number, at = this.#queue.length): void {
    if (this.#flowLevel > 0 || this.#indent >= column) return;
    this.#indents.push(this.#indent);
    if (this.#indents.length > DEPTH_LIMIT) this.#fail('nested too deeply');
    this.#indent = column;
    this.#queue.splice(at, 0, { type, start, end: start });
  }

  #unroll(column: number): void {
    if (this.#flowLevel > 0) return;
    while (this.#indent > column) {
      this.#push('block-end', this.#position);
      this.#indent = this.#indents.pop() ?? -1;
    }
  }

  // ---- one function for each kind of token

  #fetchEnd(): void {
    this.#unroll(-1);
    this.#removeKey();
    this.#isEnded = true;
    this.#push('stream-end', this.#position);
  }

  #fetchDocumentMark(type: 'document-start' | 'document-end'): void {
    this.#unroll(-1);
    this.#removeKey();
    this.#isKeyAllowed = false;
    const start = this.#position;
    this.#skip(3);
    this.#push(type, start);
  }

  #fetchFlowStart(character: string): void {
    this.#saveKey();
    this.#flowLevel += 1;
    if (this.#flowLevel > DEPTH_LIMIT) this.#fail('nested too deeply');
    this.#simpleKeys.push(undefined);
    this.#isKeyAllowed = true;
    this.#single(STARTS[character] ?? 'list-start');
  }

  #fetchFlowEnd(character: string): void {
    this.#removeKey();
    if (this.#flowLevel > 0) {
      this.#flowLevel -= 1;
      this.#simpleKeys.pop();
    }
    this.#isKeyAllowed = false;
    this.#single(STARTS[character] ?? 'list-end');
  }

  #single(type: TokenType): void {
    const start = this.#position;
    this.#skip();
    this.#push(type, start);
  }

  #fetchFlowEntry(): void {
    this.#removeKey();
    this.#isKeyAllowed = true;
    this.#single('flow-entry');
  }

  #fetchBlockEntry(): void {
    if (this.#flowLevel === 0) {
      if (!this.#isKeyAllowed) this.#fail("a list cannot begin here: put the '-' on a line of its own");
      this.#roll(this.#column, 'block-list', this.#position);
    }
    this.#removeKey();
    this.#isKeyAllowed = true;
    this.#single('block-entry');
  }

  #fetchKey(): void {
    if (this.#flowLevel === 0) {
      if (!this.#isKeyAllowed) this.#fail('a key cannot begin here');
      this.#roll(this.#column, 'block-map', this.#position);
    }
    this.#removeKey();
    this.#isKeyAllowed = this.#flowLevel === 0;
    this.#single('key');
  }

  #fetchValue(): void {
    const key = this.#simpleKeys[this.#flowLevel];
    if (key !== undefined && this.#isKeyAlive(this.#flowLevel)) {
      const at = key.tokenNumber - this.#taken;
      this.#queue.splice(at, 0, { type: 'key', start: key.start, end: key.start });
      this.#roll(key.column, 'block-map', key.start, at);
      this.#simpleKeys[this.#flowLevel] = undefined;
      this.#isKeyAllowed = false;
    } else {
      if (this.#flowLevel === 0) {
        if (!this.#isKeyAllowed) this.#fail("a ':' cannot stand here: a text that holds one needs quotes");
        this.#roll(this.#column, 'block-map', this.#position);
      }
      this.#isKeyAllowed = this.#flowLevel === 0;
    }
    this.#single('value');
  }

  #fetchAnchor(type: 'alias' | 'anchor'): void {
    this.#saveKey();
    this.#isKeyAllowed = false;
    const start = this.#position;
    this.#skip();
    let name = '';
    while (/[0-9A-Za-z_-]/.test(this.#at())) name += this.#read();
    const isEnded = isBlankOrEnd(this.#at()) || '?:,]}%@`'.includes(this.#at());
    if (name === '' || !isEnded) this.#fail(`the name of an ${type} has letters, digits, "-" and "_" only`, start);
    this.#push(type, start, { text: name });
  }

  #fetchTag(): void {
    this.#saveKey();
    this.#isKeyAllowed = false;
    const start = this.#position;
    const match = /^(?:!<([^\s<>]+)>|!([\w-]*!)?([\w;/?:@&=+$.~*'()[\]-]*))/.exec(
      this.#text.slice(start, start + 1024),
    );
    const [whole = '', verbatim, handle, suffix = ''] = match ?? [];
    this.#skip(whole.length);
    const isWhole = whole !== '' && isBlankOrEnd(this.#at()) && !(handle !== undefined && suffix === '');
    if (!isWhole) this.#fail('this tag cannot be read', start);
    if (handle !== undefined && handle !== '!') this.#fail(`the handle !${handle} of this tag is not known`, start);
    const text = verbatim ?? (handle === undefined ? `!${suffix}` : `tag:yaml.org,2002:${suffix}`);
    this.#push('tag', start, { text });
  }

  // ---- block scalars

  #fetchBlockScalar(indicator: string): void {
    this.#removeKey();
    this.#isKeyAllowed = true;
    const start = this.#position;
    this.#skip();
    const { chomping, fixed } = this.#scanBlockHeader(start);
    const body = this.#scanBlockBody(start, fixed, indicator === '|');
    const ending = chomping === '-' ? '' : body.lastBreak + (chomping === '+' ? body.breaks : '');
    this.#queue.push({ type: 'scalar', start, end: body.end, text: body.text + ending, style: 'block' });
  }

  /** `fixed` is the column that the text is indented to, 0 where the header does not say. */
  #scanBlockHeader(start: number): { chomping: string; fixed: number } {
    const header = /^(?:([+-])([0-9])?|([0-9])([+-])?)?/.exec(this.#text.slice(this.#position, this.#position + 2));
    const [whole = '', sign1, digit1, digit2, sign2] = header ?? [];
    this.#skip(whole.length);
    const digit = digit1 ?? digit2;
    if (digit === '0') this.#fail('an indentation of 0 is none', start);
    this.#skipBlanks(true);
    this.#skipComment();
    if (this.#isAtBreak()) this.#skipBreak();
    else if (this.#at() !== '') this.#fail('only a comment may follow on this line', start);
    return {
      chomping: sign1 ?? sign2 ?? '',
      fixed: digit === undefined ? 0 : Math.max(this.#indent, 0) + Number(digit),
    };
  }

  #scanBlockBody(start: number, fixed: number, isLiteral: boolean): BlockBody {
    let text = '';
    let lastBreak = '';
    let wasIndented = false;
    let { indent, breaks, end } = this.#scanBlockBreaks(start, fixed);
    while (this.#column === indent && this.#at() !== '') {
      const isIndented = isBlank(this.#at());
      const isFolded = !isLiteral && !wasIndented && !isIndented && lastBreak.startsWith('\n');
      text += (isFolded ? foldedBreak(breaks) : lastBreak) + breaks;
      wasIndented = isIndented;
      const from = this.#position;
      this.#skipLine();
      text += this.#text.slice(from, this.#position);
      lastBreak = this.#isAtBreak() ? this.#skipBreak() : '';
      ({ breaks, end } = this.#scanBlockBreaks(start, indent));
    }
    return { text, lastBreak, breaks, end };
  }

  /** Indentation and empty lines; where no indentation is fixed yet, the deepest one seen is. */
  #scanBlockBreaks(start: number, fixed: number): { indent: number; breaks: string; end: number } {
    let breaks = '';
    let deepest = 0;
    for (;;) {
      while (this.#at() === ' ' && this.#isBefore(fixed)) this.#skip();
      deepest = Math.max(deepest, this.#column);
      if (this.#at() === '\t' && this.#isBefore(fixed)) this.#fail('a tab stands where spaces have to indent', start);
      const end = this.#position - this.#column;
      if (!this.#isAtBreak()) {
        return { indent: fixed === 0 ? Math.max(deepest, this.#indent + 1, 1) : fixed, breaks, end };
      }
      breaks += this.#skipBreak();
    }
  }

  #isBefore(fixedColumn: number): boolean {
    return fixedColumn === 0 || this.#column < fixedColumn;
  }

  // ---- quoted scalars

  #fetchQuoted(quote: string): void {
    this.#saveKey();
    this.#isKeyAllowed = false;
    const start = this.#position;
    this.#skip();
    let text = '';
    for (;;) {
      if (this.#isDocumentMark()) this.#fail('a document ends within this quoted text', start);
      if (this.#at() === '') this.#fail('the closing quote of this text is missing', start);
      const word = this.#scanQuotedWord(quote, start);
      text += word.text;
      if (this.#at() === quote) break;
      text += this.#scanFold(word.isJoined);
    }
    this.#skip();
    this.#push('scalar', start, { text, style: quote === '"' ? 'double' : 'single' });
  }

  /** Up to a blank, a break or the closing quote. `isJoined`: a backslash has swallowed the line break. */
  #scanQuotedWord(quote: string, start: number): { text: string; isJoined: boolean } {
    let text = '';
    while (!isBlankOrEnd(this.#at()) && !this.#isClosing(quote)) {
      const character = this.#read();
      if (quote === "'") {
        text += character;
        if (character === "'") this.#skip();
      } else if (character !== '\\') {
        text += character;
      } else if (this.#isAtBreak()) {
        this.#skipBreak();
        return { text, isJoined: true };
      } else {
        text += this.#scanEscape(start);
      }
    }
    return { text, isJoined: false };
  }

  /** Two single quotes in a row stand for one. */
  #isClosing(quote: string): boolean {
    return this.#at() === quote && (quote === '"' || this.#at(1) !== quote);
  }

  #scanEscape(start: number): string {
    const letter = this.#read();
    const simple = ESCAPES[letter];
    if (simple !== undefined) return simple;
    const length = ESCAPE_LENGTHS[letter];
    if (length === undefined) this.#fail(`\\${letter} is no escape that this text may hold`, start);
    const digits = this.#text.slice(this.#position, this.#position + length);
    const code = new RegExp(`^[0-9a-fA-F]{${length}}$`).test(digits) ? Number.parseInt(digits, 16) : -1;
    if (code < 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
      this.#fail('this escape is no character', start);
    this.#skip(length);
    return String.fromCodePoint(code);
  }

  /** Blanks and breaks between words. `isJoined`: what stands on the next lines is left out up to the word. */
  #scanFold(isJoined: boolean): string {
    const pause = this.#scanPause();
    if (!isJoined) return foldPause(pause).text;
    const breaks = [...pause].filter(isBreak).map(breakText);
    return breaks.join('');
  }

  #scanPause(): string {
    const from = this.#position;
    while (isBlank(this.#at()) || this.#isAtBreak()) {
      if (this.#isAtBreak()) this.#skipBreak();
      else this.#skip();
    }
    return this.#text.slice(from, this.#position);
  }

  // ---- plain scalars

  #fetchPlain(): void {
    this.#saveKey();
    this.#isKeyAllowed = false;
    const start = this.#position;
    const indent = this.#indent + 1;
    let text = '';
    let pause = { text: '', isPastBreak: false };
    let end = start;
    while (!this.#isDocumentMark() && this.#at() !== '#') {
      const word = this.#scanPlainWord();
      if (word !== '') {
        text += pause.text + word;
        end = this.#position;
        pause = { text: '', isPastBreak: false };
      }
      if (!isBlank(this.#at()) && !this.#isAtBreak()) break;
      pause = this.#scanPlainPause(indent, start);
      if (this.#flowLevel === 0 && this.#column < indent) break;
    }
    this.#queue.push({ type: 'scalar', start, end, text, style: 'plain' });
    if (pause.isPastBreak) this.#isKeyAllowed = true;
  }

  #scanPlainWord(): string {
    const from = this.#position;
    while (!isBlankOrEnd(this.#at()) && !this.#endsPlain()) this.#skip();
    return this.#text.slice(from, this.#position);
  }

  #endsPlain(): boolean {
    const character = this.#at();
    if (character === ':') return isBlankOrEnd(this.#at(1));
    return this.#flowLevel > 0 && FLOW_INDICATORS.has(character);
  }

  /** Behind the first break a tab may not take the place of indentation. */
  #scanPlainPause(indent: number, start: number): { text: string; isPastBreak: boolean } {
    const pause = this.#scanPause();
    for (const line of pause.split(LINE_BREAK).slice(1)) {
      const tab = line.indexOf('\t');
      if (tab !== -1 && tab < indent) this.#fail('a tab stands where spaces have to indent', start);
    }
    return foldPause(pause);
  }
}

const LINE_BREAK = /\r\n|[\n\r\x85\u2028\u2029]/;

interface BlockBody {
  readonly text: string;
  /** The break behind the last line, and those of the empty lines that follow. */
  readonly lastBreak: string;
  readonly breaks: string;
  readonly end: number;
}

/** One break between two lines is a space, several are those that follow the first. */
function foldedBreak(furtherBreaks: string): string {
  return furtherBreaks === '' ? ' ' : '';
}

/** The worth of what stands between two words of a plain text. */
function foldPause(pause: string): { text: string; isPastBreak: boolean } {
  const breaks = [...pause].filter(isBreak).map(breakText);
  const [first, ...others] = breaks;
  if (first === undefined) return { text: pause, isPastBreak: false };
  const rest = others.join('');
  if (first !== '\n') return { text: first + rest, isPastBreak: true };
  return { text: rest === '' ? ' ' : rest, isPastBreak: true };
}

const ESCAPES: Readonly<Record<string, string>> = {
  '0': '\0',
  a: '\x07',
  b: '\b',
  t: '\t',
  '\t': '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r',
  e: '\x1b',
  ' ': ' ',
  '"': '"',
  "'": "'",
  '\\': '\\',
  N: '\x85',
  _: '\xa0',
  L: '\u2028',
  P: '\u2029',
};
const ESCAPE_LENGTHS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
