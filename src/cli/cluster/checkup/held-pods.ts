import { listGatedPods } from '../gated-pods.ts';
import { type Check, ok, problem, unchecked } from './finding.ts';

/** How long a pod may be held back: a leader that changes takes seconds. */
const STRANDED_MS = 120_000;

export const checkGatedPods: Check = async ({ kube, now }) => {
  const pods = await listGatedPods(kube);
  if (!pods.ok) return [unchecked('held pods', pods)];
  const stranded = pods.value.filter(
    ({ metadata }) => now.getTime() - Date.parse(metadata?.creationTimestamp ?? '') > STRANDED_MS,
  );
  if (stranded.length === 0) return [ok('held pods', `${pods.value.length} are held back, none for long`)];
  const [first] = stranded;
  const detail = `${stranded.length} are held back for more than two minutes, ${first?.metadata?.namespace}/${first?.metadata?.name} among them`;
  return [problem('held pods', detail, 'Look at the server; if it is gone for good: stepmemo release -A --yes')];
};
