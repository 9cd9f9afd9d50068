/** Nodes that a Workflow has already, when its controller writes it: what they have given, and what may hang on them. */
import { parametersOf } from '../argo/scopes.ts';
import { asObject, isObject, type JsonObject } from '../base/json.ts';
import { parameterValue, Unforeseen, type Values } from './values.ts';

/** The outputs with which stepmemo has ended the pod of a node; undefined where it has not, or the pod is on its way out. */
export type ServedOutputs = (node: Pick<PresentNode, 'id' | 'startedMs'>) => JsonObject | undefined;

export interface PresentNode {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly phase: string;
  /** The id of the node that holds it. */
  readonly boundary: string;
  readonly children: readonly string[];
  readonly outbound: readonly string[];
  readonly isMemoized: boolean;
  /** Unix milliseconds; NaN where the node does not say. */
  readonly startedMs: number;
  readonly inputs: unknown;
  readonly outputs: JsonObject;
}

/** Phases after which Argo changes nothing of a node (workflow_types.go:NodePhase.Fulfilled). */
const ENDED: ReadonlySet<string> = new Set(['Succeeded', 'Skipped', 'Failed', 'Error', 'Omitted']);
/** Two layers of ten containers that depend on each other have a hundred ways through; Argo counts each of them. */
const WAYS_LIMIT = 100;

export class PresentNodes {
  readonly #byId: ReadonlyMap<string, PresentNode>;
  readonly #byName: ReadonlyMap<string, PresentNode>;

  /** `nodes` is `status.nodes`. */
  constructor(nodes: JsonObject = {}) {
    this.#byId = new Map(Object.entries(nodes).map(([id, node]) => [id, readNode(id, asObject(node))]));
    this.#byName = new Map([...this.#byId.values()].map((node) => [node.name, node]));
  }

  get(name: string): PresentNode | undefined {
    return this.#byName.get(name);
  }

  byId(id: string): PresentNode | undefined {
    return this.#byId.get(id);
  }

  all(): Iterable<PresentNode> {
    return this.#byId.values();
  }

  /** The nodes from which what follows hangs (operator.go:getOutboundNodes); throws where that is not for certain. */
  outboundOf(node: PresentNode): readonly string[] {
    const behind = (ids: readonly string[]) => ids.flatMap((id) => this.outboundOf(this.#known(id)));
    if (node.type === 'Skipped') return [node.id];
    if (node.type === 'Pod') return lastContainers(node.id, (id) => this.#containersBehind(id, node.id));
    if (node.type === 'TaskGroup') return node.children.length === 0 ? [node.id] : behind(node.children);
    if (node.type === 'Retry') return this.#lastAttempt(node);
    // One that Argo has memoized as a whole holds nothing.
    const isBoundary = (node.type === 'Steps' || node.type === 'DAG') && !node.isMemoized;
    if (isBoundary) return behind(node.outbound);
    return this.#doubt(node);
  }

  #lastAttempt(node: PresentNode): readonly string[] {
    const last = this.#known(node.children.at(-1) ?? '');
    return last.name.startsWith(`${node.name}(`) ? [last.id] : this.#doubt(node);
  }

  #known(id: string): PresentNode {
    const node = this.#byId.get(id);
    if (node === undefined) throw new Unforeseen(`the node ${id} is missing`);
    return node;
  }

  #containersBehind(id: string, podId: string): readonly string[] {
    return (this.#byId.get(id)?.children ?? []).filter((child) => {
      const { type, boundary } = this.#byId.get(child) ?? {};
      return type === 'Container' && boundary === podId;
    });
  }

  #doubt({ name, type }: PresentNode): never {
    throw new Unforeseen(`what follows on ${name}, of type ${type}, is left to the controller`);
  }
}

/**
 * What the next steps hang on: of a containerSet the containers that no other one of the set depends on, of any other pod itself
 * (operator.go:getOutboundNodes). `containersBehind` names those that follow on the pod or on a container.
 */
export function lastContainers(podId: string, containersBehind: (id: string) => readonly string[]): readonly string[] {
  const last: string[] = [];
  const open = [podId];
  for (let ways = 0, id = open.pop(); id !== undefined; id = open.pop(), ways += 1) {
    if (ways > WAYS_LIMIT) throw new Unforeseen('the containers of its set depend on each other in too many ways');
    const next = containersBehind(id);
    if (next.length === 0) last.push(id);
    open.push(...next.toReversed());
  }
  return last;
}

function readNode(id: string, node: JsonObject): PresentNode {
  return {
    id,
    name: String(node.name),
    type: String(node.type),
    phase: String(node.phase),
    boundary: String(node.boundaryID),
    children: texts(node.children),
    outbound: texts(node.outboundNodes),
    isMemoized: isObject(node.memoizationStatus),
    startedMs: Date.parse(String(node.startedAt)),
    inputs: node.inputs,
    outputs: asObject(node.outputs),
  };
}

function texts(list: unknown): readonly string[] {
  return Array.isArray(list) ? list.filter((one): one is string => typeof one === 'string') : [];
}

export function hasEnded({ phase }: PresentNode): boolean {
  return ENDED.has(phase);
}

/** Whether all that Argo wanted of it is done. */
export function hasEndedWell({ phase }: PresentNode): boolean {
  return phase === 'Succeeded' || phase === 'Skipped';
}

/** What others may refer to of a node with these outputs; throws where that is not for certain. */
export function valuesOf(outputs: JsonObject): Values {
  const values = new Map<string, string>();
  const put = (name: string, value: unknown): void => {
    const text = parameterValue(value, `the ${name}`);
    if (text !== undefined) values.set(name, text);
  };
  for (const { name, value } of parametersOf(outputs)) put(`outputs.parameters.${name}`, value);
  put('outputs.result', outputs.result);
  put('outputs.exitCode', outputs.exitCode);
  return values;
}

/** Throws where a node was made with other inputs than the ones that were foreseen for it. */
export function checkInputs({ name, inputs }: PresentNode, template: JsonObject): void {
  const read = (declared: unknown) =>
    parametersOf(declared)
      .map((parameter) => JSON.stringify([parameter.name, parameter.value]))
      .sort()
      .join();
  const made = isObject(inputs) ? read(inputs) : '';
  if (made !== read(template.inputs)) throw new Unforeseen(`${name} was made with other inputs`);
}
