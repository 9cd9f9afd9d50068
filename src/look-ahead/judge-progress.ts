/**
 * What is served of a Workflow that runs, when its controller writes it: where a step has just become a hit, what follows on it
 * for certain is added to the same write. Pure. Nodes are added and nothing else; those that are there follow their pods.
 */
import { asObject, isObject, type JsonObject, objectsOf, ownString } from '../base/json.ts';
import { type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import { LOOK_AHEAD_ANNOTATION, LOOK_AHEAD_MARK_LABEL } from '../base/names.ts';
import type { Verdict } from '../step/decision.ts';
import {
  countLeaves,
  type ForesightInput,
  findObstacle,
  foresee,
  MESSAGE_LIMIT,
  metadataPatch,
  no,
  type Outcome,
} from './foresee.ts';
import { PresentNodes, type ServedOutputs } from './present.ts';
import type { LookUpTemplate } from './references.ts';

export interface ProgressInput extends ForesightInput {
  readonly served: ServedOutputs;
}

export interface ProgressVerdict extends Verdict {
  /** How many steps are added. */
  readonly added: number;
  /** Ids of nodes whose pods are about to end as hits: asked again when they have, more may be added. */
  readonly awaited: readonly string[];
}

export function judgeProgress(input: ProgressInput): ProgressVerdict {
  const outcome = findObstacle(input) ?? judgeRunning(input);
  const { reason, message, walked, nodes: added } = outcome;
  const awaited = walked?.awaited ?? [];
  const patch = [
    ...(added === undefined
      ? []
      : [...additions(outcome), ...metadataPatch(input.object, 'annotations', tell(input.object, message))]),
    ...(isDone(outcome) ? metadataPatch(input.object, 'labels', { [LOOK_AHEAD_MARK_LABEL]: undefined }) : []),
  ];
  const decision = added === undefined ? 'skip' : 'mutate';
  return { decision, reason, message, patch, warnings: [], added: countLeaves(added), awaited };
}

/** What was served before stays in the annotation. */
function tell({ metadata }: JsonObject, message: string): Readonly<Record<string, string>> {
  const before = ownString(asObject(metadata).annotations, LOOK_AHEAD_ANNOTATION);
  const all = before?.startsWith('served ') === true ? `${before}; then ${message}` : message;
  return { [LOOK_AHEAD_ANNOTATION]: all.slice(0, MESSAGE_LIMIT) };
}

/** The mark goes with the write after which nothing can follow any more. */
function isDone({ walked }: Outcome): boolean {
  if (walked === undefined || walked.awaited.length > 0) return false;
  return walked.leaves.every(({ outcome }) => outcome !== 'unforeseen');
}

/** More than a tick: as shipped Argo looks at a workflow each ten seconds. */
const DEADLINE_MARGIN_MS = 15_000;

function judgeRunning(input: ProgressInput): Outcome {
  const nodes = new PresentNodes(asObject(asObject(input.object.status).nodes));
  return findEnding(input, nodes) ?? foreseeRest(input, nodes);
}

/** What is about to end must not get nodes that make it end otherwise: a DAG with a failed task could succeed. */
function findEnding({ object, namespace, now }: ProgressInput, nodes: PresentNodes): Outcome | undefined {
  if (namespace?.operation === 'observe') return no('look-ahead-off', 'stepmemo only observes here.');
  const spec = storedSpecOf(object) ?? asObject(object.spec);
  const { phase, startedAt } = asObject(object.status);
  const reason = 'workflow-not-going-on';
  if (phase !== 'Running') return no(reason, `The phase of the Workflow is ${JSON.stringify(phase ?? '')}.`);
  if (asObject(object.metadata).deletionTimestamp !== undefined) return no(reason, 'The Workflow is being deleted.');
  const seconds = spec.activeDeadlineSeconds;
  const endMs = typeof seconds === 'number' ? Date.parse(String(startedAt)) + seconds * 1000 : Number.POSITIVE_INFINITY;
  if (!(endMs - now.getTime() > DEADLINE_MARGIN_MS)) return no(reason, 'The deadline of the Workflow is near.');
  const failed = [...nodes.all()].find(({ phase: of }) => of === 'Failed' || of === 'Error');
  return failed && no(reason, `${failed.name} has failed.`);
}

/** The spec that runs, of a Workflow that is made of another object: it is stored when the Workflow begins. */
function storedSpecOf({ spec, status }: JsonObject): JsonObject | undefined {
  const { workflowTemplateRef, ...own } = asObject(spec);
  const { storedWorkflowTemplateSpec: stored } = asObject(status);
  if (!isObject(workflowTemplateRef) || !isObject(stored)) return undefined;
  const { workflowTemplateRef: _, ...rest } = stored;
  const { shutdown = rest.shutdown, suspend = rest.suspend } = own;
  return { ...rest, shutdown, suspend };
}

function foreseeRest(input: ProgressInput, nodes: PresentNodes): Outcome {
  const { object, served } = input;
  const storedSpec = storedSpecOf(object);
  if (isObject(asObject(object.spec).workflowTemplateRef) && storedSpec === undefined)
    return no('nothing-foreseen', 'The Workflow does not hold the spec that runs yet.');
  const lookUpTemplate = storedTemplatesOf(input.lookUpTemplate, asObject(asObject(object.status).storedTemplates));
  const present = { nodes, served, storedSpec };
  return foresee({ ...input, lookUpTemplate }, { workflowName: String(asObject(object.metadata).name), present });
}

/**
 * A running Workflow keeps the templates that it has called (workflow_types.go:GetStoredTemplate). Those are what runs, whatever
 * became of the object; one that it has not called yet is read when it does.
 */
function storedTemplatesOf(lookUp: LookUpTemplate, stored: JsonObject): LookUpTemplate {
  return (scope, name) => {
    const object = lookUp(scope, name);
    if (object === undefined) return undefined;
    const prefix = `${scope}/${name}/`;
    const templates = objectsOf(
      Object.entries(stored).flatMap(([key, template]) => (key.startsWith(prefix) ? [template] : [])),
    );
    return { ...object, spec: { ...asObject(object.spec), templates } };
  };
}

/** Only what is not there yet, and the links to it. */
function additions({ walked, nodes = [] }: Outcome): readonly JsonPatchOperation[] {
  const links = [...(walked?.links ?? [])];
  return [
    ...nodes.map((node) => ({ op: 'add' as const, path: pointer('status', 'nodes', node.id), value: node })),
    ...links.map(([id, children]) => ({
      op: 'add' as const,
      path: pointer('status', 'nodes', id, 'children'),
      value: children,
    })),
  ];
}
