import express, { type Express } from 'express';
import type { Registry } from 'prom-client';

export interface Readiness {
  readonly isReady: boolean;
  /** Why not. */
  readonly reason?: string;
}

export interface OpsOptions {
  readonly readiness: () => Readiness;
  /** What is wrong without making the replica unready, a sentence each. */
  readonly troubles: () => readonly string[];
  readonly registry: Registry;
  /** Brings metrics up to date that follow from the state of the moment. */
  readonly beforeMetrics?: () => void;
}

/**
 * GET /healthz, /readyz and /metrics, in plain HTTP: what probes and Prometheus ask for. /readyz?verbose says what is wrong
 * though the replica is ready, as the API server's own does.
 */
export function createOpsApp(options: OpsOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/healthz', (_, response) => void response.type('text/plain').send('ok\n'));
  app.get('/readyz', (request, response) => {
    const { isReady, reason } = options.readiness();
    const details = request.query.verbose === undefined ? [] : options.troubles().map((text) => `[!] ${text}\n`);
    response
      .status(isReady ? 200 : 503)
      .type('text/plain')
      .send([...details, isReady ? 'ok\n' : `not ready: ${reason ?? 'unknown'}\n`].join(''));
  });
  app.get('/metrics', async (_, response) => {
    options.beforeMetrics?.();
    response.type(options.registry.contentType).send(await options.registry.metrics());
  });
  return app;
}
