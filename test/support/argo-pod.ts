/** Pods as each Argo version makes them (workflow/controller/workflowpod.go), for the tests of what reads them. */
import type { KubeObject } from '../../src/kube/types.ts';

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
  readonly workflowUid?: string;
  readonly nodeId?: string;
  /** By default the name that Argo gives it. */
  readonly name?: string;
  /** The image of Argo's own containers; by default the one of the layout. */
  readonly executor?: string;
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
    name: options.name ?? (nodeId === workflow ? workflow : nodeId.replace(`${workflow}-`, `${workflow}-main-`)),
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
      {
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Workflow',
        name: workflow,
        uid: options.workflowUid ?? 'wf-uid',
        controller: true,
      },
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
  const { executor = `quay.io/argoproj/argoexec:v${layout.replace('-initless', '')}` } = options;
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
