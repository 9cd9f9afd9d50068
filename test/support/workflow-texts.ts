/** Workflows and templates with `memoize` in all the places and layouts that `migrate` meets. */
import { type Value, type ValueMap, yamlDocument } from './manifest-texts.ts';
import type { Random } from './random.ts';

const KEYS = [
  '{{inputs.parameters.x}}',
  'a',
  'k-{{workflow.parameters.day}}-v1',
  "it's",
  'with space',
  'a: b # c',
  '1',
  '',
];

function memoize(random: Random): ValueMap {
  const parts: [string, Value][] = [
    ['key', random.pick(KEYS)],
    ['maxAge', random.pick(['1h', '10s', '24h', ''])],
    [
      'cache',
      {
        configMap: {
          name: random.pick(['c', 'my-cache', '{{workflow.name}}-cache']),
          ...(random.chance(0.1) && { key: 'unused' }),
        },
      },
    ],
  ];
  const kept = parts.filter(() => random.chance(0.92));
  return Object.fromEntries(random.chance(0.3) ? kept.reverse() : kept);
}

function metadata(random: Random): Value | undefined {
  return random.pick<Value | undefined>([
    ...[undefined, undefined, undefined, {}, null, { labels: { a: 'b' } }, { annotations: {} }, { annotations: null }],
    ...[{ annotations: { note: 'x' } }, { labels: { a: 'b' }, annotations: { 'a/b': 'two words' } }],
  ]);
}

function body(random: Random): ValueMap {
  return random.pick<ValueMap>([
    { container: { image: 'busybox', args: ['a', 'date > /out'] } },
    { script: { image: 'x', source: 'echo 1\necho 2\n' } },
    { container: {} },
    { steps: [[{ name: 's', template: 't0' }]] },
    { dag: { tasks: [{ name: 'd', inline: { container: { image: 'x' }, memoize: memoize(random) } }] } },
    { resource: { action: 'get' } },
    { suspend: {} },
  ]);
}

function template(random: Random, index: number): ValueMap {
  const about = metadata(random);
  const members: [string, Value][] = [
    ['name', `t${index}`],
    ...Object.entries(body(random)),
    ...(about === undefined ? [] : [['metadata', about] as [string, Value]]),
    ...(random.chance(0.7) ? [['memoize', memoize(random)] as [string, Value]] : []),
    ...(random.chance(0.3)
      ? [['outputs', { parameters: [{ name: 'o', valueFrom: { path: '/o' } }] }] as [string, Value]]
      : []),
  ];
  for (let at = members.length - 1; at > 0; at -= 1) {
    const other = random.below(at + 1);
    const [a, b] = [members[at], members[other]];
    if (a !== undefined && b !== undefined) [members[at], members[other]] = [b, a];
  }
  return Object.fromEntries(members);
}

export function workflowObject(random: Random): ValueMap {
  const templates = Array.from({ length: 1 + random.below(3) }, (_, index) => template(random, index));
  const defaults = random.chance(0.2)
    ? {
        templateDefaults: { memoize: memoize(random), ...(random.chance(0.3) && { metadata: { labels: { d: 'e' } } }) },
      }
    : {};
  const spec = { entrypoint: 't0', ...defaults, templates };
  const kind = random.pick(['Workflow', 'WorkflowTemplate', 'CronWorkflow']);
  const object = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind,
    metadata: { name: 'w' },
    spec: kind === 'CronWorkflow' ? { schedule: '* * * * *', workflowSpec: spec } : spec,
  };
  return random.chance(0.08) ? { apiVersion: 'v1', kind: 'List', items: [object, object] } : object;
}

/** The text of a file with such objects, among others. */
export function workflowText(random: Random): string {
  const object = workflowObject(random);
  if (random.chance(0.1))
    return `${JSON.stringify(object, null, random.pick([undefined, 2, 4, '\t']))}${random.pick(['\n', ''])}`;
  const other = '# nothing of ours\napiVersion: v1\nkind: ConfigMap\nmetadata: {name:   odd}\ndata: {mode: "0644"}\n';
  let text = yamlDocument(random, object);
  if (random.chance(0.3)) text = `${other}---\n${text}`;
  if (random.chance(0.3)) text = `--- # first\n${text}`;
  if (random.chance(0.3)) text = `${text}---\n${other}`;
  if (random.chance(0.15)) text = text.replaceAll('\n', '\r\n');
  if (random.chance(0.1)) text = text.trimEnd();
  return random.chance(0.05) ? `\ufeff${text}` : text;
}
