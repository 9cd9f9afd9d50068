import { z } from 'zod';
import { CAPTURE_AUDIENCE } from '../base/names.ts';
import { type KubeApi, RESOURCES } from '../kube/types.ts';

/** The pod that a token was made for, as the API server says. */
export interface Caller {
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  /** `system:serviceaccount:<namespace>:<name>`. */
  readonly account: string;
}

export type Authentication =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly status: 401 | 403 | 503; readonly message: string };

const BEARER = /^Bearer ([\w.~+/=-]+)$/i;
const ACCOUNT = /^system:serviceaccount:([^:]+):[^:]+$/;
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';

const reviewSchema = z.object({
  status: z.object({
    authenticated: z.boolean().default(false),
    audiences: z.array(z.string()).nullish(),
    user: z
      .object({
        username: z.string().default(''),
        extra: z.record(z.string(), z.array(z.string())).nullish(),
      })
      .optional(),
  }),
});

/**
 * Asks the API server whose token this is (TokenReview, audience `stepmemo`). Only a token that is bound to a pod counts: the
 * API server vouches for the pod's name and UID then, and takes the token back with the pod.
 */
export async function authenticate(
  kube: KubeApi,
  authorization: string | undefined,
  nowMs = Date.now(),
): Promise<Authentication> {
  const token = BEARER.exec(authorization ?? '')?.[1];
  if (token === undefined) return { ok: false, status: 401, message: 'a bearer token is needed' };
  // Anybody can send tokens, and each review is a call: what says itself that it is for others is not worth one.
  if (!mayBeForUs(token, nowMs)) {
    return { ok: false, status: 401, message: `the token is not one for the audience ${CAPTURE_AUDIENCE}` };
  }
  const answer = await kube.create(
    { resource: RESOURCES.tokenReviews },
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [CAPTURE_AUDIENCE] },
    },
  );
  if (!answer.ok) return { ok: false, status: 503, message: `the token could not be verified (${answer.status})` };
  const review = reviewSchema.safeParse(answer.value);
  if (!review.success) return { ok: false, status: 503, message: 'the token could not be verified' };
  const { authenticated, audiences, user } = review.data.status;
  // An authenticator that knows nothing of audiences leaves them out: then the token is one for the API server.
  if (!authenticated || !audiences?.includes(CAPTURE_AUDIENCE)) {
    return { ok: false, status: 401, message: `the token is not valid for the audience ${CAPTURE_AUDIENCE}` };
  }
  return readCaller(user?.username ?? '', user?.extra ?? {});
}

const claimsSchema = z.object({
  aud: z.union([z.string(), z.array(z.string())]),
  exp: z.number().optional(),
});
/** The clock of the API server is not ours. */
const CLOCK_SKEW_SECONDS = 300;

/** What the token says of itself, unverified: a service account's is a JWT, with audiences and an end. */
function mayBeForUs(token: string, nowMs: number): boolean {
  const [, payload = '', signature] = token.split('.');
  if (signature === undefined) return false;
  try {
    const claims = claimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
    const isAlive = claims.exp === undefined || claims.exp + CLOCK_SKEW_SECONDS > nowMs / 1000;
    return isAlive && [claims.aud].flat().includes(CAPTURE_AUDIENCE);
  } catch {
    return false;
  }
}

function readCaller(account: string, extra: Readonly<Record<string, readonly string[]>>): Authentication {
  const namespace = ACCOUNT.exec(account)?.[1];
  const podName = onlyValue(extra[POD_NAME]);
  const podUid = onlyValue(extra[POD_UID]);
  if (namespace === undefined || podName === undefined || podUid === undefined) {
    return { ok: false, status: 403, message: 'the token is not bound to a pod' };
  }
  return { ok: true, caller: { namespace, podName, podUid, account } };
}

function onlyValue(values: readonly string[] | undefined): string | undefined {
  const [value] = values ?? [];
  return values?.length === 1 && value !== '' ? value : undefined;
}
