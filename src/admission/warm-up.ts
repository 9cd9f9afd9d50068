import {
  ARGO_API_VERSION,
  INIT_CONTAINER,
  MAIN_CONTAINER,
  NODE_ID_ANNOTATION,
  NODE_ID_ENV,
  NODE_NAME_ANNOTATION,
  TEMPLATE_ENV,
  WORKFLOW_LABEL,
} from '../argo/names.ts';
import { judgeSubmission } from '../policy/judge-submission.ts';
import { DEFAULT_POLICY } from '../policy/settings.ts';
import { judgePod } from '../step/decide-pod.ts';
import type { DecisionSettings, KnownCluster } from '../step/known-cluster.ts';

/** The first decisions compile schemas and code, for longer than the API server should wait: they are made before anyone asks. */
export function warmUp(cluster: KnownCluster, settings: DecisionSettings): void {
  warmUpPods(cluster, settings);
  for (let round = 0; round < POLICY_ROUNDS; round++) warmUpPolicy(settings.controllerNamespace);
}

// Enough for V8 to compile what judges one of the thousands of templates that a large Workflow may have.
const POLICY_ROUNDS = 5;
const POLICY_TEMPLATES = 500;

function warmUpPolicy(controllerNamespace: string): void {
  const templates = Array.from({ length: POLICY_TEMPLATES }, (_, index) => ({
    name: `warm-up-${index}`,
    inputs: { parameters: [{ name: 'x' }] },
    memoize: { key: '{{inputs.parameters.x}}', maxAge: '1h', cache: { configMap: { name: 'warm-up' } } },
    container: { image: 'warm-up:1' },
  }));
  const object = { kind: 'Workflow', metadata: { name: 'warm-up' }, spec: { entrypoint: 'warm-up-0', templates } };
  const submission = { object, operation: 'CREATE', requester: '', controllerAccounts: [] };
  judgeSubmission(submission, {
    mode: 'managed',
    namespace: 'warm-up',
    controllerNamespace,
    argoVersion: 'unknown',
    settings: DEFAULT_POLICY,
    lookUpTemplate: () => undefined,
    areTemplatesStored: false,
    cacheLabel: () => 'labeled',
  });
}

function warmUpPods(cluster: KnownCluster, settings: DecisionSettings): void {
  const owner = { apiVersion: ARGO_API_VERSION, kind: 'Workflow', name: 'warm-up', uid: 'warm-up', controller: true };
  const template = JSON.stringify({ name: 'warm-up', container: {}, memoize: { key: 'k' } });
  const env = [
    { name: TEMPLATE_ENV, value: template },
    { name: NODE_ID_ENV, value: 'warm-up' },
  ];
  const pod = {
    metadata: {
      name: 'warm-up',
      namespace: 'warm-up',
      labels: { [WORKFLOW_LABEL]: 'warm-up' },
      annotations: { [NODE_ID_ANNOTATION]: 'warm-up', [NODE_NAME_ANNOTATION]: 'warm-up' },
      ownerReferences: [owner],
    },
    spec: { initContainers: [{ name: INIT_CONTAINER, env }], containers: [{ name: MAIN_CONTAINER }] },
  };
  const enabled = {
    ...cluster,
    namespace: () =>
      ({ isEnabled: true, memoize: 'native', capture: 'sidecar', lookAhead: 'on', operation: 'on' }) as const,
  };
  judgePod({ pod, creator: settings.controllerAccounts[0] ?? '', cluster: enabled, settings, now: new Date() });
}
