import { Backoff, sleep } from '../base/backoff.ts';
import { FairLimit } from '../base/fair-limit.ts';
import type { Reason } from '../base/reasons.ts';
import {
  isNoAnswer,
  isOvertaken,
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type KubeResult,
  type ObjectPath,
  RESOURCES,
} from '../kube/types.ts';
import { type CacheChange, type EntryPlan, type EntryWrite, planWrites, sizeOfEntry } from './plan-write.ts';

export type WriteOutcome =
  | {
      readonly ok: true;
      /** `kept`: the cache held this entry already, or a newer one. */
      readonly outcome: 'written' | 'kept';
    }
  | {
      readonly ok: false;
      readonly reason: Reason;
      /** A sentence, without content of the entry. */
      readonly message: string;
      /** The API server could not be reached or was busy: the same write may go through later. */
      readonly isPassing: boolean;
    };

export interface WriterOptions {
  readonly now?: () => Date;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly random?: () => number;
  /** How often an entry is tried: 9 times take about 6 s. */
  readonly attempts?: number;
}

type Store = Pick<KubeApi, 'get' | 'create' | 'patch'>;

export interface CacheWriter {
  /** Resolves when the entry is in its cache, or will not come there. Never throws for what the API server says. */
  write(write: EntryWrite): Promise<WriteOutcome>;
  /** Resolves when nothing is under way any more, after this time (milliseconds) at the latest. */
  settle(atMostMs: number): Promise<void>;
}

/** Caches that are written at a time. */
const CONCURRENCY = 8;
/** Entries in one change, and bytes of theirs: half of what a cache can hold. */
const MOST_ENTRIES = 64;
const MOST_BYTES = 512 * 1024;

/**
 * Brings entries into their caches. Whatever overtakes a change (another writer, Argo's whole-object updates, a deletion,
 * an API server that is away for a moment) has it planned anew, a bounded number of times.
 *
 * One change at a time goes to a cache, with all entries that wait for it: at once they would only overtake each other
 * (150 of them took 15 s so, and 3 s one after the other). A change that is refused is halved until the entry is found
 * that it was refused for, so none costs others their place. Namespaces take turns.
 */
export function createCacheWriter(kube: Store, options: WriterOptions = {}): CacheWriter {
  return new BatchingWriter(kube, options);
}

interface Waiting {
  readonly write: EntryWrite;
  readonly bytes: number;
  readonly resolve: (outcome: WriteOutcome) => void;
  attempts: number;
}

/** What one try came to for an entry: an outcome, or a reason to look again. */
type Attempt = { readonly done: WriteOutcome } | { readonly again: WriteOutcome };

class BatchingWriter implements CacheWriter {
  readonly #kube: Store;
  readonly #options: Required<WriterOptions>;
  readonly #limit = new FairLimit(CONCURRENCY);
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #underWay = new Set<Promise<void>>();

  constructor(kube: Store, options: WriterOptions) {
    this.#kube = kube;
    this.#options = { now: () => new Date(), sleep, random: Math.random, attempts: 9, ...options };
  }

  write(write: EntryWrite): Promise<WriteOutcome> {
    const cache = `${write.namespace}/${write.cache}`;
    const { promise, resolve } = Promise.withResolvers<WriteOutcome>();
    const one = { write, resolve, bytes: sizeOfEntry(write), attempts: 0 };
    const waiting = this.#waiting.get(cache);
    if (waiting === undefined) {
      this.#waiting.set(cache, [one]);
      const serving = this.#serve(cache, write.namespace).finally(() => this.#underWay.delete(serving));
      this.#underWay.add(serving);
    } else waiting.push(one);
    return promise;
  }

  async settle(atMostMs: number): Promise<void> {
    const settled = new AbortController();
    // A timer that is left behind would keep the process for its time.
    void Promise.all(this.#underWay).then(() => settled.abort());
    await sleep(atMostMs, settled.signal);
  }

  /** Until nothing waits for the cache any more. */
  async #serve(cache: string, namespace: string): Promise<void> {
    const waiting = this.#waiting.get(cache) ?? [];
    const backoff = new Backoff({ firstMs: 50, mostMs: 1_600, random: this.#options.random });
    let most = MOST_ENTRIES;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, batchLength(waiting, most));
      const attempts = await this.#limit.run(namespace, () => this.#try(batch));
      if (attempts === 'halve') {
        most = Math.ceil(batch.length / 2);
        continue;
      }
      const isAgain = this.#takeOut(waiting, attempts);
      if (isAgain && waiting.length > 0) await this.#options.sleep(backoff.next());
      if (isAgain) continue;
      most = Math.min(MOST_ENTRIES, most * 2);
      backoff.reset();
    }
    this.#waiting.delete(cache);
  }

  /** Lets those go that are done; whether any is to be tried again. */
  #takeOut(waiting: Waiting[], attempts: readonly Attempt[]): boolean {
    const tried = waiting.splice(0, attempts.length);
    const left = tried.filter((one, index) => {
      one.attempts += 1;
      const attempt = attempts[index] as Attempt;
      const outcome = 'done' in attempt ? attempt.done : attempt.again;
      const isOver = 'done' in attempt || one.attempts >= this.#options.attempts;
      if (isOver) one.resolve(outcome);
      return !isOver;
    });
    waiting.unshift(...left);
    return left.length > 0;
  }

  async #try(batch: readonly Waiting[]): Promise<readonly Attempt[] | 'halve'> {
    const writes = batch.map(({ write }) => write);
    const [first] = writes;
    if (first === undefined) return [];
    const path: ObjectPath = { resource: RESOURCES.configMaps, namespace: first.namespace, name: first.cache };
    try {
      const current = await this.#kube.get(path);
      if (!current.ok && current.status !== 404) return writes.map((write) => refused(current, write));
      const { entries, change } = planWrites(writes, current.ok ? current.value : undefined, this.#options.now());
      const result = change === undefined ? undefined : await carryOut(this.#kube, path, change);
      if (result?.ok === false && mayBeHalved(result, change) && entries.filter(isWritten).length > 1) return 'halve';
      return entries.map((plan, index) => {
        if (plan.plan !== 'write') return attemptOf(plan);
        if (result?.ok !== false) return { done: { ok: true, outcome: 'written' } };
        return refused(result, writes[index] as EntryWrite, change?.plan);
      });
    } catch (error) {
      // A bug: no caller may wait for it forever.
      const message = error instanceof Error ? error.message : String(error);
      return writes.map(() => ({ done: failed('write-failed', message) }));
    }
  }
}

/** How many of those that wait go into one change; one always does. */
function batchLength(waiting: readonly Waiting[], most: number): number {
  let bytes = 0;
  const over = waiting.findIndex((one, index) => {
    bytes += one.bytes;
    return index >= most || bytes > MOST_BYTES;
  });
  return over === -1 ? waiting.length : Math.max(1, over);
}

function isWritten({ plan }: EntryPlan): boolean {
  return plan === 'write';
}

function attemptOf(plan: Exclude<EntryPlan, { plan: 'write' }>): Attempt {
  switch (plan.plan) {
    case 'keep':
      return { done: { ok: true, outcome: 'kept' } };
    case 'refuse':
      return { done: failed(plan.reason, plan.message) };
    case 'wait':
      return { again: failed(plan.reason, plan.message) };
  }
}

function carryOut(kube: Store, path: ObjectPath, change: CacheChange): Promise<KubeResult<KubeObject>> {
  return change.plan === 'create' ? kube.create(path, change.body) : kube.patch(path, change.patch);
}

/** Whether another make-up of the change might be taken. */
function mayBeHalved(failure: KubeFailure, change: CacheChange | undefined): boolean {
  return !isRace(failure, change?.plan) && !isPassing(failure);
}

/** Made, changed or deleted since it was read. A 404 for a create says that the namespace is gone. */
function isRace(failure: KubeFailure, doing: 'create' | 'patch' | undefined): boolean {
  return isOvertaken(failure) || failure.reason === 'AlreadyExists' || (failure.status === 404 && doing === 'patch');
}

function refused(failure: KubeFailure, write: EntryWrite, doing?: 'create' | 'patch'): Attempt {
  const where = `ConfigMap ${write.namespace}/${write.cache}`;
  const outcome = failed('write-failed', `${where}: ${failure.message}`);
  if (isRace(failure, doing)) return { again: outcome };
  if (isTooLarge(failure))
    return { done: failed('cache-full', `${where} has no room for the entry: ${failure.message}`) };
  if (isPassing(failure)) return { again: { ...outcome, isPassing: true } };
  return { done: outcome };
}

function failed(reason: Reason, message: string): Extract<WriteOutcome, { ok: false }> {
  return { ok: false, reason, message, isPassing: false };
}

/**
 * Two limits meet a ConfigMap: 1 MiB of values, which planWrite knows of but another writer may have reached first,
 * and the size of one request to etcd (1.5 MiB), which many small entries with their keys and field owners reach.
 */
function isTooLarge({ status, message }: KubeFailure): boolean {
  if (status === 413) return true;
  return /Too long: may not be more than|request is too large|trying to send message larger than max/.test(message);
}

/** Closed and Aborted are our own doing: there is no later then. */
function isPassing(failure: KubeFailure): boolean {
  return isNoAnswer(failure) && failure.reason !== 'Closed' && failure.reason !== 'Aborted';
}
