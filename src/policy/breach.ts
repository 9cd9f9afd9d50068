import type { PolicyContext } from './context.ts';
import type { MemoizeRequest } from './request.ts';
import type { Rule } from './rules.ts';
import type { WorkflowScope } from './scope.ts';
import type { Severity } from './settings.ts';
import type { Spot, Subject } from './subject.ts';

/** What a rule found, before settings say how bad that is. */
export interface Breach {
  readonly rule: Rule;
  readonly spot: Spot;
  /** What is wrong, as one sentence. */
  readonly message: string;
  /** What to write instead, as one sentence. */
  readonly fix: string;
  /** The offending value. */
  readonly detail?: string;
  /** Holds a finding down that may be none. */
  readonly atMost?: Severity;
}

/** One template, in its workflow, and what is known of the cluster. */
export interface RuleInput {
  readonly subject: Subject;
  readonly scope: WorkflowScope;
  readonly context: PolicyContext;
}

/** A rule about what one template asks for. */
export type RequestRule = (request: MemoizeRequest, input: RuleInput) => readonly Breach[];

export const NOTHING: readonly Breach[] = [];
