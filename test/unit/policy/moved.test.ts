import fc from 'fast-check';
import jsonpatch from 'jsonpatch';
import { expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { findFindings } from '../../../src/policy/find-findings.ts';
import { moveMemoize } from '../../../src/workflow/move-memoize.ts';
import { context, workflow } from './support.ts';

const memoize = fc.oneof(
  fc.record(
    {
      key: fc.constantFrom('', 'k', 'a.b', '{{inputs.parameters.x}}', '{{retries}}', '{{inputs.parameters.z}}'),
      maxAge: fc.constantFrom('', '1h', '1d', '0'),
      cache: fc.constantFrom({ configMap: { name: 'c' } }, { configMap: { name: 'A' } }, { configMap: {} }, {}, null, {
        configMap: { name: '' },
      }),
    },
    { requiredKeys: [] },
  ),
  fc.constantFrom(null, 'text', []),
);
const annotations = fc.dictionary(
  fc.constantFrom(
    'stepmemo.io/key',
    'stepmemo.io/cache',
    'stepmemo.io/max-age',
    'stepmemo.io/reuse',
    'stepmemo.io/allow-resource',
    'x',
  ),
  fc.constantFrom('true', 'k-{{inputs.parameters.x}}', 'c', '1d'),
  { maxKeys: 3 },
);
const body = fc.constantFrom(
  { container: { image: 'i' } },
  { script: { image: 'i', source: 's' } },
  { resource: { action: 'get' } },
  { steps: [[{ name: 'a', template: 'b' }]] },
  { dag: { tasks: [] } },
  { suspend: {} },
  { http: { url: 'u' } },
);
const template = fc
  .tuple(
    body,
    fc.record(
      {
        name: fc.constantFrom('a', 'b', 'main'),
        memoize,
        metadata: fc.record({ annotations }),
        inputs: fc.constant({ parameters: [{ name: 'x' }] }),
        outputs: fc.constant({ parameters: [{ name: 'y' }] }),
        daemon: fc.boolean(),
      },
      { requiredKeys: ['name'] },
    ),
  )
  .map(([one, rest]): JsonObject => ({ ...one, ...rest }));
const object = fc
  .record(
    {
      templates: fc.array(template, { maxLength: 4 }),
      templateDefaults: fc.record({ memoize, metadata: fc.record({ annotations }) }, { requiredKeys: [] }),
    },
    { requiredKeys: ['templates'] },
  )
  .map((spec) => workflow(spec));

it('says the same of an object before and after memoize has moved into annotations', { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(
      object,
      fc.constantFrom({ major: 3, minor: 4, patch: 17 }, { major: 4, minor: 0, patch: 5 }),
      (written, argoVersion) => {
        const moved = jsonpatch.apply_patch(structuredClone(written), [...moveMemoize(written).patch]) as JsonObject;
        const say = (one: JsonObject) => {
          const findings = findFindings(one, context({ argoVersion }));
          return findings.map(({ pointer: _, ...finding }) => finding);
        };
        expect(say(moved)).toEqual(say(written));
      },
    ),
    { numRuns: 1000 },
  );
});
