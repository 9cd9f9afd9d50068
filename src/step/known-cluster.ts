import type { MemoizeMode, Operation } from '../base/names.ts';
import type { EntryLookup } from '../cache/entry.ts';

/** How a namespace wants to be treated; from its label and annotations, defaults filled in. */
export interface NamespaceSettings {
  readonly isEnabled: boolean;
  readonly memoize: MemoizeMode;
  readonly capture: 'sidecar' | 'server' | 'off';
  /** Whether steps are served when a Workflow is submitted. */
  readonly lookAhead: 'on' | 'off';
  /** The stricter of what the namespace says and what holds for the cluster. */
  readonly operation: Operation;
}

/** One LimitRange item of type Container or Pod, quantities as written. */
export interface LimitRangeItem {
  readonly type: string;
  readonly min?: Readonly<Record<string, string>>;
  readonly max?: Readonly<Record<string, string>>;
  readonly maxLimitRequestRatio?: Readonly<Record<string, string>>;
}

/**
 * What a decision may know of the cluster: in memory, read without waiting. The server fills it from watches,
 * `stepmemo decide` from files.
 */
export interface KnownCluster {
  /** False until every watch has listed once. */
  readonly isSynced: boolean;
  /** Whether the ValidatingAdmissionPolicies and their bindings are in place. */
  readonly arePoliciesInstalled: boolean;
  /** False after a sidecar was seen not to start (its image missing); see the controller. */
  readonly isSidecarUsable: boolean;
  namespace(name: string): NamespaceSettings | undefined;
  lookUp(namespace: string, cache: string, key: string): EntryLookup;
  limitRanges(namespace: string): readonly LimitRangeItem[];
  /** Whether a ResourceQuota of the namespace counts cpu, memory or ephemeral storage (requests or limits). */
  hasComputeQuota(namespace: string): boolean;
}

/** The part of the configuration that decisions depend on. */
export interface DecisionSettings {
  /** Accounts of workflow controllers, `system:serviceaccount:<namespace>:<name>`. */
  readonly controllerAccounts: readonly string[];
  /** Namespace of the workflow controller: where Argo's own caches lie. */
  readonly controllerNamespace: string;
  readonly sidecar: SidecarSettings;
}

/** What the injected container needs. */
export interface SidecarSettings {
  readonly image: string;
  /** That the image was made for, `linux/amd64`. */
  readonly platforms: readonly string[];
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Base URL of the capture endpoint, `https://stepmemo.stepmemo.svc:8444`. */
  readonly captureUrl: string;
  /** PEM of the certificate authorities that the endpoint's certificate may come from. */
  readonly caBundle: string;
  readonly requests: { readonly cpu: string; readonly memory: string };
  readonly limits: { readonly cpu: string; readonly memory: string };
}
