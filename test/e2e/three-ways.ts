import type { KubeObject } from '../../src/kube/types.ts';
import { forEachAtOnce } from '../support/at-once.ts';
import { type EndedWorkflow, givenNamespace, podsOf, submit, untilEnded, type WorkflowNode } from './cluster.ts';

/*
 * The same workflows without stepmemo, by the pods' way and with look-ahead, each of the last two twice. All have to end alike,
 * tree and outputs.
 */
const AT_ONCE = 6;
/** Captures of the first runs: a step that ends has its entry a moment later. */
const UNTIL_STORED_MS = 5_000;

export type Where = 'without' | 'pods' | 'ahead';
export type Namespaces = Readonly<Record<Where, string>>;

export interface Subject {
  readonly name: string;
  /** The Workflow for a namespace; memoized, but where stepmemo is not. */
  readonly make: (where: Where) => KubeObject;
  /** Pods that fail may do so in any order, and what else has begun by then varies: then the end alone is compared. */
  readonly failsInAnyOrder?: boolean;
  /** Done in each namespace of stepmemo's, between the first run and the second. */
  readonly between?: (namespace: string) => Promise<void>;
}

export interface Counts {
  workflows: number;
  /** Argo itself does not end them. */
  withoutEnd: number;
  readonly pods: Record<Where, number>;
}

export async function givenThree(): Promise<Namespaces> {
  return {
    without: await givenNamespace({ isEnabled: false }),
    pods: await givenNamespace(),
    ahead: await givenNamespace({ lookAhead: 'on' }),
  };
}

/** What differs, as texts, and how much was compared. */
export async function runThreeWays(
  subjects: readonly Subject[],
  namespaces: Namespaces,
  deadlineMs: number,
): Promise<{ readonly differing: readonly string[]; readonly counts: Counts }> {
  const differing: string[] = [];
  const counts: Counts = { workflows: 0, withoutEnd: 0, pods: { without: 0, pods: 0, ahead: 0 } };
  await forEachAtOnce(subjects, AT_ONCE, async (subject) => {
    const run = async (where: Where) =>
      untilEnded(namespaces[where], await submit(namespaces[where], subject.make(where)), deadlineMs);
    const without = await run('without').catch(() => undefined);
    if (without === undefined) {
      counts.withoutEnd += 1;
      return;
    }
    try {
      const others = await runWithStepmemo(subject, namespaces, run);
      differing.push(...findDifferences(subject, without, others));
      counts.workflows += 1;
      counts.pods.without += (await podsOf(without)).length;
      counts.pods.pods += (await podsOf(others['second run, pods'])).length;
      counts.pods.ahead += (await podsOf(others['second run, look-ahead'])).length;
    } catch (error) {
      differing.push(`${subject.name}: ${(error as Error).message}`);
    }
  });
  return { differing, counts };
}

async function runWithStepmemo(
  { between }: Subject,
  namespaces: Namespaces,
  run: (where: Where) => Promise<EndedWorkflow>,
) {
  const first = { pods: await run('pods'), ahead: await run('ahead') };
  await new Promise((resolve) => setTimeout(resolve, UNTIL_STORED_MS));
  for (const where of ['pods', 'ahead'] as const) await between?.(namespaces[where]);
  return {
    'first run, pods': first.pods,
    'first run, look-ahead': first.ahead,
    'second run, pods': await run('pods'),
    'second run, look-ahead': await run('ahead'),
  };
}

function findDifferences(
  { name, failsInAnyOrder }: Subject,
  without: EndedWorkflow,
  others: Readonly<Record<string, EndedWorkflow>>,
): readonly string[] {
  const describe = failsInAnyOrder === true && without.phase !== 'Succeeded' ? endOf : treeOf;
  return Object.entries(others).flatMap(([what, workflow]) => {
    return compare(`${name}, ${what} (${workflow.name})`, describe(without), describe(workflow));
  });
}

/** A text that says in what two runs differ; none where they do not. */
function compare(what: string, wanted: readonly string[], other: readonly string[]): readonly string[] {
  const lost = wanted.filter((line) => !other.includes(line)).map((line) => `- ${line}`);
  const added = other.filter((line) => !wanted.includes(line)).map((line) => `+ ${line}`);
  return lost.length + added.length === 0 ? [] : [[what, ...lost, ...added].join('\n  ')];
}

function endOf({ phase }: EndedWorkflow): readonly string[] {
  return [`workflow ${phase}`];
}

/** What two runs have in common: each node with what it was given and what it gave, under the name of no workflow. */
function treeOf(workflow: EndedWorkflow): readonly string[] {
  const text = (node: WorkflowNode) => {
    const { parameters, result, exitCode } = node.outputs ?? {};
    const outputs = { parameters: (parameters ?? []).map(({ name, value }) => [name, value]), result, exitCode };
    return `${node.name} ${node.type} ${node.phase} ${JSON.stringify({ inputs: node.inputs, outputs })}`;
  };
  // Times and UIDs are of the run that made them: a hit gives those of the first.
  const plain = (line: string) =>
    line
      .replaceAll(workflow.name, 'WORKFLOW')
      .replaceAll(/ex-[a-z0-9]{5,10}\b/g, 'WORKFLOW')
      // The hash at the end of a node's ID, in the keys of its artifacts.
      .replaceAll(/-\d{6,}\b/g, '-N')
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'UID')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');
  const nodes = withoutAttempts(workflow.nodes).map(text).map(plain);
  return [...endOf(workflow), ...nodes.sort()];
}

/** A retried step that is served is one Pod, where a run has a Retry node and its attempts. */
function withoutAttempts(nodes: readonly WorkflowNode[]): readonly WorkflowNode[] {
  const retried = nodes.filter(({ type, phase }) => type === 'Retry' && phase === 'Succeeded').map(({ name }) => name);
  return nodes
    .filter(({ name }) => !retried.some((one) => name.startsWith(`${one}(`)))
    .map((node) => (retried.includes(node.name) ? { ...node, type: 'Pod' } : node));
}
