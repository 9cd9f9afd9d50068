import { isExpression, readTags } from '../argo/tags.ts';
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
  /** Calls within the object, by the name of the called template. */
  readonly callers: ReadonlyMap<string, readonly Call[]>;
  /** Values of input parameters that were followed already. */
  readonly followed: Map<string, readonly string[]>;
}

/** One step or task that calls a template by name. */
export interface Call {
  readonly caller: Subject;
  readonly step: JsonObject;
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

function parametersOf(holder: unknown): readonly JsonObject[] {
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

/**
 * The values that a text can have at run time, as far as arguments and defaults say; none where a tag in it cannot be
 * followed. A text without tags is its own only value.
 */
export function possibleValues(text: string, subject: Subject, scope: WorkflowScope, depth = 0): readonly string[] {
  const { literals, tags, isUnclosed } = readTags(text);
  if (tags.length === 0) return isUnclosed ? [] : [text];
  if (depth > DEPTH_LIMIT || tags.length > CANDIDATE_LIMIT) return [];
  let values = [literals[0] ?? ''];
  for (const [index, tag] of tags.entries()) {
    const replacements = tagValues(tag, subject, scope, depth);
    const literal = literals[index + 1] ?? '';
    values = values
      .flatMap((value) => replacements.map((replacement) => value + replacement + literal))
      .filter((value) => value.length <= LENGTH_LIMIT)
      .slice(0, CANDIDATE_LIMIT);
  }
  return [...new Set(values)];
}

function tagValues(tag: string, subject: Subject, scope: WorkflowScope, depth: number): readonly string[] {
  if (isExpression(tag)) return [];
  if (tag === 'workflow.namespace') return scope.namespace === undefined ? [] : [scope.namespace];
  if (tag === 'workflow.name') return scope.kind === 'Workflow' ? scalar(scope.metadata.name) : [];
  if (tag.startsWith('workflow.parameters.')) {
    const parameter = scope.arguments.get(tag.slice('workflow.parameters.'.length));
    return parameter === undefined ? [] : ownValue(parameter);
  }
  if (!tag.startsWith('inputs.parameters.')) return [];
  return inputValues(tag.slice('inputs.parameters.'.length), subject, scope, depth);
}

function scalar(value: unknown): readonly string[] {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [String(value)] : [];
}

function ownValue(parameter: JsonObject): readonly string[] {
  if (parameter.valueFrom !== undefined && parameter.valueFrom !== null) return [];
  return scalar(parameter.value ?? parameter.default);
}

/** What callers pass for an input parameter; its own value or default where one passes nothing. */
function inputValues(name: string, subject: Subject, scope: WorkflowScope, depth: number): readonly string[] {
  const input = findDeclared(subject, 'inputs', 'parameters', name);
  if (input === undefined) return [];
  const id = JSON.stringify([subject.own.via, subject.own.place.path, name]);
  const known = scope.followed.get(id);
  if (known !== undefined || scope.followed.size >= FOLLOW_LIMIT) return known ?? [];
  // Templates may call each other in a circle: what is being followed adds nothing to itself.
  scope.followed.set(id, []);
  const values = [...new Set(passedValues(name, input, subject, scope, depth))].slice(0, CANDIDATE_LIMIT);
  scope.followed.set(id, values);
  return values;
}

function passedValues(
  name: string,
  input: JsonObject,
  subject: Subject,
  scope: WorkflowScope,
  depth: number,
): readonly string[] {
  const calls = subject.name === '' ? [] : (scope.callers.get(subject.name) ?? []);
  const isEntrypoint = subject.name !== '' && specMember(scope, 'entrypoint') === subject.name;
  const initial = isEntrypoint ? ownValue(scope.arguments.get(name) ?? input) : [];
  if (!isEntrypoint && calls.length === 0) return ownValue(input);
  const passed = calls.slice(0, CALLER_LIMIT).flatMap(({ caller, step }) => {
    const argument = parametersOf(step.arguments).find((parameter) => parameter.name === name);
    return ownValue(argument ?? input).flatMap((text) => possibleValues(text, caller, scope, depth + 1));
  });
  return [...initial, ...passed];
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
  tag: string,
  subject: Subject,
  scope: WorkflowScope,
  lookedUpBy: 'argo' | 'stepmemo',
): string | undefined {
  if (isExpression(tag) || tag.includes('{{')) return undefined;
  const [root = '', second = '', ...rest] = tag.split('.');
  const third = rest.join('.');
  if (root === 'inputs') return inputProblem(subject, second, third);
  if (root === 'workflow') return workflowProblem(scope, second, third);
  if (root === 'steps' || root === 'tasks' || root === 'item') return callProblem(subject, root, second);
  if (root === 'outputs') return third.endsWith('.path') ? undefined : 'outputs are not known before the step has run';
  if (tag === 'node.name') return undefined;
  return retryProblem(tag, root, subject, scope, lookedUpBy);
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
  const isRun = scope.kind === 'Workflow' || scope.kind === 'CronWorkflow';
  if (member !== 'parameters' || name === '' || name === 'json' || !isRun || !scope.isWhole) return undefined;
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
