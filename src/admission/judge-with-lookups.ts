import { isObject, type JsonObject } from '../base/json.ts';
import { readCacheLabel } from '../cache/cache-label.ts';
import { type KubeApi, type ObjectPath, RESOURCES } from '../kube/types.ts';
import type { CacheLabel, PolicyContext, TemplateObjectKind } from '../policy/context.ts';

/** What a judgement asks the cluster for: it is judged with what is known, and again with what was found. */
export interface Lookups extends Pick<PolicyContext, 'lookUpTemplate' | 'cacheLabel'> {
  /** A ConfigMap as it is; undefined where that is not known. */
  lookUpConfigMap(namespace: string, name: string): FoundConfigMap | undefined;
}

export type FoundConfigMap = { readonly is: 'absent' } | { readonly is: 'there'; readonly object: JsonObject };

export interface LookupLimits {
  /** For all lookups of one judgement together, in milliseconds. */
  readonly deadlineMs: number;
  /** How many of them. */
  readonly limit: number;
}

/** References behind references; each round finds one more of the way. */
const ROUND_LIMIT = 10;

/**
 * Runs a pure judgement, and again with what it has asked for as long as that may change it; returns its last answer. A lookup that fails,
 * comes too late or is one too many finds nothing: it is never held against anybody.
 */
export async function judgeWithLookups<T>(
  kube: Pick<KubeApi, 'get'>,
  { deadlineMs, limit }: LookupLimits,
  judge: (lookups: Lookups) => T,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  const known = new Map<string, unknown>();
  for (let round = 0; ; round += 1) {
    const missing = new Map<string, () => Promise<unknown>>();
    const ask: Ask = (what, path, read) => {
      const id = JSON.stringify([what, path.resource.resource, path.namespace, path.name]);
      if (!known.has(id)) missing.set(id, () => read(Math.max(1, end - performance.now())));
      return known.get(id);
    };
    const verdict = judge(lookupsBy(kube, ask));
    const wanted = [...missing].slice(0, Math.max(0, limit - known.size));
    if (wanted.length === 0 || round >= ROUND_LIMIT || performance.now() >= end) return verdict;
    const found = await Promise.all(
      wanted.map(async ([id, read]) => {
        const answer = await read();
        known.set(id, answer);
        return answer;
      }),
    );
    // A template that is not there and a cache that is in order change nothing: a large object is not judged twice.
    if (!found.some((answer) => isObject(answer) || answer === 'unlabeled')) return verdict;
  }
}

/** What is known of an object so far; asked for where nothing is. `what` tells questions about one object apart. */
type Ask = (what: 'object' | 'label', path: ObjectPath, read: (timeoutMs: number) => Promise<unknown>) => unknown;

function lookupsBy(kube: Pick<KubeApi, 'get'>, ask: Ask): Lookups {
  return {
    lookUpTemplate: (kind, namespace, name) => {
      const path = templatePath(kind, namespace, name);
      const found = ask('object', path, async (timeoutMs) => {
        const result = await kube.get(path, { timeoutMs });
        return result.ok ? result.value : undefined;
      });
      return isObject(found) ? found : undefined;
    },
    lookUpConfigMap: (namespace, name) => {
      const path: ObjectPath = { resource: RESOURCES.configMaps, namespace, name };
      return ask('object', path, (timeoutMs) => lookUpWhole(kube, path, timeoutMs)) as FoundConfigMap | undefined;
    },
    cacheLabel: (namespace, name) => {
      const path: ObjectPath = { resource: RESOURCES.configMaps, namespace, name };
      const found = ask('label', path, (timeoutMs) => lookUpLabel(kube, path, timeoutMs));
      return (found as CacheLabel | undefined) ?? 'unknown';
    },
  };
}

function templatePath(kind: TemplateObjectKind, namespace: string | undefined, name: string): ObjectPath {
  if (kind === 'ClusterWorkflowTemplate') return { resource: RESOURCES.clusterWorkflowTemplates, name };
  return { resource: RESOURCES.workflowTemplates, ...(namespace !== undefined && { namespace }), name };
}

async function lookUpWhole(
  kube: Pick<KubeApi, 'get'>,
  path: ObjectPath,
  timeoutMs: number,
): Promise<FoundConfigMap | undefined> {
  const result = await kube.get(path, { timeoutMs });
  if (result.ok) return { is: 'there', object: result.value };
  return result.status === 404 ? { is: 'absent' } : undefined;
}

async function lookUpLabel(kube: Pick<KubeApi, 'get'>, path: ObjectPath, timeoutMs: number): Promise<CacheLabel> {
  const result = await kube.get(path, { metadataOnly: true, timeoutMs });
  if (!result.ok) return result.status === 404 ? 'absent' : 'unknown';
  return readCacheLabel(result.value, new Date());
}
