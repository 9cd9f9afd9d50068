import { formatTimestamp } from '../../cache/entry.ts';
import { displayName, nodeId, sizeOfNode, type WorkflowNode } from '../node.ts';
import type { PresentNodes } from '../present.ts';
import { Unforeseen } from '../values.ts';

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

/** The nodes that one walk adds, in the order in which it does, to those that are there. */
export class NodeList {
  readonly #workflowName: string;
  readonly #time: string;
  readonly #present: PresentNodes;
  readonly #nodes = new Map<string, { -readonly [Name in keyof WorkflowNode]: WorkflowNode[Name] }>();
  /** Of nodes that were there: the children that they get. */
  readonly #links = new Map<string, Set<string>>();
  /** What they take in a Workflow. */
  bytes = 0;

  constructor(workflowName: string, now: Date, present: PresentNodes) {
    this.#present = present;
    this.#workflowName = workflowName;
    this.#time = formatTimestamp(now);
  }

  get size(): number {
    return this.#nodes.size;
  }

  all(): readonly WorkflowNode[] {
    return [...this.#nodes.values()];
  }

  /** By the id of a node that was there: the children that it is to have, where that is more than it had. */
  links(): ReadonlyMap<string, readonly string[]> {
    const links = [...this.#links].map(([id, added]) => {
      const { children = [] } = this.#present.byId(id) ?? {};
      const further = [...added].filter((child) => this.#nodes.has(child) && !children.includes(child));
      return [id, further.length === 0 ? [] : [...children, ...further]] as const;
    });
    return new Map(links.filter(([, children]) => children.length > 0));
  }

  idOf(nodeName: string): string {
    return nodeId(this.#workflowName, nodeName);
  }

  /** Adds a node and returns its id; throws where another has it. */
  add({ nodeName, boundaryName, called, templateScope }: NodePlace, members: NodeMembers): string {
    const id = this.idOf(nodeName);
    if (this.#nodes.has(id) || this.#present.byId(id) !== undefined)
      throw new Unforeseen('two of its nodes have one id');
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
    if (this.#present.byId(parent) !== undefined) {
      this.#links.set(parent, (this.#links.get(parent) ?? new Set()).add(child));
      return;
    }
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
