import { OPERATION_ANNOTATION } from '../base/names.ts';
import type { EntryLookup } from '../cache/entry.ts';
import { type Ask, type AskInput, readAsk } from './ask.ts';
import { chooseCapture } from './capture.ts';
import type { PodDecision, Verdict } from './decision.ts';
import { judgeLookup } from './judge-entry.ts';
import type { KnownCluster, SidecarSettings } from './known-cluster.ts';
import { buildPodPatch } from './pod-patch.ts';

export interface DecideContext {
  readonly cluster: KnownCluster;
  readonly settings: { readonly sidecar: SidecarSettings };
  readonly now: Date;
}

/**
 * The last of three steps: hit or miss, from what the pod asks for and what was found under its key. No I/O, no side
 * effect, the same for the same input.
 */
export function decide(ask: Ask, lookup: EntryLookup, context: DecideContext): PodDecision {
  const operation = context.cluster.namespace(ask.step.namespace)?.operation ?? 'on';
  if (operation === 'off')
    return { decision: 'skip', reason: 'switched-off', message: `${OPERATION_ANNOTATION} is off` };
  const decision = decideFully(ask, lookup, context);
  if (operation === 'on' || decision.decision === 'skip') return decision;
  const reason = decision.decision === 'hit' ? 'observed-hit' : 'observed-miss';
  return { decision: 'skip', reason, message: `would be a ${decision.decision}: ${decision.message}` };
}

function decideFully(ask: Ask, lookup: EntryLookup, context: DecideContext): PodDecision {
  const { step, memoization } = ask;
  const judged = judgeLookup(step, memoization, lookup, context.now);
  if (judged.fresh) {
    const { entry, message } = judged;
    return { decision: 'hit', reason: 'fresh-entry', message, step, memoization, entry };
  }
  // It may be a hit: to run and to capture would be as wrong as to wait.
  if (judged.reason === 'cache-not-held') return { decision: 'skip', reason: judged.reason, message: judged.message };
  const { capture, message } = chooseCapture(ask, context.cluster, context.settings.sidecar);
  return {
    decision: 'miss',
    reason: judged.reason,
    message: message === '' ? judged.message : `${judged.message}; ${message}`,
    step,
    memoization,
    capture,
  };
}

/** The decision about one pod from what is in memory: what it asks for, what is found, what follows. */
export function decidePod(input: AskInput & { readonly now: Date }): PodDecision {
  const reading = readAsk(input);
  if (!('ask' in reading)) return reading;
  const { step, memoization } = reading.ask;
  return decide(reading.ask, input.cluster.lookUp(step.namespace, memoization.cache, memoization.key), input);
}

/**
 * The whole answer about one pod: decision, reason and the patch that carries it out, for admission and `stepmemo decide`.
 * Pods are made by a controller, which shows no warnings to anyone, so there are none.
 */
export function judgePod(input: AskInput & { readonly now: Date }): Verdict {
  const decision = decidePod(input);
  const { reason, message } = decision;
  return { decision: decision.decision, reason, message, patch: buildPodPatch(input.pod, decision), warnings: [] };
}
