/**
 * Every reason that stepmemo can give for what it did, in one table. The same word is in the admission answer,
 * the pod's annotation, the Event (in UpperCamelCase), the metric's label and the heading of its section in docs/reasons.md.
 * A code is never used again for another meaning.
 */
interface ReasonText {
  /** What is the case, as one sentence. */
  readonly meaning: string;
  /** What to do about it; empty where nothing need be done. */
  readonly fix: string;
}

export const REASONS = {
  // ---- hit
  'fresh-entry': {
    meaning: 'The cache holds an entry for this key, complete and within its maxAge.',
    fix: '',
  },
  // ---- miss
  'no-entry': { meaning: 'The cache holds no entry for this key.', fix: '' },
  expired: {
    meaning: 'The entry is older than maxAge allows.',
    fix: 'Raise maxAge if an older result is still good.',
  },
  'incomplete-entry': {
    meaning: 'The entry lacks an output that this step has to report.',
    fix: 'Nothing: the step runs and its outputs replace the entry.',
  },
  'malformed-entry': {
    meaning: 'The cache holds something under this key that is not a valid entry.',
    fix: 'Delete the key from the ConfigMap; a successful run replaces it too.',
  },
  refresh: { meaning: 'The step asked to run and to overwrite its entry (stepmemo.io/reuse: refresh).', fix: '' },
  // ---- skip: not a step that stepmemo could act on
  'not-a-step': { meaning: 'The pod is not a step pod of a Workflow.', fix: '' },
  'agent-pod': { meaning: "The pod is Argo's agent or artifact GC pod, which runs no step of its own.", fix: '' },
  'not-memoized': { meaning: 'The step does not ask for memoization.', fix: '' },
  daemon: { meaning: 'The step is a daemon, which always has to run.', fix: 'Remove memoize from daemon templates.' },
  'node-name-set': {
    meaning: 'The pod is bound to a node (spec.nodeName), so it cannot be held.',
    fix: 'Use a nodeSelector or affinity instead of nodeName.',
  },
  'template-unreadable': {
    meaning: "The step's template could not be read from the pod.",
    fix: 'Check whether a podSpecPatch or another webhook changes ARGO_TEMPLATE.',
  },
  'template-offloaded': {
    meaning: "The step's template is too large for the pod, and native mode has nothing else to read.",
    fix: 'Use managed mode, or make the template smaller than 128 KiB.',
  },
  'memoize-in-template': {
    meaning: 'The template still carries memoize, so the workflow controller handles its memoization.',
    fix: 'Run `stepmemo migrate --cluster -n NAMESPACE` to migrate stored templates.',
  },
  'controller-cache': {
    meaning:
      'In native mode this namespace shares its caches with the workflow controller, which has just found no entry.',
    fix: 'Use managed mode in this namespace.',
  },
  'resource-not-allowed': {
    meaning: 'The step acts on the cluster (a resource template), and was not explicitly allowed to be memoized.',
    fix: 'Set the annotation stepmemo.io/allow-resource: "true" on the template if it may be skipped.',
  },
  'reuse-off': { meaning: 'Memoization is switched off for this step (stepmemo.io/reuse: off).', fix: '' },
  // ---- skip: not trusted
  'creator-untrusted': {
    meaning: 'The pod was not created by a configured workflow controller.',
    fix: "Add the controller's account to controllerAccounts if it is one.",
  },
  'identity-mismatch': {
    meaning: "The pod's labels, owner and node id do not agree about which step it is.",
    fix: 'Do not set workflows.argoproj.io/ labels or annotations in template metadata.',
  },
  // ---- skip: bad settings
  'key-missing': { meaning: 'A cache is named but the key is empty.', fix: 'Set a key.' },
  'key-unresolved': {
    meaning: 'The key still holds a tag that Argo did not fill in.',
    fix: 'Correct the name in the {{…}} tag.',
  },
  'key-invalid': { meaning: 'The key cannot be used.', fix: 'Use a key of at most 16 KiB without control characters.' },
  'cache-missing': { meaning: 'A key is given but no cache.', fix: 'Name the ConfigMap of the cache.' },
  'cache-name-invalid': {
    meaning: 'The name of the cache is not a valid ConfigMap name.',
    fix: 'Use lower case letters, digits, "-" and ".", at most 253 characters, and no unresolved tag.',
  },
  'cache-unlabeled': {
    meaning: 'The ConfigMap exists without the label of a cache, so it is neither read nor written.',
    fix: 'Label it workflows.argoproj.io/configmap-type=Cache, or name another.',
  },
  'max-age-invalid': {
    meaning: 'maxAge is not a duration that Argo can read.',
    fix: 'Write a Go duration such as 180s, 90m or 24h (there is no "d").',
  },
  // ---- skip: the state of stepmemo and of the cluster
  'namespace-not-enabled': {
    meaning: 'The namespace has not opted in.',
    fix: 'Label it stepmemo.io/enabled=true.',
  },
  'switched-off': {
    meaning: 'stepmemo is switched off, here or in the whole cluster: the step runs, and nothing is captured.',
    fix: 'Remove the annotation stepmemo.io/operation from the namespace, or from the one that stepmemo runs in.',
  },
  'observed-hit': {
    meaning: 'stepmemo only observes: this would have been a hit.',
    fix: 'Remove the annotation stepmemo.io/operation: observe when you have seen enough.',
  },
  'observed-miss': {
    meaning: 'stepmemo only observes: this would have been a miss, and its outputs captured.',
    fix: '',
  },
  'policies-missing': {
    meaning: "stepmemo's ValidatingAdmissionPolicies are not in place, so its annotations on pods cannot be trusted.",
    fix: 'Apply all of the manifests.',
  },
  'not-synced': { meaning: 'This replica has not read the caches yet.', fix: '' },
  'cache-not-held': {
    meaning:
      'The replica does not currently hold this cache in memory, so it cannot tell; it reads the cache again as soon as there is room.',
    fix: 'Run the step again. If this persists, make the caches of the namespace smaller: `stepmemo ls`, `stepmemo purge`.',
  },
  'deadline-exceeded': { meaning: 'The decision took longer than its deadline.', fix: 'Give stepmemo more CPU.' },
  'internal-error': { meaning: 'stepmemo failed; the step runs as if it were not there.', fix: 'Read the log.' },
  'unsupported-kind': { meaning: 'stepmemo does not handle objects of this kind.', fix: '' },
  'unsupported-operation': { meaning: 'stepmemo does not handle this operation on this object.', fix: '' },
  // ---- workflows and templates
  'memoize-moved': { meaning: 'memoize was moved into annotations of the template.', fix: '' },
  'reuse-set': { meaning: "The Workflow's stepmemo.io/reuse label was set on the metadata of its pods.", fix: '' },
  'nothing-to-move': { meaning: 'No template of this object has a memoize that can be moved.', fix: '' },
  'native-mode': { meaning: 'The namespace is in native mode, so memoize stays where it is.', fix: '' },
  'spec-unchanged': { meaning: 'The update does not change the spec.', fix: '' },
  // ---- look-ahead
  'served-at-submission': {
    meaning: 'Steps of the Workflow were served from the cache when it was submitted, with no pod.',
    fix: '',
  },
  'served-ahead': {
    meaning:
      'Steps behind a hit were served together with it, in the same look of the workflow controller and with no pod.',
    fix: '',
  },
  'workflow-not-going-on': {
    meaning: 'The Workflow is suspended, stopped, failing or close to its deadline, so nothing is added to it.',
    fix: '',
  },
  'nothing-foreseen': {
    meaning: 'No step of the Workflow is certain to be a hit, so each is decided when its pod is created.',
    fix: '`stepmemo plan` says why for each step.',
  },
  'look-ahead-off': { meaning: 'Steps are not served at submission here (stepmemo.io/look-ahead: off).', fix: '' },
  'status-present': {
    meaning: 'The Workflow was submitted with a status, which is left alone.',
    fix: '',
  },
  'argo-unknown': {
    meaning: 'The version of Argo or its workflowDefaults are unknown, so no step can be foreseen.',
    fix: 'Give the image of the workflow controller a tag with its version, or set policy.argoVersion.',
  },
  'workflow-known': {
    meaning: 'Pods or results of an earlier Workflow of this name are still there.',
    fix: '',
  },
  'look-ahead-too-large': { meaning: 'The nodes of the served steps would make the Workflow too large.', fix: '' },
  'look-ahead-unsound': {
    meaning: 'The nodes of the served steps violated a rule that Argo relies on, so none was added.',
    fix: 'Report it together with the Workflow: this is a bug in stepmemo.',
  },
  // ---- self-check
  'self-check': { meaning: 'The leader asked the API server to call stepmemo, and it did.', fix: '' },
  'webhook-not-called': {
    meaning: 'The API server does not call stepmemo, so nothing is memoized.',
    fix: 'Allow the control plane to reach port 8443 of the pods (NetworkPolicy, firewall, `hostNetwork`); `stepmemo doctor` checks the certificates.',
  },
  'installation-incomplete': {
    meaning: 'Part of the installation is missing or wrong; the Event says what.',
    fix: 'Follow the advice of `stepmemo doctor`; often only part of the manifests was applied.',
  },
  // ---- policy: beside these the name of the rule is the reason, see docs/policy.md
  'policy-kept': { meaning: 'The object complies with the policy.', fix: '' },
  'findings-old': { meaning: 'The update introduces no finding that the stored object did not already have.', fix: '' },
  'controller-update': { meaning: 'A workflow controller updates its own object, which is never refused.', fix: '' },
  'being-deleted': { meaning: 'The object is being deleted, which is never refused.', fix: '' },
  'own-write': { meaning: 'A workflow controller or stepmemo itself writes a cache, which is never refused.', fix: '' },
  'not-a-cache': { meaning: 'The ConfigMap is not a cache.', fix: '' },
  // ---- capture and completion
  captured: { meaning: "The step's outputs were stored in the cache.", fix: '' },
  'capture-incomplete': {
    meaning: 'The step succeeded but did not report an output that it declares, so there is no entry.',
    fix: 'Check the outputs of the step.',
  },
  'capture-mismatch': {
    meaning: "The outputs that the sidecar read and those of Argo's task result differ, so there is no entry.",
    fix: 'Find out who else may patch workflowtaskresults in the namespace.',
  },
  'capture-lost': { meaning: 'The outputs of the step could not be retrieved, so there is no entry.', fix: '' },
  'artifact-outside': {
    meaning: 'An artifact is stored neither under its declared key nor below the archive location of the pod.',
    fix: 'Store artifacts where the template or the artifact repository says.',
  },
  'step-failed': { meaning: 'The step did not succeed, so there is no entry.', fix: '' },
  'workflow-gone': {
    meaning: 'The Workflow was deleted before stepmemo could verify that the step succeeded, so there is no entry.',
    fix: 'Keep Workflows for at least a minute after they end (ttlStrategy, or whatever deletes them).',
  },
  'step-unjudged': {
    meaning: 'Argo has not said within a minute whether the step succeeded, so there is no entry.',
    fix: 'Check that the workflow controller is running and makes progress on the Workflow.',
  },
  'entry-too-large': {
    meaning: 'The outputs are too large for an entry.',
    fix: 'Make output parameters smaller, or store them as artifacts.',
  },
  'cache-full': {
    meaning: 'The ConfigMap of the cache has no room left (1 MiB).',
    fix: 'Delete entries, or split the cache.',
  },
  'write-failed': { meaning: 'The API server refused the entry.', fix: 'Read the message of the Event.' },
  completed: { meaning: 'The step ended with the cached outputs and ran nothing.', fix: '' },
  released: { meaning: 'The step was held for a hit that is no longer one, and runs now.', fix: '' },
  'gate-unknown': {
    meaning:
      'The pod carries a scheduling gate of stepmemo without the decision that belongs to it; the gate is removed.',
    fix: 'Do not set stepmemo.io/ gates in a podSpecPatch.',
  },
  'gated-pod-deleted': {
    meaning: 'A held pod was deleted, because Argo had given up its step or its Workflow was gone.',
    fix: '',
  },
  'sidecar-hanging': {
    meaning: 'The capturing sidecar kept running long after the step had ended, so the pod was ended without it.',
    fix: "Check the sidecar's log and the load of the node.",
  },
  'sidecar-version': {
    meaning:
      "The capturing sidecar's image has a different version than the server's; its outputs are accepted if they can be read.",
    fix: 'Set `sidecarImage` to the image of the server, or remove the setting.',
  },
  'sidecar-not-started': {
    meaning: 'The capturing sidecar did not start and the step had ended, so the pod was ended without it.',
    fix: "Make stepmemo's image available on the node.",
  },
} as const satisfies Record<string, ReasonText>;

export type Reason = keyof typeof REASONS;

/** The reason as an Event's `reason`: `no-entry` becomes `NoEntry`. */
export function eventReason(reason: Reason): string {
  return reason.replace(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
}
