import type { Outputs } from '../argo/outputs.ts';
import type { Step } from '../argo/step.ts';
import type { TaskResultHead } from '../argo/task-result.ts';
import type { Reason } from '../base/reasons.ts';
import type { Entry } from '../cache/entry.ts';
import type { Memoization } from '../step/memoization.ts';

/** What to look at before a plan can be made: each is one read, live where it says so. */
export type Look =
  /** The pod decided anew, from its live entry (and its offloaded template, where it has one). */
  | 'decision'
  /** The live task result of the pod's node. */
  | 'result'
  /** The live Workflow. */
  | 'workflow'
  /** The live pod. */
  | 'pod'
  /** Which step a pod that ran is, where its outputs go, and whether they are there; its offloaded template is read live. */
  | 'plan';

/** The one next thing to do about one pod. `planPod` chooses it, `execute` does it. */
export type Action =
  /** Nothing now: some event brings the pod back, or a resync. */
  | { readonly do: 'nothing'; readonly why: string }
  /** Nothing until a time that no event tells of. */
  | { readonly do: 'wait'; readonly delayMs: number; readonly why: string }
  /** What was looked at says nothing: that counts as a failed attempt. */
  | { readonly do: 'retry'; readonly why: string }
  | { readonly do: 'look'; readonly at: Look }
  // ---- a gated pod
  /** Makes the task result, or makes one of that name ours. */
  | { readonly do: 'make-result'; readonly step: Step; readonly outputs: Outputs | undefined }
  /** Ends the pod as Succeeded: its result is there. */
  | { readonly do: 'complete'; readonly message: string }
  /** Takes our own result away: before a release, or from under a pod that runs after all. */
  | { readonly do: 'delete-result'; readonly result: TaskResultHead }
  /** Takes our gates away. */
  | {
      readonly do: 'release';
      readonly decision: 'miss' | 'skip';
      readonly reason: Reason;
      readonly message: string;
    }
  | { readonly do: 'delete-pod'; readonly why: string }
  // ---- a pod that runs or ran
  /** Ends a pod that our container alone keeps from ending. */
  | { readonly do: 'heal'; readonly cause: 'not-started' | 'hanging'; readonly message: string }
  | {
      readonly do: 'write-entry';
      readonly step: Step;
      readonly memoization: Memoization;
      readonly entry: Entry;
    }
  /** Nothing will be captured of this pod any more; with a reason, somebody is told. */
  | {
      readonly do: 'settle';
      readonly why: string;
      readonly tell?: { readonly reason: Reason; readonly message: string };
    };

export function nothing(why: string): Action {
  return { do: 'nothing', why };
}

export function wait(delayMs: number, why: string): Action {
  return { do: 'wait', delayMs, why };
}

export function look(at: Look): Action {
  return { do: 'look', at };
}

export function settle(why: string, tell?: { reason: Reason; message: string }): Action {
  return tell === undefined ? { do: 'settle', why } : { do: 'settle', why, tell };
}
