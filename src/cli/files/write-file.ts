import { chmodSync, copyFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Puts a text in place of a file as a whole, or not at all: through a file beside it and a rename. A link is followed, the
 * mode stays. With `backup` the original is left beside it, as `NAME.orig`. Throws what the file system says.
 */
export function replaceFile(file: string, text: string, { backup }: { readonly backup: boolean }): void {
  const path = realpathSync(file);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    writeFileSync(temporary, text, { flag: 'wx' });
    chmodSync(temporary, statSync(path).mode & 0o7777);
    if (backup) copyFileSync(path, `${path}.orig`);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
