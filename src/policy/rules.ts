/**
 * Every rule of the policy, in one table: the same word is used in a denial, in a warning, in `stepmemo lint`, in the
 * configuration and as the heading of its section in docs/policy.md (a test compares both ways).
 * A name is never used again for another meaning.
 */
interface RuleText {
  /** What an admin gets without setting anything. */
  readonly severity: 'deny' | 'warn' | 'off';
  /** What the rule finds, as one sentence. */
  readonly meaning: string;
  /** Why it matters: the thread in which users tripped over it, or the code of Argo that makes it so. */
  readonly why: string;
  /** What to do about it, as one sentence. */
  readonly fix: string;
}

export const RULES = {
  'cache-unlabeled': {
    severity: 'deny',
    meaning: 'The cache is a ConfigMap that exists without the label workflows.argoproj.io/configmap-type: Cache.',
    why: 'Argo refuses it and ends the step as an Error (cache/configmap_cache.go:validateConfigmap, since 3.4.9 and 3.5.0; argoproj/argo-workflows#5538), and stepmemo neither reads nor writes it.',
    fix: 'Name another ConfigMap, or label this one if it is meant to be a cache.',
  },
  'outputless-before-3.5': {
    severity: 'deny',
    meaning: 'A template without declared outputs is memoized, and the Argo that will run it is older than 3.5.',
    why: "Before 3.5 memoization of steps without outputs does not work (Argo's documentation; argoproj/argo-workflows#11280, #12117). A container step could still be served by stepmemo in managed mode: switch the rule off to allow it.",
    fix: 'Declare an output parameter or artifact, or run Argo 3.5 or later.',
  },
  'max-age-invalid': {
    severity: 'deny',
    meaning: 'maxAge is no duration as Argo reads it.',
    why: 'Argo accepts it at submission and ends the step as an Error at run time: "invalid maxAge" (operator.go:executeTemplate, time.ParseDuration).',
    fix: 'Write a Go duration such as 180s, 90m or 24h; there is no unit for days.',
  },
  'cache-name-invalid': {
    severity: 'deny',
    meaning: 'The name of the cache is missing, or is no valid name of a ConfigMap.',
    why: 'Argo checks neither: without cache or configMap it dereferences nil and the workflow ends as an Error (operator.go:executeTemplate), and a name that Kubernetes refuses ends the step.',
    fix: 'Name a ConfigMap: lower case letters, digits, "-" and ".", at most 253 characters.',
  },
  'key-invalid': {
    severity: 'deny',
    meaning: 'The key is empty, or cannot be used by whoever looks it up.',
    why: 'Where Argo looks it up (native mode; steps, DAG and other templates without a pod), a key outside ^[a-zA-Z0-9][-a-zA-Z0-9]*$ ends the step as an Error (cache/configmap_cache.go:load), and one of more than 253 characters when it is saved.',
    fix: 'Use letters, digits and "-", beginning with a letter or digit; in managed mode pod steps may use any text up to 16 KiB.',
  },
  'memoize-malformed': {
    severity: 'deny',
    meaning: 'memoize is not an object.',
    why: 'Argo cannot decode such a workflow at all, and marks it as an Error (controller.go: "Failed to convert from unstructured").',
    fix: 'Write memoize as an object with key, maxAge and cache.',
  },
  'key-constant': {
    severity: 'warn',
    meaning: 'The key holds no parameter, though the template has inputs.',
    why: 'Two steps with different inputs then share one entry, and the second gets the outputs of the first. Argo has no word on it.',
    fix: 'Put every input that the outputs depend on into the key.',
  },
  'key-unique-per-run': {
    severity: 'warn',
    meaning: 'The key holds something that is new in every run, so that no later run can hit.',
    why: 'Users search long for why nothing is cached (kubeflow/pipelines#7972, #5764): workflow.name, workflow.uid, pod.name and the like differ from run to run.',
    fix: 'Leave it out of the key, unless reuse within one run is what you want.',
  },
  'memoize-without-pod': {
    severity: 'warn',
    meaning: 'The memoized template makes no pod, so stepmemo cannot serve it.',
    why: 'steps, DAG, http, plugin and suspend templates are looked up by the workflow controller itself, in its own namespace (argoproj/argo-workflows#10769, #6884); a suspend template is never saved.',
    fix: 'Memoize the container or script templates that it calls.',
  },
  'resource-not-allowed': {
    severity: 'warn',
    meaning: 'A resource template is memoized without leave to skip it.',
    why: 'It acts on the cluster, and a hit would skip that; so its memoize stays with the workflow controller until the user says otherwise.',
    fix: 'Set the annotation stepmemo.io/allow-resource: "true" on the template if it may be skipped.',
  },
  'daemon-memoized': {
    severity: 'warn',
    meaning: 'A daemon template is memoized.',
    why: 'A daemon has to run: its consumers need its address, which an entry cannot give, and from Argo 3.7 a daemon pod that Succeeds is a Failed node (operator.go:assessNodeStatus).',
    fix: 'Remove memoize from the daemon.',
  },
  'memoize-with-synchronization': {
    severity: 'warn',
    meaning: 'A template is both memoized and synchronized.',
    why: 'Argo takes the lock before the cache is looked at (operator.go:executeTemplate), so hits wait for it one by one (argoproj/argo-workflows#10109, #11219); before 3.4.12 the lock is not released after a hit (#11853).',
    fix: 'Drop the mutex if it is only there to run a step once.',
  },
  'artifacts-collected': {
    severity: 'warn',
    meaning: 'An output artifact of a memoized template is subject to artifact garbage collection.',
    why: 'The collection deletes the object while entries still point to it (artifact_gc.go:findArtifactsToGC; kubeflow/pipelines#7939), and a later hit hands out an artifact that is gone.',
    fix: 'Set artifactGC.strategy: Never on the artifact, and let maxAge end before the bucket expires it.',
  },
  'tag-unresolved': {
    severity: 'warn',
    meaning: 'A {{…}} tag in the key, the cache name or maxAge names nothing that Argo will know there.',
    why: 'Argo leaves an unknown tag as it is, without an error (util/template, argoproj/argo-workflows#8780, #6536); the key then holds braces and the step is not cached, or is an Error.',
    fix: 'Correct the name in the tag.',
  },
  'member-unknown': {
    severity: 'warn',
    meaning: 'memoize has a member that Argo does not know.',
    why: 'Argo drops it without a word: a misspelt maxAge means entries that never expire, a misspelt key or cache an Error.',
    fix: 'Use key, maxAge and cache.configMap.name.',
  },
  'memoize-misplaced': {
    severity: 'warn',
    meaning: 'memoize stands where Argo does not read it: in a step, a task, or the body of a template.',
    why: 'Argo reads it in templates and in templateDefaults alone (workflow_types.go:Template); anywhere else nothing is memoized, without a word.',
    fix: 'Move it into the template.',
  },
  'max-age-never-fresh': {
    severity: 'warn',
    meaning: 'maxAge is zero or negative, so that no entry is ever fresh.',
    why: 'Argo compares the age with maxAge (cache/cache.go:GetOutputsWithMaxAge); the step runs every time and its entry is only written (argoproj/argo-workflows#8784 shows how that looks).',
    fix: 'Write a positive maxAge, or leave maxAge empty for entries without end.',
  },
  'max-age-missing': {
    severity: 'warn',
    meaning: 'memoize stays in the template without a maxAge.',
    why: 'The full CRDs that Argo 4.0 and later ship require maxAge beside key and cache and refuse the object; elsewhere its entries never expire.',
    fix: 'Write maxAge, as "" if entries should not expire.',
  },
  'steps-outputs-null': {
    severity: 'warn',
    meaning: 'A memoized steps template has outputs, and this Argo saves them as null.',
    why: 'A hit then has no outputs and what consumes them fails (argoproj/argo-workflows#16094: 3.5.2 to 3.7.17 and 4.0.0 to 4.0.8).',
    fix: 'Memoize the templates of its steps instead, or run Argo 3.7.18, 4.0.9 or later.',
  },
  'retry-not-saved': {
    severity: 'warn',
    meaning: 'The template has a retryStrategy, and this Argo never saves the outputs of retried steps.',
    why: 'Before 3.5.5 an attempt carries no memoization status (argoproj/argo-workflows#12490, #10426).',
    fix: 'Use managed mode, or run Argo 3.5.5 or later.',
  },
  'annotation-unknown': {
    severity: 'warn',
    meaning: 'A stepmemo.io annotation of the template is not known, is set wrongly, or belongs to stepmemo.',
    why: 'A misspelt setting does nothing and says nothing, and decision annotations that a template brings along are removed.',
    fix: 'Use stepmemo.io/key, /cache, /max-age, /capture, /allow-resource and /reuse.',
  },
  'image-unpinned': {
    severity: 'off',
    meaning: 'The image of a memoized template is named without a digest, and the key does not hold it.',
    why: 'A new image under an old tag still hits (kubeflow/pipelines#13862, argoproj/argo-workflows#944). Switched off as shipped: most workflows name tags.',
    fix: 'Name the image by digest, or put its version into the key.',
  },
  'duplicate-key': {
    severity: 'warn',
    meaning: 'A key stands twice in the same mapping of a YAML file.',
    why: 'kubectl takes the last one and says nothing, others refuse the file; whoever reads it sees the first. Only `stepmemo lint` can find it.',
    fix: 'Remove one of the two.',
  },
  'entry-invalid': {
    severity: 'deny',
    meaning: 'A ConfigMap labelled as a cache holds something that is no cache entry.',
    why: 'Argo ends every step that asks for that key as an Error: "malformed cache entry" (cache/configmap_cache.go:load), and its cache collection stops there (cache_gc.go).',
    fix: 'Write an entry as Argo does, or keep other data in another ConfigMap.',
  },
  'cache-label-removed': {
    severity: 'deny',
    meaning: 'The label is taken from a cache that still holds entries.',
    why: 'Every memoized step that names the cache then ends as an Error in Argo ("refusing to use it") and is not cached by stepmemo.',
    fix: 'Delete the entries first, or the whole ConfigMap.',
  },
} as const satisfies Record<string, RuleText>;

export type Rule = keyof typeof RULES;

/** All rules in the order of the table. */
export const RULE_NAMES = Object.keys(RULES) as [Rule, ...Rule[]];
