/** The containers of a containerSet: Argo shows each as a node below the pod's, and links what follows to the last of them. */
import { linksContainers } from '../../argo/versions.ts';
import { asArray, isObject, type JsonObject, objectsOf } from '../../base/json.ts';
import { lastContainers } from '../present.ts';
import { Unforeseen } from '../values.ts';
import type { Place } from './outcome.ts';
import type { WalkState } from './state.ts';

/** What a pod's node leads to, for a containerSet that has ended well. */
export interface Containers {
  readonly names: readonly string[];
  /** By the id of the pod or a container: those that start when it has ended. */
  readonly children: ReadonlyMap<string, readonly string[]>;
  /** What the next steps hang on. */
  readonly last: readonly string[];
}

/** Reads them as Argo does (container_set_template.go:executeContainerSet); undefined of any other step. */
export function readContainers(
  { input, nodes }: WalkState,
  { nodeName }: Place,
  template: JsonObject,
): Containers | undefined {
  if (!isObject(template.containerSet)) return undefined;
  const { argoVersion } = input;
  if (argoVersion !== undefined && !linksContainers(argoVersion))
    throw new Unforeseen('before Argo 3.5.9 a containerSet is left to its pod');
  const containers = objectsOf(template.containerSet.containers);
  const podId = nodes.idOf(nodeName);
  const idOf = (name: unknown) => nodes.idOf(`${nodeName}.${String(name)}`);
  const children = new Map<string, string[]>(
    [podId, ...containers.map(({ name }) => idOf(name))].map((id) => [id, []]),
  );
  for (const { name, dependencies } of containers) {
    const parents = asArray(dependencies).map(idOf);
    for (const parent of parents.length === 0 ? [podId] : parents) {
      const siblings = children.get(parent);
      if (siblings === undefined) throw new Unforeseen('a container of its set depends on one that is not there');
      siblings.push(idOf(name));
    }
  }
  const last = lastContainers(podId, (id) => children.get(id) ?? []);
  return { names: containers.map(({ name }) => String(name)), children, last };
}

export function addContainers(state: WalkState, place: Place, { names, children }: Containers): void {
  for (const name of names) {
    const own = { ...place, nodeName: `${place.nodeName}.${name}`, boundaryName: place.nodeName };
    state.addNode(own, { type: 'Container', phase: 'Succeeded', progress: '1/1' });
  }
  for (const [parent, ids] of children) for (const id of ids) state.nodes.link(parent, id);
}
