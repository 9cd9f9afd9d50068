/** Where a command prints to; tests read it back. */
export interface CommandOutput {
  print(text: string): void;
  printError(text: string): void;
}

export interface RawOutput extends CommandOutput {
  /** To the letter, without a line break of our own. */
  printRaw(text: string): void;
}

export const processOutput: RawOutput = {
  print: (text) => void process.stdout.write(`${text}\n`),
  printRaw: (text) => void process.stdout.write(text),
  printError: (text) => void process.stderr.write(`${text}\n`),
};

/** A reader that goes early (`| head`, a pager that is left) is no error: the command ends without a word. */
export function endQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(process.exitCode ?? 0);
    });
  }
}

/** Exit codes: all done (or a dry run), something could not be done, wrong usage. */
export const EXIT_OK = 0;
export const EXIT_UNDONE = 1;
export const EXIT_USAGE = 2;

/** For what the command line itself is wrong about. */
export function exitWithErrors(errors: readonly string[]): never {
  for (const error of errors) process.stderr.write(`stepmemo: ${error}\n`);
  process.exit(EXIT_USAGE);
}
