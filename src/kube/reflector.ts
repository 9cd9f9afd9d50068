import { Backoff, sleep } from '../base/backoff.ts';
import type { Log } from '../base/log.ts';
import { isEarlier } from './resource-version.ts';
import type { KubeFailure, KubeObject, KubeWatchApi, ListScope, Selectors, WatchEnd, WatchEvent } from './types.ts';

/** What is told of each change. An exception is logged and stops nothing. */
export interface ReflectorHandlers<T> {
  /** A new object (no `old`), or one that changed. */
  upsert(object: T, old?: T): void;
  /** One that is gone, or that `transform` lets go: its last known state. A namesake with another UID is removed first. */
  remove(object: T): void;
}

export interface ReflectorTiming {
  /** First and longest wait after failures, in milliseconds. */
  readonly firstBackoffMs: number;
  readonly mostBackoffMs: number;
  /** The API server is asked to end each watch after one to two times this, so that its load can be balanced anew. */
  readonly watchSeconds: number;
  /** A watch without any word for so long is taken for a dead connection. Bookmarks come every minute. */
  readonly idleLimitMs: number;
  readonly random: () => number;
}

export interface ReflectorOptions<T> extends ListScope, Selectors {
  readonly kube: Pick<KubeWatchApi, 'listPage' | 'watch'>;
  /** What is kept of an object: cut it down here, or drop it (undefined). Nothing else of the object is held on to. */
  readonly transform?: (object: KubeObject) => T | undefined;
  readonly on?: Partial<ReflectorHandlers<T>>;
  /** Called once, after the first whole list has been told of. */
  readonly onSync?: () => void;
  readonly log: Pick<Log, 'debug' | 'warn' | 'error'>;
  /** Objects a page of a list; fewer where they are large, for a page is held in memory as a whole. */
  readonly pageLimit?: number;
  /** A kind that the API server does not know counts as one without objects, and is asked for again later. */
  readonly isAbsentEmpty?: boolean;
  readonly timing?: Partial<ReflectorTiming>;
}

export interface Reflector<T> {
  readonly isSynced: boolean;
  /** When the API server last told of anything, a bookmark too; by `performance.now()`. */
  readonly heardAtMs: number;
  /** How many objects are kept. */
  readonly size: number;
  /** `namespace` is undefined for cluster-scoped kinds. */
  get(namespace: string | undefined, name: string): T | undefined;
  values(): IterableIterator<T>;
  /** Nothing is told of from now on; resolves when no timer and no connection is left. */
  stop(): Promise<void>;
}

const TIMING: ReflectorTiming = {
  firstBackoffMs: 250,
  mostBackoffMs: 8_000,
  watchSeconds: 240,
  idleLimitMs: 90_000,
  random: Math.random,
};
/** A watch that held for so long shows that things go well: the next failure starts with a short wait. */
const STABLE_WATCH_MS = 10_000;
/** A watch that ends sooner is waited for, however peacefully it ended. */
const HASTY_WATCH_MS = 1_000;

/**
 * Keeps a copy of all objects of a kind by list and watch, as client-go's reflector does. A lost connection is taken up
 * where it broke off; when the API server no longer knows that point (410), or anything else is odd, everything is
 * listed again and the difference is told of: removals, and upserts of what has changed.
 */
export function startReflector<T = KubeObject>(options: ReflectorOptions<T>): Reflector<T> {
  const loop = new ReflectorLoop<T>(options);
  const done = loop.run();
  return {
    get isSynced() {
      return loop.isSynced;
    },
    get heardAtMs() {
      return loop.heardAtMs;
    },
    get size() {
      return loop.objects.size;
    },
    get: (namespace, name) => loop.objects.get(keyOf(namespace, name))?.value,
    *values() {
      for (const { value } of loop.objects.values()) yield value;
    },
    stop() {
      loop.abort.abort();
      return done;
    },
  };
}

interface Kept<T> {
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly value: T;
}

class ReflectorLoop<T> {
  readonly objects = new Map<string, Kept<T>>();
  readonly abort = new AbortController();
  isSynced = false;
  heardAtMs = performance.now();
  readonly #options: ReflectorOptions<T>;
  readonly #timing: ReflectorTiming;
  readonly #backoff: Backoff;
  #pageLimit: number;
  /** Up to where the API server has told us of everything. */
  #resourceVersion = '';

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    const { firstBackoffMs, mostBackoffMs, random } = this.#timing;
    this.#backoff = new Backoff({ firstMs: firstBackoffMs, mostMs: mostBackoffMs, random });
    this.#pageLimit = options.pageLimit ?? 500;
  }

  async run(): Promise<void> {
    while (!this.#isStopped) {
      const failure = await this.#list();
      if (this.#isStopped) return;
      if (failure) await this.#wait(failure, 'listing failed');
      else await this.#follow();
    }
  }

  get #isStopped(): boolean {
    return this.abort.signal.aborted;
  }

  // ---- list

  /** One whole list, told of page by page; undefined when it is through. */
  async #list(): Promise<KubeFailure | undefined> {
    const { kube, labelSelector, fieldSelector } = this.#options;
    const seen = new Set<string>();
    let token: string | undefined;
    do {
      const page = await kube.listPage(this.#scope(), {
        labelSelector,
        fieldSelector,
        limit: this.#pageLimit,
        continue: token,
        signal: this.abort.signal,
      });
      if (this.#isStopped) return undefined;
      if (!page.ok) return this.#listFailed(page, token);
      for (const object of page.value.items) {
        seen.add(keyOfObject(object));
        this.#upsert(object);
      }
      token = page.value.continue;
      this.#resourceVersion = page.value.resourceVersion;
    } while (token !== undefined);
    this.#listed(seen);
    return undefined;
  }

  #listFailed(failure: KubeFailure, token: string | undefined): KubeFailure {
    // The snapshot was compacted away before its last page was read: fewer, larger pages then.
    if (failure.status === 410 && token !== undefined) this.#pageLimit *= 2;
    if (failure.status === 404 && this.#options.isAbsentEmpty) this.#listed(new Set());
    return failure;
  }

  #listed(seen: ReadonlySet<string>): void {
    this.heardAtMs = performance.now();
    for (const [key, kept] of this.objects) {
      if (seen.has(key)) continue;
      this.objects.delete(key);
      this.#tell('remove', kept.value);
    }
    if (this.isSynced) return;
    this.isSynced = true;
    this.#options.onSync?.();
  }

  // ---- watch

  /** Watches, again and again, from where the last one ended; returns when everything must be listed anew. */
  async #follow(): Promise<void> {
    let isListNeeded = false;
    while (!this.#isStopped && !isListNeeded) {
      const startMs = performance.now();
      const end = await this.#watch();
      if (this.#isStopped) return;
      const heldMs = performance.now() - startMs;
      if (heldMs >= STABLE_WATCH_MS) this.#backoff.reset();
      isListNeeded = !end.ok && !isPassing(end);
      await this.#waitAfter(end, heldMs);
    }
  }

  /** One watch. What is odd in it ends it as well. */
  async #watch(): Promise<WatchEnd> {
    const { kube, labelSelector, fieldSelector } = this.#options;
    const { watchSeconds, idleLimitMs, random } = this.#timing;
    const odd = new AbortController();
    const end = await kube.watch(
      this.#scope(),
      {
        labelSelector,
        fieldSelector,
        resourceVersion: this.#resourceVersion,
        timeoutSeconds: Math.round(watchSeconds * (1 + random())),
        idleLimitMs,
        signal: AbortSignal.any([this.abort.signal, odd.signal]),
      },
      (event) => {
        if (!this.#isStopped && !odd.signal.aborted && !this.#take(event)) odd.abort();
      },
    );
    return odd.signal.aborted ? RESTORED : end;
  }

  async #waitAfter(end: WatchEnd, heldMs: number): Promise<void> {
    const isHasty = heldMs < HASTY_WATCH_MS;
    if (end.ok) return isHasty ? this.#wait(HASTY, 'watching') : undefined;
    const isExpected = end.reason === 'Silence' || isExpired(end);
    if (!isExpected) return this.#wait(end, 'watching failed');
    // At once, for the gap grows; but not if what was done about it last time did not help.
    if (isHasty) return this.#wait(end, 'watching failed at once');
    this.#options.log.debug({ ...this.#name, message: end.message }, 'the watch is made anew');
  }

  /** False where the event cannot follow what came before. */
  #take(event: WatchEvent): boolean {
    const { resourceVersion = '' } = event.object.metadata ?? {};
    if (isEarlier(resourceVersion, this.#resourceVersion)) return false;
    this.heardAtMs = performance.now();
    if (event.type === 'DELETED') this.#remove(event.object);
    else if (event.type !== 'BOOKMARK') this.#upsert(event.object);
    if (resourceVersion !== '') this.#resourceVersion = resourceVersion;
    return true;
  }

  // ---- objects

  #upsert(object: KubeObject): void {
    const key = keyOfObject(object);
    const { uid, resourceVersion } = object.metadata ?? {};
    let old = this.objects.get(key);
    if (old && old.uid === uid && old.resourceVersion === resourceVersion) return;
    if (old && old.uid !== uid) {
      this.#drop(key, old.value);
      old = undefined;
    }
    const value = this.#transform(object);
    if (value === undefined) {
      if (old) this.#drop(key, old.value);
      return;
    }
    this.objects.set(key, { uid, resourceVersion, value });
    this.#tell('upsert', value, old?.value);
  }

  #remove(object: KubeObject): void {
    const key = keyOfObject(object);
    const old = this.objects.get(key);
    if (old) this.#drop(key, this.#transform(object) ?? old.value);
  }

  #drop(key: string, last: T): void {
    this.objects.delete(key);
    this.#tell('remove', last);
  }

  #transform(object: KubeObject): T | undefined {
    // Without a transform, T is KubeObject.
    if (!this.#options.transform) return object as T;
    try {
      return this.#options.transform(object);
    } catch (error) {
      this.#options.log.error({ ...this.#name, err: error, object: keyOfObject(object) }, 'transform failed');
      return undefined;
    }
  }

  #tell(change: 'upsert' | 'remove', value: T, old?: T): void {
    try {
      if (change === 'remove') this.#options.on?.remove?.(value);
      else this.#options.on?.upsert?.(value, old);
    } catch (error) {
      this.#options.log.error({ ...this.#name, err: error, change }, 'a handler failed');
    }
  }

  // ---- rest

  async #wait(why: KubeFailure, what: string): Promise<void> {
    const waitMs = this.#backoff.next();
    const isQuiet = why === HASTY || (why.status === 404 && this.#options.isAbsentEmpty === true);
    const { status, reason, message } = why;
    this.#options.log[isQuiet ? 'debug' : 'warn']({ ...this.#name, status, reason, message, waitMs }, what);
    await sleep(waitMs, this.abort.signal);
  }

  #scope(): ListScope {
    const { resource, namespace } = this.#options;
    return { resource, namespace };
  }

  get #name(): { resource: string; namespace?: string } {
    const { resource, namespace } = this.#options;
    return { resource: resource.resource, ...(namespace !== undefined && { namespace }) };
  }
}

const HASTY: KubeFailure = { ok: false, status: 0, reason: 'Hasty', message: 'the watch ended as soon as it began' };
const RESTORED: KubeFailure = {
  ok: false,
  status: 0,
  reason: 'Restored',
  message: 'the API server tells of an earlier state than before; its storage may have been restored',
};

function isExpired(end: KubeFailure): boolean {
  return end.status === 410 || end.reason === 'Expired' || end.reason === 'Gone';
}

/** Failures of the way rather than of the request: the same watch may go on later. */
function isPassing(end: KubeFailure): boolean {
  if (end.status === 0) return end !== RESTORED && end.reason !== 'Unreadable';
  return end.status === 429 || end.status === 502 || end.status === 503;
}

function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

function keyOfObject(object: KubeObject): string {
  return keyOf(object.metadata?.namespace, object.metadata?.name ?? '');
}
