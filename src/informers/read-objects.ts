import { z } from 'zod';
import {
  CAPTURE_ANNOTATION,
  CAPTURE_WAYS,
  ENABLED_LABEL,
  LOOK_AHEAD_ANNOTATION,
  MEMOIZE_MODE_ANNOTATION,
  MEMOIZE_MODES,
  OPERATION_ANNOTATION,
  OPERATIONS,
} from '../base/names.ts';
import type { KubeObject } from '../kube/types.ts';
import type { LimitRangeItem, NamespaceSettings } from '../step/known-cluster.ts';

/** An annotation whose value says nothing; the default holds. */
export interface BadAnnotation {
  readonly annotation: string;
  readonly value: string;
  readonly expected: readonly string[];
}

/** The settings of a namespace, and what could not be read of them. */
export function readNamespace(namespace: KubeObject): { settings: NamespaceSettings; bad: readonly BadAnnotation[] } {
  const { labels = {}, annotations = {} } = namespace.metadata ?? {};
  const bad: BadAnnotation[] = [];
  function oneOf<T extends string>(annotation: string, expected: readonly [T, ...T[]]): T {
    const value = annotations[annotation];
    const found = expected.find((word) => word === value);
    if (found === undefined && value !== undefined) bad.push({ annotation, value, expected });
    return found ?? expected[0];
  }
  const settings = {
    isEnabled: labels[ENABLED_LABEL] === 'true',
    memoize: oneOf(MEMOIZE_MODE_ANNOTATION, MEMOIZE_MODES),
    capture: oneOf(CAPTURE_ANNOTATION, CAPTURE_WAYS),
    lookAhead: oneOf(LOOK_AHEAD_ANNOTATION, ['on', 'off']),
    operation: oneOf(OPERATION_ANNOTATION, OPERATIONS),
  };
  return { settings, bad };
}

const quantities = z.record(z.string(), z.union([z.string(), z.number().transform(String)])).optional();
const limitRangeSchema = z.object({
  spec: z.object({
    limits: z.array(z.object({ type: z.string(), min: quantities, max: quantities, maxLimitRequestRatio: quantities })),
  }),
});

/** The items that bind pods and containers. */
export function readLimitRange(limitRange: KubeObject): readonly LimitRangeItem[] {
  const parsed = limitRangeSchema.safeParse(limitRange);
  if (!parsed.success) return [];
  return parsed.data.spec.limits
    .filter(({ type }) => type === 'Container' || type === 'Pod')
    .map(({ type, min, max, maxLimitRequestRatio }) => ({
      type,
      ...(min && { min }),
      ...(max && { max }),
      ...(maxLimitRequestRatio && { maxLimitRequestRatio }),
    }));
}

const quotaSchema = z.object({ spec: z.object({ hard: z.record(z.string(), z.unknown()).optional() }) });
const COMPUTE = /^(?:(?:requests|limits)\.)?(?:cpu|memory|ephemeral-storage)$/;

/**
 * Whether a ResourceQuota counts cpu, memory or ephemeral storage. Its scopes are not looked at: each scope with which
 * the API server takes such a resource may match a step pod.
 */
export function countsCompute(quota: KubeObject): boolean {
  const parsed = quotaSchema.safeParse(quota);
  return parsed.success && Object.keys(parsed.data.spec.hard ?? {}).some((resource) => COMPUTE.test(resource));
}

const bindingSchema = z.object({
  spec: z.object({ policyName: z.string(), validationActions: z.array(z.string()).optional() }),
});

/** The policy that a ValidatingAdmissionPolicyBinding puts into force; undefined where it does not refuse anything. */
export function enforcedPolicy(binding: KubeObject): string | undefined {
  const parsed = bindingSchema.safeParse(binding);
  if (!parsed.success || !parsed.data.spec.validationActions?.includes('Deny')) return undefined;
  return parsed.data.spec.policyName;
}
