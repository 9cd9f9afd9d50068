/** Names that stepmemo gives to things in the cluster: labels, annotations, gates, objects. */
export const OWN_PREFIX = 'stepmemo.io/';
/** Of our own replicas: `leader` or `follower`, for the Services of the webhooks that are asked again. */
export const ROLE_LABEL = `${OWN_PREFIX}role`;
export const ENABLED_LABEL = 'stepmemo.io/enabled';

/** On our Lease: since when its holder has heard nothing of the cluster, and the replica that has. */
export const STALE_ANNOTATION = `${OWN_PREFIX}stale-since`;
export const PREFERRED_HOLDER_ANNOTATION = `${OWN_PREFIX}preferred-holder`;

/** On a ConfigMap that is never stored: by creating it, as a dry run, the leader sees whether the API server calls us. */
export const SELF_CHECK_LABEL = 'stepmemo.io/self-check';

/** Settings of a namespace, as annotations. */
export const MEMOIZE_MODE_ANNOTATION = 'stepmemo.io/memoize';
/** Its values: `memoize` moves into annotations at admission, or stays with the workflow controller. */
export const MEMOIZE_MODES = ['managed', 'native'] as const;
export type MemoizeMode = (typeof MEMOIZE_MODES)[number];
export const CAPTURE_ANNOTATION = 'stepmemo.io/capture';
/** Its values: how the outputs of a miss get into the cache. */
export const CAPTURE_WAYS = ['sidecar', 'server', 'off'] as const;
export type CaptureWay = (typeof CAPTURE_WAYS)[number];

/** Settings of a template, as annotations in its metadata; Argo copies them, substituted, to the pod. */
export const KEY_ANNOTATION = 'stepmemo.io/key';
export const CACHE_ANNOTATION = 'stepmemo.io/cache';
export const MAX_AGE_ANNOTATION = 'stepmemo.io/max-age';
export const ALLOW_RESOURCE_ANNOTATION = 'stepmemo.io/allow-resource';
/** `off` or `refresh`; a label of this name on a Workflow sets it for all of its templates. */
export const REUSE_ANNOTATION = 'stepmemo.io/reuse';

/**
 * On a namespace, or on stepmemo's own for all of them: `observe` decides and counts and changes nothing, `off` does not even
 * look. `memoize` is moved all the same, so steps run uncached.
 */
export const OPERATION_ANNOTATION = 'stepmemo.io/operation';
/** From the least to the most that it keeps from happening. */
export const OPERATIONS = ['on', 'observe', 'off'] as const;
export type Operation = (typeof OPERATIONS)[number];

/**
 * `off` on a namespace, a Workflow or a template: none of its steps is served at submission. On a Workflow the server writes
 * there what it has served.
 */
export const LOOK_AHEAD_ANNOTATION = 'stepmemo.io/look-ahead';
/** A label on a Workflow, `true`: more of its steps may be served when its controller writes it. */
export const LOOK_AHEAD_MARK_LABEL = 'stepmemo.io/look-ahead-continues';
/** Of the nodes that the server has given to a Workflow: by it they are known again when the Workflow passes a second time. */
export const LOOK_AHEAD_DIGEST_ANNOTATION = 'stepmemo.io/look-ahead-digest';

/** What was moved out of `memoize`: the value is the field it came from, say `memoize`. */
export const MOVED_FROM_ANNOTATION = 'stepmemo.io/moved-from';
/** On a template that got a copy of `templateDefaults.memoize` when that moved: the value is the field it came from. */
export const COPIED_FROM_ANNOTATION = 'stepmemo.io/copied-from';
/**
 * What moving `memoize` back needs beyond the other annotations, as words; there only where they do not say it all. The others
 * hold a field of `memoize` while an annotation that the user wrote takes its place (src/workflow/restore-hint.ts).
 */
export const RESTORE_ANNOTATION = 'stepmemo.io/restore';
export const RESTORE_KEY_ANNOTATION = 'stepmemo.io/restore-key';
export const RESTORE_CACHE_ANNOTATION = 'stepmemo.io/restore-cache';
export const RESTORE_MAX_AGE_ANNOTATION = 'stepmemo.io/restore-max-age';

/** Decision annotations: only stepmemo's own account writes them, the admission policies see to that. */
export const DECISION_ANNOTATION = 'stepmemo.io/decision';
export const REASON_ANNOTATION = 'stepmemo.io/reason';
export const OUTPUTS_DIGEST_ANNOTATION = 'stepmemo.io/outputs-digest';
export const DECISION_ANNOTATIONS = [DECISION_ANNOTATION, REASON_ANNOTATION, OUTPUTS_DIGEST_ANNOTATION] as const;

/** In an artifact of an entry: the id of the store that its key is of. Argo drops it when it saves. */
export const STORE_MEMBER = 'stepmemoStore';
/** On a WorkflowTaskResult: the UID of the gated pod for which stepmemo made it. */
export const RESULT_POD_UID_ANNOTATION = 'stepmemo.io/pod-uid';

export const HIT_GATE = 'stepmemo.io/hit';
export const MISS_GATE = 'stepmemo.io/miss';

export const CAPTURE_CONTAINER = 'stepmemo-capture';
export const CAPTURE_TOKEN_VOLUME = 'stepmemo-token';
export const CAPTURE_AUDIENCE = 'stepmemo';

/**
 * The ValidatingAdmissionPolicies of manifests/base, each with a binding of the same name. Without all of them no
 * stamp proves anything, and stepmemo neither completes nor captures.
 */
export const POLICY_NAMES = [
  'stepmemo-pod-creation',
  'stepmemo-pod-annotations',
  'stepmemo-pod-binding',
  'stepmemo-task-results',
  'stepmemo-own-pods',
  'stepmemo-own-pod-status',
  'stepmemo-own-pod-deletes',
  'stepmemo-own-configmaps',
  'stepmemo-own-task-results',
] as const;

/** The MutatingAdmissionPolicies that move `memoize` in the API server; an installation may do without them. */
export const MOVE_POLICY_NAMES = ['stepmemo-move', 'stepmemo-move-clusterworkflowtemplates'] as const;

/** The policies that warn of an outage: nothing else rests on them. */
export const OUTAGE_POLICY_NAMES = ['stepmemo-memoize-left', 'stepmemo-silent'] as const;
