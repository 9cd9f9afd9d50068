import type { Log } from '../base/log.ts';
import { type CacheIndex, createCacheIndex, type HeldCache, holdCache, nameCache } from '../cache/cache-index.ts';
import { CACHE_SELECTOR } from '../cache/cache-label.ts';
import type { EntryLookup } from '../cache/entry.ts';
import type { Reflector } from '../kube/reflector.ts';
import { type KubeWatchApi, RESOURCES } from '../kube/types.ts';
import type { WarnOnce, Watch } from './watch.ts';

export interface CacheWatchOptions {
  readonly kube: Pick<KubeWatchApi, 'get' | 'listPage'>;
  readonly log: Pick<Log, 'warn'>;
  readonly warnOnce: WarnOnce;
  readonly isEnabled: (namespace: string) => boolean;
  /** Most memory for entries, in bytes; see createCacheIndex. */
  readonly limitBytes?: number | undefined;
}

/** Full caches are 1 MiB each, and a page is in memory as a whole. */
export const PAGE_LIMIT = 50;
/** How often a namespace may have an evicted cache read again, in milliseconds. */
const RELOAD_EVERY_MS = 1_000;
const READ_AGAIN_MS = 5_000;

/**
 * The caches of the namespaces that have opted in. Of the others the names alone are kept; who opts in has its caches read
 * then, and until they are read it is unknown what they hold.
 */
export class CacheWatch {
  readonly #options: CacheWatchOptions;
  readonly #index: CacheIndex;
  #reflector: Reflector<HeldCache> | undefined;
  readonly #reloadedMs = new Map<string, number>();
  #isStopped = false;

  constructor(options: CacheWatchOptions) {
    this.#options = options;
    this.#index = createCacheIndex({
      ...(options.limitBytes !== undefined && { limitBytes: options.limitBytes }),
      onLetGo: ({ namespace, name, bytes }) =>
        options.warnOnce(
          `${namespace}/${name}`,
          { namespace, cache: name, bytes },
          'there is no memory for this cache, as its namespace has the most: it is read again when there is room',
        ),
      onWanted: (namespace, name) => void this.#reload(namespace, name),
    });
  }

  /** To be called once the namespaces are known. */
  start(watch: Watch): void {
    const { isEnabled } = this.#options;
    this.#reflector = watch<HeldCache>({
      resource: RESOURCES.configMaps,
      labelSelector: CACHE_SELECTOR,
      pageLimit: PAGE_LIMIT,
      transform: (object) => (isEnabled(object.metadata?.namespace ?? '') ? holdCache(object) : nameCache(object)),
      on: {
        upsert: (cache) => (isEnabled(cache.namespace) ? this.#index.put(cache) : undefined),
        remove: ({ namespace, name }) => this.#index.remove(namespace, name),
      },
    });
  }

  stop(): void {
    this.#isStopped = true;
  }

  get stats(): { readonly caches: number; readonly bytes: number } {
    return { caches: this.#index.size, bytes: this.#index.bytes };
  }

  lookUp(namespace: string, cache: string, key: string): EntryLookup {
    return this.#index.lookUp(namespace, cache, key);
  }

  /** A namespace has opted in, or out. */
  setEnabled(namespace: string, isEnabled: boolean): void {
    // Before the first list nothing is missing: that reads them.
    const isLate = isEnabled && this.#reflector !== undefined;
    this.#index.clear(namespace, isLate);
    this.#reloadedMs.delete(namespace);
    if (isLate) void this.#readAll(namespace);
  }

  async #readAll(namespace: string): Promise<void> {
    const { kube, log, isEnabled } = this.#options;
    let token: string | undefined;
    do {
      const page = await kube.listPage(
        { resource: RESOURCES.configMaps, namespace },
        { labelSelector: CACHE_SELECTOR, limit: PAGE_LIMIT, continue: token },
      );
      if (this.#isStopped || !isEnabled(namespace)) return;
      if (!page.ok) {
        const { status, message } = page;
        log.warn({ namespace, status, message }, 'the caches of a namespace that opted in could not be read yet');
        setTimeout(() => void this.#readAll(namespace), READ_AGAIN_MS).unref();
        return;
      }
      for (const object of page.value.items) this.#take(holdCache(object));
      token = page.value.continue;
    } while (token !== undefined);
    this.#index.markRead(namespace);
  }

  /** An evicted one is asked for. A namespace that has more than it has room for must not list for ever. */
  async #reload(namespace: string, name: string): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - (this.#reloadedMs.get(namespace) ?? Number.NEGATIVE_INFINITY) < RELOAD_EVERY_MS) return;
    this.#reloadedMs.set(namespace, nowMs);
    const answer = await this.#options.kube.get({ resource: RESOURCES.configMaps, namespace, name });
    if (answer.ok && !this.#isStopped && this.#options.isEnabled(namespace)) this.#take(holdCache(answer.value));
  }

  /** What the watch does not know (any more) is not taken from elsewhere: no event would announce its end. */
  #take(cache: HeldCache): void {
    if (this.#reflector?.get(cache.namespace, cache.name) !== undefined) this.#index.put(cache);
  }
}
