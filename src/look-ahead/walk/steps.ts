/** A steps template: its groups, one after the other. */
import type { JsonObject } from '../../base/json.ts';
import { type Call, readGroups } from '../calls.ts';
import { mayLackOutputs, nodeInputs, readOutputs } from '../scopes.ts';
import { callRuns, cannotExpand } from './call-runs.ts';
import {
  type Boundary,
  boundaryOf,
  type Group,
  type Inner,
  isNews,
  mayErrIn,
  type Outcome,
  outboundOf,
  type Place,
  type Runs,
  type WalkedGroups,
  type WholeSteps,
  wholeMembers,
} from './outcome.ts';
import type { WalkState } from './state.ts';

export function walkSteps(state: WalkState, place: Place, template: JsonObject, inner: Inner): Outcome {
  const { present } = inner;
  const { nodes } = state;
  const boundary = boundaryOf(place, inner, 'steps');
  const before = nodes.size;
  const calls = readGroups(template);
  const { groups, isOpen, mayErr } = walkGroups(state, boundary, calls);
  const isRoot = place.boundaryName === undefined;
  if (isOpen || isRoot || present !== undefined) leaveSkippedToArgo(state, place);
  if (present !== undefined) {
    const isLacking = mayLackOutputs(template, calls.flat(), boundary.scope);
    return { is: 'open', id: present.id, mayErr: mayErr || isLacking };
  }
  if (isOpen) return leaveOpen(state, place, template, { hasServed: nodes.size > before, mayErr });
  const values = readOutputs(template, boundary.scope);
  const outbound = outboundOf(groups.at(-1)?.outcomes ?? []);
  const whole = { base: inner.base, groups, values, outbound, count: nodes.size - before };
  // The controller makes the root and its groups itself, in its first look.
  if (!isRoot) addSteps(state, place, template, whole);
  return { is: 'served', id: nodes.idOf(place.nodeName), outbound, values };
}

/** The groups up to the first of which something has still to run. */
function walkGroups(state: WalkState, boundary: Boundary, callsOfGroups: readonly (readonly Call[])[]): WalkedGroups {
  const groups: Group[] = [];
  let open: string | undefined;
  let mayErr = false;
  let mayAdd = boundary.present === undefined;
  for (const [index, calls] of callsOfGroups.entries()) {
    const name = `${boundary.place.nodeName}[${index}]`;
    if (open !== undefined) {
      for (const call of calls) state.follows(`${name}.${call.name}`, open);
      continue;
    }
    const runs = callGroup(state, boundary, name, calls, mayAdd && state.present.get(name) === undefined);
    const outcomes = runs.flatMap((one) => one.outcomes);
    open = calls.find((_, at) => runs[at]?.outcomes.some(({ is }) => is === 'open'))?.name;
    mayErr = outcomes.some(mayErrIn);
    mayAdd ||= outcomes.some(isNews);
    groups.push({ id: state.nodes.idOf(name), name, outcomes });
  }
  return { groups, isOpen: open !== undefined, mayErr };
}

/**
 * Argo expands all calls of a group before it makes any step of it, and errs there (steps.go:executeStepGroup). Then it goes through
 * the group in its order, and leaves it at the first error: what comes after one would hang on nothing.
 */
function callGroup(
  state: WalkState,
  boundary: Boundary,
  name: string,
  calls: readonly Call[],
  mayAdd: boolean,
): readonly Runs[] {
  const isNew = state.present.get(name) === undefined;
  const broken = isNew ? calls.find((call) => cannotExpand(call, boundary.scope)) : undefined;
  if (broken !== undefined) {
    const message = `Argo errs at ${broken.name} before it makes any step of the group`;
    return calls.map((call) => ({ outcomes: [state.unforeseen(`${name}.${call.name}`, message)], fan: undefined }));
  }
  let doubtful: string | undefined;
  return calls.map((call) => {
    if (doubtful !== undefined) return { outcomes: [state.follows(`${name}.${call.name}`, doubtful)], fan: undefined };
    const runs = callRuns(state, { boundary, prefix: name, visible: boundary.scope, mayAdd }, call);
    if (runs.outcomes.some(mayErrIn)) doubtful = call.name;
    return runs;
  });
}

/** Where the controller makes the groups, it links a step that is skipped only as it makes its node too (steps.go). */
function leaveSkippedToArgo({ nodes }: WalkState, { nodeName }: Place): void {
  const boundary = nodes.idOf(nodeName);
  nodes.removeWhere(({ type, boundaryID }) => type === 'Skipped' && boundaryID === boundary);
}

/**
 * Steps of which some have still to run: the controller makes the groups, and the root. Any other boundary stands there
 * already, for a workflow that fails elsewhere would never come to make it.
 */
function leaveOpen(
  state: WalkState,
  place: Place,
  template: JsonObject,
  { hasServed, mayErr }: { readonly hasServed: boolean; readonly mayErr: boolean },
): Outcome {
  if (place.boundaryName === undefined || !hasServed) return { is: 'open', id: undefined, mayErr };
  const id = state.addNode(place, { type: 'Steps', phase: 'Running', progress: '0/0', ...nodeInputs(template) });
  return { is: 'open', id, mayErr };
}

function addSteps(
  state: WalkState,
  place: Place,
  template: JsonObject,
  { base, groups, values, outbound, count }: WholeSteps,
): void {
  const [first] = groups;
  state.addNode(place, {
    type: 'Steps',
    ...wholeMembers(template, values, count),
    children: first ? [first.id] : [],
    outboundNodes: outbound,
  });
  for (const [index, { name, outcomes }] of groups.entries()) {
    const groupPlace = { ...place, nodeName: name, boundaryName: place.nodeName, called: {}, base };
    state.addNode(groupPlace, {
      type: 'StepGroup',
      phase: 'Succeeded',
      progress: `${outcomes.length}/${outcomes.length}`,
      children: outcomes.flatMap(({ id }) => id ?? []),
    });
    const next = groups[index + 1];
    if (next !== undefined) for (const id of outboundOf(outcomes)) state.nodes.link(id, next.id);
  }
}
