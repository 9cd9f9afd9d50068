import { MOVE_POLICY_NAMES, OUTAGE_POLICY_NAMES, POLICY_NAMES } from '../../../base/names.ts';
import { enforcedPolicy } from '../../../informers/read-objects.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../../../kube/types.ts';
import { listOrNone } from '../kube-command.ts';
import { type Check, type Finding, ok, problem, unchecked } from './finding.ts';

export const checkPolicies: Check = async ({ kube }) => {
  const policies = await kube.list({ resource: RESOURCES.admissionPolicies });
  if (!policies.ok) return [unchecked('admission policies', policies)];
  const bindings = await kube.list({ resource: RESOURCES.admissionPolicyBindings });
  if (!bindings.ok) return [unchecked('admission policies', bindings)];
  const there = new Set(policies.value.map(({ metadata }) => metadata?.name));
  const enforced = new Set(bindings.value.map(enforcedPolicy));
  const missing = POLICY_NAMES.filter((name) => !there.has(name) || !enforced.has(name));
  const floor = await checkFloor(kube, there);
  if (missing.length > 0)
    return [
      problem(
        'admission policies',
        `missing or not enforced: ${missing.join(', ')}`,
        'Apply the manifests whole: nothing is served without them.',
      ),
      floor,
    ];
  return [ok('admission policies', `all ${POLICY_NAMES.length} are enforced`), floor];
};

/** What becomes of a Workflow with memoize that is submitted while stepmemo is away. */
async function checkFloor(kube: KubeApi, there: ReadonlySet<string | undefined>): Promise<Finding> {
  const bindings = await listOrNone(kube, { resource: RESOURCES.mutatingAdmissionPolicyBindings });
  const bound = new Set(bindings.ok ? bindings.value.map(enforcedMutation) : []);
  if (MOVE_POLICY_NAMES.every((name) => bound.has(name))) {
    return ok('outage', 'the API server moves memoize itself: what is submitted while stepmemo is away runs, uncached');
  }
  const untold = OUTAGE_POLICY_NAMES.filter((name) => !there.has(name));
  if (untold.length === 0) return ok('outage', 'the API server warns about what is submitted while stepmemo is away');
  return problem(
    'outage',
    `an outage goes unnoticed: ${untold.join(', ')} missing`,
    'Apply the manifests whole; better, run stepmemo migrate on your manifests.',
  );
}

function enforcedMutation({ spec }: KubeObject): unknown {
  return (spec as { policyName?: unknown } | undefined)?.policyName;
}
