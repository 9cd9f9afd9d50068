import type { Place, WorkflowWalk } from '../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import type { TemplateObjectKind } from './context.ts';

/** A template of another object, as named by a `templateRef`; or a whole spec, by `workflowTemplateRef`. */
export interface Reference {
  readonly kind: TemplateObjectKind;
  readonly name: string;
  /** Empty for a workflowTemplateRef. */
  readonly template: string;
  /** Its place in the object that is judged; for a reference behind another, the place of the first one. */
  readonly place: Place;
}

/** The `templateRef`s of a walked object, or its `workflowTemplateRef`. */
export function readReferences(
  walk: WorkflowWalk,
  wanted: 'templateRef' | 'workflowTemplateRef',
  place?: Place,
): readonly Reference[] {
  return walk.references
    .filter(({ where }) => where === wanted)
    .flatMap((walked) => readReference(walked.reference, place ?? { pointer: walked.pointer, path: walked.path }));
}

/** The `templateRef`s of one step or task, its hooks' among them. */
export function referencesOfStep(step: JsonObject, place: Place): readonly Reference[] {
  const hooks = isObject(step.hooks) ? Object.values(step.hooks).filter(isObject) : [];
  return [step, ...hooks].flatMap(({ templateRef }) => {
    return isObject(templateRef) ? readReference(templateRef, place) : [];
  });
}

function readReference(reference: JsonObject, place: Place): readonly Reference[] {
  const { name, template, clusterScope } = reference;
  // A name with a tag is known only at run time.
  if (typeof name !== 'string' || name === '' || name.includes('{{')) return [];
  const kind = clusterScope === true ? 'ClusterWorkflowTemplate' : 'WorkflowTemplate';
  return [{ kind, name, template: typeof template === 'string' ? template : '', place }];
}
