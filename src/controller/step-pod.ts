import { z } from 'zod';
import {
  COMPLETED_LABEL,
  MAIN_CONTAINER,
  NODE_ID_ANNOTATION,
  OUTPUTS_ANNOTATION,
  SUPERVISOR_CONTAINER,
  WAIT_CONTAINER,
} from '../argo/names.ts';
import { type PodVersion, versionOf } from '../argo/pod-version.ts';
import { asObject, type JsonObject, objectsOf } from '../base/json.ts';
import {
  CAPTURE_CONTAINER,
  DECISION_ANNOTATION,
  HIT_GATE,
  MISS_GATE,
  OUTPUTS_DIGEST_ANNOTATION,
} from '../base/names.ts';
import type { KubeObject } from '../kube/types.ts';
import { Held } from './step-memory.ts';

const stringMap = z.record(z.string(), z.string());
const time = z.string().nullish();

const containerStateSchema = z.looseObject({
  waiting: z.looseObject({ reason: z.string().optional() }).nullish(),
  running: z.looseObject({ startedAt: time }).nullish(),
  terminated: z
    .looseObject({ exitCode: z.number().default(0), finishedAt: time, message: z.string().nullish() })
    .nullish(),
});

const containerStatusSchema = z.looseObject({ name: z.string(), state: containerStateSchema.nullish() });

const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    creationTimestamp: time,
    deletionTimestamp: time,
    labels: stringMap.nullish(),
    annotations: stringMap.nullish(),
  }),
  spec: z.looseObject({
    schedulingGates: z.array(z.looseObject({ name: z.string() })).nullish(),
    containers: z.array(z.looseObject({ name: z.string(), image: z.string().optional() })),
    serviceAccountName: z.string().nullish(),
  }),
  status: z
    .looseObject({
      phase: z.string().optional(),
      reason: z.string().nullish(),
      containerStatuses: z.array(containerStatusSchema).nullish(),
    })
    .nullish(),
});

/** Where a container is; `unknown` is one that the kubelet has not told of yet. */
export type ContainerState =
  | { readonly is: 'unknown' }
  | { readonly is: 'waiting'; readonly reason: string }
  | { readonly is: 'running'; readonly startedAtMs: number | undefined }
  | { readonly is: 'terminated'; readonly exitCode: number; readonly finishedAtMs: number | undefined };

/** A pod as the controller sees it: read once, from what the API server sent. */
export interface StepPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly resourceVersion: string;
  readonly createdAtMs: number | undefined;
  readonly isBeingDeleted: boolean;
  /** Argo is done with the pod: it looks at it no more. */
  readonly isLabelledCompleted: boolean;
  /** Those that plans go by; whoever makes pods may fill others with what they like. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly hasAnnotations: boolean;
  /**
   * Hex SHA-256 of what the sidecar read: noted by the replica that took it, else the container's last word, which only the
   * kubelet writes.
   */
  readonly outputsDigest: string | undefined;
  /** Argo's executor has noted the outputs on the pod, as up to 3.5 it does. */
  readonly hasReportedOutputs: boolean;
  readonly version: PodVersion;
  readonly gates: readonly string[];
  /** In the order of the spec. */
  readonly containers: readonly { readonly name: string; readonly image: string }[];
  readonly serviceAccount: string;
  readonly hasStatus: boolean;
  readonly phase: string;
  /** Why the pod as a whole failed, `Evicted` or `DeadlineExceeded` say; empty where only containers failed. */
  readonly failureReason: string;
  /** Names in the order of `status.containerStatuses`: a patch needs the position. */
  readonly statusNames: readonly string[];
  readonly states: ReadonlyMap<string, ContainerState>;
  /** The object itself, as far as decisions read it: most of what a pod takes in memory. */
  readonly body: Held<KubeObject | undefined>;
}

/** Annotations that plans go by. */
const READ_ANNOTATIONS = [NODE_ID_ANNOTATION, DECISION_ANNOTATION, OUTPUTS_DIGEST_ANNOTATION];
/** None of them is longer where Argo or stepmemo wrote it. */
const ANNOTATION_LIMIT = 1_024;
/** A pod with more, unless our gate holds it, is none that a workflow needs us for. */
const CONTAINER_LIMIT = 256;

/** Undefined where the object is no pod that can be read: nothing is ever done to such a one. */
export function readStepPod(object: KubeObject): StepPod | undefined {
  const parsed = podSchema.safeParse(object);
  if (!parsed.success) return undefined;
  const { metadata, spec, status } = parsed.data;
  const statuses = status?.containerStatuses ?? [];
  const annotations = readAnnotations(metadata.annotations ?? {});
  return {
    uid: metadata.uid,
    name: metadata.name,
    namespace: metadata.namespace,
    resourceVersion: metadata.resourceVersion,
    createdAtMs: readTimeMs(metadata.creationTimestamp),
    isBeingDeleted: typeof metadata.deletionTimestamp === 'string',
    isLabelledCompleted: metadata.labels?.[COMPLETED_LABEL] === 'true',
    annotations,
    outputsDigest: annotations[OUTPUTS_DIGEST_ANNOTATION] ?? readLastWord(statuses),
    hasAnnotations: metadata.annotations !== undefined && metadata.annotations !== null,
    hasReportedOutputs: metadata.annotations?.[OUTPUTS_ANNOTATION] !== undefined,
    version: versionOf(object),
    gates: (spec.schedulingGates ?? []).map((gate) => gate.name),
    containers: spec.containers.map(({ name, image }) => ({ name, image: image ?? '' })),
    serviceAccount: spec.serviceAccountName ?? 'default',
    hasStatus: status !== undefined && status !== null,
    phase: status?.phase ?? '',
    failureReason: status?.reason ?? '',
    statusNames: statuses.map(({ name }) => name),
    states: new Map(statuses.map(({ name, state }) => [name, readState(state)])),
    body: new Held(trimPod(object)),
  };
}

function readAnnotations(annotations: Readonly<Record<string, string>>): Record<string, string> {
  const read = READ_ANNOTATIONS.flatMap((name) => {
    const value = annotations[name];
    return value === undefined || value.length > ANNOTATION_LIMIT ? [] : [[name, value] as const];
  });
  return Object.fromEntries(read);
}

function readLastWord(statuses: readonly z.infer<typeof containerStatusSchema>[]): string | undefined {
  const message = statuses.find(({ name }) => name === CAPTURE_CONTAINER)?.state?.terminated?.message;
  return message && /^[0-9a-f]{64}$/.test(message) ? message : undefined;
}

function readState(state: z.infer<typeof containerStateSchema> | null | undefined): ContainerState {
  if (state?.terminated) {
    const { exitCode, finishedAt } = state.terminated;
    return { is: 'terminated', exitCode, finishedAtMs: readTimeMs(finishedAt) };
  }
  if (state?.running) return { is: 'running', startedAtMs: readTimeMs(state.running.startedAt) };
  if (state?.waiting) return { is: 'waiting', reason: state.waiting.reason ?? '' };
  return { is: 'unknown' };
}

function readTimeMs(text: string | null | undefined): number | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : ms;
}

/** The id of the pod's node, as the pod says; whether it says so rightly is for `identifyStep`. */
export function nodeIdOf(pod: StepPod): string | undefined {
  return pod.annotations[NODE_ID_ANNOTATION];
}

export function isTerminal(pod: StepPod): boolean {
  return pod.phase === 'Succeeded' || pod.phase === 'Failed';
}

export function ownGates(pod: StepPod): string[] {
  return pod.gates.filter((gate) => gate === HIT_GATE || gate === MISS_GATE);
}

export function hasCaptureContainer(pod: StepPod): boolean {
  return pod.containers.some(({ name }) => name === CAPTURE_CONTAINER);
}

/** How the pod's own containers ended, the capture container left aside. */
export interface OwnEnd {
  readonly haveAllEnded: boolean;
  readonly isEveryExitZero: boolean;
  /** When the last of them ended; undefined where no status says so. */
  readonly endedAtMs: number | undefined;
}

export function readOwnEnd(pod: StepPod): OwnEnd {
  const own = pod.containers.filter(({ name }) => name !== CAPTURE_CONTAINER);
  const ended = own.flatMap(({ name }) => {
    const state = pod.states.get(name);
    return state?.is === 'terminated' ? [state] : [];
  });
  const times = ended.flatMap(({ finishedAtMs }) => (finishedAtMs === undefined ? [] : [finishedAtMs]));
  return {
    haveAllEnded: own.length > 0 && ended.length === own.length,
    isEveryExitZero: ended.every(({ exitCode }) => exitCode === 0),
    endedAtMs: times.length === 0 ? undefined : Math.max(...times),
  };
}

/** Argo's own, and the one that counts as the step: 0 or the step failed. */
const UNFORGIVEN = new Set([MAIN_CONTAINER, WAIT_CONTAINER, SUPERVISOR_CONTAINER]);
/** SIGKILL and SIGTERM: how the executor ends a template's sidecars once main has ended. */
const FORGIVEN_CODES = new Set([0, 137, 143]);

/**
 * Whether the step may have succeeded: the pod did, or it failed by sidecars alone that were ended with the step.
 * (workflow/controller/operator.go:inferFailedReason; what it makes of the node is looked up before an entry is written.)
 */
export function hasSucceeded(pod: StepPod): boolean {
  if (pod.phase === 'Succeeded') return true;
  if (pod.phase !== 'Failed' || pod.failureReason !== '' || !readOwnEnd(pod).haveAllEnded) return false;
  return pod.containers.every(({ name }) => {
    const state = pod.states.get(name);
    if (state?.is !== 'terminated') return name === CAPTURE_CONTAINER;
    if (name === CAPTURE_CONTAINER || state.exitCode === 0) return true;
    return !UNFORGIVEN.has(name) && FORGIVEN_CODES.has(state.exitCode);
  });
}

/**
 * What the pods watch keeps: nothing of a pod that stepmemo has no business with; of the others what a decision reads.
 * Field managers, tolerations and the like are the bulk of a pod, and are never asked for.
 */
export function keepStepPod(object: KubeObject): StepPod | undefined {
  const pod = readStepPod(object);
  if (pod === undefined || !isOfInterest(pod)) return undefined;
  if (ownGates(pod).length > 0) return pod;
  return pod.containers.length > CONTAINER_LIMIT
    ? undefined
    : { ...pod, containers: pod.containers.map(keepContainer) };
}

/** A pod that runs is ended by the status of our container alone. */
function keepContainer({ name, image }: StepPod['containers'][number]): StepPod['containers'][number] {
  return { name, image: name === CAPTURE_CONTAINER ? image : '' };
}

const UNREAD = ['tolerations', 'affinity', 'topologySpreadConstraints', 'dnsConfig', 'hostAliases'];
const UNREAD_OF_CONTAINERS = ['command', 'args', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'];

function trimPod(object: KubeObject): KubeObject {
  const metadata = { ...object.metadata, managedFields: undefined };
  const spec = without(asObject(object.spec), UNREAD);
  return {
    ...object,
    metadata,
    spec: {
      ...spec,
      ...(Array.isArray(spec.initContainers) && { initContainers: objectsOf(spec.initContainers).map(trimContainer) }),
      containers: objectsOf(spec.containers).map(trimContainer),
    },
  };
}

/** Of its environment Argo's own variables: an author's script in a variable is nothing to a decision. */
function trimContainer(container: JsonObject): JsonObject {
  const env = objectsOf(container.env).filter(({ name }) => typeof name === 'string' && name.startsWith('ARGO_'));
  return { ...without(container, UNREAD_OF_CONTAINERS), ...(container.env !== undefined && { env }) };
}

function without(object: JsonObject, members: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([member]) => !members.includes(member)));
}

/**
 * A pod of a namespace that has not opted in, with our gate: enough to take the gate away, and nothing of what its author
 * may have filled it with.
 */
export function keepGateAlone(pod: StepPod): StepPod {
  return { ...pod, containers: [], statusNames: [], states: new Map(), body: new Held(undefined) };
}

export function isOfInterest(pod: StepPod): boolean {
  return (
    ownGates(pod).length > 0 ||
    hasCaptureContainer(pod) ||
    pod.annotations[DECISION_ANNOTATION] !== undefined ||
    pod.annotations[OUTPUTS_DIGEST_ANNOTATION] !== undefined
  );
}
