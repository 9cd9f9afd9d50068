import type { Outputs } from '../argo/outputs.ts';
import { isBelow, readsOutputsAnnotation } from '../argo/pod-version.ts';
import { isResultOf, type TaskResult, type TaskResultHead } from '../argo/task-result.ts';
import { CAPTURE_CONTAINER, DECISION_ANNOTATION } from '../base/names.ts';
import { assembleEntry } from '../capture/assemble-entry.ts';
import { type Action, look, nothing, settle, wait } from './actions.ts';
import type { CapturePlan, PlanSettings, PodFacts } from './facts.ts';
import { judgeEnd } from './judge-end.ts';
import {
  type ContainerState,
  hasCaptureContainer,
  hasSucceeded,
  isTerminal,
  readOwnEnd,
  type StepPod,
} from './step-pod.ts';

/** How the kubelet says that a container will not start, now or ever. */
export const START_FAILURES: ReadonlySet<string> = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'ErrImageNeverPull',
  'ImageInspectError',
  'InvalidImageName',
  'RegistryUnavailable',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
]);
/** How long after a pod's end its outputs may still become an entry: later, that may have been deleted on purpose. */
export const HISTORY_MS = 5 * 60_000;
const NOT_SYNCED_RETRY_MS = 250;
const RESULT_POLL_MS = 500;
/** An entry that is deleted within this time of its being written may be written again. */
const STORED_POLL_MS = 1_000;
/** Several ticks of a workflow controller as shipped (DEFAULT_REQUEUE_TIME, 10 s). */
const JUDGEMENT_MS = 60_000;
const JUDGEMENT_POLL_MS = 1_000;

/**
 * The way of a pod that runs or ran: nothing until it ends, but for an end that our container alone holds up; then, of one
 * that ended well, its outputs become the entry, once.
 *
 * | outputs                     | who writes the entry, and from what                                             |
 * |-----------------------------|---------------------------------------------------------------------------------|
 * | posted to this replica      | this replica, with the task result beside (artifacts; a second opinion on values) |
 * | posted to a replica now gone | the leader, from the task result if it matches the digest noted on the pod      |
 * | read, and taken by nobody   | the leader, from the task result if it matches the sidecar's last word          |
 * | never read, capture: server | the leader, from the task result alone                                          |
 */
export function planRun(facts: PodFacts, settings: PlanSettings): Action {
  const { pod } = facts;
  const stray = planStrayResult(facts);
  if (stray) return stray;
  if (pod.annotations[DECISION_ANNOTATION] !== 'miss') return nothing('not a miss of ours');
  if (!facts.isClusterSynced) return wait(NOT_SYNCED_RETRY_MS, 'caches and policies are not read yet');
  if (!facts.arePoliciesInstalled) return nothing('without the admission policies no stamp can be trusted');
  if (!isTerminal(pod)) return planHealing(facts, settings);
  if (facts.isBeingWritten) return nothing('its entry is being written');
  return facts.isSettled ? nothing('settled') : planEnded(facts, settings);
}

/**
 * A result of our making in the way of a pod that runs: of a leader that lost its race with the pod's release, or of a hit
 * that had this node before (`argo retry`). The pod's executor cannot write into it, so it goes before that starts.
 */
function planStrayResult({ pod, isLeader, arePoliciesInstalled, watchedResult }: PodFacts): Action | undefined {
  const isInTheWay = watchedResult?.markedPodUid !== undefined && !isTerminal(pod);
  if (!isLeader || !arePoliciesInstalled || !isInTheWay) return undefined;
  return { do: 'delete-result', result: watchedResult };
}

/** Our container must not hold the step up: when all others have ended and it stands in the way, the pod is ended. */
function planHealing(facts: PodFacts, settings: PlanSettings): Action {
  const { pod, isLeader } = facts;
  if (!hasCaptureContainer(pod) || !readOwnEnd(pod).haveAllEnded) return nothing('running');
  if (!isLeader) return nothing('another replica leads');
  if (pod.isBeingDeleted) return nothing('being deleted');
  const sinceEndMs = msSinceEnd(facts);
  const state = pod.states.get(CAPTURE_CONTAINER) ?? { is: 'unknown' };
  if (state.is === 'terminated') return nothing('the kubelet is about to end it');
  return state.is === 'running'
    ? planRunning(sinceEndMs, settings.hangMs)
    : planWaiting(state, sinceEndMs, settings.slowStartMs);
}

function msSinceEnd({ nowMs, endSeenAtMs = nowMs }: PodFacts): number {
  return nowMs - endSeenAtMs;
}

function planRunning(sinceEndMs: number, hangMs: number): Action {
  if (sinceEndMs < hangMs) return wait(hangMs - sinceEndMs, 'the sidecar is at work');
  return { do: 'heal', cause: 'hanging', message: 'the sidecar ran on after the step had ended' };
}

function planWaiting(state: ContainerState, sinceEndMs: number, slowStartMs: number): Action {
  const reason = state.is === 'waiting' ? state.reason : '';
  if (!START_FAILURES.has(reason) && sinceEndMs < slowStartMs) {
    return wait(slowStartMs - sinceEndMs, 'the sidecar is starting');
  }
  return { do: 'heal', cause: 'not-started', message: `the sidecar did not start (${reason || 'no reason given'})` };
}

function planEnded(facts: PodFacts, settings: PlanSettings): Action {
  const { pod, held, isLeader, nowMs, plan } = facts;
  if (!held && !isLeader) return nothing('another replica leads');
  if (!hasSucceeded(pod)) {
    // Every replica sees it; one tells.
    const tell = { reason: 'step-failed', message: 'the step did not succeed' } as const;
    return isLeader ? settle('the step failed', tell) : settle('the step failed');
  }
  const sinceEndMs = held ? msSinceEnd(facts) : nowMs - (readOwnEnd(pod).endedAtMs ?? 0);
  if (sinceEndMs > HISTORY_MS) return planHistory(facts);
  if (plan === undefined) return look('plan');
  return planTurn(facts, plan, settings);
}

/** Whether this replica is to write now. */
function planTurn(facts: PodFacts, plan: CapturePlan, settings: PlanSettings): Action {
  if (!plan.ok) return settle(plan.message, { reason: plan.reason, message: plan.message });
  if (plan.way === 'off') return settle('capture is off');
  // Once it was seen it never is written again: it may be deleted on purpose.
  if (facts.isStored === true) return settle('its entry, or a newer one, is there');
  const leftMs = settings.holderGraceMs - msSinceEnd(facts);
  if (plan.way === 'sidecar' && !facts.held && leftMs > 0) {
    return wait(Math.min(leftMs, STORED_POLL_MS), 'a replica that holds the outputs is to write them');
  }
  return planEntry(facts, plan, settings);
}

/** Too late: outputs that are still held are some that nothing could be done with for all that time. */
function planHistory({ held, failures }: PodFacts): Action {
  if (!held) return settle('it ended long ago');
  const message = failures?.message ?? 'the outputs could not be stored in time';
  return settle(message, { reason: 'write-failed', message });
}

type ReadyPlan = Extract<CapturePlan, { ok: true }>;

function planEntry(facts: PodFacts, plan: ReadyPlan, settings: PlanSettings): Action {
  const { pod, held, nowMs, workflow } = facts;
  if (isResultLetGo(facts) && facts.result === undefined) return look('result');
  const result = usableResult(facts, plan);
  if (!isReported(facts, result) && msSinceEnd(facts) < settings.resultGraceMs) {
    return wait(RESULT_POLL_MS, 'its task result is not there yet');
  }
  if (workflow === undefined) return look('workflow');
  const judged = judgeEnd(facts, plan.template, workflow);
  if (judged.is === 'unknown') return planUnjudged(facts, judged.why);
  if (judged.is === 'worthless') return settle(judged.message, judged);
  const assembled = assembleEntry({
    pod: plan.object,
    step: plan.step,
    template: plan.template,
    captured: held?.captured,
    digest: pod.outputsDigest,
    taskResult: result,
    now: new Date(nowMs),
  });
  if (!assembled.ok) return settle(assembled.message, { reason: assembled.reason, message: assembled.message });
  const { step, memoization } = plan;
  return { do: 'write-entry', step, memoization, entry: assembled.entry };
}

function planUnjudged(facts: PodFacts, why: string): Action {
  if (msSinceEnd(facts) < JUDGEMENT_MS) return wait(JUDGEMENT_POLL_MS, why);
  return settle(why, { reason: 'step-unjudged', message: why });
}

interface Reported {
  readonly outputs?: Outputs | undefined;
  readonly isComplete: boolean;
}

/**
 * The executor's word on this step. Where it never gives one (nothing to report, up to 3.5.2) that counts as one without
 * outputs. A result that stepmemo made tells nothing of a run.
 */
function usableResult(facts: PodFacts, plan: ReadyPlan): Reported | undefined {
  const { pod } = facts;
  const result = isResultLetGo(facts) ? readLive(facts) : readWatched(facts);
  if (result && result.markedPodUid === undefined && isResultOf(result, plan.step, pod.uid)) return result;
  return isResultExpected(pod, plan) ? undefined : { isComplete: true };
}

/** There was no memory for its outputs. */
function isResultLetGo({ watchedResult }: PodFacts): boolean {
  return watchedResult?.outputs.isLetGo === true;
}

function readLive({ result }: PodFacts): TaskResult | undefined {
  return result === 'none' || result === 'unreadable' ? undefined : result;
}

function readWatched({ watchedResult }: PodFacts): (TaskResultHead & Reported) | undefined {
  return watchedResult && { ...watchedResult, outputs: watchedResult.outputs.value };
}

/** Whether the executor has said its last word: by its result, or on versions that have it by the pod's own annotation. */
function isReported({ pod }: PodFacts, result: Reported | undefined): boolean {
  return result?.isComplete === true || (readsOutputsAnnotation(pod.version) && pod.hasReportedOutputs);
}

/**
 * Whether a task result should come. From 3.5.3 on the executor makes one always; before, only where there is something to
 * report (workflow/executor/executor.go:ReportOutputs).
 */
function isResultExpected({ version }: StepPod, { step, template }: ReadyPlan): boolean {
  if (!isBelow(version, 3, 5, 3) || step.needsResult) return true;
  const { outputs, archiveLocation } = template.template;
  const isAnyDeclared = (outputs?.parameters?.length ?? 0) > 0 || (outputs?.artifacts?.length ?? 0) > 0;
  return isAnyDeclared || archiveLocation?.archiveLogs === true;
}
