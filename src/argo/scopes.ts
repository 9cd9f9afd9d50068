/**
 * What a template's texts can refer to before a workflow has begun, read from Argo's controller. The policy asks for the
 * values that a text may have and look-ahead for the one that it certainly has; where they come from is said here, once.
 */
import { isObject, type JsonObject } from '../base/json.ts';

/** A parameter of an `arguments`, an `inputs` or an `outputs`. */
export type Parameter = JsonObject & { readonly name: string };

/** The parameters of an `arguments`, an `inputs` or an `outputs` that have a name. */
export function parametersOf(holder: unknown): readonly Parameter[] {
  const list = isObject(holder) ? holder.parameters : undefined;
  if (!Array.isArray(list)) return [];
  return list.filter((item): item is Parameter => isObject(item) && typeof item.name === 'string');
}

/** What is known of a workflow when it is submitted. */
export interface SubmittedWorkflow {
  /** Undefined where the API server has still to make it, or where it is another object's that will be run. */
  readonly name: unknown;
  readonly namespace: unknown;
  readonly entrypoint: unknown;
  readonly parameters: Iterable<Parameter>;
}

/**
 * What `{{workflow.…}}` stands for, by tag, as it is written (operator.go:setGlobalParameters). Parameters from elsewhere,
 * and all that is known only once the workflow is there, are left out. A parameter's `default` is no value here for Argo.
 */
export function workflowValues(workflow: SubmittedWorkflow): ReadonlyMap<string, unknown> {
  const { name, namespace, entrypoint, parameters } = workflow;
  const values = new Map<string, unknown>([
    ['workflow.name', name],
    ['workflow.namespace', namespace],
    ['workflow.mainEntrypoint', entrypoint],
  ]);
  for (const parameter of parameters) values.set(`workflow.parameters.${parameter.name}`, givenValue(parameter));
  for (const [tag, value] of values) if (value === undefined || value === null) values.delete(tag);
  return values;
}

/** The value that an argument gives; undefined where it comes from elsewhere, or none is given. */
export function givenValue({ value, valueFrom }: JsonObject): unknown {
  return isGiven(valueFrom) ? undefined : (value ?? undefined);
}

/**
 * The value of an input: the argument's where one is passed, even one without a value, else the declaration's own, else
 * its default (common/util.go:overwriteWithDefaultParams, overwriteWithArguments). Undefined where there is none, or it
 * comes from elsewhere.
 */
export function inputValue(declared: JsonObject, argument: JsonObject | undefined): unknown {
  if (argument !== undefined) return givenValue(argument);
  return isGiven(declared.valueFrom) ? undefined : (declared.value ?? declared.default ?? undefined);
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}
