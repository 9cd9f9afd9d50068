import type { Step } from '../argo/step.ts';
import type { JsonPatch } from '../patch/json-patch.ts';
import type { Entry } from './entry.ts';
import type { Reason } from './reasons.ts';

/** What a step asked for, once annotations, `memoize` and defaults are read and found valid. */
export interface Memoization {
  /** The key as the user wrote it, parameters filled in. */
  readonly key: string;
  /** The ConfigMap's name. */
  readonly cache: string;
  /** As written, for messages; undefined means no limit. */
  readonly maxAge?: string;
  /** maxAge in milliseconds; undefined means no limit. Zero or less never hits. */
  readonly maxAgeMs?: number;
  /** The step runs and its entry is overwritten. */
  readonly isRefresh: boolean;
}

/** How the outputs of a miss get into the cache. */
export type CaptureWay = 'sidecar' | 'server' | 'off';

/** The decision about one step pod. `message` is a sentence with the particulars, never with content of an entry. */
export type PodDecision =
  | {
      readonly decision: 'hit';
      readonly reason: Reason;
      readonly message: string;
      readonly step: Step;
      readonly memoization: Memoization;
      readonly entry: Entry;
    }
  | {
      readonly decision: 'miss';
      readonly reason: Reason;
      readonly message: string;
      readonly step: Step;
      readonly memoization: Memoization;
      readonly capture: CaptureWay;
    }
  | { readonly decision: 'skip'; readonly reason: Reason; readonly message: string };

/** The decision about a Workflow or a template object. */
export interface WorkflowDecision {
  readonly decision: 'mutate' | 'skip';
  readonly reason: Reason;
  readonly message: string;
}

/** A decision with the patch that carries it out: the whole answer to one admission review. */
export interface Verdict {
  readonly decision: 'hit' | 'miss' | 'skip' | 'mutate';
  readonly reason: Reason;
  readonly message: string;
  readonly patch: JsonPatch;
  /** Shown by kubectl to whoever sent the request. */
  readonly warnings: readonly string[];
}
