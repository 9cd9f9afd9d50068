/** The containers of a containerSet: Argo shows each as a node below the pod's, and links what follows to the last of them. */
import { asArray, asObject, type JsonObject, objectsOf } from '../../base/json.ts';
import { lastContainers } from '../present.ts';
import { Unforeseen } from '../values.ts';
import type { Place } from './outcome.ts';
import type { WalkState } from './state.ts';

/**
 * Adds the nodes of a set that has ended well (container_set_template.go:executeContainerSet) below the pod's, and returns what
 * the next steps hang on (operator.go:getOutboundNodes).
 */
export function addContainers(state: WalkState, place: Place, template: JsonObject, podId: string): readonly string[] {
  const containers = objectsOf(asObject(template.containerSet).containers);
  const { nodes } = state;
  const idOf = (name: unknown) => nodes.idOf(`${place.nodeName}.${String(name)}`);
  for (const { name } of containers) {
    const own = { ...place, nodeName: `${place.nodeName}.${String(name)}`, boundaryName: place.nodeName };
    state.addNode(own, { type: 'Container', phase: 'Succeeded', progress: '1/1' });
  }
  const children = new Map<string, string[]>(
    [podId, ...containers.map(({ name }) => idOf(name))].map((id) => [id, []]),
  );
  for (const { name, dependencies } of containers) {
    const parents = asArray(dependencies).map(idOf);
    for (const parent of parents.length === 0 ? [podId] : parents) {
      const siblings = children.get(parent);
      if (siblings === undefined) throw new Unforeseen('a container of its set depends on one that is not there');
      siblings.push(idOf(name));
      nodes.link(parent, idOf(name));
    }
  }
  return lastContainers(podId, (id) => children.get(id) ?? []);
}
