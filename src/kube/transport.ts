import http from 'node:http';
import https from 'node:https';
import { sleep } from '../base/backoff.ts';
import type { KubeFailure } from './types.ts';

/** Where the API server is and how to be let in: what goes into each request. */
export interface Access {
  /** Base URL, say `https://10.96.0.1:443`; may have a path. */
  readonly server: URL;
  /** TLS options, and an agent where a proxy stands between. */
  readonly options: https.RequestOptions;
  /** Authorization, Impersonate-User. */
  readonly headers: http.OutgoingHttpHeaders;
}

/** Gives the access of this moment. `refresh` reads everything again from its source, as after a 401. */
export interface AccessSource {
  current(): Promise<Access>;
  refresh(): void;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Path below the server's URL, with its query. */
  readonly path: string;
  readonly accept?: string;
  readonly contentType?: string;
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly ok: true;
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface StreamRequest {
  readonly path: string;
  /** Most time between two chunks, and until the headers. */
  readonly idleLimitMs: number;
  readonly signal: AbortSignal;
}

/** Free connections are dropped before the API server does so (90 s, Go's IdleTimeout there), so none is met half-closed. */
const FREE_SOCKET_MS = 60_000;
/** A burst of calls queues here instead of opening a TLS connection each. */
const MOST_CONNECTIONS = 32;
/** Then the kernel probes a silent peer every second and gives up after ten. */
const TCP_PROBE_AFTER_MS = 15_000;
/** A 401 or a 429 is met this often before it is the answer. */
const MOST_ATTEMPTS = 3;
/** Longest answer that is read for a stream that was refused. */
const REFUSAL_LIMIT_BYTES = 64 * 1024;

/**
 * HTTP/1.1 to one API server over connections that are kept. @kubernetes/client-node 2.0.1 itself makes a new undici
 * Agent, thus a new TLS connection, for every single call (config.ts:createDispatcher), 5 to 10 ms each: this is why its
 * KubeConfig is used, and its API classes are not (docs/adr/0012-kept-connections.md).
 */
export class Transport {
  readonly #source: AccessSource;
  readonly #userAgent: string;
  readonly #secure = new https.Agent({ ...agentOptions, maxSockets: MOST_CONNECTIONS });
  readonly #plain = new http.Agent({ ...agentOptions, maxSockets: MOST_CONNECTIONS });
  /** Watches hold a connection each, for minutes: they must not use up those of the calls. */
  readonly #secureStreams = new https.Agent({ keepAlive: false });
  readonly #plainStreams = new http.Agent({ keepAlive: false });
  #isClosed = false;

  constructor(source: AccessSource, userAgent: string) {
    this.#source = source;
    this.#userAgent = userAgent;
  }

  /** One call with its whole answer, whatever its status. Only where no answer came is it a failure. */
  async send(request: HttpRequest): Promise<HttpAnswer | KubeFailure> {
    const deadlineMs = performance.now() + request.timeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#attempt(request, Math.max(1, deadlineMs - performance.now()));
      const waitMs = attempt < MOST_ATTEMPTS ? this.#retryAfterMs(answer) : undefined;
      if (waitMs === undefined || performance.now() + waitMs >= deadlineMs) return answer;
      await sleep(waitMs, request.signal);
    }
  }

  /** A GET whose body comes bit by bit, until it ends, falls silent or is aborted. */
  async stream(request: StreamRequest, onChunk: (chunk: Buffer) => void): Promise<HttpAnswer | KubeFailure> {
    const access = await this.#access();
    if ('ok' in access) return access;
    const answer = await new Promise<HttpAnswer | KubeFailure>((resolve) => {
      const call = this.#open(access, { method: 'GET', path: request.path, accept: 'application/json' }, true);
      const idle = setTimeout(() => call.destroy(new Silence(request.idleLimitMs)), request.idleLimitMs);
      const abort = () => call.destroy(new Error('aborted'));
      const settle = (result: HttpAnswer | KubeFailure) => {
        clearTimeout(idle);
        request.signal.removeEventListener('abort', abort);
        call.destroy();
        resolve(result);
      };
      request.signal.addEventListener('abort', abort);
      call.on('error', (error) => settle(failureOf(error, request.signal)));
      call.on('socket', (socket) => socket.setKeepAlive(true, TCP_PROBE_AFTER_MS));
      call.on('response', (response) => {
        const status = response.statusCode ?? 0;
        const refusal: Buffer[] = [];
        let refusalBytes = 0;
        response.on('data', (chunk: Buffer) => {
          idle.refresh();
          if (status === 200) return onChunk(chunk);
          refusalBytes += chunk.length;
          if (refusalBytes <= REFUSAL_LIMIT_BYTES) refusal.push(chunk);
        });
        response.on('error', (error) => settle(failureOf(error, request.signal)));
        response.on('end', () => settle({ ok: true, status, headers: response.headers, body: Buffer.concat(refusal) }));
      });
      if (request.signal.aborted) abort();
      call.end();
    });
    if (answer.ok && answer.status === 401) this.#source.refresh();
    return answer;
  }

  close(): void {
    this.#isClosed = true;
    for (const agent of [this.#secure, this.#plain, this.#secureStreams, this.#plainStreams]) agent.destroy();
  }

  async #attempt(request: HttpRequest, timeoutMs: number): Promise<HttpAnswer | KubeFailure> {
    const access = await this.#access();
    if ('ok' in access) return access;
    return new Promise((resolve) => {
      const call = this.#open(access, request, false);
      const timer = setTimeout(() => call.destroy(new Timeout(request.timeoutMs)), timeoutMs);
      const abort = () => call.destroy(new Error('aborted'));
      const settle = (result: HttpAnswer | KubeFailure | Promise<HttpAnswer | KubeFailure>) => {
        clearTimeout(timer);
        request.signal?.removeEventListener('abort', abort);
        resolve(result);
      };
      request.signal?.addEventListener('abort', abort);
      call.on('error', (error) => {
        // A kept connection that the server closed while we wrote to it: as good as not sent, so once more, on a new one.
        if (call.reusedSocket && isReset(error) && !request.signal?.aborted) {
          settle(this.#attempt(request, timeoutMs));
        } else settle(failureOf(error, request.signal));
      });
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', (error) => settle(failureOf(error, request.signal)));
        response.on('end', () =>
          settle({
            ok: true,
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      });
      if (request.signal?.aborted) abort();
      call.end(request.body);
    });
  }

  #open(access: Access, request: Omit<HttpRequest, 'timeoutMs'>, isStream: boolean): http.ClientRequest {
    const { server, options } = access;
    const isSecure = server.protocol === 'https:';
    const own = isStream
      ? { secure: this.#secureStreams, plain: this.#plainStreams }
      : { secure: this.#secure, plain: this.#plain };
    const headers: http.OutgoingHttpHeaders = {
      ...access.headers,
      'user-agent': this.#userAgent,
      accept: request.accept ?? 'application/json',
    };
    if (request.body !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json';
      headers['content-length'] = Buffer.byteLength(request.body);
    }
    return (isSecure ? https : http).request({
      ...options,
      agent: options.agent ?? (isSecure ? own.secure : own.plain),
      protocol: server.protocol,
      hostname: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port || (isSecure ? 443 : 80),
      method: request.method,
      path: server.pathname.replace(/\/+$/, '') + request.path,
      headers,
    });
  }

  async #access(): Promise<Access | KubeFailure> {
    if (this.#isClosed) return { ok: false, status: 0, reason: 'Closed', message: 'the client is closed' };
    try {
      return await this.#source.current();
    } catch (error) {
      return { ok: false, status: 0, reason: 'Credentials', message: `no credentials: ${messageOf(error)}` };
    }
  }

  /** How long to wait before asking once more; undefined when the answer stands. */
  #retryAfterMs(answer: HttpAnswer | KubeFailure): number | undefined {
    if (!answer.ok) return undefined;
    if (answer.status === 401) {
      this.#source.refresh();
      return 0;
    }
    if (answer.status !== 429) return undefined;
    const seconds = Number(answer.headers['retry-after'] ?? '1');
    return Number.isFinite(seconds) ? Math.max(0, seconds) * 1000 : undefined;
  }
}

const agentOptions: http.AgentOptions = {
  keepAlive: true,
  keepAliveMsecs: TCP_PROBE_AFTER_MS,
  timeout: FREE_SOCKET_MS,
  scheduling: 'lifo',
};

class Timeout extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
    this.name = 'Timeout';
  }
}

class Silence extends Error {
  constructor(idleLimitMs: number) {
    super(`nothing came for ${idleLimitMs} ms`);
    this.name = 'Silence';
  }
}

function failureOf(error: Error, signal?: AbortSignal): KubeFailure {
  if (signal?.aborted) return { ok: false, status: 0, reason: 'Aborted', message: 'the call was given up' };
  const reason = error instanceof Timeout || error instanceof Silence ? error.name : 'Unreachable';
  return { ok: false, status: 0, reason, message: messageOf(error) };
}

function isReset(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function messageOf(error: unknown): string {
  // Node joins the errors of several addresses into one without a text of its own.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
