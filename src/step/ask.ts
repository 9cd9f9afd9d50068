import { annotationOf, podSpec } from '../argo/pod.ts';
import { identifyStep, rejectAtSight, type Step } from '../argo/step.ts';
import type { StepTemplate } from '../argo/template.ts';
import { ALLOW_RESOURCE_ANNOTATION, CACHE_ANNOTATION, KEY_ANNOTATION, type MemoizeMode } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import { quote } from '../base/text.ts';
import type { KubeObject } from '../kube/types.ts';
import type { PodDecision } from './decision.ts';
import type { DecisionSettings, KnownCluster, NamespaceSettings } from './known-cluster.ts';
import { type Memoization, memoizeField, readMemoization } from './memoization.ts';

/** What one pod asks for, once it is known that it may ask: a step, by whom and where it has to be, with a good key. */
export interface Ask {
  readonly pod: KubeObject;
  readonly step: Step;
  readonly memoization: Memoization;
  /** The settings of the step's namespace. */
  readonly namespace: NamespaceSettings;
}

export interface AskInput {
  /** With `metadata.namespace` filled in. */
  readonly pod: KubeObject;
  /** The user name of whoever creates the pod. */
  readonly creator: string;
  readonly cluster: KnownCluster;
  readonly settings: DecisionSettings;
}

type Skip = Extract<PodDecision, { decision: 'skip' }>;

function skip(reason: Reason, message: string): Skip {
  return { decision: 'skip', reason, message };
}

/** Who made the pod and where: the checks that need no template. */
function checkOrigin({ pod, creator, cluster, settings }: AskInput): Skip | NamespaceSettings {
  const rejected = rejectAtSight(pod);
  if (rejected !== undefined) return skip(rejected.reason, rejected.message);
  if (!settings.controllerAccounts.includes(creator)) return skip('creator-untrusted', `created by ${quote(creator)}`);
  const name = pod.metadata?.namespace;
  const namespace = typeof name === 'string' ? cluster.namespace(name) : undefined;
  if (namespace === undefined && !cluster.isSynced) return skip('not-synced', 'the namespace is not known yet');
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
function checkTemplate(input: AskInput, step: Step, mode: MemoizeMode): Skip | undefined {
  const { template } = step;
  if (template.state === 'unreadable') return skip('template-unreadable', template.detail);
  if (template.state === 'offloaded') {
    return mode === 'native' ? skip('template-offloaded', 'the template is in a ConfigMap') : undefined;
  }
  const hasField = memoizeField(step) !== undefined;
  if (!hasField && !hasAnnotations(input.pod)) return undefined;
  return (hasField ? checkField(input, step, mode) : undefined) ?? checkBody(input.pod, template);
}

/** What a `memoize` that is still in the template means: another component may be acting on it. */
function checkField({ pod, settings }: AskInput, step: Step, mode: MemoizeMode): Skip | undefined {
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
function checkReadiness({ pod, cluster }: AskInput): Skip | undefined {
  if (!cluster.isSynced) return skip('not-synced', 'the caches are not read yet');
  if (!cluster.arePoliciesInstalled)
    return skip('policies-missing', 'the ValidatingAdmissionPolicies are not in place');
  const nodeName = podSpec(pod).nodeName;
  if (nodeName !== undefined && nodeName !== '')
    return skip('node-name-set', `spec.nodeName is ${quote(String(nodeName))}`);
  return undefined;
}

/**
 * The first of three steps (then the cache is looked up, then it is decided): what the pod asks for, or the first reason
 * why it is left alone, from cheapest to most expensive. It is acted on only when all hold: it is a step, made by a
 * trusted controller in a namespace that opted in, and asks for memoization in a way that can be kept.
 */
export function readAsk(input: AskInput): { readonly ok: true; readonly ask: Ask } | Skip {
  const namespace = checkOrigin(input);
  if ('decision' in namespace) return namespace;
  const { pod } = input;
  const identified = identifyStep(pod);
  if (!identified.ok) return skip(identified.reason, identified.message);
  const { step } = identified;
  const objection = checkTemplate(input, step, namespace.memoize);
  if (objection !== undefined) return objection;
  const reading = readMemoization(pod, step, namespace.memoize);
  if (!reading.ok) return skip(reading.reason, reading.message);
  return checkReadiness(input) ?? { ok: true, ask: { pod, step, memoization: reading.memoization, namespace } };
}
