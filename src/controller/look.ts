import { identifyStep } from '../argo/step.ts';
import { readTaskResult, type TaskResult } from '../argo/task-result.ts';
import { lookUpIn } from '../cache/cache-index.ts';
import { readConfigMap } from '../cache/config-map.ts';
import { dataKeyFor, metaKeyFor } from '../cache/data-key.ts';
import { parseEntryMeta } from '../cache/entry-meta.ts';
import { type KubeFailure, type KubeObject, RESOURCES } from '../kube/types.ts';
import type { Memoization } from '../step/memoization.ts';
import type { Look } from './actions.ts';
import type { PodFacts, StoredFacts } from './facts.ts';
import { decideLive, type LiveContext, planCapture } from './live-decision.ts';
import type { PodRecord } from './pod-table.ts';
import { readWorkflow } from './read-workflow.ts';
import { nodeIdOf, readTrimmed } from './step-pod.ts';

/** What has been looked at while one pod was worked on; facts for its plan. Forgotten afterwards: looks are live. */
export type Looked = {
  -readonly [Name in 'decision' | 'result' | 'workflow' | 'plan' | 'stored']?: PodFacts[Name];
} & { isGone?: boolean; isPodFresh?: boolean };

/** Takes one look; undefined when it is in `looked`, else why there is none. */
export async function takeLook(
  context: LiveContext,
  record: PodRecord,
  looked: Looked,
  at: Look,
  nowMs: number,
): Promise<KubeFailure | undefined> {
  switch (at) {
    case 'decision': {
      const decided = await decideLive(context, record.pod, new Date(nowMs));
      if (!decided.ok) return decided;
      looked.decision = decided.value;
      return undefined;
    }
    case 'result':
      return lookAtResult(context, record, looked, nowMs);
    case 'workflow':
      return lookAtWorkflow(context, record, looked);
    case 'pod':
      return lookAtPod(context, record, looked);
    case 'plan': {
      const planned = await planCapture(context, record.pod);
      if (!planned.ok) return planned;
      looked.plan = planned.value;
      return undefined;
    }
    case 'entry':
      return lookAtEntry(context, record, looked);
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
  { pod }: PodRecord,
  looked: Looked,
): Promise<KubeFailure | undefined> {
  const identified = identifyStep(pod.object);
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
  const pod = answer.ok ? readTrimmed(answer.value) : undefined;
  if (pod?.uid === uid) {
    record.pod = pod;
    looked.isPodFresh = true;
  } else {
    looked.isGone = true;
  }
  return undefined;
}

async function lookAtEntry(
  { readConfigMap: read }: LiveContext,
  { pod }: PodRecord,
  looked: Looked,
): Promise<KubeFailure | undefined> {
  const { plan } = looked;
  if (!plan?.ok) return undefined;
  const answer = await read(pod.namespace, plan.memoization.cache);
  if (!answer.ok && answer.status !== 404) return answer;
  looked.stored = readStored(answer.ok ? answer.value : undefined, plan.memoization);
  return undefined;
}

function readStored(configMap: KubeObject | undefined, { key }: Memoization): StoredFacts {
  const none: StoredFacts = { podUid: undefined, createdAtMs: undefined };
  if (configMap === undefined) return none;
  const lookup = lookUpIn(configMap, key);
  if (lookup.found !== 'entry') return none;
  const meta = readConfigMap(configMap).binaryData?.[metaKeyFor(dataKeyFor(key))];
  const createdAtMs = Date.parse(lookup.entry.creationTimestamp ?? '');
  return {
    podUid: (meta === undefined ? undefined : parseEntryMeta(meta)?.podUid) || undefined,
    createdAtMs: Number.isNaN(createdAtMs) ? undefined : createdAtMs,
  };
}
