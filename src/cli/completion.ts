/** Completion in bash, zsh, fish and kubectl: each shell asks the program itself, by the hidden command `__complete`. */
import type { Command, Option } from 'commander';
import { processOutput } from './output.ts';

/** What the last of these words may become: commands, flags of the command, or the values that a flag may have. */
export function completionsOf(program: Command, words: readonly string[]): readonly string[] {
  const last = words.at(-1) ?? '';
  const command = program.commands.find((one) => one.name() === words[0]);
  if (words.length <= 1 || command === undefined) {
    return startingWith(
      last,
      program.commands.map((one) => one.name()).filter((name) => !name.startsWith('__')),
    );
  }
  const before = command.options.find((option) => namesOf(option).includes(words.at(-2) ?? ''));
  if (before?.argChoices !== undefined) return startingWith(last, before.argChoices);
  if (!last.startsWith('-')) return [];
  return startingWith(last, command.options.flatMap(namesOf));
}

function startingWith(start: string, all: readonly string[]): readonly string[] {
  return all.filter((one) => one.startsWith(start)).sort();
}

function namesOf({ short, long }: Option): readonly string[] {
  return [short, long].filter((name) => name !== undefined);
}

const BASH = `_stepmemo() {
  local IFS=$'\\n'
  COMPREPLY=($(stepmemo __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | grep -v '^:'))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _stepmemo stepmemo`;

const ZSH = `#compdef stepmemo
_stepmemo() {
  local -a found
  found=(\${(f)"$(stepmemo __complete \${words[2,CURRENT]} 2>/dev/null | grep -v '^:')"})
  if [ -n "$found" ]; then compadd -a found; else _files; fi
}
compdef _stepmemo stepmemo`;

const FISH = `function __stepmemo_complete
  set -l words (commandline -opc) (commandline -ct)
  stepmemo __complete $words[2..-1] 2>/dev/null | string match -v ':*'
end
complete -c stepmemo -a '(__stepmemo_complete)'`;

/** kubectl runs a program of this name, `kubectl_complete-stepmemo` on the PATH, to complete `kubectl stepmemo`. */
const KUBECTL = `#!/bin/sh
# Save it as kubectl_complete-stepmemo on the PATH, executable.
exec kubectl stepmemo __complete "$@"`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH, kubectl: KUBECTL };

export function addCompletionCommands(program: Command): void {
  program
    .command('completion')
    .description('print the completion script of a shell, or the shim that kubectl looks for')
    .argument('<shell>', Object.keys(SCRIPTS).join(', '))
    .action((shell: string) => {
      const script = SCRIPTS[shell];
      if (script === undefined) program.error(`error: there is no completion for "${shell}"`);
      processOutput.print(script ?? '');
    });
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .action((words: readonly string[]) => {
      for (const one of completionsOf(program, words)) processOutput.print(one);
      // cobra's directive, which kubectl reads: no files where there is something else.
      processOutput.print(':0');
    });
}
