import { WORKFLOW_KINDS } from '../argo/workflow-walk.ts';
import type { KnownCluster } from '../step/known-cluster.ts';
import { judgeWorkflow } from '../workflow/mutate-workflow.ts';
import { answerVerdict } from './answer.ts';
import type { AdmissionHandler } from './app.ts';
import { withNamespace } from './mutate-pods.ts';
import { skipUnsupported } from './unsupported.ts';

/** POST /mutate/workflows: in managed mode `memoize` moves into annotations of the templates. */
export function createMutateWorkflows(cluster: KnownCluster): AdmissionHandler {
  return (request) => {
    const unsupported = skipUnsupported(request, { kinds: WORKFLOW_KINDS, operations: ['CREATE', 'UPDATE'] });
    if (unsupported) return unsupported;
    const verdict = judgeWorkflow({
      object: withNamespace(request),
      oldObject: request.oldObject ?? undefined,
      operation: request.operation === 'UPDATE' ? 'UPDATE' : 'CREATE',
      namespace: request.namespace === undefined ? undefined : cluster.namespace(request.namespace),
    });
    return answerVerdict(request.uid, verdict);
  };
}
