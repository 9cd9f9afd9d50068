import { buildTaskResult, buildTaskResultPatch, readTaskResult, type TaskResultHead } from '../argo/task-result.ts';
import type { Reason } from '../base/reasons.ts';
import type { CacheWriter, WriteOutcome } from '../cache/cache-writer.ts';
import {
  isOvertaken,
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type ObjectPath,
  RESOURCES,
} from '../kube/types.ts';
import type { RecordEvent } from '../telemetry/events.ts';
import type { Action } from './actions.ts';
import {
  buildCompletionPatch,
  buildHealingNote,
  buildHealingPatch,
  buildReleasePatch,
  buildUngatePatch,
} from './patches.ts';
import type { PodRecord } from './pod-table.ts';
import type { ResultTable } from './result-table.ts';
import { hasCaptureContainer, keepStepPod, type StepPod } from './step-pod.ts';

/** What became of an action. */
export type Outcome =
  /** It goes on by itself, and says later what came of it. */
  | { readonly is: 'begun' }
  /** The way of the pod ends here, for now. */
  | { readonly is: 'done' }
  /** One step of several: plan again. */
  | { readonly is: 'onward' }
  /** The object was another than thought: look at it anew, then plan again. */
  | { readonly is: 'overtaken' }
  | { readonly is: 'failed'; readonly failure: KubeFailure };

export interface ExecuteContext {
  readonly kube: KubeApi;
  readonly results: ResultTable;
  readonly writer: CacheWriter;
  /** What came of an entry that was handed to the writer. */
  readonly onWritten: (record: PodRecord, outcome: Outcome) => void;
  readonly recordEvent: RecordEvent;
  readonly metrics: ControllerMetrics;
  readonly markSidecarBroken: () => void;
  readonly now: () => number;
}

/** The counters that the controller feeds; telemetry/metrics.ts has them. */
export interface ControllerMetrics {
  outcome(reason: Reason): void;
  completion(seconds: number): void;
  setLeader(isLeader: boolean): void;
}

type Doing<Name extends Action['do']> = Extract<Action, { do: Name }>;
export type Deed = Exclude<Action, { do: 'nothing' | 'wait' | 'retry' | 'look' }>;

/** Does what was planned, with the API server and nothing else. What it remembers is in the record. */
export async function execute(context: ExecuteContext, record: PodRecord, action: Deed): Promise<Outcome> {
  switch (action.do) {
    case 'make-result':
      return makeResult(context, record, action);
    case 'complete':
      return complete(context, record, action);
    case 'delete-result':
      return deleteResult(context, record, action.result);
    case 'release':
      return release(context, record, action);
    case 'delete-pod':
      return deletePod(context, record, action);
    case 'heal':
      return heal(context, record, action);
    case 'write-entry':
      return storeEntry(context, record, action);
    case 'settle':
      return settleRecord(context, record, action);
  }
}

const DONE: Outcome = { is: 'done' };
const ONWARD: Outcome = { is: 'onward' };

function failedOr(failure: KubeFailure): Outcome {
  // A pod that is not there any more is news as well: the next look will say so.
  return isOvertaken(failure) || failure.status === 404 ? { is: 'overtaken' } : { is: 'failed', failure };
}

/** The API server said no, and would again. */
function isRefused(failure: KubeFailure): boolean {
  return (failure.status === 403 || failure.status === 422) && !isOvertaken(failure);
}

// ---- the way of a hit

/**
 * Create first, look after: of a thousand hits hardly one meets a result of that name, left by an attempt of before a
 * crash, by one of another UID, or by an executor before `argo retry`. Whatever it says, it is made to say this.
 */
async function makeResult(
  { kube, now }: ExecuteContext,
  record: PodRecord,
  action: Doing<'make-result'>,
): Promise<Outcome> {
  const { step, outputs } = action;
  const where = { resource: RESOURCES.workflowTaskResults, namespace: step.namespace };
  const created = await kube.create(where, buildTaskResult(step, record.pod.uid, outputs));
  if (!created.ok && created.reason !== 'AlreadyExists') return failedOr(created);
  if (!created.ok) {
    const path = { ...where, name: step.nodeId };
    const answer = await kube.get(path);
    if (!answer.ok) return failedOr(answer);
    const existing = readTaskResult(answer.value);
    if (existing === undefined) return { is: 'failed', failure: unreadable('the task result of that name') };
    const patch = buildTaskResultPatch(existing, step, record.pod.uid, outputs);
    const patched = patch.length === 0 ? answer : await kube.patch(path, patch);
    if (!patched.ok) return failedOr(patched);
  }
  record.resultMadeAtMs = now();
  return ONWARD;
}

function unreadable(what: string): KubeFailure {
  return { ok: false, status: 422, reason: 'Unreadable', message: `${what} could not be read` };
}

async function complete(context: ExecuteContext, record: PodRecord, action: Doing<'complete'>): Promise<Outcome> {
  const { pod } = record;
  const nowMs = context.now();
  const patched = await context.kube.patch(podPath(pod), buildCompletionPatch(pod, nowMs), 'status');
  if (!patched.ok) return failedOr(patched);
  takeIn(record, patched.value);
  context.metrics.completion((context.now() - record.seenAtMs) / 1000);
  tell(context, pod, 'completed', action.message);
  return DONE;
}

async function deleteResult(context: ExecuteContext, record: PodRecord, result: TaskResultHead): Promise<Outcome> {
  const { namespace, nodeId, uid, resourceVersion } = result;
  const path: ObjectPath = { resource: RESOURCES.workflowTaskResults, namespace, name: nodeId };
  const removed = await context.kube.remove(path, { uid, resourceVersion });
  if (!removed.ok && removed.status !== 404) return failedOr(removed);
  context.results.takeAway(result);
  record.resultMadeAtMs = undefined;
  return ONWARD;
}

async function release(context: ExecuteContext, record: PodRecord, action: Doing<'release'>): Promise<Outcome> {
  const { pod } = record;
  const { decision, reason, message } = action;
  let patched = await context.kube.patch(podPath(pod), buildReleasePatch(pod, decision, reason));
  // Somebody's policy, or our own where we are not the account that it knows, takes exception to the note: it is not worth the step.
  if (!patched.ok && isRefused(patched)) patched = await context.kube.patch(podPath(pod), buildUngatePatch(pod));
  if (!patched.ok) return failedOr(patched);
  takeIn(record, patched.value);
  context.metrics.outcome(reason);
  tell(context, pod, 'released', `${reason}: ${message}`);
  return DONE;
}

async function deletePod(context: ExecuteContext, { pod }: PodRecord, action: Doing<'delete-pod'>): Promise<Outcome> {
  const removed = await context.kube.remove(podPath(pod), { uid: pod.uid });
  if (!removed.ok) return failedOr(removed);
  tell(context, pod, 'gated-pod-deleted', action.why);
  return DONE;
}

// ---- the way of a miss

async function heal(context: ExecuteContext, record: PodRecord, action: Doing<'heal'>): Promise<Outcome> {
  const { pod } = record;
  const patch = buildHealingPatch(pod, context.now());
  if (patch === undefined) return DONE;
  const patched = await context.kube.patch(podPath(pod), patch, 'status');
  if (!patched.ok) return failedOr(patched);
  takeIn(record, patched.value);
  const reason = action.cause === 'not-started' ? 'sidecar-not-started' : 'sidecar-hanging';
  const noted = await context.kube.patch(podPath(pod), buildHealingNote(pod, reason));
  if (noted.ok) takeIn(record, noted.value);
  if (action.cause === 'not-started') context.markSidecarBroken();
  tell(context, pod, reason, action.message, 'Warning');
  // What it ended with is captured from the task result.
  return ONWARD;
}

/** Nobody waits for it: a cache that others contend for would else keep pods of other namespaces waiting. */
function storeEntry(context: ExecuteContext, record: PodRecord, action: Doing<'write-entry'>): Outcome {
  const { pod } = record;
  const { step, memoization, entry } = action;
  const digest = pod.outputsDigest;
  const { cache, key } = memoization;
  const meta = {
    podUid: pod.uid,
    workflow: step.workflowName,
    capture: hasCaptureContainer(pod) && digest !== undefined ? ('sidecar' as const) : ('server' as const),
    ...(digest === undefined ? {} : { digest }),
  };
  record.isBeingWritten = true;
  void context.writer
    .write({ namespace: step.namespace, cache, key, entry, meta })
    .then((written) => context.onWritten(record, endWrite(context, record, cache, written)));
  return { is: 'begun' };
}

function endWrite(context: ExecuteContext, record: PodRecord, cache: string, written: WriteOutcome): Outcome {
  record.isBeingWritten = false;
  if (!written.ok && written.isPassing) {
    return { is: 'failed', failure: { ok: false, status: 0, reason: 'Busy', message: written.message } };
  }
  forget(record);
  if (!written.ok) tell(context, record.pod, written.reason, written.message, 'Warning');
  else if (written.outcome === 'written') tell(context, record.pod, 'captured', `stored in cache ${cache}`);
  return DONE;
}

function settleRecord(context: ExecuteContext, record: PodRecord, action: Doing<'settle'>): Outcome {
  forget(record);
  if (action.tell) {
    const { reason, message } = action.tell;
    // That a step failed is not for us to warn of.
    tell(context, record.pod, reason, message, reason === 'step-failed' ? 'Normal' : 'Warning');
  }
  return DONE;
}

function forget(record: PodRecord): void {
  record.held = undefined;
  record.isSettled = true;
}

// ---- shared

function podPath(pod: StepPod): ObjectPath {
  return { resource: RESOURCES.pods, namespace: pod.namespace, name: pod.name };
}

/** The answer to a write is the newest state there is: the watch will say the same in a moment. */
function takeIn(record: PodRecord, answer: KubeObject): void {
  const pod = keepStepPod(answer);
  if (pod?.uid === record.pod.uid) record.take(pod);
}

function tell(
  { recordEvent, metrics }: ExecuteContext,
  pod: StepPod,
  reason: Reason,
  message: string,
  type: 'Normal' | 'Warning' = 'Normal',
): void {
  metrics.outcome(reason);
  recordEvent({
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace: pod.namespace, name: pod.name, uid: pod.uid },
    type,
    reason,
    message,
  });
}
