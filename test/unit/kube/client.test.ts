import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKubeApi, type KubeconfigChoice, namespaceOf } from '../../../src/kube/client.ts';
import { isOvertaken, type KubeWatchApi, RESOURCES, type WatchEvent } from '../../../src/kube/types.ts';

/** What a stand-in for the API server was asked, and on how many connections. */
interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let server: Server;
let folder: string;
let kube: KubeWatchApi;
let asked: Asked[];
let sockets: Set<Socket>;
let connections: number;
let answer: (request: Asked, response: ServerResponse) => void;

const CONFIG_MAP = { resource: RESOURCES.configMaps, namespace: 'ns', name: 'cache' } as const;

beforeEach(async () => {
  asked = [];
  sockets = new Set();
  connections = 0;
  answer = (_, response) => json(response, 200, { kind: 'ConfigMap', metadata: { name: 'cache' } });
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const seen = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
    };
    asked.push(seen);
    answer(seen, response);
  });
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  folder = mkdtempSync(join(tmpdir(), 'stepmemo-client-'));
  kube = createKubeApi(writeKubeconfig(), { timeoutMs: 10_000, userAgent: 'stepmemo/test' });
});

afterEach(async () => {
  kube.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

function writeKubeconfig(user: object = { token: 'secret' }, path = ''): string {
  const file = join(folder, 'kubeconfig');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const config = {
    clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

function json(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

function status(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

describe('createKubeApi', () => {
  it.each([
    ['get', () => kube.get(CONFIG_MAP), 'GET', '/api/v1/namespaces/ns/configmaps/cache', ''],
    [
      'get of a cluster-scoped kind',
      () => kube.get({ resource: RESOURCES.namespaces, name: 'a b/../c' }),
      'GET',
      '/api/v1/namespaces/a%20b%2F..%2Fc',
      '',
    ],
    [
      'create',
      () => kube.create({ resource: RESOURCES.events, namespace: 'ns' }, { kind: 'Event' }),
      'POST',
      '/apis/events.k8s.io/v1/namespaces/ns/events',
      '{"kind":"Event"}',
    ],
    [
      'patch of a status',
      () => kube.patch({ ...CONFIG_MAP, resource: RESOURCES.pods }, [{ op: 'remove', path: '/a' }], 'status'),
      'PATCH',
      '/api/v1/namespaces/ns/pods/cache/status',
      '[{"op":"remove","path":"/a"}]',
    ],
    [
      'remove',
      () => kube.remove(CONFIG_MAP, { uid: 'u' }),
      'DELETE',
      '/api/v1/namespaces/ns/configmaps/cache',
      '{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background","preconditions":{"uid":"u"}}',
    ],
  ])('%s', async (_, call, method, url, body) => {
    expect(await call()).toEqual({ ok: true, value: { kind: 'ConfigMap', metadata: { name: 'cache' } } });
    expect(asked).toMatchObject([{ method, url, body }]);
    expect(asked[0]?.headers).toMatchObject({ authorization: 'Bearer secret', 'user-agent': 'stepmemo/test' });
  });

  it('sends JSON Patches as such', async () => {
    await kube.patch(CONFIG_MAP, [{ op: 'remove', path: '/a' }]);
    expect(asked[0]?.headers['content-type']).toBe('application/json-patch+json');
  });

  it('asks for metadata alone where that is enough', async () => {
    await kube.get(CONFIG_MAP, { metadataOnly: true });
    expect(asked[0]?.headers.accept).toBe('application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1');
  });

  it('goes below the path of the server URL', async () => {
    const behindProxy = createKubeApi(writeKubeconfig({}, '/clusters/one/'));
    await behindProxy.get(CONFIG_MAP);
    behindProxy.close();
    expect(asked[0]?.url).toBe('/clusters/one/api/v1/namespaces/ns/configmaps/cache');
  });

  it.each(['', '.', '..'])('sends nothing for the name %j', async (name) => {
    expect(await kube.get({ ...CONFIG_MAP, name })).toMatchObject({ ok: false, status: 400 });
    expect(asked).toEqual([]);
  });

  it('makes one call after the other on one connection', async () => {
    for (let call = 0; call < 20; call += 1) await kube.get(CONFIG_MAP);
    expect(connections).toBe(1);
  });

  it('keeps a burst to a bounded number of connections', async () => {
    const results = await Promise.all(Array.from({ length: 200 }, () => kube.get(CONFIG_MAP)));
    expect(results.every((result) => result.ok)).toBe(true);
    expect(connections).toBeLessThanOrEqual(32);
  });

  it('gives the API server’s refusal as a value', async () => {
    answer = (_, response) => json(response, 403, status(403, 'Forbidden', 'you may not'));
    expect(await kube.get(CONFIG_MAP)).toEqual({ ok: false, status: 403, reason: 'Forbidden', message: 'you may not' });
  });

  it.each([
    ['a proxy that speaks HTML', 502, '<html>bad gateway</html>', { status: 502, message: '<html>bad gateway</html>' }],
    ['an empty refusal', 500, '', { status: 500, message: 'HTTP 500' }],
    ['a success that is no JSON', 200, 'hello', { status: 0, reason: 'Unreadable' }],
    ['a success that is no object', 200, '[]', { status: 0, reason: 'Unreadable' }],
  ])('takes %s for a failure', async (_, code, text, expected) => {
    answer = (__, response) => void response.writeHead(code).end(text);
    expect(await kube.get(CONFIG_MAP)).toMatchObject({ ok: false, ...expected });
  });

  it('gives up a call that is not answered', async () => {
    answer = () => {};
    const result = await kube.get(CONFIG_MAP, { timeoutMs: 30 });
    expect(result).toEqual({ ok: false, status: 0, reason: 'Timeout', message: 'no answer within 30 ms' });
  });

  it('gives up an answer that stops in the middle', async () => {
    answer = (_, response) => void response.writeHead(200, { 'content-length': '100' }).write('{"kind":');
    expect(await kube.get(CONFIG_MAP, { timeoutMs: 30 })).toMatchObject({ ok: false, status: 0 });
  });

  it('says that nobody listens', async () => {
    await new Promise((resolve) => server.close(resolve));
    expect(await kube.get(CONFIG_MAP)).toMatchObject({ ok: false, status: 0, reason: 'Unreachable' });
    server.listen(0, '127.0.0.1');
  });

  it('asks again on a new connection when a kept one was closed under it', async () => {
    await kube.get(CONFIG_MAP);
    // Closed as soon as the next request is written to it, which is when a client can first learn of it.
    for (const socket of sockets) {
      socket.removeAllListeners('data');
      socket.once('data', () => socket.resetAndDestroy());
    }
    expect(await kube.get(CONFIG_MAP)).toMatchObject({ ok: true });
    expect(connections).toBe(2);
  });

  it('waits as a busy API server asks it to', async () => {
    answer = (_, response) => {
      if (asked.length < 3) json(response, 429, status(429, 'TooManyRequests', 'later'), { 'retry-after': '0' });
      else json(response, 200, {});
    };
    expect(await kube.get(CONFIG_MAP)).toEqual({ ok: true, value: {} });
  });

  it('does not wait for longer than the call may take', async () => {
    answer = (_, response) => json(response, 429, status(429, 'TooManyRequests', 'later'), { 'retry-after': '60' });
    expect(await kube.get(CONFIG_MAP)).toMatchObject({ ok: false, status: 429 });
    expect(asked).toHaveLength(1);
  });

  it('fails after close', async () => {
    kube.close();
    expect(await kube.get(CONFIG_MAP)).toMatchObject({ ok: false, reason: 'Closed' });
  });

  it('throws for a kubeconfig that is not there', () => {
    expect(() => createKubeApi(join(folder, 'nothing'))).toThrow('ENOENT');
  });
});

describe('credentials', () => {
  it('reads the token again after a 401', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'old');
    const user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } };
    const rotating = createKubeApi(writeKubeconfig(user));
    answer = (request, response) => {
      if (request.headers.authorization === 'Bearer new') json(response, 200, {});
      else json(response, 401, status(401, 'Unauthorized', 'Unauthorized'));
    };
    expect(await rotating.get(CONFIG_MAP)).toMatchObject({ status: 401 });
    writeFileSync(tokenFile, 'new');
    // Not at every call: a server that refuses everything must not have us read files without end.
    await expect.poll(async () => (await rotating.get(CONFIG_MAP)).ok, { timeout: 5_000 }).toBe(true);
    rotating.close();
  });

  it('gives a failure where they cannot be had', async () => {
    const user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile: join(folder, 'nothing') } } };
    const without = createKubeApi(writeKubeconfig(user));
    expect(await without.get(CONFIG_MAP)).toMatchObject({ ok: false, status: 0, reason: 'Credentials' });
    without.close();
  });
});

describe('lists', () => {
  it('reads all pages, and gives the items their kind', async () => {
    answer = (request, response) => {
      const more = !request.url.includes('continue=');
      json(response, 200, {
        kind: 'PodList',
        apiVersion: 'v1',
        metadata: { resourceVersion: '7', ...(more && { continue: 'a&b' }) },
        items: [{ metadata: { name: more ? 'first' : 'second' } }],
      });
    };
    const result = await kube.list({ resource: RESOURCES.pods }, { labelSelector: 'a=b,!c' });
    expect(result).toEqual({
      ok: true,
      value: [
        { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'first' } },
        { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'second' } },
      ],
    });
    expect(asked.map(({ url }) => url)).toEqual([
      '/api/v1/pods?labelSelector=a%3Db%2C%21c&limit=500',
      '/api/v1/pods?labelSelector=a%3Db%2C%21c&limit=500&continue=a%26b',
    ]);
  });

  it('starts over without pages when their snapshot has expired', async () => {
    answer = (request, response) => {
      const items = [{ metadata: { name: 'a' } }];
      if (request.url.includes('continue=')) json(response, 410, status(410, 'Expired', 'too old'));
      else if (request.url.includes('limit=')) {
        json(response, 200, { kind: 'PodList', metadata: { continue: 'token' }, items });
      } else json(response, 200, { kind: 'PodList', metadata: {}, items: null });
    };
    expect(await kube.list({ resource: RESOURCES.pods })).toEqual({ ok: true, value: [] });
  });

  it('refuses what is no list', async () => {
    expect(await kube.list({ resource: RESOURCES.pods })).toMatchObject({ ok: false, reason: 'Unreadable' });
  });
});

describe('watch', () => {
  const options = (more: object = {}) => ({
    resourceVersion: '5',
    timeoutSeconds: 60,
    idleLimitMs: 5_000,
    signal: new AbortController().signal,
    ...more,
  });
  const event = (type: string, name: string) => `${JSON.stringify({ type, object: { metadata: { name } } })}\n`;

  it('reads events however they are cut into chunks', async () => {
    const text = Buffer.from(event('ADDED', 'ä€😀') + event('MODIFIED', 'b') + event('BOOKMARK', ''));
    answer = async (_, response) => {
      response.writeHead(200);
      for (const byte of text) {
        response.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    };
    const events: WatchEvent[] = [];
    const end = await kube.watch({ resource: RESOURCES.pods, namespace: 'ns' }, options(), (one) => events.push(one));
    expect(end).toEqual({ ok: true });
    expect(events.map(({ type, object }) => [type, object.metadata?.name])).toEqual([
      ['ADDED', 'ä€😀'],
      ['MODIFIED', 'b'],
      ['BOOKMARK', ''],
    ]);
    expect(asked[0]?.url).toBe(
      '/api/v1/namespaces/ns/pods?watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=60',
    );
  });

  it('ends with what an ERROR event says, and tells of nothing after it', async () => {
    answer = (_, response) => {
      const error = { type: 'ERROR', object: status(410, 'Expired', 'too old resource version') };
      response.writeHead(200).write(`${JSON.stringify(error)}\n${event('ADDED', 'late')}`);
    };
    const events: WatchEvent[] = [];
    expect(await kube.watch({ resource: RESOURCES.pods }, options(), (one) => events.push(one))).toEqual({
      ok: false,
      status: 410,
      reason: 'Expired',
      message: 'too old resource version',
    });
    expect(events).toEqual([]);
    await expect.poll(() => sockets.size).toBe(0);
  });

  it('ends with the refusal of a watch', async () => {
    answer = (_, response) => json(response, 403, status(403, 'Forbidden', 'no'));
    const end = await kube.watch({ resource: RESOURCES.pods }, options(), () => {});
    expect(end).toMatchObject({ ok: false, status: 403, message: 'no' });
  });

  it('notices a connection on which nothing comes any more', async () => {
    answer = (_, response) => void response.writeHead(200).write(event('ADDED', 'a'));
    const end = await kube.watch({ resource: RESOURCES.pods }, options({ idleLimitMs: 40 }), () => {});
    expect(end).toMatchObject({ ok: false, reason: 'Silence' });
    await expect.poll(() => sockets.size).toBe(0);
  });

  it('notices a server that never answers', async () => {
    answer = () => {};
    const end = await kube.watch({ resource: RESOURCES.pods }, options({ idleLimitMs: 40 }), () => {});
    expect(end).toMatchObject({ ok: false, reason: 'Silence' });
  });

  it('says that the connection broke', async () => {
    answer = (_, response) => {
      response.writeHead(200).write(event('ADDED', 'a'));
    };
    const end = kube.watch({ resource: RESOURCES.pods }, options(), () => {
      for (const socket of sockets) socket.resetAndDestroy();
    });
    expect(await end).toMatchObject({ ok: false, status: 0, reason: 'Unreachable' });
  });

  it('leaves no connection when it is given up', async () => {
    const abort = new AbortController();
    answer = (_, response) => void response.writeHead(200).write(event('ADDED', 'a'));
    const end = await kube.watch({ resource: RESOURCES.pods }, options({ signal: abort.signal }), () => abort.abort());
    expect(end).toMatchObject({ ok: false, reason: 'Aborted' });
    await expect.poll(() => sockets.size).toBe(0);
  });

  it('does not take the place of calls', async () => {
    const abort = new AbortController();
    answer = (request, response) => {
      if (request.url.includes('watch=true')) response.writeHead(200).write(event('ADDED', 'a'));
      else json(response, 200, {});
    };
    const watches = Array.from({ length: 40 }, () =>
      kube.watch({ resource: RESOURCES.pods }, options({ signal: abort.signal }), () => {}),
    );
    expect(await kube.get(CONFIG_MAP)).toMatchObject({ ok: true });
    abort.abort();
    await Promise.all(watches);
  });
});

describe('isOvertaken', () => {
  const patchMessage = 'the server rejected our request due to an error in our request';
  it.each([
    [409, 'Conflict', 'the object has been modified', true],
    [409, 'AlreadyExists', 'already exists', false],
    [422, 'Invalid', patchMessage, true],
    [422, 'Invalid', 'ConfigMap "a" is invalid: data[a b]: Invalid value', false],
    [404, 'NotFound', 'not found', false],
  ])('%i %s: %s', (code, reason, message, expected) => {
    expect(isOvertaken({ ok: false, status: code, reason, message })).toBe(expected);
  });
});

describe('which cluster is meant', () => {
  const file = (name: string, body: object): string => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...body }));
    return path;
  };
  const named = (name: string, port: number, namespace?: string) => ({
    clusters: [{ name, cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
    users: [{ name, user: { token: `of-${name}` } }],
    contexts: [{ name, context: { cluster: name, user: name, ...(namespace && { namespace }) } }],
  });
  const port = () => (server.address() as AddressInfo).port;

  async function tokenSent(choice: KubeconfigChoice): Promise<string | undefined> {
    const api = createKubeApi(choice);
    await api.get(CONFIG_MAP);
    api.close();
    return asked.at(-1)?.headers.authorization;
  }

  it('is the first of a list that names it, as kubectl has it', async () => {
    const one = file('one', { ...named('a', port()), 'current-context': 'a' });
    const two = file('two', { ...named('a', 1), 'current-context': 'b' });
    const three = file('three', named('b', port(), 'team'));
    const files = [one, join(folder, 'missing'), two, three];
    expect(await tokenSent({ files })).toBe('Bearer of-a');
    expect(await tokenSent({ files, context: 'b' })).toBe('Bearer of-b');
    expect(await tokenSent({ files, user: 'b' })).toBe('Bearer of-b');
    expect([namespaceOf({ files }), namespaceOf({ files, context: 'b' })]).toEqual(['default', 'team']);
  });

  it('is asked as somebody else, where that is said', async () => {
    const files = [file('one', { ...named('a', port()), 'current-context': 'a' })];
    await tokenSent({ files, impersonate: { user: 'jane', groups: ['dev', 'ops'] } });
    expect(asked.at(-1)?.headers).toMatchObject({ 'impersonate-user': 'jane', 'impersonate-group': 'dev, ops' });
    await tokenSent({ files });
    expect(asked.at(-1)?.headers).not.toHaveProperty('impersonate-user');
  });

  it('is said where it is not there', () => {
    const files = [file('one', named('a', port()))];
    expect(() => createKubeApi({ files, context: 'no' })).toThrow('there is no context "no"');
    expect(() => createKubeApi({ files, cluster: 'no' })).toThrow('names no current cluster');
    expect(() => createKubeApi({ files })).toThrow('names no current cluster');
  });
});
