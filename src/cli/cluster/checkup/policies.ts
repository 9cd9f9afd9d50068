import { OUTAGE_POLICY_NAMES, POLICY_NAMES } from '../../../base/names.ts';
import { enforcedPolicy } from '../../../informers/read-objects.ts';
import { RESOURCES } from '../../../kube/types.ts';
import { type Check, ok, problem, unchecked } from './finding.ts';

export const checkPolicies: Check = async ({ kube }) => {
  const policies = await kube.list({ resource: RESOURCES.admissionPolicies });
  if (!policies.ok) return [unchecked('admission policies', policies)];
  const bindings = await kube.list({ resource: RESOURCES.admissionPolicyBindings });
  if (!bindings.ok) return [unchecked('admission policies', bindings)];
  const there = new Set(policies.value.map(({ metadata }) => metadata?.name));
  const enforced = new Set(bindings.value.map(enforcedPolicy));
  const missing = POLICY_NAMES.filter((name) => !there.has(name) || !enforced.has(name));
  const untold = OUTAGE_POLICY_NAMES.filter((name) => !there.has(name));
  const floor =
    untold.length === 0
      ? ok('outage', 'the API server warns about what is submitted while stepmemo is away')
      : problem(
          'outage',
          `an outage goes unnoticed: ${untold.join(', ')} missing`,
          'Apply the manifests whole; better, run stepmemo migrate on your manifests.',
        );
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
