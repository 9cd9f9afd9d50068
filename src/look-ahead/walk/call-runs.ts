/** Every run of one step or task: one, or one for each item. */
import { readTags } from '../../argo/tags.ts';
import { type Call, hasItems, type Item, readItems } from '../calls.ts';
import { isMet } from '../conditions.ts';
import { addAggregates, fillCall } from '../scopes.ts';
import { fillIn, type Scope, Unforeseen } from '../values.ts';
import {
  addValues,
  type Boundary,
  type CallPlace,
  calledBy,
  isSkipped,
  mayErrIn,
  type Outcome,
  type Place,
  type Runs,
} from './outcome.ts';
import type { WalkState } from './state.ts';

/** Outputs of steps before, which are known by then, or will never be. */
const OUTPUT_TAG = /^steps\.[^.]+\.outputs\.(?:parameters\.|result$|exitCode$)/;

/** Whether Argo errs when it makes a step of each item: an output of a step before is not there (operator.go:processItem). */
export function cannotExpand(call: Call, scope: Scope): boolean {
  if (!hasItems(call)) return false;
  try {
    const { when, inline: _, ...filled } = fillCall(call, scope).raw;
    const { tags } = readTags(JSON.stringify(filled));
    return tags.some(({ name }) => OUTPUT_TAG.test(name)) && isMet(when);
  } catch (error) {
    if (error instanceof Unforeseen) return false;
    throw error;
  }
}

/** What the runs give goes into the scope of the boundary. */
export function callRuns(state: WalkState, where: CallPlace, call: Call): Runs {
  const { boundary, prefix, visible } = where;
  let filled: Call;
  let items: readonly Item[] | undefined;
  try {
    filled = fillCall(call, visible);
    items = readItems(filled);
  } catch (error) {
    if (!(error instanceof Unforeseen)) throw error;
    return { outcomes: [giveUpCall(state, boundary, `${prefix}.${call.name}`, call, error)], fan: undefined };
  }
  const place = placeOf(where, filled);
  if (items !== undefined) return { outcomes: callItems(state, boundary, place, filled, items), fan: place };
  const outcome = state.call(place, () => filled.raw);
  addValues(boundary, call, outcome);
  return { outcomes: [outcome], fan: undefined };
}

function callItems(
  state: WalkState,
  { kind, scope }: Boundary,
  place: Place,
  call: Call,
  items: readonly Item[],
): readonly Outcome[] {
  const { withItems: _, withParam: __, withSequence: ___, ...raw } = call.raw;
  let isDoubtful = false;
  const outcomes = items.map(({ suffix, values }): Outcome => {
    const nodeName = place.nodeName + suffix;
    // The runs of a step are members of its group, which Argo leaves at the first error.
    if (isDoubtful) return state.follows(nodeName, call.name);
    const outcome = state.call({ ...place, nodeName }, () => fillIn(raw, values));
    isDoubtful = kind === 'steps' && mayErrIn(outcome);
    return outcome;
  });
  const all = outcomes.flatMap((outcome) => (outcome.is === 'served' ? [outcome.values] : []));
  const isWhole = all.length === outcomes.length && !outcomes.some(isSkipped);
  if (isWhole) addAggregates(`${kind}.${call.name}`, all, scope);
  return outcomes;
}

/** How a call is made is not known; where its node has ended, that does not matter any more. */
function giveUpCall(state: WalkState, boundary: Boundary, nodeName: string, call: Call, error: Unforeseen): Outcome {
  const ended = state.ended(nodeName);
  if (ended === undefined) return state.unforeseen(nodeName, error.message);
  if (state.present.get(nodeName)?.type !== 'TaskGroup') addValues(boundary, call, ended);
  return ended;
}

function placeOf({ boundary: { place, readsResult, base }, prefix, mayAdd }: CallPlace, { name, raw }: Call): Place {
  return {
    nodeName: `${prefix}.${name}`,
    boundaryName: place.nodeName,
    readsResult,
    callName: name,
    called: calledBy(raw),
    base,
    mayAdd,
    depth: place.depth + 1,
  };
}
