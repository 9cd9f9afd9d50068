import type { SecureContextOptions } from 'node:tls';
import type { Log } from '../base/log.ts';
import { type Config, serviceNames } from '../config/config.ts';
import type { KubeApi } from '../kube/types.ts';
import { type AuthorityTerms, bundleOf, chooseSigner, type Signer } from './authorities.ts';
import { issueLeaf, leafNeedsRenewal, type Pair, parseCertificates, type Tools, verifyChain } from './authority.ts';
import { keepAuthorities } from './authority-secret.ts';
import { AcceptedPaths, lookAheadPath } from './look-ahead-path.ts';
import type { SourceRounds } from './rounds.ts';
import { keepWebhookBundles, type ReadBack } from './webhook-bundles.ts';

export interface SelfSourceOptions {
  readonly config: Config;
  readonly kube: Pick<KubeApi, 'get' | 'create' | 'patch'>;
  readonly log: Log;
  readonly now: () => Date;
  readonly tools: Tools;
  readonly settleMs?: number;
  readonly intervalMs?: number;
}

const HOUR_MS = 3_600_000;
/** Longer than any API server takes to learn of a changed webhook configuration, and than a round of a replica. */
const SETTLE_MS = 5 * 60_000;
const INTERVAL_MS = 10_000;

/** A CA of our own in a Secret, shared by all replicas; the certificate of this replica in memory alone. */
export function createSelfSource(options: SelfSourceOptions): SourceRounds {
  const source = new SelfSource(options);
  return {
    current: () => source.current(),
    caBundle: () => source.bundle,
    isLookAheadPath: (path) => source.paths.has(path),
    readiness: () => source.readiness(),
    expiresAt: () => source.expiresAt(),
    round: () => source.round(),
    intervalMs: options.intervalMs ?? INTERVAL_MS,
  };
}

/** The names by which the API server and the sidecars call: the Services', and the host of the capture URL. */
export function namesOf(config: Config): string[] {
  const { serviceName, ownNamespace, captureUrl } = config;
  const [service = '', ...others] = serviceNames(config).map((name) => `${name}.${ownNamespace}.svc`);
  const captureHost = new URL(captureUrl).hostname.replace(/^\[(.*)\]$/, '$1');
  return [
    ...new Set([
      service,
      `${service}.cluster.local`,
      `${serviceName}.${ownNamespace}`,
      serviceName,
      ...others,
      captureHost,
    ]),
  ];
}

class SelfSource {
  readonly #options: SelfSourceOptions;
  readonly #terms: AuthorityTerms;
  readonly #names: readonly string[];
  #leaf: Pair | undefined;
  #trouble: string | undefined = 'no certificate has been issued yet';
  /** The bundle of each webhook, as last read; undefined before the first time. */
  #bundles: readonly { webhook: string; pem: string }[] | undefined;
  bundle = '';
  readonly paths = new AcceptedPaths();

  constructor(options: SelfSourceOptions) {
    this.#options = options;
    this.#names = namesOf(options.config);
    this.#terms = {
      leafValidityMs: options.config.leafValidityHours * HOUR_MS,
      settleMs: options.settleMs ?? SETTLE_MS,
    };
  }

  current(): SecureContextOptions {
    return this.#leaf === undefined ? {} : { cert: this.#leaf.certificate, key: this.#leaf.key };
  }

  expiresAt(): Date | undefined {
    return this.#leaf && parseCertificates(this.#leaf.certificate)[0]?.validToDate;
  }

  readiness(): { isReady: boolean; reason?: string } {
    if (this.#leaf === undefined || this.#bundles === undefined) {
      return { isReady: false, reason: this.#trouble ?? 'no certificate' };
    }
    const distrust = distrustOf(this.#leaf.certificate, this.#bundles, this.#names[0] ?? '', this.#options.now());
    return distrust === undefined ? { isReady: true } : { isReady: false, reason: this.#trouble ?? distrust };
  }

  async round(): Promise<boolean> {
    const { config, kube, log, now, tools } = this.#options;
    const kept = await keepAuthorities({
      kube,
      now,
      tools,
      terms: this.#terms,
      namespace: config.ownNamespace,
      name: config.caSecretName,
      validityMs: config.caValidityHours * HOUR_MS,
      onIssued: (reason) => log.info({ reason }, 'made a certificate authority'),
    });
    if (!kept.ok) return this.#note(kept.message);
    this.bundle = bundleOf(kept.authorities);
    const signer = chooseSigner(kept.authorities, now(), this.#terms);
    if (signer === undefined) return this.#note('no certificate authority can sign');
    const read = await this.#keepBundles(lookAheadPath(signer.key));
    const isNew = await this.#renewLeaf(signer);
    if (!read.ok) return this.#note(read.message) || isNew;
    this.#trouble = undefined;
    return isNew;
  }

  async #keepBundles(path: string): Promise<ReadBack> {
    const { config, kube, now } = this.#options;
    this.paths.see(path, now());
    const services = { namespace: config.ownNamespace, names: serviceNames(config) };
    const options = { kube, services, configurationName: config.webhookConfigurationName };
    const read = await keepWebhookBundles(options, { pem: this.bundle, lookAheadPath: path });
    if (read.ok) this.#bundles = read.bundles;
    return read;
  }

  /** A leaf that still serves is not exchanged for one that the API server would not take yet. */
  async #renewLeaf(signer: Signer): Promise<boolean> {
    const { now, log, tools } = this.#options;
    const due = leafNeedsRenewal(this.#leaf, signer, this.#names, now());
    if (!due.is) return false;
    if (this.#leaf !== undefined && !this.#isKnownEverywhere(signer)) return false;
    this.#leaf = await issueLeaf({
      authority: signer,
      names: this.#names,
      now: now(),
      validityMs: this.#terms.leafValidityMs,
      tools,
    });
    log.info({ reason: due.reason, expiresAt: this.expiresAt() }, 'issued a certificate for this replica');
    return true;
  }

  #isKnownEverywhere(signer: Signer): boolean {
    const [authority] = parseCertificates(signer.certificate);
    return (this.#bundles ?? []).every(({ pem }) =>
      parseCertificates(pem).some(({ fingerprint256 }) => fingerprint256 === authority?.fingerprint256),
    );
  }

  #note(trouble: string): false {
    if (trouble !== this.#trouble) this.#options.log.warn({ reason: trouble }, 'certificates');
    this.#trouble = trouble;
    return false;
  }
}

/**
 * Why the API server would not take this certificate for one of our webhooks; undefined where it would. Where there is
 * no webhook at all (its configuration was taken away), nothing speaks against it: sidecars still call.
 */
export function distrustOf(
  chain: string,
  bundles: readonly { readonly webhook: string; readonly pem: string }[],
  name: string,
  now: Date,
): string | undefined {
  for (const { webhook, pem } of bundles) {
    const verdict = verifyChain(chain, pem, name, now);
    if (!verdict.is) return `webhook ${webhook}: ${verdict.reason}`;
  }
  const own = verifyChain(chain, chain, name, now);
  return own.is ? undefined : own.reason;
}
