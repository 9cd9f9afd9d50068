import fc from 'fast-check';
import jsonpatch from 'jsonpatch';
import { expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { moveMemoize } from '../../../src/workflow/move-memoize.ts';
import { judgeWorkflow } from '../../../src/workflow/mutate-workflow.ts';
import { restoreMemoize } from '../../../src/workflow/restore-memoize.ts';
import { oddObject as object } from '../../support/memoized-objects.ts';

function apply(object: JsonObject, patch: readonly unknown[]): JsonObject {
  return jsonpatch.apply_patch(structuredClone(object), patch) as JsonObject;
}

const runs = { numRuns: 3000 };

it('a move and a restore give back the object as it was, whatever it is', () => {
  let movedCount = 0;
  fc.assert(
    fc.property(object, (object) => {
      const { patch } = moveMemoize(object);
      if (patch.length > 0) movedCount += 1;
      const moved = apply(object, patch);
      expect(apply(moved, restoreMemoize(moved).patch)).toEqual(object);
    }),
    runs,
  );
  // The property says something only where there was something to move.
  expect(movedCount).toBeGreaterThan(runs.numRuns / 5);
});

it('a restore of what was never moved changes nothing', () => {
  fc.assert(
    fc.property(object, (object) => {
      expect(restoreMemoize(object).patch).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

it('judging the patched object again changes nothing, in both modes', () => {
  fc.assert(
    fc.property(object, fc.constantFrom('managed' as const, 'native' as const), (object, mode) => {
      const verdict = judgeWorkflow({ object, operation: 'CREATE', mode });
      const again = judgeWorkflow({ object: apply(object, verdict.patch), operation: 'CREATE', mode });
      expect(again).toMatchObject({ decision: 'skip', patch: [] });
    }),
    runs,
  );
});

it('touches nothing but memoize, annotations of templates and podMetadata', () => {
  fc.assert(
    fc.property(object, (object) => {
      for (const { path } of judgeWorkflow({ object, operation: 'CREATE', mode: 'managed' }).patch) {
        expect(path).toMatch(
          /\/(memoize|metadata|metadata\/annotations|metadata\/annotations\/stepmemo\.io~1[^/]+|podMetadata.*)$/,
        );
      }
    }),
    runs,
  );
});

it('takes any JSON at all without a throw', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (spec, metadata) => {
      judgeWorkflow({
        object: { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', metadata, spec },
        operation: 'CREATE',
        mode: 'managed',
      });
    }),
  );
});
