import { describe, expect, it } from 'vitest';
import { parseArgoVersion } from '../../../src/argo/versions.ts';
import { asObject, type JsonObject } from '../../../src/base/json.ts';
import type { EntryLookup } from '../../../src/cache/entry.ts';
import { applyPatch } from '../../../src/cli/apply-patch.ts';
import { judgeProgress, type ProgressInput } from '../../../src/look-ahead/judge-progress.ts';
import { nodeId } from '../../../src/look-ahead/node.ts';

/*
 * Workflows of which the first step has run, and the one behind it is a hit whose pod the controller has just made. What the
 * controller does with the nodes that are added is the oracle's to say (`make look-ahead-oracle`), and the cluster's.
 */
const NOW = new Date('2026-01-01T01:00:00Z');
const CREATED = '2026-01-01T00:00:00Z';
const STATUS = 'stepmemo.io/look-ahead';
const MARK = 'stepmemo.io/look-ahead-continues';

const io = {
  inputs: { parameters: [{ name: 'x' }] },
  outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
  container: { image: 'busybox' },
};
const WORK = {
  name: 'work',
  ...io,
  metadata: { annotations: { 'stepmemo.io/key': '{{inputs.parameters.x}}', 'stepmemo.io/cache': 'work' } },
};
const PLAIN = { name: 'plain', ...io };

const out = (kind: 'steps' | 'tasks', name: string) => `{{${kind}.${name}.outputs.parameters.o}}`;
const call = (name: string, template: string, x: string, more: JsonObject = {}) => ({
  name,
  template,
  arguments: { parameters: [{ name: 'x', value: x }] },
  ...more,
});

/** What each step of these workflows gives: its input and a plus sign. */
function outputsOf(x: string): JsonObject {
  return { parameters: [{ name: 'o', value: `${x}+`, valueFrom: { path: '/tmp/o' } }], exitCode: '0' };
}

interface NodeParts {
  readonly type?: string;
  readonly phase?: string;
  readonly x?: string;
  readonly children?: readonly string[];
  readonly boundary?: string;
  readonly outbound?: readonly string[];
}

/** Names without a dot or bracket before them are the workflow's own. */
const fullName = (name: string) => (name === 'wf' || /^wf[.[]/.test(name) ? name : `wf.${name}`);
const idOf = (name: string) => nodeId('wf', fullName(name));

function node(name: string, { type = 'Pod', phase = 'Succeeded', x, children, outbound, boundary = 'wf' }: NodeParts) {
  return {
    id: idOf(name),
    name: fullName(name),
    displayName: name,
    type,
    phase,
    startedAt: '2026-01-01T00:59:59Z',
    ...(name !== 'wf' && { boundaryID: idOf(boundary) }),
    ...(x !== undefined && { inputs: { parameters: [{ name: 'x', value: x }] } }),
    ...(x !== undefined && phase === 'Succeeded' && { outputs: outputsOf(x) }),
    ...(children && { children: children.map(idOf) }),
    ...(outbound && { outboundNodes: outbound.map(idOf) }),
  };
}

function running(main: JsonObject, nodes: readonly ReturnType<typeof node>[], more: JsonObject = {}): JsonObject {
  const { spec = {}, status = {}, metadata = {} } = more as Record<string, JsonObject>;
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { name: 'wf', namespace: 'team', labels: { [MARK]: 'true' }, ...metadata },
    spec: { entrypoint: 'main', templates: [{ name: 'main', ...main }, WORK, PLAIN], ...spec },
    status: {
      phase: 'Running',
      startedAt: '2026-01-01T00:59:00Z',
      nodes: Object.fromEntries(nodes.map((one) => [one.id, one])),
      ...status,
    },
  };
}

const CHAIN = {
  steps: [
    [call('s0', 'plain', 'a')],
    [call('s1', 'work', out('steps', 's0'))],
    [call('s2', 'work', out('steps', 's1'))],
    [call('s3', 'work', out('steps', 's2'))],
  ],
};
const CHAIN_NODES = [
  node('wf', { type: 'Steps', phase: 'Running', children: ['wf[0]'] }),
  node('wf[0]', { type: 'StepGroup', children: ['wf[0].s0'] }),
  node('wf[0].s0', { x: 'a', children: ['wf[1]'] }),
  node('wf[1]', { type: 'StepGroup', phase: 'Running', children: ['wf[1].s1'] }),
  node('wf[1].s1', { phase: 'Pending', x: 'a+' }),
];
const DAG = {
  dag: {
    tasks: [
      call('s0', 'plain', 'a'),
      call('s1', 'work', out('tasks', 's0'), { depends: 's0' }),
      call('s2', 'work', out('tasks', 's1'), { depends: 's1' }),
      call('s3', 'work', out('tasks', 's2'), { depends: 's2' }),
    ],
  },
};
const DAG_NODES = [
  node('wf', { type: 'DAG', phase: 'Running', children: ['s0'] }),
  node('s0', { x: 'a', children: ['s1'] }),
  node('s1', { phase: 'Pending', x: 'a+' }),
];

function entries(...keys: readonly string[]): ProgressInput['lookUp'] {
  return (_, key): EntryLookup => {
    if (!keys.includes(key)) return { found: 'nothing' };
    const outputs = { parameters: [{ name: 'o', value: `${key}+` }], exitCode: '0' };
    return { found: 'entry', entry: { nodeID: 'n', outputs, creationTimestamp: CREATED, lastHitTimestamp: CREATED } };
  };
}
const ALL = entries('a+', 'a++', 'a+++', 'b', 'c', 'b+', 'c+', '[{"o":"b+"},{"o":"c+"}]', '["b+","c+"]');

/** The nodes whose pods stepmemo has ended, with their inputs. */
function ended(inputs: Readonly<Record<string, string>>): ProgressInput['served'] {
  const byId = new Map(Object.entries(inputs).map(([name, x]) => [idOf(name), outputsOf(x)]));
  return ({ id }) => byId.get(id);
}

const enabled = { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' } as const;

function judge(object: JsonObject, more: Partial<ProgressInput> = {}) {
  const verdict = judgeProgress({
    object,
    namespace: enabled,
    cluster: { isSynced: true, arePoliciesInstalled: true },
    argo: {
      version: parseArgoVersion('4.0.5') ?? 'unknown',
      defaults: undefined,
      artifactRepository: undefined,
      isWrittenBack: false,
    },
    lookUp: ALL,
    lookUpTemplate: () => undefined,
    lookUpRepository: () => undefined,
    served: () => undefined,
    now: NOW,
    isOverdue: () => false,
    ...more,
  });
  const after = applyPatch(object, verdict.patch) as JsonObject;
  const had = asObject(asObject(object.status).nodes);
  const nodes = asObject(asObject(after.status).nodes);
  const added = Object.values(nodes)
    .map(asObject)
    .filter(({ id }) => had[String(id)] === undefined);
  return { verdict, after, nodes, added, addedNames: added.map(({ name }) => name) };
}

const S1 = ended({ 'wf[1].s1': 'a+' });

describe('a running Workflow', () => {
  it('gets the steps that follow on a hit in the write in which it becomes one', () => {
    const { verdict, added, after } = judge(running(CHAIN, CHAIN_NODES), { served: S1 });
    expect(verdict).toMatchObject({ decision: 'mutate', reason: 'served-ahead', added: 2, awaited: [] });
    expect(added).toMatchObject([
      { name: 'wf[2].s2', phase: 'Succeeded', boundaryID: 'wf', outputs: outputsOf('a++') },
      { name: 'wf[3].s3', phase: 'Succeeded', boundaryID: 'wf', outputs: outputsOf('a+++') },
    ]);
    // Beside a pod Argo would save what has this, and may not.
    expect(added.filter((one) => 'memoizationStatus' in one)).toEqual([]);
    expect(after.metadata).toMatchObject({
      annotations: { [STATUS]: 'served 2 of 2 steps that follow on a hit' },
      labels: {},
    });
  });

  it('gets the tasks of a DAG, with a link from the one that is there', () => {
    const { verdict, nodes, addedNames } = judge(running(DAG, DAG_NODES), { served: ended({ s1: 'a+' }) });
    expect(verdict.added).toBe(2);
    expect(addedNames).toEqual(['wf.s2', 'wf.s3']);
    expect(nodes).toMatchObject({
      [idOf('s1')]: { phase: 'Pending', children: [idOf('s2')] },
      [idOf('s2')]: { children: [idOf('s3')] },
    });
  });

  it('is left as it is until the pod of the hit has ended, which is waited for', () => {
    const { verdict } = judge(running(CHAIN, CHAIN_NODES));
    expect(verdict).toMatchObject({ decision: 'skip', patch: [], awaited: [idOf('wf[1].s1')] });
  });

  it('is not waited for where the step is no hit', () => {
    const { verdict } = judge(running(CHAIN, CHAIN_NODES), { lookUp: entries('a++') });
    expect(verdict).toMatchObject({ decision: 'skip', patch: [], awaited: [] });
  });

  it('is not waited for where the pod is older than any hit, nor where stepmemo only observes', () => {
    const later = { now: new Date('2026-01-01T01:00:30Z') };
    expect(judge(running(CHAIN, CHAIN_NODES), later).verdict).toMatchObject({ decision: 'skip', awaited: [] });
    const observing = { namespace: { ...enabled, operation: 'observe' } as const };
    expect(judge(running(CHAIN, CHAIN_NODES), observing).verdict).toMatchObject({ decision: 'skip', awaited: [] });
  });

  it('keeps its mark while something may follow later', () => {
    const { after, addedNames } = judge(
      running(
        { steps: [...CHAIN.steps, [call('s4', 'plain', 'x')], [call('s5', 'work', out('steps', 's4'))]] },
        CHAIN_NODES,
      ),
      { served: S1 },
    );
    expect(addedNames).toEqual(['wf[2].s2', 'wf[3].s3']);
    expect(after.metadata).toMatchObject({ labels: { [MARK]: 'true' } });
  });

  it('says what was served before, too', () => {
    const before = 'served 1 of 4 steps at submission; wf[0].s0 runs: no entry';
    const object = running(CHAIN, CHAIN_NODES, { metadata: { annotations: { [STATUS]: before } } });
    const { after } = judge(object, { served: S1 });
    const then = 'then served 2 of 2 steps that follow on a hit';
    expect(after.metadata).toMatchObject({ annotations: { [STATUS]: `${before}; ${then}` } });
  });

  it('gets nothing twice', () => {
    const { after } = judge(running(CHAIN, CHAIN_NODES), { served: S1 });
    expect(judge(after, { served: S1 }).verdict).toMatchObject({ added: 0, patch: [] });
    const dag = judge(running(DAG, DAG_NODES), { served: ended({ s1: 'a+' }) });
    expect(judge(dag.after, { served: ended({ s1: 'a+' }) }).verdict).toMatchObject({ added: 0, patch: [] });
  });

  it('changes nothing of the nodes that are there but the children that they get', () => {
    const object = running(DAG, DAG_NODES);
    const { nodes } = judge(object, { served: ended({ s1: 'a+' }) });
    for (const before of DAG_NODES) {
      const { children: _, ...rest } = asObject(nodes[before.id]);
      const { children: __, ...had } = before;
      expect(rest).toEqual(had);
    }
  });
});

describe('nothing is added', () => {
  const FAILED = node('wf[0].other', { phase: 'Failed' });
  it.each<[string, JsonObject, string]>([
    ['of a suspended Workflow', { spec: { suspend: true } }, 'nothing-foreseen'],
    ['of one that is stopped', { spec: { shutdown: 'Stop' } }, 'nothing-foreseen'],
    ['of one that is being deleted', { metadata: { deletionTimestamp: CREATED } }, 'workflow-not-going-on'],
    ['of one that has not begun', { status: { phase: '' } }, 'workflow-not-going-on'],
    ['of one that has ended', { status: { phase: 'Failed' } }, 'workflow-not-going-on'],
    ['close to the deadline', { spec: { activeDeadlineSeconds: 70 } }, 'workflow-not-going-on'],
    ['where it is switched off', { metadata: { annotations: { [STATUS]: 'off' } } }, 'look-ahead-off'],
    ['where another step has failed', { nodes: [FAILED] }, 'workflow-not-going-on'],
  ])('%s', (_, { nodes = [], ...more }, reason) => {
    const object = running(CHAIN, [...CHAIN_NODES, ...(nodes as (typeof FAILED)[])], more);
    const { verdict } = judge(object, { served: S1 });
    expect(verdict).toMatchObject({ decision: 'skip', reason, added: 0 });
  });

  it('far from the deadline something is', () => {
    const object = running(CHAIN, CHAIN_NODES, { spec: { activeDeadlineSeconds: 700 } });
    expect(judge(object, { served: S1 }).verdict.added).toBe(2);
  });

  it('behind a group in which a step still runs', () => {
    const main = {
      steps: [CHAIN.steps[0], [...(CHAIN.steps[1] ?? []), call('slow', 'plain', 'z')], CHAIN.steps[2]],
    };
    const slow = node('wf[1].slow', { phase: 'Running', x: 'z' });
    expect(judge(running(main, [...CHAIN_NODES, slow]), { served: S1 }).verdict.added).toBe(0);
  });

  it('where a node was made with other inputs than the ones that follow from the Workflow', () => {
    const nodes = [...CHAIN_NODES.slice(0, 4), node('wf[1].s1', { phase: 'Pending', x: 'other' })];
    expect(judge(running(CHAIN, nodes), { served: S1 }).verdict.added).toBe(0);
  });

  it('below a boundary that a memoized resubmission took over from another workflow', () => {
    const nodes = DAG_NODES.map((one) => (one.type === 'DAG' ? { ...one, phase: 'Pending' } : one));
    const { verdict } = judge(running(DAG, nodes), { served: ended({ s1: 'a+' }) });
    expect(verdict).toMatchObject({ added: 0, reason: 'nothing-foreseen' });
  });

  it('that Argo could have made before, and did not', () => {
    // A limit of pods, say: the root task t is not there though nothing is before it.
    const main = { dag: { tasks: [...DAG.dag.tasks, call('t', 'work', 'b')] } };
    const { addedNames } = judge(running(main, DAG_NODES), { served: ended({ s1: 'a+' }) });
    expect(addedNames).toEqual(['wf.s2', 'wf.s3']);
  });

  it('behind a task with items, which Argo has to end itself', () => {
    const main = {
      dag: {
        tasks: [
          call('s0', 'plain', 'a'),
          call('fan', 'work', '{{item}}', { depends: 's0', withItems: ['b', 'c'] }),
          call('s2', 'work', 'a+', { depends: 'fan' }),
        ],
      },
    };
    const nodes = [
      node('wf', { type: 'DAG', phase: 'Running', children: ['s0'] }),
      node('s0', { x: 'a', children: ['fan'] }),
      node('fan', { type: 'TaskGroup', phase: 'Running', children: ['fan(0:b)', 'fan(1:c)'] }),
      node('fan(0:b)', { phase: 'Pending', x: 'b' }),
      node('fan(1:c)', { phase: 'Pending', x: 'c' }),
    ];
    const served = ended({ 'fan(0:b)': 'b', 'fan(1:c)': 'c' });
    expect(judge(running(main, nodes), { served }).verdict.added).toBe(0);
  });
});

describe('what follows is found', () => {
  it('behind all runs of a step with items', () => {
    const main = {
      steps: [
        [call('s0', 'plain', 'a')],
        [call('fan', 'work', '{{item}}', { withItems: ['b', 'c'] })],
        [call('all', 'work', '{{steps.fan.outputs.parameters}}')],
      ],
    };
    const nodes = [
      ...CHAIN_NODES.slice(0, 3),
      node('wf[1]', { type: 'StepGroup', phase: 'Running', children: ['wf[1].fan(0:b)', 'wf[1].fan(1:c)'] }),
      node('wf[1].fan(0:b)', { phase: 'Pending', x: 'b' }),
      node('wf[1].fan(1:c)', { phase: 'Pending', x: 'c' }),
    ];
    const both = { 'wf[1].fan(0:b)': 'b', 'wf[1].fan(1:c)': 'c' };
    expect(judge(running(main, nodes), { served: ended(both) }).addedNames).toEqual(['wf[2].all']);
    const first = { 'wf[1].fan(0:b)': 'b' };
    expect(judge(running(main, nodes), { served: ended(first) }).verdict).toMatchObject({
      added: 0,
      awaited: [idOf('wf[1].fan(1:c)')],
    });
  });

  it('in a DAG within a step, whole', () => {
    const inner = {
      name: 'inner',
      inputs: { parameters: [{ name: 'x' }] },
      outputs: { parameters: [{ name: 'o', valueFrom: { parameter: out('tasks', 'b') } }] },
      dag: {
        tasks: [call('a', 'work', '{{inputs.parameters.x}}'), call('b', 'work', out('tasks', 'a'), { depends: 'a' })],
      },
    };
    const main = { steps: [CHAIN.steps[0], CHAIN.steps[1], [call('s2', 'inner', out('steps', 's1'))]] };
    const spec = { templates: [{ name: 'main', ...main }, inner, WORK, PLAIN] };
    const { added } = judge(running(main, CHAIN_NODES, { spec }), { served: S1 });
    expect(added.map(({ name, type, phase }) => [name, type, phase])).toEqual([
      ['wf[2].s2.a', 'Pod', 'Succeeded'],
      ['wf[2].s2.b', 'Pod', 'Succeeded'],
      ['wf[2].s2', 'DAG', 'Succeeded'],
    ]);
  });

  it('behind what has run in a nested template, by its outputs', () => {
    const nodes = [
      ...CHAIN_NODES.slice(0, 2),
      node('wf[0].s0', { type: 'Steps', x: 'a', children: ['wf[0].s0[0]'], outbound: ['wf[0].s0[0].in'] }),
      node('wf[0].s0[0]', { type: 'StepGroup', boundary: 'wf[0].s0', children: ['wf[0].s0[0].in'] }),
      node('wf[0].s0[0].in', { boundary: 'wf[0].s0', x: 'a', children: ['wf[1]'] }),
      ...CHAIN_NODES.slice(3),
    ];
    expect(judge(running(CHAIN, nodes), { served: S1 }).addedNames).toEqual(['wf[2].s2', 'wf[3].s3']);
  });
});

describe('stored templates', () => {
  const ref = { templateRef: { name: 'shared', template: 'work' } };
  const main = {
    steps: [CHAIN.steps[0], CHAIN.steps[1], [{ ...call('s2', '', out('steps', 's1')), template: undefined, ...ref }]],
  };
  const lookUpTemplate: ProgressInput['lookUpTemplate'] = () => ({ spec: { templates: [PLAIN] } });

  it('are those that the Workflow holds, whatever became of the object', () => {
    const status = { storedTemplates: { 'namespaced/shared/work': WORK } };
    const { addedNames } = judge(running(main, CHAIN_NODES, { status }), { served: S1, lookUpTemplate });
    expect(addedNames).toEqual(['wf[2].s2']);
  });

  it('that it does not hold yet are left to the controller', () => {
    const lookUp: ProgressInput['lookUpTemplate'] = () => ({ spec: { templates: [WORK] } });
    const { verdict } = judge(running(main, CHAIN_NODES), { served: S1, lookUpTemplate: lookUp });
    expect(verdict.added).toBe(0);
  });

  it('are all of a Workflow that is made of one', () => {
    const whole = running(CHAIN, CHAIN_NODES);
    const status = { ...asObject(whole.status), storedWorkflowTemplateSpec: whole.spec };
    const object = { ...whole, spec: { workflowTemplateRef: { name: 'shared' } }, status };
    const { added } = judge(object, { served: S1 });
    expect(added.map(({ name, templateScope }) => [name, templateScope])).toEqual([
      ['wf[2].s2', 'local/'],
      ['wf[3].s3', 'local/'],
    ]);
    const { storedWorkflowTemplateSpec: _, ...without } = status;
    expect(judge({ ...object, status: without }, { served: S1 }).verdict.added).toBe(0);
  });
});
