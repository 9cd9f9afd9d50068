/**
 * What happens to a Workflow or a template object at admission: in managed mode the `memoize` of each template that
 * makes a pod moves into annotations of the template, so that the workflow controller neither looks up nor saves.
 * Pure, total and idempotent: the patched object, judged again, gets an empty patch.
 */

import { isWorkflowKind, isWorkflowObject } from '../argo/workflow-walk.ts';
import { deepEqual, isObject, type JsonObject } from '../base/json.ts';
import { ENABLED_LABEL, type MemoizeMode } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import type { Verdict } from '../step/decision.ts';
import type { NamespaceSettings } from '../step/known-cluster.ts';
import { hasOptedIn } from './labels.ts';
import { type MoveResult, moveMemoize } from './move-memoize.ts';
import { type ReuseResult, setReuse } from './reuse-label.ts';

export interface WorkflowInput {
  readonly object: JsonObject;
  /** On UPDATE, the object as it is stored. */
  readonly oldObject?: JsonObject | null | undefined;
  /** `CREATE`, `UPDATE`, or another operation of an admission request, which is then not handled. */
  readonly operation: string;
  /** Settings of the object's namespace; undefined where it is unknown. Not asked for a ClusterWorkflowTemplate. */
  readonly namespace?: NamespaceSettings | undefined;
  /** Takes the place of the namespace's settings, and of its opt-in. */
  readonly mode?: MemoizeMode | undefined;
}

/** Decides about one object: `mutate` with a patch, or `skip` with the reason. Never throws on any JSON. */
export function judgeWorkflow(input: WorkflowInput): Verdict {
  const obstacle = findObstacle(input);
  if (obstacle !== undefined) return skip(obstacle.reason, obstacle.message);
  const reuse = setReuse(input.object);
  const mode = modeOf(input);
  if (mode === 'native') return judgeNative(reuse);
  const move = moveMemoize(input.object);
  const warnings = [...reuse.warnings, ...move.warnings];
  const patch = [...move.patch, ...reuse.patch];
  if (move.moved.length > 0) {
    return { decision: 'mutate', reason: 'memoize-moved', message: describeMove(move), patch, warnings };
  }
  if (patch.length > 0) return { decision: 'mutate', reason: 'reuse-set', message: reuse.message, patch, warnings };
  return skip('nothing-to-move', move.message, warnings);
}

function judgeNative(reuse: ReuseResult): Verdict {
  const message = 'The namespace is in native mode: memoize stays with the workflow controller.';
  if (reuse.patch.length === 0) return skip('native-mode', message, reuse.warnings);
  return { decision: 'mutate', reason: 'reuse-set', ...reuse };
}

function skip(reason: Reason, message: string, warnings: readonly string[] = []): Verdict {
  return { decision: 'skip', reason, message, patch: [], warnings };
}

// ---- whether the object is ours to change

interface Obstacle {
  readonly reason: Reason;
  readonly message: string;
}

function findObstacle(input: WorkflowInput): Obstacle | undefined {
  const { kind } = input.object;
  if (!isWorkflowObject(input.object) || !isWorkflowKind(kind)) {
    return {
      reason: 'unsupported-kind',
      message: `Objects of kind ${typeof kind === 'string' ? kind : typeof kind} are not changed.`,
    };
  }
  return findOperationObstacle(input, kind) ?? findOptInObstacle(input, kind);
}

function findOperationObstacle({ operation, object, oldObject }: WorkflowInput, kind: string): Obstacle | undefined {
  if (operation === 'CREATE') return undefined;
  if (operation !== 'UPDATE' || kind === 'Workflow') {
    return { reason: 'unsupported-operation', message: `A ${kind} is not changed on ${operation}.` };
  }
  // Whoever labels an object or writes its status has not asked for another spec.
  if (isObject(oldObject) && deepEqual(object.spec, oldObject.spec)) {
    return { reason: 'spec-unchanged', message: 'The update does not change the spec, so nothing is moved.' };
  }
  return undefined;
}

function findOptInObstacle(input: WorkflowInput, kind: string): Obstacle | undefined {
  const reason = 'namespace-not-enabled';
  if (kind === 'ClusterWorkflowTemplate') {
    if (hasOptedIn(input.object)) return undefined;
    return {
      reason,
      message: `A ClusterWorkflowTemplate is changed only with the label ${ENABLED_LABEL}=true of its own.`,
    };
  }
  if (input.mode !== undefined || input.namespace?.isEnabled === true) return undefined;
  return { reason, message: `The namespace does not have the label ${ENABLED_LABEL}=true.` };
}

function modeOf({ object, namespace, mode }: WorkflowInput): MemoizeMode {
  if (object.kind === 'ClusterWorkflowTemplate') return 'managed';
  return mode ?? namespace?.memoize ?? 'managed';
}

// ---- words

function describeMove(move: MoveResult): string {
  const copies = move.copied.length === 0 ? '' : `; ${listPaths(move.copied)} got a copy, for Argo to go on memoizing`;
  return `memoize of ${listPaths(move.moved)} moved into the annotations of its metadata${copies}.`;
}

/** `a, b, c and 4 more`. */
function listPaths(paths: readonly string[]): string {
  const shown = paths.slice(0, 3).join(', ');
  return paths.length <= 3 ? shown : `${shown} and ${paths.length - 3} more`;
}
