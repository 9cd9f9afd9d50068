import { readdirSync, readFileSync } from 'node:fs';
import jsonpatch from 'jsonpatch';
import { describe, expect, it } from 'vitest';
import { judgeWorkflow } from '../../src/workflow/mutate-workflow.ts';

// Every recorded review of a Workflow or a template object is decided as it was sent, in managed mode. What is expected
// is the whole answer and the whole object after it. `vitest run -u` writes the files anew at its end, so run it once
// more without, and read the diff.
const REVIEWS = new URL('reviews/', import.meta.url).pathname;
const EXPECTED = new URL('expected-workflows/', import.meta.url).pathname;
const enabled = { isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' } as const;

interface Review {
  request: { operation: string; object: Record<string, unknown>; oldObject?: Record<string, unknown> | null };
}

const cases = readdirSync(REVIEWS)
  .sort()
  .flatMap((version) => readdirSync(`${REVIEWS}${version}`).map((file) => `${version}/${file}`))
  .filter((path) => /\.(cluster|cron)?workflow(template)?-(create|update)\.json$/.test(path))
  .sort();

function apply(object: unknown, patch: readonly unknown[]): Record<string, unknown> {
  return jsonpatch.apply_patch(structuredClone(object), patch) as Record<string, unknown>;
}

describe.each(cases)('%s', (path) => {
  const { operation, object, oldObject } = (JSON.parse(readFileSync(`${REVIEWS}${path}`, 'utf8')) as Review).request;
  const input = { operation, oldObject, namespace: enabled };
  const verdict = judgeWorkflow({ ...input, object });
  const after = apply(object, verdict.patch);

  it('is decided as recorded', async () => {
    // Of an object that stays as it is, the review says all; only what changed is kept here.
    const text = JSON.stringify({ ...verdict, ...(verdict.patch.length > 0 && { object: after }) }, null, 2);
    await expect(`${text}\n`).toMatchFileSnapshot(`${EXPECTED}${path}`);
  });

  it('is left alone the second time', () => {
    expect(judgeWorkflow({ ...input, object: after })).toMatchObject({ decision: 'skip', patch: [] });
  });

  it('would be left alone in native mode and without the opt-in', () => {
    for (const namespace of [{ ...enabled, memoize: 'native' as const }, { ...enabled, isEnabled: false }, undefined]) {
      if (object.kind === 'ClusterWorkflowTemplate') continue;
      expect(judgeWorkflow({ ...input, object, namespace })).toMatchObject({ decision: 'skip', patch: [] });
    }
  });
});

it('has an expectation for every review and no other', () => {
  const files = readdirSync(EXPECTED, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'));
  expect(files.sort()).toEqual(cases);
  expect(cases.length).toBeGreaterThan(100);
});
