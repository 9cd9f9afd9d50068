import type { RawOutput } from '../output.ts';
import { type Manifest, readManifest } from './read-manifests.ts';
import { rewriteManifest } from './rewrite-manifest.ts';
import { createLocator, createSources, describeFileError, nameOfSource, type Sources, STDIN } from './source.ts';
import { replaceFile } from './write-file.ts';

export interface MigrateFilesOptions {
  /** Manifests in YAML or JSON; `-` is standard input. */
  readonly files: readonly string[];
  /** Put the result in place of each file; else it goes to standard output. */
  readonly write: boolean;
  /** The other way: annotations that a move has written become `memoize` again. */
  readonly back?: boolean;
  /** With `write`: leave the original beside each file that changes. */
  readonly backup?: boolean;
}

interface ReadFile {
  readonly file: string;
  readonly text: string;
  readonly manifest: Manifest;
}

const EXIT_LEFT = 1;
const EXIT_UNREADABLE = 2;

/**
 * `stepmemo migrate FILE…`: rewrites manifests of a repository, so that they say what managed mode would make of them.
 * Where some input cannot be read nothing is printed or written at all. Exit code 0, 1 where an object or a file is left
 * as it was, 2 for input that cannot be read.
 */
export async function runMigrateFiles(
  { files, write, back = false, backup = false }: MigrateFilesOptions,
  out: RawOutput,
  sources: Sources = createSources(),
): Promise<number> {
  const errors: string[] = [];
  const read: ReadFile[] = [];
  for (const file of files) read.push(...(await readOne(file, sources, errors)));
  for (const error of errors) out.printError(`stepmemo migrate: ${error}`);
  if (errors.length > 0) return EXIT_UNREADABLE;
  let exitCode = 0;
  const results = read.map(({ file, text, manifest }) => {
    const rewritten = rewriteManifest(text, manifest, back ? 'back' : 'forth');
    for (const note of rewritten.notes) out.printError(`${nameOfSource(file)}: ${note}`);
    for (const failure of rewritten.failures) out.printError(`stepmemo migrate: ${nameOfSource(file)}: ${failure}`);
    if (rewritten.failures.length > 0) exitCode = EXIT_LEFT;
    return { file, text: rewritten.text, isChanged: rewritten.text !== text };
  });
  if (!write) {
    out.printRaw(joinStreams(results.map(({ text }) => text)));
    return exitCode;
  }
  return Math.max(exitCode, writeAll(results, backup, out));
}

async function readOne(file: string, sources: Sources, errors: string[]): Promise<readonly ReadFile[]> {
  const source = await sources.read(file);
  if (!source.ok) {
    errors.push(source.message);
    return [];
  }
  const manifest = readManifest(source.text);
  const locate = createLocator(source.text);
  for (const { message, offset } of manifest.problems) {
    const { line, column } = locate(offset);
    errors.push(`${nameOfSource(file)}:${line}:${column}: ${message}`);
  }
  return [{ file, text: source.text, manifest }];
}

function writeAll(
  results: readonly { file: string; text: string; isChanged: boolean }[],
  backup: boolean,
  out: RawOutput,
): number {
  let exitCode = 0;
  for (const { file, text, isChanged } of results) {
    if (file === STDIN) {
      out.printRaw(text);
      continue;
    }
    if (!isChanged) continue;
    try {
      replaceFile(file, text, { backup });
      out.print(`rewritten: ${file}`);
    } catch (error) {
      out.printError(`stepmemo migrate: ${file} cannot be written: ${describeFileError(error)}`);
      exitCode = EXIT_LEFT;
    }
  }
  return exitCode;
}

/** Several manifests as one stream of documents; one alone to the letter. */
function joinStreams(texts: readonly string[]): string {
  return texts.reduce((all, text) => {
    const isEnded = all.endsWith('\n') ? '' : '\n';
    return `${all}${isEnded}${/^---(\s|$)/.test(text) ? '' : '---\n'}${text}`;
  });
}
