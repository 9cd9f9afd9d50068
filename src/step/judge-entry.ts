import type { Step } from '../argo/step.ts';
import type { Reason } from '../base/reasons.ts';
import { quote } from '../base/text.ts';
import { type Entry, type EntryLookup, entryAgeMs, isExpired } from '../cache/entry.ts';
import { missingOutputs, missingResult } from '../cache/served-outputs.ts';
import type { Memoization } from './memoization.ts';

/** What a judgement has to know of a step: what it must report. */
export type ReportingStep = Pick<Step, 'template' | 'needsResult' | 'hasMain'>;

/** The outcome of a lookup: an entry that can be served, or why there is none. */
export type JudgedEntry =
  | { readonly fresh: true; readonly entry: Entry; readonly message: string }
  | { readonly fresh: false; readonly reason: Reason; readonly message: string };

function no(reason: Reason, message: string): JudgedEntry {
  return { fresh: false, reason, message };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

/**
 * Whether an entry can end this step: native's rules (an id, an age), and every output that the pod has to report. Of an
 * offloaded template the outputs are not known here; the controller reads it and checks them before it completes.
 */
function judgeEntry(step: ReportingStep, entry: Entry, maxAgeMs: number | undefined, now: Date): JudgedEntry {
  if (entry.nodeID === '') return no('incomplete-entry', 'the entry has no nodeID');
  const ageMs = entryAgeMs(entry, now);
  if (isExpired(entry, maxAgeMs, now)) {
    const age = ageMs === undefined ? 'of unknown age' : `${seconds(ageMs)} old`;
    return no('expired', `expired: ${age}, maxAge ${seconds(maxAgeMs ?? 0)}`);
  }
  const missing =
    step.template.state === 'inline' ? missingOutputs(step, step.template, entry) : missingResult(step, entry);
  if (missing.length > 0) return no('incomplete-entry', `the entry lacks ${missing.join(', ')}`);
  const age = ageMs === undefined ? '' : `, ${seconds(ageMs)} old`;
  return { fresh: true, entry, message: `made by node ${quote(entry.nodeID)}${age}` };
}

/** Whether what was found under the key can end the step; `lookup` is not looked at where the step asks to run. */
export function judgeLookup(
  step: ReportingStep,
  { key, cache, maxAgeMs, isRefresh }: Memoization,
  lookup: EntryLookup,
  now: Date,
): JudgedEntry {
  if (isRefresh) return no('refresh', 'the step asks to run');
  const where = `key ${quote(key)} in cache ${cache}`;
  if (lookup.found === 'nothing') return no('no-entry', `no entry for ${where}`);
  if (lookup.found === 'unknown') return no('cache-not-held', `cache ${cache} is not in memory`);
  if (lookup.found === 'malformed') return no('malformed-entry', `${where}: ${lookup.detail}`);
  const judged = judgeEntry(step, lookup.entry, maxAgeMs, now);
  return judged.fresh ? { ...judged, message: `${where}: ${judged.message}` } : judged;
}
