import {
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type KubeResult,
  RESOURCES,
} from '../../../src/kube/types.ts';

/** A token that says this of itself; whether that is so only its signature tells. */
export function tokenOf(claims: unknown): string {
  const part = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part(claims)}.c2VjcmV0`;
}

export const GOOD_TOKEN = tokenOf({ aud: ['stepmemo'], exp: 4_000_000_000 });

/** The status of a TokenReview for a token that is bound to a pod. */
export function boundTo(namespace: string, podName: string, podUid: string) {
  return {
    authenticated: true,
    audiences: ['stepmemo'],
    user: {
      username: `system:serviceaccount:${namespace}:runner`,
      extra: {
        'authentication.kubernetes.io/pod-name': [podName],
        'authentication.kubernetes.io/pod-uid': [podUid],
      },
    },
  };
}

/** An API server that knows TokenReviews alone. */
export class FakeKube implements KubeApi {
  /** The specs that were asked about. */
  readonly reviews: unknown[] = [];
  status: unknown = boundTo('team-a', 'step-1', 'uid-1');
  failure: KubeFailure | undefined;
  #held: Promise<void> = Promise.resolve();

  /** Answers nothing until the returned function is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    return resolve;
  }

  async create(path: { resource: unknown }, body: KubeObject): Promise<KubeResult<KubeObject>> {
    if (path.resource !== RESOURCES.tokenReviews) throw new Error('only token reviews are created here');
    this.reviews.push(body.spec);
    await this.#held;
    return this.failure ?? { ok: true, value: { ...body, status: this.status } };
  }

  get = refuse;
  patch = refuse;
  remove = refuse;
  list = refuse;
}

async function refuse(): Promise<never> {
  throw new Error('not for the capture endpoint');
}
