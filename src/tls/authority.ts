import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';

/*
 * Certificates as values: how they are made, checked, and when they are due. Time and randomness come in as arguments.
 * node-forge writes X.509, node:crypto makes the keys, signs and verifies. RSA, since node-forge encodes no other key.
 */

/** A key pair in PEM: PKCS#8 and SPKI. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** What making a certificate needs from outside. */
export interface Tools {
  /** A new RSA key pair; must not block the event loop. */
  makeKeyPair(): Promise<KeyPair>;
  /** Signs with RSASSA-PKCS1-v1_5 and SHA-256. */
  sign(data: Buffer, privateKey: string): Promise<Buffer>;
  randomBytes(count: number): Uint8Array;
}

/** A certificate and its private key, both PEM. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** A yes or no with its reason, in words for the log and for /readyz. */
export interface Judgement {
  readonly is: boolean;
  readonly reason: string;
}

/** Clocks differ: certificates are valid from a little before they are made, but never from a tenth of their life. */
const MOST_BACKDATING_MS = 5 * 60_000;

/** The part of a certificate's life after which it is renewed. */
const RENEWAL_AT = 2 / 3;

/** A new certificate authority, self-signed. Each has a name of its own, so that one bundle can hold several. */
export async function issueAuthority(options: { now: Date; validityMs: number; tools: Tools }): Promise<Pair> {
  const { now, validityMs, tools } = options;
  const keys = await tools.makeKeyPair();
  const serial = serialNumber(tools);
  const subject = [{ name: 'commonName', value: `stepmemo CA ${serial.slice(2, 10)}` }];
  const certificate = prepare({ serial, keys, subject, issuer: subject, ...lifeFrom(now, validityMs) });
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  return { certificate: await signed(certificate, keys.privateKey, tools), key: keys.privateKey };
}

/**
 * A server certificate for `names` (DNS names and IP addresses), signed by `authority`. It never outlives the authority.
 */
export async function issueLeaf(options: {
  authority: Pair;
  names: readonly string[];
  now: Date;
  validityMs: number;
  tools: Tools;
}): Promise<Pair> {
  const { authority, names, now, validityMs, tools } = options;
  const issuer = forge.pki.certificateFromPem(authority.certificate);
  const keys = await tools.makeKeyPair();
  const life = lifeFrom(now, validityMs);
  const end = issuer.validity.notAfter;
  const certificate = prepare({
    serial: serialNumber(tools),
    keys,
    subject: [{ name: 'commonName', value: 'stepmemo' }],
    issuer: issuer.subject.attributes,
    notBefore: life.notBefore,
    notAfter: new Date(Math.min(life.notAfter.getTime(), end.getTime())),
  });
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: names.map(altName) },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ]);
  return { certificate: await signed(certificate, authority.key, tools), key: keys.privateKey };
}

// Types of the subjectAltName choice (RFC 5280, 4.2.1.6).
const altName = (name: string) => (isIP(name) ? { type: 7, ip: name } : { type: 2, value: name });

function lifeFrom(now: Date, validityMs: number): { notBefore: Date; notAfter: Date } {
  const backdatingMs = Math.min(MOST_BACKDATING_MS, validityMs / 10);
  return { notBefore: new Date(now.getTime() - backdatingMs), notAfter: new Date(now.getTime() + validityMs) };
}

/** 16 random bytes as hex. The first one keeps the number positive and its length constant. */
function serialNumber(tools: Tools): string {
  return `01${Buffer.from(tools.randomBytes(15)).toString('hex')}`;
}

function prepare(parts: {
  serial: string;
  keys: KeyPair;
  subject: forge.pki.CertificateField[];
  issuer: forge.pki.CertificateField[];
  notBefore: Date;
  notAfter: Date;
}): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(parts.keys.publicKey);
  certificate.serialNumber = parts.serial;
  certificate.validity.notBefore = parts.notBefore;
  certificate.validity.notAfter = parts.notAfter;
  certificate.setSubject(parts.subject);
  certificate.setIssuer(parts.issuer);
  return certificate;
}

/** As Certificate.sign of node-forge does it, but with node:crypto's arithmetic, off the event loop. */
async function signed(certificate: forge.pki.Certificate, privateKey: string, tools: Tools): Promise<string> {
  const algorithm = forge.pki.oids.sha256WithRSAEncryption ?? '';
  certificate.signatureOid = algorithm;
  certificate.siginfo.algorithmOid = algorithm;
  const body = getTbsCertificate(certificate);
  certificate.tbsCertificate = body;
  const signature = await tools.sign(Buffer.from(forge.asn1.toDer(body).getBytes(), 'binary'), privateKey);
  certificate.signature = signature.toString('binary');
  return forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n');
}

/** Missing in the types of node-forge. */
const getTbsCertificate = (
  forge.pki as unknown as { getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1 }
).getTBSCertificate;

// ---- reading and judging

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM text, in order. What is none is left out. */
export function parseCertificates(pem: string): X509Certificate[] {
  return (pem.match(PEM_CERTIFICATE) ?? []).flatMap((text) => {
    try {
      return [new X509Certificate(text)];
    } catch {
      return [];
    }
  });
}

/** Whether two bundles hold the same certificates, in whatever order and with whatever text between. */
export function isSameBundle(one: string, other: string): boolean {
  const prints = (pem: string) =>
    [...new Set(parseCertificates(pem).map((certificate) => certificate.fingerprint256))].sort().join();
  return prints(one) === prints(other);
}

/** Whether a certificate has to be renewed: two thirds of its life are over, or it cannot be read. */
export function needsRenewal(pem: string, now: Date): Judgement {
  const [certificate] = parseCertificates(pem);
  if (certificate === undefined) return { is: true, reason: 'it cannot be read' };
  const from = certificate.validFromDate.getTime();
  const to = certificate.validToDate.getTime();
  const at = now.getTime();
  if (at >= to) return { is: true, reason: `it expired at ${certificate.validToDate.toISOString()}` };
  if (at >= from + (to - from) * RENEWAL_AT) return { is: true, reason: 'two thirds of its life are over' };
  return { is: false, reason: `it serves until ${certificate.validToDate.toISOString()}` };
}

/** Whether a leaf has to be issued anew: it is due, another authority signs now, or it lacks a name. */
export function leafNeedsRenewal(
  leaf: Pair | undefined,
  signer: { readonly certificate: string },
  names: readonly string[],
  now: Date,
): Judgement {
  if (leaf === undefined) return { is: true, reason: 'there is none yet' };
  const [certificate] = parseCertificates(leaf.certificate);
  const [authority] = parseCertificates(signer.certificate);
  if (certificate === undefined || authority === undefined) return { is: true, reason: 'it cannot be read' };
  if (!isSignedBy(certificate, authority)) return { is: true, reason: 'another authority signs now' };
  const missing = names.find((name) => !isFor(certificate, name));
  if (missing !== undefined) return { is: true, reason: `it is not for ${missing}` };
  return needsRenewal(leaf.certificate, now);
}

/**
 * Whether a client that trusts `bundle` and calls `name` would take this certificate now. `chain` is what the server
 * sends: the leaf first, then any intermediates. Stands in for crypto/x509 of the API server, and is no laxer.
 */
export function verifyChain(chain: string, bundle: string, name: string, now: Date): Judgement {
  const [leaf, ...intermediates] = parseCertificates(chain);
  if (leaf === undefined) return { is: false, reason: 'there is no certificate' };
  if (!isValidAt(leaf, now)) {
    const life = `${leaf.validFromDate.toISOString()} to ${leaf.validToDate.toISOString()}`;
    return { is: false, reason: `the certificate is valid from ${life}, and not now` };
  }
  if (!isFor(leaf, name)) return { is: false, reason: `the certificate is not for ${name}` };
  const roots = parseCertificates(bundle);
  if (roots.length === 0) return { is: false, reason: 'the bundle holds no certificate' };
  return isTrusted(leaf, intermediates, roots, now)
    ? { is: true, reason: 'the certificate verifies against the bundle' }
    : { is: false, reason: 'no authority of the bundle has signed the certificate' };
}

function isTrusted(
  certificate: X509Certificate,
  intermediates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  now: Date,
): boolean {
  if (roots.some((root) => root.fingerprint256 === certificate.fingerprint256)) return true;
  if (roots.some((root) => isValidAt(root, now) && isSignedBy(certificate, root))) return true;
  return intermediates.some(
    (next, index) =>
      next.ca &&
      isValidAt(next, now) &&
      isSignedBy(certificate, next) &&
      // Each intermediate serves once, so that a cycle ends.
      isTrusted(next, intermediates.toSpliced(index, 1), roots, now),
  );
}

const isSignedBy = (certificate: X509Certificate, authority: X509Certificate): boolean =>
  certificate.checkIssued(authority) && certificate.verify(authority.publicKey);

const isValidAt = (certificate: X509Certificate, now: Date): boolean =>
  certificate.validFromDate <= now && now < certificate.validToDate;

/** By the alternative names alone: Go looks at no common name. */
const isFor = (certificate: X509Certificate, name: string): boolean =>
  (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name, { subject: 'never' })) !== undefined;

/** Whether the key belongs to the first certificate of the chain; an error value where one cannot be read. */
export function isPair(chain: string, key: import('node:crypto').KeyObject): boolean {
  const [leaf] = parseCertificates(chain);
  return leaf?.checkPrivateKey(key) ?? false;
}
