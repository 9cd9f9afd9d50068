/**
 * Walks a Workflow as Argo will, for as long as what happens is certain: which nodes will be made, with which inputs, and
 * for each leaf the entry that serves it, or why the walk ends there. Exact or not at all. It begins before the first node, or
 * goes on from the nodes that are there.
 */
import { parametersOf } from '../argo/scopes.ts';
import { templateKind } from '../argo/workflow-walk.ts';
import { asObject, isObject, type JsonObject } from '../base/json.ts';
import { type Call, leavesOf, readGroups, readItems, readTasks, type Task } from './calls.ts';
import { evaluateWhen } from './conditions.ts';
import { type JudgedLeaf, judgeLeaf, type LeafContext, outputValues } from './leaf.ts';
import { SERVED_AHEAD, SERVED_AT_SUBMISSION, type WorkflowNode } from './node.ts';
import { NodeList, type NodeMembers } from './node-list.ts';
import { checkCall, checkSpec, checkTemplate } from './obstacles.ts';
import {
  addValues,
  type Boundary,
  boundaryOf,
  type CallPlace,
  calledBy,
  type Group,
  type Inner,
  isFulfilled,
  isNews,
  isSkipped,
  mayErrIn,
  type Outcome,
  outboundOf,
  type Place,
  type Resolved,
  type Runs,
  type WalkedGroups,
  type WalkedTasks,
  type WholeSteps,
} from './outcome.ts';
import {
  checkInputs,
  hasEnded,
  hasEndedWell,
  type PresentNode,
  PresentNodes,
  type ServedOutputs,
  valuesOf,
} from './present.ts';
import { baseOf, joinSpec, type LookUpTemplate, referredBase, type TemplateBase, withDefaults } from './references.ts';
import {
  addAggregates,
  fillCall,
  inputValues,
  nodeInputs,
  readGlobals,
  readInputs,
  readOutputs,
  scopeOf,
  type Workflow,
} from './scopes.ts';
import { fillIn, Unforeseen, type Values } from './values.ts';

export interface WalkInput extends Workflow, LeafContext {
  /** Stored template objects; none is known where it is left out. */
  readonly lookUpTemplate?: LookUpTemplate;
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

/** One step that the walk came to. */
export interface Leaf {
  readonly nodeName: string;
  readonly key?: string;
  readonly cache?: string;
  /** `unforeseen`: whether it is a hit is decided when Argo makes its pod. */
  readonly outcome: 'hit' | 'runs' | 'unforeseen';
  /** It is left to its pod for no other reason than that it comes after a step that has to run. */
  readonly isBehind?: boolean;
  /** From which entry, or why not. */
  readonly message: string;
}

export interface Walked {
  /** Of all hits, and of what holds them; as Argo would have made them. */
  readonly nodes: readonly WorkflowNode[];
  /** Children of nodes that were there before, by their ids; where they get more. */
  readonly links: ReadonlyMap<string, readonly string[]>;
  /** Ids of nodes whose pods are about to end as hits: once they have, more may be foreseen. */
  readonly awaited: readonly string[];
  /** In the order of the walk; of those that were there already none. */
  readonly leaves: readonly Leaf[];
  /** Whether nothing is left to run. */
  readonly isWhole: boolean;
  /** The stored template objects that were walked, with their resourceVersions: they may change before Argo reads them. */
  readonly references: readonly string[];
}

/** More than any workflow has that fits into an object; templates may call each other in circles. */
const CALL_LIMIT = 10_000;
const DEPTH_LIMIT = 60;

export function walkAhead(input: WalkInput): Walked {
  return new Walker(input).walk();
}

/** A hit ends within moments. A pod that is older is no hit, whatever the cache says by now. */
const AWAITED_MS = 5_000;
/** Argo takes it from the container that we say has ended well. */
const EXIT_CODE = [['outputs.exitCode', '0']] as const;

class Walker {
  readonly #input: WalkInput;
  #spec: JsonObject = {};
  #globals: Values = new Map();
  readonly #nodes: NodeList;
  readonly #leaves: Leaf[] = [];
  readonly #roomBytes: number;
  readonly #references = new Set<string>();
  readonly #present: PresentNodes;
  readonly #awaited: string[] = [];
  #calls = 0;

  constructor(input: WalkInput) {
    this.#input = input;
    this.#present = input.present?.nodes ?? new PresentNodes();
    this.#nodes = new NodeList(input.workflowName, input.now, this.#present);
    // Groups and links come after the steps that they hold.
    this.#roomBytes = 0.8 * (input.roomBytes ?? Number.POSITIVE_INFINITY);
  }

  walk(): Walked {
    const { workflowName, spec } = this.#input;
    try {
      this.#spec = this.#input.present?.storedSpec ?? joinSpec(spec, this.#lookUpTemplate);
      checkSpec(this.#spec);
    } catch (error) {
      if (!(error instanceof Unforeseen)) throw error;
      this.#leaves.push({ nodeName: workflowName, outcome: 'unforeseen', message: error.message });
      return { nodes: [], links: new Map(), awaited: [], leaves: this.#leaves, isWhole: false, references: [] };
    }
    this.#globals = readGlobals({ ...this.#input, spec: this.#spec });
    const { entrypoint, arguments: given } = this.#spec;
    const place: Place = {
      nodeName: workflowName,
      boundaryName: undefined,
      readsResult: () => false,
      callName: workflowName,
      called: typeof entrypoint === 'string' ? { templateName: entrypoint } : {},
      // What a stored workflow is made of has no name of its own (workflow/util/merge.go:JoinWorkflowSpec).
      base: isObject(spec.workflowTemplateRef)
        ? baseOf('local/', this.#spec, true)
        : baseOf(`local/${workflowName}`, this.#spec, false),
      mayAdd: this.#input.present === undefined,
      depth: 0,
    };
    const outcome = this.#call(place, () => ({ template: entrypoint, arguments: given }));
    const isWhole = outcome.is === 'served';
    return {
      nodes: this.#nodes.all(),
      links: this.#nodes.links(),
      awaited: this.#awaited,
      leaves: this.#leaves,
      isWhole,
      references: [...this.#references],
    };
  }

  readonly #lookUpTemplate: LookUpTemplate = (scope, name) => {
    const found = this.#input.lookUpTemplate?.(scope, name);
    const version = asObject(found?.metadata).resourceVersion;
    if (version !== undefined) this.#references.add(`${scope}/${name} at ${String(version)}`);
    return found;
  };

  // ---- one template

  #call(place: Place, makeCall: () => JsonObject): Outcome {
    const ended = this.#ended(place.nodeName);
    if (ended !== undefined) return ended;
    const before = this.#nodes.size;
    const leaves = this.#leaves.length;
    try {
      return this.#callTemplate(place, makeCall());
    } catch (error) {
      if (!(error instanceof Unforeseen)) throw error;
      // What stands below a boundary that is given up would hang on nothing.
      this.#nodes.cutTo(before);
      this.#giveUp(leaves, `${error.message} (${place.nodeName})`);
      this.#leaves.push({ nodeName: place.nodeName, outcome: 'unforeseen', message: error.message });
      return { is: 'open', id: undefined, mayErr: true };
    }
  }

  /** What became of a node that Argo has seen end; undefined where there is none, or it has not. */
  #ended(nodeName: string): Outcome | undefined {
    const node = this.#present.get(nodeName);
    if (node === undefined || !hasEnded(node)) return undefined;
    try {
      if (!hasEndedWell(node)) return { is: 'open', id: node.id, mayErr: true };
      const outbound = this.#present.outboundOf(node);
      const isSkipped = node.phase === 'Skipped';
      return { is: 'served', id: node.id, outbound, values: valuesOf(node.outputs), isSkipped, isPast: true };
    } catch (error) {
      if (!(error instanceof Unforeseen)) throw error;
      return { is: 'open', id: node.id, mayErr: true };
    }
  }

  /** Hits of a template that is given up as a whole come by their pods. */
  #giveUp(from: number, message: string): void {
    const given = this.#leaves.splice(from);
    for (const leaf of given)
      this.#leaves.push(leaf.outcome === 'hit' ? { ...leaf, outcome: 'unforeseen', message } : leaf);
  }

  #callTemplate(place: Place, call: JsonObject): Outcome {
    this.#calls += 1;
    if (place.depth > DEPTH_LIMIT || this.#calls > CALL_LIMIT)
      throw new Unforeseen('the workflow is too large to be foreseen');
    if (this.#nodes.bytes > this.#roomBytes) throw new Unforeseen('the Workflow has no room for more nodes');
    if (this.#input.isOverdue?.() === true) throw new Unforeseen('there was no time left');
    const present = this.#present.get(place.nodeName);
    const { when, ...rest } = call;
    // A node that is there has been decided about.
    if (present === undefined && !this.#mayRun(place, when)) return this.#addSkipped(place, String(when));
    checkCall(rest);
    const { template, base } = this.#resolve(call, place.base);
    const inputs = readInputs(template, call, this.#globals);
    const locals = new Map([...this.#globals, ['node.name', place.nodeName]]);
    const first = fillIn({ ...template, inputs }, locals);
    const values = new Map([...locals, ...inputValues(first.inputs)]);
    const filled = fillIn(first as JsonObject, values);
    checkTemplate(filled);
    if (present !== undefined) checkInputs(present, filled);
    switch (templateKind(filled)) {
      case 'container':
      case 'script':
        return present === undefined ? this.#serveLeaf(place, filled) : this.#followLeaf(place, filled, present);
      case 'steps':
        return this.#walkSteps(place, filled, { stored: template, base, present });
      case 'dag':
        return this.#walkDag(place, filled, { stored: template, base, present });
      default:
        throw new Unforeseen(`a template of kind ${templateKind(filled)} is left to its pod`);
    }
  }

  /** Whether the condition of a call is met, where Argo will ask. */
  #mayRun({ mayAdd }: Place, when: unknown): boolean {
    if (!mayAdd) throw new Unforeseen('Argo has not made it yet, though it might have');
    return (when ?? '') === '' || evaluateWhen(when);
  }

  #resolve(call: JsonObject, from: TemplateBase): Resolved {
    const { inline, templateRef } = call;
    // The controller fills in the stored one itself, and finds it filled in the next time (make look-ahead-oracle shows it).
    if (isObject(inline) && from.isStored) throw new Unforeseen('it has an inline template in a stored one');
    const base = isObject(templateRef) ? referredBase(templateRef, this.#lookUpTemplate) : from;
    const name = isObject(templateRef) ? templateRef.template : call.template;
    const template = isObject(inline) ? inline : base.templates.get(String(name));
    if (template === undefined) throw new Unforeseen('the template that it calls is not there');
    return { template: withDefaults(template, this.#spec.templateDefaults), base };
  }

  // ---- leaves

  #judgeLeaf(place: Place, template: JsonObject): JudgedLeaf {
    const needsResult = place.readsResult(place.callName);
    const namesRepository = (this.#spec.artifactRepositoryRef ?? undefined) !== undefined;
    return judgeLeaf(template, { needsResult, namesRepository }, this.#input);
  }

  /** A step that has a pod: its outputs are certain once stepmemo has ended that, and with them what follows. */
  #followLeaf(place: Place, template: JsonObject, { id, type, startedMs }: PresentNode): Outcome {
    const open: Outcome = { is: 'open', id, mayErr: false };
    if (type !== 'Pod') return open;
    const outputs = this.#input.present?.served({ id, startedMs });
    if (outputs !== undefined)
      return { is: 'served', id, outbound: [id], values: new Map([...EXIT_CODE, ...valuesOf(outputs)]) };
    const isYoung = this.#input.now.getTime() - startedMs < AWAITED_MS;
    if (isYoung && this.#judgeLeaf(place, template).is === 'hit') this.#awaited.push(id);
    return open;
  }

  #serveLeaf(place: Place, template: JsonObject): Outcome {
    const judged = this.#judgeLeaf(place, template);
    if (judged.is === 'runs') {
      const { is: outcome, ...asked } = judged;
      this.#leaves.push({ nodeName: place.nodeName, ...asked, outcome });
      return { is: 'open', id: undefined, mayErr: false };
    }
    const { key, cache, message, outputs } = judged;
    this.#leaves.push({ nodeName: place.nodeName, key, cache, message, outcome: 'hit' });
    const isBegun = this.#input.present !== undefined;
    const id = this.#add(place, {
      type: 'Pod',
      phase: 'Succeeded',
      message: `${isBegun ? SERVED_AHEAD : SERVED_AT_SUBMISSION}: ${message}`,
      ...nodeInputs(template),
      outputs,
      progress: '1/1',
      // Beside a pod it would make Argo save the outputs, which its role does not allow.
      ...(!isBegun && { memoizationStatus: { hit: true, key, cacheName: cache } }),
      taskResultSynced: true,
    });
    return { is: 'served', id, outbound: [id], values: outputValues(outputs) };
  }

  /** A step that is decided about when what comes before it has run. */
  #follows(nodeName: string, open: string): Outcome {
    this.#leaves.push({
      nodeName,
      outcome: 'unforeseen',
      isBehind: true,
      message: `it follows ${open}, which is not certain to be a hit`,
    });
    return { is: 'open', id: undefined, mayErr: true };
  }

  /** As Argo makes a step whose condition is not met (steps.go, dag.go). */
  #addSkipped(place: Place, when: string): Outcome {
    const id = this.#add(place, { type: 'Skipped', phase: 'Skipped', message: `when '${when}' evaluated false` });
    return { is: 'served', id, outbound: [id], values: new Map(), isSkipped: true };
  }

  // ---- steps

  #walkSteps(place: Place, template: JsonObject, inner: Inner): Outcome {
    const { present } = inner;
    const boundary = boundaryOf(place, inner, 'steps');
    const before = this.#nodes.size;
    const { groups, isOpen, mayErr } = this.#walkGroups(boundary, template);
    const isRoot = place.boundaryName === undefined;
    if (isOpen || isRoot || present !== undefined) this.#leaveSkippedToArgo(place);
    if (present !== undefined) return { is: 'open', id: present.id, mayErr };
    if (isOpen) return this.#leaveStepsOpen(place, template, { hasServed: this.#nodes.size > before, mayErr });
    const values = readOutputs(template, boundary.scope);
    const outbound = outboundOf(groups.at(-1)?.outcomes ?? []);
    const whole = { base: inner.base, groups, values, outbound, count: this.#nodes.size - before };
    // The controller makes the root and its groups itself, in its first look.
    if (!isRoot) this.#addSteps(place, template, whole);
    return { is: 'served', id: this.#nodes.idOf(place.nodeName), outbound, values };
  }

  /** The groups up to the first of which something has still to run. */
  #walkGroups(boundary: Boundary, template: JsonObject): WalkedGroups {
    const groups: Group[] = [];
    let open: string | undefined;
    let mayErr = false;
    let mayAdd = boundary.present === undefined;
    for (const [index, calls] of readGroups(template).entries()) {
      const name = `${boundary.place.nodeName}[${index}]`;
      if (open !== undefined) {
        for (const call of calls) this.#follows(`${name}.${call.name}`, open);
        continue;
      }
      const runs = this.#callGroup(boundary, name, calls, mayAdd && this.#present.get(name) === undefined);
      const outcomes = runs.flatMap((one) => one.outcomes);
      open = calls.find((_, at) => runs[at]?.outcomes.some(({ is }) => is === 'open'))?.name;
      mayErr = outcomes.some(mayErrIn);
      mayAdd ||= outcomes.some(isNews);
      groups.push({ id: this.#nodes.idOf(name), name, outcomes });
    }
    return { groups, isOpen: open !== undefined, mayErr };
  }

  /** Argo goes through a group in its order, and leaves it at the first error: what comes after one would hang on nothing. */
  #callGroup(boundary: Boundary, name: string, calls: readonly Call[], mayAdd: boolean): readonly Runs[] {
    let doubtful: string | undefined;
    return calls.map((call) => {
      if (doubtful !== undefined) {
        return { outcomes: [this.#follows(`${name}.${call.name}`, doubtful)], fan: undefined };
      }
      const runs = this.#callAll({ boundary, prefix: name, visible: boundary.scope, mayAdd }, call);
      if (runs.outcomes.some(mayErrIn)) doubtful = call.name;
      return runs;
    });
  }

  /** Where the controller makes the groups, it links a step that is skipped only as it makes its node too (steps.go). */
  #leaveSkippedToArgo({ nodeName }: Place): void {
    const boundary = this.#nodes.idOf(nodeName);
    this.#nodes.removeWhere(({ type, boundaryID }) => type === 'Skipped' && boundaryID === boundary);
  }

  /**
   * Steps of which some have still to run: the controller makes the groups, and the root. Any other boundary stands there
   * already, for a workflow that fails elsewhere would never come to make it.
   */
  #leaveStepsOpen(
    place: Place,
    template: JsonObject,
    { hasServed, mayErr }: { readonly hasServed: boolean; readonly mayErr: boolean },
  ): Outcome {
    if (place.boundaryName === undefined || !hasServed) return { is: 'open', id: undefined, mayErr };
    const id = this.#add(place, { type: 'Steps', phase: 'Running', progress: '0/0', ...nodeInputs(template) });
    return { is: 'open', id, mayErr };
  }

  #addSteps(place: Place, template: JsonObject, { base, groups, values, outbound, count }: WholeSteps): void {
    const [first] = groups;
    this.#add(place, {
      type: 'Steps',
      ...this.#whole(template, values, count),
      children: first ? [first.id] : [],
      outboundNodes: outbound,
    });
    for (const [index, { name, outcomes }] of groups.entries()) {
      const groupPlace = { ...place, nodeName: name, boundaryName: place.nodeName, called: {}, base };
      this.#add(groupPlace, {
        type: 'StepGroup',
        phase: 'Succeeded',
        progress: `${outcomes.length}/${outcomes.length}`,
        children: outcomes.flatMap(({ id }) => id ?? []),
      });
      const next = groups[index + 1];
      if (next !== undefined) for (const id of outboundOf(outcomes)) this.#nodes.link(id, next.id);
    }
  }

  /** The members of a boundary of which nothing is left to run. */
  #whole(
    template: JsonObject,
    values: Values,
    count: number,
  ): Pick<WorkflowNode, 'phase' | 'progress' | 'inputs' | 'outputs'> {
    // Argo leaves out where the value came from (operator.go:getTemplateOutputsFromScope).
    const parameters = parametersOf(template.outputs).map(({ valueFrom: _, ...declared }) => ({
      ...declared,
      value: values.get(`outputs.parameters.${declared.name}`),
    }));
    return {
      phase: 'Succeeded',
      progress: `${count}/${count}`,
      ...nodeInputs(template),
      ...(parameters.length > 0 && { outputs: { parameters } }),
    };
  }

  // ---- DAG

  #walkDag(place: Place, template: JsonObject, inner: Inner): Outcome {
    const { present } = inner;
    const before = this.#nodes.size;
    const tasks = readTasks(template);
    const boundary = boundaryOf(place, inner, 'tasks');
    const { done, roots, isOmitting } = this.#walkTasks(boundary, tasks);
    // Omitted tasks leave the DAG without their outputs, which may be what it cannot end without.
    const mayErr = isOmitting || [...done.values()].some(mayErrIn);
    if (present !== undefined) return { is: 'open', id: present.id, mayErr };
    if (tasks.some(({ name }) => done.get(name)?.is !== 'served'))
      return this.#leaveOpen(place, template, { children: roots, mayErr });
    const outbound = outboundOf(leavesOf(tasks).flatMap((name) => done.get(name) ?? []));
    const values = readOutputs(template, boundary.scope);
    const whole = this.#whole(template, values, this.#nodes.size - before);
    if (place.boundaryName === undefined) this.#leaveOpen(place, template, { children: roots, mayErr: false });
    else this.#add(place, { type: 'DAG', ...whole, children: roots, outboundNodes: outbound });
    return { is: 'served', id: this.#nodes.idOf(place.nodeName), outbound, values };
  }

  /** The tasks of which all that they depend on is served, in their order. */
  #walkTasks(boundary: Boundary, tasks: readonly Task[]): WalkedTasks {
    const { place, scope, present } = boundary;
    const byName = new Map(tasks.map((task) => [task.name, task]));
    const done = new Map<string, Outcome>();
    const roots: string[] = [];
    let isOmitting = false;
    for (const task of tasks) {
      const parents = task.depends.flatMap((name) => done.get(name) ?? []);
      const open = task.depends.find((name) => !isFulfilled(done.get(name), task.strict.has(name)));
      if (open !== undefined) {
        isOmitting ||= done.get(open)?.is === 'served';
        this.#follows(`${place.nodeName}.${task.name}`, open);
        continue;
      }
      const mayAdd = present === undefined || parents.some(isNews);
      const visible = scopeOf(task, byName, scope);
      const outcome = this.#callTask({ boundary, prefix: place.nodeName, visible, mayAdd }, task);
      done.set(task.name, outcome);
      const { id } = outcome;
      if (id === undefined) continue;
      if (parents.length === 0) roots.push(id);
      for (const parent of outboundOf(parents)) this.#nodes.link(parent, id);
    }
    return { done, roots, isOmitting };
  }

  /** A DAG in which something has still to run: its node leads to what is there. Without that the search would miss it. */
  #leaveOpen(
    place: Place,
    template: JsonObject,
    { children, mayErr }: { readonly children: readonly string[]; readonly mayErr: boolean },
  ): Outcome {
    if (children.length === 0) return { is: 'open', id: undefined, mayErr };
    const id = this.#add(place, { type: 'DAG', phase: 'Running', progress: '0/0', ...nodeInputs(template), children });
    return { is: 'open', id, mayErr };
  }

  #callTask(where: CallPlace, task: Task): Outcome {
    const { outcomes, fan } = this.#callAll(where, task);
    const [only] = outcomes;
    const mayErr = outcomes.some(mayErrIn);
    if (fan === undefined) return only ?? { is: 'open', id: undefined, mayErr };
    const present = this.#present.get(fan.nodeName);
    if (present !== undefined) return this.#endedGroup(fan.nodeName) ?? { is: 'open', id: present.id, mayErr };
    const ids = outcomes.flatMap(({ id }) => id ?? []);
    if (ids.length === 0) return { is: 'open', id: undefined, mayErr };
    const isServed = outcomes.every((outcome) => outcome.is === 'served');
    const id = this.#add(fan, {
      type: 'TaskGroup',
      phase: isServed ? 'Succeeded' : 'Running',
      progress: isServed ? `${ids.length}/${ids.length}` : '0/0',
      children: ids,
    });
    return isServed
      ? { is: 'served', id, outbound: outboundOf(outcomes), values: new Map() }
      : { is: 'open', id, mayErr };
  }

  /** The group around the runs of a task gives nothing itself. */
  #endedGroup(nodeName: string): Outcome | undefined {
    const ended = this.#ended(nodeName);
    return ended?.is === 'served' ? { ...ended, values: new Map() } : ended;
  }

  // ---- calls

  /** Every run of one call: one, or one for each item. What it gives goes into the scope. */
  #callAll({ boundary, prefix, visible, mayAdd }: CallPlace, call: Call): Runs {
    const { kind, scope } = boundary;
    let filled: Call;
    let items: ReturnType<typeof readItems>;
    try {
      filled = fillCall(call, visible);
      items = readItems(filled);
    } catch (error) {
      if (!(error instanceof Unforeseen)) throw error;
      return { outcomes: [this.#giveUpCall(boundary, `${prefix}.${call.name}`, call, error)], fan: undefined };
    }
    const own = this.#placeOf(boundary, prefix, filled, mayAdd);
    if (items === undefined) {
      const outcome = this.#call(own, () => filled.raw);
      addValues(boundary, call, outcome);
      return { outcomes: [outcome], fan: undefined };
    }
    const { withItems: _, withParam: __, withSequence: ___, ...raw } = filled.raw;
    let isDoubtful = false;
    const outcomes = items.map(({ suffix, values }): Outcome => {
      const nodeName = own.nodeName + suffix;
      // The runs of a step are members of its group, which Argo leaves at the first error.
      if (isDoubtful) return this.#follows(nodeName, call.name);
      const outcome = this.#call({ ...own, nodeName }, () => fillIn(raw, values));
      isDoubtful = kind === 'steps' && mayErrIn(outcome);
      return outcome;
    });
    const all = outcomes.flatMap((outcome) => (outcome.is === 'served' ? [outcome.values] : []));
    const isWhole = all.length === outcomes.length && !outcomes.some(isSkipped);
    if (isWhole) addAggregates(`${kind}.${call.name}`, all, scope);
    return { outcomes, fan: own };
  }

  /** How a call is made is not known; where its node has ended, that does not matter any more. */
  #giveUpCall(boundary: Boundary, nodeName: string, call: Call, { message }: Unforeseen): Outcome {
    const ended = this.#ended(nodeName);
    if (ended !== undefined) {
      if (this.#present.get(nodeName)?.type !== 'TaskGroup') addValues(boundary, call, ended);
      return ended;
    }
    this.#leaves.push({ nodeName, outcome: 'unforeseen', message });
    return { is: 'open', id: undefined, mayErr: true };
  }

  #placeOf({ place, readsResult, base }: Boundary, prefix: string, call: Call, mayAdd: boolean): Place {
    return {
      nodeName: `${prefix}.${call.name}`,
      boundaryName: place.nodeName,
      readsResult,
      callName: call.name,
      called: calledBy(call.raw),
      base,
      mayAdd,
      depth: place.depth + 1,
    };
  }

  // ---- nodes

  #add({ base, ...place }: Place, members: NodeMembers): string {
    return this.#nodes.add({ ...place, templateScope: base.scope }, members);
  }
}
