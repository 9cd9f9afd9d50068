import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { findFindings } from '../../../src/policy/find-findings.ts';
import { brief, context, findBrief, MEMOIZE, STEP, workflow } from './support.ts';

const BAD = { ...STEP, memoize: { ...MEMOIZE, maxAge: '1d' } };
const apiVersion = 'argoproj.io/v1alpha1';
const V34 = { argoVersion: { major: 3, minor: 4, patch: 17 } } as const;

function objectOf(kind: string, spec: JsonObject): JsonObject {
  const metadata = { name: 'o', namespace: 'team-a' };
  return {
    apiVersion,
    kind,
    metadata,
    spec: kind === 'CronWorkflow' ? { schedule: '* * * * *', workflowSpec: spec } : spec,
  };
}

/** Every place that `memoize` may stand in, below the WorkflowSpec. */
const PLACES: readonly (readonly [path: string, spec: JsonObject])[] = [
  ['templates[1].memoize.maxAge', { templates: [STEP, BAD] }],
  [
    'templateDefaults.memoize.maxAge',
    { templateDefaults: { memoize: BAD.memoize }, templates: [{ ...STEP, memoize: undefined }] },
  ],
  [
    'templates[0].steps[0][1].inline.memoize.maxAge',
    {
      templates: [
        {
          name: 'm',
          steps: [
            [
              { name: 'a', template: 'x' },
              { name: 'b', inline: BAD },
            ],
          ],
        },
      ],
    },
  ],
  [
    'templates[0].dag.tasks[0].inline.memoize.maxAge',
    { templates: [{ name: 'm', dag: { tasks: [{ name: 'a', inline: BAD }] } }] },
  ],
  [
    'templates[0].dag.tasks[0].inline.steps[0][0].inline.memoize.maxAge',
    { templates: [{ name: 'm', dag: { tasks: [{ name: 'a', inline: { steps: [[{ name: 'b', inline: BAD }]] } }] } }] },
  ],
];

describe.each(['Workflow', 'WorkflowTemplate', 'ClusterWorkflowTemplate', 'CronWorkflow'])('a %s', (kind) => {
  const root = kind === 'CronWorkflow' ? 'spec.workflowSpec' : 'spec';
  it.each(PLACES)('is judged at %s', (path, spec) => {
    const lines = findBrief(objectOf(kind, spec));
    expect(lines).toContain(`deny max-age-invalid ${root}.${path}`);
  });

  it('has pointers that lead to the field', () => {
    for (const [, spec] of PLACES) {
      const object = objectOf(kind, spec);
      const [finding] = findFindings(object, context()).filter(({ rule }) => rule === 'max-age-invalid');
      const parts = finding?.pointer.slice(1).split('/') ?? [];
      expect(parts.reduce<unknown>((value, part) => (value as Record<string, unknown>)?.[part], object)).toBe('1d');
    }
  });
});

describe('templateDefaults', () => {
  const defaults = { memoize: { ...MEMOIZE, key: 'k' } };
  const bare = { ...STEP, memoize: undefined };

  it('are told once for what all templates share, and for each template where it matters', () => {
    const object = workflow({
      templateDefaults: defaults,
      templates: [bare, { ...bare, name: 'b', outputs: undefined }, { name: 'c', steps: [] }],
    });
    expect(findBrief(object, V34)).toEqual([
      'warn key-constant spec.templateDefaults.memoize.key',
      'deny outputless-before-3.5 spec.templates[1]',
      'deny outputless-before-3.5 spec.templates[2]',
      'warn memoize-without-pod spec.templates[2]',
    ]);
  });

  it('are judged even where there is no template', () => {
    expect(findBrief(workflow({ templateDefaults: { memoize: {} } }))).toEqual([
      'deny key-invalid spec.templateDefaults.memoize.key',
      'deny cache-name-invalid spec.templateDefaults.memoize.cache',
    ]);
  });

  it('do not make a step memoized by a cache alone', () => {
    const spec = { templateDefaults: { metadata: { annotations: { 'stepmemo.io/cache': 'c' } } }, templates: [bare] };
    expect(findBrief(workflow(spec))).toEqual([]);
  });
});

describe('references', () => {
  const library = (name: string, templates: readonly JsonObject[], more: JsonObject = {}): JsonObject => ({
    apiVersion,
    kind: 'WorkflowTemplate',
    metadata: { name, namespace: 'team-a' },
    spec: { templates, ...more },
  });
  const lookUpIn = (...objects: JsonObject[]) => ({
    lookUpTemplate: (kind: string, _: string | undefined, name: string) =>
      objects.find((object) => object.kind === kind && (object.metadata as JsonObject).name === name),
  });
  const calls = (templateRef: JsonObject) =>
    workflow({ templates: [{ name: 'main', steps: [[{ name: 'a', templateRef }]] }] });
  const REF = 'spec.templates[0].steps[0][0].templateRef';

  it('are followed, and what is found is told at the field that names it', () => {
    const findings = findFindings(
      calls({ name: 'lib', template: 'step' }),
      context(lookUpIn(library('lib', [STEP, BAD]))),
    );
    expect(brief(findings)).toEqual([`deny max-age-invalid ${REF}`]);
    expect(findings[0]?.message).toBe(
      'WorkflowTemplate "lib", spec.templates[1].memoize.maxAge: "1d" is no duration as Argo reads it.',
    );
  });

  it('are judged for the named template alone, with what it calls', () => {
    const steps = { name: 'outer', steps: [[{ name: 'x', template: 'inner' }]] };
    const lib = library('lib', [{ ...BAD, name: 'unused' }, steps, { ...BAD, name: 'inner' }]);
    expect(findBrief(calls({ name: 'lib', template: 'outer' }), lookUpIn(lib))).toEqual([
      `deny max-age-invalid ${REF}`,
    ]);
    expect(findBrief(calls({ name: 'lib', template: 'none' }), lookUpIn(lib))).toEqual([]);
  });

  it('are followed through other objects, hooks and inline templates', () => {
    const far = library('far', [{ ...BAD, name: 'step' }]);
    const hook = { name: 'a', template: 'x', hooks: { exit: { templateRef: { name: 'far', template: 'step' } } } };
    const lib = library('lib', [{ name: 'outer', dag: { tasks: [{ name: 'i', inline: { steps: [[hook]] } }] } }]);
    expect(findBrief(calls({ name: 'lib', template: 'outer' }), lookUpIn(lib, far))).toEqual([
      `deny max-age-invalid ${REF}`,
    ]);
  });

  it('end, when they go in circles', () => {
    const there = library('a', [{ name: 't', steps: [[{ name: 's', templateRef: { name: 'b', template: 't' } }]] }]);
    const back = library('b', [
      {
        name: 't',
        steps: [
          [
            { name: 's', templateRef: { name: 'a', template: 't' } },
            { name: 'u', template: 't' },
          ],
        ],
      },
    ]);
    expect(findBrief(calls({ name: 'a', template: 't' }), lookUpIn(there, back))).toEqual([]);
  });

  it('of a workflowTemplateRef bring all of its templates, with its defaults below those of the Workflow', () => {
    const bare = { ...STEP, memoize: undefined, outputs: undefined };
    const base = library('base', [bare], { templateDefaults: { memoize: { ...MEMOIZE, maxAge: '1d' } } });
    const object = workflow({ workflowTemplateRef: { name: 'base' } });
    expect(findBrief(object, { ...V34, ...lookUpIn(base) })).toEqual([
      'deny max-age-invalid spec.workflowTemplateRef',
      'deny outputless-before-3.5 spec.workflowTemplateRef',
    ]);
    const over = workflow({ workflowTemplateRef: { name: 'base' }, templateDefaults: { memoize: MEMOIZE } });
    expect(findBrief(over, lookUpIn(base))).toContain('deny max-age-invalid spec.workflowTemplateRef');
    expect(findBrief(over, { ...V34, ...lookUpIn(base) })).toContain(
      'deny outputless-before-3.5 spec.workflowTemplateRef',
    );
  });

  it("bring the Workflow's own defaults to templates behind a templateRef", () => {
    const bare = { ...STEP, memoize: undefined, outputs: undefined };
    const object = workflow({
      templateDefaults: { memoize: MEMOIZE },
      templates: [
        {
          name: 'main',
          steps: [[{ name: 'a', templateRef: { name: 'lib', template: 'step' } }]],
          memoize: MEMOIZE,
          outputs: STEP.outputs,
        },
      ],
    });
    expect(findBrief(object, { ...V34, ...lookUpIn(library('lib', [bare])) })).toContain(
      `deny outputless-before-3.5 ${REF}`,
    );
  });

  it('of the whole cluster are found by clusterScope', () => {
    const cluster = { ...library('lib', [BAD]), kind: 'ClusterWorkflowTemplate' };
    expect(findBrief(calls({ name: 'lib', template: 'step' }), lookUpIn(cluster))).toEqual([]);
    expect(findBrief(calls({ name: 'lib', template: 'step', clusterScope: true }), lookUpIn(cluster))).toEqual([
      `deny max-age-invalid ${REF}`,
    ]);
  });

  it('bring no warnings of other objects', () => {
    const constant = { ...STEP, memoize: { ...MEMOIZE, key: 'k' } };
    expect(findBrief(calls({ name: 'lib', template: 'step' }), lookUpIn(library('lib', [constant])))).toEqual([]);
    expect(findBrief(library('lib', [constant]))).toHaveLength(1);
  });

  it('to what was stored before the move are judged as Argo will look it up', () => {
    const lib = library('lib', [{ ...STEP, memoize: { ...MEMOIZE, key: 'a.b' } }]);
    const object = calls({ name: 'lib', template: 'step' });
    expect(findBrief(object, { ...lookUpIn(lib), areTemplatesStored: true })).toEqual([`deny key-invalid ${REF}`]);
    expect(findBrief(object, { ...lookUpIn(lib), areTemplatesStored: false })).toEqual([]);
  });

  it('to a ClusterWorkflowTemplate that has not opted in are judged as Argo will look it up', () => {
    const metadata = (label: string) => ({ name: 'lib', labels: { 'stepmemo.io/enabled': label } });
    const cluster = (label: string) => ({
      ...library('lib', [{ ...STEP, memoize: { ...MEMOIZE, key: 'a.b' } }]),
      kind: 'ClusterWorkflowTemplate',
      metadata: metadata(label),
    });
    const object = calls({ name: 'lib', template: 'step', clusterScope: true });
    expect(findBrief(object, lookUpIn(cluster('false')))).toEqual([`deny key-invalid ${REF}`]);
    expect(findBrief(object, lookUpIn(cluster('true')))).toEqual([]);
    expect(findBrief(cluster('false'))).toEqual([
      'deny key-invalid spec.templates[0].memoize.key',
      'warn key-constant spec.templates[0].memoize.key',
    ]);
    expect(findBrief(cluster('true'))).toEqual(['warn key-constant spec.templates[0].memoize.key']);
  });
});
