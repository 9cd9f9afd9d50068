import { describe, expect, it } from 'vitest';
import { judgeOwnAccount } from '../../../src/kube/own-account.ts';
import type { KubeApi, KubeObject } from '../../../src/kube/types.ts';

const expected = 'system:serviceaccount:stepmemo:stepmemo';

const kubeOf = (answer: Awaited<ReturnType<KubeApi['create']>>) => ({ create: async () => answer });
const review = (username: string) => kubeOf({ ok: true, value: { status: { userInfo: { username } } } as KubeObject });

describe('judgeOwnAccount', () => {
  it('finds nothing wrong with the account that the policies know', async () => {
    expect(await judgeOwnAccount(review(expected), expected)).toBeUndefined();
  });

  it('names another one, and the one that is expected', async () => {
    const other = 'system:serviceaccount:memo:memo';
    const trouble = await judgeOwnAccount(review(other), expected);
    expect(trouble).toContain(other);
    expect(trouble).toContain(expected);
  });

  it.each([
    ['no answer', kubeOf({ ok: false, status: 403, reason: 'Forbidden', message: 'no' })],
    ['another answer', kubeOf({ ok: true, value: {} as KubeObject })],
  ])('says nothing of %s', async (_, kube) => {
    expect(await judgeOwnAccount(kube, expected)).toBeUndefined();
  });
});
