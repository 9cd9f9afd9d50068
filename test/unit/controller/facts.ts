import type { Step } from '../../../src/argo/step.ts';
import { readTaskResult, type TaskResult } from '../../../src/argo/task-result.ts';
import { CAPTURE_CONTAINER, RESULT_POD_UID_ANNOTATION } from '../../../src/base/names.ts';
import type { Entry } from '../../../src/cache/entry.ts';
import {
  type CapturePlan,
  PLAN_TIMING,
  type PlanSettings,
  type PodFacts,
  type WorkflowFacts,
} from '../../../src/controller/facts.ts';
import { type WatchedResult, watchedResult } from '../../../src/controller/result-table.ts';
import { readOwnEnd, readStepPod, type StepPod } from '../../../src/controller/step-pod.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import type { PodDecision } from '../../../src/step/decision.ts';
import { buildPod } from '../../support/argo-pod.ts';

/** Noon of some day: what `nowMs` is unless a test says otherwise. */
export const NOW_MS = Date.parse('2026-01-02T12:00:00Z');

export const SETTINGS: PlanSettings = { ...PLAN_TIMING, taskResultWaitMs: 3000 };

export type State =
  | 'running'
  | 'unknown'
  | { readonly exitCode: number; readonly message?: string }
  | { readonly waiting: string };

export interface PodParts {
  readonly gates?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly phase?: string;
  readonly reason?: string;
  /** By container, in the order of the spec; `main` and `wait` where it is left out. */
  readonly states?: Readonly<Record<string, State>>;
  readonly secondsSinceEnd?: number;
  readonly isBeingDeleted?: boolean;
  readonly hasStatus?: boolean;
  readonly version?: string;
}

const TEMPLATE = {
  name: 'work',
  outputs: { parameters: [{ name: 'text', valueFrom: { path: '/tmp/text' } }] },
  container: { image: 'none' },
};

/** A step pod of Argo as the API server gives it, with the containers that `states` names. */
export function podObject(parts: PodParts = {}): KubeObject {
  const { gates = [], phase = 'Pending', states = { wait: 'unknown', main: 'unknown' }, version = '4.0.5' } = parts;
  const endedAt = new Date(NOW_MS - (parts.secondsSinceEnd ?? 0) * 1000).toISOString();
  const pod = buildPod({
    name: 'wf-work-1',
    namespace: 'team',
    nodeId: 'wf-1',
    template: TEMPLATE,
    executor: `argoexec:${version}`,
    labels: { ...parts.labels },
    annotations: { 'stepmemo.io/key': 'k', 'stepmemo.io/cache': 'c', ...parts.annotations },
  });
  const made = pod.spec.containers as readonly { name: string }[];
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      uid: 'uid-1',
      resourceVersion: '10',
      creationTimestamp: '2026-01-02T11:00:00Z',
      ...(parts.isBeingDeleted === true && { deletionTimestamp: '2026-01-02T11:59:00Z' }),
    },
    spec: {
      ...pod.spec,
      schedulingGates: gates.map((name) => ({ name })),
      containers: Object.keys(states).map(
        (name) => made.find((container) => container.name === name) ?? { name, image: 'none' },
      ),
    },
    ...(parts.hasStatus !== false && {
      status: {
        phase,
        ...(parts.reason !== undefined && { reason: parts.reason }),
        containerStatuses: Object.entries(states).flatMap(([name, state]) =>
          state === 'unknown' ? [] : [{ name, state: stateOf(state, endedAt) }],
        ),
      },
    }),
  };
}

function stateOf(state: Exclude<State, 'unknown'>, endedAt: string): object {
  if (state === 'running') return { running: {} };
  if ('waiting' in state) return { waiting: { reason: state.waiting } };
  return { terminated: { ...state, finishedAt: endedAt } };
}

export function podOf(parts: PodParts = {}): StepPod {
  const pod = readStepPod(podObject(parts));
  if (pod === undefined) throw new Error('the test made a pod that cannot be read');
  return pod;
}

export const WELL_ENDED = { wait: { exitCode: 0 }, main: { exitCode: 0 } } as const;

/** A miss of ours with the sidecar, ended well five seconds ago. */
export function endedPod(parts: PodParts = {}): StepPod {
  return podOf({
    phase: 'Succeeded',
    states: { ...WELL_ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } },
    secondsSinceEnd: 5,
    ...parts,
    annotations: { 'stepmemo.io/decision': 'miss', ...parts.annotations },
  });
}

export const STEP: Step = {
  namespace: 'team',
  podName: 'wf-work-1',
  workflowName: 'wf',
  workflowUid: 'wf-uid',
  nodeId: 'wf-1',
  nodeName: 'wf.work',
  template: { state: 'inline', template: TEMPLATE, kind: 'container' },
  needsResult: false,
  hasMain: true,
};

export const MEMOIZATION = { key: 'k', cache: 'c', isRefresh: false } as const;

export const ENTRY: Entry = {
  nodeID: 'earlier',
  outputs: { parameters: [{ name: 'text', value: 'cached' }], exitCode: '0' },
  creationTimestamp: '2026-01-02T11:30:00Z',
  lastHitTimestamp: '2026-01-02T11:30:00Z',
};

export const HIT: Extract<PodDecision, { decision: 'hit' }> = {
  decision: 'hit',
  reason: 'fresh-entry',
  message: 'key "k" in cache c',
  step: STEP,
  memoization: MEMOIZATION,
  entry: ENTRY,
};

export const MISS: PodDecision = {
  decision: 'miss',
  reason: 'no-entry',
  message: 'no entry for key "k"',
  step: STEP,
  memoization: MEMOIZATION,
  capture: { way: 'server' },
};

export const SKIP: PodDecision = { decision: 'skip', reason: 'daemon', message: 'the template is a daemon' };

/** A task result of the pod's node: made for `markedFor`, or by the executor. */
export function resultOf(options: { markedFor?: string; isComplete?: boolean; value?: string } = {}): TaskResult {
  const { markedFor, isComplete = true, value = 'told' } = options;
  const result = readTaskResult({
    metadata: {
      name: 'wf-1',
      namespace: 'team',
      uid: 'result-uid',
      resourceVersion: '5',
      labels: {
        'workflows.argoproj.io/workflow': 'wf',
        'workflows.argoproj.io/report-outputs-completed': String(isComplete),
      },
      ...(markedFor !== undefined && { annotations: { [RESULT_POD_UID_ANNOTATION]: markedFor } }),
      ownerReferences: [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: 'wf', uid: 'wf-uid' }],
    },
    outputs: { parameters: [{ name: 'text', value }] },
  });
  if (result === undefined) throw new Error('the test made a result that cannot be read');
  return result;
}

/** The same as the watch's table keeps it. */
export function watchedOf(options: Parameters<typeof resultOf>[0] = {}): WatchedResult {
  return watchedResult(resultOf(options));
}

export function planOf(overrides: Partial<Extract<CapturePlan, { ok: true }>> = {}): CapturePlan {
  if (STEP.template.state !== 'inline') throw new Error('unreachable');
  return {
    ok: true,
    object: podObject(),
    step: STEP,
    template: STEP.template,
    memoization: MEMOIZATION,
    way: 'sidecar',
    ...overrides,
  };
}

/** Facts of a leader that knows its cluster; of a pod that a test gives. */
export function factsOf(pod: StepPod, overrides: Partial<PodFacts> = {}): PodFacts {
  return {
    pod,
    nowMs: NOW_MS,
    isLeader: true,
    isClusterSynced: true,
    arePoliciesInstalled: true,
    failures: undefined,
    isGone: false,
    endSeenAtMs: readOwnEnd(pod).endedAtMs,
    hasLeftWatch: false,
    resultMadeAtMs: undefined,
    held: undefined,
    watchedResult: undefined,
    isBeingWritten: false,
    isSettled: false,
    ...overrides,
  };
}

/** A Workflow that runs, as a look at it finds it. */
export const RUNNING_WORKFLOW = {
  is: 'there',
  isShuttingDown: false,
  phase: 'Running',
  deadlineMs: undefined,
  areNodesOffloaded: false,
  nodePhase: 'Running',
  hasNodeOutputs: true,
} as const satisfies WorkflowFacts;
