import type { Template } from './template.ts';

/** The body of the template: decides how outputs come about and whether a hit is possible. */
export type StepKind = 'container' | 'script' | 'containerSet' | 'resource' | 'data';

/** The template as far as it can be read from the pod alone. */
export type TemplateReading =
  | { readonly state: 'inline'; readonly template: Template; readonly kind: StepKind }
  | { readonly state: 'offloaded' }
  | { readonly state: 'unreadable'; readonly detail: string };

/** One step, identified from its pod. */
export interface Step {
  readonly namespace: string;
  readonly podName: string;
  readonly workflowName: string;
  readonly workflowUid: string;
  readonly nodeId: string;
  readonly nodeName: string;
  /** The controller's instance id, exactly when the pod carries one. */
  readonly instanceId?: string;
  readonly template: TemplateReading;
  /** Whether some consumer reads `outputs.result` of this step (ARGO_INCLUDE_SCRIPT_OUTPUT; always for data). */
  readonly needsResult: boolean;
}
