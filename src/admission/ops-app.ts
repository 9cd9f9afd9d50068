import express, { type Express } from 'express';
import type { Registry } from 'prom-client';

export interface Readiness {
  readonly isReady: boolean;
  /** Why not. */
  readonly reason?: string;
}

/** GET /healthz, /readyz and /metrics, in plain HTTP: what probes and Prometheus ask for. */
export function createOpsApp(options: { readonly readiness: () => Readiness; readonly registry: Registry }): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/healthz', (_, response) => void response.type('text/plain').send('ok\n'));
  app.get('/readyz', (_, response) => {
    const { isReady, reason } = options.readiness();
    response
      .status(isReady ? 200 : 503)
      .type('text/plain')
      .send(isReady ? 'ok\n' : `not ready: ${reason ?? 'unknown'}\n`);
  });
  app.get('/metrics', async (_, response) => {
    response.type(options.registry.contentType).send(await options.registry.metrics());
  });
  return app;
}
