import { stringify } from 'yaml';
import type { CommandOutput } from './output.ts';

/** What `-o` takes, as kubectl's does; `text` is the table that is printed without it. */
export const FORMATS = ['text', 'wide', 'json', 'yaml', 'name'] as const;
export type Format = (typeof FORMATS)[number];

/** One answer in all of its formats. */
export interface Printable {
  /** For programs, as JSON or YAML. */
  readonly data: unknown;
  /** For people; `isWide` asks for all columns. */
  readonly text: (isWide: boolean) => string;
  /** `resource/name`, one a line, as other commands take them. */
  readonly names: readonly string[];
}

export function printAs(out: CommandOutput, format: Format, printable: Printable): void {
  const text = render(format, printable);
  // No names are no line.
  if (text !== '') out.print(text);
}

function render(format: Format, { data, text, names }: Printable): string {
  switch (format) {
    case 'json':
      return JSON.stringify(data, null, 2);
    case 'yaml':
      return stringify(data).trimEnd();
    case 'name':
      return names.join('\n');
    default:
      return text(format === 'wide');
  }
}
