/**
 * Holds look-ahead against Argo's own controller: generated workflows, run by the controller's code with and without the nodes
 * that look-ahead would give them, must end alike; from 4.0 on also where it gives them more as the controller writes them. `node test/oracle/look-ahead.ts ORACLE [CASES] [SEED] [FIRST]`, ORACLE being what
 * `cluster/build.sh look-ahead-oracle` prints. A case that differs is printed with its number, the first one also as
 * small as it can be made; the exit code is then 1.
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
import { type Answer, findDifference, type How, newCounts } from './compare.ts';
import { shrink } from './shrink.ts';

const BATCH = 500;
/** In how many orders of its pods a workflow is run without look-ahead before its end with it counts as another one. */
const ORDERS = 300;
/** Mostly one of the first will do, and the oracle has ten minutes for what it is asked at once. */
const ORDERS_AT_ONCE = 30;
/** How long a failing case is made smaller. */
const SHRINK_MS = 180_000;
const [oracle, cases = '1000', seed = '1', begin = '0'] = process.argv.slice(2);
if (oracle === undefined) throw new Error('the path of the oracle is missing');
const counts = newCounts();
const version = parseArgoVersion(/-oracle-(\d+\.\d+\.\d+)/.exec(oracle)?.[1] ?? '');
if (version === undefined) throw new Error(`the version of Argo does not stand in ${oracle}`);
/** From then on Argo takes nodes that are added to what it writes. */
const isContinued = version.major >= 4;
/** The cases that the oracle is asked about, and what the checker found in them meanwhile. */
const underWay = new Map<number, Case>();
const unsound = new Map<number, string>();
const resolver = createServer(async (request, response) => {
  const question = (await json(request)) as Question;
  response.end(JSON.stringify(resolve(question)));
});
await new Promise<void>((ready) => resolver.listen(0, '127.0.0.1', ready));
for (let done = 0; done < Number(cases); done += BATCH) {
  const size = Math.min(BATCH, Number(cases) - done);
  await runBatch(Number(begin) + done, size);
  console.log(`${done + size} cases: ${JSON.stringify(counts)}`);
}
resolver.close();
process.exit(counts.different === 0 ? 0 : 1);

/** One workflow, with the caches that it meets. */
type Case = JsonObject & {
  /** It seeds what its pods do, whatever else becomes of the case. */
  readonly number: number;
  /** Another order of its pods where it is run without look-ahead. */
  readonly order?: number;
  readonly workflow: JsonObject;
  readonly stored: readonly JsonObject[];
  readonly fill: number;
  readonly salt: number;
};

async function runBatch(first: number, size: number): Promise<void> {
  const cases = Array.from({ length: size }, (_, index) => makeCase(first + index));
  for (const [index, difference] of (await judge(cases)).entries()) {
    const failing = cases[index];
    if (difference === undefined || failing === undefined) continue;
    if (!(await differsInAnyOrder(failing))) {
      counts['by the order of pods'] += 1;
      continue;
    }
    counts.different += 1;
    console.error(`case ${failing.number} of seed ${seed}: ${difference}`);
    // One is enough to begin with: the next run has another one.
    if (counts.different === 1) await printSmallest(failing);
  }
}

/**
 * What becomes of some workflows depends on which pods end first: Argo 3.4 refuses to retry one whose other steps had not ended when
 * an output of one could not be found. So what look-ahead did differs where it does not come of any order without it. The
 * fake clients add to that, since they tell of pods at any time or late.
 */
async function differsInAnyOrder(failing: Case): Promise<boolean> {
  const orders = Array.from({ length: ORDERS }, (_, index) => ({ ...failing, order: index + 1 }));
  for (let from = 0; from < ORDERS; from += ORDERS_AT_ONCE) {
    const differences = await judge(orders.slice(from, from + ORDERS_AT_ONCE), newCounts());
    if (differences.includes(undefined)) return false;
  }
  return true;
}

async function printSmallest(failing: Case): Promise<void> {
  const endMs = Date.now() + SHRINK_MS;
  const findFailing = async (cases: readonly Case[]): Promise<Case | undefined> => {
    const differences = await judge(cases, newCounts());
    return cases[differences.findIndex((difference) => difference !== undefined)];
  };
  const smallest = await shrink(failing, findFailing, { isLate: () => Date.now() > endMs });
  console.error(`case ${failing.number} of seed ${seed}, made smaller:\n${JSON.stringify(smallest, undefined, 1)}`);
}

function makeCase(number: number): Case {
  return { number, ...oracleWorkflow(createRandom(Number(seed) * 1_000_003 + number)) };
}

/** What differs in each case; undefined where nothing does. */
async function judge(cases: readonly Case[], into = counts): Promise<readonly (string | undefined)[]> {
  unsound.clear();
  const made = cases.map((one, index) => {
    underWay.set(index, one);
    return runsOf(one, index);
  });
  const answers = await askOracle(made.flatMap(({ runs }) => runs));
  let at = 0;
  return made.map(({ runs, problem }, index) => {
    const answered = runs.map(({ how }, run) => ({ how, answer: answers[at + run] }));
    at += runs.length;
    return problem ?? unsound.get(index) ?? findDifference(answered, into);
  });
}

/** The runs of one case that say something: without look-ahead, with it, and with it behind what runs. */
function runsOf(
  { number, order = 0, workflow, stored, fill, salt }: Case,
  index: number,
): { runs: readonly (Record<string, unknown> & { how: How })[]; problem: string | undefined } {
  const { metadata, spec } = workflow as { metadata: { name: string }; spec: JsonObject };
  const { nodes } = walkAhead({
    workflowName: metadata.name,
    isNameKnown: true,
    ...(version !== undefined && { argoVersion: version }),
    namespace: 'default',
    spec,
    mode: 'managed',
    lookUp: cacheOf(fill, salt),
    lookUpTemplate: lookUpIn(stored),
    now: new Date(),
  });
  const status = { nodes: Object.fromEntries(nodes.map((node) => [node.id, node])) };
  const plain = { how: 'plain', workflow, templates: stored, seed: number + order * 1_000_003 } as const;
  const begun = nodes.length > 0 ? { ...workflow, status } : workflow;
  const ahead = { ...plain, how: 'ahead', workflow: begun, seed: number + 1 } as const;
  // Half of them begin as they were submitted, so that what follows is all that is served.
  const from = number % 2 === 0 ? ahead : plain;
  const behind = { ...from, how: 'behind', seed: number + 2, number: index, behind: true } as const;
  const runs = [plain, ...(nodes.length > 0 ? [ahead] : []), ...(isContinued ? [behind] : [])];
  return { runs, problem: findBrokenRule(metadata.name, nodes) };
}

interface Question {
  /** Of the case within its batch. */
  readonly number: number;
  readonly workflow: JsonObject;
  /** Those that wait, with what they ask for. */
  readonly pods: readonly { readonly nodeID: string; readonly key: string; readonly cache: string }[];
}

/** What the webhook would make of a write: some of the pods that wait for a hit have ended by then. */
function resolve({ number, workflow, pods }: Question): { workflow: object; ended: readonly string[] } {
  const asked = underWay.get(number);
  if (asked === undefined) throw new Error(`the oracle asks for case ${number} of the batch, which has no such case`);
  const { stored, fill, salt } = asked;
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
  if (verdict.reason === 'look-ahead-unsound') unsound.set(number, `behind what runs: ${verdict.message}`);
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
        // Most of what it does is to make objects that are soon gone.
        GOGC: '400',
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
