import type { Reason } from '../base/reasons.ts';
import type { PolicyVerdict } from '../policy/judge-submission.ts';
import type { Rule } from '../policy/rules.ts';
import type { Verdict } from '../step/decision.ts';

/** The response part of an AdmissionReview. */
export interface AdmissionAnswer {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patchType?: 'JSONPatch';
  /** JSON Patch, base64. */
  readonly patch?: string;
  readonly warnings?: readonly string[];
  /** Shown to the user when `allowed` is false. */
  readonly status?: { readonly code: number; readonly message: string };
  /** What the API server's audit log keeps: the decision and its reason. */
  readonly auditAnnotations: { readonly decision: string; readonly reason: Reason | Rule };
}

/**
 * The answer that carries out a verdict. A mutating webhook of stepmemo always allows. The particulars stay here: the API server
 * never shows the message of an allowed request, and a caller that posts a forged review must not learn who made an entry.
 */
export function answerVerdict(uid: string, verdict: Verdict): AdmissionAnswer {
  const hasPatch = verdict.patch.length > 0;
  return {
    uid,
    allowed: true,
    ...(hasPatch && { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(verdict.patch)).toString('base64') }),
    ...(verdict.warnings.length > 0 && { warnings: verdict.warnings.map(shortenWarning) }),
    status: { code: 200, message: `${verdict.decision}: ${verdict.reason}` },
    auditAnnotations: { decision: verdict.decision, reason: verdict.reason },
  };
}

/** The answer that carries out a verdict of the policy. */
export function answerPolicy(uid: string, verdict: PolicyVerdict): AdmissionAnswer {
  const { isAllowed, reason, message, warnings } = verdict;
  return {
    uid,
    allowed: isAllowed,
    ...(warnings.length > 0 && { warnings }),
    ...(!isAllowed && { status: { code: 403, message } }),
    auditAnnotations: { decision: isAllowed ? 'allow' : 'deny', reason },
  };
}

// The API server drops warnings beyond 4096 bytes in all; kubectl shows a line each.
const WARNING_LIMIT = 1000;

export function shortenWarning(text: string): string {
  return text.length <= WARNING_LIMIT ? text : `${text.slice(0, WARNING_LIMIT - 1)}…`;
}
