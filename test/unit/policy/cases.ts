import type { JsonObject } from '../../../src/base/json.ts';
import type { PolicyContext } from '../../../src/policy/context.ts';
import type { Rule } from '../../../src/policy/rules.ts';
import { policySettingsSchema } from '../../../src/policy/settings.ts';
import { MEMOIZE, STEP } from './support.ts';

const V34 = { argoVersion: { major: 3, minor: 4, patch: 17 } } as const;
const NATIVE = { mode: 'native' } as const;
const memo = (changes: JsonObject) => ({ ...STEP, memoize: { ...MEMOIZE, ...changes } });
const configMap = (name: unknown) => ({ cache: { configMap: { name } } });
const annotated = (annotations: JsonObject, more: JsonObject = {}) => {
  const { memoize: _, ...rest } = STEP;
  return { ...rest, ...more, metadata: { annotations } };
};
const KEY = 'stepmemo.io/key';
const CACHE = 'stepmemo.io/cache';
const MAX_AGE = 'stepmemo.io/max-age';
const NO_OUTPUTS = { outputs: undefined };
const STEPS_OUTPUTS = {
  ...memo({}),
  container: undefined,
  steps: [[{ name: 'a', template: 'b' }]],
};

export interface Case {
  readonly says: string;
  readonly template: JsonObject;
  readonly spec?: JsonObject;
  readonly context?: Partial<PolicyContext>;
  /** Path below `spec.templates[0]`, with the severity; empty when the rule finds nothing. */
  readonly expected: readonly string[];
}

const on = (rule: Rule) => ({ settings: policySettingsSchema.parse({ rules: { [rule]: 'warn' } }) });
const labels = (unlabeled: string): Partial<PolicyContext> => ({
  cacheLabel: (namespace, name) => (`${namespace}/${name}` === unlabeled ? 'unlabeled' : 'labeled'),
});

/** Every rule that looks at templates, with what it finds and what it lets pass. */
export const CASES: Partial<Record<Rule, readonly Case[]>> = {
  'cache-unlabeled': [
    {
      says: 'managed: in the namespace of the workflow',
      template: STEP,
      context: labels('team-a/my-cache'),
      expected: ['deny .memoize.cache.configMap.name'],
    },
    { says: "managed: not in the controller's", template: STEP, context: labels('argo/my-cache'), expected: [] },
    {
      says: "native: in the controller's",
      template: memo({ key: 'k-{{inputs.parameters.x}}' }),
      context: { ...NATIVE, ...labels('argo/my-cache') },
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: 'native: and in the namespace of the workflow',
      template: STEP,
      context: { ...NATIVE, ...labels('team-a/my-cache') },
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: "managed, steps: Argo looks it up in the controller's",
      template: STEPS_OUTPUTS,
      context: labels('argo/my-cache'),
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: 'by the annotation',
      template: annotated({ [KEY]: '{{inputs.parameters.x}}', [CACHE]: 'my-cache' }),
      context: labels('team-a/my-cache'),
      expected: ['deny .metadata.annotations["stepmemo.io/cache"]'],
    },
    {
      says: 'an annotation beats the field',
      template: { ...STEP, metadata: { annotations: { [CACHE]: 'other' } } },
      context: labels('team-a/my-cache'),
      expected: [],
    },
    {
      says: 'with a workflow parameter',
      template: memo(configMap('{{workflow.parameters.c}}-cache')),
      spec: { arguments: { parameters: [{ name: 'c', value: 'my' }] } },
      context: labels('team-a/my-cache'),
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: 'with the default of an input',
      template: {
        ...memo(configMap('{{inputs.parameters.c}}')),
        name: 'main',
        inputs: { parameters: [{ name: 'x' }, { name: 'c', default: 'my-cache' }] },
      },
      context: labels('team-a/my-cache'),
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: 'with what a caller passes',
      template: { ...memo(configMap('{{inputs.parameters.x}}-cache')) },
      spec: {
        more: [
          {
            name: 'main',
            steps: [[{ name: 'a', template: 'step', arguments: { parameters: [{ name: 'x', value: 'my' }] } }]],
          },
        ],
      },
      context: labels('team-a/my-cache'),
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: 'not with what no one knows',
      template: memo(configMap('{{inputs.parameters.x}}-cache')),
      context: labels('team-a/my-cache'),
      expected: [],
    },
    { says: 'fresh ones are let be', template: STEP, context: { cacheLabel: () => 'fresh' }, expected: [] },
    { says: 'absent ones are let be', template: STEP, context: { cacheLabel: () => 'absent' }, expected: [] },
    {
      says: 'what could not be looked up is let be',
      template: STEP,
      context: { cacheLabel: () => 'unknown' },
      expected: [],
    },
  ],
  'outputless-before-3.5': [
    { says: 'no outputs on 3.4', template: { ...STEP, ...NO_OUTPUTS }, context: V34, expected: ['deny .memoize'] },
    {
      says: 'empty outputs on 3.4',
      template: { ...STEP, outputs: { parameters: [], artifacts: [] } },
      context: V34,
      expected: ['deny .memoize'],
    },
    {
      says: 'native too',
      template: { ...STEP, ...NO_OUTPUTS },
      context: { ...V34, ...NATIVE },
      expected: ['deny .memoize'],
    },
    {
      says: 'by annotation too',
      template: annotated({ [KEY]: 'k-{{inputs.parameters.x}}', [CACHE]: 'c' }, NO_OUTPUTS),
      context: V34,
      expected: ['deny .metadata.annotations["stepmemo.io/key"]'],
    },
    { says: 'outputs on 3.4', template: STEP, context: V34, expected: [] },
    {
      says: 'an artifact on 3.4',
      template: { ...STEP, outputs: { artifacts: [{ name: 'a', path: '/a' }] } },
      context: V34,
      expected: [],
    },
    {
      says: 'no outputs on 3.5.0',
      template: { ...STEP, ...NO_OUTPUTS },
      context: { argoVersion: { major: 3, minor: 5, patch: 0 } },
      expected: [],
    },
    {
      says: 'of an unknown version it is said, not denied',
      template: { ...STEP, ...NO_OUTPUTS },
      context: { argoVersion: 'unknown' },
      expected: ['warn .memoize'],
    },
    {
      says: 'outputs from templateDefaults count',
      template: { ...STEP, ...NO_OUTPUTS },
      spec: { templateDefaults: { outputs: { parameters: [{ name: 'd' }] } } },
      context: V34,
      expected: [],
    },
  ],
  'max-age-invalid': [
    { says: 'days', template: memo({ maxAge: '1d' }), expected: ['deny .memoize.maxAge'] },
    { says: 'no unit', template: memo({ maxAge: '10' }), expected: ['deny .memoize.maxAge'] },
    { says: 'a number', template: memo({ maxAge: 10 }), expected: ['deny .memoize.maxAge'] },
    { says: 'words', template: memo({ maxAge: 'one hour' }), expected: ['deny .memoize.maxAge'] },
    {
      says: 'by annotation',
      template: annotated({ [KEY]: '{{inputs.parameters.x}}', [CACHE]: 'c', [MAX_AGE]: '1d' }),
      expected: ['deny .metadata.annotations["stepmemo.io/max-age"]'],
    },
    {
      says: 'an argument',
      template: memo({ maxAge: '{{workflow.parameters.age}}' }),
      spec: { arguments: { parameters: [{ name: 'age', value: '1d' }] } },
      expected: ['deny .memoize.maxAge'],
    },
    { says: 'what Go reads', template: memo({ maxAge: '1h30m0.5s' }), expected: [] },
    { says: 'a bare zero', template: memo({ maxAge: '0' }), expected: [] },
    { says: 'empty', template: memo({ maxAge: '' }), expected: [] },
    { says: 'a parameter that nobody knows', template: memo({ maxAge: '{{inputs.parameters.x}}' }), expected: [] },
  ],
  'cache-name-invalid': [
    { says: 'upper case', template: memo(configMap('My-Cache')), expected: ['deny .memoize.cache.configMap.name'] },
    { says: 'underscore', template: memo(configMap('my_cache')), expected: ['deny .memoize.cache.configMap.name'] },
    { says: 'too long', template: memo(configMap('a'.repeat(254))), expected: ['deny .memoize.cache.configMap.name'] },
    { says: 'empty', template: memo(configMap('')), expected: ['deny .memoize.cache.configMap.name'] },
    { says: 'a number', template: memo(configMap(5)), expected: ['deny .memoize.cache.configMap.name'] },
    { says: 'no cache', template: memo({ cache: undefined }), expected: ['deny .memoize.cache'] },
    { says: 'cache null', template: memo({ cache: null }), expected: ['deny .memoize.cache'] },
    { says: 'cache a string', template: memo({ cache: 'my-cache' }), expected: ['deny .memoize.cache'] },
    { says: 'no configMap', template: memo({ cache: {} }), expected: ['deny .memoize.cache.configMap'] },
    { says: 'no name', template: memo({ cache: { configMap: {} } }), expected: ['deny .memoize.cache.configMap.name'] },
    {
      says: 'wrong around a parameter',
      template: memo(configMap('My_{{inputs.parameters.x}}')),
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: 'an argument',
      template: memo(configMap('{{workflow.parameters.c}}')),
      spec: { arguments: { parameters: [{ name: 'c', value: 'A B' }] } },
      expected: ['deny .memoize.cache.configMap.name'],
    },
    {
      says: 'by annotation',
      template: annotated({ [KEY]: '{{inputs.parameters.x}}', [CACHE]: 'A' }),
      expected: ['deny .metadata.annotations["stepmemo.io/cache"]'],
    },
    {
      says: 'annotation missing',
      template: annotated({ [KEY]: '{{inputs.parameters.x}}' }),
      expected: ['deny .metadata.annotations["stepmemo.io/cache"]'],
    },
    {
      says: 'a cache in templateDefaults does not help a memoize of its own',
      template: memo({ cache: undefined }),
      spec: { templateDefaults: { memoize: MEMOIZE } },
      expected: ['deny .memoize.cache'],
    },
    {
      says: 'the annotation of templateDefaults does help an annotation',
      template: annotated({ [KEY]: '{{inputs.parameters.x}}' }),
      spec: { templateDefaults: { metadata: { annotations: { [CACHE]: 'c' } } } },
      expected: [],
    },
    { says: 'dots', template: memo(configMap('my.cache-1')), expected: [] },
    { says: 'a parameter', template: memo(configMap('{{inputs.parameters.x}}')), expected: [] },
    {
      says: 'parts',
      template: memo(configMap('c-{{workflow.parameters.c}}')),
      spec: { arguments: { parameters: [{ name: 'c', value: 'x' }] } },
      expected: [],
    },
  ],
  'key-invalid': [
    { says: 'empty', template: memo({ key: '' }), expected: ['deny .memoize.key'] },
    { says: 'missing', template: memo({ key: undefined }), expected: ['deny .memoize.key'] },
    { says: 'a number', template: memo({ key: 5 }), expected: ['deny .memoize.key'] },
    {
      says: 'annotation missing',
      template: annotated({ [CACHE]: 'c' }),
      expected: ['deny .metadata.annotations["stepmemo.io/key"]'],
    },
    {
      says: 'native: a dot',
      template: memo({ key: 'a.{{inputs.parameters.x}}' }),
      context: NATIVE,
      expected: ['deny .memoize.key'],
    },
    {
      says: 'native: an underscore',
      template: memo({ key: 'a_{{inputs.parameters.x}}' }),
      context: NATIVE,
      expected: ['deny .memoize.key'],
    },
    {
      says: 'native: begins with -',
      template: memo({ key: '-{{inputs.parameters.x}}' }),
      context: NATIVE,
      expected: ['deny .memoize.key'],
    },
    {
      says: 'native: too long to save',
      template: memo({ key: `${'a'.repeat(254)}{{inputs.parameters.x}}` }),
      context: NATIVE,
      expected: ['deny .memoize.key'],
    },
    {
      says: 'native: - after a parameter',
      template: memo({ key: '{{inputs.parameters.x}}-b' }),
      context: NATIVE,
      expected: [],
    },
    {
      says: 'native: what a parameter brings is not judged',
      template: memo({ key: '{{workflow.parameters.k}}{{inputs.parameters.x}}' }),
      spec: { arguments: { parameters: [{ name: 'k', value: 'a.b' }] } },
      context: NATIVE,
      expected: [],
    },
    { says: 'managed: any text', template: memo({ key: 'a.b/c_{{inputs.parameters.x}}' }), expected: [] },
    {
      says: 'native: by annotation any text',
      template: annotated({ [KEY]: 'a.b {{inputs.parameters.x}}', [CACHE]: 'c' }),
      context: NATIVE,
      expected: [],
    },
    {
      says: 'managed: steps are looked up by Argo',
      template: { ...STEPS_OUTPUTS, memoize: { ...MEMOIZE, key: 'a.{{inputs.parameters.x}}' } },
      expected: ['deny .memoize.key'],
    },
    {
      says: 'managed: so are DAGs',
      template: {
        ...STEP,
        container: undefined,
        dag: { tasks: [] },
        memoize: { ...MEMOIZE, key: 'a.{{inputs.parameters.x}}' },
      },
      expected: ['deny .memoize.key'],
    },
    {
      says: 'managed: so are resources that may not be skipped',
      template: { ...memo({ key: 'a.{{inputs.parameters.x}}' }), container: undefined, resource: { action: 'get' } },
      expected: ['deny .memoize.key'],
    },
    {
      says: 'managed: control characters',
      template: memo({ key: 'a\n{{inputs.parameters.x}}' }),
      expected: ['deny .memoize.key'],
    },
    {
      says: 'managed: 100,000 characters',
      template: memo({ key: `${'a'.repeat(100_000)}{{inputs.parameters.x}}` }),
      expected: ['deny .memoize.key'],
    },
    { says: 'managed: 16 KiB', template: memo({ key: `${'a'.repeat(16_384)}{{inputs.parameters.x}}` }), expected: [] },
  ],
  'memoize-malformed': [
    { says: 'a string', template: { ...STEP, memoize: 'yes' }, expected: ['deny .memoize'] },
    { says: 'a list', template: { ...STEP, memoize: [] }, expected: ['deny .memoize'] },
    { says: 'true', template: { ...STEP, memoize: true }, expected: ['deny .memoize'] },
    { says: 'null is none', template: { ...STEP, memoize: null }, expected: [] },
  ],
  'key-constant': [
    { says: 'inputs, and none in the key', template: memo({ key: 'k' }), expected: ['warn .memoize.key'] },
    {
      says: 'input artifacts',
      template: { ...memo({ key: 'k' }), inputs: { artifacts: [{ name: 'a', path: '/a' }] } },
      expected: ['warn .memoize.key'],
    },
    { says: 'no inputs', template: { ...memo({ key: 'k' }), inputs: undefined }, expected: [] },
    { says: 'a parameter', template: STEP, expected: [] },
  ],
  'key-unique-per-run': [
    {
      says: 'workflow.name',
      template: memo({ key: '{{workflow.name}}-{{inputs.parameters.x}}' }),
      expected: ['warn .memoize.key'],
    },
    {
      says: 'workflow.uid',
      template: memo({ key: '{{ workflow.uid }}-{{inputs.parameters.x}}' }),
      expected: ['warn .memoize.key'],
    },
    {
      says: 'pod.name',
      template: memo({ key: '{{pod.name}}-{{inputs.parameters.x}}' }),
      expected: ['warn .memoize.key'],
    },
    {
      says: 'workflow.namespace',
      template: memo({ key: '{{workflow.namespace}}-{{inputs.parameters.x}}' }),
      expected: [],
    },
  ],
  'memoize-without-pod': [
    { says: 'steps', template: STEPS_OUTPUTS, expected: ['warn .memoize'] },
    { says: 'dag', template: { ...STEP, container: undefined, dag: { tasks: [] } }, expected: ['warn .memoize'] },
    {
      says: 'http',
      template: { ...STEP, container: undefined, http: { url: 'http://x' } },
      expected: ['warn .memoize'],
    },
    { says: 'plugin', template: { ...STEP, container: undefined, plugin: { p: {} } }, expected: ['warn .memoize'] },
    { says: 'suspend', template: { ...STEP, container: undefined, suspend: {} }, expected: ['warn .memoize'] },
    {
      says: 'suspend in native mode',
      template: { ...STEP, container: undefined, suspend: {} },
      context: NATIVE,
      expected: ['warn .memoize'],
    },
    { says: 'steps in native mode', template: STEPS_OUTPUTS, context: NATIVE, expected: [] },
    {
      says: 'annotations on steps',
      template: annotated({ [KEY]: 'k', [CACHE]: 'c' }, { container: undefined, steps: [] }),
      expected: ['warn .metadata.annotations["stepmemo.io/key"]'],
    },
    { says: 'script', template: { ...STEP, container: undefined, script: { image: 'i', source: 's' } }, expected: [] },
  ],
  'resource-not-allowed': [
    {
      says: 'without leave',
      template: { ...STEP, container: undefined, resource: { action: 'get' } },
      expected: ['warn .memoize'],
    },
    {
      says: 'with leave',
      template: {
        ...STEP,
        container: undefined,
        resource: { action: 'get' },
        metadata: { annotations: { 'stepmemo.io/allow-resource': 'true' } },
      },
      expected: [],
    },
    {
      says: 'native mode',
      template: { ...STEP, container: undefined, resource: { action: 'get' } },
      context: NATIVE,
      expected: [],
    },
  ],
  'daemon-memoized': [
    { says: 'a daemon', template: { ...STEP, daemon: true }, expected: ['warn .memoize'] },
    {
      says: 'a daemon by default',
      template: STEP,
      spec: { templateDefaults: { daemon: true } },
      expected: ['warn .memoize'],
    },
    { says: 'none', template: { ...STEP, daemon: false }, expected: [] },
  ],
  'memoize-with-synchronization': [
    {
      says: 'a mutex',
      template: { ...STEP, synchronization: { mutexes: [{ name: 'm' }] } },
      expected: ['warn .synchronization'],
    },
    {
      says: "native mode: Argo's own way",
      template: { ...STEP, synchronization: { mutexes: [{ name: 'm' }] } },
      context: NATIVE,
      expected: [],
    },
    {
      says: 'native mode before 3.4.12',
      template: { ...STEP, synchronization: { mutex: { name: 'm' } } },
      context: { ...NATIVE, argoVersion: { major: 3, minor: 4, patch: 11 } },
      expected: ['warn .synchronization'],
    },
    { says: 'not memoized', template: { ...STEP, memoize: undefined, synchronization: {} }, expected: [] },
  ],
  'artifacts-collected': [
    {
      says: 'by the artifact',
      template: {
        ...STEP,
        outputs: { artifacts: [{ name: 'a', path: '/a', artifactGC: { strategy: 'OnWorkflowDeletion' } }] },
      },
      expected: ['warn .outputs.artifacts[0]'],
    },
    {
      says: 'by the workflow',
      template: { ...STEP, outputs: { artifacts: [{ name: 'a', path: '/a' }] } },
      spec: { artifactGC: { strategy: 'OnWorkflowCompletion' } },
      expected: ['warn .outputs.artifacts[0]'],
    },
    {
      says: 'the artifact says Never',
      template: { ...STEP, outputs: { artifacts: [{ name: 'a', path: '/a', artifactGC: { strategy: 'Never' } }] } },
      spec: { artifactGC: { strategy: 'OnWorkflowCompletion' } },
      expected: [],
    },
    { says: 'none', template: { ...STEP, outputs: { artifacts: [{ name: 'a', path: '/a' }] } }, expected: [] },
  ],
  'tag-unresolved': [
    { says: 'no such input', template: memo({ key: '{{inputs.parameters.z}}' }), expected: ['warn .memoize.key'] },
    {
      says: 'no such argument',
      template: memo({ key: '{{inputs.parameters.x}}{{workflow.parameters.z}}' }),
      expected: ['warn .memoize.key'],
    },
    { says: 'misspelt', template: memo({ key: '{{input.parameters.x}}' }), expected: ['warn .memoize.key'] },
    {
      says: 'misspelt in the cache',
      template: memo(configMap('{{workflow.paramaters.x}}')),
      expected: ['warn .memoize.cache.configMap.name'],
    },
    { says: 'of another step', template: memo({ key: '{{steps.a.outputs.result}}' }), expected: ['warn .memoize.key'] },
    { says: 'the item', template: memo({ key: '{{item}}' }), expected: ['warn .memoize.key'] },
    { says: 'unclosed', template: memo({ key: '{{inputs.parameters.x' }), expected: ['warn .memoize.key'] },
    {
      says: "an artifact's content",
      template: { ...memo({ key: '{{inputs.artifacts.a}}' }), inputs: { artifacts: [{ name: 'a' }] } },
      expected: ['warn .memoize.key'],
    },
    {
      says: 'retries, natively',
      template: { ...memo({ key: '{{retries}}' }), retryStrategy: {} },
      context: NATIVE,
      expected: ['warn .memoize.key'],
    },
    { says: 'retries without any', template: memo({ key: '{{retries}}' }), expected: ['warn .memoize.key'] },
    { says: 'retries, managed', template: { ...memo({ key: '{{retries}}' }), retryStrategy: {} }, expected: [] },
    {
      says: 'pod.name with retries, natively',
      template: memo({ key: '{{pod.name}}' }),
      spec: { retryStrategy: {} },
      context: NATIVE,
      expected: ['warn .memoize.key'],
    },
    { says: 'an input with blanks around', template: memo({ key: '{{ inputs.parameters.x }}' }), expected: [] },
    { says: 'an expression', template: memo({ key: '{{=sprig.sha256sum(inputs.parameters.x)}}' }), expected: [] },
    {
      says: 'an argument',
      template: memo({ key: '{{workflow.parameters.k}}' }),
      spec: { arguments: { parameters: [{ name: 'k' }] } },
      expected: [],
    },
    {
      says: "an artifact's path",
      template: { ...memo({ key: '{{inputs.artifacts.a.path}}' }), inputs: { artifacts: [{ name: 'a' }] } },
      expected: [],
    },
    {
      says: 'labels, parameters as a whole, global outputs',
      template: memo({
        key: '{{workflow.labels.a}}{{workflow.parameters}}{{inputs.parameters}}{{workflow.outputs.parameters.o}}{{tasks.name}}',
      }),
      expected: [],
    },
  ],
  'member-unknown': [
    { says: 'misspelt', template: memo({ maxage: '1h' }), expected: ['warn .memoize.maxage'] },
    {
      says: 'one level too high',
      template: memo({ cache: { name: 'c', configMap: { name: 'c' } } }),
      expected: ['warn .memoize.cache.name'],
    },
    {
      says: 'all known',
      template: memo({ cache: { configMap: { name: 'c', key: 'k', optional: true } } }),
      expected: [],
    },
  ],
  'memoize-misplaced': [
    {
      says: 'in a step',
      template: { name: 'a', steps: [[{ name: 's', template: 't', memoize: MEMOIZE }]] },
      expected: ['warn .steps[0][0].memoize'],
    },
    {
      says: 'in a task',
      template: { name: 'a', dag: { tasks: [{ name: 's', template: 't', memoize: MEMOIZE }] } },
      expected: ['warn .dag.tasks[0].memoize'],
    },
    {
      says: 'in a container',
      template: { ...STEP, memoize: undefined, container: { image: 'x', memoize: MEMOIZE } },
      expected: ['warn .container.memoize'],
    },
    { says: 'in the template', template: STEP, expected: [] },
  ],
  'max-age-never-fresh': [
    { says: 'zero', template: memo({ maxAge: '0' }), expected: ['warn .memoize.maxAge'] },
    { says: 'negative', template: memo({ maxAge: '-1h' }), expected: ['warn .memoize.maxAge'] },
    { says: 'a nanosecond', template: memo({ maxAge: '1ns' }), expected: [] },
  ],
  'max-age-missing': [
    {
      says: 'native mode on 4.0',
      template: memo({ maxAge: undefined }),
      context: NATIVE,
      expected: ['warn .memoize.maxAge'],
    },
    {
      says: 'steps on 4.0',
      template: { ...STEPS_OUTPUTS, memoize: { ...MEMOIZE, maxAge: undefined } },
      expected: ['warn .memoize.maxAge'],
    },
    { says: 'managed mode', template: memo({ maxAge: undefined }), expected: [] },
    { says: 'native mode on 3.4', template: memo({ maxAge: undefined }), context: { ...NATIVE, ...V34 }, expected: [] },
    { says: 'empty', template: memo({ maxAge: '' }), context: NATIVE, expected: [] },
  ],
  'steps-outputs-null': [
    { says: '4.0.5', template: STEPS_OUTPUTS, expected: ['warn .memoize'] },
    {
      says: '4.0.9',
      template: STEPS_OUTPUTS,
      context: { argoVersion: { major: 4, minor: 0, patch: 9 } },
      expected: [],
    },
    {
      says: '3.7.18',
      template: STEPS_OUTPUTS,
      context: { argoVersion: { major: 3, minor: 7, patch: 18 } },
      expected: [],
    },
    { says: 'without outputs', template: { ...STEPS_OUTPUTS, ...NO_OUTPUTS }, expected: [] },
    { says: 'a dag', template: { ...STEP, container: undefined, dag: { tasks: [] } }, expected: [] },
  ],
  'retry-not-saved': [
    {
      says: 'native on 3.4',
      template: { ...STEP, retryStrategy: { limit: 2 } },
      context: { ...NATIVE, ...V34 },
      expected: ['warn .memoize'],
    },
    { says: 'managed on 3.4', template: { ...STEP, retryStrategy: { limit: 2 } }, context: V34, expected: [] },
    { says: 'native on 4.0', template: { ...STEP, retryStrategy: { limit: 2 } }, context: NATIVE, expected: [] },
  ],
  'annotation-unknown': [
    {
      says: 'misspelt',
      template: { ...STEP, metadata: { annotations: { 'stepmemo.io/maxage': '1h' } } },
      expected: ['warn .metadata.annotations["stepmemo.io/maxage"]'],
    },
    {
      says: 'a value without meaning',
      template: { ...STEP, metadata: { annotations: { 'stepmemo.io/reuse': 'no' } } },
      expected: ['warn .metadata.annotations["stepmemo.io/reuse"]'],
    },
    {
      says: "stepmemo's own",
      template: { ...STEP, metadata: { annotations: { 'stepmemo.io/decision': 'hit' } } },
      expected: ['warn .metadata.annotations["stepmemo.io/decision"]'],
    },
    {
      says: 'known ones',
      template: {
        ...STEP,
        metadata: {
          annotations: {
            'stepmemo.io/reuse': 'refresh',
            'stepmemo.io/capture': 'server',
            'stepmemo.io/max-age': '1h',
            other: '',
          },
        },
      },
      expected: [],
    },
    {
      says: 'a parameter',
      template: { ...STEP, metadata: { annotations: { 'stepmemo.io/reuse': '{{inputs.parameters.x}}' } } },
      expected: [],
    },
  ],
  'image-unpinned': [
    { says: 'off as shipped', template: STEP, expected: [] },
    {
      says: 'a tag',
      template: { ...STEP, container: { image: 'busybox:1' } },
      context: on('image-unpinned'),
      expected: ['warn .container.image'],
    },
    {
      says: 'the tag in the key',
      template: { ...memo({ key: 'v1.36-{{inputs.parameters.x}}' }), container: { image: 'busybox:1.36' } },
      context: on('image-unpinned'),
      expected: [],
    },
    {
      says: 'a digest',
      template: { ...STEP, container: { image: 'busybox@sha256:00' } },
      context: on('image-unpinned'),
      expected: [],
    },
  ],
};
