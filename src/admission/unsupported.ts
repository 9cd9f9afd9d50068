import { type AdmissionAnswer, answerVerdict } from './answer.ts';
import type { AdmissionRequest } from './review.ts';

/** Lets pass, untouched and with a warning, what a webhook was sent by mistake. */
export function skipUnsupported(
  request: AdmissionRequest,
  supported: { readonly kinds: readonly string[]; readonly operations: readonly string[] },
): AdmissionAnswer | undefined {
  const { kind, operation, uid, subResource } = request;
  if (!supported.kinds.includes(kind.kind) || request.object == null) {
    const message = `${kind.kind || 'an object without a kind'} is not handled here`;
    return skip(uid, 'unsupported-kind', message);
  }
  if (!supported.operations.includes(operation) || (subResource ?? '') !== '') {
    const message = `${operation} of ${kind.kind}${subResource ? `/${subResource}` : ''} is not handled here`;
    return skip(uid, 'unsupported-operation', message);
  }
  return undefined;
}

function skip(uid: string, reason: 'unsupported-kind' | 'unsupported-operation', message: string): AdmissionAnswer {
  const warnings = [`stepmemo: ${reason}: ${message}; check the rules of the webhook configuration`];
  return answerVerdict(uid, { decision: 'skip', reason, message, patch: [], warnings });
}
