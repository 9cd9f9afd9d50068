import { formatTimestamp } from '../cache/entry.ts';
import { displayName, nodeId, sizeOfNode, type WorkflowNode } from './node.ts';
import { Unforeseen } from './values.ts';

/** Where a node stands, and how what it stands for was called. */
export interface NodePlace {
  readonly nodeName: string;
  /** The node that holds it; undefined for the root. */
  readonly boundaryName: string | undefined;
  readonly called: Pick<WorkflowNode, 'templateName' | 'templateRef'>;
  readonly templateScope: string;
}

/** What follows from its place alone. */
type Placed =
  | 'id'
  | 'name'
  | 'displayName'
  | 'templateName'
  | 'templateRef'
  | 'templateScope'
  | 'boundaryID'
  | 'startedAt'
  | 'finishedAt';
export type NodeMembers = Omit<WorkflowNode, Placed>;

/** The nodes of one walk, in the order in which they were added. */
export class NodeList {
  readonly #workflowName: string;
  readonly #time: string;
  readonly #nodes = new Map<string, { -readonly [Name in keyof WorkflowNode]: WorkflowNode[Name] }>();
  /** What they take in a Workflow. */
  bytes = 0;

  constructor(workflowName: string, now: Date) {
    this.#workflowName = workflowName;
    this.#time = formatTimestamp(now);
  }

  get size(): number {
    return this.#nodes.size;
  }

  all(): readonly WorkflowNode[] {
    return [...this.#nodes.values()];
  }

  idOf(nodeName: string): string {
    return nodeId(this.#workflowName, nodeName);
  }

  /** Adds a node and returns its id; throws where another has it. */
  add({ nodeName, boundaryName, called, templateScope }: NodePlace, members: NodeMembers): string {
    const id = this.idOf(nodeName);
    if (this.#nodes.has(id)) throw new Unforeseen('two of its nodes have one id');
    const node = {
      id,
      name: nodeName,
      displayName: boundaryName === undefined ? nodeName : displayName(nodeName, boundaryName),
      ...called,
      templateScope,
      ...(boundaryName !== undefined && { boundaryID: this.idOf(boundaryName) }),
      startedAt: this.#time,
      ...(members.phase !== 'Running' && { finishedAt: this.#time }),
      ...members,
    };
    this.#nodes.set(id, node);
    this.bytes += sizeOfNode(node);
    return id;
  }

  link(parent: string, child: string): void {
    const node = this.#nodes.get(parent);
    const children = node?.children ?? [];
    if (node === undefined || children.includes(child)) return;
    node.children = [...children, child];
    this.bytes += child.length;
  }

  /** Takes away what was added since there were `size` nodes. */
  cutTo(size: number): void {
    for (const id of [...this.#nodes.keys()].slice(size)) this.#nodes.delete(id);
  }

  removeWhere(isUnwanted: (node: WorkflowNode) => boolean): void {
    for (const [id, node] of this.#nodes) if (isUnwanted(node)) this.#nodes.delete(id);
  }
}
