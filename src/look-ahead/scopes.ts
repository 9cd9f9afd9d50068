/** What is known where: the values that a workflow, a template and a call can refer to, as Argo's scopes give them. */
import { inputValue, parametersOf, workflowValues } from '../argo/scopes.ts';
import { asObject, isObject, type JsonObject } from '../base/json.ts';
import type { Call, Task } from './calls.ts';
import type { WorkflowNode } from './node.ts';
import { fillIn, goJson, parameterValue, type Scope, safeValue, Unforeseen, type Values } from './values.ts';

/** What is known of a workflow before it has begun. */
export interface Workflow {
  readonly workflowName: string;
  /** Not where the API server has still to make the name (`generateName`). */
  readonly isNameKnown: boolean;
  readonly namespace: string;
  readonly spec: JsonObject;
}

/** What `{{workflow.…}}` stands for, as far as it is certain before the workflow has begun. */
export function readGlobals({ workflowName, isNameKnown, namespace, spec }: Workflow): Values {
  const name = isNameKnown ? workflowName : undefined;
  const written = workflowValues({
    name,
    namespace,
    entrypoint: spec.entrypoint,
    parameters: parametersOf(spec.arguments),
  });
  return new Map([...written].flatMap(([tag, value]) => certainValue(tag, value)));
}

/** One that cannot be foreseen is left out: only who refers to it is concerned. */
function certainValue(tag: string, value: unknown): readonly (readonly [string, string])[] {
  try {
    const text = parameterValue(value, tag);
    return text === undefined ? [] : [[tag, safeValue(text, tag)]];
  } catch (error) {
    if (error instanceof Unforeseen) return [];
    throw error;
  }
}

/** The declared inputs with the values that they get. */
export function readInputs(template: JsonObject, call: JsonObject, globals: Values): JsonObject {
  const passed = new Map(parametersOf(call.arguments).map((argument) => [argument.name, argument]));
  const parameters = parametersOf(template.inputs).map((declared) => {
    const what = `the input ${declared.name}`;
    const value = parameterValue(inputValue(declared, passed.get(declared.name)), what);
    if (value === undefined) throw new Unforeseen(`${what} has no value, or one from elsewhere`);
    const filled = fillIn(value, globals);
    if (filled.includes('{{')) throw new Unforeseen(`the value of ${what} is not known`);
    // A value that is passed takes the place of where it would have come from.
    const { valueFrom: _, ...rest } = declared;
    return { ...rest, value: safeValue(filled, what) };
  });
  return { ...asObject(template.inputs), ...(parameters.length > 0 && { parameters }) };
}

export function inputValues(inputs: unknown): readonly (readonly [string, string])[] {
  return parametersOf(inputs).map(({ name, value }) => [`inputs.parameters.${name}`, String(value)] as const);
}

export function nodeInputs(template: JsonObject): Pick<WorkflowNode, 'inputs'> {
  const parameters = parametersOf(template.inputs);
  return parameters.length === 0 ? {} : { inputs: { parameters } };
}

/** A step or task with what came before filled in; hooks stay as they are, for they end the walk. */
export function fillCall(call: Call, scope: Scope): Call {
  const { hooks, ...raw } = call.raw;
  return { ...call, raw: { ...fillIn(raw, scope), ...(hooks !== undefined && { hooks }) } };
}

/** What a task may refer to: the outputs of those that it depends on, directly or not. */
export function scopeOf(task: Task, tasks: ReadonlyMap<string, Task>, scope: Scope): Scope {
  return { get: (name) => (isAncestor(name.split('.')[1] ?? '', task, tasks) ? scope.get(name) : undefined) };
}

function isAncestor(name: string, task: Task, tasks: ReadonlyMap<string, Task>): boolean {
  const seen = new Set(task.depends);
  // A Set that grows is gone through to its end: the nearest come first.
  for (const one of seen) {
    if (one === name) return true;
    for (const further of tasks.get(one)?.depends ?? []) seen.add(further);
  }
  return false;
}

/** The outputs of a steps or DAG template: parameters of its steps, by reference (getTemplateOutputsFromScope). */
export function readOutputs(template: JsonObject, scope: Values): Values {
  const values = new Map<string, string>();
  for (const declared of parametersOf(template.outputs)) {
    const { parameter, ...others } = asObject(declared.valueFrom);
    if (Object.keys(others).length > 0) throw new Unforeseen(`the output ${declared.name} comes from elsewhere`);
    const tag = outputTag(parameter);
    const value = tag === undefined ? undefined : scope.get(tag);
    if (value === undefined) throw new Unforeseen(`the output ${declared.name} is not known`);
    values.set(`outputs.parameters.${declared.name}`, safeValue(value, `the output ${declared.name}`));
  }
  return values;
}

function outputTag(parameter: unknown): string | undefined {
  return /^\{\{\s*([^{}=]+?)\s*\}\}$/.exec(typeof parameter === 'string' ? parameter : '')?.[1];
}

/**
 * Whether a steps or DAG template may err when it ends: an output of it comes from a call that may give nothing, being skipped or
 * allowed to fail.
 */
export function mayLackOutputs(template: JsonObject, calls: readonly Call[], scope: Values): boolean {
  return parametersOf(template.outputs).some(({ valueFrom }) => {
    const tag = outputTag(asObject(valueFrom).parameter);
    if (tag === undefined || scope.has(tag)) return false;
    const { when, continueOn } = calls.find(({ name }) => name === tag.split('.')[1])?.raw ?? {};
    return (when ?? continueOn) !== undefined;
  });
}

/** What stands for all runs of a call together (operator.go:processAggregateNodeOutputs). */
export function addAggregates(prefix: string, all: readonly Values[], scope: Map<string, string>): void {
  const names = new Set(all.flatMap((values) => [...values.keys()]));
  const objects = all.map((values) => {
    const parameters = [...values].filter(([name]) => name.startsWith(PARAMETERS));
    return Object.fromEntries(parameters.map(([name, value]) => [name.slice(PARAMETERS.length), value]));
  });
  if (objects.every((object) => Object.keys(object).length > 0))
    scope.set(`${prefix}.outputs.parameters`, goJson(objects));
  for (const name of names) {
    const values = all.flatMap((one) => one.get(name) ?? []);
    // Lists and maps are embedded by some versions and quoted by others; a plain text as a result is an Error.
    const isPlain = values.length === all.length && !values.some((value) => /^\s*[[{]/.test(value));
    if (name.startsWith(PARAMETERS) && isPlain) scope.set(`${prefix}.${name}`, goJson(values));
    if (name === 'outputs.result') scope.set(`${prefix}.${name}`, resultList(values));
  }
}

const PARAMETERS = 'outputs.parameters.';

function resultList(values: readonly string[]): string {
  const isCertain = values.every((value) => /^(?:-?(?:0|[1-9]\d{0,14})|true|false)$/.test(value));
  if (!isCertain) throw new Unforeseen('the results of its runs are none that can be put into a list for certain');
  return `[${values.join(',')}]`;
}

/**
 * Who reads `outputs.result` of which call, by the JSON of the template that holds them (operator.go:includeScriptOutput,
 * generateOutputResultRegex); the root's is never read.
 */
export function readsResults(boundary: JsonObject): (callName: string) => boolean {
  const kind = isObject(boundary.dag) ? 'tasks' : 'steps';
  const text = JSON.stringify(boundary);
  if (!/outputs.result/.test(text)) return () => false;
  return (callName) => {
    const name = callName.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return (
      new RegExp(`${kind}\\.${name}\\.outputs\\.result`).test(text) ||
      new RegExp(`${kind}\\[['"]${name}['"]\\]\\.outputs.result`).test(text)
    );
  };
}
