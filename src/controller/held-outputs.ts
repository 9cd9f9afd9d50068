import { DECISION_ANNOTATION, OUTPUTS_DIGEST_ANNOTATION } from '../base/names.ts';
import type { CaptureAnswer, CapturePost } from '../capture/types.ts';
import type { Config } from '../config/config.ts';
import { isOvertaken, type KubeApi, type KubeObject, RESOURCES } from '../kube/types.ts';
import { digestOf } from '../sidecar/digest.ts';
import type { KnownCluster } from '../step/known-cluster.ts';
import { buildDigestPatch } from './patches.ts';
import { HISTORY_MS } from './plan-run.ts';
import type { PodRecord, PodTable } from './pod-table.ts';
import { hasCaptureContainer, isTerminal, keepStepPod, readOwnEnd, type StepPod } from './step-pod.ts';

export interface AcceptContext {
  readonly kube: KubeApi;
  readonly cluster: KnownCluster;
  readonly table: PodTable;
  readonly limits: Pick<Config, 'captureLimitBytes' | 'captureNamespaceLimitBytes' | 'captureTotalLimitBytes'>;
  readonly now: () => number;
}

function answer(status: CaptureAnswer['status'], message: string): CaptureAnswer {
  return { status, message };
}

/**
 * Takes what a sidecar posted, if it comes from a pod whose outputs are to be captured and nothing else was taken from it
 * before: notes the digest on the pod, so that any replica can tell later what was posted, and holds the outputs until
 * the pod has ended well. The sender is known (by its token); that it speaks for its step is not, hence the task result
 * beside it later.
 */
export async function acceptOutputs(context: AcceptContext, post: CapturePost): Promise<CaptureAnswer> {
  const { cluster, table, limits } = context;
  if (!cluster.isSynced) return answer(503, 'this replica is not ready yet');
  if (post.sizeBytes > limits.captureLimitBytes) {
    return answer(413, `at most ${limits.captureLimitBytes} bytes are taken for one step`);
  }
  const found = await findRecord(context, post);
  if ('status' in found) return found;
  const objection = checkPod(found.pod, post, context);
  if (objection) return objection;
  const digest = digestOf(post.captured);
  const noted = found.held?.digest ?? found.pod.annotations[OUTPUTS_DIGEST_ANNOTATION];
  if (noted !== undefined && noted !== digest) return answer(409, 'other outputs were posted for this pod before');
  if (found.held !== undefined || found.isSettled) return answer(200, 'taken before');
  const full = checkRoom(table, post, limits);
  if (full) return full;
  // The room is taken before anything is waited for, so that posts side by side do not share it.
  found.reservedBytes += post.sizeBytes;
  const refused = noted === digest ? undefined : await noteDigest(context, found, digest);
  found.reservedBytes -= post.sizeBytes;
  if (refused) return refused;
  found.held ??= { captured: post.captured, digest, sizeBytes: post.sizeBytes };
  return answer(200, 'taken');
}

async function findRecord({ kube, table, now }: AcceptContext, post: CapturePost): Promise<PodRecord | CaptureAnswer> {
  const known = table.get(post.podUid);
  if (known !== undefined) return known;
  // The watch of this replica may lag behind a fast step.
  const got = await kube.get({ resource: RESOURCES.pods, namespace: post.namespace, name: post.podName });
  if (!got.ok && got.status !== 404) return answer(503, 'the API server did not answer');
  const pod = got.ok ? keepStepPod(got.value) : undefined;
  if (!got.ok || got.value.metadata?.uid !== post.podUid) return answer(404, 'there is no such pod');
  return pod === undefined ? answer(403, 'nothing is captured of this pod') : table.update(pod, now());
}

function checkPod(pod: StepPod, post: CapturePost, { cluster, now }: AcceptContext): CaptureAnswer | undefined {
  const isSender =
    pod.namespace === post.namespace &&
    pod.name === post.podName &&
    post.account === `system:serviceaccount:${pod.namespace}:${pod.serviceAccount}`;
  if (!isSender) return answer(403, 'the token is not that of this pod');
  const isCaptured =
    cluster.arePoliciesInstalled && pod.annotations[DECISION_ANNOTATION] === 'miss' && hasCaptureContainer(pod);
  if (!isCaptured) return answer(403, 'nothing is captured of this pod');
  if (cluster.namespace(pod.namespace)?.isEnabled !== true) return answer(403, 'the namespace is not opted in');
  const endedAtMs = readOwnEnd(pod).endedAtMs;
  if (isTerminal(pod) && now() - (endedAtMs ?? 0) > HISTORY_MS) return answer(409, 'the pod ended long ago');
  return undefined;
}

function checkRoom(table: PodTable, post: CapturePost, limits: AcceptContext['limits']): CaptureAnswer | undefined {
  const { captureNamespaceLimitBytes, captureTotalLimitBytes } = limits;
  if (table.heldBytes(post.namespace) + post.sizeBytes > captureNamespaceLimitBytes) {
    return answer(429, 'this replica holds as much of this namespace as it may');
  }
  if (table.heldBytes() + post.sizeBytes > captureTotalLimitBytes) {
    return answer(429, 'this replica holds as much as it may');
  }
  return undefined;
}

/** Undefined when the digest stands on the pod: ours, or the same from a replica that was asked before. */
async function noteDigest(
  context: AcceptContext,
  record: PodRecord,
  digest: string,
): Promise<CaptureAnswer | undefined> {
  const path = { resource: RESOURCES.pods, namespace: record.pod.namespace, name: record.pod.name };
  const patched = await context.kube.patch(path, buildDigestPatch(record.pod, digest));
  if (patched.ok) {
    takeIn(context, record, patched.value);
    return undefined;
  }
  if (patched.status === 404) return answer(404, 'there is no such pod');
  if (!isOvertaken(patched)) return answer(503, 'the API server did not take the note');
  const got = await context.kube.get(path);
  if (!got.ok)
    return got.status === 404 ? answer(404, 'there is no such pod') : answer(503, 'the API server did not answer');
  takeIn(context, record, got.value);
  if (got.value.metadata?.uid !== record.pod.uid) return answer(404, 'there is no such pod');
  const noted = got.value.metadata.annotations?.[OUTPUTS_DIGEST_ANNOTATION];
  return noted === digest ? undefined : answer(409, 'other outputs were posted for this pod before');
}

function takeIn({ table, now }: AcceptContext, record: PodRecord, object: KubeObject): void {
  const pod = keepStepPod(object);
  if (pod?.uid === record.pod.uid) table.update(pod, now());
}
