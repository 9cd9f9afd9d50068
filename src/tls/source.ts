import type { Log } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import type { KubeWatchApi } from '../kube/types.ts';
import type { Tools } from './authority.ts';
import { createFileSource } from './file-source.ts';
import { type CertificateSource, driveRounds } from './rounds.ts';
import { createSelfSource } from './self-source.ts';
import { SYSTEM_TOOLS } from './tools.ts';

export interface SourceOptions {
  readonly config: Config;
  readonly kube: KubeWatchApi;
  readonly log: Log;
  /** Tests move the clock. */
  readonly now?: () => Date;
  readonly tools?: Tools;
  /** How long a new authority is in the bundles before it signs. */
  readonly settleMs?: number;
  readonly intervalMs?: number;
}

/**
 * The source that `config.certSource` names: `self` keeps a CA of its own in a Secret and issues this replica's
 * certificate, `file` takes what lies in `config.certDir`.
 */
export function createCertificateSource(options: SourceOptions): CertificateSource {
  const complete = { ...options, now: options.now ?? (() => new Date()), tools: options.tools ?? SYSTEM_TOOLS };
  const rounds = options.config.certSource === 'file' ? createFileSource(complete) : createSelfSource(complete);
  return driveRounds(rounds, options);
}
