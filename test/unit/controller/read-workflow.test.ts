import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readWorkflow } from '../../../src/controller/read-workflow.ts';
import type { KubeApi } from '../../../src/kube/types.ts';

const STEP = { namespace: 'team', workflowName: 'wf', workflowUid: 'wf-uid', nodeId: 'wf-1' };
const NODES = { 'wf-1': { id: 'wf-1', phase: 'Succeeded', outputs: { exitCode: '0' } } };
const packed = (json: string) => gzipSync(json).toString('base64');

function serving(answer: object): Pick<KubeApi, 'get'> {
  return { get: async () => answer as Awaited<ReturnType<KubeApi['get']>> };
}

const workflow = (status: object, spec: object = {}) =>
  readWorkflow(serving({ ok: true, value: { metadata: { uid: 'wf-uid' }, spec, status } }), STEP);

describe('a look at the Workflow of a step', () => {
  it('finds the node, packed or not', async () => {
    const found = { value: { is: 'there', nodePhase: 'Succeeded', hasNodeOutputs: true, areNodesOffloaded: false } };
    expect(await workflow({ nodes: NODES })).toMatchObject(found);
    expect(await workflow({ compressedNodes: packed(JSON.stringify(NODES)) })).toMatchObject(found);
  });

  it.each([
    ['no base64', '%%%'],
    ['no gzip', Buffer.from('{}').toString('base64')],
    ['no JSON', packed('{')],
    ['no nodes', packed('[1]')],
    ['too much to unpack', packed(JSON.stringify(' '.repeat(33 * 1024 * 1024)))],
  ])('finds it unreadable where its packed nodes are %s', async (_, compressedNodes) => {
    expect(await workflow({ compressedNodes })).toEqual({ ok: true, value: { is: 'unreadable' } });
  });

  it("knows when nodes are in Argo's database", async () => {
    expect(await workflow({ offloadNodeStatusVersion: 'fnv:1' })).toMatchObject({
      value: { areNodesOffloaded: true, nodePhase: undefined },
    });
  });

  it('knows the deadline, the own one before that of the stored template', async () => {
    const startedAt = '2026-01-01T00:00:00Z';
    const stored = { startedAt, storedWorkflowTemplateSpec: { activeDeadlineSeconds: 60 } };
    const deadlineOf = async (status: object, spec = {}) => {
      const answer = await workflow(status, spec);
      return answer.ok && answer.value.is === 'there' ? answer.value.deadlineMs : 'unknown';
    };
    expect(await deadlineOf(stored)).toBe(Date.parse('2026-01-01T00:01:00Z'));
    expect(await deadlineOf(stored, { activeDeadlineSeconds: 10 })).toBe(Date.parse('2026-01-01T00:00:10Z'));
    expect(await deadlineOf({ startedAt })).toBeUndefined();
    expect(await deadlineOf({}, { activeDeadlineSeconds: 10 })).toBeUndefined();
  });

  it.each([
    ['is not there', { ok: false, status: 404, reason: 'NotFound', message: '' }],
    ['is another one of that name', { ok: true, value: { metadata: { uid: 'other' } } }],
  ])('finds it gone where it %s', async (_, answer) => {
    expect(await readWorkflow(serving(answer), STEP)).toEqual({ ok: true, value: { is: 'gone' } });
  });

  it('makes nothing of an answer that is none', async () => {
    const failure = { ok: false, status: 503, reason: 'ServiceUnavailable', message: 'm' };
    expect(await readWorkflow(serving(failure), STEP)).toBe(failure);
  });
});
