import { isUtf8 } from 'node:buffer';
import express, { type ErrorRequestHandler, type Express, type Request } from 'express';
import type { z } from 'zod';
import type { Log } from '../base/log.ts';
import { readBody } from '../base/read-body.ts';
import { plainText } from '../base/text.ts';
import type { KubeApi } from '../kube/types.ts';
import { type Captured, capturedSchema } from '../sidecar/captured.ts';
import { CONTRACT_HEADER, CONTRACT_VERSION } from '../sidecar/contract.ts';
import type { RecordEvent } from '../telemetry/events.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { authenticate, type Caller } from './authenticate.ts';
import { InFlightGate, RateLimit } from './limits.ts';
import type { CaptureSink } from './types.ts';

export const CAPTURE_PATH = '/capture/v1/outputs';

/** How much one client, and all of them together, may ask of a replica at a time. */
export interface CaptureLimits {
  /** Posts under way: in all, and from one address (many pods may share one). */
  readonly inFlight: number;
  readonly inFlightPerAddress: number;
  /** Posts of one pod within the window; a sidecar makes three at most. */
  readonly postsPerPod: number;
  readonly postsWindowMs: number;
  /** A sidecar gives up after 250 ms. */
  readonly bodyTimeoutMs: number;
}

const LIMITS: CaptureLimits = {
  inFlight: 64,
  inFlightPerAddress: 16,
  postsPerPod: 10,
  postsWindowMs: 10_000,
  bodyTimeoutMs: 2_000,
};

export interface CaptureAppOptions {
  readonly kube: KubeApi;
  readonly sink: CaptureSink;
  readonly config: { readonly captureLimitBytes: number };
  readonly log: Log;
  readonly metrics?: Pick<Metrics, 'captureRequest' | 'foreignSidecar'>;
  readonly recordEvent?: RecordEvent;
  readonly limits?: Partial<CaptureLimits>;
}

interface Reply {
  readonly status: number;
  readonly message: string;
}
type Taken<T> = { readonly ok: true; readonly value: T } | ({ readonly ok: false } & Reply);

/**
 * The capture endpoint as an express application: POST /capture/v1/outputs takes what a sidecar read, and hands it to the
 * sink. Every answer is JSON, `{message}`, and closes the connection: a sidecar asks once.
 *
 * The order is what protects the replica: sizes by the headers, a place among those under way, who it is (TokenReview), how
 * often, and only then the body. Nothing of a body or of a token is ever logged.
 */
export function createCaptureApp(options: CaptureAppOptions): Express {
  const { log, metrics } = options;
  const takePost = createTakePost(options);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((_request, response, next) => {
    response.set({ Connection: 'close', 'Cache-Control': 'no-store' });
    next();
  });
  app.post(CAPTURE_PATH, async (request, response) => {
    const { status, message } = await takePost(request);
    metrics?.captureRequest(status);
    if (status === 401) response.set('WWW-Authenticate', 'Bearer');
    if (status === 429 || status === 503) response.set('Retry-After', '1');
    response.status(status).json({ message });
  });
  app.all(CAPTURE_PATH, (_, response) => void response.status(405).set('Allow', 'POST').json({ message: 'use POST' }));
  app.use((_, response) => void response.status(404).json({ message: 'no such path' }));
  const answerError: ErrorRequestHandler = (error: unknown, _request, response, next) => {
    log.error({ err: error }, 'a capture failed');
    if (response.headersSent) return next(error);
    metrics?.captureRequest(500);
    response.status(500).json({ message: 'internal error' });
  };
  app.use(answerError);
  return app;
}

function createTakePost(options: CaptureAppOptions): (request: Request) => Promise<Reply> {
  const { kube, sink, config, log, limits } = options;
  const { inFlight, inFlightPerAddress, postsPerPod, postsWindowMs, bodyTimeoutMs } = { ...LIMITS, ...limits };
  const gate = new InFlightGate({ total: inFlight, perClient: inFlightPerAddress });
  const rate = new RateLimit({ count: postsPerPod, windowMs: postsWindowMs });
  const limitBytes = config.captureLimitBytes;

  const takeFrom = async (request: Request, caller: Caller): Promise<Reply> => {
    if (!rate.use(caller.podUid, performance.now())) return { status: 429, message: 'too many posts from this pod' };
    const body = await readBody(request, { limitBytes, timeoutMs: bodyTimeoutMs });
    if (!body.ok) return body;
    const captured = parseCaptured(body.bytes);
    if (!captured.ok) return captured;
    return sink.accept({ ...caller, captured: captured.value, sizeBytes: body.bytes.length });
  };

  return async (request) => {
    const refusal = judgeHeaders(request, limitBytes);
    if (refusal) return refusal;
    const leave = gate.enter(request.socket.remoteAddress ?? '');
    if (!leave) return { status: 503, message: 'too many posts at the same time' };
    try {
      const authentication = await authenticate(kube, request.headers.authorization);
      if (!authentication.ok) {
        log.info({ status: authentication.status, why: authentication.message }, 'capture refused');
        return authentication;
      }
      const { caller } = authentication;
      noteContract(options, caller, request.headers[CONTRACT_HEADER]);
      const { status, message } = await takeFrom(request, caller);
      log.info({ namespace: caller.namespace, pod: caller.podName, status, why: message }, 'capture');
      return { status, message };
    } finally {
      leave();
    }
  };
}

/** A sidecar of another version is understood or refused by what it posts; that it is another one is said all the same. */
function noteContract({ metrics, recordEvent }: CaptureAppOptions, caller: Caller, header: unknown): void {
  if (header === CONTRACT_VERSION) return;
  metrics?.foreignSidecar();
  const { namespace, podName: name, podUid: uid } = caller;
  const version = typeof header === 'string' ? plainText(header).slice(0, 20) : 'none';
  recordEvent?.({
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
    type: 'Warning',
    reason: 'sidecar-version',
    message: `the sidecar speaks contract ${version}, the server ${CONTRACT_VERSION}`,
  });
}

/** What can be refused without asking anybody. */
function judgeHeaders(request: Request, limitBytes: number): Reply | undefined {
  if (!request.is('application/json')) return { status: 415, message: 'the body has to be application/json' };
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') return { status: 415, message: 'the body must not be compressed' };
  const length = request.headers['content-length'];
  if (length === undefined) return { status: 411, message: 'a content-length is needed' };
  if (Number(length) > limitBytes) return { status: 413, message: `more than ${limitBytes} bytes` };
  return undefined;
}

function parseCaptured(bytes: Buffer): Taken<Captured> {
  const json = isUtf8(bytes) ? parseJson(bytes.toString('utf8')) : undefined;
  if (json === undefined) return { ok: false, status: 400, message: 'the body is no JSON' };
  const captured = capturedSchema.safeParse(json);
  if (captured.success) return { ok: true, value: captured.data };
  return { ok: false, status: 400, message: `the body is not what a sidecar sends: ${placesOf(captured.error)}` };
}

/** Where it is wrong, never what stands there. */
function placesOf(error: z.ZodError): string {
  const places = error.issues.slice(0, 3).map(({ path, code }) => `${path.join('.') || 'the whole'} (${code})`);
  return places.join(', ');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
