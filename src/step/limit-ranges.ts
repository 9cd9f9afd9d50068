import { containersOf, initContainersOf } from '../argo/pod.ts';
import { asObject } from '../base/json.ts';
import { formatBytes, formatCpu, parseQuantity } from '../base/quantity.ts';
import type { KubeObject } from '../kube/types.ts';
import type { LimitRangeItem, SidecarSettings } from './known-cluster.ts';

/** Requests and limits of the injected container. */
export interface Resources {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

/** Amounts of one resource, in cores or bytes. */
interface Amounts {
  request: number;
  limit: number;
}

/** Below this the sidecar would start so late that it held the pod's end up, or be killed before it has started. */
const LEAST_CPU_CORES = 0.1;

/** What is asked for where a LimitRange speaks of ephemeral storage: the sidecar writes nothing but a few lines of log. */
const EPHEMERAL_STORAGE_BYTES = 16 * 1024 * 1024;

const KNOWN_RESOURCES = ['cpu', 'memory', 'ephemeral-storage'] as const;
type ResourceName = (typeof KNOWN_RESOURCES)[number];

type Bound = 'min' | 'max' | 'maxLimitRequestRatio';

/** The strictest of a bound over the items; NaN where one cannot be read. */
function boundOf(items: readonly LimitRangeItem[], bound: Bound, resource: string): number | undefined {
  const values = items
    .map((item) => item[bound]?.[resource])
    .filter((text) => text !== undefined)
    .map((text) => parseQuantity(text) ?? Number.NaN);
  if (values.length === 0) return undefined;
  return bound === 'min' ? Math.max(...values) : Math.min(...values);
}

function boundedResources(items: readonly LimitRangeItem[]): ReadonlySet<string> {
  const maps = items.flatMap((item) => [item.min, item.max, item.maxLimitRequestRatio]);
  return new Set(maps.flatMap((map) => Object.keys(map ?? {})));
}

/** Sum of the limits of all containers that run side by side (component-helpers/resource:PodLimits). */
function podLimit(pod: KubeObject, resource: string): number {
  const sideBySide = [
    ...containersOf(pod),
    ...initContainersOf(pod).filter(({ raw }) => raw.restartPolicy === 'Always'),
  ];
  return sideBySide
    .map(({ raw }) => parseQuantity(asObject(asObject(raw.resources).limits)[resource]) ?? 0)
    .reduce((total, limit) => total + limit, 0);
}

function startAmounts(settings: SidecarSettings, resource: ResourceName): Amounts | undefined {
  if (resource === 'ephemeral-storage') return { request: EPHEMERAL_STORAGE_BYTES, limit: EPHEMERAL_STORAGE_BYTES };
  const request = parseQuantity(settings.requests[resource]);
  const limit = parseQuantity(settings.limits[resource]);
  return request === undefined || limit === undefined ? undefined : { request, limit };
}

/** The least limit with which the sidecar is worth starting. */
function leastLimit(start: Amounts, resource: ResourceName): number {
  if (resource === 'cpu') return Math.min(LEAST_CPU_CORES, start.limit);
  return resource === 'memory' ? start.request : 0;
}

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly ratio: number;
}

/** Moves the amounts as little as the bounds demand; undefined where nothing satisfies them. */
function adjust(start: Amounts, bounds: Bounds, least: number): Amounts | undefined {
  if ([bounds.min, bounds.max, bounds.ratio].some(Number.isNaN)) return undefined;
  const limit = Math.min(Math.max(start.limit, bounds.min), bounds.max);
  const request = Math.min(Math.max(start.request, bounds.min, limit / bounds.ratio), limit);
  const isFit =
    limit >= least && limit >= bounds.min && request >= bounds.min && limit <= request * bounds.ratio * (1 + 1e-9);
  return isFit ? { request, limit } : undefined;
}

function readBounds(pod: KubeObject, items: readonly LimitRangeItem[], resource: string): Bounds {
  const ofContainer = items.filter((item) => item.type === 'Container');
  const ofPod = items.filter((item) => item.type === 'Pod');
  const podMax = boundOf(ofPod, 'max', resource);
  const left = podMax === undefined ? Number.POSITIVE_INFINITY : podMax - podLimit(pod, resource);
  return {
    min: boundOf(ofContainer, 'min', resource) ?? 0,
    max: Math.min(boundOf(ofContainer, 'max', resource) ?? Number.POSITIVE_INFINITY, left),
    ratio: Math.min(
      boundOf(ofContainer, 'maxLimitRequestRatio', resource) ?? Number.POSITIVE_INFINITY,
      // The pod keeps its ratio when what is added keeps it.
      boundOf(ofPod, 'maxLimitRequestRatio', resource) ?? Number.POSITIVE_INFINITY,
    ),
  };
}

/** A text for an amount: as configured or as the LimitRange has it where one of those it is. */
function write(resource: ResourceName, amount: number, texts: readonly (string | undefined)[]): string {
  const known = texts.find((text) => text !== undefined && parseQuantity(text) === amount);
  return known ?? (resource === 'cpu' ? formatCpu(amount) : formatBytes(amount));
}

/**
 * Requests and limits for the injected container that the namespace's LimitRanges admit
 * (plugin/pkg/admission/limitranger): items of type Container bound each container, items of type Pod the sum over the
 * pod. A pod that breaks one is refused with a 403, which is an Error node, so where nothing fits the step does without
 * a sidecar (undefined). `pod` is without our container.
 */
export function fitLimitRanges(
  pod: KubeObject,
  settings: SidecarSettings,
  items: readonly LimitRangeItem[],
): Resources | undefined {
  const relevant = items.filter((item) => item.type === 'Container' || item.type === 'Pod');
  const bounded = boundedResources(relevant.filter((item) => item.type === 'Container'));
  if ([...bounded].some((resource) => !KNOWN_RESOURCES.some((known) => known === resource))) return undefined;
  const requests: Record<string, string> = {};
  const limits: Record<string, string> = {};
  for (const resource of KNOWN_RESOURCES) {
    if (resource === 'ephemeral-storage' && !bounded.has(resource)) continue;
    const start = startAmounts(settings, resource);
    if (start === undefined) return undefined;
    const amounts = adjust(start, readBounds(pod, relevant, resource), leastLimit(start, resource));
    if (amounts === undefined) return undefined;
    const texts = resource === 'ephemeral-storage' ? [] : [settings.requests[resource], settings.limits[resource]];
    const fromItems = relevant.flatMap((item) => [item.min?.[resource], item.max?.[resource]]);
    requests[resource] = write(resource, amounts.request, [...texts, ...fromItems]);
    limits[resource] = write(resource, amounts.limit, [...texts, ...fromItems]);
  }
  return { requests, limits };
}
