import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import type { Log } from '../base/log.ts';
import type { Reason } from '../base/reasons.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type AdmissionAnswer, answerVerdict } from './answer.ts';
import { BodyBudget, bodiesBytes } from './body-budget.ts';
import { withDeadline } from './deadline.ts';
import { type AdmissionRequest, describeReviewError, reviewSchema } from './review.ts';

/**
 * Decides about one request. It may answer at once or later; it is cut off at the deadline. A throw is a bug, and
 * becomes `allowed: true` with a warning.
 */
export type AdmissionHandler = (request: AdmissionRequest) => AdmissionAnswer | Promise<AdmissionAnswer>;

export interface AdmissionAppOptions {
  /** By path, say `/mutate/pods`. */
  readonly handlers: Readonly<Record<string, AdmissionHandler>>;
  /** A handler on paths that only the API server knows. Metrics and log name its route, `/look-ahead` say, never such a path. */
  readonly secret?: {
    readonly route: string;
    readonly isPath: (path: string) => boolean;
    readonly handler: AdmissionHandler;
  };
  readonly bodyLimitBytes: number;
  readonly deadlineMs: number;
  /** Deadlines of single paths, where a handler asks the cluster. */
  readonly deadlinesMs?: Readonly<Record<string, number>>;
  /**
   * Paths whose connections end with each answer. The API server keeps up to 25 idle ones, and each that leads to a replica
   * that hangs costs a request: few and precious ones are better off with a handshake each.
   */
  readonly closing?: readonly string[];
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The webhooks as an express application; whoever calls this opens the port. */
export function createAdmissionApp(options: AdmissionAppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  const readBody = createBodyReader(options);
  for (const path of options.closing ?? []) app.use(path, closeConnection);
  for (const [path, handler] of Object.entries(options.handlers)) {
    app.post(path, readBody, serveReview(path, handler, options));
    app.all(path, (_, response) => void response.status(405).set('Allow', 'POST').json({ message: 'use POST' }));
  }
  const { secret } = options;
  if (secret !== undefined) {
    const serve = serveReview(secret.route, secret.handler, options);
    const onSecretPath: RequestHandler = (request, _, next) => next(secret.isPath(request.path) ? undefined : 'route');
    app.post(`${secret.route}/:secret`, onSecretPath, readBody, serve);
    // Until the path is known, the API server asks here.
    app.post('/', readBody, serveReview('/', skipUntilPath, options));
  }
  app.use((request, response) => void response.status(404).json({ message: `no such path: ${request.path}` }));
  return app;
}

const skipUntilPath: AdmissionHandler = ({ uid }) => {
  const message = 'The webhook configuration does not have the path of look-ahead yet.';
  return answerVerdict(uid, { decision: 'skip', reason: 'look-ahead-off', message, patch: [], warnings: [] });
};

const closeConnection: RequestHandler = (_, response, next) => {
  response.set('Connection', 'close');
  next();
};

function serveReview(path: string, handler: AdmissionHandler, options: AdmissionAppOptions): RequestHandler {
  return async (request, response) => {
    const startedMs = performance.now();
    const review = reviewSchema.safeParse(request.body);
    if (!review.success) {
      const message = `the body is no AdmissionReview of admission.k8s.io/v1: ${describeReviewError(review.error)}`;
      options.log.warn({ path, message }, 'bad request');
      response.status(400).json({ message });
      return;
    }
    const answer = await decide(path, handler, review.data.request, options);
    const { decision, reason } = answer.auditAnnotations;
    const seconds = (performance.now() - startedMs) / 1000;
    options.metrics.admission({ path, decision, reason, seconds });
    response.json({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: forApiServer(answer) });
  };
}

/**
 * An object that another webhook has changed passes a second time, and nothing is left to do then. The API server keeps the audit
 * annotations of the first pass, and logs a warning for each that is sent again.
 */
function forApiServer(answer: AdmissionAnswer): Partial<AdmissionAnswer> {
  const { auditAnnotations, ...others } = answer;
  const isRepeated = answer.patch === undefined && DECISIONS_WITH_PATCH.has(auditAnnotations.decision);
  return isRepeated || auditAnnotations.reason === 'nothing-to-move' ? others : answer;
}

/** The first time they always come with one. */
const DECISIONS_WITH_PATCH: ReadonlySet<string> = new Set(['hit', 'miss', 'mutate']);

async function decide(
  path: string,
  handler: AdmissionHandler,
  request: AdmissionRequest,
  { deadlineMs: commonDeadlineMs, deadlinesMs = {}, log }: AdmissionAppOptions,
): Promise<AdmissionAnswer> {
  const deadlineMs = deadlinesMs[path] ?? commonDeadlineMs;
  try {
    const answer = await withDeadline(() => handler(request), deadlineMs);
    return answer ?? letPass(request.uid, 'deadline-exceeded', `no decision within ${deadlineMs} ms`);
  } catch (error) {
    log.error({ err: error, path, namespace: request.namespace, name: request.name }, 'a handler failed');
    return letPass(request.uid, 'internal-error', error instanceof Error ? error.message : String(error));
  }
}

/** Our own trouble never stops anybody: the object passes as it came, with a warning that says why. */
function letPass(uid: string, reason: Reason, message: string): AdmissionAnswer {
  const warnings = [`stepmemo: ${reason}: ${message}`];
  return answerVerdict(uid, { decision: 'skip', reason, message, patch: [], warnings });
}

/** Enough for the largest object of a busy API server, and no more: no API server waits longer for a webhook. */
const BODY_TIMEOUT_MS = 5_000;
/**
 * Reads the JSON of a body, whatever the content type says: the API server sends JSON, and anything else fails to parse with
 * a reason. A compressed body could be a thousand times its length: 415.
 */
function createBodyReader({ bodyLimitBytes }: AdmissionAppOptions): RequestHandler {
  const budget = new BodyBudget({
    limitBytes: bodyLimitBytes,
    totalBytes: bodiesBytes(bodyLimitBytes),
    timeoutMs: BODY_TIMEOUT_MS,
  });
  return async (request, response, next) => {
    const early = judgeHeaders(request, bodyLimitBytes);
    if (early) return refuseBody(response, early.status, early.message);
    const { reading, release } = await budget.read(request);
    response.once('close', release);
    if (!reading.ok) return refuseBody(response, reading.status, reading.message);
    try {
      request.body = JSON.parse(reading.bytes.toString('utf8'));
    } catch (error) {
      return refuseBody(response, 400, error instanceof Error ? error.message : 'it is no JSON');
    }
    next();
  };
}

function judgeHeaders({ headers }: Request, limitBytes: number): { status: number; message: string } | undefined {
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return { status: 415, message: 'it is compressed' };
  const isTooLong = Number(headers['content-length'] ?? 0) > limitBytes;
  return isTooLong ? { status: 413, message: `it is too large: more than ${limitBytes} bytes` } : undefined;
}

/**
 * What is left of the body stays unread, so the connection is of no more use. Who is told to come back at once, as the API server
 * then does (client-go's rest.Request retries by Retry-After), mostly meets another replica.
 */
function refuseBody(response: Response, status: number, message: string): void {
  if (status === 503) response.set('Retry-After', '0');
  response
    .set('Connection', 'close')
    .status(status)
    .json({ message: `the body cannot be read: ${message}` });
}
