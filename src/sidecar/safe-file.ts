import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { posix } from 'node:path';

/** O_PATH of Linux (x86 and ARM alike), which Node has no name for: a handle on a place, without opening what is there. */
const O_PATH = 0o10000000;
const SLACK_BYTES = 4096;

/**
 * What a read came to. `missing`: there is no such file. `growing`: it became longer while it was read.
 * `refused`: there is something that must not be read, or cannot be.
 */
export type FileReading =
  | { readonly ok: true; readonly bytes: Buffer; readonly modifiedMs: number }
  | { readonly ok: false; readonly why: 'missing' | 'growing' | 'refused'; readonly detail: string };

export interface ReadOptions {
  readonly limitBytes: number;
  /** With it a longer file gives its last `limitBytes`; without it a longer file is refused. */
  readonly isTail?: boolean;
}

/**
 * Reads a regular file below `root`, a directory that others may change at the same time as they like. No symbolic link is
 * followed below `root` (a link could lead to this container's own token), nothing but a regular file is ever opened (a
 * FIFO would block), and never more than the limit is held, however large the file is or grows.
 *
 * Each part of the path is opened by the handle of the one before it, as openat(2) would: what was checked is what is read.
 */
export function readFileBelow(root: string, path: string, options: ReadOptions): FileReading {
  const handles: number[] = [];
  const open = (place: string, flags: number): number => {
    const handle = openSync(place, flags);
    handles.push(handle);
    return handle;
  };
  try {
    let place = open(root, O_PATH | constants.O_DIRECTORY);
    for (const part of posix.normalize(`/${path}`).split('/').filter(Boolean)) {
      place = open(`/proc/self/fd/${place}/${part}`, O_PATH | constants.O_NOFOLLOW);
      if (fstatSync(place).isSymbolicLink()) return failure('refused', 'a symbolic link');
    }
    if (!fstatSync(place).isFile()) return failure('refused', 'no regular file');
    const file = open(`/proc/self/fd/${place}`, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    return options.isTail ? readTail(file, options.limitBytes) : readWhole(file, options.limitBytes);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return failure(code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'refused', code);
  } finally {
    for (const handle of handles) closeSync(handle);
  }
}

function readWhole(file: number, limitBytes: number): FileReading {
  const { size, mtimeMs } = fstatSync(file);
  if (size > limitBytes) return failure('refused', 'too large');
  // Room for what is written between the two calls; one byte more than allowed shows that there is more.
  const bytes = Buffer.allocUnsafe(Math.min(size + SLACK_BYTES, limitBytes) + 1);
  const length = readUpTo(file, bytes, 0);
  if (length === bytes.length) return failure('growing', 'growing');
  return { ok: true, bytes: bytes.subarray(0, length), modifiedMs: mtimeMs };
}

function readTail(file: number, limitBytes: number): FileReading {
  const { size, mtimeMs } = fstatSync(file);
  const bytes = Buffer.allocUnsafe(Math.min(size, limitBytes));
  const length = readUpTo(file, bytes, size - bytes.length);
  return { ok: true, bytes: bytes.subarray(0, length), modifiedMs: mtimeMs };
}

/** Fills the buffer from a position of the file on, as far as the file goes; answers how many bytes that were. */
function readUpTo(file: number, bytes: Buffer, position: number): number {
  let length = 0;
  while (length < bytes.length) {
    const count = readSync(file, bytes, length, bytes.length - length, position + length);
    if (count === 0) break;
    length += count;
  }
  return length;
}

function failure(why: 'missing' | 'growing' | 'refused', detail: string): FileReading {
  return { ok: false, why, detail };
}
