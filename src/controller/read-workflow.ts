import { z } from 'zod';
import type { Step } from '../argo/step.ts';
import { type KubeApi, RESOURCES } from '../kube/types.ts';
import type { WorkflowFacts } from './facts.ts';

const workflowSchema = z.looseObject({
  metadata: z.looseObject({ uid: z.string() }),
  spec: z.looseObject({ shutdown: z.string().nullish() }).nullish(),
  status: z
    .looseObject({
      nodes: z
        .record(
          z.string(),
          z.looseObject({ phase: z.string().nullish(), outputs: z.record(z.string(), z.unknown()).nullish() }),
        )
        .nullish(),
    })
    .nullish(),
});

/** Reads the live Workflow of a step: whether it is there, is being stopped, and what it says of the step's node. */
export async function readWorkflow(
  kube: Pick<KubeApi, 'get'>,
  step: Pick<Step, 'namespace' | 'workflowName' | 'workflowUid' | 'nodeId'>,
): Promise<WorkflowFacts> {
  const { namespace, workflowName, workflowUid, nodeId } = step;
  const answer = await kube.get({ resource: RESOURCES.workflows, namespace, name: workflowName });
  if (!answer.ok) return { is: answer.status === 404 ? 'gone' : 'unreadable' };
  const parsed = workflowSchema.safeParse(answer.value);
  if (!parsed.success) return { is: 'unreadable' };
  const { metadata, spec, status } = parsed.data;
  if (metadata.uid !== workflowUid) return { is: 'gone' };
  const node = status?.nodes?.[nodeId];
  return {
    is: 'there',
    isShuttingDown: (spec?.shutdown ?? '') !== '',
    nodePhase: node?.phase ?? undefined,
    hasNodeOutputs: Object.keys(node?.outputs ?? {}).length > 0,
  };
}
