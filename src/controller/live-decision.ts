import { identifyStep, type Step } from '../argo/step.ts';
import type { StepTemplate } from '../argo/template.ts';
import type { CaptureWay } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import { lookUpIn } from '../cache/cache-index.ts';
import type { EntryLookup } from '../cache/entry.ts';
import type { KubeApi, KubeFailure, KubeObject } from '../kube/types.ts';
import { readAsk } from '../step/ask.ts';
import { readCaptureSetting } from '../step/capture.ts';
import { decide } from '../step/decide-pod.ts';
import type { PodDecision } from '../step/decision.ts';
import type { DecisionSettings, KnownCluster, NamespaceSettings } from '../step/known-cluster.ts';
import { readMemoization } from '../step/memoization.ts';
import type { CapturePlan } from './facts.ts';
import { readOffloadedTemplate } from './offloaded-template.ts';
import type { ReadConfigMap } from './read-config-map.ts';
import { hasCaptureContainer, type StepPod } from './step-pod.ts';

export interface LiveContext {
  readonly kube: KubeApi;
  readonly cluster: KnownCluster;
  readonly settings: DecisionSettings;
  readonly readConfigMap: ReadConfigMap;
}

const NOT_ENABLED = 'the namespace has not opted in';

type Looked<T> = { readonly ok: true; readonly value: T } | KubeFailure;

/**
 * Decides about a gated pod once more, from the live entry. The creator is taken for granted: with the admission policies
 * in place none but the configured controllers can make a pod with our gate, and without them this is never asked.
 */
export async function decideLive(
  context: LiveContext,
  pod: StepPod,
  object: KubeObject,
  now: Date,
): Promise<Looked<PodDecision>> {
  if (context.cluster.namespace(pod.namespace)?.isEnabled !== true) {
    return { ok: true, value: { decision: 'skip', reason: 'namespace-not-enabled', message: NOT_ENABLED } };
  }
  const reading = await readWholeAsk(context, object);
  if (!reading.ok) return reading;
  if (!('ask' in reading.value)) return { ok: true, value: reading.value };
  const { ask } = reading.value;
  const { cache, key } = ask.memoization;
  const configMap = await context.readConfigMap(pod.namespace, cache);
  if (!configMap.ok && configMap.status !== 404) return configMap;
  const lookup: EntryLookup = configMap.ok ? lookUpIn(configMap.value, key) : { found: 'nothing' };
  return { ok: true, value: decide(ask, lookup, { ...context, now }) };
}

/** What the pod asks for, an offloaded template read where it is offloaded. */
async function readWholeAsk(context: LiveContext, object: KubeObject): Promise<Looked<ReturnType<typeof readAsk>>> {
  const { cluster, settings } = context;
  const creator = settings.controllerAccounts[0] ?? '';
  const reading = readAsk({ pod: object, creator, cluster, settings });
  if (!('ask' in reading) || reading.ask.step.template.state !== 'offloaded') return { ok: true, value: reading };
  const template = await readOffloadedTemplate(context.kube, object, reading.ask.step);
  if (template.ok) return { ok: true, value: readAsk({ pod: template.object, creator, cluster, settings }) };
  if (template.failure) return template.failure;
  return { ok: true, value: { decision: 'skip', reason: 'template-unreadable', message: template.message } };
}

/**
 * Which step a pod that runs or ran is, and where its outputs go. Of an offloaded template the step keeps saying that it
 * is: what the sidecar could see depended on that.
 */
export async function planCapture(
  context: LiveContext,
  pod: StepPod,
  object: KubeObject,
): Promise<Looked<CapturePlan>> {
  const namespace = context.cluster.namespace(pod.namespace);
  if (namespace?.isEnabled !== true) return refuse('namespace-not-enabled', 'the namespace is no longer opted in');
  if (namespace.operation === 'off') return refuse('switched-off', 'stepmemo is switched off');
  const identified = identifyStep(object);
  if (!identified.ok) return refuse(identified.reason, identified.message);
  const read = readMemoization(object, identified.step, namespace.memoize);
  if (!read.ok) return refuse(read.reason, read.message);
  const whole = await readWhole(context, object, identified.step);
  if (!whole.ok) return whole;
  if ('reason' in whole.value) return refuse(whole.value.reason, whole.value.message);
  const { step, template } = whole.value;
  const way = hasCaptureContainer(pod) ? 'sidecar' : captureWayOf(object, namespace);
  return { ok: true, value: { ok: true, object, step, template, memoization: read.memoization, way } };
}

type Whole =
  | { readonly step: Step; readonly template: StepTemplate }
  | { readonly reason: Reason; readonly message: string };

async function readWhole({ kube }: LiveContext, object: KubeObject, step: Step): Promise<Looked<Whole>> {
  const { template } = step;
  if (template.state === 'inline') return { ok: true, value: { step, template } };
  if (template.state === 'unreadable') {
    return { ok: true, value: { reason: 'template-unreadable', message: template.detail } };
  }
  const offloaded = await readOffloadedTemplate(kube, object, step);
  if (!offloaded.ok && offloaded.failure) return offloaded.failure;
  if (!offloaded.ok) return { ok: true, value: { reason: 'template-unreadable', message: offloaded.message } };
  const inlined = identifyStep(offloaded.object);
  if (!inlined.ok || inlined.step.template.state !== 'inline') {
    return { ok: true, value: { reason: 'template-unreadable', message: 'the offloaded template is none of a step' } };
  }
  return { ok: true, value: { step: { ...inlined.step, template }, template: inlined.step.template } };
}

function refuse(
  reason: Extract<CapturePlan, { ok: false }>['reason'],
  message: string,
): { ok: true; value: CapturePlan } {
  return { ok: true, value: { ok: false, reason, message } };
}

/** Of a pod without our container, which would have decided it: whatever is not `off` is left to the server. */
function captureWayOf(object: KubeObject, namespace: NamespaceSettings): CaptureWay {
  return readCaptureSetting(object, namespace) === 'off' ? 'off' : 'server';
}
