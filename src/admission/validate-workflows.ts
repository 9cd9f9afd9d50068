import { WORKFLOW_KINDS } from '../argo/workflow-walk.ts';
import type { MemoizeMode } from '../base/names.ts';
import type { Config } from '../config/config.ts';
import type { KubeApi, KubeObject } from '../kube/types.ts';
import { findExemption, judgeSubmission, type Submission } from '../policy/judge-submission.ts';
import type { KnownCluster } from '../step/known-cluster.ts';
import { hasOptedIn } from '../workflow/labels.ts';
import { answerPolicy } from './answer.ts';
import type { AdmissionHandler } from './app.ts';
import type { ArgoSource } from './argo-source.ts';
import { judgeWithLookups } from './judge-with-lookups.ts';
import { withNamespace } from './mutate-pods.ts';
import { skipUnsupported } from './unsupported.ts';

export interface ValidateWorkflowsOptions {
  readonly cluster: KnownCluster;
  readonly kube: Pick<KubeApi, 'get'>;
  readonly argo: ArgoSource;
  readonly config: Pick<Config, 'policy' | 'controllerAccounts' | 'controllerNamespace'>;
}

/** POST /validate/workflows: refuses what breaks the policy, and warns. */
export function createValidateWorkflows(options: ValidateWorkflowsOptions): AdmissionHandler {
  const { cluster, kube, argo, config } = options;
  const { policy, controllerAccounts, controllerNamespace } = config;
  return async (request) => {
    const unsupported = skipUnsupported(request, { kinds: WORKFLOW_KINDS, operations: ['CREATE', 'UPDATE'] });
    if (unsupported) return unsupported;
    const object = withNamespace(request);
    const submission: Submission = {
      object,
      oldObject: request.oldObject ?? undefined,
      operation: request.operation,
      requester: request.userInfo.username ?? '',
      controllerAccounts,
    };
    const exemption = findExemption(submission);
    if (exemption !== undefined) return answerPolicy(request.uid, exemption);
    const { version } = await argo.read(policy.lookupDeadlineMs / 2);
    const limits = { deadlineMs: policy.lookupDeadlineMs / 2, limit: policy.lookupLimit };
    const verdict = await judgeWithLookups(kube, limits, (lookups) =>
      judgeSubmission(submission, {
        ...lookups,
        mode: modeOf(object, cluster),
        namespace: object.kind === 'ClusterWorkflowTemplate' ? undefined : object.metadata?.namespace,
        controllerNamespace,
        argoVersion: version,
        settings: policy,
        areTemplatesStored: true,
      }),
    );
    return answerPolicy(request.uid, verdict);
  };
}

/**
 * As the namespace is treated: one that has not opted in is left to Argo, as in native mode. Of a namespace that is not
 * known yet the mode is taken that refuses less.
 */
function modeOf(object: KubeObject, cluster: KnownCluster): MemoizeMode {
  if (object.kind === 'ClusterWorkflowTemplate') return hasOptedIn(object) ? 'managed' : 'native';
  const settings = cluster.namespace(object.metadata?.namespace ?? '');
  if (settings === undefined) return 'managed';
  return settings.isEnabled ? settings.memoize : 'native';
}
