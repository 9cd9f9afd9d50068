import { asString } from '../base/json.ts';
import type { KubeObject } from '../kube/types.ts';
import { INIT_CONTAINER, SUPERVISOR_CONTAINER, TEMPLATE_ENV, WAIT_CONTAINER } from './names.ts';
import { containersOf, initContainersOf, type PodContainer, readEnv } from './pod.ts';
import {
  type ArgoVersion,
  formatVersion,
  imageTag,
  isOlderThan,
  parseArgoVersion,
  type VersionParts,
  versionFrom,
} from './versions.ts';

/**
 * The Argo version that made a pod, as a range with both ends included. From an image tag both ends are the same; from the
 * looks of the pod they lie apart or are missing. `text` is for messages, `unknown` where nothing can be told.
 */
export interface PodVersion {
  readonly text: string;
  readonly from?: ArgoVersion;
  readonly to?: ArgoVersion;
  readonly isPrerelease?: boolean;
}

const UNKNOWN: PodVersion = { text: 'unknown' };

/** The version in an image's tag, say `quay.io/argoproj/argoexec:v3.7.2@sha256:…`; mirrors and digests may hide it. */
export function parseImageVersion(image: string): PodVersion | undefined {
  const tag = imageTag(image) ?? '';
  const version = parseArgoVersion(tag);
  if (version === undefined) return undefined;
  const prerelease = /-(?:rc|alpha|beta).*$/.exec(tag)?.[0] ?? '';
  return { text: formatVersion(version) + prerelease, from: version, to: version, isPrerelease: prerelease !== '' };
}

/**
 * Tells the version from the executor's image tag, else from the shape of the pod (both from
 * workflow/controller/workflowpod.go): ARGO_TEMPLATE on `wait` was last made by 3.5, TRACEPARENT and `supervisor` came
 * with 4.1, ARGO_TEMPLATE on `init` alone with 3.6.
 */
export function versionOf(pod: KubeObject): PodVersion {
  const inits = initContainersOf(pod);
  const containers = containersOf(pod);
  const init = inits.find(({ name }) => name === INIT_CONTAINER);
  const wait = containers.find(({ name }) => name === WAIT_CONTAINER);
  const supervisor = containers.find(({ name }) => name === SUPERVISOR_CONTAINER);
  const executors = [init, supervisor, wait].filter((container) => container !== undefined);
  for (const { raw } of executors) {
    const version = parseImageVersion(asString(raw.image) ?? '');
    if (version !== undefined) return version;
  }
  return versionByShape({ init, wait, supervisor, executors });
}

interface ExecutorContainers {
  readonly init: PodContainer | undefined;
  readonly wait: PodContainer | undefined;
  readonly supervisor: PodContainer | undefined;
  readonly executors: readonly PodContainer[];
}

function versionByShape({ init, wait, supervisor, executors }: ExecutorContainers): PodVersion {
  const has = (container: PodContainer | undefined, variable: string): boolean =>
    container !== undefined && readEnv(container, variable).state !== 'absent';
  if (supervisor !== undefined || executors.some((container) => has(container, 'TRACEPARENT'))) {
    return { text: '4.1 or later', from: versionFrom(4, 1, 0) };
  }
  if (has(wait, TEMPLATE_ENV)) {
    return executors.some((container) => has(container, 'ARGO_WORKFLOW_UID'))
      ? { text: '3.5', from: versionFrom(3, 5, 2), to: versionFrom(3, 5, 999) }
      : { text: '3.5.1 or earlier', to: versionFrom(3, 5, 1) };
  }
  if (wait !== undefined && has(init, TEMPLATE_ENV)) return { text: '3.6 or later', from: versionFrom(3, 6, 0) };
  return UNKNOWN;
}

/** Whether every version in the range is at least this one. */
export function isAtLeast({ from }: PodVersion, ...version: VersionParts): boolean {
  return from !== undefined && !isOlderThan(from, ...version);
}

/** Whether every version in the range is below this one. */
export function isBelow({ to }: PodVersion, ...version: VersionParts): boolean {
  return to !== undefined && isOlderThan(to, ...version);
}

/**
 * Whether the controller may take a Succeeded pod before it has seen the pod's task result, and so lose the outputs: up to
 * 3.6.10, in 3.7.0 and in 3.7.1 (argo-workflows #14497, #15253). Unknown versions and pre-releases count as racing: waiting
 * costs time, not correctness.
 */
export function hasResultRace(version: PodVersion): boolean {
  const { from, to } = version;
  if (from === undefined || version.isPrerelease === true) return !isAtLeast(version, 4, 0, 1);
  if (isOlderThan(from, 3, 6, 11)) return true;
  if (isOlderThan(from, 3, 7, 0)) return to === undefined || !isOlderThan(to, 3, 7, 0);
  return isOlderThan(from, 3, 7, 2);
}

/**
 * Whether the controller reads outputs from the pod's own annotation: always up to 3.5.10, up to 3.5.15 beside the mark
 * that they are complete, never from 3.6.0 on (argo-workflows #13100).
 */
export function readsOutputsAnnotation(version: PodVersion): boolean {
  return isBelow(version, 3, 6, 0);
}
