import { annotationOf, podSpec } from '../argo/pod.ts';
import { identifyStep, rejectAtSight, type Step, type StepTemplate } from '../argo/step.ts';
import type { KubeObject } from '../kube/types.ts';
import { chooseCapture } from './capture-way.ts';
import type { Memoization, PodDecision } from './decision.ts';
import { type Entry, entryAgeMs, isExpired } from './entry.ts';
import { memoizeField, quote, readMemoization } from './memoization.ts';
import { ALLOW_RESOURCE_ANNOTATION, CACHE_ANNOTATION, KEY_ANNOTATION } from './names.ts';
import { missingOutputs, missingResult } from './outputs.ts';
import type { Reason } from './reasons.ts';
import type { ClusterView, DecisionSettings, NamespaceSettings } from './view.ts';

export interface PodDecisionInput {
  /** With `metadata.namespace` filled in. */
  readonly pod: KubeObject;
  /** The user name of whoever creates the pod. */
  readonly creator: string;
  readonly view: ClusterView;
  readonly settings: DecisionSettings;
  readonly now: Date;
}

type Skip = Extract<PodDecision, { decision: 'skip' }>;

function skip(reason: Reason, message: string): Skip {
  return { decision: 'skip', reason, message };
}

/** Who made the pod and where: the checks that need no template. */
function checkOrigin({ pod, creator, view, settings }: PodDecisionInput): Skip | NamespaceSettings {
  const rejected = rejectAtSight(pod);
  if (rejected !== undefined) return skip(rejected.reason, rejected.message);
  if (!settings.controllerAccounts.includes(creator)) return skip('creator-untrusted', `created by ${quote(creator)}`);
  const name = pod.metadata?.namespace;
  const namespace = typeof name === 'string' ? view.namespace(name) : undefined;
  if (namespace === undefined && !view.isSynced) return skip('not-synced', 'the namespace is not known yet');
  if (namespace === undefined || !namespace.isEnabled) {
    return skip(
      'namespace-not-enabled',
      typeof name === 'string' ? `namespace ${quote(name)}` : 'the pod names no namespace',
    );
  }
  return namespace;
}

/** Whether the pod asks for memoization by annotation, as it does after its Workflow was changed. */
function hasAnnotations(pod: KubeObject): boolean {
  return annotationOf(pod, KEY_ANNOTATION) !== undefined || annotationOf(pod, CACHE_ANNOTATION) !== undefined;
}

/** What the template says against acting on the pod, in this mode. */
function checkTemplate(input: PodDecisionInput, step: Step, mode: 'managed' | 'native'): Skip | undefined {
  const { template } = step;
  if (template.state === 'unreadable') return skip('template-unreadable', template.detail);
  if (template.state === 'offloaded') {
    return mode === 'native' ? skip('template-offloaded', 'the template stands in a ConfigMap') : undefined;
  }
  const hasField = memoizeField(step) !== undefined;
  if (!hasField && !hasAnnotations(input.pod)) return undefined;
  return (hasField ? checkField(input, step, mode) : undefined) ?? checkBody(input.pod, template);
}

/** What a `memoize` that still stands in the template means: somebody else may be acting on it. */
function checkField({ pod, settings }: PodDecisionInput, step: Step, mode: 'managed' | 'native'): Skip | undefined {
  if (mode === 'managed') return skip('memoize-in-template', `the template has memoize${hintForResource(pod, step)}`);
  if (step.namespace !== settings.controllerNamespace) return undefined;
  return skip('controller-cache', `namespace ${step.namespace} is the workflow controller's`);
}

function hintForResource(pod: KubeObject, { template }: Step): string {
  const isHeldBack = template.state === 'inline' && template.kind === 'resource' && !allowsResource(pod);
  return isHeldBack ? `; in a resource template it stays without ${ALLOW_RESOURCE_ANNOTATION}: "true"` : '';
}

/** The steps that memoization is not for, or not unasked. */
function checkBody(pod: KubeObject, { template, kind }: StepTemplate): Skip | undefined {
  if (template.daemon === true) return skip('daemon', 'the template is a daemon');
  if (kind === 'resource' && !allowsResource(pod)) {
    return skip('resource-not-allowed', `the template is a resource, without ${ALLOW_RESOURCE_ANNOTATION}: "true"`);
  }
  return undefined;
}

function allowsResource(pod: KubeObject): boolean {
  return annotationOf(pod, ALLOW_RESOURCE_ANNOTATION) === 'true';
}

/** The state of stepmemo itself, and of the pod, that forbids to act on a step that could be memoized. */
function checkReadiness({ pod, view }: PodDecisionInput): Skip | undefined {
  if (!view.isSynced) return skip('not-synced', 'the caches are not read yet');
  if (!view.arePoliciesInstalled) return skip('policies-missing', 'the ValidatingAdmissionPolicies are not in place');
  const nodeName = podSpec(pod).nodeName;
  if (nodeName !== undefined && nodeName !== '')
    return skip('node-name-set', `spec.nodeName is ${quote(String(nodeName))}`);
  return undefined;
}

/** The outcome of a lookup: an entry that can be served, or why there is none. */
type Judged =
  | { readonly fresh: true; readonly entry: Entry; readonly message: string }
  | { readonly fresh: false; readonly reason: Reason; readonly message: string };

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

/**
 * Whether an entry can end this step: native's rules (an id, an age), and every output that the pod has to report. Of an
 * offloaded template the outputs are not known here; the controller reads it and checks them before it completes.
 */
export function judgeEntry(step: Step, entry: Entry, maxAgeMs: number | undefined, now: Date): Judged {
  const no = (reason: Reason, message: string): Judged => ({ fresh: false, reason, message });
  if (entry.nodeID === '') return no('incomplete-entry', 'the entry has no nodeID');
  const ageMs = entryAgeMs(entry, now);
  if (isExpired(entry, maxAgeMs, now)) {
    const age = ageMs === undefined ? 'of unknown age' : `${seconds(ageMs)} old`;
    return no('expired', `expired: ${age}, maxAge ${seconds(maxAgeMs ?? 0)}`);
  }
  const missing =
    step.template.state === 'inline' ? missingOutputs(step, step.template, entry) : missingResult(step, entry);
  if (missing.length > 0) return no('incomplete-entry', `the entry lacks ${missing.join(', ')}`);
  const age = ageMs === undefined ? '' : `, ${seconds(ageMs)} old`;
  return { fresh: true, entry, message: `made by node ${quote(entry.nodeID)}${age}` };
}

function judgeLookup(
  { view, now }: PodDecisionInput,
  step: Step,
  { key, cache, maxAgeMs, isRefresh }: Memoization,
): Judged {
  const no = (reason: Reason, message: string): Judged => ({ fresh: false, reason, message });
  if (isRefresh) return no('refresh', 'the step asks to run');
  const lookup = view.lookUp(step.namespace, cache, key);
  if (lookup.found === 'nothing') return no('no-entry', `no entry for key ${quote(key)} in cache ${cache}`);
  if (lookup.found === 'malformed')
    return no('malformed-entry', `key ${quote(key)} in cache ${cache}: ${lookup.detail}`);
  const judged = judgeEntry(step, lookup.entry, maxAgeMs, now);
  const where = `key ${quote(key)} in cache ${cache}`;
  return judged.fresh ? { ...judged, message: `${where}: ${judged.message}` } : judged;
}

/**
 * The decision about one pod, from the pod and what is in memory: no I/O, no side effect, the same for the same input.
 * The order is cheap and safe first; the first reason found is the one given. A pod is acted on only when all hold: it is
 * a step, made by a trusted controller in a namespace that opted in, and asks for memoization in a way that can be kept.
 */
export function decidePod(input: PodDecisionInput): PodDecision {
  const namespace = checkOrigin(input);
  if ('decision' in namespace) return namespace;
  const identified = identifyStep(input.pod);
  if (!identified.ok) return skip(identified.reason, identified.message);
  const { step } = identified;
  const objection = checkTemplate(input, step, namespace.memoize);
  if (objection !== undefined) return objection;
  const reading = readMemoization(input.pod, step, namespace.memoize);
  if (!reading.ok) return skip(reading.reason, reading.message);
  const unready = checkReadiness(input);
  if (unready !== undefined) return unready;
  return decideStep(input, step, namespace, reading.memoization);
}

function decideStep(
  input: PodDecisionInput,
  step: Step,
  namespace: NamespaceSettings,
  memoization: Memoization,
): PodDecision {
  const judged = judgeLookup(input, step, memoization);
  if (judged.fresh) {
    const { entry, message } = judged;
    return { decision: 'hit', reason: 'fresh-entry', message, step, memoization, entry };
  }
  const { capture, message } = chooseCapture(input.pod, step, namespace, input);
  return {
    decision: 'miss',
    reason: judged.reason,
    message: message === '' ? judged.message : `${judged.message}; ${message}`,
    step,
    memoization,
    capture,
  };
}
