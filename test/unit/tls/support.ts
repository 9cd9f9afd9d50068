import type { Log } from '../../../src/base/log.ts';
import { type Config, configSchema } from '../../../src/config/config.ts';
import { RESOURCES } from '../../../src/kube/types.ts';
import type { KeyPair, Tools } from '../../../src/tls/authority.ts';
import { SYSTEM_TOOLS } from '../../../src/tls/tools.ts';
import { MemoryKube, memoryLog } from '../kube/memory-kube.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const MONTH_MS = 30 * DAY_MS;
export const SERVICE_NAME = 'stepmemo.stepmemo.svc';

/** A clock that stands still until it is moved. */
export class Clock {
  #ms: number;

  constructor(start: Date | number = Date.now()) {
    this.#ms = Number(start);
  }

  now = (): Date => new Date(this.#ms);
  move(ms: number): void {
    this.#ms += ms;
  }
}

/** Real keys, made ahead: a test that needs many does not wait for each. */
const pool: KeyPair[] = [];
const POOL_SIZE = 4;
let used = 0;

export async function tools(): Promise<Tools> {
  while (pool.length < POOL_SIZE) pool.push(await SYSTEM_TOOLS.makeKeyPair());
  return { ...SYSTEM_TOOLS, makeKeyPair: async () => pool[used++ % POOL_SIZE] ?? SYSTEM_TOOLS.makeKeyPair() };
}

export const configOf = (parts: Partial<Config> = {}): Config => configSchema.parse(parts);

/** A webhook configuration with webhooks of ours, and one of somebody else. */
export function webhookConfiguration(annotations?: Record<string, string>) {
  const service = { namespace: 'stepmemo', name: 'stepmemo', path: '/', port: 443 };
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'stepmemo', ...(annotations && { annotations }) },
    webhooks: [
      { name: 'pods.stepmemo.io', clientConfig: { service } },
      { name: 'other.example.com', clientConfig: { service: { ...service, name: 'other' }, caBundle: 'b3RoZXI=' } },
      { name: 'workflows.stepmemo.io', clientConfig: { service } },
      { name: 'look-ahead.stepmemo.io', clientConfig: { service: { ...service, path: undefined } } },
      { name: 'look-ahead-behind.stepmemo.io', clientConfig: { service: { ...service, path: undefined } } },
    ],
  };
}

export function kubeWithWebhooks(annotations?: Record<string, string>): MemoryKube {
  const kube = new MemoryKube();
  kube.put(RESOURCES.mutatingWebhookConfigurations, webhookConfiguration(annotations));
  return kube;
}

/** The bundles of the stored mutating configuration, PEM, in the order of its webhooks. */
export function bundlesIn(kube: MemoryKube): (string | undefined)[] {
  const stored = kube.peek(RESOURCES.mutatingWebhookConfigurations, undefined, 'stepmemo') as unknown as {
    webhooks: { clientConfig: { caBundle?: string } }[];
  };
  return stored.webhooks.map(({ clientConfig: { caBundle } }) =>
    caBundle === undefined ? undefined : Buffer.from(caBundle, 'base64').toString(),
  );
}

/** The paths of the stored mutating configuration. */
export function pathsIn(kube: MemoryKube): (string | undefined)[] {
  const stored = kube.peek(RESOURCES.mutatingWebhookConfigurations, undefined, 'stepmemo') as unknown as {
    webhooks: { clientConfig: { service: { path?: string } } }[];
  };
  return stored.webhooks.map(({ clientConfig }) => clientConfig.service.path);
}

export const quietLog = (): Log => memoryLog() as unknown as Log;
