import { OPERATIONS, type Operation } from '../base/names.ts';
import { type KubeObject, RESOURCES } from '../kube/types.ts';
import type { NamespaceSettings } from '../step/known-cluster.ts';
import { readNamespace } from './read-objects.ts';
import { type Named, named, type WarnOnce, type Watch } from './watch.ts';

export interface NamespaceWatch {
  get(name: string): NamespaceSettings | undefined;
}

export interface NamespaceWatchOptions {
  readonly watch: Watch;
  readonly ownNamespace: string;
  readonly warnOnce: WarnOnce;
  /** A namespace has opted in, or out. */
  readonly onEnabled: (name: string, isEnabled: boolean) => void;
  /** All namespaces have been read once. */
  readonly onSync: () => void;
}

const NEVER_INTERCEPTED = 'kube-system';

/** How each namespace wants to be treated. */
export function watchNamespaces(options: NamespaceWatchOptions): NamespaceWatch {
  const { watch, ownNamespace, warnOnce, onEnabled, onSync } = options;
  const namespaces = new Map<string, NamespaceSettings>();

  function set(name: string, settings: NamespaceSettings | undefined): void {
    const wasEnabled = namespaces.get(name)?.isEnabled === true;
    if (settings === undefined) namespaces.delete(name);
    else namespaces.set(name, settings);
    const isEnabled = settings?.isEnabled === true;
    if (isEnabled !== wasEnabled) onEnabled(name, isEnabled);
  }

  function keep({ name, object }: Named & { object: KubeObject }): void {
    const { settings, bad } = readNamespace(object);
    const isOurs = name === ownNamespace || name === NEVER_INTERCEPTED;
    set(name, isOurs ? { ...settings, isEnabled: false } : settings);
    for (const { annotation, value, expected } of bad) {
      const fields = { namespace: name, annotation, value, expected };
      warnOnce(`${name} ${annotation} ${value}`, fields, 'this annotation says nothing known: the default holds');
    }
  }

  watch({
    resource: RESOURCES.namespaces,
    transform: (object) => ({ ...named(object), object: slim(object) }),
    on: { upsert: keep, remove: ({ name }) => set(name, undefined) },
    onSync,
  });
  return {
    get(name) {
      const settings = namespaces.get(name);
      // What stands on our own namespace holds for all.
      const ownOperation = namespaces.get(ownNamespace)?.operation ?? 'on';
      return settings && { ...settings, operation: strictest(settings.operation, ownOperation) };
    },
  };
}

function strictest(one: Operation, other: Operation): Operation {
  return OPERATIONS.indexOf(one) > OPERATIONS.indexOf(other) ? one : other;
}

/** A namespace without its status and managed fields. */
function slim({ metadata = {} }: KubeObject): KubeObject {
  const { name, labels, annotations } = metadata;
  return { metadata: { ...(name && { name }), ...(labels && { labels }), ...(annotations && { annotations }) } };
}
