import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ArgoVersion, parseArgoVersion } from '../../../src/argo/versions.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { EntryLookup } from '../../../src/cache/entry.ts';
import { applyPatch } from '../../../src/cli/apply-patch.ts';
import { type AheadInput, judgeSubmissionAhead } from '../../../src/look-ahead/judge-submission.ts';

const NOW = new Date('2026-01-01T01:00:00Z');
const CREATED = '2026-01-01T00:00:00Z';
const STATUS = 'stepmemo.io/look-ahead';
const DIGEST = 'stepmemo.io/look-ahead-digest';

const WORK = {
  name: 'work',
  inputs: { parameters: [{ name: 'x' }] },
  metadata: { annotations: { 'stepmemo.io/key': '{{inputs.parameters.x}}', 'stepmemo.io/cache': 'work' } },
  outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
  container: { image: 'busybox' },
};
const step = (name: string, x: string) => [
  { name, template: 'work', arguments: { parameters: [{ name: 'x', value: x }] } },
];

function workflow(steps: readonly unknown[], metadata: JsonObject = { name: 'wf' }, more: JsonObject = {}): JsonObject {
  const spec = { entrypoint: 'main', templates: [{ name: 'main', steps }, WORK] };
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { namespace: 'team', ...metadata },
    spec,
    ...more,
  };
}

/** An entry under each key that is named, with the key and a plus sign as its output. */
function entries(...keys: readonly string[]): AheadInput['lookUp'] {
  return (_, key): EntryLookup => {
    if (!keys.includes(key)) return { found: 'nothing' };
    const outputs = { parameters: [{ name: 'o', value: `${key}+` }], exitCode: '0' };
    return { found: 'entry', entry: { nodeID: 'n', outputs, creationTimestamp: CREATED, lastHitTimestamp: CREATED } };
  };
}

const version = (text: string): ArgoVersion | 'unknown' => parseArgoVersion(text) ?? 'unknown';
const enabled = { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' } as const;

function judge(object: JsonObject, more: Partial<AheadInput> = {}) {
  const verdict = judgeSubmissionAhead({
    object,
    namespace: enabled,
    cluster: { isSynced: true, arePoliciesInstalled: true },
    argo: { version: version('4.0.5'), defaults: undefined, artifactRepository: undefined, isWrittenBack: false },
    knowsWorkflow: () => false,
    lookUp: entries('one', 'two'),
    lookUpTemplate: () => undefined,
    lookUpRepository: () => undefined,
    suffix: 'bcdfghjklm',
    now: NOW,
    isOverdue: () => false,
    ...more,
  });
  return { ...verdict, after: applyPatch(object, verdict.patch) as { metadata: JsonObject; status?: JsonObject } };
}

const both = workflow([step('a', 'one'), step('b', 'two')]);

describe('a Workflow whose steps are cached', () => {
  it('gets their nodes and says how many, and nothing else of its status', () => {
    const { decision, reason, after, served, message } = judge(both);
    expect({ decision, reason, served, message }).toEqual({
      decision: 'mutate',
      reason: 'served-at-submission',
      served: 2,
      message: 'served 2 of 2 steps at submission',
    });
    expect(Object.keys(after.status ?? {})).toEqual(['nodes']);
    const nodes = Object.values(after.status?.nodes as Record<string, { name: string; phase: string }>);
    expect(nodes.map(({ name, phase }) => [name, phase])).toEqual([
      ['wf[0].a', 'Succeeded'],
      ['wf[1].b', 'Succeeded'],
    ]);
    expect(after.metadata).toMatchObject({ name: 'wf', annotations: { [STATUS]: message } });
  });

  it('is told where the walk ended, and why', () => {
    expect(judge(workflow([step('a', 'one'), step('b', 'three')])).message).toBe(
      'served 1 of 2 steps at submission; wf[1].b runs: no-entry: no entry for key "three" in cache work',
    );
  });

  it('gets a name of ours where the API server would have made one', () => {
    const { after } = judge(workflow([step('a', 'one')], { generateName: 'wf-' }));
    expect(after.metadata).toMatchObject({ generateName: 'wf-', name: 'wf-bcdfghjklm' });
    expect(Object.keys(after.status?.nodes as object)).toEqual([expect.stringMatching(/^wf-bcdfghjklm-\d+$/)]);
  });

  it('gets one that fits into a label', () => {
    const { after } = judge(workflow([step('a', 'one')], { generateName: 'w'.repeat(80) }));
    expect(String(after.metadata.name)).toHaveLength(63);
  });

  it('gets none where nothing is served', () => {
    expect(judge(workflow([step('a', 'three')], { generateName: 'wf-' }))).toMatchObject({
      reason: 'nothing-foreseen',
      patch: [],
    });
  });

  it('is served by its own field in native mode', () => {
    const memoize = { key: 'one', maxAge: '2h', cache: { configMap: { name: 'c' } } };
    const template = { ...WORK, metadata: {}, memoize };
    const object = {
      ...both,
      spec: { entrypoint: 'work', templates: [template], arguments: { parameters: [{ name: 'x', value: 'q' }] } },
    };
    expect(judge(object, { namespace: { ...enabled, memoize: 'native' } }).served).toBe(1);
    expect(judge(object)).toMatchObject({ reason: 'nothing-foreseen' });
  });
});

describe('a second pass', () => {
  const once = judge(both).after as unknown as JsonObject;

  it('changes nothing where all is as it was', () => {
    const again = judge(once);
    expect(again.served).toBe(2);
    expect(again.after).toEqual(once);
  });

  it('knows its nodes though an API server has written them anew', () => {
    const nodes = Object.fromEntries(
      Object.entries((once.status as { nodes: Record<string, JsonObject> }).nodes)
        .reverse()
        .map(([id, node]) => [id, Object.fromEntries(Object.entries(node).reverse())]),
    );
    expect(judge({ ...once, status: { nodes } }).reason).toBe('served-at-submission');
  });

  it('judges anew what another webhook has changed', () => {
    const templates = [{ name: 'main', steps: [step('a', 'one'), step('b', 'other')] }, WORK];
    const { after, message } = judge({ ...once, spec: { entrypoint: 'main', templates } });
    expect(Object.keys((after.status as { nodes: object }).nodes)).toHaveLength(1);
    expect(after.metadata).toMatchObject({ annotations: { [STATUS]: message } });
  });

  it('takes its nodes back where nothing can be served any more', () => {
    const { after } = judge(once, { lookUp: entries() });
    expect(after.status).toBeUndefined();
    expect(after.metadata.annotations).toEqual({});
  });
});

describe('a Workflow that is left alone', () => {
  const with_ = (annotations: JsonObject, labels: JsonObject = {}) =>
    workflow([step('a', 'one')], { name: 'wf', annotations, labels });
  it.each<[string, JsonObject, Partial<AheadInput>, string]>([
    [
      'where the namespace has not opted in',
      both,
      { namespace: { ...enabled, isEnabled: false } },
      'namespace-not-enabled',
    ],
    ['where the namespace is not known', both, { namespace: undefined }, 'namespace-not-enabled'],
    ['where the namespace says off', both, { namespace: { ...enabled, lookAhead: 'off' } }, 'look-ahead-off'],
    ['where stepmemo is switched off', both, { namespace: { ...enabled, operation: 'off' } }, 'switched-off'],
    ['where stepmemo observes', both, { namespace: { ...enabled, operation: 'observe' } }, 'observed-hit'],
    ['where it says off itself', with_({ [STATUS]: 'off' }), {}, 'look-ahead-off'],
    ['where a label says off', with_({}, { [STATUS]: 'off' }), {}, 'look-ahead-off'],
    ['where its label asks for no reuse', with_({}, { 'stepmemo.io/reuse': 'off' }), {}, 'reuse-off'],
    ['where its label asks for fresh entries', with_({}, { 'stepmemo.io/reuse': 'refresh' }), {}, 'refresh'],
    ['where it has a status', { ...both, status: { phase: 'Running' } }, {}, 'status-present'],
    ['where it has nodes of others', { ...both, status: { nodes: {} } }, {}, 'status-present'],
    ['where its status is nonsense', { ...both, status: 'x' }, {}, 'status-present'],
    ['while the caches are not read', both, { cluster: { isSynced: false, arePoliciesInstalled: true } }, 'not-synced'],
    ['without the policies', both, { cluster: { isSynced: true, arePoliciesInstalled: false } }, 'policies-missing'],
    [
      'on an unknown Argo',
      both,
      { argo: { version: 'unknown', defaults: undefined, artifactRepository: undefined, isWrittenBack: false } },
      'argo-unknown',
    ],
    [
      'on an Argo of tomorrow',
      both,
      { argo: { version: version('4.1.0'), defaults: undefined, artifactRepository: undefined, isWrittenBack: false } },
      'argo-unknown',
    ],
    [
      'on an Argo of yesterday',
      both,
      { argo: { version: version('3.3.9'), defaults: undefined, artifactRepository: undefined, isWrittenBack: false } },
      'argo-unknown',
    ],
    [
      'under defaults that may change it',
      both,
      { argo: { version: version('4.0.5'), defaults: 'x', artifactRepository: undefined, isWrittenBack: false } },
      'argo-unknown',
    ],
    ['where pods of its name are there', both, { knowsWorkflow: (name) => name === 'wf' }, 'workflow-known'],
    ['without any template', { ...both, spec: {} }, {}, 'nothing-foreseen'],
    ['without a spec', { ...both, spec: undefined }, {}, 'nothing-foreseen'],
  ])('%s', (_, object, more, reason) => {
    expect(judge(object, more)).toMatchObject({ decision: 'skip', reason, patch: [], served: 0 });
  });

  it('loses what a resubmission has copied from another', () => {
    const { after, reason } = judge(with_({ [STATUS]: 'served 1 of 1', [DIGEST]: 'x', mine: 'y' }), {
      lookUp: entries(),
    });
    expect(reason).toBe('nothing-foreseen');
    expect(after.metadata.annotations).toEqual({ mine: 'y' });
  });

  it('keeps a status that its annotation does not fit', () => {
    const object = { ...with_({ [DIGEST]: 'x' }), status: { nodes: { wf: { id: 'wf' } } } };
    const { after, reason } = judge(object);
    expect(reason).toBe('status-present');
    expect(after.status).toEqual(object.status);
    expect(after.metadata.annotations).toEqual({});
  });
});

it('leaves to the pods what it has no time for', () => {
  let looks = 0;
  const { served, message } = judge(both, { isOverdue: () => ++looks > 2 });
  expect({ served, message }).toEqual({
    served: 1,
    message: 'served 1 of 2 steps at submission; wf[1].b is left to its pod: there was no time left',
  });
});

it('says which stored templates it has walked', () => {
  const stored = { metadata: { resourceVersion: '42' }, spec: { templates: [WORK] } };
  const call = {
    name: 'a',
    templateRef: { name: 'shared', template: 'work' },
    arguments: { parameters: [{ name: 'x', value: 'one' }] },
  };
  expect(judge(workflow([[call]]), { lookUpTemplate: () => stored }).message).toBe(
    'served 1 of 1 steps at submission (by namespaced/shared at 42)',
  );
});

it('answers to any object, and its patch applies', () => {
  const part = fc.oneof(fc.jsonValue(), fc.constantFrom(WORK, both.spec, both.metadata, step('a', 'one')));
  const object = fc.record({ metadata: part, spec: part, status: part }, { requiredKeys: [] });
  fc.assert(
    fc.property(object, (given) => {
      const base = { ...(given as JsonObject), kind: 'Workflow' };
      expect(judge(base).decision).toMatch(/^(?:mutate|skip)$/);
    }),
  );
});

describe('the mark by which the writes of the controller come', () => {
  const MARK = 'stepmemo.io/look-ahead-continues';
  const PLAIN = { ...WORK, name: 'plain', metadata: {} };
  const runs = [{ ...step('run', 'z')[0], template: 'plain' }];
  const then = [{ ...step('then', 'one')[0] }];
  const templates = (steps: readonly unknown[]) => [{ name: 'main', steps }, WORK, PLAIN];
  const object = (steps: readonly unknown[], metadata: JsonObject = { name: 'wf' }) => ({
    ...workflow(steps, metadata),
    spec: { entrypoint: 'main', templates: templates(steps) },
  });
  const markOf = (given: JsonObject, more: Partial<AheadInput> = {}) => {
    const after = applyPatch(given, judge(given, more).patch) as { metadata: { labels?: JsonObject } };
    return after.metadata.labels?.[MARK];
  };
  const argo = (text: string, isWrittenBack = false): Partial<AheadInput> => ({
    argo: { version: version(text), defaults: undefined, artifactRepository: undefined, isWrittenBack },
  });

  it('is set where a memoized step comes behind one that runs', () => {
    expect(markOf(object([runs, then]))).toBe('true');
    expect(markOf(object([step('first', 'one'), runs, then]))).toBe('true');
  });

  it('is not where nothing comes behind it, or nothing is memoized', () => {
    expect(markOf(object([then, runs]))).toBeUndefined();
    const plain = {
      ...object([runs, runs]),
      spec: { entrypoint: 'main', templates: templates([runs, runs]).slice(0, 1) },
    };
    expect(markOf({ ...plain, spec: { ...plain.spec, templates: [...plain.spec.templates, PLAIN] } })).toBeUndefined();
  });

  it('is not before 4.0, nor where the controller writes its own copy back', () => {
    expect(markOf(object([runs, then]), argo('3.7.15'))).toBeUndefined();
    expect(markOf(object([runs, then]), argo('4.0.5', true))).toBeUndefined();
  });

  it('is taken away where it was copied from another Workflow', () => {
    expect(markOf(object([then, runs], { name: 'wf', labels: { [MARK]: 'true' } }))).toBeUndefined();
  });
});

describe('size', () => {
  const wide = (count: number) => ({
    ...both,
    spec: {
      entrypoint: 'main',
      templates: [
        {
          name: 'main',
          dag: {
            tasks: [
              {
                name: 'fan',
                template: 'work',
                arguments: { parameters: [{ name: 'x', value: '{{item}}' }] },
                withItems: Array.from({ length: count }, (_, index) => `i${index}`),
              },
            ],
          },
        },
        WORK,
      ],
    },
  });
  const all: AheadInput['lookUp'] = (cache, key) => entries(key)(cache, key);

  it('bounds what is served; the rest is left to its pods', () => {
    const { served, after } = judge(wide(1_000), { lookUp: all });
    expect(served).toBeGreaterThan(300);
    expect(served).toBeLessThan(1_000);
    expect(JSON.stringify(after).length).toBeLessThan(1024 * 1024);
  });

  it('leaves all of it to pods where the object is large already', () => {
    const spec = { ...(wide(2).spec as JsonObject), x: 'y'.repeat(950_000) };
    expect(judge({ ...both, spec }, { lookUp: all }).served).toBe(0);
  });
});
