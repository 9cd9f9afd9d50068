import type { Rule } from './rules.ts';
import type { Severity } from './settings.ts';

/** One thing that the policy finds wrong in an object. */
export interface Finding {
  readonly rule: Rule;
  /** As the settings have it for the object's namespace; never `off`. */
  readonly severity: Exclude<Severity, 'off'>;
  /** The field as the user wrote it, say `spec.templates[2].memoize.maxAge`. */
  readonly path: string;
  /** JSON Pointer to where it stands in the object that was judged (after a move: the annotation). */
  readonly pointer: string;
  /** What is wrong, as one sentence. */
  readonly message: string;
  /** What to write instead, as one sentence. */
  readonly fix: string;
  /** Which template it concerns, by name where it has one; with `detail` what stays the same when paths shift. */
  readonly subject: string;
  /** The offending value. */
  readonly detail: string;
  /** Where it stands, when that is in another object which this one names, say `WorkflowTemplate "common"`. */
  readonly origin?: { readonly object: string; readonly path: string };
}

/**
 * The findings that an older version of the object did not have. Positions and names may have changed meanwhile, so
 * findings are first paired by rule, template and value, and what is left by rule and value alone: a template that was
 * renamed or moved brings nothing new, a second template with the same fault does.
 */
export function newFindings(now: readonly Finding[], before: readonly Finding[]): Finding[] {
  const [unpaired, left] = pairOff(now, before, ({ rule, subject, detail }) => JSON.stringify([rule, subject, detail]));
  return pairOff(unpaired, left, ({ rule, detail }) => JSON.stringify([rule, detail]))[0];
}

/** Removes from both lists what has the same identity, one for one. */
function pairOff(
  now: readonly Finding[],
  before: readonly Finding[],
  identify: (finding: Finding) => string,
): [now: Finding[], before: Finding[]] {
  const waiting = new Map<string, Finding[]>();
  for (const finding of before) {
    const identity = identify(finding);
    waiting.set(identity, [...(waiting.get(identity) ?? []), finding]);
  }
  const unpaired = now.filter((finding) => waiting.get(identify(finding))?.pop() === undefined);
  return [unpaired, [...waiting.values()].flat()];
}

const QUOTE_LIMIT = 60;
/** What needs no escape in JSON and does nothing to a terminal. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** A user's text for a message: in quotes, without control characters, shortened. */
export function quote(value: unknown): string {
  if (typeof value !== 'string') return describe(value);
  const shown = value.length <= QUOTE_LIMIT ? value : `${value.slice(0, QUOTE_LIMIT)}…`;
  if (PLAIN.test(shown)) return `"${shown}"`;
  // Half a surrogate pair or a bidirectional override must not reach a terminal.
  return JSON.stringify(shown).replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, (character) => {
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  });
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `the ${typeof value} ${plainText(value)}`;
}

/** A text, a number or a boolean as text, anything else by its type: objects may bring a toString of their own. */
export function plainText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value;
}

/** For a quotation that begins a sentence. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
