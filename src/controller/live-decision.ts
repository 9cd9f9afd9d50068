import { identifyStep, type Step, type StepTemplate } from '../argo/step.ts';
import { versionOf } from '../argo/versions.ts';
import { readCaptureSetting } from '../core/capture-way.ts';
import type { CaptureWay, PodDecision } from '../core/decision.ts';
import { readMemoization } from '../core/memoization.ts';
import { decidePod } from '../core/pod-decision.ts';
import type { Reason } from '../core/reasons.ts';
import type { ClusterView, DecisionSettings, NamespaceSettings } from '../core/view.ts';
import type { KubeApi, KubeFailure, KubeObject } from '../kube/types.ts';
import { createCacheIndex } from '../store/cache-index.ts';
import type { CapturePlan } from './facts.ts';
import { readOffloadedTemplate } from './offloaded-template.ts';
import type { ReadConfigMap } from './read-config-map.ts';
import { hasCaptureContainer, type StepPod } from './step-pod.ts';

export interface LiveContext {
  readonly kube: KubeApi;
  readonly view: ClusterView;
  readonly settings: DecisionSettings;
  readonly readConfigMap: ReadConfigMap;
}

type Looked<T> = { readonly ok: true; readonly value: T } | KubeFailure;

/**
 * Decides a gated pod anew. The creator is taken for granted: with the admission policies in place none but the configured
 * controllers can make a pod with our gate, and without them nobody asks. The caches in memory say which cache it is, the
 * live one what stands in it.
 */
export async function decideLive(context: LiveContext, pod: StepPod, now: Date): Promise<Looked<PodDecision>> {
  const { view, settings } = context;
  const creator = settings.controllerAccounts[0] ?? '';
  const first = decidePod({ pod: pod.object, creator, view, settings, now });
  if (first.decision === 'skip') return { ok: true, value: first };
  let object = pod.object;
  if (first.step.template.state === 'offloaded') {
    const template = await readOffloadedTemplate(context.kube, pod, first.step.workflowUid);
    if (!template.ok && template.failure) return template.failure;
    if (!template.ok) {
      return { ok: true, value: { decision: 'skip', reason: 'template-unreadable', message: template.message } };
    }
    object = template.object;
  }
  const { cache } = first.memoization;
  const configMap = await context.readConfigMap(pod.namespace, cache);
  if (!configMap.ok && configMap.status !== 404) return configMap;
  const live = viewWith(view, {
    namespace: pod.namespace,
    cache,
    configMap: configMap.ok ? configMap.value : undefined,
  });
  return { ok: true, value: decidePod({ pod: object, creator, view: live, settings, now }) };
}

/** The view with one cache as it is at this moment. */
function viewWith(
  view: ClusterView,
  live: { namespace: string; cache: string; configMap: KubeObject | undefined },
): ClusterView {
  const index = createCacheIndex();
  if (live.configMap !== undefined) index.upsert(live.configMap);
  return {
    isSynced: view.isSynced,
    arePoliciesInstalled: view.arePoliciesInstalled,
    isSidecarUsable: view.isSidecarUsable,
    namespace: (name) => view.namespace(name),
    limitRanges: (name) => view.limitRanges(name),
    hasComputeQuota: (name) => view.hasComputeQuota(name),
    lookUp: (namespace, cache, key) =>
      namespace === live.namespace && cache === live.cache
        ? index.lookUp(namespace, cache, key)
        : view.lookUp(namespace, cache, key),
  };
}

/**
 * Which step a pod that runs or ran is, and where its outputs go. Of an offloaded template the step keeps saying that it
 * is: what the sidecar could see depended on that.
 */
export async function planCapture(context: LiveContext, pod: StepPod): Promise<Looked<CapturePlan>> {
  const namespace = context.view.namespace(pod.namespace);
  if (namespace?.isEnabled !== true) return refuse('namespace-not-enabled', 'the namespace is no longer opted in');
  const identified = identifyStep(pod.object);
  if (!identified.ok) return refuse(identified.reason, identified.message);
  const read = readMemoization(pod.object, identified.step, namespace.memoize);
  if (!read.ok) return refuse(read.reason, read.message);
  const whole = await readWhole(context, pod, identified.step);
  if (!whole.ok) return whole;
  if ('reason' in whole.value) return refuse(whole.value.reason, whole.value.message);
  const { step, template } = whole.value;
  const way = captureWayOf(pod, namespace);
  const version = versionOf(pod.object);
  return { ok: true, value: { ok: true, step, template, memoization: read.memoization, way, version } };
}

type Whole =
  | { readonly step: Step; readonly template: StepTemplate }
  | { readonly reason: Reason; readonly message: string };

async function readWhole({ kube }: LiveContext, pod: StepPod, step: Step): Promise<Looked<Whole>> {
  const { template } = step;
  if (template.state === 'inline') return { ok: true, value: { step, template } };
  if (template.state === 'unreadable') {
    return { ok: true, value: { reason: 'template-unreadable', message: template.detail } };
  }
  const offloaded = await readOffloadedTemplate(kube, pod, step.workflowUid);
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

/** A pod that carries our container has decided it; without one, whatever is not `off` is left to the server. */
function captureWayOf(pod: StepPod, namespace: NamespaceSettings): CaptureWay {
  if (hasCaptureContainer(pod)) return 'sidecar';
  return readCaptureSetting(pod.object, namespace) === 'off' ? 'off' : 'server';
}
