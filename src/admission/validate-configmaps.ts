import type { Config } from '../config/config.ts';
import { judgeConfigMap } from '../policy/configmap-rules.ts';
import { answerPolicy } from './answer.ts';
import type { AdmissionHandler } from './app.ts';
import { withNamespace } from './mutate-pods.ts';
import { skipUnsupported } from './unsupported.ts';

/** POST /validate/configmaps: keeps caches caches. */
export function createValidateConfigMaps(
  config: Pick<Config, 'policy' | 'controllerAccounts' | 'ownAccount'>,
): AdmissionHandler {
  const exemptAccounts = [...config.controllerAccounts, config.ownAccount];
  return (request) => {
    const unsupported = skipUnsupported(request, { kinds: ['ConfigMap'], operations: ['CREATE', 'UPDATE'] });
    if (unsupported) return unsupported;
    const verdict = judgeConfigMap({
      object: withNamespace(request),
      oldObject: request.oldObject ?? undefined,
      requester: request.userInfo.username ?? '',
      exemptAccounts,
      settings: config.policy,
    });
    return answerPolicy(request.uid, verdict);
  };
}
