import type { Outputs } from '../argo/outputs.ts';
import type { JsonObject } from '../base/json.ts';

/** How the message of a served node begins, by which it is known again. */
export const SERVED_AT_SUBMISSION = 'served at submission';
export const SERVED_AHEAD = 'served ahead';

/** A node of `status.nodes`, the members that look-ahead writes (workflow_types.go:NodeStatus). */
export interface WorkflowNode {
  readonly id: string;
  readonly name: string;
  readonly displayName: string;
  readonly type: 'Pod' | 'Container' | 'Steps' | 'StepGroup' | 'DAG' | 'TaskGroup' | 'Skipped';
  readonly templateName?: string;
  readonly templateRef?: JsonObject;
  readonly templateScope: string;
  readonly phase: 'Succeeded' | 'Running' | 'Skipped';
  readonly boundaryID?: string;
  readonly message?: string;
  readonly startedAt: string;
  /** Not while it runs: the schema of Argo's full CRD refuses null. */
  readonly finishedAt?: string;
  readonly progress?: string;
  readonly inputs?: { readonly parameters: readonly JsonObject[] };
  readonly outputs?: Outputs;
  readonly children?: readonly string[];
  readonly outboundNodes?: readonly string[];
  readonly memoizationStatus?: { readonly hit: true; readonly key: string; readonly cacheName: string };
  readonly taskResultSynced?: true;
}

/** The id of a node: the root's is the workflow's name, any other has a hash of its own (Workflow.NodeID). */
export function nodeId(workflowName: string, nodeName: string): string {
  return nodeName === workflowName ? workflowName : `${workflowName}-${fnv32a(nodeName)}`;
}

function fnv32a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** What Argo shows of a name: what follows the boundary's, without `[0].` or `.` before it (operator.go:initializeNode). */
export function displayName(nodeName: string, boundaryName: string): string {
  const rest = nodeName.startsWith(boundaryName) ? nodeName.slice(boundaryName.length) : nodeName;
  return rest.replace(/^(?:\[\d+\])?\./, '');
}

/** The bytes that a node takes in a Workflow: `metadata.managedFields` names each of its members once more. */
export function sizeOfNode(node: WorkflowNode): number {
  return JSON.stringify(node).length + 2 * node.id.length + 20 * Object.keys(node).length;
}
