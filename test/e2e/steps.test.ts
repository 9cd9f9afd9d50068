import { beforeAll, describe, expect, inject, it } from 'vitest';
import type { Outputs } from '../../src/argo/outputs.ts';
import { runPlan } from '../../src/cli/commands/plan.ts';
import type { Leaf } from '../../src/look-ahead/walk/outcome.ts';
import { forEachAtOnce } from '../support/at-once.ts';
import {
  admin,
  type EndedWorkflow,
  givenNamespace,
  isArgoOlderThan,
  memoizedSteps,
  type Step,
  submitFile,
  untilEnded,
  untilEntries,
  type WorkflowNode,
} from './cluster.ts';
import { withServerEnv } from './server.ts';

/*
 * Every kind of step is run twice, in a namespace of its own suite: the first run executes, the second is served. The
 * second node has to be Succeeded with equal outputs, its consumer fed, and nothing may have reached a node.
 */
interface Case {
  readonly file: string;
  readonly cache: string;
  /** Keys of the memoized steps of one run. */
  readonly keys: readonly string[];
  /** Attempts that failed in the first run, beside the steps. */
  readonly failedAttempts?: number;
}

const CASES: readonly Case[] = [
  { file: 'container', cache: 'container-cache', keys: ['container/hello world'] },
  { file: 'root', cache: 'root-cache', keys: ['hi'] },
  { file: 'script', cache: 'script-cache', keys: ['script'] },
  { file: 'container-set', cache: 'set-cache', keys: ['set'] },
  { file: 'retry', cache: 'retry-cache', keys: ['retry'], failedAttempts: 1 },
  { file: 'hooks', cache: 'hooks-cache', keys: ['exit', 'work-hook', 'work-main'] },
  { file: 'init-containers', cache: 'init-cache', keys: ['init'] },
  { file: 'sidecars', cache: 'sidecars-cache', keys: ['sidecars'] },
  { file: 'pod-spec-patch', cache: 'patch-cache', keys: ['patch-64Mi'] },
  { file: 'artifacts', cache: 'artifacts-cache', keys: ['artifacts'] },
  { file: 'resource', cache: 'resource-cache', keys: ['resource'] },
  { file: 'data', cache: 'data-cache', keys: ['data'] },
  { file: 'outputs', cache: 'outputs-cache', keys: ['outputs'] },
  { file: 'output-less', cache: 'output-less-cache', keys: ['output-less'] },
  { file: 'template-defaults', cache: 'defaults-cache', keys: ['defaults-1'] },
  { file: 'inline', cache: 'inline-cache', keys: ['inline-dag', 'inline-step'] },
  { file: 'template-ref', cache: 'shared-cache', keys: ['cluster', 'shared-a'] },
  { file: 'workflow-template-ref', cache: 'whole-cache', keys: ['whole'] },
  { file: 'annotations', cache: 'hand-cache', keys: ['by hand: with "quotes" and ü'] },
  { file: 'security-context', cache: 'security-cache', keys: ['restricted', 'root'] },
];

/** What `stepmemo plan` said right before the second run. */
type PlannedStep = Pick<Leaf, 'outcome' | 'key'>;

interface Run {
  readonly workflow: EndedWorkflow;
  readonly steps: readonly Step[];
}
const runs = new Map<string, { first: Run; planned: readonly PlannedStep[]; second: Run }>();

describe(`each kind of step, Argo ${inject('e2e').argoVersion}`, () => {
  beforeAll(async () => {
    const namespace = await givenNamespace();
    // A few at a time: the node has two cores, and the waits are the controller's ticks.
    const runAll = () => forEachAtOnce(CASES, 5, (kind) => runTwice(namespace, kind));
    // Steps without declared outputs are refused before 3.5 as shipped, though they can be served: an admin may say so.
    const policy = '{"rules":{"outputless-before-3.5":"off"}}';
    const isBefore35 = isArgoOlderThan(3, 5);
    await (isBefore35 ? withServerEnv({ STEPMEMO_POLICY: policy }, runAll) : runAll());
  }, 900_000);

  describe.each(CASES)('$file', ({ file, keys, failedAttempts = 0 }) => {
    it('runs the first time', () => {
      const { workflow, steps } = runOf(file).first;
      expect(workflow).toMatchObject({ phase: 'Succeeded' });
      expect(steps.map(({ key }) => key).sort()).toEqual([...keys, ...Array(failedAttempts).fill(keys[0])].sort());
      expect(steps.every(({ decision, hasRun }) => decision === 'miss' && hasRun)).toBe(true);
    });

    it('is served the second time, and nothing reaches a node', () => {
      const { workflow, steps } = runOf(file).second;
      expect(workflow).toMatchObject({ phase: 'Succeeded' });
      expect(steps.map(({ key }) => key).sort()).toEqual([...keys].sort());
      expect(
        steps.map(({ key, decision, reason, hasRun, phase }) => ({ key, decision, reason, hasRun, phase })),
      ).toEqual(
        steps.map(({ key }) => ({ key, decision: 'hit', reason: 'fresh-entry', hasRun: false, phase: 'Succeeded' })),
      );
    });

    it('is served as the plan said', () => {
      const { planned, second } = runOf(file);
      const served = second.steps.map(({ key }) => key);
      const foreseen = planned.filter(({ outcome }) => outcome === 'hit').map(({ key }) => key);
      // A plan says less than happens (artifacts, references), and never more.
      expect(served).toEqual(expect.arrayContaining(foreseen));
      expect(planned.filter(({ outcome, key }) => outcome === 'runs' && served.includes(key ?? ''))).toEqual([]);
    });

    it('ends with equal outputs', () => {
      const { first, second } = runOf(file);
      for (const step of second.steps) {
        const node = nodeOf(second, step);
        expect(node).toMatchObject({ phase: 'Succeeded' });
        expect(node.hostNodeName ?? '').toBe('');
        expect(comparable(node.outputs)).toEqual(comparable(producerOf(first, step).outputs));
      }
    });

    it('feeds its consumer', () => {
      const { first, second } = runOf(file);
      const consumer = (run: Run) => run.workflow.nodes.find(({ displayName }) => displayName === 'use');
      expect(consumer(second)?.phase).toBe(consumer(first) === undefined ? undefined : 'Succeeded');
      // What the consumer was given is what the first run's was given, text for text.
      expect(inputsOf(consumer(second))).toEqual(inputsOf(consumer(first)));
    });
  });

  it('is foreseen wherever nothing but parameters is passed', () => {
    const isForeseen = ({ file }: Case) => runOf(file).planned.some(({ outcome }) => outcome === 'hit');
    const files = CASES.filter(isForeseen).map(({ file }) => file);
    expect(files).toEqual(expect.arrayContaining(['container', 'root', 'script', 'retry', 'inline', 'annotations']));
  });
});

async function runTwice(namespace: string, { file, cache, keys }: Case): Promise<void> {
  const first = await runOnce(namespace, file);
  // Whatever goes wrong with one kind is told by that kind's tests, not by all.
  if (first.workflow.phase === 'Succeeded') await untilEntries(namespace, cache, keys.length).catch(console.error);
  const planned = await planOf(namespace, file);
  runs.set(file, { first, planned, second: await runOnce(namespace, file) });
}

async function planOf(namespace: string, file: string): Promise<readonly PlannedStep[]> {
  const lines: string[] = [];
  const out = { print: (text: string) => lines.push(text), printError: console.error };
  const path = new URL(`workflows/${file}.yaml`, import.meta.url).pathname;
  await runPlan({ files: [path], namespace, output: 'json' }, { out, connect: admin });
  const plans = [JSON.parse(lines.join('\n'))].flat() as { object: string; steps: PlannedStep[] }[];
  return plans.filter(({ object }) => object.startsWith('Workflow ')).flatMap(({ steps }) => steps);
}

function runOf(file: string): { first: Run; planned: readonly PlannedStep[]; second: Run } {
  const found = runs.get(file);
  if (found === undefined) throw new Error(`${file} did not run`);
  return found;
}

async function runOnce(namespace: string, file: string): Promise<Run> {
  const name = await submitFile(namespace, file);
  const workflow = await untilEnded(namespace, name);
  return { workflow, steps: await memoizedSteps(workflow) };
}

function nodeOf({ workflow }: Run, step: Step): WorkflowNode {
  const node = workflow.nodes.find(({ id }) => id === step.nodeId);
  if (node === undefined) throw new Error(`no node ${step.nodeId}`);
  return node;
}

/** The node of the first run that filled the entry: with retries the attempt that succeeded. */
function producerOf(run: Run, step: Step): WorkflowNode {
  const nodes = run.steps.filter(({ key }) => key === step.key).map((other) => nodeOf(run, other));
  const node = nodes.find(({ phase }) => phase === 'Succeeded');
  if (node === undefined) throw new Error(`nobody succeeded for ${step.key}`);
  return node;
}

/** Outputs as they count: where an artifact lies is told by its key. */
function comparable(outputs: Outputs | undefined): unknown {
  const artifacts = (outputs?.artifacts ?? []).map(({ name, s3 }) => ({
    name,
    key: (s3 as { key?: string } | undefined)?.key,
  }));
  return { parameters: outputs?.parameters, result: outputs?.result, exitCode: outputs?.exitCode, artifacts };
}

function inputsOf(node: WorkflowNode | undefined): unknown {
  const inputs = (node as { inputs?: Outputs } | undefined)?.inputs;
  return { parameters: inputs?.parameters, artifacts: comparable(inputs) };
}
