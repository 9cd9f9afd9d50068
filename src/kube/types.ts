import type { JsonPatch } from '../patch/json-patch.ts';

/** The metadata that stepmemo reads, of any object. */
export interface ObjectMeta {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** An object as the API server sends it: nothing but kind and metadata is taken for granted. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: ObjectMeta;
  readonly [member: string]: unknown;
}

/** A kind's place in the API. `group` is empty for the core group. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  /** Plural, lower case, say `pods`. */
  readonly resource: string;
}

/** A failed call to the API server. */
export interface KubeFailure {
  readonly ok: false;
  /** HTTP status; 0 where no answer came. */
  readonly status: number;
  /** The Status object's reason, say `NotFound`, `Conflict`, `Invalid`, `Forbidden`. */
  readonly reason: string;
  readonly message: string;
}
export type KubeResult<T> = { readonly ok: true; readonly value: T } | KubeFailure;

/** Where an object is, or will be. */
export interface ObjectPath {
  readonly resource: ResourcePath;
  /** Undefined for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly name: string;
}

/**
 * The narrow door to the API server: all that stepmemo ever does there. `src/kube/client.ts` implements it with
 * @kubernetes/client-node; tests may put a fake behind it. Failures come back as values; a throw is a bug.
 */
export interface KubeApi {
  get(path: ObjectPath): Promise<KubeResult<KubeObject>>;
  create(path: Omit<ObjectPath, 'name'>, body: KubeObject): Promise<KubeResult<KubeObject>>;
  /** JSON Patch; `subresource` is `status` or nothing. */
  patch(path: ObjectPath, patch: JsonPatch, subresource?: 'status'): Promise<KubeResult<KubeObject>>;
  /** With `uid` as a precondition, so that a namesake made meanwhile is never the one deleted. */
  remove(path: ObjectPath, preconditions?: { uid?: string; resourceVersion?: string }): Promise<KubeResult<KubeObject>>;
  /** One page or all pages of a list. */
  list(
    where: { resource: ResourcePath; namespace?: string },
    options?: { labelSelector?: string; fieldSelector?: string },
  ): Promise<KubeResult<readonly KubeObject[]>>;
}

export const RESOURCES = {
  pods: { group: '', version: 'v1', resource: 'pods' },
  configMaps: { group: '', version: 'v1', resource: 'configmaps' },
  namespaces: { group: '', version: 'v1', resource: 'namespaces' },
  secrets: { group: '', version: 'v1', resource: 'secrets' },
  limitRanges: { group: '', version: 'v1', resource: 'limitranges' },
  resourceQuotas: { group: '', version: 'v1', resource: 'resourcequotas' },
  events: { group: 'events.k8s.io', version: 'v1', resource: 'events' },
  leases: { group: 'coordination.k8s.io', version: 'v1', resource: 'leases' },
  deployments: { group: 'apps', version: 'v1', resource: 'deployments' },
  tokenReviews: { group: 'authentication.k8s.io', version: 'v1', resource: 'tokenreviews' },
  mutatingWebhookConfigurations: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'mutatingwebhookconfigurations',
  },
  validatingWebhookConfigurations: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'validatingwebhookconfigurations',
  },
  admissionPolicies: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'validatingadmissionpolicies',
  },
  admissionPolicyBindings: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'validatingadmissionpolicybindings',
  },
  workflows: { group: 'argoproj.io', version: 'v1alpha1', resource: 'workflows' },
  workflowTemplates: { group: 'argoproj.io', version: 'v1alpha1', resource: 'workflowtemplates' },
  clusterWorkflowTemplates: { group: 'argoproj.io', version: 'v1alpha1', resource: 'clusterworkflowtemplates' },
  cronWorkflows: { group: 'argoproj.io', version: 'v1alpha1', resource: 'cronworkflows' },
  workflowTaskResults: { group: 'argoproj.io', version: 'v1alpha1', resource: 'workflowtaskresults' },
} as const satisfies Record<string, ResourcePath>;
