import type { Step } from '../argo/step.ts';
import type { TaskResult } from '../argo/task-result.ts';
import type { StepTemplate } from '../argo/template.ts';
import type { CaptureWay } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import type { KubeObject } from '../kube/types.ts';
import type { Captured } from '../sidecar/captured.ts';
import type { PodDecision } from '../step/decision.ts';
import type { Memoization } from '../step/memoization.ts';
import type { WatchedResult } from './result-table.ts';
import type { StepPod } from './step-pod.ts';

/** What a look at the Workflow of a pod found. */
export type WorkflowFacts =
  /** It, or rather the one that the pod belongs to, is gone. */
  | { readonly is: 'gone' }
  /** It could not be read. */
  | { readonly is: 'unreadable' }
  | {
      readonly is: 'there';
      /** `argo stop` or `argo terminate`: what a step reports now may be half of it. */
      readonly isShuttingDown: boolean;
      /** Its own phase; undefined before the controller has looked at it. */
      readonly phase: string | undefined;
      /** When its `activeDeadlineSeconds` are over, Unix milliseconds; undefined without one. */
      readonly deadlineMs: number | undefined;
      /** Its nodes lie in Argo's own database (offloadNodeStatusVersion), which stepmemo does not read. */
      readonly areNodesOffloaded: boolean;
      /** The node's phase; undefined where nodes are offloaded, or the node is not there yet. */
      readonly nodePhase: string | undefined;
      readonly hasNodeOutputs: boolean;
    };

/** Outputs that a sidecar posted and this replica took. */
export interface HeldOutputs {
  readonly captured: Captured;
  readonly digest: string;
  readonly sizeBytes: number;
}

/** What a pod that runs or ran was decided to be: its step, and where its outputs go. */
export type CapturePlan =
  | {
      readonly ok: true;
      /** The pod itself. */
      readonly object: KubeObject;
      readonly step: Step;
      /** The step's own, or the one that was offloaded. */
      readonly template: StepTemplate;
      readonly memoization: Memoization;
      readonly way: CaptureWay;
    }
  | { readonly ok: false; readonly reason: Reason; readonly message: string };

/** Refusals in a row. Without an answer there is none, and nothing to give up (`addFailure`). */
export interface Failures {
  readonly count: number;
  readonly sinceMs: number;
  readonly message: string;
}

/**
 * All that a plan for one pod may stand on. What is undefined has not been looked at in this round: the planner asks for
 * it (`look`), and never plans on what it does not know.
 */
export interface PodFacts {
  readonly pod: StepPod;
  readonly nowMs: number;
  readonly isLeader: boolean;
  /** Whether namespaces, caches and policies have been read once. */
  readonly isClusterSynced: boolean;
  readonly arePoliciesInstalled: boolean;
  readonly failures: Failures | undefined;
  /** A live GET found no pod of this UID. */
  readonly isGone: boolean;
  /** When this process first saw that the pod's own containers, or the pod, had ended: the clock of nodes is not ours. */
  readonly endSeenAtMs: number | undefined;
  /** The pod left the watch: it may be gone, or be labelled completed. */
  readonly hasLeftWatch: boolean;

  // ---- for gated pods
  readonly decision?: PodDecision | undefined;
  readonly result?: TaskResult | 'none' | 'unreadable' | undefined;
  readonly workflow?: WorkflowFacts | undefined;
  /** When this process made the pod's result, or first saw that it is there. */
  readonly resultMadeAtMs: number | undefined;

  // ---- for pods that run or ran
  readonly plan?: CapturePlan | undefined;
  /** Outputs that the pod's sidecar posted to this replica. */
  readonly held: HeldOutputs | undefined;
  /** The task result of the node as the watch knows it, kept a while after Argo deleted it. */
  readonly watchedResult: WatchedResult | undefined;
  /** Whether the cache holds the pod's entry, or a newer one, as far as this replica's memory goes. */
  readonly isStored?: boolean | undefined;
  /** This replica is writing the pod's entry. */
  readonly isBeingWritten: boolean;
  /** This replica has finished with the pod's outputs. */
  readonly isSettled: boolean;
}

/** Times that plans depend on. */
export interface PlanTiming {
  /** How long our container may take to start, once all others have ended. */
  readonly slowStartMs: number;
  /** How long it may run on. Its own deadline is a quarter of a second. */
  readonly hangMs: number;
  /** How long after a pod's end its task result may take to come by the watch. */
  readonly resultGraceMs: number;
  /** After this the leader takes it that the replica that held the outputs is gone. That one is to be first, hence longer. */
  readonly holderGraceMs: number;
}

export const PLAN_TIMING: PlanTiming = {
  slowStartMs: 5_000,
  hangMs: 5_000,
  resultGraceMs: 5_000,
  holderGraceMs: 10_000,
};

export interface PlanSettings extends PlanTiming {
  /** See the configuration: how long a hit waits for the Workflow to show its outputs. */
  readonly taskResultWaitMs: number;
}
