import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/*
 * Every command that the docs show exists: targets of make with their variables, commands of stepmemo with their options, paths of
 * this repository. What they print is tried elsewhere (policy-docs, the demo, e2e).
 */
const ROOT = new URL('../../..', import.meta.url).pathname;
const FILES = ['README.md', 'CONTRIBUTING.md', 'cluster/README.md', ...globSync('docs/*.md', { cwd: ROOT })];

interface Shown {
  /** `docs/install.md:8`. */
  readonly where: string;
  readonly words: readonly string[];
}

/** Commands in code blocks, fenced or indented, each with its continuation lines; after `$ ` where the block shows output too. */
function commandsIn(file: string): Shown[] {
  const lines = readFileSync(join(ROOT, file), 'utf8').replaceAll('\\\n', '  ').split('\n');
  let isFenced = false;
  return lines.flatMap((line, index) => {
    if (line.trimStart().startsWith('```')) isFenced = !isFenced;
    if (!isFenced && !/^ {4}\S/.test(line)) return [];
    const text = line
      .trim()
      .replace(/^\$ /, '')
      .replace(/\s+#.*$/, '');
    const parts = text.split(/\s*(?:\||&&|;)\s*/).map((part) => part.replace(/^npx (--no-install )?/, ''));
    return parts
      .filter((part) => /^(stepmemo|kubectl stepmemo|make|kubectl|helm) /.test(part))
      .map((part) => ({
        where: `${file}:${index + 1}`,
        words: part.replace(/^kubectl stepmemo/, 'stepmemo').split(/\s+/),
      }));
  });
}

const shown = FILES.flatMap(commandsIn);
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
      expect(existsSync(join(ROOT, word)), word).toBe(true);
    }
  });
});
