import { asObject } from '../base/json.ts';
import { answerVerdict } from './answer.ts';
import type { AdmissionHandler } from './app.ts';
import { skipUnsupported } from './unsupported.ts';

/** Where the webhook of the self-check leads. */
export const SELF_CHECK_PATH = '/self-check';

/** POST /self-check: what the leader asks by way of the API server is given back to it. */
export const answerSelfCheck: AdmissionHandler = (request) => {
  const unsupported = skipUnsupported(request, { kinds: ['ConfigMap'], operations: ['CREATE'] });
  if (unsupported) return unsupported;
  const { nonce } = asObject(asObject(request.object).data);
  const isAsked = typeof nonce === 'string' && nonce.length <= 100;
  return answerVerdict(request.uid, {
    decision: isAsked ? 'mutate' : 'skip',
    reason: 'self-check',
    message: '',
    patch: isAsked ? [{ op: 'add', path: '/data/answer', value: nonce }] : [],
    warnings: [],
  });
};
