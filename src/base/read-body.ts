import type { Readable } from 'node:stream';

export type BodyReading =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly status: 400 | 408 | 413 | 503; readonly message: string };

export interface BodyLimits {
  readonly limitBytes: number;
  readonly timeoutMs: number;
  /** Told of each piece, in bytes, before it is kept. */
  readonly onBytes?: (count: number) => void;
  /** Gives the body up: there is no room for it. */
  readonly signal?: AbortSignal;
}

/**
 * Reads a request's body: at most `limitBytes`, and all of it within `timeoutMs`, however steadily a slow client drips.
 * What is left of a body that is not taken stays unread.
 */
export function readBody(request: Readable, limits: BodyLimits): Promise<BodyReading> {
  const { limitBytes, timeoutMs, onBytes, signal } = limits;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      onBytes?.(chunk.length);
      if (signal?.aborted) return;
      if (length > limitBytes) finish({ ok: false, status: 413, message: `more than ${limitBytes} bytes` });
      else chunks.push(chunk);
    };
    const end = (): void => finish({ ok: true, bytes: Buffer.concat(chunks) });
    const cutOff = (): void => finish({ ok: false, status: 400, message: 'the body was cut off' });
    const timer = setTimeout(
      () => finish({ ok: false, status: 408, message: `the body took longer than ${timeoutMs} ms` }),
      timeoutMs,
    );
    const giveUp = (): void => finish({ ok: false, status: 503, message: 'too many bodies at the same time' });
    const finish = (reading: BodyReading): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      request.off('data', take).off('end', end).off('close', cutOff).pause();
      chunks.length = 0;
      resolve(reading);
    };
    signal?.addEventListener('abort', giveUp);
    // The listener for errors stays: one that comes late has to go somewhere.
    request.on('data', take).on('end', end).on('close', cutOff).on('error', cutOff);
  });
}
