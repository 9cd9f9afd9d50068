import type { JsonObject } from '../../base/json.ts';
import { isJudged } from '../../policy/lint-objects.ts';
import { partsOf } from './edit/changes.ts';
import { type ManifestDocument, type ManifestObject, readManifest } from './read-manifests.ts';
import { createLocator, listSources, type Position, type Sources } from './source.ts';
import { targetOf, type YamlNode } from './yaml/node.ts';
import { isMergeKey } from './yaml/value.ts';

/** An object of the input, and the way back to its place in the file. */
export interface LintObject {
  readonly file: string;
  readonly object: JsonObject;
  /** Line and column, from 1, of what a JSON Pointer into the object leads to, or of the nearest thing around it. */
  locate(pointer: string): Position;
  /** Keys that stand twice in one mapping of the document; the last one counts, as for kubectl. */
  readonly duplicates: readonly (Position & { readonly key: string })[];
}

export interface LintInput {
  readonly objects: readonly LintObject[];
  readonly files: readonly string[];
  /** What could not be read, one line each, beginning with the file. */
  readonly errors: readonly string[];
}

/** Reads files, all YAML and JSON files below folders, and `-` for standard input. Never throws on content. */
export async function readLintInput(paths: readonly string[], sources: Sources): Promise<LintInput> {
  const errors: string[] = [];
  const files: string[] = [];
  const objects: LintObject[] = [];
  for (const path of paths) {
    const listed = listSources(path);
    if (!listed.ok) errors.push(listed.message);
    else files.push(...listed.files);
  }
  for (const file of files) {
    const source = await sources.read(file);
    if (!source.ok) errors.push(source.message);
    else objects.push(...readObjects(file, source.text, errors));
  }
  return { objects, files, errors };
}

function readObjects(file: string, text: string, errors: string[]): readonly LintObject[] {
  const positionOf = createLocator(text);
  const { documents, problems } = readManifest(text);
  const report = (offset: number, message: string) => {
    const { line, column } = positionOf(offset);
    errors.push(`${file}:${line}:${column}: ${message}`);
  };
  for (const { offset, message } of problems) report(offset, message);
  return documents.flatMap((document) => {
    // Values files and the like are not manifests, and are never sent to a cluster.
    const isOurs = document.objects.some(({ object }) => isJudged(object));
    if (document.stray !== undefined && isOurs) {
      report(document.toFileOffset(document.root.start), `kubectl would refuse this: ${document.stray}`);
    }
    const at = (offset: number) => positionOf(document.toFileOffset(offset));
    return document.objects.map((object, index) => toLintObject(file, document, object, index === 0, at));
  });
}

function toLintObject(
  file: string,
  document: ManifestDocument,
  { object, path }: ManifestObject,
  isFirst: boolean,
  at: (offset: number) => Position,
): LintObject {
  return {
    file,
    object,
    locate: (pointer) => at(findOffset(document.root, [...path, ...partsOf(pointer)])),
    duplicates: isFirst ? document.duplicates.map(({ key, offset }) => ({ key, ...at(offset) })) : [],
  };
}

/** Follows a path through the document as far as it is there. */
function findOffset(root: YamlNode, parts: readonly string[]): number {
  let offset = root.start;
  let node: YamlNode = root;
  for (const part of parts) {
    const next = child(targetOf(node), part);
    if (next === undefined) break;
    ({ node, offset } = next);
  }
  return offset;
}

/** A member, told by the place of its key; an item of a list by its own. */
function child(node: YamlNode, part: string): { readonly node: YamlNode; readonly offset: number } | undefined {
  if (node.kind === 'list') {
    const item = node.items[Number(part)];
    return item && { node: item, offset: item.start };
  }
  if (node.kind !== 'map') return undefined;
  // What comes later wins, merge keys too.
  for (const { key, value } of [...node.pairs].reverse()) {
    if (isMergeKey(key)) {
      const merged = mergedChild(value, part);
      if (merged !== undefined) return merged;
    } else if (key.kind === 'scalar' && key.text === part) {
      return { node: value, offset: key.start };
    }
  }
  return undefined;
}

function mergedChild(source: YamlNode, part: string): ReturnType<typeof child> {
  const maps = source.kind === 'list' ? source.items : [source];
  for (const map of maps) {
    const found = child(targetOf(map), part);
    if (found !== undefined) return found;
  }
  return undefined;
}
