import type { EntryLookup } from '../../../src/cache/entry.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import type { DecisionSettings, KnownCluster, NamespaceSettings } from '../../../src/step/known-cluster.ts';

// Pods as each Argo version makes them (workflow/controller/workflowpod.go), for the tests of what reads them.

type Json = Record<string, unknown>;

/** The layouts of the step pod, oldest first; each stands for the versions up to the next one. */
export const LAYOUTS = ['3.4.17', '3.5.14', '3.6.10', '3.7.15', '4.0.5', '4.1.2', '4.1.2-initless'] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface PodOptions {
  readonly layout?: Layout;
  /** The template without its name; a plain container with one output parameter by default. */
  readonly template?: Json;
  readonly annotations?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly workflow?: string;
  readonly nodeId?: string;
  readonly namespace?: string;
  readonly needsResult?: boolean;
  readonly isOffloaded?: boolean;
  readonly userInitContainers?: readonly string[];
  readonly userSidecars?: readonly string[];
  /** Merged over the finished spec. */
  readonly spec?: Json;
}

export const CONTAINER: Json = { image: 'busybox', command: ['sh', '-c'], args: ['echo 1 > /tmp/out'], resources: {} };
export const OUT: Json = { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] };
export const PLAIN_TEMPLATE: Json = { inputs: {}, outputs: OUT, metadata: {}, container: CONTAINER };
export const MEMOIZE: Json = { key: 'k', maxAge: '1h', cache: { configMap: { name: 'cache' } } };
export const MANAGED: Record<string, string> = {
  'stepmemo.io/key': 'k',
  'stepmemo.io/cache': 'cache',
  'stepmemo.io/max-age': '1h',
};

const VAR_RUN_ARGO = { name: 'var-run-argo', mountPath: '/var/run/argo' };

function mainNames(template: Json): string[] {
  const set = template.containerSet as { containers: { name: string }[] } | undefined;
  return set === undefined ? ['main'] : set.containers.map(({ name }) => name);
}

function bodyOf(template: Json): Json {
  return (template.container ?? template.script ?? template.containerSet ?? {}) as Json;
}

type Metadata = Json & { labels: Record<string, string>; annotations: Record<string, string> };

function buildMetadata(options: PodOptions, workflow: string, nodeId: string): Metadata {
  return {
    name: nodeId === workflow ? workflow : nodeId.replace(`${workflow}-`, `${workflow}-main-`),
    namespace: options.namespace ?? 'team-a',
    labels: {
      'workflows.argoproj.io/workflow': workflow,
      'workflows.argoproj.io/completed': 'false',
      ...options.labels,
    },
    annotations: {
      'workflows.argoproj.io/node-id': nodeId,
      'workflows.argoproj.io/node-name': nodeId === workflow ? workflow : `${workflow}.step`,
      ...options.annotations,
    },
    ownerReferences: [
      { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: workflow, uid: 'wf-uid', controller: true },
    ],
  };
}

type MakeContainer = (name: string, image: string, hasTemplate: boolean, mounts?: unknown[]) => Json;

/** Every container that the controller makes: its environment differs by version and by container. */
function containerMaker(options: PodOptions, layout: Layout, nodeId: string): MakeContainer {
  const template = options.template ?? PLAIN_TEMPLATE;
  const text = options.isOffloaded === true ? 'offloaded' : JSON.stringify({ name: 'main', ...template });
  return (name, image, hasTemplate, mounts = []) => ({
    name,
    image,
    env: [
      { name: 'ARGO_CONTAINER_NAME', value: name },
      ...(hasTemplate || layout < '3.6' ? [{ name: 'ARGO_TEMPLATE', value: text }] : []),
      { name: 'ARGO_NODE_ID', value: nodeId },
      { name: 'ARGO_INCLUDE_SCRIPT_OUTPUT', value: String(options.needsResult === true) },
      ...(layout < '3.5' ? [] : [{ name: 'ARGO_WORKFLOW_UID', value: 'wf-uid' }]),
      ...(layout < '4.1' ? [] : [{ name: 'TRACEPARENT', value: '00-1-2-01' }]),
    ],
    resources: {},
    volumeMounts: [...mounts, VAR_RUN_ARGO],
  });
}

function buildContainers(options: PodOptions, layout: Layout, make: MakeContainer): Json {
  const template = options.template ?? PLAIN_TEMPLATE;
  const isInitless = layout.endsWith('-initless');
  const executor = `quay.io/argoproj/argoexec:v${layout.replace('-initless', '')}`;
  const runsAlone = template.resource !== undefined || template.data !== undefined;
  const mounts = ((bodyOf(template).volumeMounts ?? []) as Json[]).map((mount) => ({ ...mount }));
  const helper = runsAlone ? [] : [make(isInitless ? 'supervisor' : 'wait', executor, isInitless)];
  return {
    volumes: [
      { name: 'var-run-argo', emptyDir: {} },
      { name: 'tmp-dir-argo', emptyDir: {} },
      ...mounts.map(({ name }) => ({ name, emptyDir: {} })),
    ],
    initContainers: [
      ...(isInitless ? [] : [make('init', executor, true)]),
      ...(options.userInitContainers ?? []).map((name) => make(name, 'busybox', true)),
    ],
    containers: [
      ...helper,
      ...mainNames(template).map((name) => make(name, 'busybox', isInitless && runsAlone, mounts)),
      ...(options.userSidecars ?? []).map((name) => make(name, 'busybox', false)),
    ],
  };
}

export function buildPod(options: PodOptions = {}): KubeObject & { spec: Json; metadata: Metadata } {
  const { layout = '4.0.5', workflow = 'wf', nodeId = `${workflow}-123456` } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: buildMetadata(options, workflow, nodeId),
    spec: {
      restartPolicy: 'Never',
      ...buildContainers(options, layout, containerMaker(options, layout, nodeId)),
      ...options.spec,
    },
  };
}

export const SETTINGS: DecisionSettings = {
  controllerAccounts: ['system:serviceaccount:argo:argo'],
  controllerNamespace: 'argo',
  sidecar: {
    image: 'stepmemo:local',
    platforms: ['linux/amd64'],
    imagePullPolicy: 'IfNotPresent',
    captureUrl: 'https://stepmemo.stepmemo.svc:8444',
    caBundle: '-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n',
    requests: { cpu: '10m', memory: '64Mi' },
    limits: { cpu: '500m', memory: '128Mi' },
  },
};

export const CONTROLLER = 'system:serviceaccount:argo:argo';
export const NOW = new Date('2026-11-24T12:00:00Z');

export interface ClusterOptions extends Partial<Omit<KnownCluster, 'namespace' | 'lookUp'>> {
  readonly settings?: NamespaceSettings | undefined;
  readonly entry?: EntryLookup;
}

/** A cluster in which everything is in order, but for what is said. One entry serves every key. */
export function buildCluster(options: ClusterOptions = {}): KnownCluster {
  const { entry = { found: 'nothing' }, ...others } = options;
  const settings: NamespaceSettings | undefined =
    'settings' in options
      ? options.settings
      : { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' };
  return {
    isSynced: true,
    arePoliciesInstalled: true,
    isSidecarUsable: true,
    limitRanges: () => [],
    hasComputeQuota: () => false,
    ...others,
    namespace: () => settings,
    lookUp: () => entry,
  };
}

export const NATIVE: NamespaceSettings = {
  isEnabled: true,
  memoize: 'native',
  capture: 'sidecar',
  lookAhead: 'on',
  operation: 'on',
};

/** A fresh entry with the one output parameter of PLAIN_TEMPLATE. */
export function buildEntry(outputs: Json | null = { parameters: [{ name: 'out', value: '1' }] }): EntryLookup {
  return {
    found: 'entry',
    entry: { nodeID: 'old-1', outputs, creationTimestamp: '2026-11-24T11:59:46Z', lastHitTimestamp: null },
  } as EntryLookup;
}
