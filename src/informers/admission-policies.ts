import type { KubeObject } from '../kube/types.ts';

/** The policy that holds the accounts of the workflow controllers, in its variable `controllers`. */
export const POD_CREATION_POLICY = 'stepmemo-pod-creation';

const ACCOUNTS = /^\s*'([^']*)'\.split\(','\)\s*$/;

/**
 * The accounts that the policy lets create pods with our gates; undefined where it is another policy or was rewritten
 * by hand. The manifests' wiring puts them there from the server's settings, so the two differ only by mistake.
 */
export function controllersInPolicy(policy: KubeObject): readonly string[] | undefined {
  if (policy.metadata?.name !== POD_CREATION_POLICY) return undefined;
  const { variables } = (policy.spec ?? {}) as { variables?: unknown };
  if (!Array.isArray(variables)) return undefined;
  const variable = variables.find((candidate) => candidate?.name === 'controllers');
  const list = typeof variable?.expression === 'string' ? ACCOUNTS.exec(variable.expression)?.[1] : undefined;
  return list?.split(',');
}

/**
 * Accounts that the server acts for and the policy does not know: the API server would refuse the pods that the webhook
 * gates for them, and their workflows would break.
 */
export function unknownToPolicy(policy: KubeObject, controllerAccounts: readonly string[]): readonly string[] {
  const known = controllersInPolicy(policy);
  return known === undefined ? [] : controllerAccounts.filter((account) => !known.includes(account));
}
