/** Where a command prints to; tests read it back. */
export interface CommandOutput {
  print(text: string): void;
  printError(text: string): void;
}

export const processOutput: CommandOutput = {
  print: (text) => void process.stdout.write(`${text}\n`),
  printError: (text) => void process.stderr.write(`${text}\n`),
};
