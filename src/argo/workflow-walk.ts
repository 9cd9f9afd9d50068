/**
 * Walks every template of a Workflow, WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow: `templates`,
 * `templateDefaults`, and what stands `inline` in steps and DAG tasks, to any depth that Argo would run.
 *
 * Each template comes with two addresses: a JSON Pointer for patches (`/spec/templates/2`) and a path that people read
 * (`spec.templates[2]`). Nothing is taken for granted about types: the minimal CRDs (Argo's default up to 3.7) admit
 * anything below `spec`. What cannot be walked is listed in `unreadable`, and nothing throws.
 */
import { isObject, type JsonObject } from '../base/json.ts';
import { pointer } from '../base/json-patch.ts';

/** The kinds that carry templates. All are of apiVersion argoproj.io/v1alpha1. */
export const WORKFLOW_KINDS = ['Workflow', 'WorkflowTemplate', 'ClusterWorkflowTemplate', 'CronWorkflow'] as const;
export type WorkflowKind = (typeof WORKFLOW_KINDS)[number];

export function isWorkflowKind(kind: unknown): kind is WorkflowKind {
  return WORKFLOW_KINDS.some((known) => known === kind);
}

/** Whether an object is one of Argo's: another group's kind of the same name is somebody else's. */
export function isWorkflowObject({ kind, apiVersion }: JsonObject): boolean {
  return isWorkflowKind(kind) && typeof apiVersion === 'string' && apiVersion.startsWith('argoproj.io/');
}

/** The body of a template; `unknown` where there is none that Argo knows. */
export type TemplateKind =
  | 'container'
  | 'containerSet'
  | 'steps'
  | 'dag'
  | 'script'
  | 'resource'
  | 'data'
  | 'suspend'
  | 'http'
  | 'plugin'
  | 'unknown';

/** In the order in which Argo looks for them: the first one present decides (workflow_types.go:Template.GetType). */
const BODIES: readonly Exclude<TemplateKind, 'unknown'>[] = [
  'container',
  'containerSet',
  'steps',
  'dag',
  'script',
  'resource',
  'data',
  'suspend',
  'http',
  'plugin',
];
const POD_KINDS: ReadonlySet<TemplateKind> = new Set(['container', 'containerSet', 'script', 'resource', 'data']);

/** Argo stops at this depth of nested templates (controller.go:maxAllowedStackDepth), so nothing below it ever runs. */
const DEPTH_LIMIT = 100;
/** More templates than any object in use; it ends a walk through YAML aliases that point upwards. */
const TEMPLATE_LIMIT = 20_000;

/** A place in an object, in both notations. */
export interface Place {
  /** JSON Pointer, `/spec/templates/2`. */
  readonly pointer: string;
  /** For people, `spec.templates[2]`. */
  readonly path: string;
}

export interface WalkedTemplate extends Place {
  readonly where: 'templates' | 'templateDefaults' | 'inline';
  readonly template: JsonObject;
  /** By the template's own body. Of templateDefaults it says nothing: those are merged into templates of every kind. */
  readonly kind: TemplateKind;
  /** Whether a step from it is a pod: container, containerSet, script, resource and data. */
  readonly makesPod: boolean;
}

/** A place that names a template of another object, which this walk cannot see. */
export interface WalkedReference extends Place {
  readonly where: 'templateRef' | 'workflowTemplateRef';
  readonly reference: JsonObject;
}

export interface WorkflowWalk {
  /** Where the WorkflowSpec stands: `/spec`, of a CronWorkflow `/spec/workflowSpec`. */
  readonly spec: JsonObject;
  readonly place: Place;
  /** In the order of the document; templateDefaults first. */
  readonly templates: readonly WalkedTemplate[];
  readonly references: readonly WalkedReference[];
  /** What has a type that Argo could not read either, with what is wrong as half a sentence (`is not an object`). */
  readonly unreadable: readonly (Place & { readonly detail: string })[];
}

export type WorkflowWalkResult =
  | { readonly ok: true; readonly walk: WorkflowWalk }
  | { readonly ok: false; readonly detail: string };

/** A place below another. A number is a position in an array. */
export function placeIn(place: Place, ...parts: readonly (string | number)[]): Place {
  return { pointer: place.pointer + pointer(...parts), path: parts.reduce<string>(joinPath, place.path) };
}

function joinPath(path: string, part: string | number): string {
  if (typeof part === 'number') return `${path}[${part}]`;
  if (!/^[A-Za-z_][\w-]*$/.test(part)) return `${path}[${JSON.stringify(part)}]`;
  return path === '' ? part : `${path}.${part}`;
}

/** The kind of a template, as Argo tells it: the first body that is there and not null. */
export function templateKind(template: JsonObject): TemplateKind {
  return BODIES.find((body) => template[body] !== undefined && template[body] !== null) ?? 'unknown';
}

export function makesPod(kind: TemplateKind): boolean {
  return POD_KINDS.has(kind);
}

/** Walks one object. Fails only where the object is of another kind or has no spec to walk. */
export function walkWorkflow(object: JsonObject): WorkflowWalkResult {
  if (!isWorkflowKind(object.kind)) {
    const kind = typeof object.kind === 'string' ? object.kind : typeof object.kind;
    return { ok: false, detail: `kind ${kind} has no templates` };
  }
  const parts = object.kind === 'CronWorkflow' ? ['spec', 'workflowSpec'] : ['spec'];
  const place = placeIn({ pointer: '', path: '' }, ...parts);
  let spec: unknown = object;
  for (const part of parts) spec = isObject(spec) ? spec[part] : undefined;
  if (!isObject(spec)) return { ok: false, detail: `${place.path} is not an object` };
  const walk = { spec, place, templates: [], references: [], unreadable: [] };
  new Walker(walk).walkSpec(spec, place);
  return { ok: true, walk };
}

/** A template that is still to be looked into. */
interface Pending {
  readonly place: Place;
  readonly value: unknown;
  readonly where: WalkedTemplate['where'];
  readonly depth: number;
}

class Walker {
  // A stack of our own: nesting is the sender's choice, and must not be ours to overflow.
  readonly #stack: Pending[] = [];
  readonly #walk: {
    readonly templates: WalkedTemplate[];
    readonly references: WalkedReference[];
    readonly unreadable: (Place & { readonly detail: string })[];
  };

  constructor(walk: {
    templates: WalkedTemplate[];
    references: WalkedReference[];
    unreadable: (Place & { detail: string })[];
  }) {
    this.#walk = walk;
  }

  walkSpec(spec: JsonObject, place: Place): void {
    this.#noteReference(spec, place, 'workflowTemplateRef');
    this.#noteHooks(spec, place);
    const pending = this.#arrayIn(spec, place, 'templates').map((value, index): Pending => {
      return { place: placeIn(place, 'templates', index), value, where: 'templates', depth: 0 };
    });
    const defaults = spec.templateDefaults;
    if (defaults !== undefined && defaults !== null) {
      pending.unshift({
        place: placeIn(place, 'templateDefaults'),
        value: defaults,
        where: 'templateDefaults',
        depth: 0,
      });
    }
    this.#push(pending);
    for (let next = this.#stack.pop(); next !== undefined; next = this.#stack.pop()) this.#visit(next);
  }

  #push(pending: readonly Pending[]): void {
    for (let index = pending.length - 1; index >= 0; index -= 1) {
      const item = pending[index];
      if (item !== undefined) this.#stack.push(item);
    }
  }

  #visit(pending: Pending): void {
    const { place, value, where, depth } = pending;
    if (!isObject(value)) {
      this.#walk.unreadable.push({ ...place, detail: 'is not an object' });
      return;
    }
    if (depth > DEPTH_LIMIT) {
      this.#walk.unreadable.push({ ...place, detail: 'is nested deeper than Argo runs' });
      return;
    }
    if (this.#walk.templates.length >= TEMPLATE_LIMIT) {
      this.#walk.unreadable.push({ ...place, detail: `is one of more than ${TEMPLATE_LIMIT} templates` });
      this.#stack.length = 0;
      return;
    }
    const kind = templateKind(value);
    this.#walk.templates.push({ ...place, where, template: value, kind, makesPod: makesPod(kind) });
    this.#push([...this.#inlineInSteps(value, place, depth), ...this.#inlineInDag(value, place, depth)]);
  }

  #inlineInSteps(template: JsonObject, place: Place, depth: number): readonly Pending[] {
    return this.#arrayIn(template, place, 'steps').flatMap((group, groupIndex) => {
      const groupPlace = placeIn(place, 'steps', groupIndex);
      if (!Array.isArray(group)) {
        this.#walk.unreadable.push({ ...groupPlace, detail: 'is not a list of steps' });
        return [];
      }
      return group.flatMap((step: unknown, index) => this.#inlineIn(step, placeIn(groupPlace, index), depth));
    });
  }

  #inlineInDag(template: JsonObject, place: Place, depth: number): readonly Pending[] {
    const dag = template.dag;
    if (dag === undefined || dag === null) return [];
    const dagPlace = placeIn(place, 'dag');
    if (!isObject(dag)) {
      this.#walk.unreadable.push({ ...dagPlace, detail: 'is not an object' });
      return [];
    }
    return this.#arrayIn(dag, dagPlace, 'tasks').flatMap((task, index) => {
      return this.#inlineIn(task, placeIn(dagPlace, 'tasks', index), depth);
    });
  }

  /** The inline template of one step or task, if it has one; notes its references. */
  #inlineIn(step: unknown, place: Place, depth: number): readonly Pending[] {
    if (!isObject(step)) {
      this.#walk.unreadable.push({ ...place, detail: 'is not an object' });
      return [];
    }
    this.#noteReference(step, place, 'templateRef');
    this.#noteHooks(step, place);
    const value = step.inline;
    if (value === undefined || value === null) return [];
    return [{ place: placeIn(place, 'inline'), value, where: 'inline', depth: depth + 1 }];
  }

  #noteHooks(holder: JsonObject, place: Place): void {
    const hooks = holder.hooks;
    if (!isObject(hooks)) return;
    for (const [name, hook] of Object.entries(hooks)) {
      if (isObject(hook)) this.#noteReference(hook, placeIn(place, 'hooks', name), 'templateRef');
    }
  }

  #noteReference(holder: JsonObject, place: Place, where: WalkedReference['where']): void {
    const reference = holder[where];
    if (isObject(reference)) this.#walk.references.push({ ...placeIn(place, where), where, reference });
  }

  #arrayIn(holder: JsonObject, place: Place, member: string): readonly unknown[] {
    const value = holder[member];
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.#walk.unreadable.push({ ...placeIn(place, member), detail: 'is not a list' });
    return [];
  }
}
