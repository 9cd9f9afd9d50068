/**
 * The reader of files against kubectl's own (cluster/modules/manifest-oracle: cli-runtime's builder), over files in all
 * layouts and mutants of them. STEPMEMO_READER_FILES says how many, STEPMEMO_READER_SEED where to begin.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deepEqual } from '../../src/base/json.ts';
import { readManifest } from '../../src/cli/files/read-manifests.ts';
import { parseJsonAt } from '../../src/cli/files/yaml/json.ts';
import { decodeNode } from '../../src/cli/files/yaml/value.ts';
import { manifestText, mutate } from '../support/manifest-texts.ts';
import { createRandom } from '../support/random.ts';

const FILES = Number(process.env.STEPMEMO_READER_FILES ?? 20_000);
const SEED = Number(process.env.STEPMEMO_READER_SEED ?? 1);
/** Of ten thousand mutants, how many may be refused that kubectl would take: BOMs in the middle, documents cut short. */
const REFUSED_MUTANTS_LIMIT = 350;

let oracle: ChildProcessByStdio<Writable, Readable, null>;
let answers: AsyncIterator<string>;

beforeAll(() => {
  const script = new URL('../../cluster/build.sh', import.meta.url).pathname;
  const path = execFileSync(script, ['manifest-oracle'], { encoding: 'utf8' }).trim().split('\n').at(-1) ?? '';
  oracle = spawn(path, { stdio: ['pipe', 'pipe', 'inherit'] });
  answers = createInterface({ input: oracle.stdout })[Symbol.asyncIterator]();
}, 600_000);
afterAll(() => oracle.stdin.end());

interface Answer {
  readonly objects: readonly unknown[] | null;
  readonly error?: string;
}

async function askKubectl(text: string): Promise<Answer> {
  oracle.stdin.write(`${JSON.stringify(text)}\n`);
  const { value } = await answers.next();
  // Read by our own reader of JSON, which keeps integers that JavaScript's would round.
  return decodeNode(parseJsonAt(value as string, 0)).value as Answer;
}

function ours(text: string): Answer {
  const { documents, problems } = readManifest(text);
  const stray = documents.find((document) => document.stray !== undefined)?.stray;
  const error = problems[0]?.message ?? stray;
  const objects = documents.flatMap((document) => document.objects.map(({ object }) => object));
  return { objects, ...(error !== undefined && { error }) };
}

it(`reads ${FILES} files as kubectl does`, { timeout: 600_000 }, async () => {
  const counts = { same: 0, refusedByBoth: 0, refusedMutants: 0 };
  for (let number = 0; number < FILES; number += 1) {
    const random = createRandom(SEED * 1_000_003 + number);
    const base = manifestText(random);
    const isMutant = number % 2 === 1;
    const text = isMutant ? mutate(random, base) : base;
    const [theirs, own] = [await askKubectl(text), ours(text)];
    const report = `seed ${SEED}, file ${number}: ${JSON.stringify(text)}`;
    if (theirs.error !== undefined) {
      expect(own.error, `kubectl refuses this (${theirs.error}): ${report}`).toBeDefined();
      counts.refusedByBoth += 1;
    } else if (own.error === undefined) {
      if (!deepEqual(own.objects, theirs.objects ?? [])) expect(own.objects, report).toEqual(theirs.objects);
      counts.same += 1;
    } else {
      expect(isMutant, `kubectl takes this, we say "${own.error}": ${report}`).toBe(true);
      counts.refusedMutants += 1;
    }
  }
  console.log(`reader against kubectl: ${JSON.stringify(counts)}`);
  expect(counts.refusedMutants).toBeLessThanOrEqual((REFUSED_MUTANTS_LIMIT * FILES) / 20_000);
});
