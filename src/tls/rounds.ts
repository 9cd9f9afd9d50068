import type { SecureContextOptions } from 'node:tls';
import type { Log } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { startReflector } from '../kube/reflector.ts';
import { type KubeWatchApi, RESOURCES } from '../kube/types.ts';

/** Where the certificate of this replica comes from, and whether the API server would take it. */
export interface CertificateSource {
  /** Certificate and key for a TLS server; empty as long as there are none, when no handshake succeeds. */
  current(): SecureContextOptions;
  /** Called with each new certificate; the server takes it with setSecureContext, and open connections stay. */
  onChange(listener: (options: SecureContextOptions) => void): void;
  /** PEM of the authorities that our certificates may come from: for the sidecars. Empty where it is not known yet. */
  caBundle(): string;
  /** Whether the path of a request is one on which the API server asks for look-ahead. */
  isLookAheadPath(path: string): boolean;
  /** Ready once the certificate verifies against the bundle of each webhook as the API server has it. */
  readiness(): { readonly isReady: boolean; readonly reason?: string };
  /** End of the current certificate's life. */
  expiresAt(): Date | undefined;
  /** One round: reads, renews, restores. Rounds never overlap; a round that is asked for during another follows it. */
  refresh(): Promise<void>;
  /** Makes a first round, then one every few seconds and whenever a webhook configuration changes. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** What a source does in one round; the rest is the same for all. */
export interface SourceRounds {
  readonly current: () => SecureContextOptions;
  readonly caBundle: () => string;
  readonly isLookAheadPath: (path: string) => boolean;
  readonly readiness: CertificateSource['readiness'];
  readonly expiresAt: () => Date | undefined;
  /** Returns whether there is a new certificate. Throws when something went wrong that it has no word for. */
  readonly round: () => Promise<boolean>;
  readonly intervalMs: number;
}

export interface RoundsOptions {
  readonly config: Pick<Config, 'webhookConfigurationName'>;
  readonly kube: KubeWatchApi;
  readonly log: Log;
}

/**
 * Runs the rounds. They are timed by short intervals, not by when a certificate is due: a timer of months misses its
 * time when the machine sleeps or the clock is set.
 */
export function driveRounds(rounds: SourceRounds, options: RoundsOptions): CertificateSource {
  const { kube, log, config } = options;
  const listeners: ((options: SecureContextOptions) => void)[] = [];
  const runOnce = async () => {
    try {
      if (await rounds.round()) for (const listener of listeners) listener(rounds.current());
    } catch (error) {
      log.error({ err: error }, 'the certificates could not be looked after');
    }
  };
  let isStopped = false;
  const refresh = createSingleFlight(() => (isStopped ? Promise.resolve() : runOnce()));
  let timer: NodeJS.Timeout | undefined;
  let watches: { stop(): Promise<void> }[] = [];
  return {
    current: rounds.current,
    caBundle: rounds.caBundle,
    isLookAheadPath: rounds.isLookAheadPath,
    readiness: rounds.readiness,
    expiresAt: rounds.expiresAt,
    refresh,
    onChange: (listener) => void listeners.push(listener),
    start: async () => {
      await refresh();
      timer = setInterval(() => void refresh(), rounds.intervalMs).unref();
      watches = [RESOURCES.mutatingWebhookConfigurations, RESOURCES.validatingWebhookConfigurations].map((resource) =>
        startReflector({
          kube,
          log,
          resource,
          fieldSelector: `metadata.name=${config.webhookConfigurationName}`,
          on: { upsert: () => void refresh(), remove: () => void refresh() },
        }),
      );
    },
    stop: async () => {
      clearInterval(timer);
      isStopped = true;
      await Promise.all(watches.map((watch) => watch.stop()));
      // Behind a round that is under way.
      await refresh();
    },
  };
}

/** Runs `task` for each call, but never two at a time; calls that come in during a run share the next one. */
function createSingleFlight(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const run = (): Promise<void> => {
    running = task().finally(() => {
      running = undefined;
    });
    return running;
  };
  return () => {
    if (running === undefined) return run();
    next ??= running.then(() => {
      next = undefined;
      return run();
    });
    return next;
  };
}
