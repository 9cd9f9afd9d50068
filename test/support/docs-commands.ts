/** The commands that the docs show, for the tests that see whether they exist and whether they run. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = new URL('../..', import.meta.url).pathname;
const FILES = ['README.md', 'CONTRIBUTING.md', 'cluster/README.md', ...globSync('docs/*.md', { cwd: ROOT })];
const PROGRAMS = /^(stepmemo|kubectl|make|helm|npx|docker|argo)\s/;
const SHELLS: ReadonlySet<string> = new Set(['sh', 'console']);
/** `<!-- no-run: why -->` before a block holds for all of it, `<!-- no-run(make docker): why -->` for those programs. */
const MARK = /^<!-- no-run(?:\((?<programs>[^)]*)\))?: (?<reason>.+) -->$/;

export interface Mark {
  /** Undefined where it holds for all. */
  readonly programs: readonly string[] | undefined;
  readonly reason: string;
}

/** A line of a block of code that runs a program. */
export interface ShownCommand {
  readonly file: string;
  /** `docs/install.md:8`. */
  readonly where: string;
  /** As it stands there, without the prompt and a comment at its end; continuation lines are joined. */
  readonly text: string;
  readonly program: string;
  readonly mark: Mark | undefined;
  /** Lines before it in its block that set variables. */
  readonly setup: readonly string[];
}

export function shownCommands(): ShownCommand[] {
  return FILES.flatMap(commandsIn);
}

/** In fenced and in indented blocks; behind `$ ` where a block shows output too. */
function commandsIn(file: string): ShownCommand[] {
  return codeLines(file).flatMap(({ line, text, block, mark }) => {
    const program = PROGRAMS.exec(text)?.[1];
    if (program === undefined) return [];
    const setup = block.slice(0, block.indexOf(text)).filter((before) => /^\w+=\$\(/.test(before));
    const own = mark?.programs?.includes(program) === false ? undefined : mark;
    return [{ file, where: `${file}:${line}`, text, program, mark: own, setup }];
  });
}

interface CodeLine {
  readonly line: number;
  readonly text: string;
  /** All lines of its block. */
  readonly block: readonly string[];
  readonly mark: Mark | undefined;
}

function codeLines(file: string): CodeLine[] {
  const joined = readFileSync(join(ROOT, file), 'utf8').replaceAll(/\\\n(.*)\n/g, '  $1\n\n');
  /** The language of the fence that the line is in; undefined outside of one. */
  let fence: string | undefined;
  let block: string[] = [];
  let mark: Mark | undefined;
  return joined.split('\n').flatMap((raw, index) => {
    const trimmed = raw.trim();
    const isFence = trimmed.startsWith('```');
    if (isFence) fence = fence === undefined ? trimmed.slice(3) : undefined;
    if (isFence || trimmed === '') return [];
    const isCode = fence === undefined ? /^ {4}\S/.test(raw) : SHELLS.has(fence);
    if (!isCode) {
      mark = readMark(trimmed);
      block = [];
      return [];
    }
    const text = trimmed.replace(/^\$ /, '').replace(/\s+#.*$/, '');
    block.push(text);
    return [{ line: index + 1, text, block, mark }];
  });
}

function readMark(line: string): Mark | undefined {
  const { programs, reason } = MARK.exec(line)?.groups ?? {};
  return reason === undefined ? undefined : { programs: programs?.split(' '), reason };
}
