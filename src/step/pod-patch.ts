import { podSpec } from '../argo/pod.ts';
import { asArray, asObject, asString, isObject, type JsonObject } from '../base/json.ts';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import {
  CACHE_ANNOTATION,
  CAPTURE_TOKEN_VOLUME,
  DECISION_ANNOTATION,
  DECISION_ANNOTATIONS,
  HIT_GATE,
  KEY_ANNOTATION,
  MAX_AGE_ANNOTATION,
  MISS_GATE,
  REASON_ANNOTATION,
} from '../base/names.ts';
import type { Reason } from '../base/reasons.ts';
import type { KubeObject } from '../kube/types.ts';
import { FOREIGN_SKIPS, type PodDecision } from './decision.ts';
import { coversContainer, coversJson } from './equal-pods.ts';
import { isOwnContainer, isOwnVolume, type SidecarParts } from './sidecar-container.ts';

const OWN_GATES: readonly string[] = [HIT_GATE, MISS_GATE];

/** What the pod is to be, as far as it is stepmemo's: everything else stays as it is. */
interface DesiredState {
  /** Annotations that stand exactly so; those of DECISION_ANNOTATIONS that are missing here are removed. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Annotations that are added where the pod has none of that name. */
  readonly defaults: Readonly<Record<string, string>>;
  readonly gate: string | undefined;
  /** `keep`: containers and volumes are not looked at. */
  readonly sidecar: 'keep' | 'none' | SidecarParts;
}

/** The settings that were in force, for whoever reads the pod: in native mode the pod itself has no such annotations. */
function effectiveSettings(decision: Exclude<PodDecision, { decision: 'skip' }>): Record<string, string> {
  const { key, cache, maxAge } = decision.memoization;
  return {
    [KEY_ANNOTATION]: key,
    [CACHE_ANNOTATION]: cache,
    ...(maxAge === undefined ? {} : { [MAX_AGE_ANNOTATION]: maxAge }),
  };
}

/** Whoever only observes changes nothing. Of other pods than a controller's the admission policies would refuse it. */
const UNSTAMPED: ReadonlySet<Reason> = new Set<Reason>([
  ...FOREIGN_SKIPS,
  'observed-hit',
  'observed-miss',
  'switched-off',
]);

/** The reason alone: nothing was decided that anybody has to carry out. */
function whyNot(reason: Reason): Readonly<Record<string, string>> {
  return UNSTAMPED.has(reason) ? {} : { [REASON_ANNOTATION]: reason };
}

function desire(decision: PodDecision): DesiredState {
  if (decision.decision === 'skip')
    return { annotations: whyNot(decision.reason), defaults: {}, gate: undefined, sidecar: 'keep' };
  const annotations = { [DECISION_ANNOTATION]: decision.decision, [REASON_ANNOTATION]: decision.reason };
  const defaults = effectiveSettings(decision);
  if (decision.decision === 'hit') return { annotations, defaults, gate: HIT_GATE, sidecar: 'none' };
  const { capture } = decision;
  return { annotations, defaults, gate: undefined, sidecar: capture.way === 'sidecar' ? capture.sidecar : 'none' };
}

/** A list of operations on one map: the map itself is only made when there is none. */
function patchAnnotations(pod: KubeObject, desired: DesiredState): readonly JsonPatchOperation[] {
  const metadata = asObject(pod.metadata);
  const existing = metadata.annotations;
  const current = asObject(existing);
  const wanted = { ...desired.annotations };
  for (const [name, value] of Object.entries(desired.defaults)) {
    if (!Object.hasOwn(current, name)) wanted[name] = value;
  }
  const additions = Object.entries(wanted).filter(([name, value]) => current[name] !== value);
  const removals = DECISION_ANNOTATIONS.filter((name) => Object.hasOwn(current, name) && !Object.hasOwn(wanted, name));
  if (!isObject(existing)) {
    if (additions.length === 0) return [];
    return [{ op: 'add', path: pointer('metadata', 'annotations'), value: Object.fromEntries(additions) }];
  }
  return [
    ...removals.map((name) => ({ op: 'remove' as const, path: pointer('metadata', 'annotations', name) })),
    ...additions.map(([name, value]) => ({
      op: Object.hasOwn(current, name) ? ('replace' as const) : ('add' as const),
      path: pointer('metadata', 'annotations', name),
      value,
    })),
  ];
}

function gateName(gate: unknown): string | undefined {
  return asString(asObject(gate).name);
}

/** Positions to remove, from the end, so that each removal leaves the earlier ones where they are. */
function removeAt(path: readonly string[], indexes: readonly number[]): readonly JsonPatchOperation[] {
  return [...indexes].sort((a, b) => b - a).map((index) => ({ op: 'remove', path: pointer(...path, index) }));
}

function patchGates(pod: KubeObject, desired: DesiredState): readonly JsonPatchOperation[] {
  const path = ['spec', 'schedulingGates'];
  const existing = podSpec(pod).schedulingGates;
  if (!Array.isArray(existing)) {
    return desired.gate === undefined ? [] : [{ op: 'add', path: pointer(...path), value: [{ name: desired.gate }] }];
  }
  const keptAt = existing.findIndex((gate) => gateName(gate) === desired.gate);
  const surplus = existing.flatMap((gate, index) =>
    OWN_GATES.includes(gateName(gate) ?? '') && index !== keptAt ? [index] : [],
  );
  const isAdded = desired.gate !== undefined && keptAt === -1;
  if (surplus.length > 0 && surplus.length === existing.length && !isAdded) {
    return [{ op: 'remove', path: pointer(...path) }];
  }
  return [
    ...removeAt(path, surplus),
    ...(isAdded ? [{ op: 'add' as const, path: pointer(...path, '-'), value: { name: desired.gate } }] : []),
  ];
}

/** One element of ours in a list of the spec: put there, made right in its place, or taken away. */
function patchElement(
  list: unknown,
  path: readonly string[],
  own: (element: JsonObject) => boolean,
  wanted: { readonly value: JsonObject; readonly isMet: (element: JsonObject) => boolean } | undefined,
): readonly JsonPatchOperation[] {
  if (!Array.isArray(list)) {
    return wanted === undefined ? [] : [{ op: 'add', path: pointer(...path), value: [wanted.value] }];
  }
  const found = asArray(list).flatMap((element, index) =>
    isObject(element) && own(element) ? [{ element, index }] : [],
  );
  const [first, ...others] = wanted === undefined ? [undefined, ...found] : found;
  const surplus = others.flatMap((item) => (item === undefined ? [] : [item.index]));
  const removals = removeAt(path, surplus);
  if (wanted === undefined) return removals;
  if (first === undefined) return [...removals, { op: 'add', path: pointer(...path, '-'), value: wanted.value }];
  if (wanted.isMet(first.element)) return removals;
  return [...removals, { op: 'replace', path: pointer(...path, first.index), value: wanted.value }];
}

function patchSidecar(pod: KubeObject, { sidecar }: DesiredState): readonly JsonPatchOperation[] {
  if (sidecar === 'keep') return [];
  const spec = podSpec(pod);
  const parts = sidecar === 'none' ? undefined : sidecar;
  const isOwn = (raw: JsonObject): boolean => isOwnContainer({ name: asString(raw.name) ?? '', raw });
  return [
    ...patchElement(
      spec.containers,
      ['spec', 'containers'],
      isOwn,
      parts && { value: parts.container, isMet: (element) => coversContainer(element, parts.container) },
    ),
    ...patchElement(
      spec.volumes,
      ['spec', 'volumes'],
      (volume) => volume.name === CAPTURE_TOKEN_VOLUME && isOwnVolume(volume),
      parts && { value: parts.volume, isMet: (element) => coversJson(element, parts.volume) },
    ),
  ];
}

/**
 * The smallest JSON Patch from the pod as it is to the pod as decided. It states the goal, so it is empty for a pod
 * that is so already: a second pass, a duplicate review, a pod that the API server has filled with defaults. On every path
 * it removes decision annotations and gates that the pod brought along; a skip touches nothing else.
 */
export function buildPodPatch(pod: KubeObject, decision: PodDecision): JsonPatch {
  const desired = desire(decision);
  return [...patchAnnotations(pod, desired), ...patchGates(pod, desired), ...patchSidecar(pod, desired)];
}
