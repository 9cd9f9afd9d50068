import { generateKeyPairSync } from 'node:crypto';
import forge from 'node-forge';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 24 * 3600 * 1000;

/** A self-signed authority and certificates from it, in PEM. */
export function createAuthority(name: string): Certificate & { issue(names: readonly string[]): Certificate } {
  const own = createPair(name, []);
  own.certificate.setIssuer(own.certificate.subject.attributes);
  own.certificate.setExtensions([{ name: 'basicConstraints', cA: true }]);
  own.certificate.sign(own.privateKey, forge.md.sha256.create());
  return {
    cert: forge.pki.certificateToPem(own.certificate),
    key: own.key,
    issue(names) {
      const leaf = createPair('server', names);
      leaf.certificate.setIssuer(own.certificate.subject.attributes);
      leaf.certificate.sign(own.privateKey, forge.md.sha256.create());
      return { cert: forge.pki.certificateToPem(leaf.certificate), key: leaf.key };
    },
  };
}

let serial = 0;

function createPair(commonName: string, names: readonly string[]) {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  serial += 1;
  certificate.serialNumber = `0${serial}`;
  certificate.validity.notBefore = new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + DAY_MS);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  if (names.length > 0) {
    const altNames = names.map((name) => (/^[\d.]+$/.test(name) ? { type: 7, ip: name } : { type: 2, value: name }));
    certificate.setExtensions([{ name: 'subjectAltName', altNames }]);
  }
  return { certificate, key: privateKey, privateKey: forge.pki.privateKeyFromPem(privateKey) };
}
