/** What a JSON Patch is to do to the mappings of a document. */
import type { JsonPatch, JsonPatchOperation } from '../../../base/json-patch.ts';
import type { ManifestDocument } from '../read-manifests.ts';
import { type MapNode, type Pair, targetOf, type YamlNode } from '../yaml/node.ts';
import { isMergeKey } from '../yaml/value.ts';
import type { KnownTexts } from './render.ts';

/** One stretch of the document's text that becomes another. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export type DocumentEdit =
  | { readonly ok: true; readonly edits: readonly TextEdit[] }
  | { readonly ok: false; readonly message: string };

/** `long` keeps the whole text that stood there, `short` its place alone. */
export type PlaceMark = 'none' | 'short' | 'long';

export interface EditOptions {
  /** Whether what a long mark has kept is put back to the letter; else its place alone counts. */
  readonly usesKept: boolean;
  /** What is left behind where a member goes from a block mapping, by the pointer of that mapping. */
  readonly markOf: (mapPointer: string) => PlaceMark;
}

/** An obstacle to editing; its message is half a sentence. */
export class NotEditable extends Error {}

/** What is to happen to one mapping. */
export interface MapChange {
  readonly pointer: string;
  readonly map: MapNode;
  readonly removed: Pair[];
  readonly added: (readonly [key: string, value: unknown])[];
  readonly replaced: (readonly [pair: Pair, value: unknown])[];
}

export interface MapEdit {
  readonly document: ManifestDocument;
  readonly known: KnownTexts;
  readonly options: EditOptions;
  readonly change: MapChange;
}

export function groupChanges(root: YamlNode, patch: JsonPatch): readonly MapChange[] {
  const changes = new Map<string, MapChange>();
  for (const operation of patch) {
    if (operation.op === 'test') continue;
    const cut = operation.path.lastIndexOf('/');
    const pointer = operation.path.slice(0, cut);
    const [key = ''] = partsOf(operation.path.slice(cut));
    const change = changes.get(pointer) ?? {
      pointer,
      map: findMap(root, pointer),
      removed: [],
      added: [],
      replaced: [],
    };
    changes.set(pointer, change);
    noteOperation(change, key, operation);
  }
  return [...changes.values()];
}

export function noteOperation(change: MapChange, key: string, operation: JsonPatchOperation): void {
  const pairs = pairsOf(change.map, key);
  const last = pairs.at(-1);
  if (operation.op === 'remove') {
    if (last === undefined) throw new NotEditable(`${key} comes from a merge key (<<)`);
    change.removed.push(...pairs);
  } else if (operation.op !== 'test') {
    if (last === undefined) change.added.push([key, operation.value]);
    else change.replaced.push([last, operation.value]);
  }
}

/** The parts of a JSON Pointer, unescaped. */
export function partsOf(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

export function findMap(root: YamlNode, pointer: string): MapNode {
  let node = targetOf(root);
  for (const part of partsOf(pointer)) {
    const next: YamlNode | undefined =
      node.kind === 'list'
        ? node.items[Number(part)]
        : node.kind === 'map'
          ? pairsOf(node, part).at(-1)?.value
          : undefined;
    if (next === undefined) throw new NotEditable(`${part} comes from a merge key (<<)`);
    node = targetOf(next);
  }
  if (node.kind !== 'map') throw new NotEditable(`what stands at ${pointer} is no mapping`);
  return node;
}

/** The pair that a JSON Pointer leads to; undefined where it comes from elsewhere. */
export function findPair(root: YamlNode, pointer: string): Pair | undefined {
  const cut = pointer.lastIndexOf('/');
  const [key = ''] = partsOf(pointer.slice(cut));
  return pairsOf(findMap(root, pointer.slice(0, cut)), key).at(-1);
}

/** All pairs of that key: the last one counts, but the others would, were it gone. */
export function pairsOf(map: MapNode, name: string): readonly Pair[] {
  return map.pairs.filter(({ key }) => key.kind === 'scalar' && !isMergeKey(key) && key.text === name);
}

export function visit(node: YamlNode, see: (node: YamlNode) => void): void {
  see(node);
  if (node.kind === 'list') for (const item of node.items) visit(item, see);
  if (node.kind !== 'map') return;
  for (const { key, value } of node.pairs) {
    visit(key, see);
    visit(value, see);
  }
}
