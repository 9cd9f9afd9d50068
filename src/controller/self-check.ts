import { randomUUID } from 'node:crypto';
import { asObject } from '../base/json.ts';
import type { Log } from '../base/log.ts';
import { SELF_CHECK_LABEL } from '../base/names.ts';
import { type KubeApi, RESOURCES } from '../kube/types.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Trouble } from './tell-troubles.ts';

export interface SelfCheckOptions {
  readonly kube: Pick<KubeApi, 'create'>;
  readonly namespace: string;
  readonly everyMs: number;
  /** One replica asks for all of them. */
  readonly isLeader: () => boolean;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'selfCheck'>;
}

export interface SelfCheck {
  /** What was found last, where it is trouble. */
  readonly trouble: Trouble | undefined;
  stop(): void;
}

/** A single answer may be lost: trouble is reported the second time in a row. */
const TOLD_AFTER = 2;
const NOT_CALLED: Trouble = {
  reason: 'webhook-not-called',
  text: 'the API server does not call the webhooks: nothing is memoized',
  forUsers: { text: 'stepmemo is not called by the API server, so no step is memoized', affects: 'unreached' },
};

/**
 * Finds out whether the API server calls us: a ConfigMap with a nonce is created as a dry run, and comes back with the nonce given
 * back by the webhook of its own that leads here. It shows that one API server reaches one replica, by the same port, Service
 * and certificate authority as all webhooks of ours.
 */
export function startSelfCheck(options: SelfCheckOptions): SelfCheck {
  const { isLeader, log, metrics, everyMs } = options;
  let failures = 0;
  let trouble: Trouble | undefined;

  async function look(): Promise<void> {
    if (!isLeader()) return void reset();
    const asked = await ask(options);
    if (asked === 'unasked') return;
    metrics.selfCheck(asked === 'called');
    if (asked === 'called') return void reset();
    failures += 1;
    if (failures < TOLD_AFTER) return;
    trouble = NOT_CALLED;
    log.warn({ failures }, trouble.text);
  }

  function reset(): void {
    failures = 0;
    trouble = undefined;
  }

  const timer = setInterval(() => {
    look().catch((error: unknown) => log.warn({ err: error }, 'the self-check failed'));
  }, everyMs);
  timer.unref();
  return {
    get trouble() {
      return trouble;
    },
    stop: () => clearInterval(timer),
  };
}

/** `unasked`: the API server did not take the question, which says nothing about the way back. */
async function ask({ kube, namespace }: SelfCheckOptions): Promise<'called' | 'not called' | 'unasked'> {
  const nonce = randomUUID();
  const question = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'stepmemo-self-check', labels: { [SELF_CHECK_LABEL]: 'true' } },
    data: { nonce },
  };
  const made = await kube.create({ resource: RESOURCES.configMaps, namespace }, question, true);
  if (!made.ok) return 'unasked';
  return asObject(made.value.data).answer === nonce ? 'called' : 'not called';
}
