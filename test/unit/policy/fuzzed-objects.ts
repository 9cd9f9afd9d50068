import fc from 'fast-check';
import { MEMOIZE, STEP } from './support.ts';

/** Member names that the rules read, so that fuzzed objects reach them. */
const NAMES = [
  'templates',
  'templateDefaults',
  'memoize',
  'key',
  'maxAge',
  'cache',
  'configMap',
  'name',
  'steps',
  'dag',
  'tasks',
  'inline',
  'template',
  'templateRef',
  'clusterScope',
  'workflowTemplateRef',
  'workflowSpec',
  'arguments',
  'parameters',
  'artifacts',
  'inputs',
  'outputs',
  'value',
  'default',
  'metadata',
  'annotations',
  'stepmemo.io/key',
  'stepmemo.io/cache',
  'stepmemo.io/moved-from',
  'stepmemo.io/restore',
  'stepmemo.io/copied-from',
  'container',
  'suspend',
  'daemon',
  'synchronization',
  'artifactGC',
  'strategy',
  'hooks',
  'retryStrategy',
  'entrypoint',
  '__proto__',
  'toString',
  'valueOf',
  'constructor',
  '',
];
const TEXTS = [
  '',
  'a',
  'A_b',
  '1d',
  '{{inputs.parameters.a}}',
  '{{workflow.parameters.a}}',
  '{{',
  '}}',
  '{{{{a}}}}',
  '{{=1}}',
  'memoize',
  '\u0000',
  '\ud800',
];

const json = fc
  .letrec<{ any: unknown }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 7, withCrossShrink: true },
      fc.constantFrom<unknown>(null, true, false, 0, -1.5, [], {}),
      fc.constantFrom(...TEXTS),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...NAMES), tie('any'), { maxKeys: 6 }),
    ),
  }))
  .any.map((value): unknown => JSON.parse(JSON.stringify(value)));

const KINDS = ['Workflow', 'WorkflowTemplate', 'ClusterWorkflowTemplate', 'CronWorkflow'];
export const mode = fc.constantFrom('managed' as const, 'native' as const);
export const version = fc.constantFrom(
  'unknown' as const,
  { major: 3, minor: 4, patch: 17 },
  { major: 4, minor: 0, patch: 5 },
);
export const fuzzed = fc.record({ kind: fc.constantFrom(...KINDS), metadata: json, spec: json });

/** A real object with one value exchanged for another, anywhere. */
export const mutated = fc
  .tuple(fc.array(fc.nat(20), { maxLength: 8 }), json, fc.constantFrom(...KINDS))
  .map(([steps, value, kind]) => {
    const inline = { ...STEP, name: '' };
    const spec = {
      entrypoint: 'main',
      arguments: { parameters: [{ name: 'a', value: 'b' }] },
      templateDefaults: { memoize: MEMOIZE, metadata: { annotations: { 'stepmemo.io/cache': 'c' } } },
      workflowTemplateRef: { name: 'self' },
      templates: [
        STEP,
        {
          name: 'main',
          steps: [
            [
              { name: 'a', template: 'step', arguments: { parameters: [{ name: 'x', value: '1' }] } },
              { name: 'b', inline },
            ],
          ],
        },
        { name: 'd', dag: { tasks: [{ name: 't', templateRef: { name: 'self', template: 'main' } }] } },
      ],
    };
    const object = structuredClone({
      kind,
      metadata: { name: 'o', namespace: 'n' },
      spec: kind === 'CronWorkflow' ? { workflowSpec: spec } : spec,
    });
    let holder: Record<string, unknown> = object;
    for (const step of steps) {
      const keys = Object.keys(holder);
      const key = keys[step % Math.max(keys.length, 1)];
      const next = key === undefined ? undefined : holder[key];
      if (key === undefined) break;
      if (typeof next !== 'object' || next === null || step % 5 === 4) {
        holder[key] = value;
        break;
      }
      holder = next as Record<string, unknown>;
    }
    return object;
  });
