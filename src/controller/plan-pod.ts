import { type Action, look, nothing, settle } from './actions.ts';
import type { PlanSettings, PodFacts } from './facts.ts';
import { planGated } from './plan-gated.ts';
import { planRun } from './plan-run.ts';
import { isTerminal, ownGates } from './step-pod.ts';

/** The one next thing to do about a pod, from what is known of it. Pure: the same facts give the same plan. */
export function planPod(facts: PodFacts, settings: PlanSettings): Action {
  const { pod } = facts;
  if (facts.isGone) return planGone(facts);
  // What the watch said last may be an early state: only an end is final.
  if (facts.hasLeftWatch && !isTerminal(pod)) return look('pod');
  if (ownGates(pod).length > 0) return planGated(facts, settings);
  return planRun(facts, settings);
}

/**
 * Argo makes a pod that goes while Pending anew, under the same names: a result of ours must not meet the new one. Nobody
 * but stepmemo can write into it (admission policy stepmemo-task-results), so nothing is lost with it.
 */
function planGone({ pod, isLeader, arePoliciesInstalled, watchedResult, isSettled }: PodFacts): Action {
  const isOurs = watchedResult?.markedPodUid === pod.uid;
  if (isLeader && arePoliciesInstalled && isOurs && watchedResult && !isTerminal(pod)) {
    return { do: 'delete-result', result: watchedResult };
  }
  return isSettled ? nothing('gone') : settle('gone');
}
