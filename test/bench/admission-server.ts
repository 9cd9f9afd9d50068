import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createAdmissionApp } from '../../src/admission/app.ts';
import { createMutatePods } from '../../src/admission/mutate-pods.ts';
import { warmUp } from '../../src/admission/warm-up.ts';
import { createLog } from '../../src/base/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createAuthority } from '../unit/sidecar/certificates.ts';
import { SETTINGS } from '../unit/step/builders.ts';
import { createView } from './pod-reviews.ts';

/*
 * A process of its own, started by run.ts: the real webhook over HTTPS, and beside it the least that any webhook in this
 * stack has to do (read the same body, answer "allowed"). Each request tells its path and the time that it spent inside
 * the server: from its headers being there to the answer being handed to the system. Asked for its CPU time by a message, it
 * tells that, and of single requests no more.
 */

export interface InsideTime {
  readonly path: string;
  readonly insideMs: number;
}

/** Milliseconds of CPU that the process has used so far. */
export interface CpuTime {
  readonly cpuMs: number;
}

const BODY_LIMIT_BYTES = 7 * 1024 * 1024;
const PATHS = { webhook: '/mutate/pods', baseline: '/baseline' };

const cluster = createView();
warmUp(cluster, SETTINGS);
const webhook = createAdmissionApp({
  handlers: {
    [PATHS.webhook]: createMutatePods({ cluster, settings: () => SETTINGS, recordEvent: () => undefined }),
  },
  bodyLimitBytes: BODY_LIMIT_BYTES,
  deadlineMs: 250,
  log: createLog('warn'),
  metrics: createMetrics(),
});

const baseline = express();
baseline.disable('x-powered-by');
baseline.disable('etag');
baseline.post(PATHS.baseline, express.json({ limit: BODY_LIMIT_BYTES }), (request, response) => {
  const { uid } = (request.body as { request: { uid: string } }).request;
  response.json({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, allowed: true } });
});

let areRequestsTold = true;
process.on('message', () => {
  areRequestsTold = false;
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMs: (user + system) / 1000 } satisfies CpuTime);
});

const server = createServer(createAuthority('bench').issue(['127.0.0.1']), (request, response) => {
  const startedMs = performance.now();
  const path = request.url ?? '';
  if (areRequestsTold) {
    response.on('finish', () => process.send?.({ path, insideMs: performance.now() - startedMs } satisfies InsideTime));
  }
  (path === PATHS.baseline ? baseline : webhook)(request, response);
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));
