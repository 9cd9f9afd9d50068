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
import { judgePod } from '../core/judge-pod.ts';
import type { ClusterView, DecisionSettings } from '../core/view.ts';

/** The first decision compiles the schemas, which takes longer than the API server should wait: it is made before anyone asks. */
export function warmUp(view: ClusterView, settings: DecisionSettings): void {
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
  const enabled = { ...view, namespace: () => ({ isEnabled: true, memoize: 'native', capture: 'sidecar' }) as const };
  judgePod({ pod, creator: settings.controllerAccounts[0] ?? '', view: enabled, settings, now: new Date() });
}
