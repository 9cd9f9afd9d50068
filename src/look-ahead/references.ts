import { parametersOf } from '../argo/scopes.ts';
/** What a Workflow takes from elsewhere before it runs: stored templates, the spec of a stored one, defaults of its templates. */
import { asObject, isObject, type JsonObject, objectsOf } from '../base/json.ts';
import { Unforeseen } from './values.ts';

/** A stored template object by name, of the Workflow's namespace or of the cluster; undefined where it is not known. */
export type LookUpTemplate = (scope: 'namespaced' | 'cluster', name: string) => JsonObject | undefined;

/** The artifact repository of workflows that name none; undefined where it is not known. */
export type LookUpRepository = () => JsonObject | undefined;

/** Where the templates come from that are called by name (templateresolution/context.go:TemplateContext). */
export interface TemplateBase {
  /** As nodes carry it: `local/wf`, `namespaced/shared`. */
  readonly scope: string;
  readonly isStored: boolean;
  readonly templates: ReadonlyMap<string, JsonObject>;
}

export function baseOf(scope: string, spec: JsonObject, isStored: boolean): TemplateBase {
  const templates = objectsOf(spec.templates).map((template) => [String(template.name), template] as const);
  return { scope, isStored, templates: new Map(templates) };
}

/** The base that a `templateRef` leads to. */
export function referredBase(templateRef: JsonObject, lookUpTemplate: LookUpTemplate): TemplateBase {
  const { name, scope, spec } = referred(templateRef, lookUpTemplate);
  // Argo puts it over the annotations of the template itself.
  if (isObject(spec.podMetadata)) throw new Unforeseen(`${name} has podMetadata`);
  return baseOf(`${scope}/${name}`, spec, true);
}

function referred(reference: JsonObject, lookUpTemplate: LookUpTemplate) {
  const name = String(reference.name);
  const scope = reference.clusterScope === true ? 'cluster' : 'namespaced';
  const found = lookUpTemplate(scope, name);
  if (found === undefined) throw new Unforeseen(`the ${scope} template object ${name} is not known`);
  return { name, scope, spec: asObject(found.spec) };
}

/** Members that a Workflow may have beside `workflowTemplateRef` without changing what runs. */
const BESIDE_REFERENCE: ReadonlySet<string> = new Set([
  'workflowTemplateRef',
  'arguments',
  'entrypoint',
  'podMetadata',
  'serviceAccountName',
  'ttlStrategy',
  'podGC',
  'priority',
  'activeDeadlineSeconds',
  'parallelism',
  'onExit',
  'suspend',
  'shutdown',
]);

/** The spec that runs: the Workflow's own over the stored one's (workflow/util/merge.go:JoinWorkflowSpec). */
export function joinSpec(spec: JsonObject, lookUpTemplate: LookUpTemplate): JsonObject {
  if (!isObject(spec.workflowTemplateRef)) return spec;
  const { spec: stored } = referred(spec.workflowTemplateRef, lookUpTemplate);
  const other = Object.keys(spec).find((member) => !BESIDE_REFERENCE.has(member));
  if (other !== undefined) throw new Unforeseen(`the workflow has ${other} beside workflowTemplateRef`);
  if (isObject(stored.podMetadata)) throw new Unforeseen('the stored workflow has podMetadata');
  const { workflowTemplateRef: _, ...own } = spec;
  const { suspend: __, ...rest } = stored;
  return { ...rest, ...own, arguments: joinArguments(asObject(spec.arguments), asObject(stored.arguments)) };
}

function joinArguments(own: JsonObject, stored: JsonObject): JsonObject {
  const given = new Map(parametersOf(own).map((parameter) => [parameter.name, parameter]));
  const parameters = parametersOf(stored).map((parameter) => given.get(parameter.name) ?? parameter);
  const names = new Set(parameters.map(({ name }) => name));
  const artifacts = [...objectsOf(stored.artifacts), ...objectsOf(own.artifacts)];
  return {
    parameters: [...parameters, ...[...given.values()].filter(({ name }) => !names.has(name))],
    ...(artifacts.length > 0 && { artifacts }),
  };
}

/** Members of `templateDefaults` that say how a pod runs; any other would give a template inputs, outputs or another kind. */
const DEFAULTS_OF_PODS: ReadonlySet<string> = new Set([
  'activeDeadlineSeconds',
  'affinity',
  'automountServiceAccountToken',
  'container',
  'executor',
  'hostAliases',
  'metadata',
  'nodeSelector',
  'podSpecPatch',
  'priority',
  'priorityClassName',
  'retryStrategy',
  'schedulerName',
  'script',
  'securityContext',
  'serviceAccountName',
  'timeout',
  'tolerations',
]);
const KINDS = ['container', 'script'] as const;

/** A template with what the defaults add (operator.go:mergedTemplateDefaultsInto): its own members win. */
export function withDefaults(template: JsonObject, defaults: unknown): JsonObject {
  if (defaults === undefined || defaults === null) return template;
  const given = asObject(defaults);
  const other = Object.keys(given).find((member) => !DEFAULTS_OF_PODS.has(member));
  if (other !== undefined) throw new Unforeseen(`templateDefaults has ${other}`);
  // Argo 3.4 takes it for a container then, one without an image, and errs (workflow_types.go:SetType); later ones leave that out.
  const kind = KINDS.find((one) => isObject(given[one]));
  if (kind !== undefined && isObject(template.containerSet))
    throw new Unforeseen(`templateDefaults has a ${kind}, and its template a containerSet`);
  // Those of another kind than the template's are left out.
  const fitting = Object.entries(given).filter(([member]) => {
    return !KINDS.some((one) => one === member) || isObject(template[member]);
  });
  return mergeUnder(Object.fromEntries(fitting), template);
}

function mergeUnder(under: JsonObject, over: JsonObject): JsonObject {
  const merged: Record<string, unknown> = { ...under };
  for (const [member, value] of Object.entries(over)) {
    const below = under[member];
    merged[member] = isObject(below) && isObject(value) ? mergeUnder(below, value) : (value ?? below);
  }
  return merged;
}
