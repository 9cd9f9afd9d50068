/**
 * Holds look-ahead against Argo's own controller: generated workflows, run by the controller's code with and without the nodes
 * that look-ahead would give them, must end alike; from 4.0 on also where it gives them more as the controller writes them. `node test/oracle/look-ahead.ts ORACLE [CASES] [SEED]`, ORACLE being what
 * `cluster/build.sh look-ahead-oracle` prints. A case that differs is printed with its number; the exit code is then 1.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { parseArgoVersion } from '../../src/argo/versions.ts';
import type { JsonObject } from '../../src/base/json.ts';
import { applyPatch } from '../../src/cli/apply-patch.ts';
import { findBrokenRule } from '../../src/look-ahead/check-nodes.ts';
import { judgeProgress } from '../../src/look-ahead/judge-progress.ts';
import { nodeId } from '../../src/look-ahead/node.ts';
import type { LookUpTemplate } from '../../src/look-ahead/references.ts';
import { walkAhead } from '../../src/look-ahead/walk/walk.ts';
import { cacheOf, oracleWorkflow } from '../support/oracle-workflows.ts';
import { createRandom } from '../support/random.ts';

interface Node {
  name: string;
  type: string;
  phase: string;
  message?: string;
  children: string[];
  outbound: string[];
  outputs: string[];
}

interface Answer {
  readonly phase: string;
  readonly message: string;
  readonly pods: number;
  readonly nodes: readonly Node[];
  readonly error?: string;
  /** How it ended after `argo retry`, where it had failed. */
  readonly retried?: Answer;
}

const BATCH = 100;
const [oracle, cases = '1000', seed = '1'] = process.argv.slice(2);
if (oracle === undefined) throw new Error('the path of the oracle is missing');
const counts = {
  alike: 0,
  'ended before its first look': 0,
  'without an end': 0,
  different: 0,
  retried: 0,
  pods: 0,
  podsAhead: 0,
  podsBehind: 0,
  addedBehind: 0,
};
const version = parseArgoVersion(/-oracle-(\d+\.\d+\.\d+)/.exec(oracle)?.[1] ?? '');
if (version === undefined) throw new Error(`the version of Argo does not stand in ${oracle}`);
/** From then on Argo takes nodes that are added to what it writes. */
const isContinued = version.major >= 4;
const resolver = createServer(async (request, response) => {
  const question = (await json(request)) as Question;
  response.end(JSON.stringify(resolve(question)));
});
await new Promise<void>((ready) => resolver.listen(0, '127.0.0.1', ready));
for (let first = 0; first < Number(cases); first += BATCH) {
  await runBatch(first, Math.min(BATCH, Number(cases) - first));
  console.log(`${first + BATCH} cases: ${JSON.stringify(counts)}`);
}
resolver.close();
process.exit(counts.different === 0 ? 0 : 1);

async function runBatch(first: number, size: number): Promise<void> {
  const made = Array.from({ length: size }, (_, index) => makeCase(first + index));
  const answers = await askOracle(made.flatMap(({ runs }) => runs));
  const perCase = answers.length / size;
  for (const [index, { problem }] of made.entries()) {
    const [plain, ...others] = answers.slice(perCase * index, perCase * (index + 1));
    const difference = problem ?? findDifference(plain, others);
    if (difference === undefined) continue;
    counts.different += 1;
    console.error(`case ${first + index} of seed ${seed}: ${difference}`);
  }
}

function findDifference(plain: Answer | undefined, others: readonly Answer[]): string | undefined {
  if (plain === undefined || others.length === 0) return 'no answer';
  for (const [index, other] of others.entries()) {
    counts[index === 0 ? 'podsAhead' : 'podsBehind'] += other.pods;
    const difference = compare(plain, other) ?? compareRetries(plain, other);
    if (difference !== undefined) return index === 0 ? difference : `behind what runs: ${difference}`;
  }
  counts.pods += plain.pods;
  return undefined;
}

function makeCase(number: number): { runs: readonly object[]; problem: string | undefined } {
  const { workflow, stored, fill, salt } = oracleWorkflow(createRandom(Number(seed) * 1_000_003 + number));
  const { metadata, spec } = workflow as { metadata: { name: string }; spec: JsonObject };
  const { nodes } = walkAhead({
    workflowName: metadata.name,
    isNameKnown: true,
    namespace: 'default',
    spec,
    mode: 'managed',
    lookUp: cacheOf(fill, salt),
    lookUpTemplate: lookUpIn(stored),
    now: new Date(),
  });
  const status =
    nodes.length > 0 ? { status: { nodes: Object.fromEntries(nodes.map((node) => [node.id, node])) } } : {};
  const broken = findBrokenRule(metadata.name, nodes);
  const plain = { workflow, templates: stored, seed: number };
  const ahead = { workflow: { ...workflow, ...status }, templates: stored, seed: number + 1 };
  // Half of them begin as they were submitted, so that what follows is all that is served.
  const behind = { ...(number % 2 === 0 ? ahead : plain), seed: number + 2, number, behind: true };
  return { runs: isContinued ? [plain, ahead, behind] : [plain, ahead], problem: broken };
}

interface Question {
  readonly number: number;
  readonly workflow: JsonObject;
  /** Those that wait, with what they ask for. */
  readonly pods: readonly { readonly nodeID: string; readonly key: string; readonly cache: string }[];
}

/** What the webhook would make of a write: some of the pods that wait for a hit have ended by then. */
function resolve({ number, workflow, pods }: Question): { workflow: object; ended: readonly string[] } {
  const { stored, fill, salt } = oracleWorkflow(createRandom(Number(seed) * 1_000_003 + number));
  const lookUp = cacheOf(fill, salt);
  const looks = JSON.stringify(workflow).length;
  const outputs = new Map<string, JsonObject>();
  for (const { nodeID, key, cache } of pods) {
    const found = lookUp(cache, key);
    const isInTime = Number(nodeId('', `${nodeID} ${looks}`).slice(1)) % 4 > 0;
    if (found.found === 'entry' && isInTime) outputs.set(nodeID, found.entry.outputs as JsonObject);
  }
  const verdict = judgeProgress({
    object: workflow,
    namespace: { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' },
    cluster: { isSynced: true, arePoliciesInstalled: true },
    argo: { version: version ?? 'unknown', defaults: undefined, artifactRepository: undefined, isWrittenBack: false },
    lookUp,
    lookUpTemplate: lookUpIn(stored),
    lookUpRepository: () => undefined,
    served: ({ id }) => outputs.get(id),
    now: new Date(),
    isOverdue: () => false,
  });
  if (verdict.reason === 'look-ahead-unsound') {
    counts.different += 1;
    console.error(`case ${number} of seed ${seed}: behind what runs: ${verdict.message}`);
  }
  counts.addedBehind += verdict.added;
  return { workflow: applyPatch(workflow, verdict.patch) as object, ended: [...outputs.keys()] };
}

function lookUpIn(stored: readonly JsonObject[]): LookUpTemplate {
  return (scope, name) =>
    stored.find(({ metadata }) => scope === 'namespaced' && (metadata as JsonObject).name === name);
}

async function askOracle(lines: readonly object[]): Promise<readonly Answer[]> {
  const folder = mkdtempSync(join(tmpdir(), 'stepmemo-oracle-'));
  const [input, output] = [join(folder, 'in'), join(folder, 'out')];
  const url = `http://127.0.0.1:${(resolver.address() as AddressInfo).port}/`;
  try {
    writeFileSync(input, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const running = spawn(oracle ?? '', ['-test.run', 'TestStepmemoOracle', '-test.timeout', '10m'], {
      env: {
        ...process.env,
        STEPMEMO_ORACLE_IN: input,
        STEPMEMO_ORACLE_OUT: output,
        STEPMEMO_ORACLE_RESOLVER: url,
      },
      stdio: 'ignore',
    });
    const [code] = await once(running, 'exit');
    if (code !== 0) throw new Error(`the oracle ended with ${String(code)}`);
    const text = readFileSync(output, 'utf8').trim();
    return text.split('\n').map((line) => JSON.parse(line) as Answer);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Whether the nodes are to be compared; or what differs in how the workflows end. */
function compareEnds(plain: Answer, ahead: Answer): string {
  const [one, other] = [plain, ahead].map(({ phase, message, error }) => `${phase} ${message} ${error ?? ''}`);
  // An invalid workflow ends before anything runs; it keeps the nodes that it came with.
  if (plain.nodes.length === 0 && one === other) {
    counts['ended before its first look'] += 1;
    return 'nothing to compare';
  }
  // A run that has not ended within its looks, where the other one has: some orders of pods hold Argo up for long.
  if (plain.phase === 'Running' && ahead.phase !== 'Running') {
    counts['without an end'] += 1;
    return 'nothing to compare';
  }
  return plain.phase === ahead.phase ? 'alike' : `${one} became ${other}`;
}

/** What differs, apart from what a hit is known to change; undefined where nothing does. */
function compare(plain: Answer, ahead: Answer): string | undefined {
  const end = compareEnds(plain, ahead);
  if (end !== 'alike') return end === 'nothing to compare' ? undefined : end;
  const [before, after] = [plain, ahead].map(withoutRetries);
  const names = new Set([...(before?.keys() ?? []), ...(after?.keys() ?? [])]);
  for (const name of names) {
    const pair = [before?.get(name), after?.get(name)];
    // What else had begun when a workflow failed, and what led to it, depends on the order in which its pods ended.
    const isFailed = plain.phase !== 'Succeeded';
    if (isFailed && pair.some((node) => node?.phase !== 'Succeeded')) continue;
    const [one, other] = pair.map((node) => JSON.stringify(isFailed ? { ...node, children: [], outbound: [] } : node));
    if (one !== other) return `${name}: ${one} became ${other}`;
  }
  counts.alike += 1;
  return undefined;
}

/** After `argo retry` all ends well, or does not, with and without. */
function compareRetries({ retried: plain, nodes, phase }: Answer, { retried: ahead }: Answer): string | undefined {
  // An invalid workflow has nothing that could be retried; the docs say that Argo refuses to. Nor has one without an end.
  if (nodes.length === 0 || phase === 'Running') return undefined;
  if (plain === undefined || ahead === undefined) return plain === ahead ? undefined : 'one of them had not failed';
  counts.retried += 1;
  // Where Argo refuses without look-ahead (3.4, with nodes that still run), it owes nothing with it.
  if (plain.error !== undefined) return undefined;
  const difference = ahead.error ?? compare(plain, ahead);
  return difference && `retried: ${difference}`;
}

/** A retried leaf that ran is a Retry node with its attempts; one that is served is a Pod. Both become the Pod here. */
function withoutRetries({ nodes }: Answer): Map<string, Node> {
  const byName = new Map(nodes.map(({ message: _, ...node }) => [node.name, node as Node]));
  for (const node of [...byName.values()].filter(({ type }) => type === 'Retry')) {
    const attempts = node.children.filter((child) => child.startsWith(`${node.name}(`));
    const last = byName.get(attempts.at(-1) ?? '');
    if (last === undefined) continue;
    const behind = attempts.flatMap((name) => byName.get(name)?.children ?? []);
    node.type = 'Pod';
    if (node.outputs.length === 0) node.outputs = last.outputs;
    node.children = unique([...node.children.filter((child) => !attempts.includes(child)), ...behind]);
    for (const name of attempts) byName.delete(name);
    const rename = (name: string) => (attempts.includes(name) ? node.name : name);
    for (const other of byName.values()) {
      other.outbound = unique(other.outbound.map(rename));
      other.children = unique(other.children.map(rename));
    }
  }
  return new Map([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}
