import { isObject, type JsonObject } from '../base/json.ts';
import { ENABLED_LABEL } from '../base/names.ts';

/** Whether a ClusterWorkflowTemplate carries the opt-in label: it is used from every namespace, enabled or not. */
export function hasOptedIn(object: JsonObject): boolean {
  return labelOf(object, ENABLED_LABEL) === 'true';
}

export function labelOf(object: JsonObject, name: string): unknown {
  const labels = isObject(object.metadata) ? object.metadata.labels : undefined;
  return isObject(labels) ? labels[name] : undefined;
}
