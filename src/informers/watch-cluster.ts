import type { Log } from '../base/log.ts';
import { OPERATIONS, type Operation, POLICY_NAMES } from '../base/names.ts';
import { createCacheIndex, type HeldCache, holdCache } from '../cache/cache-index.ts';
import { CACHE_SELECTOR } from '../cache/cache-label.ts';
import type { Config } from '../config/config.ts';
import { type Reflector, type ReflectorOptions, startReflector } from '../kube/reflector.ts';
import { type KubeObject, type KubeWatchApi, RESOURCES } from '../kube/types.ts';
import type { KnownCluster, LimitRangeItem, NamespaceSettings } from '../step/known-cluster.ts';
import { unknownToPolicy } from './admission-policies.ts';
import { ByNamespace } from './by-namespace.ts';
import { countsCompute, enforcedPolicy, readLimitRange, readNamespace } from './read-objects.ts';
import { createSidecarHealth } from './sidecar-health.ts';

export interface WatchClusterOptions {
  readonly kube: Pick<KubeWatchApi, 'listPage' | 'watch'>;
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
  /** How much is held, for metrics. */
  readonly cacheStats: { readonly caches: number; readonly bytes: number };
}

/** Full caches are 1 MiB each, and a page is in memory as a whole. */
const CACHE_PAGE_LIMIT = 50;
/** So many are remembered as said: tenants make them, and memory is not theirs to fill. */
const MOST_WARNINGS = 1_000;
const NEVER_INTERCEPTED = 'kube-system';

/** What a Reflector keeps of objects of which nothing but their names matters. */
interface Named {
  readonly namespace: string;
  readonly name: string;
}

export function watchCluster(options: WatchClusterOptions): WatchedCluster {
  const { kube, config, log, now = () => new Date(), cacheLimitBytes } = options;
  const health = createSidecarHealth(config.sidecarRetryMinutes * 60_000, now);
  const warned = new Set<string>();
  const warnOnce = (id: string, fields: object, message: string) => {
    if (warned.has(id)) return;
    if (warned.size >= MOST_WARNINGS) warned.clear();
    warned.add(id);
    log.warn(fields, message);
  };
  const caches = createCacheIndex({
    ...(cacheLimitBytes !== undefined && { limitBytes: cacheLimitBytes }),
    onLeftOut: ({ namespace, name, bytes }) =>
      warnOnce(`${namespace}/${name}`, { namespace, cache: name, bytes }, 'no memory for this cache: it is not read'),
  });
  const namespaces = new Map<string, NamespaceSettings>();
  const limitRanges = new ByNamespace<readonly LimitRangeItem[]>();
  const computeQuotas = new ByNamespace<true>();
  const policies = new Set<string>();
  const enforced = new Set<string>();

  function keepNamespace({ name, object }: Named & { object: KubeObject }): void {
    const { settings, bad } = readNamespace(object);
    const isOurs = name === config.ownNamespace || name === NEVER_INTERCEPTED;
    namespaces.set(name, isOurs ? { ...settings, isEnabled: false } : settings);
    for (const { annotation, value, expected } of bad) {
      const fields = { namespace: name, annotation, value, expected };
      warnOnce(`${name} ${annotation} ${value}`, fields, 'this annotation says nothing known: the default holds');
    }
  }

  /** What stands on our own namespace holds for all. */
  const ownOperation = (): Operation => namespaces.get(config.ownNamespace)?.operation ?? 'on';

  /** A policy that lacks one of our controllers would refuse the pods that we gate for it: as good as missing. */
  function agrees(policy: KubeObject): boolean {
    const unknown = unknownToPolicy(policy, config.controllerAccounts);
    if (unknown.length === 0) return true;
    const fields = { policy: policy.metadata?.name, accounts: unknown };
    warnOnce(`policy ${unknown.join()}`, fields, 'the admission policy does not know these workflow controllers');
    return false;
  }

  const reflectors: Reflector<unknown>[] = [];
  const isSynced = () => reflectors.length > 0 && reflectors.every((reflector) => reflector.isSynced);
  const whenSynced = Promise.withResolvers<void>();
  const watch = <T>(
    what: Pick<ReflectorOptions<T>, 'resource' | 'labelSelector' | 'transform' | 'on' | 'pageLimit' | 'isAbsentEmpty'>,
  ) => {
    // No list is through before start() has returned, so all of them are in the array by then.
    reflectors.push(startReflector<T>({ ...what, kube, log, onSync: () => isSynced() && whenSynced.resolve() }));
  };

  return {
    start() {
      if (reflectors.length > 0) throw new Error('the view is started already');
      watch<HeldCache>({
        resource: RESOURCES.configMaps,
        labelSelector: CACHE_SELECTOR,
        pageLimit: CACHE_PAGE_LIMIT,
        transform: holdCache,
        on: { upsert: caches.put, remove: ({ namespace, name }) => caches.remove(namespace, name) },
      });
      watch({
        resource: RESOURCES.namespaces,
        transform: (object) => ({ ...named(object), object: slim(object) }),
        on: { upsert: keepNamespace, remove: ({ name }) => void namespaces.delete(name) },
      });
      watch({
        resource: RESOURCES.limitRanges,
        transform: (object) => ({ ...named(object), items: readLimitRange(object) }),
        on: {
          upsert: ({ namespace, name, items }) => limitRanges.set(namespace, name, items),
          remove: ({ namespace, name }) => limitRanges.delete(namespace, name),
        },
      });
      watch({
        resource: RESOURCES.resourceQuotas,
        transform: (object) => (countsCompute(object) ? named(object) : undefined),
        on: {
          upsert: ({ namespace, name }) => computeQuotas.set(namespace, name, true),
          remove: ({ namespace, name }) => computeQuotas.delete(namespace, name),
        },
      });
      // Before Kubernetes 1.30 the API server knows no such kinds: not installed, then.
      watch({
        resource: RESOURCES.admissionPolicies,
        isAbsentEmpty: true,
        transform: (object) => (agrees(object) ? named(object) : undefined),
        on: { upsert: ({ name }) => void policies.add(name), remove: ({ name }) => void policies.delete(name) },
      });
      watch({
        resource: RESOURCES.admissionPolicyBindings,
        isAbsentEmpty: true,
        transform: (object) => (enforcedPolicy(object) === object.metadata?.name ? named(object) : undefined),
        on: { upsert: ({ name }) => void enforced.add(name), remove: ({ name }) => void enforced.delete(name) },
      });
    },
    whenSynced: () => whenSynced.promise,
    async stop() {
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
    get isSynced() {
      return isSynced();
    },
    get arePoliciesInstalled() {
      return POLICY_NAMES.every((name) => policies.has(name) && enforced.has(name));
    },
    get isSidecarUsable() {
      return health.isUsable;
    },
    get cacheStats() {
      return { caches: caches.size, bytes: caches.bytes };
    },
    namespace: (name) => {
      const settings = namespaces.get(name);
      return settings && { ...settings, operation: strictest(settings.operation, ownOperation()) };
    },
    lookUp: (namespace, cache, key) => caches.lookUp(namespace, cache, key),
    limitRanges: (namespace) => [...limitRanges.in(namespace)].flat(),
    hasComputeQuota: (namespace) => !computeQuotas.in(namespace).next().done,
    markSidecarBroken: (at) => health.markBroken(at),
    markSidecarWorking: (createdAt) => health.markWorking(createdAt),
    noteSidecarInjected: (at = now()) => health.noteInjected(at),
  };
}

function strictest(one: Operation, other: Operation): Operation {
  return OPERATIONS.indexOf(one) > OPERATIONS.indexOf(other) ? one : other;
}

function named(object: KubeObject): Named {
  const { namespace = '', name = '' } = object.metadata ?? {};
  return { namespace, name };
}

/** A namespace without its status and managed fields. */
function slim({ metadata = {} }: KubeObject): KubeObject {
  const { name, labels, annotations } = metadata;
  return { metadata: { ...(name && { name }), ...(labels && { labels }), ...(annotations && { annotations }) } };
}
