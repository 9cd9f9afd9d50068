import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import type { Log } from '../base/log.ts';
import type { Reason } from '../base/reasons.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type AdmissionAnswer, answerVerdict } from './answer.ts';
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
  // Whatever the content type says: the API server sends JSON, and anything else fails to parse with a reason.
  // A compressed body could be a thousand times its length, and is unpacked before anything else runs: 415.
  const readBody = express.json({ limit: options.bodyLimitBytes, type: () => true, strict: true, inflate: false });
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
  app.use(answerBadBody);
  return app;
}

const skipUntilPath: AdmissionHandler = ({ uid }) => {
  const message = 'The path of look-ahead does not stand in the webhook configuration yet.';
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
    response.json({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer });
  };
}

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

/** What the body parser refuses, each with its reason: broken JSON (400), too long a body (413), a compressed one (415). */
const answerBadBody: ErrorRequestHandler = (error: unknown, _request, response, next) => {
  if (response.headersSent) return next(error);
  const { status, message } = error as { status?: number; message?: string };
  const code = status !== undefined && status >= 400 && status < 500 ? status : 500;
  response.status(code).json({ message: `the body cannot be read: ${message ?? 'unknown error'}` });
};
