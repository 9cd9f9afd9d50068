import type { StepTemplate } from '../argo/template.ts';
import type { Reason } from '../base/reasons.ts';
import type { PodFacts, WorkflowFacts } from './facts.ts';
import { readOwnEnd } from './step-pod.ts';

/** What the end of a step is worth whose pod says that it ended well. */
export type JudgedEnd =
  /** Its outputs are whole. */
  | { readonly is: 'whole' }
  /** They may be half of it, or it cannot be told any more. */
  | { readonly is: 'worthless'; readonly reason: Reason; readonly message: string }
  /** Argo's word is needed, and has not been given yet. */
  | { readonly is: 'unknown'; readonly why: string };

const WHOLE: JudgedEnd = { is: 'whole' };
/** The clocks of the node, which says when containers ended, and of the controller may differ by this much. */
const CLOCK_SKEW_MS = 5_000;

/**
 * What the pod's phase does not tell: a step that was stopped may end with 0 and report half of its work. Argo's word on
 * the node decides; without one the pod's own counts, unless something around it could have ended the step early.
 *
 * Of offloaded nodes only the Workflow's own word is known, so a step there counts by its pod as long as nothing is amiss
 * with the Workflow.
 */
export function judgeEnd(facts: PodFacts, { template }: StepTemplate, workflow: WorkflowFacts): JudgedEnd {
  if (workflow.is === 'gone') {
    return worthless('workflow-gone', 'the Workflow was deleted before it could be read what became of the step');
  }
  if (workflow.is === 'unreadable') return { is: 'unknown', why: 'the Workflow could not be read' };
  const damage = findDamage(facts, workflow);
  if (damage !== undefined) return worthless('step-failed', damage);
  if (workflow.nodePhase === 'Succeeded') return WHOLE;
  if (needsArgosWord(facts, template.timeout ?? '', workflow)) {
    return { is: 'unknown', why: 'Argo has not said what became of the step' };
  }
  return WHOLE;
}

function worthless(reason: Reason, message: string): JudgedEnd {
  return { is: 'worthless', reason, message };
}

type There = Extract<WorkflowFacts, { is: 'there' }>;

function findDamage({ pod }: PodFacts, workflow: There): string | undefined {
  if (workflow.isShuttingDown) return 'the workflow was stopped while the step ran';
  if (isFailure(workflow.nodePhase)) return 'Argo takes the step as failed';
  const endedAtMs = readOwnEnd(pod).endedAtMs ?? Number.POSITIVE_INFINITY;
  if (workflow.deadlineMs !== undefined && endedAtMs > workflow.deadlineMs - CLOCK_SKEW_MS) {
    return "the workflow's deadline passed while the step ran";
  }
  // A workflow fails when its last step has ended, or at once when it is given up: then its steps are ended early.
  const isGivenUp = isFailure(workflow.phase) && workflow.nodePhase !== 'Succeeded';
  return isGivenUp ? 'the workflow ended while the step ran' : undefined;
}

function isFailure(phase: string | undefined): boolean {
  return phase === 'Failed' || phase === 'Error';
}

/** Whether the pod's own word is not enough. */
function needsArgosWord({ pod }: PodFacts, timeout: string, workflow: There): boolean {
  // Of a pod that failed by its sidecars alone Argo says what it is worth.
  if (pod.phase === 'Failed' && !readOwnEnd(pod).isEveryExitZero) return true;
  // A template's time-out ends the step as `argo stop` does, with nothing in the Workflow but the node's phase.
  if (timeout !== '') return true;
  return workflow.nodePhase === undefined && !workflow.areNodesOffloaded;
}
