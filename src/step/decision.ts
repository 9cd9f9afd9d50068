import type { Step } from '../argo/step.ts';
import type { JsonPatch } from '../base/json-patch.ts';
import type { CaptureWay } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import type { Entry } from '../cache/entry.ts';
import type { Memoization } from './memoization.ts';
import type { SidecarParts } from './sidecar-container.ts';

/** How the outputs of a miss get into the cache; for the sidecar, what is added to the pod. */
export type Capture =
  | { readonly way: 'sidecar'; readonly sidecar: SidecarParts }
  | { readonly way: Exclude<CaptureWay, 'sidecar'> };

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
      readonly capture: Capture;
    }
  | { readonly decision: 'skip'; readonly reason: Reason; readonly message: string };

/** Skips of pods that are no memoized steps, or not those of a workflow controller in a namespace that has opted in. */
export const FOREIGN_SKIPS: readonly Reason[] = [
  'not-a-step',
  'agent-pod',
  'not-memoized',
  'namespace-not-enabled',
  'creator-untrusted',
];

/** A decision with the patch that carries it out: the whole answer to one admission review. */
export interface Verdict {
  readonly decision: 'hit' | 'miss' | 'skip' | 'mutate';
  readonly reason: Reason;
  readonly message: string;
  readonly patch: JsonPatch;
  /** Shown by kubectl to whoever sent the request. */
  readonly warnings: readonly string[];
}
