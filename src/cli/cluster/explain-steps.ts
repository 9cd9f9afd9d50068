/**
 * Why each memoized step of a Workflow was, or was not, served: from its node, its pod and the Events about it; and where none
 * of these is left, from what its template asks for now. Pure.
 */
import { NODE_ID_ANNOTATION } from '../../argo/names.ts';
import { annotationOf } from '../../argo/pod.ts';
import { parseTemplate } from '../../argo/template.ts';
import { asObject, asString, isObject, type JsonObject, objectsOf } from '../../base/json.ts';
import {
  CACHE_ANNOTATION,
  DECISION_ANNOTATION,
  KEY_ANNOTATION,
  type MemoizeMode,
  REASON_ANNOTATION,
} from '../../base/names.ts';
import { eventReason, REASONS, type Reason } from '../../base/reasons.ts';
import type { EntryLookup } from '../../cache/entry.ts';
import type { KubeObject } from '../../kube/types.ts';
import { SERVED_AHEAD, SERVED_AT_SUBMISSION } from '../../look-ahead/node.ts';
import { inputValues, readGlobals } from '../../look-ahead/scopes.ts';
import { fillIn, Unforeseen } from '../../look-ahead/values.ts';
import { judgeLookup } from '../../step/judge-entry.ts';
import { readTemplateMemoization } from '../../step/memoization.ts';

export interface ExplainedStep {
  readonly node: string;
  readonly key?: string | undefined;
  readonly cache?: string | undefined;
  readonly outcome:
    | 'served at submission'
    | 'served ahead'
    | 'served by its pod'
    | 'served by Argo'
    | 'ran'
    | 'not known';
  readonly reason?: Reason | undefined;
  readonly message: string;
  /** What would make it a hit next time; empty where nothing need be done. */
  readonly fix: string;
  /** Where this is known from; `now` is not what was the case then. */
  readonly source: 'node' | 'pod' | 'event' | 'now';
}

export interface ExplainInput {
  readonly workflow: KubeObject;
  readonly pods: readonly KubeObject[];
  /** Of events.k8s.io, regarding the Workflow. */
  readonly events: readonly KubeObject[];
  readonly mode: MemoizeMode;
  readonly lookUp: (cache: string, key: string) => EntryLookup;
  readonly now: Date;
}

/** A node of status.nodes, the members that are read. */
interface Node {
  readonly id: string;
  readonly name: string;
  readonly raw: JsonObject;
}

/** The steps that ask for memoization, in the order in which they began. */
export function explainSteps(input: ExplainInput): readonly ExplainedStep[] {
  const { nodes } = asObject(input.workflow.status);
  const pods = new Map(input.pods.map((pod) => [annotationOf(pod, NODE_ID_ANNOTATION) ?? '', pod]));
  return objectsOf(Object.values(asObject(nodes)))
    .filter(({ type }) => type === 'Pod')
    .map((raw) => ({ id: String(raw.id), name: String(raw.name), raw }))
    .sort((a, b) => String(a.raw.startedAt).localeCompare(String(b.raw.startedAt)) || a.name.localeCompare(b.name))
    .flatMap((node) => explainNode(node, pods.get(node.id), input) ?? []);
}

function explainNode(node: Node, pod: KubeObject | undefined, input: ExplainInput): ExplainedStep | undefined {
  return (
    byMemoizationStatus(node, pod) ??
    byMessage(node, pod, input) ??
    byPod(node, pod, input) ??
    byEvent(node, input) ??
    byTemplate(node, input)
  );
}

/** A hit that has no pod: served at submission, or by Argo's own memoization. */
function byMemoizationStatus({ name, raw }: Node, pod: KubeObject | undefined): ExplainedStep | undefined {
  const { hit, key, cacheName } = asObject(raw.memoizationStatus);
  if (hit !== true || pod !== undefined) return undefined;
  const message = asString(raw.message) ?? '';
  const isOurs = message.startsWith(SERVED_AT_SUBMISSION);
  return {
    node: name,
    key: asString(key),
    cache: asString(cacheName),
    outcome: isOurs ? 'served at submission' : 'served by Argo',
    ...(isOurs && { reason: 'served-at-submission' as const }),
    message: isOurs ? message : "Argo's own memoization found an entry in the controller's namespace",
    fix: '',
    source: 'node',
  };
}

/** One that was served together with a hit before it: its node says so, and what it asked for follows from its inputs. */
function byMessage(node: Node, pod: KubeObject | undefined, input: ExplainInput): ExplainedStep | undefined {
  const message = asString(node.raw.message) ?? '';
  if (pod !== undefined || !message.startsWith(SERVED_AHEAD)) return undefined;
  const { key, cache } = byTemplate(node, input) ?? {};
  return {
    node: node.name,
    key,
    cache,
    outcome: 'served ahead',
    reason: 'served-ahead',
    message,
    fix: '',
    source: 'node',
  };
}

function byPod({ id, name }: Node, pod: KubeObject | undefined, { events }: ExplainInput): ExplainedStep | undefined {
  const decision = pod && annotationOf(pod, DECISION_ANNOTATION);
  const decided = pod && readReason(annotationOf(pod, REASON_ANNOTATION));
  // A skip is no decision, and has a reason all the same.
  const isTold = (decision ?? decided) !== undefined;
  if (pod === undefined || !isTold) return undefined;
  const told = events.flatMap((event) => readEvent(event, id));
  // What happened later tells more: a hit that was released ran, a miss that was captured has an entry.
  const last = told.at(-1);
  const isServed = decision === 'hit' && asObject(pod.spec).nodeName === undefined;
  const messages = told.map(({ reason, message }) => `${reason}: ${message}`);
  const reason = last?.reason ?? decided;
  return {
    node: name,
    key: annotationOf(pod, KEY_ANNOTATION),
    cache: annotationOf(pod, CACHE_ANNOTATION),
    outcome: isServed ? 'served by its pod' : 'ran',
    reason: decided ?? reason,
    message: messages.length > 0 ? messages.join('; ') : meaningOf(decided),
    fix: fixOf(reason) || fixOf(decided),
    source: 'pod',
  };
}

/** The pod is gone; what was said about it stays for an hour. */
function byEvent({ id, name, raw }: Node, { events }: ExplainInput): ExplainedStep | undefined {
  const told = events.flatMap((event) => readEvent(event, id));
  const last = told.at(-1);
  if (last === undefined) return undefined;
  return {
    node: name,
    outcome: told.some(({ reason }) => reason === 'completed')
      ? 'served by its pod'
      : raw.phase === 'Pending'
        ? 'not known'
        : 'ran',
    reason: last.reason,
    message: told.map(({ reason, message }) => `${reason}: ${message}`).join('; '),
    fix: fixOf(last.reason),
    source: 'event',
  };
}

const CODES = new Map(Object.keys(REASONS).map((reason) => [eventReason(reason as Reason), reason as Reason]));

function readReason(text: string | undefined): Reason | undefined {
  return text !== undefined && Object.hasOwn(REASONS, text) ? (text as Reason) : undefined;
}

/** An Event of ours names the pod; its name ends with the number of its node (util/podname.go). */
function readEvent({ reason, note }: KubeObject, nodeId: string): { reason: Reason; message: string }[] {
  const code = CODES.get(String(reason));
  const match = /^pod (\S+): (.*)$/s.exec(String(note ?? ''));
  if (code === undefined || match === null) return [];
  const [, pod = '', message = ''] = match;
  const number = /-(\d+)$/.exec(nodeId)?.[1];
  const isAboutIt = pod === nodeId || (number !== undefined && pod.endsWith(`-${number}`));
  return isAboutIt ? [{ reason: code, message }] : [];
}

function meaningOf(reason: Reason | undefined): string {
  return reason === undefined ? 'its pod does not say why' : REASONS[reason].meaning;
}

function fixOf(reason: Reason | undefined): string {
  return reason === undefined ? '' : REASONS[reason].fix;
}

/** What its template asks for, with the inputs that the node had, looked up now. */
function byTemplate(node: Node, input: ExplainInput): ExplainedStep | undefined {
  const template = templateOf(node.raw, input.workflow);
  if (template === undefined) return undefined;
  const reading = parseTemplate(JSON.stringify(fillTags(template, node, input.workflow)));
  if (reading.state !== 'inline') return undefined;
  const asked = readTemplateMemoization(reading.template, input.mode);
  const base = { node: node.name, outcome: 'not known', source: 'now' } as const;
  if (!asked.ok) {
    if (asked.reason === 'not-memoized') return undefined;
    return { ...base, reason: asked.reason, message: asked.message, fix: fixOf(asked.reason) };
  }
  const { key, cache } = asked.memoization;
  const step = { template: reading, needsResult: false, hasMain: true };
  const judged = judgeLookup(step, asked.memoization, input.lookUp(cache, key), input.now);
  const reason: Reason = judged.fresh ? 'fresh-entry' : judged.reason;
  return { ...base, key, cache, reason, message: `as of now: ${judged.message}`, fix: fixOf(reason) };
}

function fillTags(template: JsonObject, { name, raw }: Node, workflow: KubeObject): JsonObject {
  const spec = asObject(asObject(workflow.status).storedWorkflowTemplateSpec ?? workflow.spec);
  const { name: workflowName = '', namespace = '' } = workflow.metadata ?? {};
  const globals = readGlobals({ workflowName, isNameKnown: true, namespace, spec });
  const values = new Map([...globals, ['node.name', name] as const, ...inputValues(raw.inputs)]);
  try {
    return { ...template, metadata: fillIn(template.metadata, values), memoize: fillIn(template.memoize, values) };
  } catch (error) {
    if (error instanceof Unforeseen) return template;
    throw error;
  }
}

/** Where the controller keeps the templates that it has resolved, else the Workflow's own. */
function templateOf(
  { templateName, templateRef, templateScope }: JsonObject,
  workflow: KubeObject,
): JsonObject | undefined {
  const { storedTemplates, storedWorkflowTemplateSpec } = asObject(workflow.status);
  const ref = asObject(templateRef);
  const id = isObject(templateRef)
    ? `${ref.clusterScope === true ? 'cluster' : 'namespaced'}/${ref.name}/${ref.template}`
    : `${templateScope}/${templateName}`;
  const stored = asObject(storedTemplates)[id];
  if (isObject(stored)) return stored;
  const spec = asObject(storedWorkflowTemplateSpec ?? workflow.spec);
  return objectsOf(spec.templates).find(({ name }) => name === templateName);
}
