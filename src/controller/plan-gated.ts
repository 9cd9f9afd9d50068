import type { Outputs } from '../argo/outputs.ts';
import { hasResultRace } from '../argo/pod-version.ts';
import type { TaskResult } from '../argo/task-result.ts';
import { DECISION_ANNOTATION, HIT_GATE, MISS_GATE } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import { rebuildOutputs } from '../cache/served-outputs.ts';
import type { PodDecision } from '../step/decision.ts';
import { type Action, look, nothing, wait } from './actions.ts';
import type { PlanSettings, PodFacts } from './facts.ts';
import { isTerminal, ownGates, type StepPod } from './step-pod.ts';

/** How often a Workflow is read while a hit waits for it to show its outputs. */
const RACE_POLL_MS = 400;
/** Argo cannot have read a result sooner. */
const RACE_FIRST_LOOK_MS = 200;
/** After so many refusals, over so long a time, a hit is given up and the step runs. */
const GIVE_UP = { count: 5, afterMs: 15_000 };
/** After so many, whatever stands before the release is left undone. */
const HOPELESS = { count: 10, afterMs: 30_000 };
const NOT_SYNCED_RETRY_MS = 250;

/**
 * The way of a gated pod, first match wins. Whatever the facts, it ends in something that is done, or in a wait of bounded
 * length: a gated pod always ends.
 *
 * | pod                                       | then                                                          |
 * |-------------------------------------------|---------------------------------------------------------------|
 * | ended already, or being deleted           | nothing: the API server removes a pod without a node at once   |
 * | labelled completed (timed out)            | deleted, Argo looks at it no more                             |
 * | stamp not ours, or nothing can be trusted | gate removed, never completed                                 |
 * | a hit                                     | result made, then ended; beside a foreign gate it waits       |
 * | a hit no more, its result not yet made    | gate removed, and captured as a miss                          |
 * | a hit no more, its result made            | ended with the result: Argo may have read it                  |
 * | no step to act on (any more)              | result deleted, gate removed                                  |
 *
 * Coalescing (one of many identical steps runs, the others wait for its entry) fits in at the miss gate: a leader of a
 * key is released as below, a follower waits while its key has a leader, and becomes a hit by the same `decision` look.
 * Until then that gate is not given out, so it is removed from a pod that carries it.
 */
export function planGated(facts: PodFacts, settings: PlanSettings): Action {
  const { pod } = facts;
  if (isTerminal(pod)) return nothing('ended');
  if (!facts.isLeader) return nothing('another replica leads');
  if (pod.isBeingDeleted) return nothing('being deleted');
  if (pod.isLabelledCompleted) return planDeletion(facts);
  if (!facts.isClusterSynced) return wait(NOT_SYNCED_RETRY_MS, 'caches and policies are not read yet');
  const distrust = findDistrust(facts);
  if (distrust) return planRelease(facts, 'skip', distrust.reason, distrust.message);
  if (hasFailed(facts, GIVE_UP)) {
    return planRelease(facts, 'skip', 'internal-error', facts.failures?.message ?? '');
  }
  if (facts.decision === undefined) return look('decision');
  return planDecided(facts, facts.decision, settings);
}

function hasFailed({ failures, nowMs }: PodFacts, limit: { count: number; afterMs: number }): boolean {
  return failures !== undefined && failures.count >= limit.count && nowMs - failures.sinceMs >= limit.afterMs;
}

/** Why a gate on this pod means nothing, before anything is decided anew. */
function findDistrust({ pod, arePoliciesInstalled }: PodFacts): { reason: Reason; message: string } | undefined {
  if (!arePoliciesInstalled) {
    return { reason: 'policies-missing', message: 'without the admission policies no stamp can be trusted' };
  }
  if (pod.gates.includes(MISS_GATE)) return { reason: 'gate-unknown', message: `${MISS_GATE} is not given out` };
  if (pod.annotations[DECISION_ANNOTATION] !== 'hit') {
    return { reason: 'gate-unknown', message: `${HIT_GATE} stands without the decision that belongs to it` };
  }
  return undefined;
}

function planDecided(facts: PodFacts, decision: PodDecision, settings: PlanSettings): Action {
  switch (decision.decision) {
    case 'skip':
      return planRelease(facts, 'skip', decision.reason, decision.message);
    case 'miss':
      return planMiss(facts, decision.reason, decision.message, settings);
    case 'hit':
      return planHit(facts, decision, settings);
  }
}

/** The entry went, expired or changed since admission. */
function planMiss(facts: PodFacts, reason: Reason, message: string, settings: PlanSettings): Action {
  if (facts.result === undefined) return look('result');
  if (facts.result === 'unreadable') return { do: 'retry', why: 'the task result could not be read' };
  // The way is forward only: Argo may have put these outputs into the node already.
  const own = ownResult(facts);
  if (own) return planEnd(facts, own.outputs, 'with outputs whose entry has gone since', settings);
  return planRelease(facts, 'miss', reason, message);
}

function planHit(facts: PodFacts, decision: Extract<PodDecision, { decision: 'hit' }>, settings: PlanSettings): Action {
  if (hasForeignGate(facts.pod)) return nothing('another gate stands on the pod');
  const { step, entry, memoization } = decision;
  if (step.template.state !== 'inline') {
    return planRelease(facts, 'skip', 'template-unreadable', 'the outputs that the step declares are not known');
  }
  const rebuilt = rebuildOutputs(step, step.template, entry);
  if (!rebuilt.ok) {
    return planMiss(facts, 'incomplete-entry', `the entry lacks ${rebuilt.missing.join(', ')}`, settings);
  }
  if (facts.resultMadeAtMs === undefined) return { do: 'make-result', step, outputs: rebuilt.outputs };
  return planEnd(facts, rebuilt.outputs, `from cache ${memoization.cache}`, settings);
}

/** The result is there: the pod may end, at once or when Argo has surely read the result (argo-workflows #14497, #15253). */
function planEnd(facts: PodFacts, outputs: Outputs | undefined, message: string, settings: PlanSettings): Action {
  if (hasForeignGate(facts.pod)) return nothing('another gate stands on the pod');
  const complete: Action = { do: 'complete', message };
  if (!hasResultRace(facts.pod.version)) return complete;
  if (!hasAnyOutput(outputs)) return complete;
  const madeAtMs = facts.resultMadeAtMs ?? facts.nowMs;
  const waitedMs = facts.nowMs - madeAtMs;
  if (waitedMs >= settings.taskResultWaitMs) return complete;
  if (waitedMs < Math.min(RACE_FIRST_LOOK_MS, settings.taskResultWaitMs)) {
    return wait(RACE_FIRST_LOOK_MS - waitedMs, 'the workflow controller has to read the result first');
  }
  if (facts.workflow === undefined) return look('workflow');
  if (facts.workflow.is === 'gone') return complete;
  if (facts.workflow.is === 'there' && facts.workflow.hasNodeOutputs) return complete;
  return wait(
    Math.min(RACE_POLL_MS, settings.taskResultWaitMs - waitedMs),
    'the workflow controller has not read the result yet',
  );
}

function hasAnyOutput(outputs: Outputs | undefined): boolean {
  if (outputs === undefined) return false;
  const { parameters, artifacts, result } = outputs;
  return (parameters?.length ?? 0) > 0 || (artifacts?.length ?? 0) > 0 || (result ?? undefined) !== undefined;
}

/** A result of ours goes first: a pod that runs under it could be done before its own outputs are there. */
function planRelease(facts: PodFacts, decision: 'miss' | 'skip', reason: Reason, message: string): Action {
  const release: Action = { do: 'release', decision, reason, message };
  if (hasFailed(facts, HOPELESS)) return release;
  const first = planResultRemoval(facts);
  if (first) return first;
  if (facts.workflow === undefined) return look('workflow');
  // Its owner is gone, and the garbage collector will take it; meanwhile it must not run for nothing.
  if (facts.workflow.is === 'gone') return { do: 'delete-pod', why: 'its Workflow is gone' };
  return release;
}

function planDeletion(facts: PodFacts): Action {
  const first = hasFailed(facts, HOPELESS) ? undefined : planResultRemoval(facts);
  return first ?? { do: 'delete-pod', why: 'Argo is done with it and looks at it no more' };
}

/**
 * What is to be done until no result of our making is there, for this pod or one of before: its executor, once it runs, could
 * not write into it (admission policy stepmemo-task-results).
 */
function planResultRemoval(facts: PodFacts): Action | undefined {
  if (facts.result === undefined) return look('result');
  if (facts.result === 'unreadable') return { do: 'retry', why: 'the task result could not be read' };
  if (facts.result === 'none' || facts.result.markedPodUid === undefined) return undefined;
  return { do: 'delete-result', result: facts.result };
}

function ownResult({ result, pod }: PodFacts): TaskResult | undefined {
  if (result === undefined || result === 'none' || result === 'unreadable') return undefined;
  return result.markedPodUid === pod.uid ? result : undefined;
}

function hasForeignGate(pod: StepPod): boolean {
  return pod.gates.length > ownGates(pod).length;
}
