import type { Log } from '../base/log.ts';
import type { Reflector, ReflectorOptions } from '../kube/reflector.ts';
import type { KubeObject } from '../kube/types.ts';

/** Watches one kind, as a part of what is known of the cluster. */
export type Watch = <T>(
  what: Pick<
    ReflectorOptions<T>,
    'resource' | 'labelSelector' | 'transform' | 'on' | 'onSync' | 'pageLimit' | 'isAbsentEmpty'
  >,
) => Reflector<T>;

/** What a Reflector keeps of objects of which nothing but their names matters. */
export interface Named {
  readonly namespace: string;
  readonly name: string;
}

export function named(object: KubeObject): Named {
  const { namespace = '', name = '' } = object.metadata ?? {};
  return { namespace, name };
}

/** Says a thing once, as far as memory allows. */
export type WarnOnce = (id: string, fields: object, message: string) => void;

/** So many are remembered as said: tenants make them, and memory is not theirs to fill. */
const MOST_WARNINGS = 1_000;

export function createWarnOnce(log: Pick<Log, 'warn'>): WarnOnce {
  const warned = new Set<string>();
  return (id, fields, message) => {
    if (warned.has(id)) return;
    if (warned.size >= MOST_WARNINGS) warned.clear();
    warned.add(id);
    log.warn(fields, message);
  };
}
