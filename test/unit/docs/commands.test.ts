import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { shownCommands } from '../../support/docs-commands.ts';

/*
 * Every command that the docs show exists: targets of make with their variables, commands of stepmemo with their options, paths of
 * this repository. test/integration/docs-commands.test.ts runs them.
 */
const ROOT = new URL('../../..', import.meta.url).pathname;

/** Each program of a pipe for itself. */
const shown = shownCommands().flatMap(({ where, text }) => {
  const parts = text.split(/\s*(?:\||&&|;)\s*/).map((part) => part.replace(/^npx (--no-install )?/, ''));
  return parts.map((part) => ({ where, words: part.replace(/^kubectl stepmemo/, 'stepmemo').split(/\s+/) }));
});
const of = (program: string) => shown.filter(({ words }) => words[0] === program);
const makefiles = ['Makefile', 'cluster/cluster.mk'].map((file) => readFileSync(join(ROOT, file), 'utf8')).join('\n');

const help = new Map<string, string>();
/** The help text of a command, as users see it. */
function helpOf(command: string): string {
  const known = help.get(command);
  if (known !== undefined) return known;
  const text = execFileSync(process.execPath, [join(ROOT, 'src/main.ts'), command, '--help'], { encoding: 'utf8' });
  help.set(command, text);
  return text;
}

describe('a command that the docs show', () => {
  it('is found by this test', () => {
    expect(of('stepmemo').length).toBeGreaterThan(10);
    expect(of('make').length).toBeGreaterThan(5);
  });

  it.each(of('make'))('$where: make knows it', ({ words }) => {
    for (const word of words.slice(1)) {
      const [name = '', value] = word.split('=');
      if (value === undefined) expect(makefiles, word).toMatch(new RegExp(`^${name}:`, 'm'));
      else expect(makefiles, word).toMatch(new RegExp(`\\b${name}\\b`));
    }
  });

  it.each(of('stepmemo'))('$where: stepmemo knows it', { timeout: 30_000 }, ({ words }) => {
    const [, command = '', ...rest] = words;
    const text = helpOf(command);
    expect(text, command).toContain(`Usage: stepmemo ${command}`);
    for (const word of rest.filter((one) => /^--?[a-zA-Z]/.test(one))) {
      const option = word.replace(/=.*/, '');
      expect(text, option).toMatch(new RegExp(`(^|[\\s,])${option}\\b`, 'm'));
    }
  });

  it.each([...of('kubectl'), ...of('helm')])('$where: its files are here', ({ words }) => {
    for (const word of words.filter((one, index) => /^(manifests|charts)\b/.test(one) || words[index - 1] === '-k')) {
      if (word !== '.') expect(existsSync(join(ROOT, word)), word).toBe(true);
    }
  });
});
