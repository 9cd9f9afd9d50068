import { identifyStep } from '../argo/step.ts';
import { readTaskResult, type TaskResult } from '../argo/task-result.ts';
import { type KubeFailure, type KubeObject, RESOURCES } from '../kube/types.ts';
import type { Look } from './actions.ts';
import type { CapturePlan, PodFacts } from './facts.ts';
import { decideLive, type LiveContext, planCapture } from './live-decision.ts';
import type { PodRecord } from './pod-table.ts';
import { readWorkflow } from './read-workflow.ts';
import { nodeIdOf, readOwnEnd, readStepPod } from './step-pod.ts';

/** What was read live while one pod was worked on, for its plan. Forgotten afterwards. */
export type LiveFacts = {
  -readonly [Name in 'decision' | 'result' | 'workflow' | 'plan' | 'isStored']?: PodFacts[Name];
} & { isGone?: boolean; isPodFresh?: boolean; object?: KubeObject };

/** Takes one look; undefined when what it found is in `facts`, else why there is none. */
export async function takeLook(
  context: LiveContext,
  record: PodRecord,
  facts: LiveFacts,
  at: Look,
  nowMs: number,
): Promise<KubeFailure | undefined> {
  switch (at) {
    case 'result':
      return lookAtResult(context, record, facts, nowMs);
    case 'pod':
      return lookAtPod(context, record, facts);
    default:
      return lookWithObject(context, record, facts, at, nowMs);
  }
}

/** Those that read the pod itself, which is read again where its body was let go. */
async function lookWithObject(
  context: LiveContext,
  record: PodRecord,
  facts: LiveFacts,
  at: Exclude<Look, 'result' | 'pod'>,
  nowMs: number,
): Promise<KubeFailure | undefined> {
  const object = facts.object ?? record.pod.body.value;
  if (object === undefined) return lookAtPod(context, record, facts);
  facts.object = object;
  switch (at) {
    case 'decision': {
      const decided = await decideLive(context, record.pod, object, new Date(nowMs));
      if (!decided.ok) return decided;
      facts.decision = decided.value;
      return undefined;
    }
    case 'workflow':
      return lookAtWorkflow(context, object, facts);
    case 'plan': {
      const planned = await planCapture(context, record.pod, object);
      if (!planned.ok) return planned;
      facts.plan = planned.value;
      facts.isStored = isStored(context, record, planned.value);
      return undefined;
    }
  }
}

async function lookAtResult(
  { kube }: LiveContext,
  record: PodRecord,
  facts: LiveFacts,
  nowMs: number,
): Promise<KubeFailure | undefined> {
  const { pod } = record;
  const nodeId = nodeIdOf(pod);
  if (nodeId === undefined) {
    facts.result = 'none';
    return undefined;
  }
  const answer = await kube.get({ resource: RESOURCES.workflowTaskResults, namespace: pod.namespace, name: nodeId });
  facts.result = readAnswer(answer.ok ? answer.value : undefined, answer.ok ? 0 : answer.status);
  if (typeof facts.result === 'object' && facts.result.markedPodUid === pod.uid) record.resultMadeAtMs ??= nowMs;
  return answer.ok || answer.status === 404 ? undefined : answer;
}

function readAnswer(object: KubeObject | undefined, status: number): TaskResult | 'none' | 'unreadable' {
  if (object === undefined) return status === 404 ? 'none' : 'unreadable';
  return readTaskResult(object) ?? 'unreadable';
}

async function lookAtWorkflow(
  { kube }: LiveContext,
  object: KubeObject,
  facts: LiveFacts,
): Promise<KubeFailure | undefined> {
  const identified = identifyStep(object);
  const answer = identified.ok
    ? await readWorkflow(kube, identified.step)
    : { ok: true as const, value: { is: 'unreadable' as const } };
  // Without an answer nothing is known, which is no answer of its own.
  facts.workflow = answer.ok ? answer.value : { is: 'unreadable' };
  return answer.ok ? undefined : answer;
}

async function lookAtPod({ kube }: LiveContext, record: PodRecord, facts: LiveFacts): Promise<KubeFailure | undefined> {
  const { namespace, name, uid } = record.pod;
  const answer = await kube.get({ resource: RESOURCES.pods, namespace, name });
  if (!answer.ok && answer.status !== 404) return answer;
  const pod = answer.ok ? readStepPod(answer.value) : undefined;
  if (pod?.uid === uid) {
    // Before it is taken in: there may be no room for its body even now.
    const { value } = pod.body;
    if (value !== undefined) facts.object = value;
    facts.isPodFresh = true;
    record.take(pod);
  } else {
    facts.isGone = true;
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
