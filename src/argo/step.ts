import { asObject, asString, type JsonObject, objectsOf } from '../base/json.ts';
import type { Reason } from '../base/reasons.ts';
import type { KubeObject } from '../kube/types.ts';
import {
  ARGO_API_GROUP,
  COMPONENT_LABEL,
  INCLUDE_SCRIPT_OUTPUT_ENV,
  INIT_CONTAINER,
  INSTANCE_ID_LABEL,
  MAIN_CONTAINER,
  NODE_ID_ANNOTATION,
  NODE_ID_ENV,
  NODE_NAME_ANNOTATION,
  SUPERVISOR_CONTAINER,
  WAIT_CONTAINER,
  WORKFLOW_LABEL,
} from './names.ts';
import { annotationOf, containersOf, initContainersOf, labelOf, readEnv } from './pod.ts';
import { mainContainerNames, readTemplate, type TemplateReading } from './template.ts';

/** One step, identified from its pod. */
export interface Step {
  readonly namespace: string;
  readonly podName: string;
  readonly workflowName: string;
  readonly workflowUid: string;
  readonly nodeId: string;
  readonly nodeName: string;
  /** The controller's instance id, exactly when the pod carries one. */
  readonly instanceId?: string;
  readonly template: TemplateReading;
  /** Whether some consumer reads `outputs.result` of this step (ARGO_INCLUDE_SCRIPT_OUTPUT; always for data). */
  readonly needsResult: boolean;
  /** Whether the pod has a container `main`: only its exit code becomes `outputs.exitCode`. */
  readonly hasMain: boolean;
}

export interface NoStep {
  readonly ok: false;
  readonly reason: Reason;
  readonly message: string;
}

function noStep(reason: Reason, message: string): NoStep {
  return { ok: false, reason, message };
}

/**
 * What can be told from labels and annotations alone: undefined means that the pod claims to be a step.
 * Agent and artifact GC pods carry a component label; a pod without a node id is none of Argo's steps.
 */
export function rejectAtSight(pod: KubeObject): NoStep | undefined {
  if (labelOf(pod, WORKFLOW_LABEL) === undefined) return noStep('not-a-step', `no label ${WORKFLOW_LABEL}`);
  const component = labelOf(pod, COMPONENT_LABEL);
  if (component !== undefined) return noStep('agent-pod', `label ${COMPONENT_LABEL} is ${JSON.stringify(component)}`);
  if (annotationOf(pod, NODE_ID_ANNOTATION) === undefined) {
    return noStep('not-a-step', `no annotation ${NODE_ID_ANNOTATION}`);
  }
  return undefined;
}

/** The one controlling owner, when it is a Workflow (any version of the API group). */
function readWorkflowOwner(pod: KubeObject): { name: string; uid: string } | NoStep {
  const owners = objectsOf(asObject(pod.metadata).ownerReferences).filter((owner) => owner.controller === true);
  const [owner] = owners;
  if (owner === undefined || owners.length > 1) {
    return noStep('not-a-step', `the pod has ${owners.length} controlling owners, expected one Workflow`);
  }
  const group = (asString(owner.apiVersion) ?? '').split('/')[0];
  const name = asString(owner.name) ?? '';
  const uid = asString(owner.uid) ?? '';
  if (owner.kind !== 'Workflow' || group !== ARGO_API_GROUP || name === '' || uid === '') {
    return noStep('not-a-step', 'the pod is not owned by a Workflow');
  }
  return { name, uid };
}

/** A node id is the Workflow's name (the root node), or that and a hash in decimal digits (Workflow.NodeID). */
export function isNodeIdOf(workflowName: string, nodeId: string): boolean {
  if (nodeId === workflowName) return true;
  return nodeId.startsWith(`${workflowName}-`) && /^\d+$/.test(nodeId.slice(workflowName.length + 1));
}

/** Names a node among those of all Workflows. */
export function nodeKey(namespace: string, nodeId: string): string {
  return `${namespace}/${nodeId}`;
}

const EXECUTOR_CONTAINERS: readonly string[] = [INIT_CONTAINER, WAIT_CONTAINER, SUPERVISOR_CONTAINER, MAIN_CONTAINER];

/**
 * Template metadata can overwrite the node-id annotation but not the environment that Argo gives to its own containers
 * (workflow/controller/workflowpod.go:addMetadata), so the two have to agree wherever the variable stands.
 */
function checkNodeIdEnv(pod: KubeObject, nodeId: string, mains: readonly string[]): NoStep | undefined {
  let seen = 0;
  for (const container of [...initContainersOf(pod), ...containersOf(pod)]) {
    if (!EXECUTOR_CONTAINERS.includes(container.name) && !mains.includes(container.name)) continue;
    const reading = readEnv(container, NODE_ID_ENV);
    if (reading.state === 'absent') continue;
    if (reading.state === 'unclear' || reading.value !== nodeId) {
      return noStep('identity-mismatch', `${NODE_ID_ENV} of container ${container.name} is not ${nodeId}`);
    }
    seen++;
  }
  return seen > 0 ? undefined : noStep('identity-mismatch', `no container of Argo's has ${NODE_ID_ENV}`);
}

/**
 * Only `main` of a container, script or containerSet step reports a result, and then when ARGO_INCLUDE_SCRIPT_OUTPUT says
 * so; a data step always does (workflow/controller/operator.go:includeScriptOutput).
 */
function readNeedsResult(pod: KubeObject, template: TemplateReading): boolean {
  if (template.state === 'inline' && template.kind === 'data') return true;
  if (template.state === 'inline' && template.kind === 'resource') return false;
  const main = containersOf(pod).find((container) => container.name === MAIN_CONTAINER);
  if (main === undefined) return false;
  const reading = readEnv(main, INCLUDE_SCRIPT_OUTPUT_ENV);
  return reading.state === 'value' && reading.value === 'true';
}

/**
 * Identifies the step that a pod stands for, from the pod alone. `metadata.namespace` has to be filled in by the caller
 * (in a review it may stand in the request only). Nothing is taken on the word of annotations that a template can set:
 * label, owner, node id and the environment of Argo's own containers have to agree.
 */
export function identifyStep(pod: KubeObject): { readonly ok: true; readonly step: Step } | NoStep {
  const rejected = rejectAtSight(pod);
  if (rejected !== undefined) return rejected;
  const owner = readWorkflowOwner(pod);
  if ('ok' in owner) return owner;
  if (labelOf(pod, WORKFLOW_LABEL) !== owner.name) {
    return noStep('identity-mismatch', `label ${WORKFLOW_LABEL} is not the owner's name`);
  }
  const nodeId = annotationOf(pod, NODE_ID_ANNOTATION) ?? '';
  if (!isNodeIdOf(owner.name, nodeId)) {
    return noStep('identity-mismatch', `annotation ${NODE_ID_ANNOTATION} is no node of the owning Workflow`);
  }
  const template = readTemplate(pod);
  const mains = template.state === 'inline' ? mainContainerNames(template) : [];
  const mismatch = checkNodeIdEnv(pod, nodeId, mains);
  if (mismatch !== undefined) return mismatch;
  return { ok: true, step: buildStep(pod, owner, nodeId, template) };
}

function buildStep(
  pod: KubeObject,
  owner: { name: string; uid: string },
  nodeId: string,
  template: TemplateReading,
): Step {
  const metadata: JsonObject = asObject(pod.metadata);
  const instanceId = labelOf(pod, INSTANCE_ID_LABEL);
  return {
    namespace: asString(metadata.namespace) ?? '',
    podName: asString(metadata.name) ?? '',
    workflowName: owner.name,
    workflowUid: owner.uid,
    nodeId,
    nodeName: annotationOf(pod, NODE_NAME_ANNOTATION) ?? nodeId,
    ...(instanceId === undefined ? {} : { instanceId }),
    template,
    needsResult: readNeedsResult(pod, template),
    hasMain: containersOf(pod).some((container) => container.name === MAIN_CONTAINER),
  };
}
