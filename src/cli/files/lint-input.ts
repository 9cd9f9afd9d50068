import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Node, visit } from 'yaml';
import { isObject, type JsonObject } from '../../base/json.ts';
import { parseLeniently } from './lenient-yaml.ts';

/** An object of the input, and the way back to its place in the file. */
export interface LintObject {
  readonly file: string;
  readonly object: JsonObject;
  /** Line and column, from 1, of what a JSON Pointer into the object leads to, or of the nearest thing around it. */
  locate(pointer: string): Position;
  /** Keys that stand twice in one mapping of the document; the last one counts, as for kubectl. */
  readonly duplicates: readonly (Position & { readonly key: string })[];
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface LintInput {
  readonly objects: readonly LintObject[];
  readonly files: readonly string[];
  /** What could not be read, one line each, beginning with the file. */
  readonly errors: readonly string[];
}

/** Standard input, as a file argument and as a name in messages. */
const STDIN = '-';
const EXTENSIONS = /\.(ya?ml|json)$/i;

/** Reads files, all YAML and JSON files below folders, and `-` for standard input. Never throws on content. */
export function readLintInput(paths: readonly string[]): LintInput {
  const errors: string[] = [];
  const files = paths.flatMap((path) => listFiles(path, errors));
  const objects = files.flatMap((file) => readObjects(file, errors));
  return { objects, files, errors };
}

function listFiles(path: string, errors: string[]): readonly string[] {
  if (path === STDIN) return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
    const files = filesBelow(path);
    if (files.length === 0) errors.push(`${path}: no YAML or JSON file in this folder`);
    return files;
  } catch (error) {
    errors.push(`${path}: ${messageOf(error)}`);
    return [];
  }
}

/** In alphabetical order; links and hidden folders are left out. */
function filesBelow(folder: string): readonly string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name.startsWith('.') ? [] : filesBelow(path);
    return entry.isFile() && EXTENSIONS.test(entry.name) ? [path] : [];
  });
}

function readObjects(file: string, errors: string[]): readonly LintObject[] {
  try {
    const bytes = readFileSync(file === STDIN ? 0 : file);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return parseText(file, text, errors);
  } catch (error) {
    errors.push(`${file}: ${messageOf(error)}`);
    return [];
  }
}

function messageOf(error: unknown): string {
  if (error instanceof RangeError) return 'nested too deeply to be read';
  if (!(error instanceof Error)) return String(error);
  return (error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
    ? 'not valid UTF-8'
    : error.message;
}

/** More uses of anchors than people write; an alias bomb has millions. */
const ALIAS_LIMIT = 10_000;

function parseText(file: string, text: string, errors: string[]): readonly LintObject[] {
  const lineCounter = new LineCounter();
  const documents = parseLeniently(text, lineCounter);
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error === undefined) return readDocument(file, document, lineCounter);
    const { line, col } = lineCounter.linePos(error.pos[0]);
    errors.push(`${file}:${line}:${col}: ${error.message}`);
    return [];
  });
}

function readDocument(file: string, document: Document, lineCounter: LineCounter): readonly LintObject[] {
  const content: unknown = document.toJS({ maxAliasCount: ALIAS_LIMIT });
  if (!isObject(content)) return [];
  const items = content.kind === 'List' && Array.isArray(content.items) ? content.items : undefined;
  const located = (object: JsonObject, prefix: readonly string[]): LintObject => ({
    file,
    object,
    locate: (pointer) => locate(document, [...prefix, ...partsOf(pointer)], lineCounter),
    duplicates: prefix.length === 0 || prefix[1] === '0' ? findDuplicates(document, lineCounter) : [],
  });
  if (items === undefined) return [located(content, [])];
  return items.flatMap((item: unknown, index) => (isObject(item) ? [located(item, ['items', String(index)])] : []));
}

function findDuplicates(document: Document, lineCounter: LineCounter): LintObject['duplicates'] {
  const found: (Position & { readonly key: string })[] = [];
  visit(document, {
    Map: (_, map) => {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key) || key.source === '<<') continue;
        const name = String(key.value);
        if (seen.has(name)) found.push({ key: name, ...positionOf(key.range?.[0] ?? 0, lineCounter) });
        seen.add(name);
      }
    },
  });
  return found;
}

function positionOf(offset: number, lineCounter: LineCounter): Position {
  const { line, col } = lineCounter.linePos(offset);
  return { line, column: col };
}

function partsOf(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Follows a path through the document as far as it is there. */
function locate(document: Document, parts: readonly string[], lineCounter: LineCounter): Position {
  let node = resolve(document.contents, document);
  let offset = node?.range?.[0] ?? 0;
  for (const part of parts) {
    const next = child(node, part, document);
    if (next === undefined) break;
    offset = next.offset;
    node = resolve(next.value, document);
  }
  return positionOf(offset, lineCounter);
}

function resolve(value: unknown, document: Document): Node | undefined {
  if (isAlias(value)) return value.resolve(document);
  return isNode(value) ? value : undefined;
}

/** A member, told by the place of its key; an item of a list by its own. */
function child(
  node: Node | undefined,
  part: string,
  document: Document,
): { readonly value: unknown; readonly offset: number } | undefined {
  if (isSeq(node)) {
    const item = node.items[Number(part)];
    return isNode(item) && item.range ? { value: item, offset: item.range[0] } : undefined;
  }
  if (!isMap(node)) return undefined;
  for (const { key, value } of [...node.items].reverse()) {
    if (isScalar(key) && String(key.value) === part && key.range) return { value, offset: key.range[0] };
  }
  return mergedChild(node, part, document);
}

/** A member that comes by a merge key, `<<`. */
function mergedChild(node: Node, part: string, document: Document): ReturnType<typeof child> {
  if (!isMap(node)) return undefined;
  const merged = node.items.filter(({ key }) => isScalar(key) && (key.source === '<<' || key.value === '<<'));
  for (const { value } of merged) {
    const source = resolve(value, document);
    for (const one of isSeq(source) ? source.items : [source]) {
      const found = child(resolve(one, document), part, document);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
