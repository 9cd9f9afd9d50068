/** A step that makes a pod: served with its entry, or followed where its pod is there. */
import type { JsonObject } from '../../base/json.ts';
import { hasMain } from '../leaf.ts';
import { SERVED_AHEAD, SERVED_AT_SUBMISSION } from '../node.ts';
import { type PresentNode, valuesOf } from '../present.ts';
import { nodeInputs } from '../scopes.ts';
import { addContainers, readContainers } from './containers.ts';
import type { Outcome, Place } from './outcome.ts';
import type { WalkState } from './state.ts';

/** A hit ends within moments. A pod that is older is no hit, whatever the cache says by now. */
const AWAITED_MS = 5_000;

export function serveLeaf(state: WalkState, place: Place, template: JsonObject): Outcome {
  const { nodeName } = place;
  const judged = state.judgeLeaf(place, template);
  if (judged.is === 'runs') {
    const { is: outcome, ...asked } = judged;
    state.leaves.push({ nodeName, ...asked, outcome });
    return { is: 'open', id: undefined, mayErr: false };
  }
  const { key, cache, message, outputs } = judged;
  const containers = readContainers(state, place, template);
  state.leaves.push({ nodeName, key, cache, message, outcome: 'hit' });
  const isBegun = state.input.present !== undefined;
  const id = state.addNode(place, {
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
  if (containers !== undefined) addContainers(state, place, containers);
  return { is: 'served', id, outbound: containers?.last ?? [id], values: valuesOf(outputs) };
}

/** A step that has a pod: its outputs are certain once stepmemo has ended that, and with them what follows. */
export function followLeaf(state: WalkState, place: Place, template: JsonObject, present: PresentNode): Outcome {
  const { id, type, startedMs } = present;
  const open: Outcome = { is: 'open', id, mayErr: false };
  if (type !== 'Pod') return open;
  const { input } = state;
  const outputs = input.present?.served({ id, startedMs });
  if (outputs !== undefined) {
    // Argo takes the code from the container `main`, of which we say that it has ended well.
    const exitCode = hasMain(template) ? [['outputs.exitCode', '0'] as const] : [];
    const values = new Map([...exitCode, ...valuesOf(outputs)]);
    return { is: 'served', id, outbound: state.present.outboundOf(present), values };
  }
  const isYoung = input.now.getTime() - startedMs < AWAITED_MS;
  if (isYoung && state.judgeLeaf(place, template).is === 'hit') state.awaited.push(id);
  return open;
}
