import { deepEqual, isObject, type JsonObject } from '../base/json.ts';
import type { Reason } from '../base/reasons.ts';
import { plainText } from '../base/text.ts';
import type { PolicyContext } from './context.ts';
import { findFindings } from './find-findings.ts';
import { type Finding, newFindings } from './finding.ts';
import type { Rule } from './rules.ts';

/** A request to create or change a Workflow or a template object. */
export interface Submission {
  readonly object: JsonObject;
  readonly oldObject?: JsonObject | undefined;
  readonly operation: string;
  /** Who asks, as the API server names accounts. */
  readonly requester: string;
  /** Accounts of the workflow controllers. */
  readonly controllerAccounts: readonly string[];
}

/** The answer of the policy; `reason` is a rule, or why there is nothing to say. */
export interface PolicyVerdict {
  readonly isAllowed: boolean;
  readonly reason: Reason | Rule;
  /** For a denial: everything that is wrong, over several lines. */
  readonly message: string;
  readonly warnings: readonly string[];
}

export function pass(reason: Reason | Rule, message: string, warnings: readonly string[] = []): PolicyVerdict {
  return { isAllowed: true, reason, message, warnings };
}

/**
 * Whether a submission may pass. What runs is never stopped: an update is judged only by findings that the stored
 * object did not have, and not at all where it comes from the workflow controller (its every write of status is an
 * update of the whole Workflow, and one that is refused hangs the workflow; argo.md F4), leaves the spec alone, or
 * belongs to a deletion.
 */
export function judgeSubmission(submission: Submission, context: PolicyContext): PolicyVerdict {
  const exemption = findExemption(submission);
  if (exemption !== undefined) return exemption;
  const { object, oldObject, operation } = submission;
  const findings = findFindings(object, context);
  if (findings.length === 0) return pass('policy-kept', 'nothing to object to');
  const isUpdate = operation === 'UPDATE' && oldObject !== undefined;
  const left = isUpdate ? newFindings(findings, findFindings(oldObject, context)) : findings;
  if (left.length === 0) return pass('findings-old', 'nothing that the stored object did not have');
  return verdictOf(plainText(object.kind), left);
}

/** Why a submission is not judged; undefined where it is. Told before anything is looked up. */
export function findExemption(submission: Submission): PolicyVerdict | undefined {
  const { object, oldObject, operation, requester, controllerAccounts } = submission;
  if (operation !== 'CREATE' && operation !== 'UPDATE')
    return pass('unsupported-operation', `${operation} is not judged`);
  if (operation === 'CREATE') return undefined;
  if (controllerAccounts.includes(requester))
    return pass('controller-update', 'the workflow controller is never stopped');
  if (isObject(object.metadata) && (object.metadata.deletionTimestamp ?? undefined) !== undefined) {
    return pass('being-deleted', 'a deletion is never stopped');
  }
  if (oldObject !== undefined && deepEqual(object.spec, oldObject.spec)) {
    return pass('spec-unchanged', 'the update does not change the spec');
  }
  return undefined;
}

/** Shown in a denial; an object may have thousands. */
const SHOWN_LIMIT = 20;

export function verdictOf(kind: string, findings: readonly Finding[]): PolicyVerdict {
  const denials = findings.filter(({ severity }) => severity === 'deny');
  const warnings = findings.filter(({ severity }) => severity === 'warn');
  const [first] = denials;
  if (first === undefined) {
    return pass(warnings[0]?.rule ?? 'policy-kept', `${warnings.length} warnings`, shorten(warnings));
  }
  // Warnings of a denied object belong into the same text: whoever corrects it wants to do so once.
  const told = [...denials, ...warnings];
  const shown = told.slice(0, SHOWN_LIMIT).map((finding) => `- ${asText(finding)}`);
  const more = told.length > shown.length ? [`- and ${told.length - shown.length} more`] : [];
  const intro = `stepmemo's policy refuses this ${kind}:`;
  return {
    isAllowed: false,
    reason: first.rule,
    message: [intro, ...shown, ...more].join('\n'),
    warnings: [],
  };
}

/** Longer paths contain keys that were not written to be read. */
const PATH_LIMIT = 300;

function asText({ path, message, fix, rule, severity }: Finding): string {
  return `${shortPath(path)}: ${message} ${fix} [${rule}${severity === 'warn' ? ', a warning' : ''}]`;
}

function asWarning(finding: Finding): string {
  const { path, message, fix, rule } = finding;
  return `${shortPath(path)}: ${message} ${fix} [${rule}]`;
}

function shortPath(path: string): string {
  return path.length <= PATH_LIMIT ? path : `${path.slice(0, PATH_LIMIT)}…`;
}

/** The API server shortens warnings when they have more than 4096 characters in all (endpoints/filters/warning.go). */
const WARNINGS_LIMIT = 3500;

function shorten(findings: readonly Finding[]): readonly string[] {
  const kept: string[] = [];
  let length = 0;
  for (const finding of findings) {
    const warning = asWarning(finding);
    length += warning.length;
    if (length > WARNINGS_LIMIT) return [...kept, `and ${findings.length - kept.length} more; stepmemo lint shows all`];
    kept.push(warning);
  }
  return kept;
}
