import { describe, expect, it } from 'vitest';
import { readOwnImage } from '../../../src/kube/own-pod.ts';
import type { KubeFailure, KubeObject, KubeResult } from '../../../src/kube/types.ts';

const failure = (status: number): KubeFailure => ({ ok: false, status, reason: '', message: 'no' });
const pod = (containers: unknown): KubeResult<KubeObject> => ({ ok: true, value: { spec: { containers } } });

async function read(answers: readonly KubeResult<KubeObject>[]) {
  const asked: unknown[] = [];
  const waits: number[] = [];
  const get = async (path: unknown) => answers[asked.push(path) - 1] ?? failure(404);
  const log = { warn: () => {} };
  const wait = async (ms: number) => void waits.push(ms);
  const image = await readOwnImage({ kube: { get }, namespace: 'stepmemo', pod: 'p', container: 'server', log, wait });
  return { image, asked, waits };
}

describe('the image of our own pod', () => {
  it('is the one in its spec', async () => {
    const containers = [
      { name: 'proxy', image: 'mesh:1' },
      { name: 'server', image: 'registry.example/stepmemo:1.2.3' },
    ];
    const { image, asked } = await read([pod(containers)]);
    expect(image).toBe('registry.example/stepmemo:1.2.3');
    expect(asked).toEqual([expect.objectContaining({ namespace: 'stepmemo', name: 'p' })]);
  });

  it.each([0, 429, 500, 503])('waits for an API server that answers %d', async (status) => {
    const { image, waits } = await read([failure(status), failure(status), pod([{ name: 'server', image: 'a:1' }])]);
    expect(image).toBe('a:1');
    expect(waits).toHaveLength(2);
  });

  it.each([403, 404])('is not known where the API server says %d', async (status) => {
    expect(await read([failure(status)])).toMatchObject({ image: undefined, waits: [] });
  });

  it.each([[[]], [[{ name: 'other', image: 'a:1' }]], ['text']])(
    'is not known of a pod with %j',
    async (containers) => {
      expect(await read([pod(containers)])).toMatchObject({ image: undefined });
    },
  );
});
