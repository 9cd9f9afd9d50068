import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { templateKind, walkWorkflow } from '../../../src/argo/workflow-walk.ts';

const container = { container: { image: 'x' } };

function walk(object: Record<string, unknown>) {
  const result = walkWorkflow(object);
  if (!result.ok) throw new Error(result.detail);
  return result.walk;
}

/** What a JSON Pointer points to. */
function follow(value: unknown, path: string): unknown {
  return path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], value);
}

describe('walkWorkflow', () => {
  it('finds templates, templateDefaults and inline ones to any depth, in the order of the document', () => {
    const object = {
      kind: 'Workflow',
      spec: {
        templateDefaults: { memoize: {} },
        templates: [
          {
            steps: [
              [{ inline: { dag: { tasks: [{ inline: { name: 'deep', ...container } }] } } }, { template: 'other' }],
              [{ inline: container }],
            ],
          },
          { script: { source: '' } },
        ],
      },
    };
    const { templates, unreadable } = walk(object);
    expect(templates.map(({ path, kind, makesPod }) => [path, kind, makesPod])).toEqual([
      ['spec.templateDefaults', 'unknown', false],
      ['spec.templates[0]', 'steps', false],
      ['spec.templates[0].steps[0][0].inline', 'dag', false],
      ['spec.templates[0].steps[0][0].inline.dag.tasks[0].inline', 'container', true],
      ['spec.templates[0].steps[1][0].inline', 'container', true],
      ['spec.templates[1]', 'script', true],
    ]);
    for (const { pointer, template } of templates) expect(follow(object, pointer)).toBe(template);
    expect(unreadable).toEqual([]);
  });

  it.each([
    ['Workflow', { spec: { templates: [container] } }, '/spec/templates/0', 'spec.templates[0]'],
    ['WorkflowTemplate', { spec: { templates: [container] } }, '/spec/templates/0', 'spec.templates[0]'],
    ['ClusterWorkflowTemplate', { spec: { templates: [container] } }, '/spec/templates/0', 'spec.templates[0]'],
    [
      'CronWorkflow',
      { spec: { workflowSpec: { templates: [container] } } },
      '/spec/workflowSpec/templates/0',
      'spec.workflowSpec.templates[0]',
    ],
  ])('knows where the templates of a %s stand', (kind, rest, pointer, path) => {
    expect(walk({ kind, ...rest }).templates).toMatchObject([{ pointer, path, where: 'templates', kind: 'container' }]);
  });

  it('lists references of steps, tasks and hooks, and the workflowTemplateRef', () => {
    const reference = { name: 'shared', template: 't' };
    const { references } = walk({
      kind: 'Workflow',
      spec: {
        workflowTemplateRef: { name: 'whole' },
        hooks: { 'on/exit': { templateRef: reference } },
        templates: [
          { steps: [[{ templateRef: reference, hooks: { running: { templateRef: reference } } }]] },
          { dag: { tasks: [{ templateRef: reference }] } },
        ],
      },
    });
    expect(references.map(({ path, pointer }) => [path, pointer])).toEqual([
      ['spec.workflowTemplateRef', '/spec/workflowTemplateRef'],
      ['spec.hooks["on/exit"].templateRef', '/spec/hooks/on~1exit/templateRef'],
      ['spec.templates[0].steps[0][0].templateRef', '/spec/templates/0/steps/0/0/templateRef'],
      [
        'spec.templates[0].steps[0][0].hooks.running.templateRef',
        '/spec/templates/0/steps/0/0/hooks/running/templateRef',
      ],
      ['spec.templates[1].dag.tasks[0].templateRef', '/spec/templates/1/dag/tasks/0/templateRef'],
    ]);
  });

  it('lists what has a wrong type, and walks the rest', () => {
    const { templates, unreadable } = walk({
      kind: 'Workflow',
      spec: {
        templateDefaults: 7,
        templates: [
          'x',
          { steps: [{ name: 'no list' }, ['no step', { inline: [] }]] },
          { dag: [] },
          { steps: 'x' },
          container,
        ],
      },
    });
    expect(templates.map(({ path }) => path)).toEqual([1, 2, 3, 4].map((index) => `spec.templates[${index}]`));
    expect(unreadable.map(({ path, detail }) => `${path} ${detail}`)).toEqual([
      'spec.templateDefaults is not an object',
      'spec.templates[0] is not an object',
      'spec.templates[1].steps[0] is not a list of steps',
      'spec.templates[1].steps[1][0] is not an object',
      'spec.templates[1].steps[1][1].inline is not an object',
      'spec.templates[2].dag is not an object',
      'spec.templates[3].steps is not a list',
    ]);
  });

  it.each([
    [{}, 'kind undefined has no templates'],
    [{ kind: { toString: 1 }, spec: {} }, 'kind object has no templates'],
    [{ kind: 'Pod', spec: {} }, 'kind Pod has no templates'],
    [{ kind: 'Workflow' }, 'spec is not an object'],
    [{ kind: 'CronWorkflow', spec: { workflowSpec: [] } }, 'spec.workflowSpec is not an object'],
    [{ kind: 'CronWorkflow', spec: null }, 'spec.workflowSpec is not an object'],
  ])('says why %j cannot be walked', (object, detail) => {
    expect(walkWorkflow(object)).toEqual({ ok: false, detail });
  });

  it('stops where Argo would, however deep the nesting, and also in a circle', () => {
    let deep: Record<string, unknown> = container;
    for (let depth = 0; depth < 50_000; depth += 1) deep = { steps: [[{ inline: deep }]] };
    expect(walk({ kind: 'Workflow', spec: { templates: [deep] } }).templates).toHaveLength(101);

    const circle: Record<string, unknown> = {};
    circle.dag = { tasks: [{ inline: circle }, { inline: circle }] };
    const { templates, unreadable } = walk({ kind: 'Workflow', spec: { templates: [circle] } });
    expect(templates.length).toBeLessThanOrEqual(20_000);
    expect(unreadable.length).toBeGreaterThan(0);
  });

  it('never throws, whatever the JSON, and its pointers lead to what it found', () => {
    const names = fc.constantFrom(
      'steps',
      'dag',
      'tasks',
      'inline',
      'templates',
      'templateRef',
      'hooks',
      'container',
      'a/~b',
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 8, withCrossShrink: true },
        fc.constantFrom(null, 0, 'x', true),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(names, tie('tree'), { maxKeys: 4 }),
      ),
    }));
    const kind = fc.constantFrom('Workflow', 'CronWorkflow', 'WorkflowTemplate', 'Pod', 3);
    fc.assert(
      fc.property(kind, tree, (kind, spec) => {
        const object = { kind, spec: kind === 'CronWorkflow' ? { workflowSpec: spec } : spec };
        const result = walkWorkflow(object);
        if (!result.ok) return;
        for (const { pointer, template } of result.walk.templates) expect(follow(object, pointer)).toBe(template);
        for (const { pointer, reference } of result.walk.references) expect(follow(object, pointer)).toBe(reference);
      }),
    );
  });
});

describe('templateKind', () => {
  it.each([
    [{ container: {}, steps: [] }, 'container'],
    [{ container: null, script: {} }, 'script'],
    [{ steps: [] }, 'steps'],
    [{ suspend: {} }, 'suspend'],
    [{ http: {} }, 'http'],
    [{ plugin: {} }, 'plugin'],
    [{ name: 'x' }, 'unknown'],
  ])('of %j is %s, by the order of Argo', (template, kind) => {
    expect(templateKind(template)).toBe(kind);
  });
});
