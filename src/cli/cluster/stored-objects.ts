/** Stored template objects of a cluster: finding them, and changing them in place. */

import type { JsonPatch } from '../../base/json-patch.ts';
import { retryOvertaken } from '../../kube/retry.ts';
import {
  isOvertaken,
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type KubeResult,
  type ObjectPath,
  RESOURCES,
} from '../../kube/types.ts';
import { type KubeCommandDeps, listOrNone, sleepOf } from './kube-command.ts';

const TEMPLATE_RESOURCES = [RESOURCES.workflowTemplates, RESOURCES.cronWorkflows] as const;
/** Between two tries. */
const PAUSE_MS = 250;

/** WorkflowTemplates and CronWorkflows of a namespace, or of all. */
export async function listTemplates(kube: KubeApi, namespace?: string): Promise<KubeResult<readonly KubeObject[]>> {
  const found: KubeObject[] = [];
  for (const resource of TEMPLATE_RESOURCES) {
    const listed = await listOrNone(kube, { resource, namespace });
    if (!listed.ok) return listed;
    found.push(...listed.value);
  }
  return { ok: true, value: found };
}

export function listClusterTemplates(kube: KubeApi): Promise<KubeResult<readonly KubeObject[]>> {
  return listOrNone(kube, { resource: RESOURCES.clusterWorkflowTemplates });
}

/** Where a template object of any kind is stored. */
export function pathOfTemplate(object: KubeObject): ObjectPath {
  const { namespace, name = '' } = object.metadata ?? {};
  const resources: Record<string, ObjectPath['resource']> = {
    CronWorkflow: RESOURCES.cronWorkflows,
    ClusterWorkflowTemplate: RESOURCES.clusterWorkflowTemplates,
  };
  const resource = resources[object.kind ?? ''] ?? RESOURCES.workflowTemplates;
  return { resource, name, ...(namespace !== undefined && { namespace }) };
}

export type ChangeResult =
  | { readonly ok: true; readonly outcome: 'changed' | 'unchanged' | 'gone' }
  | { readonly ok: false; readonly failure: KubeFailure };

/**
 * Changes a stored object by a patch that holds for exactly the version that it was made from; where somebody was
 * quicker, the object is read again and the patch made anew. Done is what the API server then holds: a webhook that is
 * on its way out may still change an object back.
 */
export async function changeStored(
  { kube, ...deps }: Pick<KubeCommandDeps, 'kube' | 'sleep'>,
  object: KubeObject,
  patchFor: (object: KubeObject) => JsonPatch,
): Promise<ChangeResult> {
  if (patchFor(object).length === 0) return { ok: true, outcome: 'unchanged' };
  let current = object;
  const attempt = async () => {
    if (current !== object) await sleepOf(deps)(PAUSE_MS);
    const end = await changeOnce(kube, current, patchFor);
    if ('current' in end) current = end.current;
    return end;
  };
  const end = await retryOvertaken(attempt, (one) => 'current' in one);
  if (!('current' in end)) return end;
  return {
    ok: false,
    failure: { ok: false, status: 409, reason: 'Conflict', message: 'others change it all the time' },
  };
}

/** The end of it, or the object as it is now, for another try. */
async function changeOnce(
  kube: KubeApi,
  object: KubeObject,
  patchFor: (object: KubeObject) => JsonPatch,
): Promise<ChangeResult | { readonly current: KubeObject }> {
  const patch = patchFor(object);
  if (patch.length === 0) return { ok: true, outcome: 'changed' };
  const result = await kube.patch(pathOfTemplate(object), [...testsOf(object), ...patch]);
  if (result.ok) {
    return patchFor(result.value).length === 0 ? { ok: true, outcome: 'changed' } : { current: result.value };
  }
  if (!isOvertaken(result)) return goneOr(result);
  const fresh = await kube.get(pathOfTemplate(object));
  return fresh.ok ? { current: fresh.value } : goneOr(fresh);
}

function goneOr(failure: KubeFailure): ChangeResult {
  return failure.status === 404 ? { ok: true, outcome: 'gone' } : { ok: false, failure };
}

/** Operations that let a patch apply to this very version of an object alone. */
export function testsOf(object: KubeObject): JsonPatch {
  const { uid, resourceVersion } = object.metadata ?? {};
  return [
    { op: 'test', path: '/metadata/uid', value: uid },
    { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
  ];
}
