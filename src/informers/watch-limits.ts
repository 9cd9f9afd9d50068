import { RESOURCES } from '../kube/types.ts';
import type { LimitRangeItem } from '../step/known-cluster.ts';
import { ByNamespace } from './by-namespace.ts';
import { countsCompute, readLimitRange } from './read-objects.ts';
import { named, type Watch } from './watch.ts';

export interface LimitsWatch {
  limitRanges(namespace: string): readonly LimitRangeItem[];
  hasComputeQuota(namespace: string): boolean;
}

/** What limits the pods of a namespace: a sidecar must not make one unfit. */
export function watchLimits(watch: Watch): LimitsWatch {
  const limitRanges = new ByNamespace<readonly LimitRangeItem[]>();
  const computeQuotas = new ByNamespace<true>();
  watch({
    resource: RESOURCES.limitRanges,
    transform: (object) => ({ ...named(object), items: readLimitRange(object) }),
    on: {
      upsert: ({ namespace, name, items }) => limitRanges.set(namespace, name, items),
      remove: ({ namespace, name }) => limitRanges.delete(namespace, name),
    },
  });
  watch({
    resource: RESOURCES.resourceQuotas,
    transform: (object) => (countsCompute(object) ? named(object) : undefined),
    on: {
      upsert: ({ namespace, name }) => computeQuotas.set(namespace, name, true),
      remove: ({ namespace, name }) => computeQuotas.delete(namespace, name),
    },
  });
  return {
    limitRanges: (namespace) => [...limitRanges.in(namespace)].flat(),
    hasComputeQuota: (namespace) => !computeQuotas.in(namespace).next().done,
  };
}
