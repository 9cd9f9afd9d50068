import { posix } from 'node:path';
import type { Captured } from './captured.ts';
import { decodeAsGo } from './go-text.ts';
import { type FileReading, readFileBelow } from './safe-file.ts';
import type { DeclaredParameter, SidecarTemplate } from './template.ts';

/** Values of one step, all together, in bytes: more fits neither into an entry nor into what the server takes. */
export const OUTPUTS_LIMIT_BYTES = 1024 * 1024;
/** What Argo keeps of a standard output (executor.go:CaptureScriptResult). */
const RESULT_LIMIT_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

export interface CollectOptions {
  readonly template: SidecarTemplate;
  readonly needsResult: boolean;
  /** Argo's shared directory. */
  readonly root: string;
  /** Main's own mounts. */
  readonly mountsDirectory: string;
}

export interface Collection {
  readonly captured: Captured;
  readonly sizeBytes: number;
  /** Outputs that could not be read, each with why. The server misses them by name, and stores no entry. */
  readonly missing: readonly { readonly output: string; readonly why: string }[];
}

/**
 * Reads the outputs as Argo's executor does (workflow/executor/executor.go:SaveParameters and CaptureScriptResult): one
 * trailing newline is cut, a default stands for a file that is not there.
 */
export function collectOutputs({ template, needsResult, root, mountsDirectory }: CollectOptions): Collection {
  const parameters: { name: string; value: string }[] = [];
  const missing: { output: string; why: string }[] = [];
  let sizeBytes = 0;
  const read = (directory: string, path: string): FileReading =>
    readFileBelow(directory, path, { limitBytes: OUTPUTS_LIMIT_BYTES - sizeBytes });
  const take = (text: Buffer): string => {
    sizeBytes += text.length;
    return decodeAsGo(text);
  };
  for (const parameter of template.parameters) {
    // Cleaned before it is joined: it may climb no higher than the directory that it belongs in.
    const path = posix.normalize(`/${parameter.path}`);
    const reading = parameter.isMounted ? read(mountsDirectory, path) : read(root, `outputs/parameters${path}`);
    const text = textOf(parameter, reading);
    if (text) parameters.push({ name: parameter.name, value: take(text) });
    else missing.push({ output: parameter.name, why: detailOf(reading) });
  }
  // Only the output of the container `main` is a result (workflow_types.go:HasOutput).
  if (!needsResult || !template.mains.includes('main')) return { captured: { parameters }, sizeBytes, missing };
  const stdout = readFileBelow(root, 'ctr/main/stdout', { limitBytes: RESULT_LIMIT_BYTES + 1, isTail: true });
  if (!stdout.ok) {
    missing.push({ output: 'result', why: detailOf(stdout) });
    return { captured: { parameters }, sizeBytes, missing };
  }
  const result = cutNewline(stdout.bytes);
  return { captured: { parameters, result: take(result.subarray(-RESULT_LIMIT_BYTES)) }, sizeBytes, missing };
}

function textOf(parameter: DeclaredParameter, reading: FileReading): Buffer | undefined {
  if (reading.ok) return cutNewline(reading.bytes);
  if (reading.why === 'missing' && parameter.default !== undefined) return cutNewline(Buffer.from(parameter.default));
  return undefined;
}

function cutNewline(bytes: Buffer): Buffer {
  return bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes;
}

function detailOf(reading: FileReading): string {
  return reading.ok ? '' : reading.detail;
}
