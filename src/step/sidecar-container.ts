import {
  MAIN_CONTAINER,
  SUPERVISOR_CONTAINER,
  VAR_RUN_ARGO_PATH,
  VAR_RUN_ARGO_VOLUME,
  WAIT_CONTAINER,
} from '../argo/names.ts';
import { containersOf, initContainersOf, type PodContainer, podSpec } from '../argo/pod.ts';
import type { Step } from '../argo/step.ts';
import { findOverlappingMount, type StepTemplate, templateVolumeMounts } from '../argo/template.ts';
import { asArray, asObject, asString, type JsonObject, objectsOf } from '../base/json.ts';
import { CAPTURE_AUDIENCE, CAPTURE_CONTAINER, CAPTURE_TOKEN_VOLUME } from '../base/names.ts';
import { isSameQuantity, parseQuantity } from '../base/quantity.ts';
import type { KubeObject } from '../kube/types.ts';
import {
  SIDECAR_COMMAND,
  SIDECAR_ENV,
  SIDECAR_MOUNTS_DIRECTORY,
  SIDECAR_TOKEN_DIRECTORY,
  SIDECAR_TOKEN_FILE,
  TERMINATION_LOG_PATH,
} from '../sidecar/command.ts';
import type { LimitRangeItem, SidecarSettings } from './known-cluster.ts';
import { fitLimitRanges, type Resources } from './limit-ranges.ts';

/** The user that the sidecar runs as where the pod says root; the image's own. */
const SIDECAR_USER = 65532;

/** Where the ServiceAccount admission plugin mounts the workflow's own token, into every container that has nothing there. */
const DEFAULT_TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

const TOKEN_LIFETIME_SECONDS = 3600;

/** What is added to the pod of a miss. */
export interface SidecarParts {
  readonly container: JsonObject;
  readonly volume: JsonObject;
}

export type SidecarPlan =
  | { readonly ok: true; readonly parts: SidecarParts }
  | { readonly ok: false; readonly message: string };

function no(message: string): { ok: false; message: string } {
  return { ok: false, message };
}

/** Whether a container of that name is one that stepmemo injected, now or with an older configuration. */
export function isOwnContainer(container: PodContainer): boolean {
  if (container.name !== CAPTURE_CONTAINER) return false;
  return objectsOf(container.raw.env).some((entry) => entry.name === SIDECAR_ENV.url);
}

/** Whether a volume of that name is the projected token that stepmemo injects. */
export function isOwnVolume(volume: JsonObject): boolean {
  if (volume.name !== CAPTURE_TOKEN_VOLUME) return false;
  const sources = objectsOf(asObject(volume.projected).sources);
  return sources.some((source) => asObject(source.serviceAccountToken).audience === CAPTURE_AUDIENCE);
}

/** The pod as it was before stepmemo added anything to it. */
export function withoutSidecar(pod: KubeObject): KubeObject {
  const spec = podSpec(pod);
  const containers = asArray(spec.containers).filter(
    (raw) => !isOwnContainer({ name: asString(asObject(raw).name) ?? '', raw: asObject(raw) }),
  );
  return { ...pod, spec: { ...spec, containers } };
}

/** What keeps a sidecar out of this pod, whatever the cluster says. */
function findObstacle(pod: KubeObject): string | undefined {
  const spec = podSpec(pod);
  const others = containersOf(pod);
  if (others.some(({ name }) => name === CAPTURE_CONTAINER))
    return `the pod has a container ${CAPTURE_CONTAINER} already`;
  const volumes = objectsOf(spec.volumes);
  if (volumes.some((volume) => volume.name === CAPTURE_TOKEN_VOLUME && !isOwnVolume(volume))) {
    return `the pod has a volume ${CAPTURE_TOKEN_VOLUME} already`;
  }
  const sharesFiles = others.some(({ raw }) =>
    objectsOf(raw.volumeMounts).some(
      (mount) => mount.name === VAR_RUN_ARGO_VOLUME && mount.mountPath === VAR_RUN_ARGO_PATH,
    ),
  );
  if (!volumes.some((volume) => volume.name === VAR_RUN_ARGO_VOLUME) || !sharesFiles) {
    return `the pod has no volume ${VAR_RUN_ARGO_VOLUME}`;
  }
  if (!others.some(({ name }) => name === WAIT_CONTAINER || name === SUPERVISOR_CONTAINER)) {
    return `the pod has no container ${WAIT_CONTAINER} or ${SUPERVISOR_CONTAINER}`;
  }
  // The containers together must stay within what the pod asks for as a whole, and the pod was made without ours.
  if (spec.resources !== undefined) return 'the pod has resources of its own (spec.resources)';
  return mayPinCpus(pod) ? 'the pod may hold CPUs of its own, which one more container would cost it' : undefined;
}

/**
 * Whether the kubelet may give the pod CPUs of its own: QoS class Guaranteed (component-helpers/qos), and a container that
 * asks for whole ones (pkg/kubelet/cm/cpumanager:policy_static). The sidecar's requests are below its limits, so the pod
 * would become Burstable. Where nothing depends on it, the class makes no difference that would be worth a weaker capture.
 */
function mayPinCpus(pod: KubeObject): boolean {
  const containers = [...initContainersOf(pod), ...containersOf(pod)].map(({ raw }) => asObject(raw.resources));
  const isGuaranteed = containers.every((resources) => {
    const requests = asObject(resources.requests);
    const limits = asObject(resources.limits);
    return ['cpu', 'memory'].every((name) => isSameQuantity(requests[name] ?? limits[name], limits[name] ?? null));
  });
  return isGuaranteed && containers.some(({ limits }) => Number.isInteger(parseQuantity(asObject(limits).cpu)));
}

/**
 * Main's mounts that declared output parameters lie in: Argo does not copy those outputs to /var/run/argo
 * (cmd/argoexec/commands/emissary.go:saveParameter), so the sidecar reads them below /mainctrfs as `wait` does. Of an
 * offloaded template nothing is known: no mount is added, and such a value comes from the task result alone.
 */
function findMounts(pod: KubeObject, template: StepTemplate | undefined): readonly JsonObject[] | string {
  if (template === undefined) return [];
  const declared = templateVolumeMounts(template);
  const main = containersOf(pod).find(({ name }) => name === MAIN_CONTAINER);
  const mounts = new Map<string, JsonObject>();
  for (const parameter of template.template.outputs?.parameters ?? []) {
    const path = parameter.valueFrom?.path;
    if (path === undefined || findOverlappingMount(declared, path) === undefined) continue;
    const mount = findOverlappingMount(objectsOf(main?.raw.volumeMounts), path);
    if (mount === undefined) return `output ${parameter.name} lies in a mount that main does not have`;
    if (mount.subPathExpr !== undefined) return `output ${parameter.name} lies in a mount with subPathExpr`;
    mounts.set(String(mount.mountPath), mount);
  }
  const paths = [...mounts.keys()].map((path) => `${path.replace(/\/+$/, '')}/`);
  const isNested = paths.some((path) => paths.some((other) => other !== path && path.startsWith(other)));
  return isNested ? 'outputs lie in mounts within each other' : [...mounts.values()];
}

function mirrorMount(mount: JsonObject): JsonObject {
  const path = String(mount.mountPath).replace(/^\/*/, '').replace(/\/+$/, '');
  const subPath = asString(mount.subPath);
  return {
    name: mount.name,
    mountPath: path === '' ? SIDECAR_MOUNTS_DIRECTORY : `${SIDECAR_MOUNTS_DIRECTORY}/${path}`,
    ...(subPath === undefined ? {} : { subPath }),
    readOnly: true,
  };
}

/**
 * Passes in a namespace that enforces the `restricted` Pod Security Standard when the pod itself does. The user comes from
 * the pod or the image, so that files which only the pod's user may read can be read, but for root.
 */
function buildSecurityContext(pod: KubeObject): JsonObject {
  const isRoot = asObject(podSpec(pod).securityContext).runAsUser === 0;
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    ...(isRoot ? { runAsUser: SIDECAR_USER } : {}),
    seccompProfile: { type: 'RuntimeDefault' },
  };
}

interface Parts {
  readonly pod: KubeObject;
  readonly step: Step;
  readonly settings: SidecarSettings;
  readonly resources: Resources;
  readonly mounts: readonly JsonObject[];
}

function buildContainer({ pod, step, settings, resources, mounts }: Parts): JsonObject {
  return {
    name: CAPTURE_CONTAINER,
    image: settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    command: [...SIDECAR_COMMAND],
    env: [
      { name: SIDECAR_ENV.url, value: settings.captureUrl },
      { name: SIDECAR_ENV.ca, value: settings.caBundle },
      ...(step.needsResult ? [{ name: SIDECAR_ENV.needsResult, value: 'true' }] : []),
    ],
    resources: { requests: { ...resources.requests }, limits: { ...resources.limits } },
    volumeMounts: [
      { name: VAR_RUN_ARGO_VOLUME, mountPath: VAR_RUN_ARGO_PATH, readOnly: true },
      { name: CAPTURE_TOKEN_VOLUME, mountPath: SIDECAR_TOKEN_DIRECTORY, readOnly: true },
      // Keeps the workflow's own token out: the admission plugin leaves a path alone where something is mounted.
      { name: CAPTURE_TOKEN_VOLUME, mountPath: DEFAULT_TOKEN_PATH, readOnly: true },
      ...mounts.map(mirrorMount),
    ],
    securityContext: buildSecurityContext(pod),
    terminationMessagePath: TERMINATION_LOG_PATH,
    terminationMessagePolicy: 'File',
  };
}

/**
 * A token for stepmemo's audience alone. 0444, for the sidecar's user is not known here: the kubelet keeps that mode
 * unless the pod has an fsGroup, or one runAsUser for all containers, and then the sidecar is of that group or user
 * (pkg/volume/projected/projected.go:collectData, pkg/volume/util:FsUserFrom).
 */
function buildVolume(): JsonObject {
  return {
    name: CAPTURE_TOKEN_VOLUME,
    projected: {
      sources: [
        {
          serviceAccountToken: {
            audience: CAPTURE_AUDIENCE,
            expirationSeconds: TOKEN_LIFETIME_SECONDS,
            path: SIDECAR_TOKEN_FILE,
          },
        },
      ],
      defaultMode: 0o444,
    },
  };
}

/**
 * The container and the volume that capture this step's outputs, or the reason why the pod is better left without them:
 * what is injected must neither get the pod refused nor change how it runs.
 */
export function planSidecar(
  pod: KubeObject,
  step: Step,
  settings: SidecarSettings,
  limitRanges: readonly LimitRangeItem[],
): SidecarPlan {
  const bare = withoutSidecar(pod);
  const obstacle = findObstacle(bare);
  if (obstacle !== undefined) return no(obstacle);
  const mounts = findMounts(bare, step.template.state === 'inline' ? step.template : undefined);
  if (typeof mounts === 'string') return no(mounts);
  const resources = fitLimitRanges(bare, settings, limitRanges);
  if (resources === undefined) return no('no resources of the sidecar satisfy the LimitRanges of the namespace');
  return {
    ok: true,
    parts: { container: buildContainer({ pod: bare, step, settings, resources, mounts }), volume: buildVolume() },
  };
}
