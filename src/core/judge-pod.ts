import { buildPodPatch } from '../patch/pod-patch.ts';
import type { Verdict } from './decision.ts';
import { decidePod, type PodDecisionInput } from './pod-decision.ts';

/**
 * The whole answer about one pod: decision, reason and the patch that carries it out. Admission and `stepmemo decide` both
 * call this. Pods are made by a controller, which shows nobody any warnings, so there are none.
 */
export function judgePod(input: PodDecisionInput): Verdict {
  const decision = decidePod(input);
  const namespace = input.pod.metadata?.namespace;
  const limitRanges = typeof namespace === 'string' ? input.view.limitRanges(namespace) : [];
  const patch = buildPodPatch(input.pod, decision, { settings: input.settings, limitRanges });
  return { decision: decision.decision, reason: decision.reason, message: decision.message, patch, warnings: [] };
}
