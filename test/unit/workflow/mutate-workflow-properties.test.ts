import fc from 'fast-check';
import jsonpatch from 'jsonpatch';
import { expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { moveMemoize } from '../../../src/workflow/move-memoize.ts';
import { judgeWorkflow } from '../../../src/workflow/mutate-workflow.ts';
import { restoreMemoize } from '../../../src/workflow/restore-memoize.ts';

// Objects that are mostly right and now and then wrong in any place, as the minimal CRDs admit them.
const text = fc.constantFrom('', 'k', '{{inputs.parameters.x}}', '{{{=sprig.trim("x")}}}', 'a"b\\c', '1h');
const wrong = fc.constantFrom<unknown>(0, true, 'text', []);
const absent = fc.constant(undefined);
const nothing = fc.constantFrom(undefined, null);
const rarely = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 9, arbitrary: value }, { weight: 1, arbitrary: wrong });

const block = fc.record(
  {
    key: rarely(fc.oneof(text, nothing)),
    maxAge: rarely(fc.oneof(text, nothing)),
    cache: rarely(
      fc.oneof(
        nothing,
        fc.record({
          configMap: rarely(fc.oneof(nothing, fc.record({ name: rarely(text), key: text }, { requiredKeys: [] }))),
        }),
      ),
    ),
    other: fc.jsonValue({ maxDepth: 2 }),
  },
  { requiredKeys: [] },
);
const byHand = fc.dictionary(
  fc.constantFrom('stepmemo.io/key', 'stepmemo.io/cache', 'stepmemo.io/max-age', 'stepmemo.io/allow-resource', 'a~/b'),
  rarely(fc.constantFrom('true', 'x', '')),
  { maxKeys: 3 },
);
const metadata = rarely(
  fc.oneof(
    nothing,
    fc.record(
      { annotations: rarely(fc.oneof(nothing, byHand)), labels: fc.constant({ l: '1' }) },
      { requiredKeys: [] },
    ),
  ),
);
const template: fc.Arbitrary<unknown> = fc.letrec<{ template: unknown; steps: unknown }>((tie) => ({
  steps: rarely(
    fc.array(rarely(fc.array(rarely(fc.record({ inline: fc.oneof(absent, tie('template')) })), { maxLength: 2 })), {
      maxLength: 2,
    }),
  ),
  template: rarely(
    fc
      .tuple(
        fc.record(
          {
            // A null memoize is none, and may come back as none.
            memoize: rarely(fc.oneof({ weight: 3, arbitrary: block }, absent)),
            metadata,
            daemon: fc.boolean(),
          },
          { requiredKeys: [] },
        ),
        fc.oneof(
          { maxDepth: 3 },
          fc
            .constantFrom('container', 'script', 'containerSet', 'data', 'resource', 'http', 'suspend', 'plugin')
            .map((kind) => ({
              [kind]: {},
            })),
          fc.record({ steps: tie('steps') }),
          fc.record({
            dag: rarely(
              fc.record({ tasks: rarely(fc.array(fc.record({ inline: tie('template') }), { maxLength: 2 })) }),
            ),
          }),
        ),
      )
      .map(([common, body]) => ({ ...common, ...body })),
  ),
})).template;
const spec = fc.record(
  { templates: rarely(fc.array(template, { maxLength: 4 })), templateDefaults: template, podMetadata: metadata },
  { requiredKeys: [] },
);
const object: fc.Arbitrary<JsonObject> = fc
  .tuple(
    fc.constantFrom('Workflow', 'WorkflowTemplate', 'ClusterWorkflowTemplate', 'CronWorkflow'),
    fc.constantFrom('off', 'refresh', 'other', undefined),
    spec,
  )
  .map(([kind, reuse, spec]) => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind,
    metadata: { labels: { 'stepmemo.io/enabled': 'true', ...(reuse !== undefined && { 'stepmemo.io/reuse': reuse }) } },
    spec: kind === 'CronWorkflow' ? { workflowSpec: spec } : spec,
  }))
  // As it would come from the wire: no undefined members.
  .map((value) => JSON.parse(JSON.stringify(value)) as JsonObject);

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
