import { CAPTURE_CONTAINER } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import type { KubeObject } from '../kube/types.ts';
import { judgePod } from '../step/decide-pod.ts';
import { FOREIGN_SKIPS, type Verdict } from '../step/decision.ts';
import type { DecisionSettings, KnownCluster } from '../step/known-cluster.ts';
import type { RecordEvent } from '../telemetry/events.ts';
import { answerVerdict } from './answer.ts';
import type { AdmissionHandler } from './app.ts';
import type { AdmissionRequest } from './review.ts';
import { skipUnsupported } from './unsupported.ts';

export interface MutatePodsOptions {
  /** Told of each sidecar that is injected, so that after one that did not start only one more is tried. */
  readonly cluster: KnownCluster & { noteSidecarInjected(): void };
  /** Read anew for each request: the CA bundle changes while the server runs. */
  readonly settings: () => DecisionSettings;
  readonly recordEvent: RecordEvent;
  /** Told of accounts that create step pods and are not known as workflow controllers. */
  readonly onUntrusted?: (account: string) => void;
}

/** Reasons that concern no step, or no memoized one: no Event is wanted about them. */
const SILENT: ReadonlySet<Reason> = new Set<Reason>([
  ...FOREIGN_SKIPS,
  'fresh-entry', // The controller tells of it once the step has ended.
]);

/** POST /mutate/pods: a step pod is held back for its cached outputs, given the capturing sidecar, or left alone. */
export function createMutatePods(options: MutatePodsOptions): AdmissionHandler {
  return (request) => {
    const unsupported = skipUnsupported(request, { kinds: ['Pod'], operations: ['CREATE'] });
    if (unsupported) return unsupported;
    const pod = withNamespace(request);
    const verdict = judgePod({
      pod,
      creator: request.userInfo.username ?? '',
      cluster: options.cluster,
      settings: options.settings(),
      now: new Date(),
    });
    if (request.dryRun !== true) {
      if (verdict.reason === 'creator-untrusted') options.onUntrusted?.(request.userInfo.username ?? '');
      if (hasSidecar(verdict)) options.cluster.noteSidecarInjected();
      setImmediate(tell, options.recordEvent, pod, verdict);
    }
    return answerVerdict(request.uid, verdict);
  };
}

function hasSidecar({ patch }: Verdict): boolean {
  const isSidecar = (value: unknown) => (value as { name?: string } | null)?.name === CAPTURE_CONTAINER;
  return patch.some((operation) => operation.op === 'add' && isSidecar(operation.value));
}

/** The object of a CREATE may leave its namespace to the request. */
export function withNamespace(request: AdmissionRequest): KubeObject {
  const object = request.object ?? {};
  if (request.namespace === undefined || object.metadata?.namespace !== undefined) return object;
  return { ...object, metadata: { ...object.metadata, namespace: request.namespace } };
}

/** An Event on the Workflow: the pod has no UID yet, and may be gone before anybody looks. */
function tell(recordEvent: RecordEvent, pod: KubeObject, verdict: Verdict): void {
  if (SILENT.has(verdict.reason)) return;
  const owner = pod.metadata?.ownerReferences?.find((reference) => reference.kind === 'Workflow');
  const namespace = pod.metadata?.namespace;
  if (owner === undefined || namespace === undefined) return;
  recordEvent({
    regarding: { apiVersion: owner.apiVersion, kind: owner.kind, namespace, name: owner.name, uid: owner.uid },
    type: verdict.decision === 'skip' && !verdict.reason.startsWith('observed-') ? 'Warning' : 'Normal',
    reason: verdict.reason,
    message: `pod ${pod.metadata?.name ?? pod.metadata?.generateName ?? ''}: ${verdict.message}`,
  });
}
