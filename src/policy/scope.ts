import { isHelmTag, readTags, type Tag } from '../argo/tags.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import { findDeclared, type Subject, shownName } from './subject.ts';

/** What the workflow around the templates says: one WorkflowSpec, or a Workflow's over the one of its workflowTemplateRef. */
export interface WorkflowScope {
  readonly kind: string;
  readonly metadata: JsonObject;
  readonly namespace: string | undefined;
  /** The nearest first. */
  readonly specs: readonly JsonObject[];
  readonly arguments: ReadonlyMap<string, JsonObject>;
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

/** A template by its name, an inline one by its path, and the object that it stands in where that is another. */
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
export function readArguments(specs: readonly JsonObject[]): ReadonlyMap<string, JsonObject> {
  const found = new Map<string, JsonObject>();
  for (const parameter of specs.flatMap((spec) => parametersOf(spec.arguments))) {
    if (typeof parameter.name === 'string' && !found.has(parameter.name)) found.set(parameter.name, parameter);
  }
  return found;
}

/** The parameters of an `arguments` or `inputs`. */
export function parametersOf(holder: unknown): readonly JsonObject[] {
  const list = isObject(holder) ? holder.parameters : undefined;
  return Array.isArray(list) ? list.filter(isObject) : [];
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
 * followed. A text without tags is its own only value. Argo fills a template in twice, first the workflow's values and
 * then the inputs too (common/util.go:SubstituteParams), so a tag that the first pass brings in is followed once more.
 */
export function possibleValues(
  text: string,
  subject: Subject,
  scope: WorkflowScope,
  depth = 0,
): readonly PossibleValue[] {
  const { literals, tags, isUnclosed } = readTags(text);
  if (tags.length === 0) return isUnclosed ? [] : [{ text, isDefault: false }];
  if (depth > DEPTH_LIMIT || tags.length > CANDIDATE_LIMIT) return [];
  let values: readonly PossibleValue[] = [{ text: literals[0] ?? '', isDefault: false }];
  for (const [index, tag] of tags.entries()) {
    const replacements = tagValues(tag, subject, scope, depth);
    const literal = literals[index + 1] ?? '';
    values = values
      .flatMap((value) => replacements.map((replacement) => join(value, replacement, literal)))
      .filter((value) => value.text.length <= LENGTH_LIMIT)
      .slice(0, CANDIDATE_LIMIT);
  }
  return distinct(values);
}

function join(value: PossibleValue, next: PossibleValue, literal: string): PossibleValue {
  return { text: value.text + next.text + literal, isDefault: value.isDefault || next.isDefault };
}

/** A value that somebody gives outweighs the same value as a default. */
function distinct(values: readonly PossibleValue[]): readonly PossibleValue[] {
  const found = new Map<string, PossibleValue>();
  for (const value of values) if (found.get(value.text)?.isDefault !== false) found.set(value.text, value);
  return [...found.values()].slice(0, CANDIDATE_LIMIT);
}

function tagValues(
  { name, isExpression }: Tag,
  subject: Subject,
  scope: WorkflowScope,
  depth: number,
): readonly PossibleValue[] {
  if (isExpression || name.includes('{{')) return [];
  if (name === 'workflow.namespace') return scope.namespace === undefined ? [] : [given(scope.namespace)];
  if (name === 'workflow.name') return scope.kind === 'Workflow' ? scalar(scope.metadata.name).map(given) : [];
  if (name.startsWith('workflow.parameters.')) {
    const parameter = scope.arguments.get(name.slice('workflow.parameters.'.length));
    return parameter === undefined ? [] : filledIn(ownValue(parameter, scope), subject, scope, depth);
  }
  if (!name.startsWith('inputs.parameters.')) return [];
  return inputValues(name.slice('inputs.parameters.'.length), subject, scope, depth);
}

/** Arguments may hold tags themselves. */
function filledIn(
  values: readonly PossibleValue[],
  subject: Subject,
  scope: WorkflowScope,
  depth: number,
): readonly PossibleValue[] {
  return values.flatMap(({ text, isDefault }) => {
    const inner = possibleValues(text, subject, scope, depth + 1);
    return isDefault ? inner.map((value) => ({ ...value, isDefault })) : inner;
  });
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

/** What a declaration says itself: of a stored template's arguments and inputs that is a default. */
function ownValue(parameter: JsonObject, scope: WorkflowScope): readonly PossibleValue[] {
  if (parameter.valueFrom !== undefined && parameter.valueFrom !== null) return [];
  return scalar(parameter.value ?? parameter.default).map((text) => ({ text, isDefault: !isRun(scope) }));
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
  const values = distinct(passedValues(name, input, subject, scope, depth));
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
  // A template that nobody calls does not run; of a stored one others may call each.
  if (calls.length === 0)
    return isRun(scope) && specMember(scope, 'entrypoint') !== undefined
      ? []
      : filledIn(ownValue(input, scope), subject, scope, depth);
  return calls.slice(0, CALLER_LIMIT).flatMap((call) => {
    const argument = call.arguments.find((parameter) => parameter.name === name);
    if (argument === undefined) return filledIn(ownValue(input, scope), subject, scope, depth);
    const values = call.isStart ? ownValue(argument, scope) : scalarOf(argument).map(given);
    return filledIn(values, call.caller ?? subject, scope, depth);
  });
}

function scalarOf(argument: JsonObject): readonly string[] {
  if (argument.valueFrom !== undefined && argument.valueFrom !== null) return [];
  return scalar(argument.value ?? argument.default);
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
  if (!name.endsWith('.path')) return 'of an artifact only its path can stand in a text, never its content';
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
