import { readMemoizeField } from '../argo/memoize-field.ts';
import { walkWorkflow } from '../argo/workflow-walk.ts';
import { asObject, type JsonObject } from '../base/json.ts';
import { asWritten } from './as-written.ts';

/**
 * Whether any template of a live Workflow asks for memoization, by the field or by the annotations that it has moved into. What
 * the controller has stored of other objects (`status.storedTemplates`, `status.storedWorkflowTemplateSpec`) counts as well.
 */
export function asksForMemoization(workflow: JsonObject): boolean {
  const { storedTemplates, storedWorkflowTemplateSpec } = asObject(workflow.status);
  const stored = { templates: Object.values(asObject(storedTemplates)) };
  return [workflow.spec, storedWorkflowTemplateSpec, stored].some((spec) => {
    const walked = walkWorkflow({ kind: 'Workflow', spec });
    return walked.ok && walked.walk.templates.some(({ template }) => isMemoized(template));
  });
}

function isMemoized(template: JsonObject): boolean {
  return readMemoizeField(asWritten(template).template).state !== 'absent';
}
