import { type Document, type LineCounter, parseAllDocuments, Scalar, type Tags, visit } from 'yaml';

/** Each pass mends one scalar in each document. */
const PASS_LIMIT = 50;

/**
 * Parses YAML as kubectl takes it. Beside the rules of YAML 1.1 that means quoted texts whose further lines are
 * indented less than the specification wants: Go's parser takes them, and people write them
 * (`args: ["` with the closing `"]` at the margin). They are indented here until the strict parser is content, which
 * changes neither their value, where leading blanks of a line are folded, nor the lines of anything.
 */
export function parseLeniently(text: string, lineCounter: LineCounter): readonly Document[] {
  let current = text;
  for (let pass = 0; ; pass += 1) {
    lineCounter.lineStarts.length = 0;
    const documents = parse(current, lineCounter);
    const mended = pass < PASS_LIMIT ? mendQuotes(current, documents) : current;
    if (mended === current) return documents;
    current = mended;
  }
}

function parse(text: string, lineCounter: LineCounter): readonly Document[] {
  const documents = parseAllDocuments(text, {
    lineCounter,
    prettyErrors: false,
    version: '1.1',
    merge: true,
    // Found by whoever wants to know; the parser's own search takes quadratic time.
    uniqueKeys: false,
    // A time is a text for kubectl, and a time of day no number in base 60.
    customTags: (tags: Tags) => tags.filter((tag) => typeof tag === 'string' || !isTime(tag)),
  });
  return Array.isArray(documents) ? documents : [];
}

function isTime({ tag, format }: { readonly tag: string; readonly format?: string }): boolean {
  return tag === 'tag:yaml.org,2002:timestamp' || format === 'TIME';
}

/** Indents the further lines of the first quoted text in each document that the parser gave up on. */
function mendQuotes(text: string, documents: readonly Document[]): string {
  let mended = text;
  // From the end, so that what is inserted moves nothing that is still to be looked at.
  for (const document of [...documents].reverse()) {
    const error = document.errors.find(({ code, message }) => code === 'MISSING_CHAR' && message.includes('quote'));
    const start = error === undefined ? undefined : startOfScalar(document, error.pos[0]);
    const end = start === undefined ? -1 : closingQuote(mended, start);
    if (start !== undefined && end !== -1) mended = indentLines(mended, start, end);
  }
  return mended;
}

function startOfScalar(document: Document, end: number): number | undefined {
  let start: number | undefined;
  visit(document, {
    Scalar: (_, scalar) => {
      const isQuoted = scalar.type === Scalar.QUOTE_DOUBLE || scalar.type === Scalar.QUOTE_SINGLE;
      if (!isQuoted || scalar.range?.[1] !== end) return undefined;
      start = scalar.range[0];
      return visit.BREAK;
    },
  });
  return start;
}

/** Where the quotation that begins at `start` ends; -1 where it does not. */
function closingQuote(text: string, start: number): number {
  const quote = text[start];
  for (let index = start + 1; index < text.length; index += 1) {
    if (quote === '"' && text[index] === '\\') index += 1;
    else if (text[index] === quote) {
      if (quote === '"' || text[index + 1] !== quote) return index;
      index += 1;
    }
  }
  return -1;
}

/** Further than the quotation mark itself stands is further than anything around it. */
function indentLines(text: string, start: number, end: number): string {
  const column = start - (text.lastIndexOf('\n', start) + 1);
  const indent = ' '.repeat(column + 1);
  const inside = text.slice(start, end).replace(/\n[ \t]*(?=[^\s])|\n[ \t]*$/g, `\n${indent}`);
  return text.slice(0, start) + inside + text.slice(end);
}
