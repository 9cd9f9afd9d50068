/** What `stepmemo doctor` looks at, in the order in which it says so: the server, what surrounds it, Argo, the namespaces. */
import { checkArgo } from './checkup/argo.ts';
import type { Check } from './checkup/finding.ts';
import { checkGatedPods } from './checkup/held-pods.ts';
import { checkNamespaces } from './checkup/namespaces.ts';
import { checkPolicies } from './checkup/policies.ts';
import { checkRights } from './checkup/rights.ts';
import { checkLease, checkServer } from './checkup/server.ts';
import { checkCalls, checkWebhooks } from './checkup/webhooks.ts';

export const CHECKS: readonly Check[] = [
  checkServer,
  checkLease,
  checkWebhooks,
  checkCalls,
  checkPolicies,
  checkRights,
  checkArgo,
  checkNamespaces,
  checkGatedPods,
];
