import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { answerVerdict } from '../../../src/admission/answer.ts';
import { type AdmissionHandler, createAdmissionApp } from '../../../src/admission/app.ts';
import { skipUnsupported } from '../../../src/admission/unsupported.ts';
import { createLog } from '../../../src/base/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(
  handler: AdmissionHandler,
  deadlineMs = 1000,
): Promise<{ url: string; metrics: ReturnType<typeof createMetrics> }> {
  const metrics = createMetrics();
  const log = createLog('fatal');
  const app = createAdmissionApp({
    handlers: { '/mutate/pods': handler, '/mutate/workflows': handler },
    closing: ['/mutate/workflows'],
    secret: { route: '/look-ahead', isPath: (path) => path === '/look-ahead/known', handler },
    bodyLimitBytes: 2000,
    deadlineMs,
    log,
    metrics,
  });
  const server = createServer(app);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return { url: `http://127.0.0.1:${address.port}/mutate/pods`, metrics };
}

function review(overrides: object = {}): object {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u1',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      operation: 'CREATE',
      userInfo: { username: 'someone' },
      object: { kind: 'Pod' },
      ...overrides,
    },
  };
}

const post = (url: string, body: unknown): Promise<Response> =>
  fetch(url, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });

const never: AdmissionHandler = () => {
  throw new Error('must not be called');
};

describe('the admission app', () => {
  it('keeps connections, but for paths of which none may lead to a replica that hangs', async () => {
    const { url } = await serve(({ uid }) =>
      answerVerdict(uid, { decision: 'skip', reason: 'not-memoized', message: '', patch: [], warnings: [] }),
    );
    const kept = await post(url, review());
    const closed = await post(url.replace('pods', 'workflows'), review());
    expect([kept, closed].map(({ status, headers }) => [status, headers.get('connection')])).toEqual([
      [200, 'keep-alive'],
      [200, 'close'],
    ]);
  });

  it('serves a secret path by its route, and no other below it', async () => {
    const { url, metrics } = await serve(({ uid }) =>
      answerVerdict(uid, { decision: 'skip', reason: 'nothing-foreseen', message: '', patch: [], warnings: [] }),
    );
    const at = (path: string) => post(url.replace('/mutate/pods', path), review());
    const statuses = await Promise.all(['/look-ahead/known', '/look-ahead/no', '/look-ahead', '/'].map(at));
    expect(statuses.map(({ status }) => status)).toEqual([200, 404, 404, 200]);
    const text = await metrics.registry.metrics();
    expect(text).toContain('path="/look-ahead",decision="skip",reason="nothing-foreseen"} 1');
    expect(text).not.toContain('known');
  });

  it('tells nobody who made an entry', async () => {
    const { url } = await serve(({ uid }) =>
      answerVerdict(uid, {
        decision: 'hit',
        reason: 'fresh-entry',
        message: 'made by node x',
        patch: [],
        warnings: [],
      }),
    );
    const text = await (await post(url, review())).text();
    expect(text).toContain('"message":"hit: fresh-entry"');
    expect(text).not.toContain('node x');
  });

  it('unpacks no body', async () => {
    const { url } = await serve(never);
    const body = gzipSync(JSON.stringify(review()));
    const answer = await fetch(url, { method: 'POST', body, headers: { 'content-encoding': 'gzip' } });
    expect(answer.status).toBe(415);
  });

  it.each([
    ['hit', 'fresh-entry', false],
    ['mutate', 'served-at-submission', false],
    ['skip', 'nothing-to-move', false],
    ['skip', 'key-missing', true],
  ] as const)(
    'says in the audit log of an object that comes again, left at %s by %s: %s',
    async (decision, reason, isSaid) => {
      const verdict = { decision, reason, message: 'm', patch: [], warnings: [] };
      const { url } = await serve(({ uid }) => answerVerdict(uid, verdict));
      const { response } = (await (await post(url, review())).json()) as { response: Record<string, unknown> };
      expect(response.auditAnnotations).toEqual(isSaid ? { decision, reason } : undefined);
    },
  );

  it('answers a review with patch, warnings, reason and its uid', async () => {
    const { url } = await serve(({ uid }) =>
      answerVerdict(uid, {
        decision: 'hit',
        reason: 'fresh-entry',
        message: 'm',
        patch: [{ op: 'add', path: '/x', value: 1 }],
        warnings: ['w'],
      }),
    );
    const { response } = (await (await post(url, review())).json()) as { response: Record<string, unknown> };
    expect(response).toMatchObject({
      uid: 'u1',
      allowed: true,
      patchType: 'JSONPatch',
      warnings: ['w'],
      auditAnnotations: { decision: 'hit', reason: 'fresh-entry' },
    });
    expect(JSON.parse(Buffer.from(String(response.patch), 'base64').toString())).toEqual([
      { op: 'add', path: '/x', value: 1 },
    ]);
  });

  it.each([
    ['broken JSON', '{', 400, /cannot be read/],
    ['an empty body', '', 400, /cannot be read/],
    ['a list', [], 400, /no AdmissionReview/],
    ['another kind', { apiVersion: 'v1', kind: 'Pod' }, 400, /kind: .*request: /],
    ['an older version', { ...review(), apiVersion: 'admission.k8s.io/v1beta1' }, 400, /apiVersion: /],
    ['a review without uid', review({ uid: '' }), 400, /request\.uid: /],
    ['an object that is none', review({ object: 'x' }), 400, /request\.object: expected an object/],
    ['too long a body', review({ name: 'x'.repeat(3000) }), 413, /too large/],
  ])('refuses %s with the reason', async (_, body, status, message) => {
    const { url } = await serve(never);
    const response = await post(url, body);
    expect(response.status).toBe(status);
    expect(((await response.json()) as { message: string }).message).toMatch(message);
  });

  it('answers the API server however many others send bodies that never end', async () => {
    const { url } = await serve(({ uid }) =>
      answerVerdict(uid, { decision: 'skip', reason: 'not-memoized', message: '', patch: [], warnings: [] }),
    );
    const { port } = new URL(url);
    const head = 'POST /mutate/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n';
    const stuck = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const socket = connect(Number(port), '127.0.0.1');
        // Those that are given up are closed by the other side.
        socket.on('error', () => {});
        await once(socket, 'connect');
        socket.write(head + 'x'.repeat(1900));
        return socket;
      }),
    );
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(url, review())));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    for (const socket of stuck) socket.destroy();
  });

  it('answers 405 to GET and 404 elsewhere', async () => {
    const { url } = await serve(never);
    expect((await fetch(url)).status).toBe(405);
    expect((await post(`${url}/x`, review())).status).toBe(404);
  });

  it('lets pass what its handler throws at, with a warning', async () => {
    const { url, metrics } = await serve(() => {
      throw new Error('our bug');
    });
    const { response } = (await (await post(url, review())).json()) as { response: object };
    expect(response).toMatchObject({ allowed: true, warnings: ['stepmemo: internal-error: our bug'] });
    expect(response).not.toHaveProperty('patch');
    expect(await metrics.registry.metrics()).toContain('reason="internal-error"} 1');
  });

  it('lets pass what is not decided in time', async () => {
    const { url } = await serve(() => new Promise(() => {}), 20);
    const { response } = (await (await post(url, review())).json()) as { response: object };
    expect(response).toMatchObject({ allowed: true, auditAnnotations: { reason: 'deadline-exceeded' } });
  });

  it.each([
    ['another kind', { kind: { group: '', version: 'v1', kind: 'Secret' } }, 'unsupported-kind'],
    ['another operation', { operation: 'DELETE' }, 'unsupported-operation'],
    ['a subresource', { subResource: 'status' }, 'unsupported-operation'],
    ['no object', { object: null }, 'unsupported-kind'],
  ])('lets %s pass with a warning', async (_, overrides, reason) => {
    const { url } = await serve(
      (request) =>
        skipUnsupported(request, { kinds: ['Pod'], operations: ['CREATE'] }) ??
        answerVerdict(request.uid, { decision: 'skip', reason: 'not-a-step', message: '', patch: [], warnings: [] }),
    );
    const { response } = (await (await post(url, review(overrides))).json()) as { response: { warnings?: string[] } };
    expect(response).toMatchObject({ allowed: true, auditAnnotations: { decision: 'skip', reason } });
    expect(response.warnings).toHaveLength(1);
  });
});
