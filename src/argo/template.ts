import { z } from 'zod';
import { asObject, type JsonObject, objectsOf } from '../base/json.ts';
import type { KubeObject } from '../kube/types.ts';
import { INIT_CONTAINER, MAIN_CONTAINER, SUPERVISOR_CONTAINER, TEMPLATE_ENV, TEMPLATE_OFFLOADED } from './names.ts';
import { outputsSchema } from './outputs.ts';
import { containersOf, initContainersOf, type PodContainer, readEnv } from './pod.ts';

/**
 * `memoize` as a template carries it, substituted. `cache` and `configMap` may be missing in what the minimal CRDs admit.
 */
export const memoizeSchema = z.looseObject({
  key: z.string().nullish(),
  maxAge: z.string().nullish(),
  cache: z.looseObject({ configMap: z.looseObject({ name: z.string().nullish() }).nullish() }).nullish(),
});
export type Memoize = z.infer<typeof memoizeSchema>;

/** A processed template (ARGO_TEMPLATE), the parts that stepmemo reads. */
export const templateSchema = z.looseObject({
  name: z.string().nullish(),
  outputs: outputsSchema.nullish(),
  metadata: z
    .looseObject({
      annotations: z.record(z.string(), z.string()).nullish(),
      labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  memoize: memoizeSchema.nullish(),
  daemon: z.boolean().nullish(),
  timeout: z.string().nullish(),
  container: z.looseObject({}).nullish(),
  script: z.looseObject({}).nullish(),
  containerSet: z.looseObject({ containers: z.array(z.looseObject({ name: z.string() })) }).nullish(),
  resource: z.looseObject({ action: z.string().nullish() }).nullish(),
  data: z.looseObject({}).nullish(),
  archiveLocation: z.looseObject({ archiveLogs: z.boolean().nullish() }).nullish(),
});
export type Template = z.infer<typeof templateSchema>;

/** The body of the template: decides how outputs come about and whether a hit is possible. */
export const STEP_KINDS = ['container', 'script', 'containerSet', 'resource', 'data'] as const;
export type StepKind = (typeof STEP_KINDS)[number];

/** A template that makes a pod, with its kind. */
export interface StepTemplate {
  readonly template: Template;
  readonly kind: StepKind;
}

/** The template as far as it can be read from the pod alone. */
export type TemplateReading =
  | ({ readonly state: 'inline' } & StepTemplate)
  | { readonly state: 'offloaded' }
  | { readonly state: 'unreadable'; readonly detail: string };

/**
 * Reads the text of a template: the value of ARGO_TEMPLATE, or of the ConfigMap that holds an offloaded one.
 * A template has exactly one body; steps, dag, suspend, http and plugin make no pod of their own.
 */
export function parseTemplate(text: string): TemplateReading {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { state: 'unreadable', detail: `${TEMPLATE_ENV} is not JSON` };
  }
  const parsed = templateSchema.safeParse(json);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    return { state: 'unreadable', detail: `${TEMPLATE_ENV} is not a template${where === '' ? '' : ` (at ${where})`}` };
  }
  const template = parsed.data;
  const kinds = STEP_KINDS.filter((kind) => template[kind] !== undefined && template[kind] !== null);
  const kind = kinds[0];
  if (kind === undefined || kinds.length > 1) {
    return {
      state: 'unreadable',
      detail: `${TEMPLATE_ENV} has ${kinds.length} of the bodies that make a pod, expected one`,
    };
  }
  return { state: 'inline', template, kind };
}

/**
 * Reads ARGO_TEMPLATE from the pod. Where it stands depends on the version (workflow/controller/workflowpod.go):
 * 3.4 and 3.5 on every container, 3.6 and later on the init containers (the user's too), in the init-less layout of 4.1 on
 * `supervisor` and the user's init containers, and on `main` where there is no supervisor. A podSpecPatch may alter it on
 * the user's containers, so Argo's own come first.
 */
export function readTemplate(pod: KubeObject): TemplateReading {
  const inits = initContainersOf(pod);
  const containers = containersOf(pod);
  const named = (list: readonly PodContainer[], name: string) => list.filter((container) => container.name === name);
  const inOrder = [
    ...named(inits, INIT_CONTAINER),
    ...named(containers, SUPERVISOR_CONTAINER),
    ...named(containers, MAIN_CONTAINER),
    ...inits,
    ...containers,
  ];
  for (const container of inOrder) {
    const reading = readEnv(container, TEMPLATE_ENV);
    if (reading.state === 'absent') continue;
    if (reading.state === 'unclear') {
      return { state: 'unreadable', detail: `${TEMPLATE_ENV} of container ${container.name} is no plain value` };
    }
    return reading.value === TEMPLATE_OFFLOADED ? { state: 'offloaded' } : parseTemplate(reading.value);
  }
  return { state: 'unreadable', detail: `no container has ${TEMPLATE_ENV}` };
}

/** Names of the containers that run the user's work: `main`, or the members of a containerSet. */
export function mainContainerNames({ template, kind }: StepTemplate): readonly string[] {
  if (kind !== 'containerSet') return [MAIN_CONTAINER];
  return (template.containerSet?.containers ?? []).map((container) => container.name);
}

/**
 * The volume mounts of the template's body (pkg/apis/workflow/v1alpha1: Template.GetVolumeMounts): outputs that lie in one
 * of them are not copied to /var/run/argo.
 */
export function templateVolumeMounts({ template, kind }: StepTemplate): readonly JsonObject[] {
  if (kind === 'resource' || kind === 'data') return [];
  return objectsOf(asObject(template[kind]).volumeMounts);
}

/**
 * The deepest of the mounts that a path lies in (workflow/common/util.go:FindOverlappingVolume).
 */
export function findOverlappingMount(mounts: readonly JsonObject[], path: string): JsonObject | undefined {
  let best: JsonObject | undefined;
  let bestLength = -1;
  for (const mount of mounts) {
    const mountPath = typeof mount.mountPath === 'string' ? mount.mountPath.replace(/\/+$/, '') : undefined;
    if (mountPath === undefined || mountPath.length <= bestLength) continue;
    if (path === mountPath || path.startsWith(`${mountPath}/`)) {
      best = mount;
      bestLength = mountPath.length;
    }
  }
  return best;
}
