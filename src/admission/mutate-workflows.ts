import type { ClusterView } from '../core/view.ts';
import { judgeWorkflow } from '../core/workflow-mutation.ts';
import { answerVerdict } from './answer.ts';
import type { AdmissionHandler } from './app.ts';
import { withNamespace } from './mutate-pods.ts';
import { skipUnsupported } from './unsupported.ts';

const KINDS = ['Workflow', 'WorkflowTemplate', 'ClusterWorkflowTemplate', 'CronWorkflow'];

/** POST /mutate/workflows: in managed mode `memoize` moves into annotations of the templates. */
export function createMutateWorkflows(view: ClusterView): AdmissionHandler {
  return (request) => {
    const unsupported = skipUnsupported(request, { kinds: KINDS, operations: ['CREATE', 'UPDATE'] });
    if (unsupported) return unsupported;
    const verdict = judgeWorkflow({
      object: withNamespace(request),
      oldObject: request.oldObject ?? undefined,
      operation: request.operation === 'UPDATE' ? 'UPDATE' : 'CREATE',
      namespace: request.namespace === undefined ? undefined : view.namespace(request.namespace),
    });
    return answerVerdict(request.uid, verdict);
  };
}
