/**
 * Reads the text of a file as kubectl reads it: a stream of JSON objects, or of YAML documents between lines of `---`
 * (k8s.io/apimachinery: util/yaml/decoder.go), lists taken apart at any depth (cli-runtime: FlattenListVisitor).
 */
import { isObject, type JsonObject } from '../../base/json.ts';
import { metadataProblem } from './object-metadata.ts';
import { parseJsonAt, skipJsonBlanks } from './yaml/json.ts';
import { SyntaxProblem, type YamlNode } from './yaml/node.ts';
import { parseYaml } from './yaml/parse.ts';
import { type DuplicateKey, decodeNode } from './yaml/value.ts';

/** What is wrong with a text, at an offset of it. */
export interface ManifestProblem {
  readonly message: string;
  readonly offset: number;
}

/** One object of a document, and its place in it. */
export interface ManifestObject {
  readonly object: JsonObject;
  /** Empty for the document itself, `['items', '2']` for an item of a list. */
  readonly path: readonly string[];
}

export interface ManifestDocument {
  readonly root: YamlNode;
  readonly value: unknown;
  readonly syntax: 'yaml' | 'json';
  /** The text that the offsets of `root` speak of: the document's own for YAML, lines ended by LF, else the whole file's. */
  readonly text: string;
  /** From an offset in `text` to one in the file. */
  toFileOffset(offset: number): number;
  readonly objects: readonly ManifestObject[];
  readonly duplicates: readonly DuplicateKey[];
  /** Why kubectl would not take the document though it can be read: it is no object, or none of a kind. */
  readonly stray?: string;
}

export interface Manifest {
  readonly documents: readonly ManifestDocument[];
  readonly problems: readonly ManifestProblem[];
}

/** Reads a whole file. What cannot be read is a problem, and the documents beside it are read all the same. */
export function readManifest(text: string): Manifest {
  const documents: ManifestDocument[] = [];
  const problems: ManifestProblem[] = [];
  // A mark of the byte order is no part of what is read; offsets still count it.
  const start = text.startsWith('\ufeff') ? 1 : 0;
  const rest = /^(?:(?!\ufeff)\s)*\{/.test(text.slice(start))
    ? readJsonStream(text, start, documents, problems)
    : start;
  if (rest !== undefined) readYamlStream(text, rest, documents, problems);
  return { documents, problems };
}

// ---- JSON

/** Undefined when the stream is through; else where YAML has to go on: at most one object came before. */
function readJsonStream(
  text: string,
  start: number,
  documents: ManifestDocument[],
  problems: ManifestProblem[],
): number | undefined {
  let position = start;
  for (let count = 0; ; count += 1) {
    const at = skipJsonBlanks(text, position);
    if (at === text.length) return undefined;
    try {
      const root = parseJsonAt(text, at);
      add({ root, syntax: 'json', text, toFileOffset: (offset) => offset }, documents, problems);
      position = root.end;
    } catch (error) {
      if (count === 0 || (count === 1 && text.slice(position, at).includes('\n'))) return behindBlanks(text, position);
      problems.push(problemOf(error, (offset) => offset));
      return undefined;
    }
  }
}

/** Behind the blanks up to the first line break, as the decoder goes over to YAML. */
function behindBlanks(text: string, position: number): number {
  const blanks = /^[^\S\n]*\n?/.exec(text.slice(position))?.[0] ?? '';
  return position + blanks.length;
}

// ---- YAML

interface Line {
  readonly start: number;
  /** Behind its line break. */
  readonly end: number;
  /** Without its line break. */
  readonly text: string;
}

const SEPARATOR = '---';

function readYamlStream(text: string, start: number, documents: ManifestDocument[], problems: ManifestProblem[]): void {
  let chunk: Line[] = [];
  for (const line of splitLines(text, start)) {
    if (!line.text.startsWith(SEPARATOR)) {
      chunk.push(line);
      continue;
    }
    checkSeparator(line, problems);
    // Several in a row, and one at the beginning, belong to the document that follows.
    if (chunk.length === 0) chunk.push(line);
    else {
      readYamlDocument(chunk, documents, problems);
      chunk = [];
    }
  }
  if (chunk.length > 0) readYamlDocument(chunk, documents, problems);
}

function checkSeparator({ text, start }: Line, problems: ManifestProblem[]): void {
  const rest = trimAsGo(text.slice(SEPARATOR.length));
  if (rest === '' || rest.startsWith('#')) return;
  const shown = rest.length > 40 ? `${rest.slice(0, 40)}…` : rest;
  problems.push({
    message: `only a comment may follow "---" on its line, not ${JSON.stringify(shown)}`,
    offset: start,
  });
}

/** strings.TrimSpace: other than JavaScript's, it knows U+0085 as a blank, and U+FEFF as none. */
function trimAsGo(text: string): string {
  return text.replace(/^(?:(?!\ufeff)[\s\x85])+|(?:(?!\ufeff)[\s\x85])+$/g, '');
}

function splitLines(text: string, from: number): readonly Line[] {
  const lines: Line[] = [];
  for (let start = from; start < text.length; ) {
    const end = text.indexOf('\n', start);
    const line = text.slice(start, end === -1 ? text.length : end);
    lines.push({
      start,
      end: end === -1 ? text.length : end + 1,
      text: end !== -1 && line.endsWith('\r') ? line.slice(0, -1) : line,
    });
    if (end === -1) break;
    start = end + 1;
  }
  return lines;
}

function readYamlDocument(lines: readonly Line[], documents: ManifestDocument[], problems: ManifestProblem[]): void {
  const text = lines.map((line) => `${line.text}\n`).join('');
  const starts: number[] = [];
  let length = 0;
  for (const line of lines) {
    starts.push(length);
    length += line.text.length + 1;
  }
  const fileEnd = lines.at(-1)?.end ?? 0;
  const toFileOffset = (offset: number): number => {
    if (offset >= length) return fileEnd;
    const index = lastAtMost(starts, offset);
    return (lines[index]?.start ?? 0) + offset - (starts[index] ?? 0);
  };
  try {
    const root = parseYaml(text);
    if (root !== undefined) add({ root, syntax: 'yaml', text, toFileOffset }, documents, problems);
  } catch (error) {
    problems.push(explainHelm(text, problemOf(error, toFileOffset), toFileOffset));
  }
}

/** The position of the last element that is no larger; elements ascend. */
function lastAtMost(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((sorted[middle] ?? 0) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

// ---- what is in a document

type Parsed = Pick<ManifestDocument, 'root' | 'syntax' | 'text' | 'toFileOffset'>;

function add(parsed: Parsed, documents: ManifestDocument[], problems: ManifestProblem[]): void {
  let decoded: ReturnType<typeof decodeNode>;
  try {
    decoded = decodeNode(parsed.root);
  } catch (error) {
    const problem = problemOf(error, parsed.toFileOffset);
    problems.push(parsed.syntax === 'yaml' ? explainHelm(parsed.text, problem, parsed.toFileOffset) : problem);
    return;
  }
  const { value, duplicates } = decoded;
  if (value === null) return;
  const found = findObjects(value);
  documents.push({ ...parsed, value, duplicates, ...found });
}

function findObjects(value: unknown): Pick<ManifestDocument, 'objects' | 'stray'> {
  if (!isObject(value)) return { objects: [], stray: 'the document is no object' };
  const isList = Object.hasOwn(value, 'items');
  if (isList && value.items !== null && !Array.isArray(value.items)) {
    return { objects: [], stray: 'its items are no list' };
  }
  const objects: ManifestObject[] = [];
  const stray = collect(isList && value.items === null ? { ...value, items: [] } : value, [], objects);
  return { objects, ...(stray !== undefined && { stray }) };
}

/** Takes lists apart; returns the first thing that kubectl would not take. */
function collect(object: JsonObject, path: readonly string[], objects: ManifestObject[]): string | undefined {
  const problem = objectProblem(object);
  if (!Array.isArray(object.items)) {
    objects.push({ object, path });
    return problem;
  }
  const problems = object.items.map((item: unknown, index) => {
    if (!isObject(item)) return `items[${index}] is no object`;
    const whole = inferKind(item, object);
    const missing = isText(whole.apiVersion) ? undefined : `items[${index}] has no apiVersion`;
    return collect(whole, [...path, 'items', String(index)], objects) ?? missing;
  });
  return problem ?? problems.find((one) => one !== undefined);
}

/** An item without kind and apiVersion has those of its list (unstructured/helpers.go:decodeToList). */
function inferKind(item: JsonObject, list: JsonObject): JsonObject {
  const isNamed = isText(item.kind) || isText(item.apiVersion);
  if (isNamed || typeof list.kind !== 'string') return item;
  return { apiVersion: list.apiVersion, kind: list.kind.replace(/List$/, ''), ...item };
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function objectProblem(object: JsonObject): string | undefined {
  if (!isText(object.kind)) return 'it has no kind';
  const { apiVersion = '' } = object;
  if (typeof apiVersion !== 'string' || apiVersion.split('/').length > 2) return 'its apiVersion is none';
  return metadataProblem(object.metadata);
}

// ---- problems

function problemOf(error: unknown, toFileOffset: (offset: number) => number): ManifestProblem {
  if (error instanceof SyntaxProblem) return { message: error.message, offset: toFileOffset(error.offset) };
  if (error instanceof RangeError) return { message: 'nested too deeply to be read', offset: toFileOffset(0) };
  throw error;
}

/** The tags of Go's templates, outside of quotes and comments: `{{ .Values.x }}`, `{{- if … }}`. */
const HELM_TAG =
  /\{\{-?\s*(?:[.$(]|\/\*|(?:if|else|end|range|with|define|block|template|include|toYaml|tpl|printf|default|required|quote|lookup)\b)/;

function explainHelm(
  text: string,
  problem: ManifestProblem,
  toFileOffset: (offset: number) => number,
): ManifestProblem {
  const match = HELM_TAG.exec(text);
  if (match === null) return problem;
  return { message: 'this is a Helm template, not a manifest: render it first', offset: toFileOffset(match.index) };
}
