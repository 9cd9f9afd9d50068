import type { PolicyVerdict } from '../core/policy/judge-submission.ts';
import type { AdmissionAnswer } from './answer.ts';

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
