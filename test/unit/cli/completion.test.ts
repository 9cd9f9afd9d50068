import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = new URL('../../..', import.meta.url).pathname;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stepmemo-completion-'));
  writeFileSync(join(folder, 'stepmemo'), `#!/bin/sh\nexec "${process.execPath}" "${root}src/main.ts" "$@"\n`, {
    mode: 0o755,
  });
  symlinkSync(join(folder, 'stepmemo'), join(folder, 'kubectl-stepmemo'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const env = () => ({ ...process.env, PATH: `${folder}:${process.env.PATH}` });
const stepmemo = (...args: readonly string[]) =>
  execFileSync(join(folder, 'stepmemo'), args, { env: env(), encoding: 'utf8' });
const complete = (...words: readonly string[]) =>
  stepmemo('__complete', ...words)
    .trim()
    .split('\n');

describe('completion', { timeout: 30_000 }, () => {
  it.each([
    [['un'], ['uninstall', ':0']],
    [['pl'], ['plan', ':0']],
    [
      ['plan', '--mo'],
      ['--mode', ':0'],
    ],
    [
      ['plan', '--mode', ''],
      ['managed', 'native', ':0'],
    ],
    [['plan', 'file'], [':0']],
    [
      ['ls', '--as'],
      ['--as', '--as-group', ':0'],
    ],
    [['__'], [':0']],
  ])('of %j', (words, expected) => {
    expect(complete(...words)).toEqual(expected);
  });

  it('works in bash, with the script that is printed', () => {
    const script = `${stepmemo('completion', 'bash')}
COMP_WORDS=(stepmemo plan --mode ''); COMP_CWORD=3; _stepmemo; echo "\${COMPREPLY[*]}"
COMP_WORDS=(stepmemo un); COMP_CWORD=1; _stepmemo; echo "\${COMPREPLY[*]}"`;
    const out = execFileSync('bash', ['-c', script], { env: env(), encoding: 'utf8' });
    expect(out.trim().split('\n')).toEqual(['managed native', 'uninstall']);
  });

  it('prints a script for each shell, and says which there are', () => {
    for (const shell of ['zsh', 'fish', 'kubectl']) expect(stepmemo('completion', shell)).toContain('__complete');
    expect(() => stepmemo('completion', 'tcsh')).toThrow(/there is no completion for "tcsh"/);
  });
});
