import { asObject, asString, type JsonObject, objectsOf, ownString } from '../base/json.ts';
import type { KubeObject } from '../kube/types.ts';

/** One container of a pod, as far as stepmemo reads it. */
export interface PodContainer {
  readonly name: string;
  readonly raw: JsonObject;
}

function readContainers(value: unknown): readonly PodContainer[] {
  return objectsOf(value).map((raw) => ({ name: asString(raw.name) ?? '', raw }));
}

export function podSpec(pod: KubeObject): JsonObject {
  return asObject(pod.spec);
}

export function containersOf(pod: KubeObject): readonly PodContainer[] {
  return readContainers(podSpec(pod).containers);
}

export function initContainersOf(pod: KubeObject): readonly PodContainer[] {
  return readContainers(podSpec(pod).initContainers);
}

export function annotationOf(pod: KubeObject, name: string): string | undefined {
  return ownString(asObject(pod.metadata).annotations, name);
}

export function labelOf(pod: KubeObject, name: string): string | undefined {
  return ownString(asObject(pod.metadata).labels, name);
}

/** A variable of a container's environment. `unclear`: set by reference, or twice with different values. */
export type EnvReading =
  | { readonly state: 'absent' }
  | { readonly state: 'value'; readonly value: string }
  | { readonly state: 'unclear' };

/**
 * Argo sets each of its variables once, with a plain value; an absent `value` is the empty string. Of two entries with the
 * same name the C library takes the first and others the last, so a pair that differs is not trusted either way.
 */
export function readEnv(container: PodContainer, name: string): EnvReading {
  let value: string | undefined;
  for (const entry of objectsOf(container.raw.env)) {
    if (entry.name !== name) continue;
    const current = entry.valueFrom === undefined ? (asString(entry.value) ?? '') : undefined;
    if (current === undefined || (value !== undefined && value !== current)) return { state: 'unclear' };
    value = current;
  }
  return value === undefined ? { state: 'absent' } : { state: 'value', value };
}
