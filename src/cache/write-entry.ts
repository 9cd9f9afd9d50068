import { Backoff, sleep } from '../base/backoff.ts';
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
import { type EntryWrite, planWrite, type WritePlan } from './plan-write.ts';

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

export interface WriteOptions {
  readonly now?: () => Date;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly random?: () => number;
  /** How often it is tried: 9 times take about 6 s. */
  readonly attempts?: number;
}

type Store = Pick<KubeApi, 'get' | 'create' | 'patch'>;

/** What one try came to: an outcome, or a reason to look again. */
type Attempt = { readonly done: WriteOutcome } | { readonly again: WriteOutcome };

/** The last write that is under way to each cache, by the API server it goes to. */
const underWay = new WeakMap<Store, Map<string, Promise<unknown>>>();

/**
 * Brings an entry into its cache. Whatever overtakes it (another writer, Argo's whole-object updates, a deletion, an
 * API server that is away for a moment) has it read again and decide anew, a bounded number of times. Never throws
 * for what the API server says. Writes of one process to one cache go one after the other: at once they would only
 * overtake each other (150 of them took 15 s so, and take 3 s in turn).
 */
export function writeEntry(kube: Store, write: EntryWrite, options: WriteOptions = {}): Promise<WriteOutcome> {
  const writes = underWay.get(kube) ?? new Map<string, Promise<unknown>>();
  underWay.set(kube, writes);
  const id = `${write.namespace}/${write.cache}`;
  const before = writes.get(id) ?? Promise.resolve();
  const result = before.then(() => writeInTurn(kube, write, options));
  const settled = result
    .catch(() => {})
    .then(() => {
      if (writes.get(id) === settled) writes.delete(id);
    });
  writes.set(id, settled);
  return result;
}

async function writeInTurn(kube: Store, write: EntryWrite, options: WriteOptions): Promise<WriteOutcome> {
  const { attempts = 9, now = () => new Date(), sleep: pause = sleep, random = Math.random } = options;
  const backoff = new Backoff({ firstMs: 50, mostMs: 1_600, random });
  for (let attempt = 1; ; attempt += 1) {
    const result = await tryOnce(kube, write, now());
    if ('done' in result) return result.done;
    if (attempt >= attempts) return result.again;
    await pause(backoff.next());
  }
}

async function tryOnce(kube: Store, write: EntryWrite, now: Date): Promise<Attempt> {
  const path: ObjectPath = { resource: RESOURCES.configMaps, namespace: write.namespace, name: write.cache };
  const current = await kube.get(path);
  if (!current.ok && current.status !== 404) return refused(current, write);
  const plan = planWrite(write, current.ok ? current.value : undefined, now);
  switch (plan.plan) {
    case 'keep':
      return { done: { ok: true, outcome: 'kept' } };
    case 'refuse':
      return { done: failed(plan.reason, plan.message) };
    case 'wait':
      return { again: failed(plan.reason, plan.message) };
    default: {
      const result = await carryOut(kube, path, plan);
      return result.ok ? { done: { ok: true, outcome: 'written' } } : refused(result, write, plan.plan);
    }
  }
}

function carryOut(
  kube: Store,
  path: ObjectPath,
  plan: Extract<WritePlan, { plan: 'create' | 'patch' }>,
): Promise<KubeResult<KubeObject>> {
  return plan.plan === 'create' ? kube.create(path, plan.body) : kube.patch(path, plan.patch);
}

function refused(failure: KubeFailure, write: EntryWrite, doing: 'read' | 'create' | 'patch' = 'read'): Attempt {
  const where = `ConfigMap ${write.namespace}/${write.cache}`;
  const outcome = failed('write-failed', `${where}: ${failure.message}`);
  // Made, changed or deleted since it was read. A 404 for a create says that the namespace is gone.
  const isRace =
    isOvertaken(failure) || failure.reason === 'AlreadyExists' || (failure.status === 404 && doing === 'patch');
  if (isRace) return { again: outcome };
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
