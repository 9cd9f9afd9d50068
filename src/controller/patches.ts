import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import { CAPTURE_CONTAINER, DECISION_ANNOTATION, OUTPUTS_DIGEST_ANNOTATION, REASON_ANNOTATION } from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import { formatTimestamp } from '../cache/entry.ts';
import { hasCaptureContainer, ownGates, readOwnEnd, type StepPod } from './step-pod.ts';

// Every patch tests what it stands on. A `test` that fails is how the controller learns that the pod is another than it
// thought, and the API server is the one place where that cannot be raced.

function testUid(pod: StepPod): JsonPatchOperation {
  return { op: 'test', path: '/metadata/uid', value: pod.uid };
}

function testResourceVersion(pod: StepPod): JsonPatchOperation {
  return { op: 'test', path: '/metadata/resourceVersion', value: pod.resourceVersion };
}

function testGates(pod: StepPod): JsonPatchOperation[] {
  return ownGates(pod).map((gate) => ({
    op: 'test',
    path: pointer('spec', 'schedulingGates', pod.gates.indexOf(gate), 'name'),
    value: gate,
  }));
}

/** `status` of a container that ended well, at `at` (RFC 3339). */
function terminatedStatus(container: { name: string; image: string }, at: string): Record<string, unknown> {
  return {
    name: container.name,
    image: container.image,
    imageID: '',
    ready: false,
    started: false,
    restartCount: 0,
    // Equal times: Argo's resourcesDuration comes to 0, which is what the step used.
    state: { terminated: { exitCode: 0, reason: 'Completed', startedAt: at, finishedAt: at } },
  };
}

/** RFC 3339 with whole seconds, the only form that the API takes for these fields. */
function toKubeTime(ms: number): string {
  return formatTimestamp(new Date(ms));
}

/**
 * Ends a gated pod as Succeeded, for `pods/status`. Every container gets a status, or a containerSet's nodes stay Pending
 * (workflow/controller/operator.go:assessNodeStatus); init containers get none, for up to 3.6.10 theirs count against the node.
 * On a pod whose gate went meanwhile the kubelet would kill the step, hence the tests on gate and resourceVersion.
 */
export function buildCompletionPatch(pod: StepPod, nowMs: number): JsonPatch {
  const at = toKubeTime(nowMs);
  const containerStatuses = pod.containers.map((container) => terminatedStatus(container, at));
  return [
    testUid(pod),
    testResourceVersion(pod),
    ...testGates(pod),
    ...(pod.hasStatus
      ? ([
          { op: 'add', path: '/status/phase', value: 'Succeeded' },
          { op: 'add', path: '/status/containerStatuses', value: containerStatuses },
        ] as const)
      : ([{ op: 'add', path: '/status', value: { phase: 'Succeeded', containerStatuses } }] as const)),
  ];
}

/**
 * Lets a gated pod run: takes our gates away, and none but ours. A `decision` of miss makes it a step whose outputs are
 * captured like any other's; with skip it is Argo's alone.
 */
export function buildReleasePatch(pod: StepPod, decision: 'miss' | 'skip', reason: Reason): JsonPatch {
  return [
    ...buildUngatePatch(pod),
    ...(pod.hasAnnotations
      ? ([
          { op: 'add', path: pointer('metadata', 'annotations', DECISION_ANNOTATION), value: decision },
          { op: 'add', path: pointer('metadata', 'annotations', REASON_ANNOTATION), value: reason },
        ] as const)
      : []),
  ];
}

/** Takes our gates away and leaves no note: what anybody may do who may change pods. */
export function buildUngatePatch(pod: StepPod): JsonPatch {
  // From the back, so that the positions of those before stay right.
  const positions = ownGates(pod)
    .map((gate) => pod.gates.indexOf(gate))
    .sort((a, b) => b - a);
  return [
    testUid(pod),
    ...testGates(pod),
    ...positions.map((position) => ({ op: 'remove', path: pointer('spec', 'schedulingGates', position) }) as const),
  ];
}

/**
 * Ends a pod, for `pods/status`, whose containers have all ended but for ours: what the kubelet would have made of it
 * without our container. The kubelet takes the phase over and kills what is left (pkg/kubelet/pod_workers.go:UpdatePod);
 * `buildHealingNote` has it do so at once.
 */
export function buildHealingPatch(pod: StepPod, nowMs: number): JsonPatch | undefined {
  const position = pod.containers.findIndex(({ name }) => name === CAPTURE_CONTAINER);
  const container = pod.containers[position];
  if (container === undefined || !hasCaptureContainer(pod)) return undefined;
  const status = terminatedStatus(container, toKubeTime(nowMs));
  const statusPosition = pod.statusNames.indexOf(CAPTURE_CONTAINER);
  const phase = readOwnEnd(pod).isEveryExitZero ? 'Succeeded' : 'Failed';
  return [
    testUid(pod),
    testResourceVersion(pod),
    { op: 'test', path: pointer('spec', 'containers', position, 'name'), value: CAPTURE_CONTAINER },
    statusPosition === -1
      ? { op: 'add', path: '/status/containerStatuses/-', value: status }
      : { op: 'replace', path: pointer('status', 'containerStatuses', statusPosition), value: status },
    { op: 'add', path: '/status/phase', value: phase },
  ];
}

/**
 * Says on a healed pod why it ended so. It is more than a note: the kubelet does not look at a pod anew for its status alone
 * (pkg/kubelet/config/config.go:podsDifferSemantically), and would kill a container that still runs only a minute or two
 * later; a changed annotation makes it look at once.
 */
export function buildHealingNote(pod: StepPod, reason: Reason): JsonPatch {
  return [testUid(pod), { op: 'add', path: pointer('metadata', 'annotations', REASON_ANNOTATION), value: reason }];
}

/** Notes which outputs the pod posted. The first post wins: `null` tests that none is noted yet. */
export function buildDigestPatch(pod: StepPod, digest: string): JsonPatch {
  const path = pointer('metadata', 'annotations', OUTPUTS_DIGEST_ANNOTATION);
  return [testUid(pod), { op: 'test', path, value: null }, { op: 'add', path, value: digest }];
}
