import { z } from 'zod';
import type { KubeApi } from './types.ts';

const SELF = { group: 'authentication.k8s.io', version: 'v1', resource: 'selfsubjectreviews' };
const reviewSchema = z.object({ status: z.object({ userInfo: z.object({ username: z.string() }) }) });

/**
 * Whether this process acts as the account that it is to act as. The admission policies know that one by name, and refuse
 * all that another writes.
 *
 * @returns what is wrong, as half a sentence; undefined where nothing is, or where the API server does not say
 */
export async function judgeOwnAccount(kube: Pick<KubeApi, 'create'>, expected: string): Promise<string | undefined> {
  const made = await kube.create(
    { resource: SELF },
    { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  );
  const username = made.ok ? reviewSchema.safeParse(made.value).data?.status.userInfo.username : undefined;
  if (username === undefined || username === expected) return undefined;
  return `it acts as ${username}, and the admission policies expect ${expected}: nothing is served or captured`;
}
