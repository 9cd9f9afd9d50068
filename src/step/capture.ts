import { annotationOf } from '../argo/pod.ts';
import { CAPTURE_ANNOTATION, CAPTURE_WAYS, type CaptureWay } from '../base/names.ts';
import type { KubeObject } from '../kube/types.ts';
import type { Ask } from './ask.ts';
import type { Capture } from './decision.ts';
import type { KnownCluster, NamespaceSettings, SidecarSettings } from './known-cluster.ts';
import { findForeignPlatform } from './platforms.ts';
import { planSidecar } from './sidecar-container.ts';

/** A way of capture, and why it is not the sidecar where that was asked for. */
export interface CaptureChoice {
  readonly capture: Capture;
  /** Empty where the choice is the one that was asked for. */
  readonly message: string;
}

/** The way that the template asks for, else the namespace; a value that is none is passed over. */
export function readCaptureSetting(pod: KubeObject, namespace: NamespaceSettings): CaptureWay {
  const written = annotationOf(pod, CAPTURE_ANNOTATION);
  return CAPTURE_WAYS.find((way) => way === written) ?? namespace.capture;
}

/**
 * How the outputs of a miss get into the cache. The sidecar is left out wherever it cannot work or could do harm: data and
 * resource steps report from `main` (resource has no `wait`), a ResourceQuota on compute could refuse the pod (and Argo
 * retries that for ever), and where the sidecar was seen not to start, or its image is for other nodes, it would hold the pod up.
 */
export function chooseCapture(
  { pod, step, namespace }: Ask,
  cluster: KnownCluster,
  settings: SidecarSettings,
): CaptureChoice {
  const way = readCaptureSetting(pod, namespace);
  if (way !== 'sidecar') return { capture: { way }, message: '' };
  const server = (why: string): CaptureChoice => {
    return { capture: { way: 'server' }, message: `captured without a sidecar: ${why}` };
  };
  if (step.template.state === 'inline' && (step.template.kind === 'data' || step.template.kind === 'resource')) {
    return server(`a ${step.template.kind} step has none`);
  }
  if (!cluster.isSidecarUsable) return server('it was seen not to start');
  const foreign = findForeignPlatform(pod, settings.platforms);
  if (foreign !== undefined) return server(`its image is for ${settings.platforms.join(', ')}, and ${foreign}`);
  if (cluster.hasComputeQuota(step.namespace)) return server('a ResourceQuota counts compute resources');
  const plan = planSidecar(pod, step, settings, cluster.limitRanges(step.namespace));
  return plan.ok ? { capture: { way, sidecar: plan.parts }, message: '' } : server(plan.message);
}
