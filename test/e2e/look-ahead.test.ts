import { beforeAll, describe, expect, inject, it } from 'vitest';
import { LOOK_AHEAD_DIGEST_ANNOTATION } from '../../src/base/names.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import {
  admin,
  describeWorkflow,
  type EndedWorkflow,
  eventReasons,
  giveAccount,
  givenNamespace,
  kubectl,
  podsOf,
  submit,
  untilEnded,
  untilEntries,
  type WorkflowNode,
} from './cluster.ts';

/*
 * Workflows that are served when they are submitted. Each runs three times: its steps execute, then they are hits by the pods'
 * way, then by look-ahead. The last two have to end alike, tree and outputs, but that the last has no pod of a hit.
 */
const LOOK_AHEAD = 'stepmemo.io/look-ahead';
const out = (kind: string, name: string) => `{{${kind}.${name}.outputs.parameters.o}}`;

/** A step that gives its input and a plus sign, memoized under its input. */
const work = (cache: string) => ({
  name: 'work',
  inputs: { parameters: [{ name: 'x' }] },
  memoize: { key: '{{inputs.parameters.x}}', maxAge: '1h', cache: { configMap: { name: cache } } },
  container: {
    image: 'busybox:local',
    command: ['sh', '-c'],
    args: ["printf '%s+' '{{inputs.parameters.x}}' > /tmp/o"],
  },
  outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
});
const call = (name: string, x: string, more: object = {}) => ({
  name,
  template: 'work',
  arguments: { parameters: [{ name: 'x', value: x }] },
  ...more,
});

interface Case {
  readonly name: string;
  readonly templates: readonly object[];
  /** Memoized steps of one run. */
  readonly steps: number;
  /** Pods of the third run. */
  readonly pods: number;
  /** What is served depends on when a pod ends, which many workflows at a time put off: then it is run alone, and again. */
  readonly isInTime?: boolean;
  readonly spec?: object;
}

/** From then on more is served in the controller's own writes. */
const isContinued = Number(inject('e2e').argoVersion.split('.')[0]) >= 4;
const uncached = { ...work('none'), name: 'uncached', memoize: undefined };
const CASES: readonly Case[] = [
  {
    name: 'chain',
    steps: 3,
    pods: 0,
    templates: [
      { name: 'main', steps: [[call('a', 'c')], [call('b', out('steps', 'a'))], [call('c', out('steps', 'b'))]] },
    ],
  },
  {
    name: 'diamond',
    steps: 4,
    pods: 0,
    templates: [
      {
        name: 'main',
        dag: {
          tasks: [
            call('a', 'd'),
            call('b', `${out('tasks', 'a')}b`, { depends: 'a' }),
            call('c', `${out('tasks', 'a')}c`, { depends: 'a.Succeeded' }),
            call('d', `${out('tasks', 'b')}${out('tasks', 'c')}`, { depends: 'b && c' }),
          ],
        },
      },
    ],
  },
  {
    name: 'fan-out',
    steps: 4,
    pods: 0,
    templates: [
      {
        name: 'main',
        dag: {
          tasks: [
            call('fan', '{{item}}', { withItems: ['p', 'q', 3] }),
            call('all', out('tasks', 'fan'), { depends: 'fan' }),
          ],
        },
      },
    ],
  },
  {
    name: 'nested',
    steps: 3,
    pods: 0,
    templates: [
      {
        name: 'main',
        steps: [[{ ...call('first', 'n'), template: 'inner' }], [call('last', out('steps', 'first'))]],
      },
      {
        name: 'inner',
        inputs: { parameters: [{ name: 'x' }] },
        dag: {
          tasks: [call('a', '{{inputs.parameters.x}}'), call('b', out('tasks', 'a'), { depends: 'a' })],
        },
        outputs: { parameters: [{ name: 'o', valueFrom: { parameter: out('tasks', 'b') } }] },
      },
    ],
  },
  {
    name: 'behind a step that runs',
    steps: 3,
    // The step that runs, and the hit behind it.
    pods: 2,
    templates: [
      {
        name: 'main',
        dag: {
          tasks: [
            call('a', 'b'),
            call('b', out('tasks', 'a'), { depends: 'a' }),
            { ...call('runs', out('tasks', 'a'), { depends: 'a' }), template: 'uncached' },
            call('after', `${out('tasks', 'runs')}x`, { depends: 'runs' }),
          ],
        },
      },
      uncached,
    ],
  },
  {
    name: 'chain behind one that runs',
    isInTime: true,
    steps: 4,
    // The step that runs and the first hit; what follows on that comes with it.
    pods: isContinued ? 2 : 5,
    templates: [
      {
        name: 'main',
        steps: [
          [{ ...call('runs', 's'), template: 'uncached' }],
          [call('a', out('steps', 'runs'))],
          [call('b', out('steps', 'a')), call('b2', `${out('steps', 'a')}2`)],
          [call('c', out('steps', 'b'))],
        ],
      },
      uncached,
    ],
  },
  {
    name: 'tasks behind one that runs',
    isInTime: true,
    steps: 6,
    pods: isContinued ? 2 : 7,
    templates: [
      {
        name: 'main',
        dag: {
          tasks: [
            { ...call('runs', 't'), template: 'uncached' },
            call('a', out('tasks', 'runs'), { depends: 'runs' }),
            call('fan', `${out('tasks', 'a')}{{item}}`, { depends: 'a', withItems: ['p', 'q'] }),
            { ...call('deep', out('tasks', 'a'), { depends: 'a' }), template: 'inner' },
            call('last', `${out('tasks', 'deep')}l`, { depends: 'deep && fan' }),
          ],
        },
      },
      {
        name: 'inner',
        inputs: { parameters: [{ name: 'x' }] },
        steps: [[call('one', '{{inputs.parameters.x}}')], [call('two', out('steps', 'one'))]],
        outputs: { parameters: [{ name: 'o', valueFrom: { parameter: out('steps', 'two') } }] },
      },
      uncached,
    ],
  },
  {
    name: 'artifacts',
    steps: 2,
    // What takes an artifact is left to its pod.
    pods: 1,
    templates: [
      {
        name: 'main',
        steps: [
          [{ ...call('a', 'art'), template: 'makes' }],
          [
            {
              name: 'b',
              template: 'takes',
              arguments: { artifacts: [{ name: 'f', from: '{{steps.a.outputs.artifacts.f}}' }] },
            },
          ],
        ],
      },
      {
        ...work('cache-artifacts'),
        name: 'makes',
        outputs: { ...work('').outputs, artifacts: [{ name: 'f', path: '/tmp/o' }] },
      },
      {
        ...work('cache-artifacts'),
        name: 'takes',
        inputs: { artifacts: [{ name: 'f', path: '/tmp/f' }] },
        memoize: { key: 'takes', maxAge: '1h', cache: { configMap: { name: 'cache-artifacts' } } },
        container: { image: 'busybox:local', command: ['cp', '/tmp/f', '/tmp/o'] },
      },
    ],
  },
  {
    name: 'exit handler',
    steps: 1,
    pods: 1,
    templates: [
      { name: 'main', steps: [[call('a', 'e')]] },
      { name: 'bye', container: { image: 'busybox:local', command: ['true'] } },
    ],
    spec: { onExit: 'bye' },
  },
];

interface Run {
  readonly workflow: EndedWorkflow;
  readonly pods: readonly KubeObject[];
}
const runs = new Map<string, readonly [Run, Run, Run]>();

function workflow({ name, templates, spec = {} }: Case, label: object): KubeObject {
  const cache = `cache-${name.replaceAll(' ', '-')}`;
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: `${name.replaceAll(' ', '-')}-`, labels: { ...label } },
    spec: { entrypoint: 'main', templates: [...templates, work(cache)], ...spec },
  };
}

let namespace: string;
beforeAll(async () => {
  namespace = await givenNamespace({ lookAhead: 'on' });
});

async function run(one: Case, lookAhead: 'on' | 'off'): Promise<Run> {
  const name = await submit(namespace, workflow(one, { [LOOK_AHEAD]: lookAhead }));
  const ended = await untilEnded(namespace, name);
  if (ended.phase !== 'Succeeded') throw new Error(`${name}: ${ended.phase} ${ended.message}`);
  return { workflow: ended, pods: await podsOf(ended) };
}

const MOST_RUNS = 5;

async function runUntilInTime(one: Case): Promise<void> {
  const [first, without] = runs.get(one.name) ?? [];
  for (let count = 0; first && without && count < MOST_RUNS; count += 1) {
    const ahead = await run(one, 'on');
    runs.set(one.name, [first, without, ahead]);
    if (ahead.pods.length === one.pods) return;
  }
}

describe(`served at submission, Argo ${inject('e2e').argoVersion}`, () => {
  beforeAll(async () => {
    await Promise.all(
      CASES.map(async (one) => {
        const first = await run(one, 'on');
        await untilEntries(namespace, `cache-${one.name.replaceAll(' ', '-')}`, one.steps);
        runs.set(one.name, [first, await run(one, 'off'), await run(one, 'on')]);
      }),
    );
    for (const one of CASES.filter(({ isInTime }) => isInTime)) await runUntilInTime(one);
  }, 600_000);

  describe.each(CASES)('$name', ({ name, pods, isInTime }) => {
    const runsOf = () => {
      const found = runs.get(name);
      if (found === undefined) throw new Error(`${name} was not run`);
      return found;
    };

    it('ends as it does without', () => {
      const [, without, ahead] = runsOf();
      expect([without.workflow.phase, ahead.workflow.phase]).toEqual(['Succeeded', 'Succeeded']);
      expect(treeOf(ahead.workflow)).toEqual(treeOf(without.workflow));
    });

    it('has no pod for what is served', () => {
      const [first, without, ahead] = runsOf();
      expect(first.pods.length).toBe(without.pods.length);
      expect(ahead.pods).toHaveLength(pods);
    });

    it('says so', async () => {
      const [, , { workflow: ended }] = runsOf();
      const { annotations } = ended.object.metadata ?? {};
      const isAhead = isInTime === true;
      if (isAhead && !isContinued) return;
      expect(annotations?.[LOOK_AHEAD]).toMatch(
        isAhead ? /^served \d+ of \d+ steps that follow on a hit/ : /^served \d+ of \d+ steps at submission/,
      );
      const told = isAhead ? 'ServedAhead' : 'ServedAtSubmission';
      await waitFor(async () => (await eventReasons(namespace, ended.name)).includes(told), { what: 'the Event' });
    });
  });

  /*
   * A write of the controller's that meets one of somebody else is refused by the API server, after the webhook has added nodes to
   * it: the controller applies its look to the newer Workflow and writes that, and gives the look up where a node has ended meanwhile.
   */
  describe('a workflow that others write all the while', () => {
    /** A write takes the controller some 20 ms: more often than this, and it hardly comes to one. */
    const EVERY_MS = 50;
    const MOST_WRITES = 200;
    const LOST = /Re-applying updates on latest version/;

    it('ends as without', { timeout: 300_000 }, async () => {
      const one = CASES.find(({ name }) => name === 'tasks behind one that runs');
      const [, without] = runs.get(one?.name ?? '') ?? [];
      if (one === undefined || without === undefined) throw new Error('the workflow was not run');
      const names = await Promise.all(
        [1, 2, 3].map(async () => submit(namespace, workflow(one, { [LOOK_AHEAD]: 'on' }))),
      );
      const ended = await Promise.all(names.map(async (name) => writeUntilEnded(name)));
      for (const each of ended) expect(treeOf(each)).toEqual(treeOf(without.workflow));
      const logs = await kubectl('logs', '--namespace', 'argo', '--since', '5m', 'deployment/workflow-controller');
      const lost = logs.split('\n').filter((line) => LOST.test(line) && names.some((name) => line.includes(name)));
      expect(lost.length).toBeGreaterThan(0);
    });

    async function writeUntilEnded(name: string): Promise<EndedWorkflow> {
      const kube = await admin();
      const path = { resource: RESOURCES.workflows, namespace, name };
      let isOver = false;
      const write = async () => {
        for (let count = 0; !isOver && count < MOST_WRITES; count += 1) {
          const metadata = { annotations: { 'example.com/count': String(count) } };
          must(await kube.merge(path, { metadata }));
          await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
        }
      };
      const writing = write();
      try {
        return await untilEnded(namespace, name);
      } finally {
        isOver = true;
        await writing;
      }
    }
  });
});

/*
 * What happens to a workflow of which a part was served: it ends as one whose hits had pods. Its step that runs waits for what is
 * done to it.
 */
interface Fate {
  readonly name: string;
  readonly spec?: object;
  /** Done once the step runs. */
  readonly act?: object;
  /** Where the step does not wait. */
  readonly isQuick?: boolean;
  /** The template of the hit; `work` where it is left out. */
  readonly hit?: string;
  /** Of the template of the step that runs. */
  readonly sleeper?: object;
}
const LOCK = { configMapKeyRef: { name: 'locks', key: 'one' } };
const FATES: readonly Fate[] = [
  { name: 'stopped', act: { spec: { shutdown: 'Stop' } } },
  { name: 'terminated', act: { spec: { shutdown: 'Terminate' } } },
  { name: 'suspended and resumed', act: { spec: { suspend: true } }, isQuick: true },
  { name: 'over its deadline', spec: { activeDeadlineSeconds: 8 } },
  { name: 'with podGC', spec: { podGC: { strategy: 'OnPodCompletion' } }, isQuick: true },
  { name: 'with parallelism', spec: { parallelism: 1 }, isQuick: true },
  { name: 'with an exit handler', spec: { onExit: 'sleeper' }, isQuick: true },
  {
    name: 'waiting for a semaphore',
    sleeper: { synchronization: isContinued ? { semaphores: [LOCK] } : { semaphore: LOCK } },
    isQuick: true,
  },
  {
    name: 'with artifacts that are collected',
    hit: 'makes',
    spec: { artifactGC: { strategy: 'OnWorkflowCompletion', serviceAccountName: 'artifact-gc' } },
    isQuick: true,
  },
  { name: 'with a time to live', spec: { ttlStrategy: { secondsAfterCompletion: 10 } }, isQuick: true },
];

describe('a workflow that is served in part', () => {
  const outcomes = new Map<string, readonly [EndedWorkflow, EndedWorkflow]>();
  const sleeper = (isQuick: boolean) => ({
    name: 'sleeper',
    container: { image: 'busybox:local', command: ['sleep', isQuick ? '3' : '60'] },
  });
  const makes = {
    ...work('cache-fate'),
    name: 'makes',
    memoize: { key: 'makes-{{inputs.parameters.x}}', maxAge: '1h', cache: { configMap: { name: 'cache-fate' } } },
    outputs: { ...work('').outputs, artifacts: [{ name: 'f', path: '/tmp/o' }] },
  };

  /** On a busy machine what is looked up for a Workflow may come too late: then it is submitted once more. */
  async function submitServed(object: KubeObject): Promise<string> {
    const kube = await admin();
    return waitFor(
      async () => {
        const path = { resource: RESOURCES.workflows, namespace, name: await submit(namespace, object) };
        const { metadata } = must(await kube.get(path));
        if (metadata?.annotations?.[LOOK_AHEAD_DIGEST_ANNOTATION] !== undefined) return path.name;
        must(await kube.remove(path));
        return undefined;
      },
      { what: 'a Workflow that is served at submission', deadlineMs: 60_000 },
    );
  }

  async function meet(
    { name, spec = {}, act, isQuick = false, hit = 'work', sleeper: more = {} }: Fate,
    lookAhead: 'on' | 'off',
  ): Promise<EndedWorkflow> {
    const kube = await admin();
    const tasks = [call('hit', 'fate', { template: hit }), { name: 'runs', depends: 'hit', template: 'sleeper' }];
    const one: Case = {
      name: 'fate',
      steps: 1,
      pods: 1,
      spec,
      templates: [{ name: 'main', dag: { tasks } }, { ...sleeper(isQuick), ...more }, makes],
    };
    const object = workflow(one, { [LOOK_AHEAD]: lookAhead, fate: name.replaceAll(' ', '-') });
    const workflowName = await (lookAhead === 'on' ? submitServed(object) : submit(namespace, object));
    const path = { resource: RESOURCES.workflows, namespace, name: workflowName };
    if (act !== undefined) {
      await waitFor(
        async () => {
          const nodes = describeWorkflow(must(await kube.get(path))).nodes;
          return nodes.some(({ displayName, phase }) => displayName === 'runs' && phase === 'Running');
        },
        { what: 'the step to run', deadlineMs: 120_000 },
      );
      must(await kube.merge(path, act));
      if (name.startsWith('suspended')) must(await kube.merge(path, { spec: { suspend: null } }));
    }
    return untilEnded(namespace, workflowName);
  }

  beforeAll(async () => {
    const kube = await admin();
    const locks = { metadata: { name: 'locks' }, data: { one: '1' } };
    must(await kube.create({ resource: RESOURCES.configMaps, namespace }, locks));
    await giveAccount(kube, namespace, 'artifact-gc', [
      { apiGroups: ['argoproj.io'], resources: ['workflowartifactgctasks'], verbs: ['list', 'watch'] },
      { apiGroups: ['argoproj.io'], resources: ['workflowartifactgctasks/status'], verbs: ['patch'] },
    ]);
    // The entries of the hits.
    const steps = [[call('a', 'fate'), call('b', 'fate', { template: 'makes' })]];
    await run({ name: 'fate', steps: 2, pods: 2, templates: [{ name: 'main', steps }, makes] }, 'off');
    await untilEntries(namespace, 'cache-fate', 2);
    await Promise.all(
      FATES.map(async (fate) => void outcomes.set(fate.name, [await meet(fate, 'off'), await meet(fate, 'on')])),
    );
  }, 300_000);

  it.each(FATES.map(({ name }) => name))('ends as without: %s', (name) => {
    const [without, ahead] = outcomes.get(name) ?? [];
    const shape = (ended: EndedWorkflow | undefined) => ({
      phase: ended?.phase,
      nodes: ended?.nodes
        .map(({ displayName, phase, type }) => `${displayName.replaceAll(ended.name, 'WF')} ${type} ${phase}`)
        .sort(),
    });
    expect(shape(ahead)).toEqual(shape(without));
    expect(ahead?.nodes.find(({ displayName }) => displayName === 'hit')?.memoizationStatus?.hit).toBe(true);
  });

  it('is deleted once its artifacts are collected, as without', async () => {
    const kube = await admin();
    for (const { name } of outcomes.get('with artifacts that are collected') ?? []) {
      const path = { resource: RESOURCES.workflows, namespace, name };
      must(await kube.remove(path));
      await waitFor(async () => !(await kube.get(path)).ok, { what: `${name} to be deleted`, deadlineMs: 120_000 });
    }
  });

  it('is deleted when its time is over, as without', async () => {
    const kube = await admin();
    for (const ended of outcomes.get('with a time to live') ?? []) {
      const path = { resource: RESOURCES.workflows, namespace, name: ended.name };
      await waitFor(async () => !(await kube.get(path)).ok, {
        what: `${ended.name} to be deleted`,
        deadlineMs: 120_000,
      });
    }
  });
});

/** What Argo shows of a workflow, without what differs from run to run, and between a hit and a hit. */
function treeOf({ name, nodes }: EndedWorkflow): unknown {
  const names = new Map(nodes.map((node) => [node.id, node.name.replaceAll(name, 'WF')]));
  const list = (ids: readonly string[] = []) => ids.map((id) => names.get(id) ?? `missing ${id}`).sort();
  const describeNode = (node: WorkflowNode) => ({
    name: names.get(node.id),
    displayName: node.displayName.replaceAll(name, 'WF'),
    type: node.type,
    phase: node.phase,
    templateName: node.templateName,
    templateScope: node.templateScope?.replaceAll(name, 'WF'),
    boundary: list(node.boundaryID === undefined ? [] : [node.boundaryID]),
    children: list(node.children),
    outbound: list(node.outboundNodes),
    inputs: node.inputs,
    outputs: node.outputs,
  });
  return nodes.map(describeNode).sort((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1));
}
