import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CAPTURE_PATH, createCaptureApp } from '../../../src/capture/endpoint.ts';
import type { CaptureAnswer, CapturePost } from '../../../src/capture/types.ts';
import type { EventInput } from '../../../src/telemetry/events.ts';
import { until } from '../sidecar/harness.ts';
import { boundTo, FakeKube, GOOD_TOKEN, tokenOf } from './fake-kube.ts';

const LIMIT_BYTES = 1000;
const CAPTURED = { parameters: [{ name: 'a', value: 'secret value' }], result: 'secret result' };

describe('the capture endpoint', () => {
  let kube: FakeKube;
  let accepted: CapturePost[];
  let answer: () => Promise<CaptureAnswer>;
  let logged: string;
  let statuses: number[];
  let server: Server;
  let port: number;
  let foreign: number;
  let events: EventInput[];

  beforeEach(async () => {
    kube = new FakeKube();
    accepted = [];
    answer = async () => ({ status: 200, message: 'taken' });
    logged = '';
    statuses = [];
    foreign = 0;
    events = [];
    await listen({ inFlight: 3, inFlightPerAddress: 2, postsPerPod: 5, bodyTimeoutMs: 5_000 });
  });
  afterEach(() => stop());

  async function listen(limits: Parameters<typeof createCaptureApp>[0]['limits'] & {}): Promise<void> {
    const app = createCaptureApp({
      kube,
      sink: {
        accept(post) {
          accepted.push(post);
          return answer();
        },
      },
      config: { captureLimitBytes: LIMIT_BYTES },
      log: pino(
        { level: 'trace' },
        {
          write: (line: string) => {
            logged += line;
          },
        },
      ),
      metrics: {
        captureRequest: (status) => void statuses.push(status),
        foreignSidecar: () => {
          foreign += 1;
        },
      },
      recordEvent: (event) => void events.push(event),
      limits,
    });
    server = createServer(app).listen(0, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo);
  }

  function stop(): void {
    server.closeAllConnections();
    server.close();
  }

  async function post(
    body: string = JSON.stringify(CAPTURED),
    headers: Record<string, string> = {},
    init: { path?: string; method?: string } = {},
  ): Promise<{ status: number; message: string; headers: Headers }> {
    const response = await fetch(`http://127.0.0.1:${port}${init.path ?? CAPTURE_PATH}`, {
      method: init.method ?? 'POST',
      headers: { authorization: `Bearer ${GOOD_TOKEN}`, 'content-type': 'application/json', ...headers },
      ...(init.method !== 'GET' && { body }),
    });
    const { message } = (await response.json()) as { message: string };
    return { status: response.status, message, headers: response.headers };
  }

  /** A request whose body the test sends piece by piece. */
  function open(length: number, headers: Record<string, string> = {}) {
    const client = request({
      port,
      path: CAPTURE_PATH,
      method: 'POST',
      headers: {
        authorization: `Bearer ${GOOD_TOKEN}`,
        'content-type': 'application/json',
        'content-length': length,
        ...headers,
      },
    });
    client.on('error', () => undefined);
    client.flushHeaders();
    const status = once(client, 'response').then(([response]) => (response as { statusCode: number }).statusCode);
    status.catch(() => undefined);
    return { client, status };
  }

  it('takes what a sidecar of another version posts, and says that it is one', async () => {
    expect(await post()).toMatchObject({ status: 200 });
    expect(await post(undefined, { 'stepmemo-contract': '7' })).toMatchObject({ status: 200 });
    expect(await post(undefined, { 'stepmemo-contract': '1' })).toMatchObject({ status: 200 });
    expect(foreign).toBe(2);
    expect(events).toMatchObject(
      [
        {
          reason: 'sidecar-version',
          regarding: { kind: 'Pod', name: 'step-1', uid: 'uid-1' },
          message: /contract none/,
        },
        { reason: 'sidecar-version', message: /contract 7/ },
      ].map((event) => ({ ...event, message: expect.stringMatching(event.message) })),
    );
  });

  it('hands over what a pod posted, with the identity that its token has', async () => {
    const body = JSON.stringify(CAPTURED);
    expect(await post(body)).toMatchObject({ status: 200, message: 'taken' });
    expect(accepted).toEqual([
      {
        namespace: 'team-a',
        podName: 'step-1',
        podUid: 'uid-1',
        account: 'system:serviceaccount:team-a:runner',
        captured: CAPTURED,
        sizeBytes: Buffer.byteLength(body),
      },
    ]);
    expect(kube.reviews).toEqual([{ token: GOOD_TOKEN, audiences: ['stepmemo'] }]);
    expect(statuses).toEqual([200]);
  });

  it.each([
    [403, 'the pod is not one that stepmemo captures'],
    [404, 'there is no such pod'],
    [409, 'other outputs were taken'],
    [429, 'no room'],
    [503, 'not ready'],
  ] as const)("passes on the sink's %i", async (status, message) => {
    answer = async () => ({ status, message });
    expect(await post()).toMatchObject({ status, message });
  });

  it('never logs a value, a token or a body', async () => {
    await post();
    await post(JSON.stringify({ ...CAPTURED, 'secret member': 1 }));
    kube.status = { authenticated: false };
    await post();
    answer = async () => {
      throw new Error('broken');
    };
    kube.status = boundTo('team-a', 'step-1', 'uid-1');
    await post();
    expect(logged).toContain('step-1');
    expect(logged).not.toMatch(/secret/);
    expect(logged).not.toContain(GOOD_TOKEN);
  });

  it('answers 500, and goes on, when the sink fails', async () => {
    answer = async () => {
      throw new Error('broken');
    };
    expect(await post()).toMatchObject({ status: 500, message: 'internal error' });
    answer = async () => ({ status: 200, message: 'taken' });
    expect((await post()).status).toBe(200);
  });

  describe('who may post', () => {
    it.each([
      ['no token', ''],
      ['another scheme', 'Basic Zm9v'],
      ['a token with a space', 'Bearer a b'],
      ['an empty token', 'Bearer '],
      ['a token that is no JWT', 'Bearer opaque'],
      ['a token that says it is for others', `Bearer ${tokenOf({ aud: 'https://kubernetes.default.svc' })}`],
      ['a token that says it is over', `Bearer ${tokenOf({ aud: ['stepmemo'], exp: 1_700_000_000 })}`],
    ])('asks nobody about %s', async (_, authorization) => {
      const { status, headers } = await post(undefined, { authorization });
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toBe('Bearer');
      expect(kube.reviews).toEqual([]);
    });

    const bound = boundTo('team-a', 'step-1', 'uid-1');
    it.each<[string, unknown, number]>([
      ['a token that is not valid', { authenticated: false, error: 'expired' }, 401],
      ['a token for the API server', { ...bound, audiences: ['https://kubernetes.default.svc'] }, 401],
      ['a token without an audience', { ...bound, audiences: undefined }, 401],
      ['a token that is bound to nothing', { ...bound, user: { ...bound.user, extra: {} } }, 403],
      [
        'a token that is bound to a node',
        { ...bound, user: { ...bound.user, extra: { 'authentication.kubernetes.io/node-name': ['n'] } } },
        403,
      ],
      [
        'a token with two pods',
        {
          ...bound,
          user: { ...bound.user, extra: { ...bound.user.extra, 'authentication.kubernetes.io/pod-uid': ['a', 'b'] } },
        },
        403,
      ],
      ['a user that is no account', { ...bound, user: { ...bound.user, username: 'system:admin' } }, 403],
      ['an answer that is none', undefined, 503],
    ])('refuses %s', async (_, status, expected) => {
      kube.status = status;
      expect((await post()).status).toBe(expected);
      expect(accepted).toEqual([]);
    });

    it('answers 503 when the API server does not, so that it is tried again', async () => {
      kube.failure = { ok: false, status: 0, reason: '', message: 'no answer' };
      const { status, headers } = await post();
      expect(status).toBe(503);
      expect(headers.get('retry-after')).toBe('1');
    });

    it('reads no byte of the body before it knows who it is', async () => {
      const release = kube.hold();
      const { client, status } = open(LIMIT_BYTES);
      await until(() => kube.reviews.length === 1);
      kube.status = { authenticated: false };
      release();
      // The answer comes though the body never does.
      expect(await status).toBe(401);
      client.destroy();
    });
  });

  describe('what may be posted', () => {
    it.each<[string, string]>([
      ['no JSON', '{'],
      ['nothing', ''],
      ['a list', '[]'],
      ['no parameters', '{}'],
      ['a number as value', '{"parameters": [{"name": "a", "value": 1}]}'],
      ['a name twice', '{"parameters": [{"name": "a", "value": ""}, {"name": "a", "value": ""}]}'],
      ['something else beside', '{"parameters": [], "artifacts": []}'],
    ])('refuses %s', async (_, body) => {
      expect((await post(body)).status).toBe(400);
      expect(accepted).toEqual([]);
    });

    it('says where it is wrong, and not what stands there', async () => {
      const { message } = await post('{"parameters": [{"name": "a", "value": 4711}]}');
      expect(message).toContain('parameters.0.value');
      expect(message).not.toContain('4711');
    });

    it('refuses text that is no UTF-8', async () => {
      const body = Buffer.concat([
        Buffer.from('{"parameters": [], "result": "'),
        Buffer.from([0xff]),
        Buffer.from('"}'),
      ]);
      const { client, status } = open(body.length);
      client.end(body);
      expect(await status).toBe(400);
    });

    it('refuses a body that is too large by its header alone', async () => {
      const { client, status } = open(LIMIT_BYTES + 1);
      expect(await status).toBe(413);
      expect(kube.reviews).toEqual([]);
      client.destroy();
    });

    it.each([
      [{ 'content-type': 'text/plain' }, 415],
      [{ 'content-encoding': 'gzip' }, 415],
    ])('refuses %j with %i', async (headers, status) => {
      expect((await post(undefined, headers as Record<string, string>)).status).toBe(status);
    });

    it('refuses a body of unknown length', async () => {
      const client = request({
        port,
        path: CAPTURE_PATH,
        method: 'POST',
        headers: {
          authorization: `Bearer ${GOOD_TOKEN}`,
          'content-type': 'application/json',
          'transfer-encoding': 'chunked',
        },
      });
      client.on('error', () => undefined);
      client.flushHeaders();
      const [response] = (await once(client, 'response')) as [{ statusCode: number }];
      expect(response.statusCode).toBe(411);
      client.destroy();
    });

    it('knows one path and one method', async () => {
      expect((await post(undefined, {}, { method: 'GET' })).status).toBe(405);
      expect((await post(undefined, {}, { path: '/' })).status).toBe(404);
    });

    it('lets nothing through that is broken off', async () => {
      const { client } = open(100);
      await until(() => kube.reviews.length === 1);
      client.write('{"parameters');
      client.destroy();
      await until(() => statuses.length === 1);
      expect(statuses).toEqual([400]);
      expect(accepted).toEqual([]);
    });
  });

  describe('how much', () => {
    it('ends a body that drips', async () => {
      stop();
      await listen({ bodyTimeoutMs: 50 });
      const { client, status } = open(100);
      await until(() => kube.reviews.length === 1);
      client.write('{');
      expect(await status).toBe(408);
      client.destroy();
    });

    it('has so many places, for one address and in all, and gives them back', async () => {
      const release = kube.hold();
      const waiting = [open(10), open(10)];
      await until(() => kube.reviews.length === 2);
      expect((await post()).status).toBe(503);
      for (const { client } of waiting) client.destroy();
      release();
      await until(() => statuses.length === 3);
      expect((await post()).status).toBe(200);
    });

    it('takes so many posts of one pod, and then still those of another', async () => {
      const seen: number[] = [];
      for (let count = 0; count < 6; count++) seen.push((await post()).status);
      expect(seen).toEqual([200, 200, 200, 200, 200, 429]);
      kube.status = boundTo('team-a', 'step-2', 'uid-2');
      expect((await post()).status).toBe(200);
    });

    it('finishes with a post whose sender has gone', async () => {
      let finish = (): void => undefined;
      answer = () =>
        new Promise((resolve) => {
          finish = () => resolve({ status: 200, message: 'taken' });
        });
      const body = JSON.stringify(CAPTURED);
      const { client } = open(Buffer.byteLength(body));
      client.end(body);
      await until(() => accepted.length === 1);
      client.destroy();
      finish();
      await until(() => statuses.length === 1);
      expect(statuses).toEqual([200]);
    });

    it('survives what is no HTTP', async () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined).resume();
      socket.write('\u0000\u0001 nonsense\r\n\r\n');
      await once(socket, 'close');
      expect((await post()).status).toBe(200);
    });
  });
});
