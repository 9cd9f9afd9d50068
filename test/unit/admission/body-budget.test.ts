import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BodyBudget } from '../../../src/admission/body-budget.ts';

const KIB = 1024;
const chunk = (bytes: number) => Buffer.alloc(bytes, 'x');
const turn = () => new Promise((resolve) => setImmediate(resolve));

function given(totalBytes: number) {
  let nowMs = 0;
  const budget = new BodyBudget({ limitBytes: 64 * KIB, totalBytes, timeoutMs: 60_000, now: () => nowMs });
  return { budget, pass: (ms: number) => (nowMs += ms) };
}

describe('the bodies under way', () => {
  it('take no more than their budget, however many there are that never end', async () => {
    const { budget, pass } = given(100 * KIB);
    const refused: unknown[] = [];
    for (let number = 0; number < 50; number += 1) {
      const body = new PassThrough();
      void budget.read(body).then(({ reading }) => refused.push(reading));
      body.write(chunk(60 * KIB));
      await turn();
      pass(1_000);
      expect(budget.usedBytes).toBeLessThanOrEqual(100 * KIB);
    }
    expect(refused).toHaveLength(49);
    expect(new Set(refused.map((reading) => (reading as { status: number }).status))).toEqual(new Set([503]));
  });

  it('give a newcomer the room of the slowest', async () => {
    const { budget, pass } = given(100 * KIB);
    const [slow, fast, newcomer] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const readings = [slow, fast].map((body) => budget.read(body));
    slow.write(chunk(10 * KIB));
    await turn();
    pass(10_000);
    fast.write(chunk(50 * KIB));
    await turn();
    pass(600);
    const last = budget.read(newcomer);
    newcomer.end(chunk(45 * KIB));
    expect((await last).reading).toMatchObject({ ok: true });
    expect((await readings[0])?.reading).toMatchObject({ ok: false, status: 503 });
    fast.end();
    expect((await readings[1])?.reading).toMatchObject({ ok: true });
  });

  it('count until they are answered, and a whole one is never given up', async () => {
    const { budget } = given(50 * KIB);
    const [first, second] = [new PassThrough(), new PassThrough()];
    const whole = budget.read(first);
    first.end(chunk(40 * KIB));
    const { release } = await whole;
    expect(budget.usedBytes).toBe(40 * KIB);
    const refused = budget.read(second);
    second.end(chunk(20 * KIB));
    expect((await refused).reading).toMatchObject({ ok: false, status: 503 });
    release();
    release();
    expect(budget.usedBytes).toBe(0);
  });

  it('that are cut off leave nothing behind', async () => {
    const { budget } = given(50 * KIB);
    const body = new PassThrough();
    const cut = budget.read(body);
    body.write(chunk(10 * KIB));
    await turn();
    body.destroy();
    expect((await cut).reading).toMatchObject({ ok: false, status: 400 });
    expect(budget.usedBytes).toBe(0);
  });
});
