import { describe, expect, test } from 'vitest';
import { CAPTURE_CONTAINER, HIT_GATE } from '../../../src/base/names.ts';
import type { Action } from '../../../src/controller/actions.ts';
import type { PodFacts } from '../../../src/controller/facts.ts';
import { planPod } from '../../../src/controller/plan-pod.ts';
import { START_FAILURES } from '../../../src/controller/plan-run.ts';
import type { WatchedResult } from '../../../src/controller/result-table.ts';
import type { StepPod } from '../../../src/controller/step-pod.ts';
import { digestOf } from '../../../src/sidecar/digest.ts';
import {
  endedPod,
  factsOf,
  NOW_MS,
  planOf,
  podOf,
  RUNNING_WORKFLOW,
  resultOf,
  SETTINGS,
  type State,
  WELL_ENDED,
  watchedOf,
} from './facts.ts';

const THERE = RUNNING_WORKFLOW;
const CAPTURED = { parameters: [{ name: 'text', value: 'told' }] };
const HELD = { captured: CAPTURED, digest: digestOf(CAPTURED), sizeBytes: 10 };
const NOTED = { 'stepmemo.io/outputs-digest': HELD.digest };

/** Everything that the plan of an ended pod asks for. */
const LOOKED: Partial<PodFacts> = {
  plan: planOf(),
  isStored: false,
  workflow: THERE,
  watchedResult: watchedOf(),
};

/** One whose template says how long it may take. */
const TIMED = timedPlan();

function timedPlan(): PodFacts['plan'] {
  const plan = planOf();
  if (!plan.ok) throw new Error('unreachable');
  const { template } = plan;
  return { ...plan, template: { ...template, template: { ...template.template, timeout: '10m' } } };
}

function letGo(result: WatchedResult): WatchedResult {
  result.outputs.letGo();
  return result;
}

const withLastWord = (message: string) => ({ ...WELL_ENDED, [CAPTURE_CONTAINER]: { exitCode: 0, message } });

interface Row {
  readonly when: string;
  readonly pod?: StepPod;
  readonly facts?: Partial<PodFacts>;
  readonly does: Partial<Action>;
}

const plan = (pod: StepPod, facts: Partial<PodFacts> = {}): Action => planPod(factsOf(pod, facts), SETTINGS);

describe('the way of a pod that ended', () => {
  test.each<Row>([
    {
      when: 'it is none of ours',
      pod: endedPod({ annotations: { 'stepmemo.io/decision': 'skip' } }),
      does: { do: 'nothing' },
    },
    { when: 'caches and policies are not read yet', facts: { isClusterSynced: false }, does: { do: 'wait' } },
    { when: 'the policies are missing', facts: { arePoliciesInstalled: false, held: HELD }, does: { do: 'nothing' } },
    { when: 'it is settled', facts: { isSettled: true, held: HELD }, does: { do: 'nothing' } },
    // ---- who
    { when: 'this replica neither holds nor leads', facts: { isLeader: false }, does: { do: 'nothing' } },
    {
      when: 'this replica holds and does not lead',
      facts: { ...LOOKED, isLeader: false, held: HELD },
      does: { do: 'write-entry' },
    },
    {
      when: 'this replica leads, and another may hold',
      facts: { ...LOOKED },
      does: { do: 'wait', delayMs: 1000 },
    },
    {
      when: 'nobody wrote in time',
      pod: endedPod({ secondsSinceEnd: 10, annotations: NOTED }),
      facts: LOOKED,
      does: { do: 'write-entry' },
    },
    {
      when: 'nobody wrote in time and nothing was posted',
      pod: endedPod({ secondsSinceEnd: 10 }),
      facts: LOOKED,
      does: { do: 'write-entry' },
    },
    {
      when: 'nobody wrote in time and the result does not match the digest',
      pod: endedPod({ secondsSinceEnd: 10, annotations: { 'stepmemo.io/outputs-digest': 'other' } }),
      facts: LOOKED,
      does: { do: 'settle', tell: { reason: 'capture-mismatch', message: expect.any(String) } },
    },
    {
      when: "nobody took what the sidecar read, and the result matches the sidecar's last word",
      pod: endedPod({ secondsSinceEnd: 10, states: withLastWord(HELD.digest) }),
      facts: LOOKED,
      does: { do: 'write-entry' },
    },
    {
      when: "nobody took what the sidecar read, and the result does not match the sidecar's last word",
      pod: endedPod({ secondsSinceEnd: 10, states: withLastWord(digestOf({ parameters: [] })) }),
      facts: LOOKED,
      does: { do: 'settle', tell: { reason: 'capture-mismatch', message: expect.any(String) } },
    },
    {
      when: 'the last word is not one of ours',
      pod: endedPod({ secondsSinceEnd: 10, states: withLastWord('out of memory') }),
      facts: LOOKED,
      does: { do: 'write-entry' },
    },
    {
      when: 'another replica took it, whatever the last word is',
      pod: endedPod({ secondsSinceEnd: 10, annotations: NOTED, states: withLastWord(digestOf({ parameters: [] })) }),
      facts: LOOKED,
      does: { do: 'write-entry' },
    },
    {
      when: 'nobody wrote in time and there is no result',
      pod: endedPod({ secondsSinceEnd: 10, annotations: NOTED }),
      facts: { ...LOOKED, watchedResult: undefined },
      does: { do: 'settle', tell: { reason: 'capture-lost', message: expect.any(String) } },
    },
    {
      when: 'the server alone captures',
      facts: { ...LOOKED, plan: planOf({ way: 'server' }) },
      does: { do: 'write-entry' },
    },
    { when: 'capture is off', facts: { ...LOOKED, plan: planOf({ way: 'off' }), held: HELD }, does: { do: 'settle' } },
    // ---- how it ended
    {
      when: 'it failed',
      pod: endedPod({ phase: 'Failed', states: { ...WELL_ENDED, main: { exitCode: 1 } } }),
      facts: { ...LOOKED, held: HELD },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: 'it was evicted',
      pod: endedPod({ phase: 'Failed', reason: 'Evicted' }),
      facts: { ...LOOKED, held: HELD },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: 'it failed by our container alone',
      pod: endedPod({ phase: 'Failed', states: { ...WELL_ENDED, [CAPTURE_CONTAINER]: { exitCode: 137 } } }),
      facts: { ...LOOKED, held: HELD },
      does: { do: 'write-entry' },
    },
    {
      when: "it failed by the template's own sidecar, ended with the step, and Argo takes it as succeeded",
      pod: endedPod({ phase: 'Failed', states: { ...WELL_ENDED, web: { exitCode: 143 } } }),
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, nodePhase: 'Succeeded' } },
      does: { do: 'write-entry' },
    },
    {
      when: "it failed by the template's own sidecar, and Argo has not judged it yet",
      pod: endedPod({ phase: 'Failed', states: { ...WELL_ENDED, web: { exitCode: 137 } } }),
      facts: { ...LOOKED, held: HELD },
      does: { do: 'wait' },
    },
    {
      when: "it failed by the template's own sidecar in a way that is not forgiven",
      pod: endedPod({ phase: 'Failed', states: { ...WELL_ENDED, web: { exitCode: 1 } } }),
      facts: { ...LOOKED, held: HELD },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: 'main itself was killed',
      pod: endedPod({ phase: 'Failed', states: { ...WELL_ENDED, main: { exitCode: 137 } } }),
      facts: { ...LOOKED, held: HELD },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: 'the workflow was being stopped',
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, isShuttingDown: true } },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: 'Argo takes it as failed',
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, nodePhase: 'Error' } },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: 'the Workflow is gone',
      facts: { ...LOOKED, held: HELD, workflow: { is: 'gone' } },
      does: { do: 'settle', tell: { reason: 'workflow-gone', message: expect.any(String) } },
    },
    {
      when: 'the Workflow cannot be read',
      facts: { ...LOOKED, held: HELD, workflow: { is: 'unreadable' } },
      does: { do: 'wait' },
    },
    {
      when: "Argo's word on the node is not there",
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, nodePhase: undefined } },
      does: { do: 'wait' },
    },
    {
      when: "Argo's word on the node does not come within a minute",
      pod: endedPod({ secondsSinceEnd: 61 }),
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, nodePhase: undefined } },
      does: { do: 'settle', tell: { reason: 'step-unjudged', message: expect.any(String) } },
    },
    {
      when: "its node lies in Argo's database, and the workflow runs on",
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, nodePhase: undefined, areNodesOffloaded: true } },
      does: { do: 'write-entry' },
    },
    {
      when: "its node lies in Argo's database, and the workflow was given up",
      facts: {
        ...LOOKED,
        held: HELD,
        workflow: { ...THERE, phase: 'Failed', nodePhase: undefined, areNodesOffloaded: true },
      },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: "the workflow's deadline had passed",
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, deadlineMs: NOW_MS - 5_500 } },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: "the workflow's deadline had passed, by a clock that may be some seconds off",
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, deadlineMs: NOW_MS - 1_000 } },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: "the workflow's deadline is to come",
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, deadlineMs: NOW_MS + 3_600_000 } },
      does: { do: 'write-entry' },
    },
    {
      when: 'the workflow was given up while it ran',
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, phase: 'Error' } },
      does: { do: 'settle', tell: { reason: 'step-failed', message: expect.any(String) } },
    },
    {
      when: 'the workflow failed by another step',
      facts: { ...LOOKED, held: HELD, workflow: { ...THERE, phase: 'Failed', nodePhase: 'Succeeded' } },
      does: { do: 'write-entry' },
    },
    {
      when: 'its template has a time-out, and Argo has not judged it yet',
      facts: { ...LOOKED, held: HELD, plan: TIMED },
      does: { do: 'wait' },
    },
    {
      when: 'its template has a time-out, and Argo takes it as succeeded',
      facts: { ...LOOKED, held: HELD, plan: TIMED, workflow: { ...THERE, nodePhase: 'Succeeded' } },
      does: { do: 'write-entry' },
    },
    {
      when: 'it ended long ago',
      pod: endedPod({ secondsSinceEnd: 301 }),
      facts: { plan: planOf({ way: 'server' }) },
      does: { do: 'settle' },
    },
    {
      when: 'it ended long ago and nothing could be written since',
      pod: endedPod({ secondsSinceEnd: 301 }),
      facts: { ...LOOKED, held: HELD },
      does: { do: 'settle', tell: { reason: 'write-failed', message: expect.any(String) } },
    },
    // ---- what is asked for, in this order
    { when: 'nothing was looked at', facts: { held: HELD }, does: { do: 'look', at: 'plan' } },
    {
      when: 'the Workflow was not looked at',
      facts: { ...LOOKED, held: HELD, workflow: undefined },
      does: { do: 'look', at: 'workflow' },
    },
    {
      when: 'it is no step any more',
      facts: { held: HELD, plan: { ok: false, reason: 'namespace-not-enabled', message: 'm' } },
      does: { do: 'settle', tell: { reason: 'namespace-not-enabled', message: 'm' } },
    },
    // ---- what is there
    {
      when: 'its entry is there',
      facts: { ...LOOKED, held: HELD, isStored: true },
      does: { do: 'settle' },
    },
    {
      when: 'another replica has stored its entry, and may yet see it deleted',
      pod: endedPod({ secondsSinceEnd: 0 }),
      facts: { ...LOOKED, isStored: true },
      does: { do: 'settle' },
    },
    {
      when: 'another replica is to store its entry',
      pod: endedPod({ secondsSinceEnd: 0 }),
      facts: LOOKED,
      does: { do: 'wait', delayMs: 1_000 },
    },
    // ---- the task result
    {
      when: 'its result is not complete',
      pod: endedPod({ secondsSinceEnd: 2 }),
      facts: { ...LOOKED, held: HELD, watchedResult: watchedOf({ isComplete: false }) },
      does: { do: 'wait' },
    },
    {
      when: 'its result does not come',
      facts: { ...LOOKED, held: HELD, watchedResult: undefined },
      does: { do: 'write-entry' },
    },
    {
      when: 'its result contradicts what was posted',
      facts: { ...LOOKED, held: HELD, watchedResult: watchedOf({ value: 'forged' }) },
      does: { do: 'settle', tell: { reason: 'capture-mismatch', message: expect.any(String) } },
    },
    {
      when: 'there was no memory for its outputs',
      facts: { ...LOOKED, held: HELD, watchedResult: letGo(watchedOf()) },
      does: { do: 'look', at: 'result' },
    },
    {
      when: 'there was no memory for its outputs, and they are read',
      facts: { ...LOOKED, watchedResult: letGo(watchedOf()), result: resultOf() },
      pod: endedPod({ secondsSinceEnd: 10, annotations: NOTED }),
      does: { do: 'write-entry' },
    },
    {
      when: 'there was no memory for its outputs, and by now they are gone',
      facts: { ...LOOKED, watchedResult: letGo(watchedOf()), result: 'none' },
      pod: endedPod({ secondsSinceEnd: 10, annotations: NOTED }),
      does: { do: 'settle', tell: { reason: 'capture-lost', message: expect.any(String) } },
    },
    {
      when: 'the result is that of a hit of before',
      facts: { ...LOOKED, held: HELD, watchedResult: watchedOf({ markedFor: 'uid-0', value: 'forged' }) },
      does: { do: 'write-entry' },
    },
    {
      when: 'the result belongs to another Workflow of that name',
      facts: { ...LOOKED, held: HELD, watchedResult: { ...watchedOf({ value: 'forged' }), ownerUids: ['other'] } },
      does: { do: 'write-entry' },
    },
  ])('when $when', ({ pod = endedPod(), facts, does }) => {
    expect(plan(pod, facts)).toMatchObject(does);
  });

  test('a step that reports nothing does not wait for a result on versions that make none', () => {
    const old = planOf({ way: 'server' });
    const silent = { ...old, template: { kind: 'container', template: { container: {} } } } as const;
    const pod = endedPod({ secondsSinceEnd: 0, version: 'v3.4.17' });
    const facts = { ...LOOKED, watchedResult: undefined };
    expect(plan(pod, { ...facts, plan: silent as PodFacts['plan'] })).toMatchObject({ do: 'write-entry' });
    expect(plan(pod, { ...facts, plan: old })).toMatchObject({ do: 'wait' });
  });
});

describe('a pod that our container holds up', () => {
  const stuck = (state: State, secondsSinceEnd = 0, parts = {}) =>
    podOf({
      phase: 'Pending',
      annotations: { 'stepmemo.io/decision': 'miss' },
      states: { ...WELL_ENDED, [CAPTURE_CONTAINER]: state },
      secondsSinceEnd,
      ...parts,
    });

  test.each([...START_FAILURES])('is ended at once when the kubelet says %s', (reason) => {
    expect(plan(stuck({ waiting: reason }))).toMatchObject({ do: 'heal', cause: 'not-started' });
  });

  test.each<Row>([
    { when: 'it is being created', pod: stuck({ waiting: 'ContainerCreating' }), does: { do: 'wait', delayMs: 5000 } },
    { when: 'it is being created for long', pod: stuck({ waiting: 'ContainerCreating' }, 5), does: { do: 'heal' } },
    { when: 'nothing is known of it', pod: stuck('unknown', 1), does: { do: 'wait', delayMs: 4000 } },
    { when: 'nothing is known of it for long', pod: stuck('unknown', 5), does: { do: 'heal', cause: 'not-started' } },
    { when: 'it is at work', pod: stuck('running', 1), does: { do: 'wait', delayMs: 4000 } },
    { when: 'it hangs', pod: stuck('running', 5), does: { do: 'heal', cause: 'hanging' } },
    { when: 'it has ended', pod: stuck({ exitCode: 0 }, 60), does: { do: 'nothing' } },
    {
      when: 'another replica leads',
      pod: stuck({ waiting: 'ErrImagePull' }),
      facts: { isLeader: false },
      does: { do: 'nothing' },
    },
    {
      when: 'the pod is being deleted',
      pod: stuck({ waiting: 'ErrImagePull' }, 60, { isBeingDeleted: true }),
      does: { do: 'nothing' },
    },
    {
      when: 'the step still runs',
      pod: podOf({
        annotations: { 'stepmemo.io/decision': 'miss' },
        states: { wait: 'running', main: { exitCode: 0 }, [CAPTURE_CONTAINER]: { waiting: 'ErrImagePull' } },
        secondsSinceEnd: 60,
      }),
      does: { do: 'nothing' },
    },
    {
      when: 'a sidecar of the user still runs',
      pod: podOf({
        annotations: { 'stepmemo.io/decision': 'miss' },
        states: { ...WELL_ENDED, db: 'running', [CAPTURE_CONTAINER]: { waiting: 'ErrImagePull' } },
        secondsSinceEnd: 60,
      }),
      does: { do: 'nothing' },
    },
    {
      when: 'the pod has no container of ours',
      pod: podOf({ annotations: { 'stepmemo.io/decision': 'miss' }, states: WELL_ENDED, secondsSinceEnd: 60 }),
      does: { do: 'nothing' },
    },
    {
      when: 'the container is the user’s, of our name',
      pod: podOf({ states: { ...WELL_ENDED, [CAPTURE_CONTAINER]: 'running' }, secondsSinceEnd: 60 }),
      does: { do: 'nothing' },
    },
  ])('when $when', ({ pod = stuck('running'), facts, does }) => {
    expect(plan(pod, facts)).toMatchObject(does);
  });
});

describe('a pod that is not where it was', () => {
  const gated = podOf({ gates: [HIT_GATE], annotations: { 'stepmemo.io/decision': 'hit' } });
  const ours = watchedOf({ markedFor: 'uid-1' });

  test.each<Row>([
    { when: 'it left the watch', facts: { hasLeftWatch: true }, does: { do: 'look', at: 'pod' } },
    {
      when: 'it left the watch and had ended',
      pod: endedPod(),
      facts: { ...LOOKED, hasLeftWatch: true, held: HELD },
      does: { do: 'write-entry' },
    },
    { when: 'it is gone', facts: { isGone: true }, does: { do: 'settle' } },
    { when: 'it is gone and settled', facts: { isGone: true, isSettled: true }, does: { do: 'nothing' } },
    {
      when: 'it is gone and its result is there',
      facts: { isGone: true, watchedResult: ours },
      does: { do: 'delete-result' },
    },
    {
      when: 'it is gone, its result is there, and another leads',
      facts: { isGone: true, watchedResult: ours, isLeader: false },
      does: { do: 'settle' },
    },
    {
      when: 'it is gone, and the result is another pod’s',
      facts: { isGone: true, watchedResult: watchedOf({ markedFor: 'uid-2' }) },
      does: { do: 'settle' },
    },
    {
      when: 'it runs, with a result that was made for a hit that had its node before',
      pod: podOf({ annotations: { 'stepmemo.io/decision': 'miss' }, states: { wait: 'unknown', main: 'unknown' } }),
      facts: { watchedResult: watchedOf({ markedFor: 'earlier' }) },
      does: { do: 'delete-result' },
    },
    {
      when: 'it was let go, with a result that was made for its hit',
      pod: podOf({ annotations: { 'stepmemo.io/decision': 'skip' } }),
      facts: { watchedResult: ours },
      does: { do: 'delete-result' },
    },
    {
      when: 'it was let go, with a result of its own',
      pod: podOf({ annotations: { 'stepmemo.io/decision': 'skip' } }),
      facts: { watchedResult: watchedOf() },
      does: { do: 'nothing' },
    },
    {
      when: 'it runs, with a result that was made for its hit',
      pod: podOf({ annotations: { 'stepmemo.io/decision': 'miss' }, states: { wait: 'running', main: 'running' } }),
      facts: { watchedResult: ours },
      does: { do: 'delete-result' },
    },
  ])('when $when', ({ pod = gated, facts, does }) => {
    expect(plan(pod, facts)).toMatchObject(does);
  });
});
