import { describe, expect, it } from 'vitest';
import type { TaskResult } from '../../../src/argo/task-result.ts';
import { sweepResults } from '../../../src/controller/sweep.ts';
import type { KubeObject, KubeResult, PageOptions } from '../../../src/kube/types.ts';
import { endedPod, podObject, resultOf } from './facts.ts';

const WORKFLOW_PODS = 10_000;

/** The pods of one large workflow, of which the last alone is ours; pages as they are asked for. */
function largeWorkflow(failAtPage = Number.POSITIVE_INFINITY) {
  const asked: number[] = [];
  const removed: string[] = [];
  const podAt = (index: number): KubeObject => {
    const isOurs = index === WORKFLOW_PODS - 1;
    const pod = (isOurs ? endedPod().body.value : undefined) ?? podObject();
    return { ...pod, metadata: { ...pod.metadata, name: `p-${index}`, uid: isOurs ? 'ours' : `uid-${index}` } };
  };
  return {
    asked,
    removed,
    kube: {
      listPage: async (_: unknown, { limit = WORKFLOW_PODS, continue: token = '0' }: PageOptions) => {
        asked.push(limit);
        if (asked.length === failAtPage) return { ok: false, status: 500, reason: '', message: 'no' } as const;
        const from = Number(token);
        const items = Array.from({ length: limit }, (__, index) => podAt(from + index));
        const next = from + limit < WORKFLOW_PODS ? String(from + limit) : undefined;
        return { ok: true, value: { items, resourceVersion: '1', continue: next } } as const;
      },
      remove: async (path: { name: string }): Promise<KubeResult<KubeObject>> => {
        removed.push(path.name);
        return { ok: true, value: {} as KubeObject };
      },
    },
  };
}

const sweep = (workflow: ReturnType<typeof largeWorkflow>, results: readonly TaskResult[]) => {
  const seen: string[] = [];
  const isWhole = sweepResults({
    kube: workflow.kube,
    results,
    isOfInterest: () => true,
    isKnown: () => false,
    isNodeKnown: () => false,
    onPod: ({ uid }) => void seen.push(uid),
    onOrphan: () => {},
    isEnded: () => false,
  });
  return isWhole.then((whole) => ({ whole, seen }));
};

describe('the sweep of a new leader', () => {
  it('goes through a large workflow page by page, and keeps what may be ours', async () => {
    const workflow = largeWorkflow();
    expect(await sweep(workflow, [resultOf()])).toEqual({ whole: true, seen: ['ours'] });
    expect(Math.max(...workflow.asked)).toBeLessThanOrEqual(100);
    expect(workflow.asked).toHaveLength(100);
  });

  it('takes a result of ours away only where its pod is on no page', async () => {
    const workflow = largeWorkflow();
    const results = [resultOf({ markedFor: 'uid-9000' }), { ...resultOf({ markedFor: 'gone' }), nodeId: 'wf-2' }];
    await sweep(workflow, results);
    expect(workflow.removed).toEqual(['wf-2']);
  });

  it('takes nothing away where it could not see all, and says that it has to be done again', async () => {
    const workflow = largeWorkflow(50);
    expect(await sweep(workflow, [resultOf({ markedFor: 'gone' })])).toMatchObject({ whole: false });
    expect(workflow.removed).toEqual([]);
  });
});
