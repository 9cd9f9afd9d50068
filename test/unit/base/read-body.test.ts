import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readBody } from '../../../src/base/read-body.ts';

const limits = { limitBytes: 5, timeoutMs: 10_000 };

describe('readBody', () => {
  it('reads a body in pieces up to the limit', async () => {
    const body = new PassThrough();
    const reading = readBody(body, limits);
    body.write('12');
    body.end('345');
    expect(await reading).toEqual({ ok: true, bytes: Buffer.from('12345') });
  });

  it('stops at the limit, though more comes than was announced', async () => {
    const body = new PassThrough();
    const reading = readBody(body, limits);
    body.write('123456');
    expect(await reading).toMatchObject({ ok: false, status: 413 });
    expect(body.isPaused()).toBe(true);
  });

  it('ends with a body that is cut off, also with an error', async () => {
    const closed = new PassThrough();
    const reading = readBody(closed, limits);
    closed.write('1');
    closed.destroy();
    expect(await reading).toMatchObject({ ok: false, status: 400 });
    const broken = new PassThrough();
    const failing = readBody(broken, limits);
    broken.destroy(new Error('reset'));
    expect(await failing).toMatchObject({ ok: false, status: 400 });
  });

  it('does not wait longer than it was told', async () => {
    expect(await readBody(new PassThrough(), { limitBytes: 5, timeoutMs: 1 })).toMatchObject({
      ok: false,
      status: 408,
    });
  });
});
