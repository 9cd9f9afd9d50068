import type { ArgoVersion } from '../argo/versions.ts';
import type { JsonObject } from '../base/json.ts';
import type { MemoizeMode } from '../base/names.ts';
import type { CacheLabelState } from '../cache/cache-label.ts';
import type { PolicySettings } from './settings.ts';

/** What is known of a ConfigMap that a cache name names. `unknown`: it could not be looked up, which is never held against anybody. */
export type CacheLabel = CacheLabelState | 'absent' | 'unknown';

export type TemplateObjectKind = 'WorkflowTemplate' | 'ClusterWorkflowTemplate';

/** What the judgement of one object may know. All of it is in memory: the edge has looked up what there is. */
export interface PolicyContext {
  /** Of the namespace; where it has not opted in, native. */
  readonly mode: MemoizeMode;
  /** Undefined for cluster-scoped objects. */
  readonly namespace: string | undefined;
  readonly controllerNamespace: string;
  readonly argoVersion: ArgoVersion | 'unknown';
  readonly settings: PolicySettings;
  /** A WorkflowTemplate or ClusterWorkflowTemplate by name; undefined where there is none, or it cannot be retrieved. */
  lookUpTemplate(kind: TemplateObjectKind, namespace: string | undefined, name: string): JsonObject | undefined;
  /** Whether those are as stored in a cluster: a `memoize` left in one was never moved, and stays with Argo. */
  readonly areTemplatesStored: boolean;
  cacheLabel(namespace: string, name: string): CacheLabel;
}
