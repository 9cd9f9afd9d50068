import { OUTAGE_POLICY_NAMES, POLICY_NAMES } from '../base/names.ts';
import { type KubeObject, RESOURCES } from '../kube/types.ts';
import { unknownToPolicy } from './admission-policies.ts';
import { enforcedPolicy } from './read-objects.ts';
import { named, type WarnOnce, type Watch } from './watch.ts';

export interface PolicyWatch {
  readonly areInstalled: boolean;
  /** Those that would warn users of an outage, and are not there. */
  readonly missingOutagePolicies: readonly string[];
}

/** Whether stepmemo's ValidatingAdmissionPolicies and their bindings are in place. */
export function watchPolicies(watch: Watch, controllerAccounts: readonly string[], warnOnce: WarnOnce): PolicyWatch {
  const policies = new Set<string>();
  const enforced = new Set<string>();

  /** A policy that lacks one of our controllers would refuse the pods that we gate for it: as good as missing. */
  function agrees(policy: KubeObject): boolean {
    const unknown = unknownToPolicy(policy, controllerAccounts);
    if (unknown.length === 0) return true;
    const fields = { policy: policy.metadata?.name, accounts: unknown };
    warnOnce(`policy ${unknown.join()}`, fields, 'the admission policy does not know these workflow controllers');
    return false;
  }

  // Before Kubernetes 1.30 the API server knows no such kinds: not installed, then.
  watch({
    resource: RESOURCES.admissionPolicies,
    isAbsentEmpty: true,
    transform: (object) => (agrees(object) ? named(object) : undefined),
    on: { upsert: ({ name }) => void policies.add(name), remove: ({ name }) => void policies.delete(name) },
  });
  watch({
    resource: RESOURCES.admissionPolicyBindings,
    isAbsentEmpty: true,
    transform: (object) => (enforcedPolicy(object) === object.metadata?.name ? named(object) : undefined),
    on: { upsert: ({ name }) => void enforced.add(name), remove: ({ name }) => void enforced.delete(name) },
  });
  return {
    get missingOutagePolicies() {
      return OUTAGE_POLICY_NAMES.filter((name) => !policies.has(name));
    },
    get areInstalled() {
      return POLICY_NAMES.every((name) => policies.has(name) && enforced.has(name));
    },
  };
}
