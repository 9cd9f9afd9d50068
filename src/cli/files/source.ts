import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Standard input, as a file argument. */
export const STDIN = '-';
const EXTENSIONS = /\.(ya?ml|json)$/i;

export type SourceReading =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly message: string };

/** How messages name a file argument. */
export function nameOfSource(file: string): string {
  return file === STDIN ? 'standard input' : file;
}

/** The files that a path stands for: all YAML and JSON files below a folder, in alphabetical order, else the path itself. */
export function listSources(
  path: string,
): { readonly ok: true; readonly files: readonly string[] } | { readonly ok: false; readonly message: string } {
  if (path === STDIN) return { ok: true, files: [path] };
  try {
    if (!statSync(path).isDirectory()) return { ok: true, files: [path] };
    const files = filesBelow(path);
    return files.length > 0
      ? { ok: true, files }
      : { ok: false, message: `${path}: no YAML or JSON file in this folder` };
  } catch (error) {
    return { ok: false, message: `${path}: ${describeFileError(error)}` };
  }
}

/** Links and hidden folders are left out. */
function filesBelow(folder: string): readonly string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name.startsWith('.') ? [] : filesBelow(path);
    return entry.isFile() && EXTENSIONS.test(entry.name) ? [path] : [];
  });
}

/** What is read of one call's file arguments; standard input is read once, to its end, wherever `-` stands. */
export interface Sources {
  read(file: string): Promise<SourceReading>;
}

export function createSources(stdin: AsyncIterable<Uint8Array> = process.stdin): Sources {
  let input: Promise<Uint8Array> | undefined;
  const bytesOf = async (file: string): Promise<Uint8Array> => {
    if (file !== STDIN) return readFileSync(file);
    input ??= readToEnd(stdin);
    return input;
  };
  return {
    async read(file) {
      try {
        // kubectl takes UTF-8; the mark of the byte order stays, so that a file can be written as it was.
        const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await bytesOf(file));
        return { ok: true, text };
      } catch (error) {
        return { ok: false, message: `${nameOfSource(file)}: ${describeFileError(error)}` };
      }
    },
  };
}

/** As slowly as it comes: a pipe may be empty for now, which is not its end. */
async function readToEnd(stdin: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** In words; what the system calls it is no help to anybody. */
export function describeFileError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
    case 'EPERM':
      return 'you may not read or write it';
    case 'EISDIR':
      return 'it is a folder';
    case 'ENOSPC':
      return 'the disk is full';
    case 'EROFS':
      return 'the file system cannot be written to';
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'it is not valid UTF-8';
    default:
      return message ?? String(error);
  }
}

/** Line and column, from 1, of an offset. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Finds positions in one text; columns count UTF-16 units. */
export function createLocator(text: string): (offset: number) => Position {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  };
}
