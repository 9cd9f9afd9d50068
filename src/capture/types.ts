import type { Captured } from '../sidecar/captured.ts';

/** What a sidecar read, as its pod posted it: the sender is authenticated, the content is not trusted yet. */
export interface CapturePost {
  readonly namespace: string;
  readonly podName: string;
  /** From the token, never from the body. */
  readonly podUid: string;
  /** The pod's service account, `system:serviceaccount:<namespace>:<name>`, from the token. */
  readonly account: string;
  readonly captured: Captured;
  /** Size of the body that `captured` came in. */
  readonly sizeBytes: number;
}

/**
 * The answer to a post, as HTTP knows it:
 * - 200 taken, or taken before with the same content: the sidecar is done
 * - 403 the pod is not one that stepmemo captures
 * - 404 there is no such pod
 * - 409 other outputs were taken for this pod before, or it ended long ago
 * - 413 more than is taken for one pod
 * - 429 this replica holds as much as it may: another one may have room
 * - 503 the API server did not answer, or this replica is not ready: try again
 */
export interface CaptureAnswer {
  readonly status: 200 | 403 | 404 | 409 | 413 | 429 | 503;
  readonly message: string;
}

/** Where the capture endpoint hands over what it received; the controller implements it. Never rejects. */
export interface CaptureSink {
  accept(post: CapturePost): Promise<CaptureAnswer>;
}
