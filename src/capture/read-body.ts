import type { Readable } from 'node:stream';

export type BodyReading =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly status: 400 | 408 | 413; readonly message: string };

/**
 * Reads a request's body: at most `limitBytes`, and all of it within `timeoutMs`, however steadily a slow client drips.
 * What is left of a body that is not taken stays unread.
 */
export function readBody(
  request: Readable,
  { limitBytes, timeoutMs }: { readonly limitBytes: number; readonly timeoutMs: number },
): Promise<BodyReading> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > limitBytes) finish({ ok: false, status: 413, message: `more than ${limitBytes} bytes` });
      else chunks.push(chunk);
    };
    const end = (): void => finish({ ok: true, bytes: Buffer.concat(chunks) });
    const cutOff = (): void => finish({ ok: false, status: 400, message: 'the body was cut off' });
    const timer = setTimeout(
      () => finish({ ok: false, status: 408, message: `the body took longer than ${timeoutMs} ms` }),
      timeoutMs,
    );
    const finish = (reading: BodyReading): void => {
      clearTimeout(timer);
      request.off('data', take).off('end', end).off('close', cutOff).pause();
      chunks.length = 0;
      resolve(reading);
    };
    // The listener for errors stays: one that comes late has to go somewhere.
    request.on('data', take).on('end', end).on('close', cutOff).on('error', cutOff);
  });
}
