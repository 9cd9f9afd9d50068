import jsonpatch from 'jsonpatch';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { moveMemoize } from '../../../src/workflow/move-memoize.ts';
import { judgeWorkflow } from '../../../src/workflow/mutate-workflow.ts';
import { restoreMemoize } from '../../../src/workflow/restore-memoize.ts';

const memoize = { key: 'k-{{inputs.parameters.x}}', maxAge: '1h', cache: { configMap: { name: 'c' } } };
const annotations = {
  'stepmemo.io/key': 'k-{{inputs.parameters.x}}',
  'stepmemo.io/cache': 'c',
  'stepmemo.io/max-age': '1h',
  'stepmemo.io/moved-from': 'memoize',
};
const body = { container: { image: 'x' } };
const steps = { steps: [[{ name: 's', template: 't' }]] };
const enabled = { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' } as const;

function workflow(spec: JsonObject, metadata: JsonObject = {}): JsonObject {
  return { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', metadata, spec };
}

function withTemplates(...templates: unknown[]): JsonObject {
  return workflow({ templates });
}

function apply(object: JsonObject, patch: readonly unknown[]): JsonObject {
  return jsonpatch.apply_patch(structuredClone(object), patch) as JsonObject;
}

/** The object after the move, with what was said; checks on the way that a second move changes nothing. */
function move(object: JsonObject) {
  const result = moveMemoize(object);
  const after = apply(object, result.patch);
  expect(moveMemoize(after).patch).toEqual([]);
  return { ...result, after };
}

describe('moveMemoize', () => {
  it.each([
    ['container', body],
    ['script', { script: { source: 'x' } }],
    ['containerSet', { containerSet: { containers: [{ name: 'main' }] } }],
    ['data', { data: { source: {} } }],
    ['allowed resource', { resource: {}, metadata: { annotations: { 'stepmemo.io/allow-resource': 'true' } } }],
  ])('moves the memoize of a %s template into its annotations', (_, template) => {
    const { after, warnings, moved } = move(withTemplates({ name: 't', ...template, memoize }));
    const own = 'metadata' in template ? template.metadata.annotations : {};
    expect(after).toEqual(
      withTemplates({ name: 't', ...template, metadata: { annotations: { ...own, ...annotations } } }),
    );
    expect([warnings, moved]).toEqual([[], ['spec.templates[0]']]);
  });

  it.each([
    [
      'steps',
      steps,
      'spec.templates[0].memoize stays with Argo: a steps template makes no pod. For stepmemo, put memoize',
    ],
    ['dag', { dag: { tasks: [] } }, 'spec.templates[0].memoize stays with Argo: a dag template makes no pod.'],
    ['suspend', { suspend: {} }, 'spec.templates[0].memoize stays with Argo: a template of kind suspend makes no pod'],
    ['http', { http: {} }, 'spec.templates[0].memoize stays with Argo: a template of kind http makes no pod'],
    ['plugin', { plugin: {} }, 'spec.templates[0].memoize stays with Argo: a template of kind plugin makes no pod'],
    ['bodiless', {}, 'spec.templates[0].memoize stays with Argo: the template has no body'],
    ['resource', { resource: {} }, 'spec.templates[0].memoize stays with Argo: the step acts on the cluster.'],
    [
      'resource that says false',
      { resource: {}, metadata: { annotations: { 'stepmemo.io/allow-resource': 'false' } } },
      'spec.templates[0].memoize stays with Argo: the step acts on the cluster.',
    ],
  ])('leaves the memoize of a %s template, and says what to do', (_, template, warning) => {
    const { patch, warnings } = move(withTemplates({ ...template, memoize }));
    expect(patch).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining(warning)]);
    expect(warnings[0]?.length).toBeLessThanOrEqual(256);
  });

  it('moves the memoize of a daemon too, for Argo would fail to save it, and says that it has no use', () => {
    const { after, warnings } = move(withTemplates({ ...body, daemon: true, memoize }));
    expect(after).toEqual(withTemplates({ ...body, daemon: true, metadata: { annotations } }));
    expect(warnings).toEqual([expect.stringContaining('spec.templates[0] is a daemon')]);
  });

  it('reaches inline templates of steps and DAG tasks, to any depth', () => {
    const inline = { ...body, memoize };
    const object = withTemplates({
      steps: [[{ inline: { dag: { tasks: [{ inline }, { inline: { steps: [[{ inline }]] } }] } } }]],
    });
    expect(move(object).moved).toEqual([
      'spec.templates[0].steps[0][0].inline.dag.tasks[0].inline',
      'spec.templates[0].steps[0][0].inline.dag.tasks[1].inline.steps[0][0].inline',
    ]);
  });

  it('writes the smallest patch: one operation an annotation where there are some, one in all where there are none', () => {
    expect(moveMemoize(withTemplates({ ...body, memoize })).patch).toEqual([
      { op: 'remove', path: '/spec/templates/0/memoize' },
      { op: 'add', path: '/spec/templates/0/metadata', value: { annotations } },
    ]);
    const labelled = { ...body, memoize, metadata: { labels: { a: 'b' } } };
    expect(moveMemoize(withTemplates(labelled)).patch).toEqual([
      { op: 'remove', path: '/spec/templates/0/memoize' },
      { op: 'add', path: '/spec/templates/0/metadata/annotations', value: annotations },
    ]);
    const annotated = { ...body, memoize, metadata: { annotations: { a: 'b' } } };
    expect(moveMemoize(withTemplates(annotated)).patch).toEqual([
      { op: 'remove', path: '/spec/templates/0/memoize' },
      ...Object.entries(annotations).map(([name, value]) => ({
        op: 'add',
        path: `/spec/templates/0/metadata/annotations/${name.replace('/', '~1')}`,
        value,
      })),
    ]);
  });

  it('lets an annotation that is there beat the field, and gives the field back in the end', () => {
    const object = withTemplates({ ...body, memoize, metadata: { annotations: { 'stepmemo.io/key': 'mine' } } });
    const { after } = move(object);
    expect(after).toMatchObject(
      withTemplates({ metadata: { annotations: { ...annotations, 'stepmemo.io/key': 'mine' } } }),
    );
    expect(apply(after, restoreMemoize(after).patch)).toEqual(object);
  });

  it('takes a field that is missing as empty, as Argo does, so that none comes from templateDefaults', () => {
    const { after } = move(withTemplates({ ...body, memoize: { key: 'k', cache: { configMap: { name: 'c' } } } }));
    expect(after).toEqual(
      withTemplates({
        ...body,
        metadata: { annotations: { ...annotations, 'stepmemo.io/key': 'k', 'stepmemo.io/max-age': '' } },
      }),
    );
  });

  it.each([
    ['an empty block', {}],
    ['no cache', { key: 'k', maxAge: '1h' }],
    ['null everywhere', { key: null, maxAge: null, cache: null }],
    ['a cache without a ConfigMap', { key: 'k', cache: { configMap: null } }],
    ['an empty maxAge', { ...memoize, maxAge: '' }],
    ['members that stepmemo does not know', { ...memoize, other: { '{{x}}': ['{{{y}}}'] } }],
    ['a key of Argo up to 3.7', { ...memoize, cache: { configMap: { name: 'c', key: '' } } }],
  ])('moves %s, and back exactly', (_, block) => {
    const object = withTemplates({ ...body, memoize: block });
    const { after, moved } = move(object);
    expect(moved).toEqual(['spec.templates[0]']);
    expect(JSON.stringify(after)).not.toContain('"memoize":');
    expect(apply(after, restoreMemoize(after).patch)).toEqual(object);
  });

  it('keeps tags out of what it notes for the way back, where Argo would substitute them', () => {
    const { after } = move(withTemplates({ ...body, memoize: { ...memoize, other: '{{inputs.parameters.x}}' } }));
    const text = JSON.stringify(after);
    expect(text.match(/\{\{/g)).toHaveLength(1);
  });

  it.each([
    ['memoize: a list', { ...body, memoize: [] }, 'spec.templates[0].memoize is not an object'],
    ['memoize: text', { ...body, memoize: 'x' }, 'spec.templates[0].memoize is not an object'],
    ['key: a number', { ...body, memoize: { ...memoize, key: 5 } }, 'spec.templates[0].memoize.key is not a string'],
    [
      'maxAge: a number',
      { ...body, memoize: { ...memoize, maxAge: 5 } },
      'spec.templates[0].memoize.maxAge is not a string',
    ],
    [
      'cache: text',
      { ...body, memoize: { ...memoize, cache: 'c' } },
      'spec.templates[0].memoize.cache is not an object',
    ],
    [
      'configMap: text',
      { ...body, memoize: { ...memoize, cache: { configMap: 'c' } } },
      'spec.templates[0].memoize.cache.configMap is not an object',
    ],
    [
      'name: a list',
      { ...body, memoize: { ...memoize, cache: { configMap: { name: [] } } } },
      'spec.templates[0].memoize.cache.configMap.name is not a string',
    ],
    ['metadata: text', { ...body, memoize, metadata: 'x' }, 'spec.templates[0].metadata is not an object'],
    [
      'annotations: a list',
      { ...body, memoize, metadata: { annotations: [] } },
      'spec.templates[0].metadata.annotations is not an object',
    ],
    [
      'an annotation: a number',
      { ...body, memoize, metadata: { annotations: { 'a/b': 1 } } },
      'spec.templates[0].metadata.annotations["a/b"] is not a string',
    ],
    ['a template: text', 'x', 'spec.templates[0] is not an object'],
  ])('leaves alone what cannot be read (%s), and says so', (_, template, warning) => {
    const { patch, warnings } = move(withTemplates(template));
    expect(patch).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining(warning)]);
  });

  it('says at most ten things, and how many more there are', () => {
    const { warnings } = moveMemoize(withTemplates(...Array.from({ length: 30 }, () => ({ ...steps, memoize }))));
    expect(warnings).toHaveLength(11);
    expect(warnings[10]).toBe('20 more like these.');
  });

  it('moves anew what a manifest brings back beside the annotations of an earlier move', () => {
    const newer = { ...memoize, key: 'newer' };
    const { after } = move(withTemplates({ ...body, memoize: newer, metadata: { annotations } }));
    expect(after).toEqual(
      withTemplates({ ...body, metadata: { annotations: { ...annotations, 'stepmemo.io/key': 'newer' } } }),
    );
  });
});

describe('moveMemoize with templateDefaults', () => {
  const moved = { metadata: { annotations: { ...annotations, 'stepmemo.io/moved-from': 'templateDefaults.memoize' } } };
  const copy = { memoize, metadata: { annotations: { 'stepmemo.io/copied-from': 'templateDefaults.memoize' } } };

  it('moves their memoize, and gives a copy to each template that annotations do nothing for', () => {
    const others = [steps, { dag: { tasks: [] } }, { http: {} }, { plugin: {} }, { suspend: {} }, { resource: {} }];
    const object = workflow({ templateDefaults: { memoize }, templates: [body, ...others] });
    const { after, copied, warnings } = move(object);
    expect(after).toEqual(
      workflow({ templateDefaults: moved, templates: [body, ...others.map((template) => ({ ...template, ...copy }))] }),
    );
    expect(copied).toEqual([1, 2, 3, 4, 5].map((index) => `spec.templates[${index}]`).concat('spec.templates[6]'));
    expect(warnings).toEqual([]);
    expect(apply(after, restoreMemoize(after).patch)).toEqual(object);
  });

  it('copies nothing to templates with a memoize of their own, nor to a resource that is allowed', () => {
    const own = { ...memoize, key: 'own' };
    const allowed = { resource: {}, metadata: { annotations: { 'stepmemo.io/allow-resource': 'true' } } };
    const object = workflow({ templateDefaults: { memoize }, templates: [{ ...steps, memoize: own }, allowed] });
    const { after, warnings } = move(object);
    expect(after).toEqual(workflow({ templateDefaults: moved, templates: [{ ...steps, memoize: own }, allowed] }));
    expect(warnings).toHaveLength(1);
  });

  it('takes allow-resource and daemon from the defaults too, and lets a template say otherwise', () => {
    const allow = { annotations: { 'stepmemo.io/allow-resource': 'true' } };
    const deny = { annotations: { 'stepmemo.io/allow-resource': 'false' } };
    const object = workflow({
      templateDefaults: { metadata: allow, daemon: true },
      templates: [
        { resource: {}, memoize },
        { resource: {}, memoize, metadata: deny },
        { ...body, memoize, daemon: false },
      ],
    });
    const result = move(object);
    expect(result.moved).toEqual(['spec.templates[0]', 'spec.templates[2]']);
    expect(result.warnings).toEqual([
      expect.stringContaining('spec.templates[0] is a daemon'),
      expect.stringContaining('spec.templates[1].memoize stays with Argo'),
    ]);
  });

  it('warns of templates behind references, which cannot get a copy', () => {
    const call = { templateRef: { name: 'shared', template: 't' } };
    const { warnings } = move(workflow({ templateDefaults: { memoize }, templates: [{ steps: [[call, call]] }] }));
    expect(warnings).toEqual([expect.stringContaining('behind spec.templates[0].steps[0][0].templateRef and 1 more')]);
    expect(warnings[0]?.length).toBeLessThanOrEqual(256);
  });

  it('brings the copies up to date when a manifest brings other defaults', () => {
    const newer = { ...memoize, key: 'newer' };
    const object = workflow({ templateDefaults: { ...moved, memoize: newer }, templates: [{ ...steps, ...copy }] });
    const { after } = move(object);
    expect(after).toMatchObject(workflow({ templates: [{ memoize: newer }] }));
    expect(apply(after, restoreMemoize(after).patch)).toEqual(
      workflow({ templateDefaults: { memoize: newer }, templates: [steps] }),
    );
  });

  it('takes the copy of a resource away once it is allowed', () => {
    const metadata = { annotations: { ...copy.metadata.annotations, 'stepmemo.io/allow-resource': 'true' } };
    const { after } = move(workflow({ templateDefaults: moved, templates: [{ resource: {}, memoize, metadata }] }));
    expect(after).toEqual(
      workflow({
        templateDefaults: moved,
        templates: [{ resource: {}, metadata: { annotations: { 'stepmemo.io/allow-resource': 'true' } } }],
      }),
    );
  });

  it('leaves a copy that somebody has changed, on the way back', () => {
    const mine = { ...memoize, key: 'mine' };
    const object = workflow({ templateDefaults: moved, templates: [{ ...steps, ...copy, memoize: mine }] });
    expect(apply(object, restoreMemoize(object).patch)).toEqual(
      workflow({ templateDefaults: { memoize }, templates: [{ ...steps, memoize: mine }] }),
    );
  });
});

describe('restoreMemoize', () => {
  it('gives back what the annotations say now', () => {
    const object = withTemplates({
      ...body,
      metadata: { annotations: { ...annotations, 'stepmemo.io/max-age': '2h' } },
    });
    expect(apply(object, restoreMemoize(object).patch)).toEqual(
      withTemplates({ ...body, memoize: { ...memoize, maxAge: '2h' } }),
    );
  });

  it('gives back a changed annotation beside what only the note knows', () => {
    const { after } = move(withTemplates({ ...body, memoize: { ...memoize, other: 1 } }));
    const edited = apply(after, [
      { op: 'replace', path: '/spec/templates/0/metadata/annotations/stepmemo.io~1cache', value: 'd' },
      { op: 'remove', path: '/spec/templates/0/metadata/annotations/stepmemo.io~1max-age' },
    ]);
    expect(apply(edited, restoreMemoize(edited).patch)).toEqual(
      withTemplates({ ...body, memoize: { key: memoize.key, cache: { configMap: { name: 'd' } }, other: 1 } }),
    );
  });

  it('brings no block back where all annotations of the move were removed', () => {
    const object = withTemplates({ ...body, metadata: { annotations: { 'stepmemo.io/moved-from': 'memoize' } } });
    expect(apply(object, restoreMemoize(object).patch)).toEqual(withTemplates(body));
  });

  it('keeps a memoize that has come back by itself', () => {
    const newer = { ...memoize, key: 'newer' };
    const object = withTemplates({ ...body, memoize: newer, metadata: { annotations } });
    expect(apply(object, restoreMemoize(object).patch)).toEqual(withTemplates({ ...body, memoize: newer }));
  });

  it('touches no annotation that was written by hand', () => {
    const { 'stepmemo.io/moved-from': _, ...byHand } = annotations;
    expect(restoreMemoize(withTemplates({ ...body, metadata: { annotations: byHand } })).patch).toEqual([]);
  });

  it('makes do with the annotations where the note was spoilt', () => {
    for (const note of ['{', '[]', '{"memoize":7,"kept":{},"was":"x"}', '{"kept":["x"]}']) {
      const object = withTemplates({
        ...body,
        metadata: { annotations: { ...annotations, 'stepmemo.io/restore': note } },
      });
      expect(apply(object, restoreMemoize(object).patch)).toEqual(withTemplates({ ...body, memoize }));
    }
  });
});

describe('judgeWorkflow', () => {
  const object = withTemplates({ ...body, memoize });
  const template = { ...object, kind: 'WorkflowTemplate' };
  const cron = { ...object, kind: 'CronWorkflow', spec: { schedule: '@daily', workflowSpec: object.spec } };
  const cluster = {
    ...object,
    kind: 'ClusterWorkflowTemplate',
    metadata: { labels: { 'stepmemo.io/enabled': 'true' } },
  };

  it.each([
    ['a Workflow on CREATE', { object, operation: 'CREATE' }],
    ['a WorkflowTemplate on CREATE', { object: template, operation: 'CREATE' }],
    [
      'a WorkflowTemplate whose spec changes',
      { object: template, oldObject: withTemplates(body), operation: 'UPDATE' },
    ],
    ['a CronWorkflow on CREATE', { object: cron, operation: 'CREATE' }],
    ['a CronWorkflow whose spec changes', { object: cron, oldObject: { spec: {} }, operation: 'UPDATE' }],
    ['an update without the old object', { object: template, operation: 'UPDATE' }],
    ['a labelled ClusterWorkflowTemplate', { object: cluster, operation: 'CREATE', namespace: undefined }],
  ])('changes %s', (_, input) => {
    const verdict = judgeWorkflow({ namespace: enabled, ...input });
    expect(verdict).toMatchObject({ decision: 'mutate', reason: 'memoize-moved', warnings: [] });
    const path = input.object === cron ? 'spec.workflowSpec.templates[0]' : 'spec.templates[0]';
    expect(verdict.message).toBe(`memoize of ${path} moved into the annotations of its metadata.`);
  });

  it.each([
    ['a Workflow on UPDATE', { object, operation: 'UPDATE' }, 'unsupported-operation'],
    ['a DELETE', { object: template, operation: 'DELETE' }, 'unsupported-operation'],
    [
      'a write of status alone',
      { object: { ...template, status: {} }, oldObject: template, operation: 'UPDATE' },
      'spec-unchanged',
    ],
    [
      'a namespace that has not opted in',
      { object, operation: 'CREATE', namespace: { ...enabled, isEnabled: false } },
      'namespace-not-enabled',
    ],
    ['an unknown namespace', { object, operation: 'CREATE', namespace: undefined }, 'namespace-not-enabled'],
    [
      'a namespace in native mode',
      { object, operation: 'CREATE', namespace: { ...enabled, memoize: 'native' as const } },
      'native-mode',
    ],
    ['native mode by override', { object, operation: 'CREATE', mode: 'native' as const }, 'native-mode'],
    [
      'a ClusterWorkflowTemplate without the label',
      { object: { ...cluster, metadata: {} }, operation: 'CREATE' },
      'namespace-not-enabled',
    ],
    [
      'a kind that is no text',
      { object: { ...object, kind: { toString: 1 } }, operation: 'CREATE' },
      'unsupported-kind',
    ],
    ['another kind', { object: { ...object, kind: 'Pod' }, operation: 'CREATE' }, 'unsupported-kind'],
    ['a kind of another group', { object: { ...object, apiVersion: 'x/v1' }, operation: 'CREATE' }, 'unsupported-kind'],
    ['an object without memoize', { object: withTemplates(body), operation: 'CREATE' }, 'nothing-to-move'],
    ['an object without spec', { object: { ...object, spec: null }, operation: 'CREATE' }, 'nothing-to-move'],
  ])('leaves alone %s', (_, input, reason) => {
    const verdict = judgeWorkflow({ namespace: enabled, ...input });
    expect(verdict).toMatchObject({ decision: 'skip', reason, patch: [] });
    expect(verdict.message).not.toBe('');
  });

  it('lets a mode that is given take the place of the opt-in', () => {
    expect(judgeWorkflow({ object, operation: 'CREATE', mode: 'managed' }).decision).toBe('mutate');
  });

  describe('with the label stepmemo.io/reuse', () => {
    const labels = { labels: { 'stepmemo.io/reuse': 'refresh' } };
    it.each([
      ['no podMetadata', {}],
      ['null podMetadata', { podMetadata: null }],
      ['no annotations', { podMetadata: { labels: { a: 'b' } } }],
      ['null annotations', { podMetadata: { annotations: null } }],
      ['annotations', { podMetadata: { annotations: { a: 'b' } } }],
      ['another value', { podMetadata: { annotations: { 'stepmemo.io/reuse': 'off' } } }],
    ])('sets it on all pods, beside %s', (_, spec) => {
      for (const mode of ['managed', 'native'] as const) {
        const object = workflow({ ...spec, workflowTemplateRef: { name: 'w' } }, labels);
        const verdict = judgeWorkflow({ object, operation: 'CREATE', mode });
        expect(verdict).toMatchObject({ decision: 'mutate', reason: 'reuse-set' });
        const after = apply(object, verdict.patch);
        expect(after).toMatchObject({ spec: { podMetadata: { annotations: { 'stepmemo.io/reuse': 'refresh' } } } });
        expect(judgeWorkflow({ object: after, operation: 'CREATE', mode })).toMatchObject({
          decision: 'skip',
          patch: [],
        });
      }
    });

    it('says when the value has no meaning, or no place', () => {
      const odd = workflow({ templates: [] }, { labels: { 'stepmemo.io/reuse': 'on' } });
      expect(judgeWorkflow({ object: odd, operation: 'CREATE', mode: 'managed' })).toMatchObject({
        decision: 'skip',
        warnings: ['metadata.labels["stepmemo.io/reuse"] is neither off nor refresh: it has no effect.'],
      });
      for (const podMetadata of ['x', { annotations: 'x' }]) {
        const object = workflow({ podMetadata }, labels);
        expect(judgeWorkflow({ object, operation: 'CREATE', mode: 'managed' }).warnings).toEqual([
          'spec.podMetadata cannot be read: stepmemo.io/reuse=refresh has no effect.',
        ]);
      }
    });

    it('is a label of Workflows alone', () => {
      const object = { ...workflow({ templates: [] }, labels), kind: 'WorkflowTemplate' };
      expect(judgeWorkflow({ object, operation: 'CREATE', mode: 'managed' })).toMatchObject({
        patch: [],
        warnings: [],
      });
    });
  });
});
