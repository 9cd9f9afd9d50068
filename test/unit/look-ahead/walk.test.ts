import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ArgoVersion, versionFrom } from '../../../src/argo/versions.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { EntryLookup } from '../../../src/cache/entry.ts';
import { findBrokenRule } from '../../../src/look-ahead/check-nodes.ts';
import { evaluateWhen } from '../../../src/look-ahead/conditions.ts';
import { Unforeseen } from '../../../src/look-ahead/values.ts';
import { type Walked, walkAhead } from '../../../src/look-ahead/walk/walk.ts';
import { cacheOf, oracleWorkflow } from '../../support/oracle-workflows.ts';
import { createRandom } from '../../support/random.ts';

const NOW = new Date('2026-01-01T01:00:00Z');
const CREATED = '2026-01-01T00:00:00Z';

/** A leaf that passes its input on, memoized under it. */
const WORK = {
  name: 'work',
  inputs: { parameters: [{ name: 'x' }] },
  metadata: { annotations: { 'stepmemo.io/key': '{{inputs.parameters.x}}', 'stepmemo.io/cache': 'work' } },
  outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
  container: { image: 'busybox' },
};

const OMITTED = { parameters: [{ name: 'o', valueFrom: { parameter: '{{tasks.omitted.outputs.parameters.o}}' } }] };
const call = (name: string, x: string, more: object = {}) => ({
  name,
  template: 'work',
  arguments: { parameters: [{ name: 'x', value: x }] },
  ...more,
});
const out = (kind: string, name: string) => `{{${kind}.${name}.outputs.parameters.o}}`;

/** Entries under these keys, each with the output given. */
function entries(values: Record<string, string>): (cache: string, key: string) => EntryLookup {
  return (_, key) => {
    const value = values[key];
    if (value === undefined) return { found: 'nothing' };
    const outputs = { parameters: [{ name: 'o', value }], exitCode: '0' };
    return { found: 'entry', entry: { nodeID: 'n', outputs, creationTimestamp: CREATED, lastHitTimestamp: CREATED } };
  };
}

function walk(main: JsonObject, values: Record<string, string>, spec: JsonObject = {}, isNameKnown = true): Walked {
  return walkAhead({
    workflowName: 'wf',
    isNameKnown,
    namespace: 'default',
    spec: { entrypoint: 'main', templates: [{ name: 'main', ...main }, WORK], ...spec },
    mode: 'managed',
    lookUp: entries(values),
    now: NOW,
  });
}

const found = ({ leaves }: Walked) => leaves.map(({ nodeName, outcome, key }) => [nodeName, outcome, key]);

describe('what is foreseen', () => {
  it('is a containerSet with the nodes of its containers, and what follows on the last of them', () => {
    const container = (name: string, ...dependencies: string[]) => ({ name, image: 'i', dependencies });
    const { container: _, ...rest } = WORK;
    const set = {
      ...rest,
      name: 'set',
      containerSet: { containers: [container('a'), container('b', 'a'), container('main', 'a')] },
    };
    const steps = [[{ ...call('s', 'one'), template: 'set' }], [call('t', out('steps', 's'))]];
    const templates = [{ name: 'main', steps: [[call('inner', 'x', { template: 'nested' })]] }, WORK, set];
    const nested = { name: 'nested', inputs: { parameters: [{ name: 'x' }] }, steps };
    const { nodes, isWhole } = walk({ steps }, { one: 'two', two: '' }, { templates: [...templates, nested] });
    const group = 'wf[0].inner[1]';
    const shown = nodes.map(({ id, name, type, displayName, boundaryID, children = [] }) => {
      const names = children.map((child) => nodes.find((node) => node.id === child)?.name);
      return [name, type, displayName, nodes.find((node) => node.id === boundaryID)?.name, names, id].slice(0, 5);
    });
    const pod = 'wf[0].inner[0].s';
    expect(isWhole).toBe(true);
    expect(shown).toEqual(
      expect.arrayContaining([
        [pod, 'Pod', 's', 'wf[0].inner', [`${pod}.a`]],
        [`${pod}.a`, 'Container', 'a', pod, [`${pod}.b`, `${pod}.main`]],
        [`${pod}.b`, 'Container', 'b', pod, [group]],
        [`${pod}.main`, 'Container', 'main', pod, [group]],
      ]),
    );
    expect(findBrokenRule('wf', nodes)).toBeUndefined();
  });

  it('leaves a containerSet to its pod that is retried, complicated, or one of an old Argo', () => {
    const layers = Array.from({ length: 8 }, (_, layer) => {
      const dependencies = layer === 0 ? [] : ['a', 'b', 'c'].map((name) => `${name}${layer - 1}`);
      return ['a', 'b', 'c'].map((name) => ({ name: `${name}${layer}`, image: 'i', dependencies }));
    }).flat();
    const { container: _, outputs: __, ...rest } = WORK;
    const of = (more: object, argoVersion?: ArgoVersion) => {
      const set = { ...rest, name: 'set', containerSet: { containers: [{ name: 'main' }] }, ...more };
      const main = { name: 'main', steps: [[{ ...call('s', 'one'), template: 'set' }]] };
      const { leaves } = walkAhead({
        workflowName: 'wf',
        isNameKnown: true,
        namespace: 'default',
        spec: { entrypoint: 'main', templates: [main, set] },
        mode: 'managed',
        lookUp: entries({ one: 'two' }),
        now: NOW,
        ...(argoVersion !== undefined && { argoVersion }),
      });
      return leaves.map(({ message }) => message);
    };
    expect(of({}, versionFrom(3, 5, 8))).toEqual(['before Argo 3.5.9 a containerSet is left to its pod']);
    expect(of({}, versionFrom(3, 5, 9)).join()).not.toContain('containerSet');
    expect(of({ retryStrategy: { limit: '1' } })).toEqual(['its template is retried as a whole']);
    expect(of({ containerSet: { containers: layers } }).join()).toContain('depend on each other in too many ways');
  });

  it('is a chain of steps, by the outputs of the entries', () => {
    const steps = [[call('a', 'one')], [call('b', out('steps', 'a'))], [call('c', out('steps', 'b'))]];
    const walked = walk({ steps }, { one: 'two', two: 'three', three: '' });
    expect(found(walked)).toEqual([
      ['wf[0].a', 'hit', 'one'],
      ['wf[1].b', 'hit', 'two'],
      ['wf[2].c', 'hit', 'three'],
    ]);
    expect(walked.isWhole).toBe(true);
  });

  it('ends at the first step of a chain that has to run', () => {
    const steps = [[call('a', 'one')], [call('b', out('steps', 'a'))], [call('c', out('steps', 'b'))]];
    const walked = walk({ steps }, { one: 'two' });
    expect(found(walked)).toEqual([
      ['wf[0].a', 'hit', 'one'],
      ['wf[1].b', 'runs', 'two'],
      ['wf[2].c', 'unforeseen', undefined],
    ]);
    expect(walked.leaves[2]?.message).toBe('it follows b, which is not certain to be a hit');
    expect(walked.isWhole).toBe(false);
  });

  it('goes on in the other branches of a DAG', () => {
    const tasks = [
      call('d', out('tasks', 'b'), { dependencies: ['b', 'c'] }),
      call('a', 'one'),
      call('b', 'two', { depends: 'a' }),
      call('c', out('tasks', 'a'), { depends: 'a.Succeeded' }),
    ];
    const walked = walk({ dag: { tasks } }, { one: 'x', x: 'y' });
    expect(found(walked)).toEqual([
      ['wf.a', 'hit', 'one'],
      ['wf.b', 'runs', 'two'],
      ['wf.c', 'hit', 'x'],
      ['wf.d', 'unforeseen', undefined],
    ]);
  });

  it('is each run of a fan-out, and the list of their outputs', () => {
    const tasks = [
      call('fan', '{{item}}', { withItems: ['p', 'q'] }),
      call('all', out('tasks', 'fan'), { depends: 'fan' }),
    ];
    const walked = walk({ dag: { tasks } }, { p: '1', q: '2', '["1","2"]': '' });
    expect(found(walked)).toEqual([
      ['wf.fan(0:p)', 'hit', 'p'],
      ['wf.fan(1:q)', 'hit', 'q'],
      ['wf.all', 'hit', '["1","2"]'],
    ]);
  });

  it.each([
    ['its own value before its default', { value: 'own', default: 'other' }, {}, 'own'],
    ['its default', { default: 'other' }, {}, 'other'],
    ['what is passed', { value: 'own', default: 'other' }, call('a', 'passed'), 'passed'],
    ['what is passed, wherever it would come from else', { valueFrom: {} }, call('a', 'passed'), 'passed'],
  ])('is a step with an input that has %s', (_, input, passing, key) => {
    const work = { ...WORK, inputs: { parameters: [{ name: 'x', ...input }] } };
    const main = { name: 'main', steps: [[{ name: 'a', template: 'work', ...passing }]] };
    const walked = walk({}, { [key]: 'o' }, { templates: [main, work] });
    expect(found(walked)).toEqual([['wf[0].a', 'hit', key]]);
  });

  it('is nothing of a step that is passed an argument without a value', () => {
    const work = { ...WORK, inputs: { parameters: [{ name: 'x', value: 'own' }] } };
    const a = { name: 'a', template: 'work', arguments: { parameters: [{ name: 'x' }] } };
    const walked = walk({}, { own: 'o' }, { templates: [{ name: 'main', steps: [[a]] }, work] });
    expect(walked.nodes.filter(({ type }) => type === 'Pod')).toEqual([]);
  });

  it('is nothing of a template that is given up as a whole', () => {
    const outputs = { result: 'no number', parameters: [{ name: 'o', value: 'x' }], exitCode: '0' };
    const entry = { nodeID: 'n', outputs, creationTimestamp: CREATED, lastHitTimestamp: CREATED };
    const fan = call('fan', '{{item}}', { withItems: ['p', 'q'] });
    const all = call('all', '{{tasks.fan.outputs.result}}', { depends: 'fan' });
    const walked = walkAhead({
      workflowName: 'wf',
      isNameKnown: true,
      namespace: 'default',
      spec: { entrypoint: 'main', templates: [{ name: 'main', dag: { tasks: [fan, all] } }, WORK] },
      mode: 'managed',
      lookUp: () => ({ found: 'entry', entry }),
      now: NOW,
    });
    expect(walked.nodes).toEqual([]);
    const why = 'the results of its runs are none that can be put into a list for certain (wf)';
    expect(walked.leaves.slice(0, 2)).toMatchObject([
      { nodeName: 'wf.fan(0:p)', outcome: 'unforeseen', message: why },
      { nodeName: 'wf.fan(1:q)', outcome: 'unforeseen', message: why },
    ]);
  });

  it('is a leaf as the entrypoint', () => {
    const spec = { entrypoint: 'work', arguments: { parameters: [{ name: 'x', value: 'one' }] } };
    const walked = walk({}, { one: 'two' }, spec);
    expect(found(walked)).toEqual([['wf', 'hit', 'one']]);
    expect(walked.nodes).toEqual([
      {
        id: 'wf',
        name: 'wf',
        displayName: 'wf',
        type: 'Pod',
        phase: 'Succeeded',
        templateName: 'work',
        templateScope: 'local/wf',
        message: 'served at submission: key "one" in cache work: made by node "n", 3600 s old',
        startedAt: '2026-01-01T01:00:00Z',
        finishedAt: '2026-01-01T01:00:00Z',
        progress: '1/1',
        inputs: { parameters: [{ name: 'x', value: 'one' }] },
        outputs: {
          parameters: [{ name: 'o', value: 'two', valueFrom: { path: '/tmp/o' } }],
          exitCode: '0',
        },
        memoizationStatus: { hit: true, key: 'one', cacheName: 'work' },
        taskResultSynced: true,
      },
    ]);
  });
});

describe('what is stored elsewhere', () => {
  const stored = (spec: JsonObject) => ({ kind: 'WorkflowTemplate', spec });
  const walkWith = (spec: JsonObject, objects: Record<string, JsonObject>) =>
    walkAhead({
      workflowName: 'wf',
      isNameKnown: true,
      namespace: 'default',
      spec,
      mode: 'managed',
      lookUp: entries({ one: 'two', given: 'x' }),
      lookUpTemplate: (scope, name) => objects[`${scope}/${name}`],
      now: NOW,
    });
  const refer = (template: string, x: string, more: object = {}) => ({
    name: 'a',
    templateRef: { name: 'shared', template, ...more },
    arguments: { parameters: [{ name: 'x', value: x }] },
  });
  const scopes = ({ nodes }: Walked) =>
    nodes.map(({ name, templateScope, templateRef }) => [name, templateScope, templateRef]);

  it('is called by templateRef, with the scope of the object inside of it', () => {
    const inner = { name: 'inner', inputs: WORK.inputs, steps: [[call('b', '{{inputs.parameters.x}}')]] };
    const spec = { entrypoint: 'main', templates: [{ name: 'main', steps: [[refer('inner', 'one')]] }] };
    const walked = walkWith(spec, { 'namespaced/shared': stored({ templates: [inner, WORK] }) });
    expect(found(walked)).toEqual([['wf[0].a[0].b', 'hit', 'one']]);
    expect(scopes(walked)).toEqual([
      ['wf[0].a[0].b', 'namespaced/shared', undefined],
      ['wf[0].a', 'local/wf', { name: 'shared', template: 'inner' }],
      ['wf[0].a[0]', 'namespaced/shared', undefined],
    ]);
  });

  it('is called in the whole cluster', () => {
    const spec = {
      entrypoint: 'main',
      templates: [{ name: 'main', steps: [[refer('work', 'one', { clusterScope: true })]] }],
    };
    const walked = walkWith(spec, { 'cluster/shared': stored({ templates: [WORK] }) });
    expect(scopes(walked)).toEqual([['wf[0].a', 'local/wf', { name: 'shared', template: 'work', clusterScope: true }]]);
  });

  it('ends the walk where a template stands inline in a stored one', () => {
    const inner = { name: 'inner', steps: [[{ name: 'b', inline: { container: {} } }]] };
    const spec = {
      entrypoint: 'main',
      templates: [{ name: 'main', steps: [[{ name: 'a', templateRef: { name: 'shared', template: 'inner' } }]] }],
    };
    const walked = walkWith(spec, { 'namespaced/shared': stored({ templates: [inner] }) });
    expect(walked.leaves[0]?.message).toBe('it has an inline template in a stored one');
  });

  it('is the whole workflow, with the arguments of both', () => {
    const templates = [{ name: 'main', steps: [[call('a', '{{workflow.parameters.x}}')]] }, WORK];
    const whole = (value: string) =>
      stored({ entrypoint: 'main', templates, arguments: { parameters: [{ name: 'x', value }] } });
    const reference = { workflowTemplateRef: { name: 'whole' } };
    const own = { ...reference, arguments: { parameters: [{ name: 'x', value: 'given' }] } };
    expect(found(walkWith(reference, { 'namespaced/whole': whole('one') }))).toEqual([['wf[0].a', 'hit', 'one']]);
    const walked = walkWith(own, { 'namespaced/whole': whole('one') });
    expect(found(walked)).toEqual([['wf[0].a', 'hit', 'given']]);
    expect(scopes(walked)).toEqual([['wf[0].a', 'local/', undefined]]);
  });

  it.each([
    ['podMetadata of the stored workflow', {}, { podMetadata: {} }, 'the stored workflow has podMetadata'],
    ['templates of both', { templates: [WORK] }, {}, 'the workflow has templates beside workflowTemplateRef'],
    ['a hook of the stored workflow', {}, { hooks: { running: {} } }, 'the workflow has the hook running'],
  ])('ends the walk at %s', (_, own, more, message) => {
    const spec = { workflowTemplateRef: { name: 'whole' }, ...own };
    const walked = walkWith(spec, { 'namespaced/whole': stored({ entrypoint: 'work', templates: [WORK], ...more }) });
    expect(walked).toMatchObject({ nodes: [], leaves: [{ outcome: 'unforeseen', message }] });
  });

  it('are defaults of all templates, under what these say themselves', () => {
    const plain = { ...WORK, metadata: { annotations: { 'stepmemo.io/key': 'one' } } };
    const templateDefaults = { metadata: { annotations: { 'stepmemo.io/key': 'no', 'stepmemo.io/cache': 'work' } } };
    const spec = {
      entrypoint: 'main',
      templates: [{ name: 'main', steps: [[call('a', 'any')]] }, plain],
      templateDefaults,
    };
    expect(found(walkWith(spec, {}))).toEqual([['wf[0].a', 'hit', 'one']]);
  });

  it('are defaults that retry whole templates, where nothing is served', () => {
    const spec = {
      entrypoint: 'main',
      templates: [{ name: 'main', steps: [[call('a', 'one')]] }, WORK],
      templateDefaults: { retryStrategy: { limit: 1 } },
    };
    expect(walkWith(spec, {}).leaves[0]?.message).toBe('its template is retried as a whole');
  });
});

describe('a group of steps of which one has to run', () => {
  const beside = (first: object) => ({ steps: [[first, call('b', 'one')]] });

  it('serves the others beside a leaf that runs', () => {
    expect(found(walk(beside(call('a', 'none')), { one: 'x' }))).toEqual([
      ['wf[0].a', 'runs', 'none'],
      ['wf[0].b', 'hit', 'one'],
    ]);
  });

  it('serves none behind one at which Argo may err, for it would be linked to nothing', () => {
    const walked = walk(beside({ name: 'a', template: 'missing' }), { one: 'x' });
    expect(found(walked)).toEqual([
      ['wf[0].a', 'unforeseen', undefined],
      ['wf[0].b', 'unforeseen', undefined],
    ]);
    expect(walked.nodes).toEqual([]);
  });

  it('serves none behind a DAG whose last task will be omitted: it ends at once, without its output', () => {
    const tasks = [
      call('first', 'one'),
      { ...call('skipped', 'one'), when: 'a != a', depends: 'first' },
      { ...call('omitted', 'one'), depends: 'skipped.Succeeded' },
    ];
    const inner = { name: 'inner', dag: { tasks }, outputs: OMITTED };
    const main = { name: 'main', steps: [[{ name: 'a', template: 'inner' }, call('b', 'one')]] };
    const walked = walk({}, { one: 'x' }, { templates: [main, inner, WORK] });
    expect(found(walked).at(-1)).toEqual(['wf[0].b', 'unforeseen', undefined]);
    expect(walked.nodes.some(({ name }) => name === 'wf[0].b')).toBe(false);
  });

  it('serves none of a DAG in which Argo cannot evaluate what a task depends on', () => {
    const tasks = [call('in', 'one'), call('b', 'one', { depends: 'in' })];
    expect(walk({ dag: { tasks } }, { one: 'x' }).nodes).toEqual([]);
    const listed = [call('in', 'one'), { ...call('b', 'one'), dependencies: ['in'] }];
    expect(walk({ dag: { tasks: listed } }, { one: 'x' }).nodes).toEqual([]);
  });

  it('serves those before it', () => {
    const walked = walk({ steps: [[call('b', 'one'), { name: 'a', template: 'missing' }]] }, { one: 'x' });
    expect(found(walked)[0]).toEqual(['wf[0].b', 'hit', 'one']);
    expect(walked.nodes).toHaveLength(1);
  });
});

describe('conditions', () => {
  it.each([
    ['true', true],
    ['false', false],
    ['heads == heads', true],
    ['heads == tails', false],
    ['heads != tails', true],
    ['"heads" == heads', true],
    ["'heads'=='tails'", false],
    ['1 == 1', true],
    ['10 != 10', false],
  ])('%s is %s', (when, expected) => {
    expect(evaluateWhen(when)).toBe(expected);
  });

  it.each([
    '',
    'a-b == a-b',
    '1 == one',
    '01 == 1',
    '1.0 == 1',
    '"2014-01-02" == x',
    'a == b == c',
    'true == true',
    'a in b',
    '{{x}} == y',
    'nil == nil',
    '1 < 2',
    'a && b',
    undefined,
  ])('nobody says what comes of %j', (when) => {
    expect(() => evaluateWhen(when)).toThrow(Unforeseen);
  });

  it('skip a step as Argo does, and what follows goes on', () => {
    const tasks = [
      call('flip', 'coin'),
      call('heads', 'one', { depends: 'flip', when: `${out('tasks', 'flip')} == heads` }),
      call('tails', 'two', { depends: 'flip', when: `${out('tasks', 'flip')} == tails` }),
      call('end', 'three', { depends: 'heads && tails' }),
      call('strict', 'three', { depends: 'tails.Succeeded' }),
    ];
    const walked = walk({ dag: { tasks } }, { coin: 'heads', one: '1', three: '3' });
    expect(found(walked)).toEqual([
      ['wf.flip', 'hit', 'coin'],
      ['wf.heads', 'hit', 'one'],
      ['wf.end', 'hit', 'three'],
      ['wf.strict', 'unforeseen', undefined],
    ]);
    expect(walked.nodes.find(({ name }) => name === 'wf.tails')).toMatchObject({
      type: 'Skipped',
      phase: 'Skipped',
      templateName: 'work',
      message: "when 'heads == tails' evaluated false",
    });
  });
});

describe('artifacts of a leaf', () => {
  const S3 = { s3: { bucket: 'b', endpoint: 'e' } };
  const withArtifacts = (
    artifact: JsonObject,
    options: { stored?: JsonObject; repository?: JsonObject; spec?: JsonObject } = {},
  ) => {
    const { stored = { s3: { key: 'wf-1/file.tgz' } }, repository, spec = {} } = options;
    const outputs = { artifacts: [{ name: 'file', ...stored }], exitCode: '0' };
    const entry = { nodeID: 'n', outputs, creationTimestamp: CREATED, lastHitTimestamp: CREATED };
    const template = { ...WORK, outputs: { artifacts: [{ name: 'file', path: '/f', ...artifact }] } };
    return walkAhead({
      workflowName: 'wf',
      isNameKnown: true,
      namespace: 'default',
      spec: { entrypoint: 'main', templates: [{ name: 'main', steps: [[call('a', 'one')]] }, template], ...spec },
      mode: 'managed',
      lookUp: () => ({ found: 'entry', entry }) as EntryLookup,
      lookUpRepository: () => repository,
      now: NOW,
    });
  };

  it.each([
    ['in the repository', {}],
    ['under a key of its own there', { s3: { key: 'mine.tgz' } }],
  ])('is served %s, by the key alone', (_, artifact) => {
    const [node] = withArtifacts(artifact, { repository: S3 }).nodes;
    expect(node?.outputs?.artifacts).toEqual([{ name: 'file', path: '/f', s3: { key: 'wf-1/file.tgz' } }]);
    expect(JSON.stringify(node)).not.toContain('endpoint');
  });

  it.each<[string, JsonObject, Parameters<typeof withArtifacts>[1], string]>([
    [
      'where the repository is not known',
      {},
      {},
      'its outputs have artifacts, and the artifact repository is not known',
    ],
    [
      'where the workflow names one',
      {},
      { repository: S3, spec: { artifactRepositoryRef: { key: 'k' } } },
      'its outputs have artifacts, and the artifact repository is not known',
    ],
    [
      'with a place of its own',
      { s3: { key: 'k', bucket: 'mine' } },
      { repository: S3 },
      'its artifact file has a globalName, or a place of its own',
    ],
    [
      'in another kind of store',
      { gcs: { key: 'k' } },
      { repository: S3 },
      'its artifact file has a globalName, or a place of its own',
    ],
    [
      'with a globalName',
      { globalName: 'g' },
      { repository: S3 },
      'its artifact file has a globalName, or a place of its own',
    ],
    [
      'whose entry lies in another kind of store',
      {},
      { repository: { gcs: { bucket: 'b' } } },
      'incomplete-entry: the entry lacks artifact file',
    ],
  ])('is left to its pod %s', (_, artifact, options, message) => {
    expect(withArtifacts(artifact, options)).toMatchObject({ nodes: [], leaves: [{ message }] });
  });
});

describe('what is left to the pod', () => {
  const values = { one: 'two', 'wf-z': '' };
  it.each<[string, JsonObject, JsonObject, string]>([
    ['a condition', { steps: [[call('a', 'one', { when: 'a-b == a-b' })]] }, {}, 'when is "a-b == a-b"'],
    ['a hook', { steps: [[call('a', 'one', { hooks: { running: { template: 'work' } } })]] }, {}, 'it has hooks'],
    ['an expression', { steps: [[call('a', "{{='one'}}")]] }, {}, 'an expression ({{=…}}) stands there'],
    [
      'a value that nobody gives',
      { steps: [[call('a', '{{workflow.parameters.no}}')]] },
      {},
      'the value of the input x is not known',
    ],
    [
      'a status that Argo makes',
      { steps: [[call('a', '{{workflow.uid}}')]] },
      {},
      'the value of the input x is not known',
    ],
    [
      'a template object that is not known',
      { steps: [[{ name: 'a', templateRef: { name: 't', template: 'x' } }]] },
      {},
      'the namespaced template object t is not known',
    ],
    [
      'a template that is not there',
      { steps: [[{ name: 'a', template: 'no' }]] },
      {},
      'the template that it calls is not there',
    ],
    [
      'a circle of templates',
      { steps: [[{ name: 'a', template: 'main' }]] },
      {},
      'the workflow is too large to be foreseen',
    ],
    [
      'templateDefaults that give a template outputs',
      { steps: [[call('a', 'one')]] },
      { templateDefaults: { outputs: {} } },
      'templateDefaults has outputs',
    ],
    ['suspend', { steps: [[call('a', 'one')]] }, { suspend: true }, 'the workflow has suspend'],
    [
      'a hook of the workflow',
      { steps: [[call('a', 'one')]] },
      { hooks: { running: {} } },
      'the workflow has the hook running',
    ],
    [
      'ten to the sixth items',
      { steps: [[call('a', '{{item}}', { withSequence: { count: '1000000' } })]] },
      {},
      'it has more than 1000 items',
    ],
  ])('%s', (_, main, spec, message) => {
    const walked = walk(main, values, spec);
    expect(walked.nodes).toEqual([]);
    expect(walked.leaves.at(-1)).toMatchObject({ outcome: 'unforeseen', message });
  });

  it('the name of a workflow that the API server has still to make', () => {
    const main = { steps: [[call('a', '{{workflow.name}}-z')]] };
    expect(found(walk(main, values))).toEqual([['wf[0].a', 'hit', 'wf-z']]);
    expect(found(walk(main, values, {}, false))).toEqual([['wf[0].a', 'unforeseen', undefined]]);
  });

  it('a containerSet that templateDefaults give a container, and what comes after it in its group: Argo 3.4 errs there', () => {
    const inline = { containerSet: { containers: [{ name: 'main', image: 'busybox', command: ['true'] }] } };
    const main = { steps: [[{ name: 'a', inline }, call('b', 'one')]] };
    const templateDefaults = { container: { env: [{ name: 'A', value: 'b' }] } };
    const walked = walk(main, { one: '1' }, { templateDefaults });
    expect(walked.nodes).toEqual([]);
    expect(walked.leaves.map(({ message }) => message)).toEqual([
      'templateDefaults has a container, and its template a containerSet',
      'it follows a, which is not certain to be a hit',
    ]);
    expect(walk(main, { one: '1' }).nodes.map(({ name }) => name)).toEqual(['wf[0].b']);
  });

  it('a group in which a step for each item takes the output of a skipped one: Argo errs before it makes any step of it', () => {
    const skipped = call('a', 'one', { when: 'x == y' });
    const each = (more: object) => call('c', out('steps', 'a'), { withItems: ['p'], ...more });
    const groupWith = (more: object) => ({ steps: [[skipped], [call('b', 'one'), each(more)]] });
    const walked = walk(groupWith({}), { one: '1' });
    expect(walked.nodes).toEqual([]);
    const message = 'Argo errs at c before it makes any step of the group';
    expect(walked.leaves.map(({ nodeName, message: why }) => [nodeName, why])).toEqual([
      ['wf[1].b', message],
      ['wf[1].c', message],
    ]);
    const served = walk(groupWith({ when: 'x == y' }), { one: '1' }).nodes.map(({ name }) => name);
    expect(served).toContain('wf[1].b');
  });

  it('a step whose template says that it is not memoized', () => {
    const plain = { name: 'plain', container: { image: 'busybox' } };
    const main = { name: 'main', steps: [[{ name: 'a', template: 'plain' }]] };
    const walked = walk({}, {}, { templates: [main, plain] });
    expect(walked.leaves).toEqual([
      { nodeName: 'wf[0].a', outcome: 'runs', message: 'not-memoized: neither memoize nor the annotations of one' },
    ]);
  });
});

describe('what is too much', () => {
  const chainOf = (length: number) =>
    Array.from({ length }, (_, index) =>
      call(`t${index}`, `k${index}`, index === 0 ? {} : { depends: `t${index - 1}` }),
    );

  it('is bounded: a circle of templates that branches', () => {
    const walked = walk(
      {
        steps: [
          [
            { name: 'a', template: 'main' },
            { name: 'b', template: 'main' },
          ],
        ],
      },
      {},
    );
    expect(walked.nodes).toEqual([]);
    expect(walked.leaves.length).toBeLessThan(20_000);
  });

  it('is bounded: a chain of 5,000 tasks, the first of which is not cached', () => {
    const walked = walk({ dag: { tasks: chainOf(5_000) } }, {});
    expect(walked.leaves).toHaveLength(5_000);
    expect(walked.leaves[0]?.outcome).toBe('runs');
  });

  it('is bounded: a tree of templates with a million leaves', () => {
    const levels = Array.from({ length: 10 }, (_, level) => ({
      name: level === 0 ? 'main' : `l${level}`,
      steps: [
        Array.from({ length: 4 }, (_, index) =>
          level === 9 ? call(`c${index}`, 'k') : { name: `c${index}`, template: `l${level + 1}` },
        ),
      ],
    }));
    const walked = walk({}, {}, { templates: [...levels, WORK] });
    expect(walked.leaves.length).toBeLessThan(20_000);
  });

  it('is no key of a mebibyte', () => {
    expect(walk({ steps: [[call('a', 'y'.repeat(2 ** 20))]] }, {}).leaves[0]?.message).toMatch(/^key-invalid/);
  });
});

describe('the nodes', () => {
  it('hang together for any workflow', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const { workflow, fill, salt } = oracleWorkflow(createRandom(seed));
        const { metadata, spec } = workflow as { metadata: { name: string }; spec: JsonObject };
        const input = { workflowName: metadata.name, isNameKnown: true, namespace: 'default', spec } as const;
        const walked = walkAhead({ ...input, mode: 'managed', lookUp: cacheOf(fill, salt), now: NOW });
        expect(findBrokenRule(metadata.name, walked.nodes)).toBeUndefined();
        const served = walked.nodes.filter(({ type }) => type === 'Pod').length;
        expect(served).toBeLessThanOrEqual(walked.leaves.filter(({ outcome }) => outcome === 'hit').length);
      }),
      { numRuns: 1000 },
    );
  });

  it('are none where no JSON is a spec', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue(), (spec, templates) => {
        const input = { workflowName: 'wf', isNameKnown: true, namespace: 'default' } as const;
        const strange = { ...spec, entrypoint: 'a', templates: [{ name: 'a', steps: templates }] } as JsonObject;
        const walked = walkAhead({ ...input, spec: strange, mode: 'managed', lookUp: entries({}), now: NOW });
        expect(walked.nodes).toEqual([]);
      }),
    );
  });
});
