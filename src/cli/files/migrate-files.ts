import { readFileSync, writeFileSync } from 'node:fs';
import jsonpatch from 'jsonpatch';
import { parseDocument } from 'yaml';
import { isWorkflowKind } from '../../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../../base/json.ts';
import { type JsonPatch, pointer } from '../../base/json-patch.ts';
import { moveMemoize, restoreMemoize } from '../../workflow/mutate-workflow.ts';
import type { CommandOutput } from '../output.ts';
import { editYaml, YAML_OPTIONS } from './yaml-edit.ts';

export interface MigrateFilesOptions {
  /** Manifests in YAML or JSON; `-` is standard input. */
  readonly files: readonly string[];
  /** Write each file anew; else the result goes to standard output. */
  readonly write: boolean;
  /** The other way: annotations that a move has written become `memoize` again. */
  readonly back?: boolean;
}

interface Rewritten {
  readonly text: string;
  /** What happened, and what stays, for people; goes to standard error. */
  readonly notes: readonly string[];
  readonly isChanged: boolean;
}

type FileResult =
  | { readonly ok: true; readonly value: Rewritten }
  | { readonly ok: false; readonly message: string; readonly exitCode: 1 | 2 };

/**
 * `stepmemo migrate FILE…`: rewrites manifests of a repository, so that they say what managed mode would make of them.
 * Nothing is printed or written unless all files can be rewritten. Exit code 0, 1 where a document cannot be rewritten,
 * 2 for input that cannot be read.
 */
export function runMigrateFiles(options: MigrateFilesOptions, out: CommandOutput): number {
  const results: { file: string; text: string; isChanged: boolean }[] = [];
  for (const file of options.files) {
    const read = readText(file);
    if (!read.ok) return fail(out, read.message, 2);
    const rewritten = rewrite(read.text, options.back === true);
    if (!rewritten.ok) return fail(out, `${nameOf(file)}: ${rewritten.message}`, rewritten.exitCode);
    for (const note of rewritten.value.notes) out.printError(`${nameOf(file)}: ${note}`);
    results.push({ file, ...rewritten.value });
  }
  if (!options.write) {
    out.print(joinDocuments(results.map(({ text }) => text)));
    return 0;
  }
  return writeAll(results, out);
}

function fail(out: CommandOutput, message: string, exitCode: number): number {
  out.printError(`stepmemo migrate: ${message}`);
  return exitCode;
}

function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}

function readText(file: string): { ok: true; text: string } | { ok: false; message: string } {
  try {
    return { ok: true, text: readFileSync(file === '-' ? 0 : file, 'utf8') };
  } catch (error) {
    return { ok: false, message: `${nameOf(file)} cannot be read: ${(error as Error).message}` };
  }
}

function writeAll(results: readonly { file: string; text: string; isChanged: boolean }[], out: CommandOutput): number {
  for (const { file, text, isChanged } of results) {
    if (file === '-') {
      out.print(text.replace(/\n$/, ''));
      continue;
    }
    if (!isChanged) continue;
    try {
      writeFileSync(file, text);
    } catch (error) {
      return fail(out, `${file} cannot be written: ${(error as Error).message}`, 1);
    }
    out.print(`rewritten: ${file}`);
  }
  return 0;
}

/** Several manifests as one stream of documents. */
function joinDocuments(texts: readonly string[]): string {
  return texts
    .map((text) => text.replace(/\n$/, ''))
    .reduce((all, text) => `${all}\n${/^---(\s|$)/.test(text) ? '' : '---\n'}${text}`);
}

/** Rewrites the text of one file. Everything that is no workflow object stays as it is, to the letter. */
export function rewrite(text: string, back: boolean): FileResult {
  const json = /^\s*[{[]/.test(text) ? rewriteJson(text, back) : undefined;
  if (json !== undefined) return { ok: true, value: json };
  const notes: string[] = [];
  let rewritten = '';
  // A line that begins with `---` ends a document wherever it stands, in a block of text too.
  for (const piece of text.split(/^(---(?=\s|$))/m)) {
    const result = piece === '---' ? unchanged(piece) : rewriteDocument(piece, back);
    if (!result.ok) return result;
    notes.push(...result.value.notes);
    rewritten += result.value.text;
  }
  return { ok: true, value: { text: rewritten, notes, isChanged: rewritten !== text } };
}

function unchanged(text: string, notes: readonly string[] = []): FileResult {
  return { ok: true, value: { text, notes, isChanged: false } };
}

function rewriteDocument(text: string, back: boolean): FileResult {
  const document = parseDocument(text, YAML_OPTIONS);
  const error = document.errors[0];
  if (error !== undefined) return { ok: false, message: `is no YAML: ${error.message}`, exitCode: 2 };
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // Aliases that lead nowhere, or to far too much.
    return { ok: false, message: `is no YAML: ${(error as Error).message}`, exitCode: 2 };
  }
  const { name, patch, notes } = changeOf(value, back);
  if (patch.length === 0) return unchanged(text, notes);
  const edit = editYaml(text, patch);
  if (!edit.ok) return { ok: false, message: `${name} cannot be rewritten: ${edit.message}`, exitCode: 1 };
  const reprinted = edit.isReprinted ? [`${name}: printed anew, its layout may differ.`] : [];
  return { ok: true, value: { text: edit.text, notes: [...notes, ...reprinted], isChanged: true } };
}

/** Undefined where the text is not JSON: flow-style YAML begins the same way. */
function rewriteJson(text: string, back: boolean): Rewritten | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { patch, notes } = changeOf(value, back);
  if (patch.length === 0) return { text, notes, isChanged: false };
  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? (text.trimEnd().includes('\n') ? 2 : 0);
  const end = text.slice(text.trimEnd().length);
  return { text: JSON.stringify(jsonpatch.apply_patch(value, patch), null, indent) + end, notes, isChanged: true };
}

interface Change {
  readonly name: string;
  readonly patch: JsonPatch;
  readonly notes: readonly string[];
}

/** What is to be done to a document: a workflow object, or a List of such. */
function changeOf(value: unknown, back: boolean): Change {
  if (isObject(value) && value.kind === 'List' && Array.isArray(value.items)) {
    const changes = value.items.map((item: unknown, index) => prefixed(changeOf(item, back), index));
    return {
      name: 'the List',
      patch: changes.flatMap(({ patch }) => patch),
      notes: changes.flatMap(({ notes }) => notes),
    };
  }
  if (!isWorkflowObject(value)) return { name: 'the document', patch: [], notes: [] };
  return back ? changeBack(value) : changeForth(value);
}

function isWorkflowObject(value: unknown): value is JsonObject {
  if (!isObject(value) || !isWorkflowKind(value.kind)) return false;
  return typeof value.apiVersion === 'string' && value.apiVersion.startsWith('argoproj.io/');
}

function prefixed(change: Change, index: number): Change {
  const patch = change.patch.map((operation) => ({ ...operation, path: pointer('items', index) + operation.path }));
  return { ...change, patch };
}

function changeForth(object: JsonObject): Change {
  const name = describe(object);
  const { patch, moved, copied, warnings } = moveMemoize(object);
  return {
    name,
    patch,
    notes: [
      ...moved.map((path) => `${name}: ${path}.memoize moved into annotations.`),
      ...copied.map((path) => `${name}: ${path} got a copy of templateDefaults.memoize.`),
      ...warnings.map((warning) => `${name}: ${warning}`),
    ],
  };
}

function changeBack(object: JsonObject): Change {
  const name = describe(object);
  const { patch, restored } = restoreMemoize(object);
  return { name, patch, notes: restored.map((path) => `${name}: ${path} is as it was before the move.`) };
}

function describe(object: JsonObject): string {
  const metadata = isObject(object.metadata) ? object.metadata : {};
  const name = metadata.name ?? metadata.generateName;
  return typeof name === 'string' ? `${object.kind} ${name}` : `${object.kind}`;
}
