import fc from 'fast-check';
import type { JsonObject } from '../../src/base/json.ts';

/*
 * Objects with memoize for property tests: `oddObject` is mostly right and now and then wrong in any place, as the minimal CRDs
 * admit; `plainObject` is what the policy that moves in the API server knows (charts/stepmemo/templates/policies-move.yaml).
 */

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
const kind = fc.constantFrom('Workflow', 'WorkflowTemplate', 'ClusterWorkflowTemplate', 'CronWorkflow');
const reuse = fc.constantFrom('off', 'refresh', 'other', undefined);

function toObject([kind, reuse, spec]: [string, string | undefined, object]): JsonObject {
  const object = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind,
    metadata: { labels: { 'stepmemo.io/enabled': 'true', ...(reuse !== undefined && { 'stepmemo.io/reuse': reuse }) } },
    spec: kind === 'CronWorkflow' ? { workflowSpec: spec } : spec,
  };
  // As it would come from the wire: no undefined members.
  return JSON.parse(JSON.stringify(object)) as JsonObject;
}

/** Any kind, mostly right and now and then wrong in any place. */
export const oddObject: fc.Arbitrary<JsonObject> = fc.tuple(kind, reuse, spec).map(toObject);

// ---- plain objects

/** `partial` lacks members, as the minimal CRDs admit; the full ones of Argo 4.0 ask for all three. */
type Blocks = 'complete' | 'partial';

const plainBlock = (blocks: Blocks) =>
  fc.record(
    {
      key: text,
      maxAge: text,
      cache: fc.record({ configMap: fc.record({ name: text, key: fc.constant('') }, { requiredKeys: ['name'] }) }),
    },
    { requiredKeys: blocks === 'complete' ? ['key', 'maxAge', 'cache'] : [] },
  );
/** As users write them, and as earlier moves have left them. */
const plainAnnotations = fc.oneof(
  fc.dictionary(
    fc.constantFrom(
      'stepmemo.io/key',
      'stepmemo.io/cache',
      'stepmemo.io/max-age',
      'stepmemo.io/allow-resource',
      'a.b/c',
    ),
    fc.constantFrom('true', 'x', ''),
    { maxKeys: 3 },
  ),
  fc.record(
    {
      'stepmemo.io/key': text,
      'stepmemo.io/cache': text,
      'stepmemo.io/max-age': text,
      'stepmemo.io/moved-from': fc.constantFrom('memoize', 'templateDefaults.memoize'),
      'stepmemo.io/restore': fc.constantFrom(
        'empty-metadata',
        'null-metadata kept-key',
        'empty-annotations kept-cache kept-max-age',
        'without-key empty-max-age empty-configmap-key',
      ),
      'stepmemo.io/restore-key': text,
      'stepmemo.io/restore-cache': text,
    },
    { requiredKeys: ['stepmemo.io/moved-from'] },
  ),
);
const plainMetadata = fc.record(
  { annotations: plainAnnotations, labels: fc.constant({ l: '1' }) },
  { requiredKeys: [] },
);
const podBody = fc.constantFrom<JsonObject>(
  { container: { image: 'i' } },
  { script: { image: 'i', source: 's' } },
  { containerSet: { containers: [{ name: 'main', image: 'i' }] } },
  { data: { source: { artifactPaths: { name: 'a', raw: { data: '' } } }, transformation: [{ expression: 'x' }] } },
  { resource: { action: 'get' } },
);
const otherBody = fc.constantFrom<JsonObject>(
  { suspend: {} },
  { http: { url: 'http://u' } },
  { plugin: { p: {} } },
  {},
);
function plainSpec(blocks: Blocks) {
  const common = fc.record({ memoize: plainBlock(blocks), metadata: plainMetadata }, { requiredKeys: [] });
  const withBody = (body: fc.Arbitrary<JsonObject>) =>
    fc.tuple(common, body).map(([one, other]): JsonObject => ({ ...one, ...other }));
  const leaf = withBody(fc.oneof(podBody, podBody, otherBody));
  const call = (index: number, inline: JsonObject) => ({ name: `n${index}`, inline });
  const calls = fc
    .array(leaf, { minLength: 1, maxLength: 2 })
    .map((inline) => inline.map((one, index) => call(index, one)));
  const plainTemplate = fc.oneof(
    leaf,
    withBody(fc.array(calls, { minLength: 1, maxLength: 2 }).map((steps) => ({ steps }))),
    withBody(calls.map((tasks) => ({ dag: { tasks } }))),
  );
  /** Steps that a copy of the defaults stands in already, current or not. */
  const withCopy = plainBlock(blocks).map((memoize) => ({
    steps: [[]],
    memoize,
    metadata: { annotations: { 'stepmemo.io/copied-from': 'templateDefaults.memoize' } },
  }));
  return fc
    .tuple(
      fc.array(fc.oneof({ weight: 8, arbitrary: plainTemplate }, { weight: 1, arbitrary: withCopy }), { maxLength: 4 }),
      fc.option(common, { nil: undefined, freq: 2 }),
      fc.option(plainMetadata, { nil: undefined }),
    )
    .map(([templates, templateDefaults, podMetadata]) => ({
      entrypoint: 't0',
      templates: templates.map((template, index) => ({ name: `t${index}`, ...template })),
      templateDefaults,
      podMetadata,
    }));
}

/** What the policy in the API server moves to the letter. */
export const plainObject = (blocks: Blocks): fc.Arbitrary<JsonObject> =>
  fc.tuple(kind, reuse, plainSpec(blocks)).map(toObject);

/** A plain object with something else in one place of its spec. */
export const damagedObject: fc.Arbitrary<JsonObject> = fc
  .tuple(plainObject('partial'), fc.nat(), fc.constantFrom<unknown>(null, 0, 'text', [], {}))
  .map(([object, choice, value]) => {
    const damaged = structuredClone(object);
    const places = placesIn(damaged.spec);
    const place = places[choice % places.length];
    if (place !== undefined) place.holder[place.member] = value;
    return damaged;
  });

function placesIn(value: unknown): { holder: Record<string, unknown>; member: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  // A list is a holder as well, by its positions.
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((member) => [{ holder, member }, ...placesIn(holder[member])]);
}
