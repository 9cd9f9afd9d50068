/** What one walk knows and has found so far, and the bounds that it keeps: what all of its parts share. */
import type { ArgoVersion } from '../../argo/versions.ts';
import type { JsonObject } from '../../base/json.ts';
import { type JudgedLeaf, judgeLeaf, type LeafContext } from '../leaf.ts';
import { hasEnded, hasEndedWell, PresentNodes, type ServedOutputs, valuesOf } from '../present.ts';
import type { LookUpTemplate } from '../references.ts';
import type { Workflow } from '../scopes.ts';
import { Unforeseen, type Values } from '../values.ts';
import { NodeList, type NodeMembers } from './node-list.ts';
import type { Leaf, Outcome, Place } from './outcome.ts';

export interface WalkInput extends Workflow, LeafContext {
  /** Stored template objects; none is known where it is left out. */
  readonly lookUpTemplate?: LookUpTemplate;
  /** Of the controller; one of today where it is left out. */
  readonly argoVersion?: ArgoVersion;
  /** How much the nodes may take; no bound where it is left out. */
  readonly roomBytes?: number;
  /** Whether the time is up: what is not foreseen by then is left to the pods. */
  readonly isOverdue?: () => boolean;
  /** Of a workflow that runs: what is there. What hangs on a hit of this moment is added, and nothing else. */
  readonly present?: PresentWorkflow;
}

export interface PresentWorkflow {
  readonly nodes: PresentNodes;
  readonly served: ServedOutputs;
  /** The spec that runs, of a Workflow that is made of a stored one. */
  readonly storedSpec: JsonObject | undefined;
}

/** Walks the template that is called at a place; what the call says is made only where it is needed. */
export type CallTemplate = (state: WalkState, place: Place, makeCall: () => JsonObject) => Outcome;

/** More than any workflow has that fits into an object; templates may call each other in circles. */
const CALL_LIMIT = 10_000;
const DEPTH_LIMIT = 60;

export class WalkState {
  readonly input: WalkInput;
  /** The spec that runs, with what it takes from a stored one. */
  readonly spec: JsonObject;
  readonly globals: Values;
  readonly lookUpTemplate: LookUpTemplate;
  /** What is there already, and what the walk adds. */
  readonly present: PresentNodes;
  readonly nodes: NodeList;
  readonly leaves: Leaf[] = [];
  readonly awaited: string[] = [];
  /** The way down: templates of steps and tasks are called as the first one is. */
  readonly #callTemplate: CallTemplate;
  readonly #roomBytes: number;
  #calls = 0;

  constructor(
    given: Pick<WalkState, 'input' | 'spec' | 'globals' | 'lookUpTemplate'> & { readonly callTemplate: CallTemplate },
  ) {
    const { input } = given;
    this.input = input;
    this.spec = given.spec;
    this.globals = given.globals;
    this.lookUpTemplate = given.lookUpTemplate;
    this.#callTemplate = given.callTemplate;
    this.present = input.present?.nodes ?? new PresentNodes();
    this.nodes = new NodeList(input.workflowName, input.now, this.present);
    // Groups and links come after the steps that they hold.
    this.#roomBytes = 0.8 * (input.roomBytes ?? Number.POSITIVE_INFINITY);
  }

  call(place: Place, makeCall: () => JsonObject): Outcome {
    return this.#callTemplate(this, place, makeCall);
  }

  /** Throws where a call is one too many. */
  countCall({ depth }: Place): void {
    this.#calls += 1;
    if (depth > DEPTH_LIMIT || this.#calls > CALL_LIMIT)
      throw new Unforeseen('the workflow is too large to be foreseen');
    if (this.nodes.bytes > this.#roomBytes) throw new Unforeseen('the Workflow has no room for more nodes');
    if (this.input.isOverdue?.() === true) throw new Unforeseen('there was no time left');
  }

  /** What `work` comes to; where that cannot be foreseen, all that it has added goes, and its hits come by their pods. */
  attempt(nodeName: string, work: () => Outcome): Outcome {
    const before = this.nodes.size;
    const leaves = this.leaves.length;
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Unforeseen)) throw error;
      const { message } = error;
      // What stands below a boundary that is given up would hang on nothing.
      this.nodes.cutTo(before);
      const given = this.leaves.splice(leaves);
      for (const leaf of given)
        this.leaves.push(
          leaf.outcome === 'hit' ? { ...leaf, outcome: 'unforeseen', message: `${message} (${nodeName})` } : leaf,
        );
      return this.unforeseen(nodeName, message);
    }
  }

  unforeseen(nodeName: string, message: string): Outcome {
    this.leaves.push({ nodeName, outcome: 'unforeseen', message });
    return { is: 'open', id: undefined, mayErr: true };
  }

  /** A step that is decided about when what comes before it has run. */
  follows(nodeName: string, open: string): Outcome {
    const message = `it follows ${open}, which is not certain to be a hit`;
    this.leaves.push({ nodeName, outcome: 'unforeseen', isBehind: true, message });
    return { is: 'open', id: undefined, mayErr: true };
  }

  /** What became of a node that Argo has seen end; undefined where there is none, or it has not. */
  ended(nodeName: string): Outcome | undefined {
    const node = this.present.get(nodeName);
    if (node === undefined || !hasEnded(node)) return undefined;
    try {
      if (!hasEndedWell(node)) return { is: 'open', id: node.id, mayErr: true };
      const outbound = this.present.outboundOf(node);
      const isSkipped = node.phase === 'Skipped';
      return { is: 'served', id: node.id, outbound, values: valuesOf(node.outputs), isSkipped, isPast: true };
    } catch (error) {
      if (!(error instanceof Unforeseen)) throw error;
      return { is: 'open', id: node.id, mayErr: true };
    }
  }

  /** `template` has its tags filled in. */
  judgeLeaf({ readsResult, callName }: Place, template: JsonObject): JudgedLeaf {
    const namesRepository = (this.spec.artifactRepositoryRef ?? undefined) !== undefined;
    return judgeLeaf(template, { needsResult: readsResult(callName), namesRepository }, this.input);
  }

  addNode({ base, ...place }: Place, members: NodeMembers): string {
    return this.nodes.add({ ...place, templateScope: base.scope }, members);
  }
}
