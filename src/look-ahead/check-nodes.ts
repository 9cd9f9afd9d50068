import type { WorkflowNode } from './node.ts';

/**
 * What must hold of nodes before they are given to Argo, whatever made them; undefined where all of it does. A node that is
 * not linked is never found, and one that runs behind nothing runs for ever.
 */
export function findBrokenRule(workflowName: string, nodes: readonly WorkflowNode[]): string | undefined {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  if (byId.size !== nodes.length) return 'two nodes have one id';
  const children = new Set(nodes.flatMap(({ children = [] }) => children));
  const named = [...children, ...nodes.flatMap(({ outboundNodes = [] }) => outboundNodes)];
  const missing = named.find((id) => !byId.has(id));
  if (missing !== undefined) return `${missing} is named, and is not there`;
  const broken = nodes.map((node) => ({ node, what: checkNode(node, byId, children, workflowName) }));
  const found = broken.find(({ what }) => what !== undefined);
  return found && `${found.node.name}: ${found.what}`;
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
  if (node.type === 'Pod' || node.type === 'Skipped') return undefined;
  const inside = [...byId.values()].filter(({ boundaryID, name }) => {
    return node.type === 'TaskGroup' ? name.startsWith(`${node.name}(`) : boundaryID === node.id;
  });
  const open = inside.find(({ phase }) => phase === 'Running');
  return open === undefined ? undefined : `it has ended, and ${open.name} runs`;
}
