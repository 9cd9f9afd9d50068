import { identifyStep } from '../argo/step.ts';
import { readTaskResult, type TaskResult } from '../argo/task-result.ts';
import { type KubeFailure, type KubeObject, RESOURCES } from '../kube/types.ts';
import type { Look } from './actions.ts';
import type { CapturePlan, PodFacts } from './facts.ts';
import { decideLive, type LiveContext, planCapture } from './live-decision.ts';
import type { PodRecord } from './pod-table.ts';
import { readWorkflow } from './read-workflow.ts';
import { nodeIdOf, readOwnEnd, readStepPod } from './step-pod.ts';

/** What has been looked at while one pod was worked on; facts for its plan. Forgotten afterwards: looks are live. */
export type Looked = {
  -readonly [Name in 'decision' | 'result' | 'workflow' | 'plan' | 'isStored']?: PodFacts[Name];
} & { isGone?: boolean; isPodFresh?: boolean; object?: KubeObject };

/** Takes one look; undefined when it is in `looked`, else why there is none. */
export async function takeLook(
  context: LiveContext,
  record: PodRecord,
  looked: Looked,
  at: Look,
  nowMs: number,
): Promise<KubeFailure | undefined> {
  switch (at) {
    case 'result':
      return lookAtResult(context, record, looked, nowMs);
    case 'pod':
      return lookAtPod(context, record, looked);
    default:
      return lookWithObject(context, record, looked, at, nowMs);
  }
}

/** Those that read the pod itself, which is read again where its body was let go. */
async function lookWithObject(
  context: LiveContext,
  record: PodRecord,
  looked: Looked,
  at: Exclude<Look, 'result' | 'pod'>,
  nowMs: number,
): Promise<KubeFailure | undefined> {
  const object = looked.object ?? record.pod.body.value;
  if (object === undefined) return lookAtPod(context, record, looked);
  looked.object = object;
  switch (at) {
    case 'decision': {
      const decided = await decideLive(context, record.pod, object, new Date(nowMs));
      if (!decided.ok) return decided;
      looked.decision = decided.value;
      return undefined;
    }
    case 'workflow':
      return lookAtWorkflow(context, object, looked);
    case 'plan': {
      const planned = await planCapture(context, record.pod, object);
      if (!planned.ok) return planned;
      looked.plan = planned.value;
      looked.isStored = isStored(context, record, planned.value);
      return undefined;
    }
  }
}

async function lookAtResult(
  { kube }: LiveContext,
  record: PodRecord,
  looked: Looked,
  nowMs: number,
): Promise<KubeFailure | undefined> {
  const { pod } = record;
  const nodeId = nodeIdOf(pod);
  if (nodeId === undefined) {
    looked.result = 'none';
    return undefined;
  }
  const answer = await kube.get({ resource: RESOURCES.workflowTaskResults, namespace: pod.namespace, name: nodeId });
  looked.result = readAnswer(answer.ok ? answer.value : undefined, answer.ok ? 0 : answer.status);
  if (typeof looked.result === 'object' && looked.result.markedPodUid === pod.uid) record.resultMadeAtMs ??= nowMs;
  return answer.ok || answer.status === 404 ? undefined : answer;
}

function readAnswer(object: KubeObject | undefined, status: number): TaskResult | 'none' | 'unreadable' {
  if (object === undefined) return status === 404 ? 'none' : 'unreadable';
  return readTaskResult(object) ?? 'unreadable';
}

async function lookAtWorkflow(
  { kube }: LiveContext,
  object: KubeObject,
  looked: Looked,
): Promise<KubeFailure | undefined> {
  const identified = identifyStep(object);
  const answer = identified.ok
    ? await readWorkflow(kube, identified.step)
    : { ok: true as const, value: { is: 'unreadable' as const } };
  // Without an answer nothing is known, which is no answer of its own.
  looked.workflow = answer.ok ? answer.value : { is: 'unreadable' };
  return answer.ok ? undefined : answer;
}

async function lookAtPod({ kube }: LiveContext, record: PodRecord, looked: Looked): Promise<KubeFailure | undefined> {
  const { namespace, name, uid } = record.pod;
  const answer = await kube.get({ resource: RESOURCES.pods, namespace, name });
  if (!answer.ok && answer.status !== 404) return answer;
  const pod = answer.ok ? readStepPod(answer.value) : undefined;
  if (pod?.uid === uid) {
    // Before it is taken in: there may be no room for its body even now.
    const { value } = pod.body;
    if (value !== undefined) looked.object = value;
    looked.isPodFresh = true;
    record.take(pod);
  } else {
    looked.isGone = true;
  }
  return undefined;
}

/** From memory: what is not known there the writer finds out, who reads the cache anyway. */
function isStored({ cluster }: LiveContext, { pod }: PodRecord, plan: CapturePlan): boolean {
  if (!plan.ok) return false;
  const lookup = cluster.lookUp(pod.namespace, plan.memoization.cache, plan.memoization.key);
  if (lookup.found !== 'entry') return false;
  const createdAtMs = Date.parse(lookup.entry.creationTimestamp ?? '');
  const endedAtMs = readOwnEnd(pod).endedAtMs ?? 0;
  // Both are whole seconds: of the same one only the node's own entry is surely not of before.
  return createdAtMs > endedAtMs || (createdAtMs === endedAtMs && lookup.entry.nodeID === plan.step.nodeId);
}
