/** Workflows for the tests of look-ahead against Argo's own controller, with caches that are filled in part. */
import type { JsonObject } from '../../src/base/json.ts';
import type { EntryLookup } from '../../src/cache/entry.ts';
import type { Random } from './random.ts';

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}

/** What a step gives for an input, as the oracle's pods do. */
export function outputOf(x: string): string {
  return `${x}+`;
}

/** The cache of a run: whether an entry is there depends on the key alone, so that two runs agree. */
export function cacheOf(fill: number, salt: number): (cache: string, key: string) => EntryLookup {
  return (cache, key) => {
    if (hash(`${salt} ${cache} ${key}`) % 100 >= fill) return { found: 'nothing' };
    // What fails has no entry.
    if (cache === 'fragile' && hash(key) % 4 === 0) return { found: 'nothing' };
    const outputs = {
      parameters: [{ name: 'o', value: outputOf(key) }],
      result: String(Buffer.byteLength(key)),
      exitCode: '0',
    };
    const creationTimestamp = '2026-01-01T00:00:00Z';
    return { found: 'entry', entry: { nodeID: 'n', outputs, creationTimestamp, lastHitTimestamp: creationTimestamp } };
  };
}

const asks = (cache: string) => ({
  annotations: { 'stepmemo.io/key': '{{inputs.parameters.x}}', 'stepmemo.io/cache': cache },
});
const io = {
  inputs: { parameters: [{ name: 'x' }] },
  outputs: { parameters: [{ name: 'o', valueFrom: { path: '/tmp/o' } }] },
};
const LEAVES: readonly JsonObject[] = [
  { name: 'work', ...io, metadata: asks('work'), container: { image: 'busybox', command: ['true'] } },
  { name: 'calc', ...io, metadata: asks('calc'), script: { image: 'busybox', command: ['sh'], source: 'true' } },
  { name: 'plain', ...io, container: { image: 'busybox', command: ['true'] } },
  { name: 'fragile', ...io, metadata: asks('fragile'), container: { image: 'busybox', command: ['true'] } },
  {
    name: 'retried',
    ...io,
    metadata: asks('retried'),
    retryStrategy: { limit: '1' },
    container: { image: 'busybox', command: ['true'] },
  },
];
/** One of its containers ends it beside `main`, which has the outputs. */
const SET: JsonObject = {
  name: 'set',
  ...io,
  metadata: asks('set'),
  containerSet: {
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
    containers: [
      { name: 'a', image: 'busybox', command: ['true'] },
      { name: 'b', image: 'busybox', command: ['true'], dependencies: ['a'] },
      { name: 'main', image: 'busybox', command: ['true'], dependencies: ['a'] },
    ],
  },
  volumes: [{ name: 'tmp', emptyDir: {} }],
};
const WORDS = [
  'a',
  'b',
  'c',
  'dd',
  'e f',
  'it"s',
  'x<y',
  'ü',
  '1',
  '{"k":1}',
  '[1]',
  'back\\slash',
  'tab\tbed',
  'line\nbreak',
];
const ITEMS = [
  ['p', 'q'],
  ['r'],
  [1, 2, 3],
  [true, false],
  ['a b', 'c'],
  ['x"y', 'z'],
  [
    { k: 'v', n: 1 },
    { k: 'w', n: 2 },
  ],
];

export interface OracleWorkflow {
  readonly workflow: JsonObject;
  /** WorkflowTemplates that are stored. */
  readonly stored: readonly JsonObject[];
  readonly fill: number;
  readonly salt: number;
}

export function oracleWorkflow(random: Random): OracleWorkflow {
  const templates: JsonObject[] = [...LEAVES, SET];
  const root = composite(random, templates, 0);
  const isLeaf = random.chance(0.08);
  const spec = {
    entrypoint: isLeaf ? random.pick(['work', 'calc', 'plain']) : root,
    arguments: { parameters: [{ name: 'x', value: random.pick(WORDS) }] },
    ...(random.chance(0.15) && { onExit: 'bye' }),
    templates: [...templates, { name: 'bye', container: { image: 'busybox', command: ['true'] } }],
  };
  const metadata = { name: `wf-${random.below(1000)}`, namespace: 'default' };
  const made = withReferences(random, random.chance(0.1) ? { ...spec, templateDefaults: defaults(random) } : spec);
  return {
    workflow: { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', metadata, spec: made.spec },
    stored: made.stored,
    fill: random.pick([0, 40, 70, 90, 100, 100]),
    salt: random.below(1e9),
  };
}

function defaults(random: Random): JsonObject {
  return random.pick<JsonObject>([
    { metadata: { annotations: { note: 'x', 'stepmemo.io/max-age': '' } } },
    { metadata: asks('work') },
    { retryStrategy: { limit: '1' } },
    { container: { env: [{ name: 'A', value: 'b' }] }, serviceAccountName: 'default' },
    {},
  ]);
}

/** The same workflow with some of its templates, or all of it, stored elsewhere. */
function withReferences(random: Random, spec: JsonObject): { spec: JsonObject; stored: readonly JsonObject[] } {
  const store = (name: string, content: JsonObject): JsonObject => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'WorkflowTemplate',
    metadata: { name, namespace: 'default' },
    spec: content,
  });
  // Argo fills in an inline template of a stored one in its own memory: what its steps get then depends on who ran before.
  const roll = JSON.stringify(spec).includes('"inline"') ? 9 : random.below(10);
  if (roll === 0) {
    const { arguments: given, ...rest } = spec;
    const kept = random.chance(0.5) ? rest : { ...rest, arguments: { parameters: [{ name: 'x', value: 'stored' }] } };
    return {
      spec: { workflowTemplateRef: { name: 'whole' }, ...(kept === rest && { arguments: given }) },
      stored: [store('whole', kept)],
    };
  }
  if (roll > 2) return { spec, stored: [] };
  const templates = spec.templates as readonly JsonObject[];
  const referring = templates.map((template) =>
    JSON.parse(JSON.stringify(template), (_, value) => refer(random, value)),
  );
  const { templateDefaults: _, onExit: __, ...shared } = spec;
  return { spec: { ...spec, templates: referring }, stored: [store('shared', shared)] };
}

/** A call by name becomes one of the stored template of that name, now and then. */
function refer(random: Random, value: unknown): unknown {
  const call = value as { template?: unknown; arguments?: unknown } | null;
  const isCall = typeof call === 'object' && typeof call?.template === 'string' && call.arguments !== undefined;
  if (!isCall || random.chance(0.4)) return value;
  const { template, ...rest } = call as JsonObject;
  return { ...rest, templateRef: { name: 'shared', template } };
}

/** Adds a steps or DAG template, and those below it; its name. */
function composite(random: Random, templates: JsonObject[], depth: number): string {
  const name = `t${templates.length}`;
  const at = templates.push({ name }) - 1;
  const kind = random.chance(0.5) ? 'steps' : 'dag';
  const calls: { name: string; isFan: boolean }[] = [];
  const makeCall = (prefix: string, known: readonly { name: string; isFan: boolean }[]): JsonObject => {
    const own = `c${calls.length}`;
    const isFan = random.chance(0.2);
    const called = pickCalled(random, templates, depth, isFan);
    const source = known.length > 0 && random.chance(0.7) ? random.pick(known) : undefined;
    const value = isFan && random.chance(0.9) ? '{{item}}' : reference(random, prefix, source);
    calls.push({ name: own, isFan });
    const conditions = {
      ...(random.chance(0.12) && { when: random.pick(['true', 'false', 'a == a', 'a != a', '1 == 1']) }),
      ...(random.chance(0.03) && { continueOn: { failed: true } }),
    };
    return { name: own, ...called, ...passed(random, isFan, value), ...conditions };
  };
  const body = kind === 'steps' ? stepsBody(random, makeCall, calls) : dagBody(random, makeCall, calls);
  const last = calls.filter(({ isFan }) => !isFan).at(-1);
  const prefix = kind === 'steps' ? 'steps' : 'tasks';
  const outputs =
    last === undefined
      ? undefined
      : { parameters: [{ name: 'o', valueFrom: { parameter: `{{${prefix}.${last.name}.outputs.parameters.o}}` } }] };
  templates[at] = {
    name,
    inputs: {
      parameters: [
        { name: 'x', ...(random.chance(0.2) && { default: 'd' }), ...(random.chance(0.1) && { value: 'own' }) },
      ],
    },
    ...body,
    ...(outputs !== undefined && { outputs }),
  };
  return name;
}

/** What a call names: a template of its own below it, a leaf, or one that stands inline. */
function pickCalled(random: Random, templates: JsonObject[], depth: number, isFan: boolean): JsonObject {
  if (depth < 2 && random.chance(0.25)) return { template: composite(random, templates, depth + 1) };
  if (!isFan && random.chance(0.05)) return { inline: { ...LEAVES[0], name: '' } };
  return { template: pickLeaf(random) };
}

function passed(random: Random, isFan: boolean, text: string): JsonObject {
  const items = random.pick(ITEMS);
  const value = typeof items[0] === 'object' && text === '{{item}}' ? '{{item.k}}-{{item.n}}' : text;
  return { arguments: { parameters: [{ name: 'x', value }] }, ...(isFan && fan(random, items)) };
}

type MakeCall = (prefix: string, known: readonly { name: string; isFan: boolean }[]) => JsonObject;

function stepsBody(random: Random, makeCall: MakeCall, calls: { name: string; isFan: boolean }[]): JsonObject {
  const groups = Array.from({ length: 1 + random.below(3) }, () => {
    const known = [...calls];
    return Array.from({ length: 1 + random.below(2) }, () => makeCall('steps', known));
  });
  return { steps: groups };
}

function dagBody(random: Random, makeCall: MakeCall, calls: { name: string; isFan: boolean }[]): JsonObject {
  const tasks: JsonObject[] = [];
  const isByDepends = random.chance(0.5);
  for (let count = 1 + random.below(4); count > 0; count -= 1) {
    const known = calls.filter(() => random.chance(0.5));
    const depends = known.map(({ name }) => name);
    const { continueOn, ...task } = makeCall('tasks', known);
    // Both in one DAG, or depends with continueOn, and Argo refuses the workflow: now and then is enough.
    if (random.chance(0.02) ? !isByDepends : isByDepends) {
      const clauses = depends.map((name) => (random.chance(0.3) ? `${name}.Succeeded` : name));
      tasks.push({ ...task, ...(clauses.length > 0 && { depends: clauses.join(' && ') }) });
    } else {
      const dependencies = depends.length > 0 && { dependencies: depends };
      tasks.push({ ...task, ...dependencies, ...(continueOn !== undefined && { continueOn }) });
    }
  }
  return { dag: { tasks } };
}

function pickLeaf(random: Random): string {
  return random.pick(['work', 'work', 'work', 'work', 'calc', 'calc', 'plain', 'fragile', 'retried', 'set']);
}

function reference(random: Random, prefix: string, source: { name: string; isFan: boolean } | undefined): string {
  if (source === undefined)
    return random.pick([
      ...WORDS.slice(0, 6),
      '{{inputs.parameters.x}}',
      '{{workflow.parameters.x}}',
      '{{workflow.name}}-z',
    ]);
  const of = `${prefix}.${source.name}`;
  if (source.isFan) return `{{${of}.outputs.parameters.o}}`;
  return random.pick([
    `{{${of}.outputs.parameters.o}}`,
    `{{${of}.outputs.parameters.o}}-{{inputs.parameters.x}}`,
    `{{${of}.outputs.parameters.o}}`,
  ]);
}

function fan(random: Random, items: readonly unknown[]): JsonObject {
  if (random.chance(0.15) && typeof items[0] !== 'object') return { withSequence: { count: '3' } };
  return random.chance(0.3) ? { withParam: JSON.stringify(items) } : { withItems: items };
}
