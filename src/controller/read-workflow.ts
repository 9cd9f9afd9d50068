import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { z } from 'zod';
import type { Step } from '../argo/step.ts';
import { type KubeApi, type KubeFailure, RESOURCES } from '../kube/types.ts';
import type { WorkflowFacts } from './facts.ts';

const deadlineSchema = z.looseObject({ activeDeadlineSeconds: z.number().nullish() });

const nodesSchema = z.record(
  z.string(),
  z.looseObject({ phase: z.string().nullish(), outputs: z.record(z.string(), z.unknown()).nullish() }),
);
type Nodes = z.infer<typeof nodesSchema>;

const workflowSchema = z.looseObject({
  metadata: z.looseObject({ uid: z.string() }),
  spec: deadlineSchema.extend({ shutdown: z.string().nullish() }).nullish(),
  status: z
    .looseObject({
      phase: z.string().nullish(),
      startedAt: z.string().nullish(),
      nodes: nodesSchema.nullish(),
      compressedNodes: z.string().nullish(),
      offloadNodeStatusVersion: z.string().nullish(),
      storedWorkflowTemplateSpec: deadlineSchema.nullish(),
    })
    .nullish(),
});
type Workflow = z.infer<typeof workflowSchema>;

/** What a Workflow's compressed nodes may unpack to: twenty times what an object of the API server can hold. */
const LONGEST_NODES_BYTES = 32 * 1024 * 1024;

/**
 * Reads the live Workflow of a step: whether it is there, is being stopped, and what it says of the step's node. Nobody
 * shares the answer: what a captured step is worth is known only from a read that began after its containers had ended.
 */
export async function readWorkflow(
  kube: Pick<KubeApi, 'get'>,
  step: Pick<Step, 'namespace' | 'workflowName' | 'workflowUid' | 'nodeId'>,
): Promise<{ readonly ok: true; readonly value: WorkflowFacts } | KubeFailure> {
  const { namespace, workflowName, workflowUid, nodeId } = step;
  const answer = await kube.get({ resource: RESOURCES.workflows, namespace, name: workflowName });
  if (!answer.ok) return answer.status === 404 ? { ok: true, value: { is: 'gone' } } : answer;
  const parsed = workflowSchema.safeParse(answer.value);
  if (!parsed.success) return { ok: true, value: { is: 'unreadable' } };
  if (parsed.data.metadata.uid !== workflowUid) return { ok: true, value: { is: 'gone' } };
  const nodes = await readNodes(parsed.data);
  return { ok: true, value: nodes === 'unreadable' ? { is: 'unreadable' } : factsOf(parsed.data, nodes[nodeId]) };
}

function factsOf(workflow: Workflow, node: Nodes[string] | undefined): WorkflowFacts {
  const { spec, status } = workflow;
  return {
    is: 'there',
    isShuttingDown: (spec?.shutdown ?? '') !== '',
    phase: status?.phase ?? undefined,
    deadlineMs: readDeadlineMs(workflow),
    areNodesOffloaded: (status?.offloadNodeStatusVersion ?? '') !== '',
    nodePhase: node?.phase ?? undefined,
    hasNodeOutputs: Object.keys(node?.outputs ?? {}).length > 0,
  };
}

/** operator.go:getWorkflowDeadline; the seconds of a workflowTemplateRef count where the Workflow has none of its own. */
function readDeadlineMs({ spec, status }: Workflow): number | undefined {
  const seconds = spec?.activeDeadlineSeconds ?? status?.storedWorkflowTemplateSpec?.activeDeadlineSeconds;
  const startedAtMs = Date.parse(status?.startedAt ?? '');
  return typeof seconds !== 'number' || Number.isNaN(startedAtMs) ? undefined : startedAtMs + seconds * 1000;
}

/** Above a mebibyte Argo packs the nodes: base64 of gzip of JSON (workflow/packer/packer.go, util/file/fileutil.go). */
async function readNodes({ status }: Workflow): Promise<Nodes | 'unreadable'> {
  const packed = status?.compressedNodes ?? '';
  if (packed === '') return status?.nodes ?? {};
  try {
    const json = await promisify(gunzip)(Buffer.from(packed, 'base64'), { maxOutputLength: LONGEST_NODES_BYTES });
    return nodesSchema.parse(JSON.parse(json.toString('utf8')));
  } catch {
    return 'unreadable';
  }
}
