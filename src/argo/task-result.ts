import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import { RESULT_POD_UID_ANNOTATION } from '../base/names.ts';
import type { KubeObject, OwnerReference } from '../kube/types.ts';
import { ARGO_API_VERSION, INSTANCE_ID_LABEL, REPORT_OUTPUTS_COMPLETED_LABEL, WORKFLOW_LABEL } from './names.ts';
import { type Outputs, outputsSchema } from './outputs.ts';
import type { Step } from './step.ts';

const stringMap = z.record(z.string(), z.string());

const taskResultSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string(),
    uid: z.string().default(''),
    resourceVersion: z.string().default(''),
    labels: stringMap.nullish(),
    annotations: stringMap.nullish(),
    ownerReferences: z.array(z.looseObject({ kind: z.string(), uid: z.string() })).nullish(),
  }),
  // Whoever may write task results may write nonsense there; the rest must stay readable.
  outputs: outputsSchema.nullish().catch(undefined),
  phase: z.unknown().optional(),
  message: z.unknown().optional(),
  progress: z.unknown().optional(),
});

/** Which WorkflowTaskResult one is, and for whom it was made. */
export interface TaskResultHead {
  readonly namespace: string;
  /** Its name: the id of the node that it is about. */
  readonly nodeId: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly workflowName: string | undefined;
  /** Owners' UIDs: the Workflow's, up to Argo 3.5.1 the pod's. */
  readonly ownerUids: readonly string[];
  /** False while the executor still works on it. A result without the label counts as complete (from 3.5.11). */
  readonly isComplete: boolean;
  /** The pod that stepmemo made it for; undefined where Argo's executor made it. */
  readonly markedPodUid: string | undefined;
}

/** A WorkflowTaskResult: how outputs get from a step to its node (workflow/controller/taskresult.go). */
export interface TaskResult extends TaskResultHead {
  readonly outputs: Outputs | undefined;
  /** As it came, for the patch that changes it. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ownerReferences: readonly Readonly<Record<string, unknown>>[];
  /** Members beside the outputs that Argo reads: of an earlier attempt they must not stay. */
  readonly leftovers: readonly string[];
}

/** Undefined where the object is none that an API server would send. */
export function readTaskResult(object: unknown): TaskResult | undefined {
  const parsed = taskResultSchema.safeParse(object);
  if (!parsed.success) return undefined;
  const { metadata, outputs } = parsed.data;
  const labels = metadata.labels ?? {};
  const annotations = metadata.annotations ?? {};
  const ownerReferences = metadata.ownerReferences ?? [];
  return {
    namespace: metadata.namespace,
    nodeId: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    workflowName: labels[WORKFLOW_LABEL],
    ownerUids: ownerReferences.map((owner) => owner.uid),
    isComplete: labels[REPORT_OUTPUTS_COMPLETED_LABEL] !== 'false',
    markedPodUid: annotations[RESULT_POD_UID_ANNOTATION],
    outputs: outputs ?? undefined,
    labels,
    annotations,
    ownerReferences,
    leftovers: ['phase', 'message', 'progress'].filter((member) => parsed.data[member] !== undefined),
  };
}

/** Whether a result is about this very step: names are used again by `argo retry` and by workflows of the same name. */
export function isResultOf(
  result: TaskResultHead,
  step: Pick<Step, 'workflowUid' | 'nodeId'>,
  podUid: string,
): boolean {
  if (result.nodeId !== step.nodeId) return false;
  return result.ownerUids.includes(step.workflowUid) || result.ownerUids.includes(podUid);
}

/**
 * The result that ends a gated pod's node with these outputs. Labels and owner are what Argo's executor writes
 * (workflow/executor/taskresult.go:createTaskResult): the instance id exactly when the controller has one, for its
 * informer selects by it; `report-outputs-completed` always, for 3.5.2 to 3.5.10 take a result without it for unfinished.
 */
export function buildTaskResult(step: Step, podUid: string, outputs: Outputs | undefined): KubeObject {
  return {
    apiVersion: ARGO_API_VERSION,
    kind: 'WorkflowTaskResult',
    metadata: {
      name: step.nodeId,
      namespace: step.namespace,
      labels: {
        [WORKFLOW_LABEL]: step.workflowName,
        [REPORT_OUTPUTS_COMPLETED_LABEL]: 'true',
        ...(step.instanceId === undefined ? {} : { [INSTANCE_ID_LABEL]: step.instanceId }),
      },
      annotations: { [RESULT_POD_UID_ANNOTATION]: podUid },
      ownerReferences: [ownerOf(step)],
    },
    ...(outputs === undefined ? {} : { outputs }),
  };
}

function ownerOf(step: Step): OwnerReference {
  return { apiVersion: ARGO_API_VERSION, kind: 'Workflow', name: step.workflowName, uid: step.workflowUid };
}

/**
 * The patch that makes a result of that name ours: one that an earlier attempt left (`argo retry` uses the names again),
 * or our own of before a crash. Empty where nothing is to change.
 */
export function buildTaskResultPatch(
  existing: TaskResult,
  step: Step,
  podUid: string,
  outputs: Outputs | undefined,
): JsonPatch {
  const labels = { ...buildTaskResult(step, podUid, outputs).metadata?.labels };
  const annotations = { ...existing.annotations, [RESULT_POD_UID_ANNOTATION]: podUid };
  const changes: JsonPatchOperation[] = [];
  const put = (path: string, is: unknown, wanted: unknown): void => {
    if (!isDeepStrictEqual(is, wanted)) changes.push({ op: 'add', path, value: wanted });
  };
  put('/metadata/labels', existing.labels, labels);
  put('/metadata/annotations', existing.annotations, annotations);
  // A pod as owner (up to 3.5.1) would take the result along when it goes.
  put('/metadata/ownerReferences', existing.ownerReferences, [ownerOf(step)]);
  // As JSON has it: members without a value are none.
  if (outputs !== undefined) put('/outputs', existing.outputs, JSON.parse(JSON.stringify(outputs)));
  else if (existing.outputs !== undefined) changes.push({ op: 'remove', path: '/outputs' });
  for (const member of existing.leftovers) changes.push({ op: 'remove', path: pointer(member) });
  if (changes.length === 0) return [];
  return [
    { op: 'test', path: '/metadata/uid', value: existing.uid },
    { op: 'test', path: '/metadata/resourceVersion', value: existing.resourceVersion },
    ...changes,
  ];
}
