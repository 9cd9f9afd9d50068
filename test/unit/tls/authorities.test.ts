import { beforeAll, describe, expect, test } from 'vitest';
import { bundleOf, chooseSigner, planAuthorities, type StoredAuthority } from '../../../src/tls/authorities.ts';
import { issueAuthority, parseCertificates } from '../../../src/tls/authority.ts';
import { DAY_MS, tools } from './support.ts';

const START = new Date('2026-01-01T00:00:00Z');
const day = (count: number) => new Date(START.getTime() + count * DAY_MS);
const TERMS = { leafValidityMs: 10 * DAY_MS, settleMs: DAY_MS };

/** Lives of 90 days: `first` from day 0, `second` from day 60, when the first is due. */
let first: StoredAuthority;
let second: StoredAuthority;

beforeAll(async () => {
  const made = async (now: Date): Promise<StoredAuthority> => ({
    ...(await issueAuthority({ now, validityMs: 90 * DAY_MS, tools: await tools() })),
    addedAt: now.toISOString(),
  });
  [first, second] = [await made(day(0)), await made(day(60))];
});

const signerAt = (count: number, stored: readonly StoredAuthority[]) => {
  const signer = chooseSigner(stored, day(count), TERMS);
  return signer === undefined ? 'none' : signer.certificate === first.certificate ? 'first' : 'second';
};

describe('which authority signs', () => {
  test.each<[string, number, () => StoredAuthority[], string]>([
    ['the only one, though it is new', 0, () => [first], 'first'],
    ['the old one while the new one settles', 60, () => [first, second], 'first'],
    ['the new one once it has settled', 61, () => [first, second], 'second'],
    ['whatever the order', 61, () => [second, first], 'second'],
    ['the old one while the new one has no key', 61, () => [first, { ...second, key: undefined }], 'first'],
    ['the new one, settled or not, when the old one has expired', 91, () => [first, second], 'second'],
    ['none when all have expired', 151, () => [first, second], 'none'],
    ['none when there is none', 0, () => [], 'none'],
  ])('%s', (_, count, stored, expected) => {
    expect(signerAt(count, stored())).toBe(expected);
  });
});

describe('what is done about them', () => {
  const planAt = (count: number, stored: readonly StoredAuthority[]) => planAuthorities(stored, day(count), TERMS);

  test('nothing, most of the time', () => {
    expect(planAt(30, [first])).toMatchObject({ kept: [first], isChanged: false, needsNew: { is: false } });
  });
  test('a first one is made', () => {
    expect(planAt(0, []).needsNew).toEqual({ is: true, reason: 'there is none that could sign' });
  });
  test('a new one is made when two thirds of the life of the newest are over', () => {
    expect(planAt(61, [first]).needsNew).toEqual({ is: true, reason: 'two thirds of its life are over' });
    expect(planAt(61, [first, second]).needsNew.is).toBe(false);
  });
  test('the old one stays in the bundle, and loses its key once the new one signs', () => {
    expect(planAt(60, [first, second])).toMatchObject({ kept: [first, second], isChanged: false });
    const { kept, isChanged } = planAt(61, [first, second]);
    expect(kept).toEqual([{ certificate: first.certificate, addedAt: first.addedAt }, second]);
    expect(isChanged).toBe(true);
    expect(parseCertificates(bundleOf(kept))).toHaveLength(2);
  });
  test('the old one goes when the last certificate of it has', () => {
    expect(planAt(70, [first, second]).kept).toHaveLength(2);
    expect(planAt(71, [first, second]).kept).toEqual([second]);
  });
  test('what has expired or cannot be read goes', () => {
    expect(planAt(91, [first])).toMatchObject({ kept: [], isChanged: true, needsNew: { is: true } });
    const broken = { certificate: 'nonsense', key: 'nonsense', addedAt: day(0).toISOString() };
    expect(planAt(1, [broken, first])).toMatchObject({ kept: [first], isChanged: true, needsNew: { is: false } });
  });
  test('a second pass changes nothing', () => {
    for (const count of [0, 30, 60, 61, 71, 91]) {
      const { kept } = planAt(count, [first, second]);
      expect(planAt(count, kept)).toMatchObject({ kept, isChanged: false });
    }
  });
});
