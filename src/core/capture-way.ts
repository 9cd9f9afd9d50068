import { annotationOf } from '../argo/pod.ts';
import type { Step } from '../argo/step.ts';
import type { KubeObject } from '../kube/types.ts';
import { planSidecar } from '../patch/sidecar.ts';
import type { CaptureWay } from './decision.ts';
import { CAPTURE_ANNOTATION } from './names.ts';
import type { ClusterView, DecisionSettings, NamespaceSettings } from './view.ts';

/** A way of capture, and why it is not the sidecar where that was asked for. */
export interface CaptureChoice {
  readonly capture: CaptureWay;
  /** Empty where the choice is the one that was asked for. */
  readonly message: string;
}

/** The way that the template asks for, else the namespace; a value that is none is passed over. */
export function readCaptureSetting(pod: KubeObject, namespace: NamespaceSettings): CaptureWay {
  const written = annotationOf(pod, CAPTURE_ANNOTATION);
  return written === 'sidecar' || written === 'server' || written === 'off' ? written : namespace.capture;
}

/**
 * How the outputs of a miss get into the cache. The sidecar is left out wherever it cannot work or could do harm: data and
 * resource steps report from `main` (resource has no `wait`), a ResourceQuota on compute could refuse the pod (and Argo
 * retries that for ever), and where the sidecar was seen not to start it would hold the pod up.
 */
export function chooseCapture(
  pod: KubeObject,
  step: Step,
  namespace: NamespaceSettings,
  cluster: { readonly view: ClusterView; readonly settings: DecisionSettings },
): CaptureChoice {
  const setting = readCaptureSetting(pod, namespace);
  if (setting !== 'sidecar') return { capture: setting, message: '' };
  const server = (why: string): CaptureChoice => ({ capture: 'server', message: `captured without a sidecar: ${why}` });
  if (step.template.state === 'inline' && (step.template.kind === 'data' || step.template.kind === 'resource')) {
    return server(`a ${step.template.kind} step has none`);
  }
  const { view, settings } = cluster;
  if (!view.isSidecarUsable) return server('it was seen not to start');
  if (view.hasComputeQuota(step.namespace)) return server('a ResourceQuota counts compute resources');
  const plan = planSidecar(pod, step, settings.sidecar, view.limitRanges(step.namespace));
  return plan.ok ? { capture: 'sidecar', message: '' } : server(plan.message);
}
