import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  isSameBundle,
  issueAuthority,
  issueLeaf,
  leafNeedsRenewal,
  needsRenewal,
  type Pair,
  parseCertificates,
  type Tools,
  verifyChain,
} from '../../../src/tls/authority.ts';
import { DAY_MS, HOUR_MS, tools as makeTools, SERVICE_NAME } from './support.ts';

const NOW = new Date('2026-05-01T12:00:00Z');
const at = (ms: number) => new Date(NOW.getTime() + ms);
const NAMES = [SERVICE_NAME, 'stepmemo', '10.88.0.1', 'fd00::1'];

let tools: Tools;
let authority: Pair;
let other: Pair;
let leaf: Pair;

beforeAll(async () => {
  tools = await makeTools();
  authority = await issueAuthority({ now: NOW, validityMs: 300 * DAY_MS, tools });
  other = await issueAuthority({ now: NOW, validityMs: 300 * DAY_MS, tools });
  leaf = await issueLeaf({ authority, names: NAMES, now: NOW, validityMs: 30 * DAY_MS, tools });
});

describe('an authority', () => {
  test('signs itself, is one, and may sign nothing but leaves', () => {
    const certificate = new X509Certificate(authority.certificate);
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.checkIssued(certificate)).toBe(true);
    expect(certificate.validFromDate).toEqual(at(-5 * 60_000));
    expect(certificate.validToDate).toEqual(at(300 * DAY_MS));
  });
  test('differs from the next in name and serial number, so that both can stand in one bundle', () => {
    const [one, two] = [new X509Certificate(authority.certificate), new X509Certificate(other.certificate)];
    expect(one.subject).toMatch(/^CN=stepmemo CA [0-9a-f]{8}$/);
    expect(one.subject).not.toBe(two.subject);
    expect(one.serialNumber).not.toBe(two.serialNumber);
    expect(one.serialNumber).toMatch(/^01[0-9A-F]{30}$/);
  });
});

describe('a leaf', () => {
  test('is for its names, for servers, and no authority', () => {
    const certificate = new X509Certificate(leaf.certificate);
    expect(certificate.ca).toBe(false);
    expect(certificate.subjectAltName).toBe(
      `DNS:${SERVICE_NAME}, DNS:stepmemo, IP Address:10.88.0.1, IP Address:FD00:0:0:0:0:0:0:1`,
    );
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });
  test('never outlives its authority', async () => {
    const short = await issueAuthority({ now: NOW, validityMs: DAY_MS, tools });
    const long = await issueLeaf({ authority: short, names: NAMES, now: NOW, validityMs: 30 * DAY_MS, tools });
    expect(new X509Certificate(long.certificate).validToDate).toEqual(at(DAY_MS));
  });
  test('of a short life is not backdated by more than a tenth of it, or it would be due at once', async () => {
    const short = await issueLeaf({ authority, names: NAMES, now: NOW, validityMs: 60_000, tools });
    expect(new X509Certificate(short.certificate).validFromDate).toEqual(at(-6_000));
    expect(needsRenewal(short.certificate, NOW)).toMatchObject({ is: false });
  });
});

describe('renewal is due', () => {
  // A life of 30 days and five minutes, from five minutes before NOW on.
  test.each<[string, number, boolean, string]>([
    ['not when it is new', 0, false, 'it serves until 2026-05-31T12:00:00.000Z'],
    ['not before two thirds of its life', 20 * DAY_MS - 3 * 60_000, false, 'it serves until'],
    ['after two thirds of its life', 20 * DAY_MS, true, 'two thirds of its life are over'],
    ['when it has expired', 30 * DAY_MS, true, 'it expired at 2026-05-31T12:00:00.000Z'],
  ])('%s', (_, ms, is, reason) => {
    const judgement = needsRenewal(leaf.certificate, at(ms));
    expect(judgement.is).toBe(is);
    expect(judgement.reason).toContain(reason);
  });
  test('when it cannot be read', () => {
    expect(needsRenewal('nonsense', NOW)).toEqual({ is: true, reason: 'it cannot be read' });
    expect(needsRenewal('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', NOW).is).toBe(true);
  });
  test.each<[string, () => Parameters<typeof leafNeedsRenewal>, string | undefined]>([
    ['no leaf', () => [undefined, authority, NAMES, NOW], 'there is none yet'],
    ['another signer', () => [leaf, other, NAMES, NOW], 'another authority signs now'],
    ['a further name', () => [leaf, authority, [...NAMES, 'b.example'], NOW], 'it is not for b.example'],
    ['a further address', () => [leaf, authority, ['10.0.0.9'], NOW], 'it is not for 10.0.0.9'],
    ['its time', () => [leaf, authority, NAMES, at(25 * DAY_MS)], 'two thirds of its life are over'],
    ['nothing', () => [leaf, authority, NAMES, at(HOUR_MS)], undefined],
  ])('for a leaf by %s', (_, args, reason) => {
    const judgement = leafNeedsRenewal(...args());
    expect(judgement.is).toBe(reason !== undefined);
    if (reason !== undefined) expect(judgement.reason).toBe(reason);
  });
});

describe('verification', () => {
  test.each<[string, () => Parameters<typeof verifyChain>, string]>([
    ['the authority is in the bundle', () => [leaf.certificate, authority.certificate, SERVICE_NAME, NOW], ''],
    [
      'it is one of several',
      () => [leaf.certificate, other.certificate + authority.certificate, SERVICE_NAME, NOW],
      '',
    ],
    ['it is called by its address', () => [leaf.certificate, authority.certificate, '10.88.0.1', NOW], ''],
    ['the leaf itself is in the bundle', () => [leaf.certificate, leaf.certificate, SERVICE_NAME, NOW], ''],
    ['the authority is another', () => [leaf.certificate, other.certificate, SERVICE_NAME, NOW], 'no authority of the'],
    ['the bundle is empty', () => [leaf.certificate, '', SERVICE_NAME, NOW], 'the bundle holds no certificate'],
    ['the name is another', () => [leaf.certificate, authority.certificate, 'x.svc', NOW], 'is not for x.svc'],
    ['it is too early', () => [leaf.certificate, authority.certificate, SERVICE_NAME, at(-HOUR_MS)], 'and not now'],
    ['it is too late', () => [leaf.certificate, authority.certificate, SERVICE_NAME, at(31 * DAY_MS)], 'and not now'],
    ['there is no leaf', () => ['', authority.certificate, SERVICE_NAME, NOW], 'there is no certificate'],
  ])('when %s', (_, args, reason) => {
    const judgement = verifyChain(...args());
    expect(judgement.is).toBe(reason === '');
    expect(judgement.reason).toContain(reason);
  });
  test('a leaf signs nothing', async () => {
    const forged = await issueLeaf({ authority: leaf, names: NAMES, now: NOW, validityMs: DAY_MS, tools });
    const chain = forged.certificate + leaf.certificate;
    expect(verifyChain(chain, authority.certificate, SERVICE_NAME, NOW)).toMatchObject({ is: false });
  });
  test('an authority vouches for nothing outside of its own life', async () => {
    const later = await issueAuthority({ now: at(DAY_MS), validityMs: 300 * DAY_MS, tools });
    const early = await issueLeaf({ authority: later, names: NAMES, now: NOW, validityMs: 30 * DAY_MS, tools });
    expect(verifyChain(early.certificate, later.certificate, SERVICE_NAME, NOW)).toMatchObject({ is: false });
    expect(verifyChain(early.certificate, later.certificate, SERVICE_NAME, at(DAY_MS))).toMatchObject({ is: true });
  });
});

describe('bundles', () => {
  test('are the same whatever their order, spaces and comments', () => {
    const one = `${authority.certificate}${other.certificate}`;
    expect(isSameBundle(one, `# comment\n${other.certificate}\n\n${authority.certificate}`)).toBe(true);
    expect(isSameBundle(one, authority.certificate)).toBe(false);
    expect(isSameBundle('', 'nonsense')).toBe(true);
  });
  test('what is no certificate in them is left out', () => {
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    expect(parseCertificates(broken + authority.certificate)).toHaveLength(1);
  });
});
