import type { WorkflowNode } from './node.ts';
import type { PresentNodes } from './present.ts';

/** Nodes that are there already, and the children that some of them get. */
export interface Around {
  readonly nodes: PresentNodes;
  readonly links: ReadonlyMap<string, readonly string[]>;
}

/**
 * What must hold of nodes before they are given to Argo, whatever made them; undefined where all of it does. A node that is
 * not linked is never found, and one that runs behind nothing runs for ever.
 */
export function findBrokenRule(
  workflowName: string,
  nodes: readonly WorkflowNode[],
  around?: Around,
): string | undefined {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  if (byId.size !== nodes.length) return 'two nodes have one id';
  const links = [...(around?.links ?? [])];
  const children = new Set([...nodes.flatMap(({ children = [] }) => children), ...links.flatMap(([, ids]) => ids)]);
  const named = [...children, ...nodes.flatMap(({ outboundNodes = [] }) => outboundNodes)];
  const isThere = (id: string) => byId.has(id) || around?.nodes.byId(id) !== undefined;
  const missing = [...named, ...links.map(([id]) => id)].find((id) => !isThere(id));
  if (missing !== undefined) return `${missing} is named, and is not there`;
  const broken = nodes.map((node) => ({
    node,
    what: checkNode(node, byId, children, workflowName) ?? (around && checkAdded(node, byId, around.nodes)),
  }));
  const found = broken.find(({ what }) => what !== undefined);
  return found && `${found.node.name}: ${found.what}`;
}

/** A node replaces no other, and its boundary runs. */
function checkAdded(
  { id, boundaryID = '' }: WorkflowNode,
  byId: ReadonlyMap<string, WorkflowNode>,
  present: PresentNodes,
): string | undefined {
  if (present.byId(id) !== undefined) return 'it is there already';
  if (byId.has(boundaryID)) return undefined;
  const boundary = present.byId(boundaryID);
  return boundary?.phase === 'Running' ? undefined : 'what holds it does not run';
}

function checkNode(
  node: WorkflowNode,
  byId: ReadonlyMap<string, WorkflowNode>,
  children: ReadonlySet<string>,
  workflowName: string,
): string | undefined {
  const isRoot = node.id === workflowName;
  const isServedLeaf = node.phase === 'Succeeded' && node.outputs !== undefined;
  if (node.type === 'Pod' && !isServedLeaf) return 'a leaf without outputs';
  if (!isRoot && !children.has(node.id) && !isLinkedByArgo(node, byId)) return 'nothing leads to it';
  if (node.phase !== 'Running') return checkWhole(node, byId);
  const isFollowed = (node.children ?? []).some((id) => isBehind(node, byId.get(id)));
  return !isRoot && isFollowed ? 'something follows on what still runs' : undefined;
}

/** In a steps template that is still open the controller makes the groups itself, and links what is there. */
function isLinkedByArgo(
  { name, displayName, boundaryID = '' }: WorkflowNode,
  byId: ReadonlyMap<string, WorkflowNode>,
): boolean {
  return byId.get(boundaryID)?.phase !== 'Succeeded' && name.slice(0, -displayName.length).endsWith('].');
}

/** Whether a node is no part of a group, but what comes after it. */
function isBehind(group: WorkflowNode, child: WorkflowNode | undefined): boolean {
  if (child === undefined) return false;
  if (group.type === 'TaskGroup')
    return child.boundaryID !== group.boundaryID || !child.name.startsWith(`${group.name}(`);
  return child.boundaryID !== group.id;
}

/** What has ended holds nothing that runs. */
function checkWhole(node: WorkflowNode, byId: ReadonlyMap<string, WorkflowNode>): string | undefined {
  if (node.type === 'Pod' || node.type === 'Container' || node.type === 'Skipped') return undefined;
  const inside = [...byId.values()].filter(({ boundaryID, name }) => {
    return node.type === 'TaskGroup' ? name.startsWith(`${node.name}(`) : boundaryID === node.id;
  });
  const open = inside.find(({ phase }) => phase === 'Running');
  return open === undefined ? undefined : `it has ended, and ${open.name} runs`;
}
