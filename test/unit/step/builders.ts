import type { EntryLookup } from '../../../src/cache/entry.ts';
import type { DecisionSettings, KnownCluster, NamespaceSettings } from '../../../src/step/known-cluster.ts';

type Json = Record<string, unknown>;

export const SETTINGS: DecisionSettings = {
  controllerAccounts: ['system:serviceaccount:argo:argo'],
  controllerNamespace: 'argo',
  sidecar: {
    image: 'stepmemo:local',
    platforms: ['linux/amd64'],
    imagePullPolicy: 'IfNotPresent',
    captureUrl: 'https://stepmemo.stepmemo.svc:8444',
    caBundle: '-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n',
    requests: { cpu: '10m', memory: '64Mi' },
    limits: { cpu: '500m', memory: '128Mi' },
  },
};

export const CONTROLLER = 'system:serviceaccount:argo:argo';
export const NOW = new Date('2026-11-24T12:00:00Z');

export interface ClusterOptions extends Partial<Omit<KnownCluster, 'namespace' | 'lookUp'>> {
  readonly settings?: NamespaceSettings | undefined;
  readonly entry?: EntryLookup;
}

/** A cluster in which everything is in order, but for what is said. One entry serves every key. */
export function buildCluster(options: ClusterOptions = {}): KnownCluster {
  const { entry = { found: 'nothing' }, ...others } = options;
  const settings: NamespaceSettings | undefined =
    'settings' in options
      ? options.settings
      : { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' };
  return {
    isSynced: true,
    arePoliciesInstalled: true,
    isSidecarUsable: true,
    limitRanges: () => [],
    hasComputeQuota: () => false,
    ...others,
    namespace: () => settings,
    lookUp: () => entry,
  };
}

export const NATIVE: NamespaceSettings = {
  isEnabled: true,
  memoize: 'native',
  capture: 'sidecar',
  lookAhead: 'on',
  operation: 'on',
};

/** A fresh entry with the one output parameter of PLAIN_TEMPLATE. */
export function buildEntry(outputs: Json | null = { parameters: [{ name: 'out', value: '1' }] }): EntryLookup {
  return {
    found: 'entry',
    entry: { nodeID: 'old-1', outputs, creationTimestamp: '2026-11-24T11:59:46Z', lastHitTimestamp: null },
  } as EntryLookup;
}
