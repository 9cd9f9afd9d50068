import type { ClientRequest, IncomingMessage } from 'node:http';
import { type RequestOptions, request as startRequest } from 'node:https';
import { type ConnectionOptions, createSecureContext } from 'node:tls';
import { CONTRACT_HEADER, CONTRACT_VERSION } from './contract.ts';
import { resolveHost } from './resolve.ts';

export interface CaptureRequest {
  readonly token: string;
  /** JSON. */
  readonly body: string;
}

/** `status` is the server's answer; without one, `message` says what went wrong. */
export type SendResult =
  | { readonly ok: true; readonly status: number; readonly message: string; readonly attempts: number }
  | { readonly ok: false; readonly message: string; readonly attempts: number };

type Attempt =
  | Omit<Extract<SendResult, { ok: true }>, 'attempts'>
  | Omit<Extract<SendResult, { ok: false }>, 'attempts'>;

const MAX_ATTEMPTS = 3;
const RETRY_PAUSE_MS = 25;
const PIECE_LENGTH = 64 * 1024;
const ANSWER_LIMIT_BYTES = 1024;
/** Nobody listens there, or no longer: another replica may. A certificate that is refused stays refused. */
const RETRIED_CODES = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EHOSTUNREACH'];
const RETRIED_STATUSES = [429, 503];

/** Posts to one endpoint. */
export interface CaptureClient {
  send(request: CaptureRequest, signal: AbortSignal): Promise<SendResult>;
}

/**
 * Made while main still runs: loading TLS and reading the certificates takes about 50 ms of CPU, which would be a part of
 * the step's end otherwise. No connection is opened: it would be held for as long as the step takes.
 *
 * `ca` are the only authorities that are trusted, in PEM. Throws where they cannot be read.
 */
export function createCaptureClient(url: URL, ca: string): CaptureClient {
  const tls = { secureContext: createSecureContext({ ca, minVersion: 'TLSv1.2' }) };
  return { send: (request, signal) => sendCapture(url, tls, request, signal) };
}

/**
 * Posts the outputs, and again where another replica could answer better. Ends when the signal does, at the latest; what has
 * left by then may well be taken by the server all the same.
 */
async function sendCapture(
  url: URL,
  tls: Pick<ConnectionOptions, 'secureContext'>,
  request: CaptureRequest,
  signal: AbortSignal,
): Promise<SendResult> {
  const addresses = await resolveHost(url.hostname);
  if (addresses.length === 0) return { ok: false, message: 'the name of the endpoint has no address', attempts: 0 };
  for (let attempts = 1; ; attempts++) {
    const address = addresses[(attempts - 1) % addresses.length] ?? '';
    const options = { ...requestOptions(url, address, request), ...tls, signal };
    const { isRetriable, ...attempt } = await postOnce(options, request.body);
    if (!isRetriable || attempts === MAX_ATTEMPTS || signal.aborted) return { ...attempt, attempts };
    await pause(RETRY_PAUSE_MS * attempts);
  }
}

function requestOptions(url: URL, address: string, { token, body }: CaptureRequest): RequestOptions {
  return {
    method: 'POST',
    host: address,
    // The certificate has to be one for the name, whatever address was dialled.
    ...(url.hostname !== address && !url.hostname.startsWith('[') && { servername: url.hostname }),
    port: url.port || 443,
    path: `${url.pathname.replace(/\/$/, '')}/capture/v1/outputs`,
    headers: {
      host: url.host,
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      [CONTRACT_HEADER]: CONTRACT_VERSION,
    },
    agent: false,
  };
}

async function postOnce(options: RequestOptions, body: string): Promise<Attempt & { isRetriable: boolean }> {
  try {
    const response = await startAndWrite(options, body);
    const status = response.statusCode ?? 0;
    const message = await readMessage(response);
    return { ok: true, status, message, isRetriable: RETRIED_STATUSES.includes(status) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { ok: false, message: code ?? message, isRetriable: RETRIED_CODES.includes(code ?? '') };
  }
}

function startAndWrite(options: RequestOptions, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const client = startRequest(options, resolve);
    client.on('error', reject);
    writeInPieces(client, body);
  });
}

/** A piece at a time, as the connection takes them: a body of a megabyte would otherwise be there several times over. */
function writeInPieces(client: ClientRequest, body: string): void {
  let sent = 0;
  const writeOn = (): void => {
    let isRoomLeft = true;
    while (isRoomLeft && sent < body.length) {
      const end = pieceEnd(body, sent);
      isRoomLeft = client.write(body.slice(sent, end));
      sent = end;
    }
    if (sent >= body.length) client.end();
    else client.once('drain', writeOn);
  };
  writeOn();
}

/** Never between the two halves of one character (a surrogate pair), which would turn into two unknown ones. */
function pieceEnd(text: string, start: number): number {
  const end = Math.min(start + PIECE_LENGTH, text.length);
  const isHalf = end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1));
  return isHalf ? end - 1 : end;
}

/** The `message` of the answer, for the log. An answer that cannot be read has none. */
async function readMessage(response: IncomingMessage): Promise<string> {
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > ANSWER_LIMIT_BYTES) return '';
      chunks.push(chunk);
    }
    const { message } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { message?: unknown };
    return typeof message === 'string' ? message : '';
  } catch {
    return '';
  }
}

export function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs);
  });
}
