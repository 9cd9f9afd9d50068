import type { Log } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { type Reflector, startReflector } from '../kube/reflector.ts';
import type { KubeWatchApi } from '../kube/types.ts';
import type { KnownCluster } from '../step/known-cluster.ts';
import { createSidecarHealth } from './sidecar-health.ts';
import { createWarnOnce, type Watch } from './watch.ts';
import { CacheWatch } from './watch-caches.ts';
import { type LimitsWatch, watchLimits } from './watch-limits.ts';
import { type NamespaceWatch, watchNamespaces } from './watch-namespaces.ts';
import { type PolicyWatch, watchPolicies } from './watch-policies.ts';

export interface WatchClusterOptions {
  readonly kube: Pick<KubeWatchApi, 'get' | 'listPage' | 'watch'>;
  readonly config: Pick<Config, 'ownNamespace' | 'sidecarRetryMinutes' | 'controllerAccounts'>;
  readonly log: Pick<Log, 'debug' | 'warn' | 'error'>;
  readonly now?: () => Date;
  /** Most memory for entries, in bytes; see createCacheIndex. */
  readonly cacheLimitBytes?: number;
}

/** The view that the server fills from its watches. */
export interface WatchedCluster extends KnownCluster {
  /** Starts the watches and returns at once. Once only. */
  start(): void;
  /** Resolves when every watch has listed once. */
  whenSynced(): Promise<void>;
  /** Ends the watches; resolves when no connection is left. What was read stays readable. */
  stop(): Promise<void>;
  /** A sidecar was seen not to start, at that time. To be told to every replica, by its own watch of pods. */
  markSidecarBroken(at: Date): void;
  /** The sidecar of a pod that was created at that time was seen to run. Pods from before the last break prove nothing. */
  markSidecarWorking(createdAt: Date): void;
  /**
   * A pod got the sidecar: to be called in the same tick as the decision that read `isSidecarUsable` (never for a dry
   * run), and in the other replicas when they see the pod, with its creation time. In broken times it makes this pod
   * the one try, and closes the door for the next `sidecarRetryMinutes`.
   */
  noteSidecarInjected(at?: Date): void;
  /** When the watch that has heard nothing for longest last heard of anything; by `performance.now()`. */
  readonly heardAtMs: number;
  /** Admission policies that would warn users of an outage, and are not there. */
  readonly missingOutagePolicies: readonly string[];
  /** How much is held, for metrics. */
  readonly cacheStats: { readonly caches: number; readonly bytes: number };
}

interface Parts {
  readonly namespaces: NamespaceWatch;
  readonly limits: LimitsWatch;
  readonly policies: PolicyWatch;
}

export function watchCluster(options: WatchClusterOptions): WatchedCluster {
  const { kube, config, log, now = () => new Date(), cacheLimitBytes } = options;
  const health = createSidecarHealth(config.sidecarRetryMinutes * 60_000, now);
  const warnOnce = createWarnOnce(log);
  let parts: Parts | undefined;
  const isEnabled = (namespace: string) => parts?.namespaces.get(namespace)?.isEnabled === true;
  const caches = new CacheWatch({ kube, log, warnOnce, isEnabled, limitBytes: cacheLimitBytes });

  const reflectors: Reflector<unknown>[] = [];
  let areAllStarted = false;
  let isStopped = false;
  const isSynced = () => areAllStarted && reflectors.every((reflector) => reflector.isSynced);
  const whenSynced = Promise.withResolvers<void>();
  const watch: Watch = (what) => {
    const onSync = () => {
      what.onSync?.();
      if (isSynced()) whenSynced.resolve();
    };
    const reflector = startReflector({ ...what, kube, log, onSync });
    reflectors.push(reflector);
    return reflector;
  };

  return {
    start() {
      if (parts !== undefined) throw new Error('the view is started already');
      parts = {
        limits: watchLimits(watch),
        policies: watchPolicies(watch, config.controllerAccounts, warnOnce),
        namespaces: watchNamespaces({
          watch,
          ownNamespace: config.ownNamespace,
          warnOnce,
          onEnabled: (name, isOn) => caches.setEnabled(name, isOn),
          // Which caches to hold depends on who has opted in.
          onSync: () => {
            if (isStopped) return;
            caches.start(watch);
            areAllStarted = true;
          },
        }),
      };
    },
    whenSynced: () => whenSynced.promise,
    async stop() {
      isStopped = true;
      caches.stop();
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
    get missingOutagePolicies() {
      return parts?.policies.missingOutagePolicies ?? [];
    },
    get heardAtMs() {
      return Math.min(...reflectors.map(({ heardAtMs }) => heardAtMs));
    },
    get isSynced() {
      return isSynced();
    },
    get arePoliciesInstalled() {
      return parts?.policies.areInstalled ?? false;
    },
    get isSidecarUsable() {
      return health.isUsable;
    },
    get cacheStats() {
      return caches.stats;
    },
    namespace: (name) => parts?.namespaces.get(name),
    lookUp: (namespace, cache, key) => caches.lookUp(namespace, cache, key),
    limitRanges: (namespace) => parts?.limits.limitRanges(namespace) ?? [],
    hasComputeQuota: (namespace) => parts?.limits.hasComputeQuota(namespace) ?? false,
    markSidecarBroken: (at) => health.markBroken(at),
    markSidecarWorking: (createdAt) => health.markWorking(createdAt),
    noteSidecarInjected: (at = now()) => health.noteInjected(at),
  };
}
