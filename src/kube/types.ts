import type { JsonPatch } from '../base/json-patch.ts';

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

/** What a JSON Patch that does not apply is answered with: a `test` that failed, a path that is not there. */
const PATCH_DOES_NOT_APPLY = 'the server rejected our request due to an error in our request';

/** Whether the API server gave no answer (status 0, 429, 5xx): the same call may succeed a moment later. */
export function isNoAnswer({ status }: KubeFailure): boolean {
  return status === 0 || status === 429 || status >= 500;
}

/**
 * Whether a write failed because the object is no longer what the writer took it for: an update conflict, or a JSON
 * Patch that does not apply, `test` included. To read again and to decide anew is the answer. The API server says 422
 * Invalid for the latter, as for a body that it will never take, so its fixed text decides
 * (apiserver/pkg/endpoints/handlers/patch.go:applyJSPatch, apimachinery/pkg/api/errors:NewGenericServerResponse).
 */
export function isOvertaken(failure: KubeFailure): boolean {
  if (failure.status === 409) return failure.reason !== 'AlreadyExists';
  return failure.status === 422 && failure.message === PATCH_DOES_NOT_APPLY;
}

/** Where an object is, or will be. */
export interface ObjectPath {
  readonly resource: ResourcePath;
  /** Undefined for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly name: string;
}

/** Where a list or a watch looks: in one namespace, or in all. */
export interface ListScope {
  readonly resource: ResourcePath;
  readonly namespace?: string | undefined;
}

export interface Selectors {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface GetOptions {
  /** Kind, apiVersion and metadata alone are asked for (PartialObjectMetadata). */
  readonly metadataOnly?: boolean;
  /** Time for this call, in milliseconds; else the client's own. */
  readonly timeoutMs?: number;
}

/**
 * The narrow door to the API server: all that stepmemo ever does there. `src/kube/client.ts` implements it with
 * @kubernetes/client-node; tests may put a fake behind it. Failures come back as values; a throw is a bug.
 */
export interface KubeApi {
  get(path: ObjectPath, options?: GetOptions): Promise<KubeResult<KubeObject>>;
  /** With `isDryRun` nothing is stored: the answer says what would be. */
  create(path: Omit<ObjectPath, 'name'>, body: KubeObject, isDryRun?: boolean): Promise<KubeResult<KubeObject>>;
  /** JSON Patch; `subresource` is `status` or nothing. */
  patch(path: ObjectPath, patch: JsonPatch, subresource?: 'status'): Promise<KubeResult<KubeObject>>;
  /** With `uid` as a precondition, so that a namesake made meanwhile is never the one deleted. */
  remove(path: ObjectPath, preconditions?: { uid?: string; resourceVersion?: string }): Promise<KubeResult<KubeObject>>;
  /** All pages of a list; the items carry apiVersion and kind. */
  list(where: ListScope, options?: Selectors): Promise<KubeResult<readonly KubeObject[]>>;
}

export interface Page {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
  /** Token of the next page; undefined on the last one. */
  readonly continue?: string | undefined;
}

export interface PageOptions extends Selectors {
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject };

export interface WatchOptions extends Selectors {
  readonly resourceVersion: string;
  /** After how many seconds the API server is to end the watch. */
  readonly timeoutSeconds: number;
  /** A watch on which nothing came for so long is taken for dead. */
  readonly idleLimitMs: number;
  readonly signal: AbortSignal;
}

/** How a watch ended: `ok` when the server closed it in peace, else why, an ERROR event (410 Expired) included. */
export type WatchEnd = { readonly ok: true } | KubeFailure;

/** The door with its second wing: what the reflector needs. */
export interface KubeWatchApi extends KubeApi {
  listPage(where: ListScope, options: PageOptions): Promise<KubeResult<Page>>;
  /** Calls `onEvent` for each event, in order, until the watch ends. */
  watch(where: ListScope, options: WatchOptions, onEvent: (event: WatchEvent) => void): Promise<WatchEnd>;
  /** Closes every connection; calls made later fail. */
  close(): void;
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
  subjectAccessReviews: { group: 'authorization.k8s.io', version: 'v1', resource: 'subjectaccessreviews' },
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
  /** Kubernetes 1.36 or later. */
  mutatingAdmissionPolicies: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'mutatingadmissionpolicies',
  },
  mutatingAdmissionPolicyBindings: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'mutatingadmissionpolicybindings',
  },
  workflows: { group: 'argoproj.io', version: 'v1alpha1', resource: 'workflows' },
  workflowTemplates: { group: 'argoproj.io', version: 'v1alpha1', resource: 'workflowtemplates' },
  clusterWorkflowTemplates: { group: 'argoproj.io', version: 'v1alpha1', resource: 'clusterworkflowtemplates' },
  cronWorkflows: { group: 'argoproj.io', version: 'v1alpha1', resource: 'cronworkflows' },
  workflowTaskResults: { group: 'argoproj.io', version: 'v1alpha1', resource: 'workflowtaskresults' },
} as const satisfies Record<string, ResourcePath>;
