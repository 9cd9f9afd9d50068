/** What becomes of calls in a walk, and where they stand: the words that the walker thinks in. */
import { parametersOf } from '../../argo/scopes.ts';
import { isObject, type JsonObject } from '../../base/json.ts';
import type { Call } from '../calls.ts';
import type { WorkflowNode } from '../node.ts';
import type { PresentNode } from '../present.ts';
import type { TemplateBase } from '../references.ts';
import { nodeInputs, readsResults } from '../scopes.ts';
import type { Scope, Values } from '../values.ts';

/** What became of one call. */
export type Outcome =
  /** All of it is served; what it gives to others is known. */
  | {
      readonly is: 'served';
      readonly id: string;
      readonly outbound: readonly string[];
      readonly values: Values;
      /** Its condition was not met: it gives nothing. */
      readonly isSkipped?: boolean;
      /** Argo has seen it end, and has made what follows on it, as far as it wants to. */
      readonly isPast?: boolean;
    }
  /** Some of it has still to run: nothing may follow. */
  | {
      readonly is: 'open';
      readonly id: string | undefined;
      /** Nobody knows what it is: Argo may err there, and then does not come to the steps beside it. */
      readonly mayErr: boolean;
    };

/** Where a template is called. */
export interface Place {
  readonly nodeName: string;
  /** The node that holds it; undefined for the root. */
  readonly boundaryName: string | undefined;
  /** Whether somebody there reads the result of a call. */
  readonly readsResult: (callName: string) => boolean;
  readonly callName: string;
  /** How it is called, as its node says. */
  readonly called: Pick<WorkflowNode, 'templateName' | 'templateRef'>;
  /** Where names of templates are looked up there. */
  readonly base: TemplateBase;
  /** Whether a node may be added there; where Argo has been already, what it has not made it does not want now. */
  readonly mayAdd: boolean;
  readonly depth: number;
}

/** A steps or DAG template that is walked. */
export interface Boundary {
  readonly place: Place;
  readonly readsResult: (callName: string) => boolean;
  readonly kind: 'steps' | 'tasks';
  readonly base: TemplateBase;
  /** Its node was there before: it is neither made nor ended here. */
  readonly present: PresentNode | undefined;
  /** What its calls have given so far. */
  readonly scope: Map<string, string>;
}

/** Where a boundary calls something. */
export interface CallPlace {
  readonly boundary: Boundary;
  /** Of the names of what is called. */
  readonly prefix: string;
  /** What may be referred to there. */
  readonly visible: Scope;
  readonly mayAdd: boolean;
}

export interface WalkedTasks {
  readonly done: ReadonlyMap<string, Outcome>;
  /** The nodes that hang on the DAG's own. */
  readonly roots: readonly string[];
  /** A task will be omitted in Argo's first look, for a task that it asks to have succeeded is skipped. */
  readonly isOmitting: boolean;
}

export interface Runs {
  readonly outcomes: readonly Outcome[];
  /** Of a call with items: where Argo puts the group around its runs. */
  readonly fan: Place | undefined;
}

/** A template that is called, and where the names in it are looked up. */
export interface Resolved {
  readonly template: JsonObject;
  readonly base: TemplateBase;
}

export interface Inner {
  /** The template as it is stored: it says who reads which result. */
  readonly stored: JsonObject;
  readonly base: TemplateBase;
  readonly present: PresentNode | undefined;
}

export function boundaryOf(place: Place, { stored, base, present }: Inner, kind: Boundary['kind']): Boundary {
  return { place, readsResult: readsResults(stored), kind, base, present, scope: new Map() };
}

export function addValues({ kind, scope }: Boundary, call: Call, outcome: Outcome): void {
  if (outcome.is !== 'served') return;
  for (const [name, value] of outcome.values) scope.set(`${kind}.${call.name}.${name}`, value);
}

export interface WholeSteps {
  readonly base: TemplateBase;
  readonly groups: readonly Group[];
  readonly values: Values;
  readonly outbound: readonly string[];
  readonly count: number;
}

export function calledBy({ template, templateRef, inline }: JsonObject): Place['called'] {
  if (isObject(inline)) return {};
  if (!isObject(templateRef)) return typeof template === 'string' ? { templateName: template } : {};
  const { name, template: inner, clusterScope } = templateRef;
  return { templateRef: { name, template: inner, ...(clusterScope === true && { clusterScope }) } };
}

export interface Group {
  readonly id: string;
  readonly name: string;
  readonly outcomes: readonly Outcome[];
}

export function mayErrIn(outcome: Outcome): boolean {
  return outcome.is === 'open' && outcome.mayErr;
}

export function isSkipped(outcome: Outcome): boolean {
  return outcome.is === 'served' && outcome.isSkipped === true;
}

/** Argo does not know yet that it is served. */
export function isNews(outcome: Outcome): boolean {
  return outcome.is === 'served' && outcome.isPast !== true;
}

export function isFulfilled(outcome: Outcome | undefined, isStrict: boolean): boolean {
  return outcome?.is === 'served' && !(isStrict && isSkipped(outcome));
}

export function outboundOf(outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.flatMap((outcome) => (outcome.is === 'served' ? outcome.outbound : []));
}

/** The groups of a steps template, up to the first of which something has still to run. */
export interface WalkedGroups {
  readonly groups: readonly Group[];
  readonly isOpen: boolean;
  readonly mayErr: boolean;
}

/** One step that the walk came to. */
export interface Leaf {
  readonly nodeName: string;
  readonly key?: string;
  readonly cache?: string;
  /** `unforeseen`: whether it is a hit is decided when Argo makes its pod. */
  readonly outcome: 'hit' | 'runs' | 'unforeseen';
  /** It is left to its pod for no other reason than that it comes after a step that has to run. */
  readonly isBehind?: boolean;
  /** From which entry, or why not. */
  readonly message: string;
}

/** The members of a boundary of which nothing is left to run. */
export function wholeMembers(
  template: JsonObject,
  values: Values,
  count: number,
): Pick<WorkflowNode, 'phase' | 'progress' | 'inputs' | 'outputs'> {
  // Argo leaves out where the value came from (operator.go:getTemplateOutputsFromScope).
  const parameters = parametersOf(template.outputs).map(({ valueFrom: _, ...declared }) => ({
    ...declared,
    value: values.get(`outputs.parameters.${declared.name}`),
  }));
  return {
    phase: 'Succeeded',
    progress: `${count}/${count}`,
    ...nodeInputs(template),
    ...(parameters.length > 0 && { outputs: { parameters } }),
  };
}
