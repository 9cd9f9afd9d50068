import { createPrivateKey } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import type { Log } from '../base/log.ts';
import { type Config, serviceNames } from '../config/config.ts';
import type { KubeApi } from '../kube/types.ts';
import { isPair, type Pair, parseCertificates } from './authority.ts';
import { AcceptedPaths, lookAheadPath } from './look-ahead-path.ts';
import type { SourceRounds } from './rounds.ts';
import { distrustOf } from './self-source.ts';
import { keepWebhookBundles } from './webhook-bundles.ts';

export interface FileSourceOptions {
  readonly config: Config;
  readonly kube: Pick<KubeApi, 'get' | 'patch'>;
  readonly log: Log;
  readonly now: () => Date;
  readonly intervalMs?: number;
}

/** Three small files: reading them often is cheaper than any way to be told of changes is reliable. */
const INTERVAL_MS = 2_000;

type Reading =
  | { readonly ok: true; readonly pair: Pair; readonly ca: string | undefined }
  | { readonly ok: false; readonly reason: string };

/**
 * Certificates that somebody else keeps as files: tls.crt (the certificate, then any intermediates), tls.key and, if it
 * is there, ca.crt. Files that do not fit together leave the last good ones in use. With a ca.crt the webhooks' bundles
 * are kept to it, but for those that cert-manager injects; without one they are only read.
 */
export function createFileSource(options: FileSourceOptions): SourceRounds {
  const source = new FileSource(options);
  return {
    current: () => source.current(),
    caBundle: () => source.caBundle(),
    isLookAheadPath: (path) => source.paths.has(path),
    readiness: () => source.readiness(),
    expiresAt: () => source.expiresAt(),
    round: () => source.round(),
    intervalMs: options.intervalMs ?? INTERVAL_MS,
  };
}

/**
 * Reads the files of one folder. A mounted Secret is exchanged by turning its `..data` link to a new folder: resolved
 * once, it leads to files of one and the same version.
 */
export async function readCertificateFiles(folder: string): Promise<Reading> {
  let pair: Pair;
  let ca: string | undefined;
  try {
    const version = await realpath(join(folder, '..data')).catch(() => folder);
    const [certificate, key] = await Promise.all(
      ['tls.crt', 'tls.key'].map((file) => readFile(join(version, file), 'utf8')),
    );
    pair = { certificate: certificate ?? '', key: key ?? '' };
    ca = await readFile(join(version, 'ca.crt'), 'utf8').catch(() => undefined);
  } catch (error) {
    return { ok: false, reason: `the certificate cannot be read: ${messageOf(error)}` };
  }
  const fault = faultOf(pair, ca);
  return fault === undefined ? { ok: true, pair, ca } : { ok: false, reason: fault };
}

function faultOf(pair: Pair, ca: string | undefined): string | undefined {
  if (parseCertificates(pair.certificate).length === 0) return 'tls.crt holds no certificate';
  if (ca !== undefined && parseCertificates(ca).length === 0) return 'ca.crt holds no certificate';
  try {
    return isPair(pair.certificate, createPrivateKey(pair.key)) ? undefined : 'tls.key does not belong to tls.crt';
  } catch {
    // The error may quote the key.
    return 'tls.key holds no private key';
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

class FileSource {
  readonly #options: FileSourceOptions;
  #pair: Pair | undefined;
  #ca: string | undefined;
  #trouble: string | undefined = 'no certificate has been read yet';
  #bundles: readonly { webhook: string; pem: string }[] = [];
  readonly paths = new AcceptedPaths();

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  current(): SecureContextOptions {
    return this.#pair === undefined ? {} : { cert: this.#pair.certificate, key: this.#pair.key };
  }

  /** Without a ca.crt, what the API server trusts is what a sidecar can trust. */
  caBundle(): string {
    return this.#ca ?? this.#bundles.find(({ pem }) => pem !== '')?.pem ?? '';
  }

  expiresAt(): Date | undefined {
    return this.#pair && parseCertificates(this.#pair.certificate)[0]?.validToDate;
  }

  readiness(): { isReady: boolean; reason?: string } {
    if (this.#trouble !== undefined) return { isReady: false, reason: this.#trouble };
    const { config, now } = this.#options;
    const name = `${config.serviceName}.${config.ownNamespace}.svc`;
    const distrust = distrustOf(this.#pair?.certificate ?? '', this.#bundles, name, now());
    return distrust === undefined ? { isReady: true } : { isReady: false, reason: distrust };
  }

  async round(): Promise<boolean> {
    const reading = await readCertificateFiles(this.#options.config.certDir);
    if (!reading.ok) {
      this.#note(reading.reason);
      return false;
    }
    const isNew = reading.pair.certificate !== this.#pair?.certificate || reading.pair.key !== this.#pair.key;
    this.#pair = reading.pair;
    this.#ca = reading.ca;
    if (isNew) this.#options.log.info({ expiresAt: this.expiresAt() }, 'read a certificate from files');
    const { config, kube, now } = this.#options;
    const path = lookAheadPath(reading.pair.key);
    this.paths.see(path, now());
    const services = { namespace: config.ownNamespace, names: serviceNames(config) };
    const where = { kube, services, configurationName: config.webhookConfigurationName };
    const read = await keepWebhookBundles(
      where,
      this.#ca === undefined ? undefined : { pem: this.#ca, lookAheadPath: path },
    );
    if (read.ok) {
      this.#bundles = read.bundles;
      this.#trouble = undefined;
    } else this.#note(read.message);
    return isNew;
  }

  #note(trouble: string): void {
    if (trouble !== this.#trouble) this.#options.log.warn({ reason: trouble }, 'certificates');
    this.#trouble = trouble;
  }
}
