import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HIT_GATE, MISS_GATE } from '../../../src/base/names.ts';
import type { Action } from '../../../src/controller/actions.ts';
import type { PodFacts } from '../../../src/controller/facts.ts';
import { planPod } from '../../../src/controller/plan-pod.ts';
import {
  ENTRY,
  factsOf,
  HIT,
  MISS,
  NOW_MS,
  type PodParts,
  podOf,
  RUNNING_WORKFLOW,
  resultOf,
  SETTINGS,
  SKIP,
} from './facts.ts';

const DECIDED_HIT = { 'stepmemo.io/decision': 'hit' };
const THERE = { ...RUNNING_WORKFLOW, nodePhase: 'Pending', hasNodeOutputs: false } as const;
const OURS = resultOf({ markedFor: 'uid-1' });
const FAILED_OFTEN = { count: 5, sinceMs: NOW_MS - 15_000, message: 'refused' };
const HOPELESS = { count: 10, sinceMs: NOW_MS - 30_000, message: 'refused' };

interface Row {
  readonly when: string;
  readonly pod?: PodParts;
  readonly facts?: Partial<PodFacts>;
  /** What the plan has to say. */
  readonly does: Partial<Action>;
}

function plan({ pod = {}, facts = {} }: Pick<Row, 'pod' | 'facts'>): Action {
  const gated = podOf({ gates: [HIT_GATE], annotations: DECIDED_HIT, ...pod });
  return planPod(factsOf(gated, facts), SETTINGS);
}

describe('the way of a gated pod', () => {
  test.each<Row>([
    { when: 'it has ended', pod: { phase: 'Succeeded' }, does: { do: 'nothing' } },
    { when: 'another replica leads', facts: { isLeader: false }, does: { do: 'nothing' } },
    { when: 'it is being deleted', pod: { isBeingDeleted: true }, does: { do: 'nothing' } },
    { when: 'caches and policies are not read yet', facts: { isClusterSynced: false }, does: { do: 'wait' } },
    // ---- Argo has given it up
    {
      when: 'it is labelled completed',
      pod: { labels: { 'workflows.argoproj.io/completed': 'true' } },
      does: { do: 'look', at: 'result' },
    },
    {
      when: 'it is labelled completed and has no result',
      pod: { labels: { 'workflows.argoproj.io/completed': 'true' } },
      facts: { result: 'none' },
      does: { do: 'delete-pod' },
    },
    {
      when: 'it is labelled completed and has a result of ours',
      pod: { labels: { 'workflows.argoproj.io/completed': 'true' } },
      facts: { result: OURS },
      does: { do: 'delete-result' },
    },
    {
      when: 'it is labelled completed and its result cannot be read nor deleted for long',
      pod: { labels: { 'workflows.argoproj.io/completed': 'true' } },
      facts: { result: 'unreadable', failures: HOPELESS },
      does: { do: 'delete-pod' },
    },
    // ---- not trusted
    {
      when: 'the policies are missing',
      facts: { arePoliciesInstalled: false, result: 'none', workflow: THERE },
      does: { do: 'release', decision: 'skip', reason: 'policies-missing' },
    },
    {
      when: 'the policies are missing and a result has the mark',
      facts: { arePoliciesInstalled: false, result: OURS },
      does: { do: 'delete-result' },
    },
    {
      when: 'it has no decision',
      pod: { annotations: {} },
      facts: { result: 'none', workflow: THERE, decision: HIT },
      does: { do: 'release', decision: 'skip', reason: 'gate-unknown' },
    },
    {
      when: 'it was decided as a miss',
      pod: { annotations: { 'stepmemo.io/decision': 'miss' } },
      facts: { result: 'none', workflow: THERE, decision: HIT },
      does: { do: 'release', decision: 'skip', reason: 'gate-unknown' },
    },
    {
      when: 'it carries the gate of coalescing',
      pod: { gates: [MISS_GATE] },
      facts: { result: 'none', workflow: THERE, decision: HIT },
      does: { do: 'release', decision: 'skip', reason: 'gate-unknown' },
    },
    // ---- decided anew
    { when: 'nothing was decided yet', does: { do: 'look', at: 'decision' } },
    { when: 'it is a hit', facts: { decision: HIT }, does: { do: 'make-result' } },
    {
      when: 'it is a hit beside a foreign gate',
      pod: { gates: ['foreign', HIT_GATE] },
      facts: { decision: HIT },
      does: { do: 'nothing' },
    },
    {
      when: 'its result is made',
      facts: { decision: HIT, resultMadeAtMs: NOW_MS },
      does: { do: 'complete' },
    },
    {
      when: 'the entry lacks an output after all',
      facts: {
        decision: { ...HIT, entry: { ...ENTRY, outputs: null } },
        result: 'none',
        workflow: THERE,
      },
      does: { do: 'release', decision: 'miss', reason: 'incomplete-entry' },
    },
    { when: 'it is a miss now', facts: { decision: MISS }, does: { do: 'look', at: 'result' } },
    {
      when: 'it is a miss now and has no result',
      facts: { decision: MISS, result: 'none' },
      does: { do: 'look', at: 'workflow' },
    },
    {
      when: 'it is a miss now, has no result and its Workflow is there',
      facts: { decision: MISS, result: 'none', workflow: THERE },
      does: { do: 'release', decision: 'miss', reason: 'no-entry' },
    },
    {
      when: 'it is a miss now and its Workflow cannot be read',
      facts: { decision: MISS, result: 'none', workflow: { is: 'unreadable' } },
      does: { do: 'release', decision: 'miss' },
    },
    {
      when: 'it is a miss now and its Workflow is gone',
      facts: { decision: MISS, result: 'none', workflow: { is: 'gone' } },
      does: { do: 'delete-pod' },
    },
    {
      when: 'it is a miss now, beside a foreign gate',
      pod: { gates: ['foreign', HIT_GATE] },
      facts: { decision: MISS, result: 'none', workflow: THERE },
      does: { do: 'release', decision: 'miss' },
    },
    {
      when: 'it is a miss now but its result is made: forward only',
      facts: { decision: MISS, result: OURS, resultMadeAtMs: NOW_MS },
      does: { do: 'complete' },
    },
    {
      when: 'it is a miss now and the result is another pod’s',
      facts: { decision: MISS, result: resultOf({ markedFor: 'another' }), workflow: THERE },
      does: { do: 'delete-result' },
    },
    {
      when: 'it is a miss now and the result is the executor’s of before',
      facts: { decision: MISS, result: resultOf(), workflow: THERE },
      does: { do: 'release', decision: 'miss' },
    },
    {
      when: 'it is a miss now and the result cannot be read',
      facts: { decision: MISS, result: 'unreadable' },
      does: { do: 'retry' },
    },
    {
      when: 'it is no step to act on',
      facts: { decision: SKIP, result: 'none', workflow: THERE },
      does: { do: 'release', decision: 'skip', reason: 'daemon' },
    },
    {
      when: 'it is no step to act on and its result is made',
      facts: { decision: SKIP, result: OURS },
      does: { do: 'delete-result' },
    },
    // ---- refused again and again
    {
      when: 'it was refused often',
      facts: { decision: HIT, failures: FAILED_OFTEN, result: 'none', workflow: THERE },
      does: { do: 'release', decision: 'skip', reason: 'internal-error', message: 'refused' },
    },
    {
      when: 'it was refused often, in a short time',
      facts: { decision: HIT, failures: { ...FAILED_OFTEN, sinceMs: NOW_MS - 1000 } },
      does: { do: 'make-result' },
    },
    {
      when: 'it was refused often and a result is in the way',
      facts: { failures: FAILED_OFTEN, result: OURS },
      does: { do: 'delete-result' },
    },
    {
      when: 'all is refused for long',
      facts: { failures: HOPELESS, result: OURS },
      does: { do: 'release', decision: 'skip' },
    },
  ])('when $when', ({ pod, facts, does }) => {
    expect(plan({ ...(pod && { pod }), ...(facts && { facts }) })).toMatchObject(does);
  });

  describe('on versions that may see the pod before its result', () => {
    const racing = { version: 'v3.6.10' };
    const made = (agoMs: number): Partial<PodFacts> => ({ decision: HIT, resultMadeAtMs: NOW_MS - agoMs });
    test.each<Row>([
      { when: 'the result was just made', facts: made(0), does: { do: 'wait', delayMs: 200 } },
      { when: 'there was time to read it', facts: made(500), does: { do: 'look', at: 'workflow' } },
      {
        when: 'the Workflow does not show it yet',
        facts: { ...made(500), workflow: THERE },
        does: { do: 'wait', delayMs: 400 },
      },
      {
        when: 'the Workflow shows it',
        facts: { ...made(500), workflow: { ...THERE, hasNodeOutputs: true } },
        does: { do: 'complete' },
      },
      { when: 'the Workflow is gone', facts: { ...made(500), workflow: { is: 'gone' } }, does: { do: 'complete' } },
      {
        when: 'the Workflow cannot be read',
        facts: { ...made(500), workflow: { is: 'unreadable' } },
        does: { do: 'wait' },
      },
      {
        when: 'little time is left',
        facts: { ...made(2900), workflow: THERE },
        does: { do: 'wait', delayMs: 100 },
      },
      { when: 'the time is over', facts: made(3000), does: { do: 'complete' } },
    ])('when $when', ({ facts, does }) => {
      expect(plan({ pod: racing, ...(facts && { facts }) })).toMatchObject(does);
    });

    test('a step without outputs does not wait', () => {
      const result = { ...OURS, outputs: { exitCode: '0' } };
      const facts = { decision: MISS, result, resultMadeAtMs: NOW_MS };
      expect(plan({ pod: racing, facts })).toMatchObject({ do: 'complete' });
    });
  });
});

describe('any gated pod', () => {
  const facts = fc.record({
    nowMs: fc.constant(NOW_MS),
    isClusterSynced: fc.boolean(),
    arePoliciesInstalled: fc.boolean(),
    failures: fc.constantFrom(undefined, FAILED_OFTEN, HOPELESS),
    decision: fc.constantFrom(undefined, HIT, MISS, SKIP),
    result: fc.constantFrom(undefined, 'none' as const, 'unreadable' as const, OURS, resultOf()),
    workflow: fc.constantFrom(undefined, THERE, { is: 'gone' as const }, { is: 'unreadable' as const }),
    resultMadeAtMs: fc.constantFrom(undefined, NOW_MS, NOW_MS - 500, NOW_MS - 60_000),
  });
  const pods = fc.record({
    gates: fc.constantFrom([HIT_GATE], [MISS_GATE], [HIT_GATE, MISS_GATE], ['foreign', HIT_GATE]),
    annotations: fc.constantFrom({}, DECIDED_HIT, { 'stepmemo.io/decision': 'miss' }),
    labels: fc.constantFrom({}, { 'workflows.argoproj.io/completed': 'true' }),
    version: fc.constantFrom('4.0.5', 'v3.4.17', 'latest'),
    hasStatus: fc.boolean(),
  });

  test('gets on: it is ended, released or deleted, or looked at again in a bounded time', () => {
    fc.assert(
      fc.property(pods, facts, (pod, rest) => {
        const action = planPod(factsOf(podOf(pod), rest), SETTINGS);
        if (action.do === 'wait') expect(action.delayMs).toBeLessThanOrEqual(SETTINGS.taskResultWaitMs);
        if (action.do === 'nothing') expect(pod.gates).toContain('foreign');
        expect(action.do).not.toBe('settle');
      }),
      { numRuns: 3000 },
    );
  });

  /** Plays the looks and deeds, all of which succeed, until the way ends. */
  test('comes to its end when everything it asks for is granted', () => {
    fc.assert(
      fc.property(
        pods.filter(({ gates }) => gates.every((gate) => gate !== 'foreign')),
        fc.constantFrom(HIT, MISS, SKIP),
        fc.constantFrom('none' as const, OURS, resultOf()),
        fc.constantFrom(THERE, { is: 'gone' as const }),
        (pod, decision, result, workflow) => {
          let known = factsOf(podOf(pod), {});
          const path: string[] = [];
          for (let round = 0; round < 20; round += 1) {
            const action = planPod(known, SETTINGS);
            path.push(action.do);
            if (action.do === 'complete') return decision.decision !== 'skip';
            if (action.do === 'release' || action.do === 'delete-pod') return known.result !== OURS;
            known = grant(known, action, { decision, result, workflow });
          }
          throw new Error(`no end: ${path.join(' ')}`);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

function grant(
  known: PodFacts,
  action: Action,
  answers: Required<Pick<PodFacts, 'decision' | 'result' | 'workflow'>>,
): PodFacts {
  switch (action.do) {
    case 'look': {
      const isFound = action.at === 'result' && answers.result === OURS;
      const resultMadeAtMs = known.resultMadeAtMs ?? (isFound ? known.nowMs : undefined);
      return { ...known, resultMadeAtMs, [action.at]: answers[action.at as 'decision'] };
    }
    case 'make-result':
      return { ...known, resultMadeAtMs: known.nowMs };
    case 'delete-result':
      return { ...known, result: 'none', resultMadeAtMs: undefined };
    case 'wait':
      return { ...known, nowMs: known.nowMs + action.delayMs, workflow: undefined };
    default:
      throw new Error(`unexpected: ${action.do}`);
  }
}
