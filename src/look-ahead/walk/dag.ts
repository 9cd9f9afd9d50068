/** A DAG template: its tasks, each after what it depends on. */
import type { JsonObject } from '../../base/json.ts';
import { leavesOf, readTasks, type Task } from '../calls.ts';
import { mayLackOutputs, nodeInputs, readOutputs, scopeOf } from '../scopes.ts';
import { callRuns } from './call-runs.ts';
import {
  type Boundary,
  boundaryOf,
  type CallPlace,
  type Inner,
  isFulfilled,
  isNews,
  mayErrIn,
  type Outcome,
  outboundOf,
  type Place,
  type WalkedTasks,
  wholeMembers,
} from './outcome.ts';
import type { WalkState } from './state.ts';

export function walkDag(state: WalkState, place: Place, template: JsonObject, inner: Inner): Outcome {
  const { present } = inner;
  const { nodes } = state;
  const before = nodes.size;
  const tasks = readTasks(template);
  const boundary = boundaryOf(place, inner, 'tasks');
  const { done, roots, isOmitting } = walkTasks(state, boundary, tasks);
  // Omitted tasks leave the DAG without their outputs, which may be what it cannot end without.
  const mayErr = isOmitting || [...done.values()].some(mayErrIn);
  if (present !== undefined)
    return { is: 'open', id: present.id, mayErr: mayErr || mayLackOutputs(template, tasks, boundary.scope) };
  if (tasks.some(({ name }) => done.get(name)?.is !== 'served'))
    return leaveOpen(state, place, template, { children: roots, mayErr });
  const outbound = outboundOf(leavesOf(tasks).flatMap((name) => done.get(name) ?? []));
  const values = readOutputs(template, boundary.scope);
  const whole = wholeMembers(template, values, nodes.size - before);
  if (place.boundaryName === undefined) leaveOpen(state, place, template, { children: roots, mayErr: false });
  else state.addNode(place, { type: 'DAG', ...whole, children: roots, outboundNodes: outbound });
  return { is: 'served', id: nodes.idOf(place.nodeName), outbound, values };
}

/** The tasks of which all that they depend on is served, in their order. */
function walkTasks(state: WalkState, boundary: Boundary, tasks: readonly Task[]): WalkedTasks {
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
      state.follows(`${place.nodeName}.${task.name}`, open);
      continue;
    }
    const mayAdd = present === undefined || parents.some(isNews);
    const visible = scopeOf(task, byName, scope);
    const outcome = callTask(state, { boundary, prefix: place.nodeName, visible, mayAdd }, task);
    done.set(task.name, outcome);
    const { id } = outcome;
    if (id === undefined) continue;
    if (parents.length === 0) roots.push(id);
    for (const parent of outboundOf(parents)) state.nodes.link(parent, id);
  }
  return { done, roots, isOmitting };
}

/** A DAG in which something has still to run: its node leads to what is there. Without that the search would miss it. */
function leaveOpen(
  state: WalkState,
  place: Place,
  template: JsonObject,
  { children, mayErr }: { readonly children: readonly string[]; readonly mayErr: boolean },
): Outcome {
  if (children.length === 0) return { is: 'open', id: undefined, mayErr };
  const id = state.addNode(place, {
    type: 'DAG',
    phase: 'Running',
    progress: '0/0',
    ...nodeInputs(template),
    children,
  });
  return { is: 'open', id, mayErr };
}

function callTask(state: WalkState, where: CallPlace, task: Task): Outcome {
  const { outcomes, fan } = callRuns(state, where, task);
  const [only] = outcomes;
  const mayErr = outcomes.some(mayErrIn);
  if (fan === undefined) return only ?? { is: 'open', id: undefined, mayErr };
  const present = state.present.get(fan.nodeName);
  if (present !== undefined) return endedGroup(state, fan.nodeName) ?? { is: 'open', id: present.id, mayErr };
  return addTaskGroup(state, fan, outcomes, mayErr);
}

/** The group around the runs of a task gives nothing itself. */
function endedGroup(state: WalkState, nodeName: string): Outcome | undefined {
  const ended = state.ended(nodeName);
  return ended?.is === 'served' ? { ...ended, values: new Map() } : ended;
}

function addTaskGroup(state: WalkState, fan: Place, outcomes: readonly Outcome[], mayErr: boolean): Outcome {
  const ids = outcomes.flatMap(({ id }) => id ?? []);
  if (ids.length === 0) return { is: 'open', id: undefined, mayErr };
  const isServed = outcomes.every((outcome) => outcome.is === 'served');
  const id = state.addNode(fan, {
    type: 'TaskGroup',
    phase: isServed ? 'Succeeded' : 'Running',
    progress: isServed ? `${ids.length}/${ids.length}` : '0/0',
    children: ids,
  });
  return isServed
    ? { is: 'served', id, outbound: outboundOf(outcomes), values: new Map() }
    : { is: 'open', id, mayErr };
}
