import type { Rule } from './rules.ts';
import type { Severity } from './settings.ts';

/** One thing that the policy finds wrong in an object. */
export interface Finding {
  readonly rule: Rule;
  /** As the settings have it for the object's namespace; never `off`. */
  readonly severity: Exclude<Severity, 'off'>;
  /** The field as the user wrote it, say `spec.templates[2].memoize.maxAge`. */
  readonly path: string;
  /** JSON Pointer into the object that was judged (after a move: the annotation). */
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
