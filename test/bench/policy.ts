import fc from 'fast-check';
import type { JsonObject } from '../../src/base/json.ts';
import { findFindings } from '../../src/policy/find-findings.ts';
import { judgeSubmission } from '../../src/policy/judge-submission.ts';
import { fuzzed, mutated } from '../unit/policy/fuzzed-objects.ts';
import { context, MEMOIZE, STEP, workflow } from '../unit/policy/support.ts';

/*
 * What a judgement costs: node test/bench/policy.ts
 * Prints JSON; times in milliseconds, of the judgement alone (no parsing of the request, no lookups in the cluster).
 */

function measure(judge: () => unknown): number {
  const start = performance.now();
  judge();
  return performance.now() - start;
}

function quantiles(timesMs: readonly number[]): Record<string, number> {
  const sorted = [...timesMs].sort((a, b) => a - b);
  const at = (share: number) =>
    Number((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(3));
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** A Workflow of about 1 MiB in which every template is memoized; `change` spoils each of them, or does not. */
function largeWorkflow(change: (index: number) => JsonObject): JsonObject {
  const templates: JsonObject[] = [];
  let sizeBytes = 0;
  while (sizeBytes < 1024 * 1024) {
    const template = {
      ...STEP,
      name: `step-${templates.length}`,
      memoize: { ...MEMOIZE, ...change(templates.length) },
    };
    sizeBytes += JSON.stringify(template).length + 1;
    templates.push(template);
  }
  return workflow({ templates });
}

function benchLarge(object: JsonObject) {
  const known = context({ cacheLabel: () => 'labeled' });
  const create = { object, operation: 'CREATE', requester: 'jane', controllerAccounts: [] };
  const update = {
    ...create,
    operation: 'UPDATE',
    oldObject: { ...object, spec: { ...(object.spec as JsonObject), suspend: true } },
  };
  const { templates } = object.spec as { templates: unknown[] };
  const repeat = (submission: typeof create) =>
    quantiles(Array.from({ length: 50 }, () => measure(() => judgeSubmission(submission, known))));
  return {
    bytes: JSON.stringify(object).length,
    templates: templates.length,
    createMs: repeat(create),
    updateMs: repeat(update),
  };
}

function benchFuzzed() {
  const objects = fc.sample(fc.oneof(fuzzed, mutated), { numRuns: 10_000, seed: 7 }) as JsonObject[];
  const known = context({ lookUpTemplate: () => objects[0], cacheLabel: () => 'unlabeled' });
  return {
    objects: objects.length,
    judgeMs: quantiles(objects.map((object) => measure(() => findFindings(object, known)))),
  };
}

const good = benchLarge(largeWorkflow(() => ({})));
const bad = benchLarge(
  largeWorkflow((index) => ({ key: `k${index}`, maxAge: `${index}d`, cache: { configMap: { name: `C${index}` } } })),
);
console.log(JSON.stringify({ node: process.version, good, bad, fuzzed: benchFuzzed() }, null, 2));
