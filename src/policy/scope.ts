import { givenValue, inputValue, type Parameter, parametersOf } from '../argo/scopes.ts';
import { isHelmTag, readTags, type Tag } from '../argo/tags.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import { findDeclared, type Subject, shownName } from './subject.ts';

/** What the workflow around the templates says: one WorkflowSpec, or a Workflow's over the one of its workflowTemplateRef. */
export interface WorkflowScope {
  readonly kind: string;
  /** The nearest first. */
  readonly specs: readonly JsonObject[];
  readonly arguments: ReadonlyMap<string, Parameter>;
  /** What `{{workflow.…}}` stands for, as written, as far as it is known at submission; see workflowValues. */
  readonly globals: ReadonlyMap<string, unknown>;
  /** False where a workflowTemplateRef could not be followed. */
  readonly isWhole: boolean;
  /** Who calls a template, by `callId`. */
  readonly callers: ReadonlyMap<string, readonly Call[]>;
  /** Values of input parameters that were followed already. */
  readonly followed: Map<string, readonly PossibleValue[]>;
}

/** One call of a template: by a step, a task or a hook, or by the workflow as its start or end. */
export interface Call {
  /** Undefined where the workflow itself calls. */
  readonly caller: Subject | undefined;
  readonly arguments: readonly JsonObject[];
  /** The arguments are those of the workflow: of a stored template, defaults. */
  readonly isStart: boolean;
}

/** A template by its name, an inline one by its path, and the object that contains it, if that is another. */
export function callId(via: string | undefined, template: string): string {
  return JSON.stringify([via ?? '', template]);
}

function callIdOf({ own, name, where }: Subject): string {
  return callId(own.via, where === 'inline' ? own.place.path : name);
}

export function specMember(scope: WorkflowScope, member: string): unknown {
  return scope.specs.map((spec) => spec[member] ?? undefined).find((value) => value !== undefined);
}

/** Parameters of `spec.arguments` by name, the nearest spec's first. */
export function readArguments(specs: readonly JsonObject[]): ReadonlyMap<string, Parameter> {
  const found = new Map<string, Parameter>();
  for (const parameter of specs.flatMap((spec) => parametersOf(spec.arguments))) {
    if (!found.has(parameter.name)) found.set(parameter.name, parameter);
  }
  return found;
}

// Values of values of values: without limits a small object could ask for endless ones.
const CANDIDATE_LIMIT = 16;
/** Longer than any name or duration that is good. */
const LENGTH_LIMIT = 512;
const FOLLOW_LIMIT = 2000;
const CALLER_LIMIT = 64;
const DEPTH_LIMIT = 20;

/** A value that a text can have at run time. */
export interface PossibleValue {
  readonly text: string;
  /** It comes from a default of a stored template: whoever runs that may give another, so it is never held against it. */
  readonly isDefault: boolean;
}

/**
 * The values that a text can have at run time, as far as arguments and defaults say; none where a tag in it cannot be
 * followed. A text without tags is its own only value. Argo fills a template in twice, first with the workflow's values,
 * then with the inputs too (common/util.go:SubstituteParams), and the pod that comes of it once more
 * (workflowpod.go:substitutePodParams): a tag that one pass brings in is filled in by the next, and no further.
 */
export function possibleValues(text: string, subject: Subject, scope: WorkflowScope): readonly PossibleValue[] {
  const inputs = inputsOf(subject, scope, 0);
  return withoutTags(fillIn([given(text)], [globalsOf(scope), inputs, inputs]));
}

/** What a pass knows: the possible values of a tag, none where it does not know it. */
type Known = (tag: string) => readonly PossibleValue[];

function globalsOf(scope: WorkflowScope): Known {
  return (tag) => {
    const isDefault = !isRun(scope) && tag !== 'workflow.namespace';
    return scalar(scope.globals.get(tag)).map((text) => ({ text, isDefault }));
  };
}

const INPUT = 'inputs.parameters.';

/** The workflow's values, and the inputs of a template. */
function inputsOf(subject: Subject, scope: WorkflowScope, depth: number): Known {
  const globals = globalsOf(scope);
  return (tag) => (tag.startsWith(INPUT) ? inputValues(tag.slice(INPUT.length), subject, scope, depth) : globals(tag));
}

/** One pass after the other over each of the values. */
function fillIn(values: readonly PossibleValue[], passes: readonly Known[]): readonly PossibleValue[] {
  return passes.reduce((filled, known) => distinct(filled.flatMap((value) => fillOnce(value, known))), values);
}

function fillOnce({ text, isDefault }: PossibleValue, known: Known): readonly PossibleValue[] {
  const { literals, tags } = readTags(text);
  if (tags.length === 0) return [{ text, isDefault }];
  if (tags.length > CANDIDATE_LIMIT) return [];
  let values: readonly PossibleValue[] = [{ text: literals[0] ?? '', isDefault }];
  for (const [index, tag] of tags.entries()) {
    const replacements = fillTag(tag, known);
    const literal = literals[index + 1] ?? '';
    values = values
      .flatMap((value) => replacements.map((replacement) => join(value, replacement, literal)))
      .filter((value) => value.text.length <= LENGTH_LIMIT)
      .slice(0, CANDIDATE_LIMIT);
  }
  return values;
}

/** Of `{{a.{{b}}}}` a pass fills in `b`, the next one what that makes of it (template/simple_template.go:simpleReplaceStrict). */
function fillTag({ name, isExpression }: Tag, known: Known): readonly PossibleValue[] {
  const unknown = [given(`{{${name}}}`)];
  if (isExpression) return unknown;
  const inner = name.lastIndexOf('{{');
  const values = known(inner > 0 ? name.slice(inner + 2) : name);
  if (values.length === 0) return unknown;
  return inner > 0 ? values.map((value) => ({ ...value, text: `{{${name.slice(0, inner)}${value.text}` })) : values;
}

function join(value: PossibleValue, next: PossibleValue, literal: string): PossibleValue {
  return { text: value.text + next.text + literal, isDefault: value.isDefault || next.isDefault };
}

/** Those that are filled in to the end; where one is not, nothing is said of the text. */
function withoutTags(values: readonly PossibleValue[]): readonly PossibleValue[] {
  return values.filter(({ text }) => !text.includes('{{'));
}

/** A value that somebody gives outweighs the same value as a default. */
function distinct(values: readonly PossibleValue[]): readonly PossibleValue[] {
  const found = new Map<string, PossibleValue>();
  for (const value of values) if (found.get(value.text)?.isDefault !== false) found.set(value.text, value);
  return [...found.values()].slice(0, CANDIDATE_LIMIT);
}

function given(text: string): PossibleValue {
  return { text, isDefault: false };
}

function scalar(value: unknown): readonly string[] {
  const isScalar = ['string', 'number', 'boolean', 'bigint'].includes(typeof value);
  return isScalar ? [String(value)] : [];
}

/** Whether the object is run as it stands, and not by another that may give values of its own. */
function isRun({ kind }: WorkflowScope): boolean {
  return kind === 'Workflow' || kind === 'CronWorkflow';
}

/** What callers pass for an input parameter; its own value or default where one passes nothing. */
function inputValues(name: string, subject: Subject, scope: WorkflowScope, depth: number): readonly PossibleValue[] {
  const input = findDeclared(subject, 'inputs', 'parameters', name);
  if (input === undefined) return [];
  const id = JSON.stringify([subject.own.via, subject.own.place.path, name]);
  const known = scope.followed.get(id);
  if (known !== undefined || scope.followed.size >= FOLLOW_LIMIT) return known ?? [];
  // Templates may call each other in a circle: what is being followed adds nothing to itself.
  scope.followed.set(id, []);
  // The callee's own first pass goes over its inputs too, before their values are taken (SubstituteParams).
  const values = fillIn(passedValues(name, input, subject, scope, depth), [globalsOf(scope)]);
  scope.followed.set(id, values);
  return values;
}

function passedValues(
  name: string,
  input: JsonObject,
  subject: Subject,
  scope: WorkflowScope,
  depth: number,
): readonly PossibleValue[] {
  const calls = scope.callers.get(callIdOf(subject)) ?? [];
  const own = (argument?: JsonObject) => {
    // Of a stored template this is a default, for whoever runs it may give another.
    return scalar(inputValue(input, argument)).map((text) => ({ text, isDefault: !isRun(scope) }));
  };
  // A template that is never called does not run; of a stored one others may call each.
  if (calls.length === 0) return isRun(scope) && specMember(scope, 'entrypoint') !== undefined ? [] : own();
  return calls.slice(0, CALLER_LIMIT).flatMap((call) => {
    const argument = call.arguments.find((parameter) => parameter.name === name);
    if (argument === undefined) return own();
    if (call.caller === undefined) return fillIn(call.isStart ? own(argument) : givenBy(argument), [globalsOf(scope)]);
    return passedBy(call.caller, argument, scope, depth + 1);
  });
}

/** As the caller's template is filled in, and then the step that calls (steps.go:resolveReferences). */
function passedBy(
  caller: Subject,
  argument: JsonObject,
  scope: WorkflowScope,
  depth: number,
): readonly PossibleValue[] {
  if (depth > DEPTH_LIMIT) return [];
  const globals = globalsOf(scope);
  return fillIn(givenBy(argument), [globals, inputsOf(caller, scope, depth), globals]);
}

function givenBy(argument: JsonObject): readonly PossibleValue[] {
  return scalar(givenValue(argument)).map(given);
}

const WORKFLOW_MEMBERS = new Set([
  'name',
  'namespace',
  'mainEntrypoint',
  'serviceAccountName',
  'uid',
  'parameters',
  'outputs',
  'annotations',
  'labels',
  'creationTimestamp',
  'priority',
  'duration',
  'scheduledTime',
  'status',
  'failures',
]);

/** Half a sentence that says why Argo will leave a tag as it is; undefined where it may well know it. */
export function tagProblem(
  { name: tag, isExpression }: Tag,
  subject: Subject,
  scope: WorkflowScope,
  lookedUpBy: 'argo' | 'stepmemo',
): string | undefined {
  if (isExpression) return expressionProblem(tag);
  if (tag.includes('{{')) return undefined;
  if (isHelmTag({ name: tag, isExpression }))
    return 'it is a Helm tag, which means nothing to Argo: render the chart first';
  if (tag.startsWith('=')) return 'an expression begins with "{{=", without a blank before the "="';
  const [root = '', second = '', ...rest] = tag.split('.');
  const third = rest.join('.');
  if (root === 'inputs') return inputProblem(subject, second, third);
  if (root === 'workflow') return workflowProblem(scope, second, third);
  if (root === 'steps' || root === 'tasks' || root === 'item') return callProblem(subject, root, second);
  if (root === 'outputs') return third.endsWith('.path') ? undefined : 'outputs are not known before the step has run';
  if (tag === 'node.name') return undefined;
  return retryProblem(tag, root, subject, scope, lookedUpBy);
}

/** `inputs.parameters.my-name` is a difference of two values; texts in quotes say nothing. */
const HYPHENATED = /\b(?:inputs|workflow|steps|tasks|outputs)(?:\.[A-Za-z_]\w*)*\.([A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)/;

function expressionProblem(expression: string): string | undefined {
  const code = expression.replace(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/g, "''");
  const name = HYPHENATED.exec(code)?.[1];
  return name === undefined ? undefined : `"-" is a minus in an expression: write ['${name}'] instead of .${name}`;
}

function inputProblem(subject: Subject, what: string, name: string): string | undefined {
  // Of defaults alone it cannot be told which templates they will be merged into.
  if (subject.where === 'templateDefaults') return undefined;
  if (what === 'parameters') {
    return name === '' || findDeclared(subject, 'inputs', 'parameters', name) !== undefined
      ? undefined
      : `${where(subject)} has no input parameter of that name`;
  }
  if (what !== 'artifacts') return 'inputs has only parameters and artifacts';
  if (!name.endsWith('.path')) return "a text can refer to an artifact's path, never to its content";
  const artifact = name.slice(0, -'.path'.length);
  return findDeclared(subject, 'inputs', 'artifacts', artifact) !== undefined
    ? undefined
    : `${where(subject)} has no input artifact of that name`;
}

function where(subject: Subject): string {
  return `the template ${shownName(subject)}`;
}

function workflowProblem(scope: WorkflowScope, member: string, name: string): string | undefined {
  if (!WORKFLOW_MEMBERS.has(member)) return 'the workflow has nothing of that name';
  if (member !== 'parameters' || name === '' || name === 'json' || !isRun(scope) || !scope.isWhole) return undefined;
  return scope.arguments.get(name) === undefined ? 'the workflow has no argument of that name' : undefined;
}

/** An inline template is substituted with the step that holds it, so it may speak of other steps and of the item. */
function callProblem(subject: Subject, root: string, second: string): string | undefined {
  if (subject.where === 'inline' || (root !== 'item' && second === 'name')) return undefined;
  return 'it is known only where the step is called: pass it as an input parameter';
}

/** Entries are looked up before the first attempt; annotations are filled in for each attempt's pod. */
function retryProblem(
  tag: string,
  root: string,
  subject: Subject,
  scope: WorkflowScope,
  lookedUpBy: 'argo' | 'stepmemo',
): string | undefined {
  const isRetried = subject.holders.some(({ template }) => isObject(template.retryStrategy));
  const mayBeRetried = isRetried || isObject(specMember(scope, 'retryStrategy'));
  if (tag === 'pod.name') {
    return lookedUpBy === 'argo' && mayBeRetried
      ? 'with a retryStrategy there is no pod yet when it is looked up'
      : undefined;
  }
  if (tag !== 'retries' && root !== 'lastRetry') return 'Argo knows no variable of that name';
  if (lookedUpBy === 'argo') return 'it is not known when the entry is looked up, before the first attempt';
  return mayBeRetried ? undefined : 'it is known only with a retryStrategy';
}
