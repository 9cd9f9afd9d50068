import { describe, expect, it } from 'vitest';
import { isObject, type JsonObject } from '../../src/base/json.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must } from '../integration/harness.ts';
import { oracleWorkflow } from '../support/oracle-workflows.ts';
import { createRandom } from '../support/random.ts';
import { admin } from './cluster.ts';
import { argoVersion } from './settings.ts';
import { givenThree, type Namespaces, runThreeWays, type Subject } from './three-ways.ts';

/*
 * The workflows that Argo's own code is asked about (test/oracle), on a cluster: without stepmemo, by the pods' way and with
 * look-ahead. Between the two runs with stepmemo a third of the entries are taken away. `make test-generated CASES=100 SEED=1`.
 */
const CASES = Number(process.env.GENERATED ?? '0');
const SEED = Number(process.env.SEED ?? '1');
/** What a workflow takes whose steps run one after the other; some are never ended by Argo itself. */
const DEADLINE_MS = 240_000;
const CACHES = ['work', 'calc', 'fragile', 'retried', 'set'];

/** As test/support/oracle-workflows.ts has it of a step: the input and a plus sign, and the length of the input as the result. */
const SCRIPT = `printf '%s+' "$X" > /tmp/o; printf '%s' "$X" | wc -c | tr -d ' \\n'`;
/** Of a fragile one, for one input in four. */
const FAILS = `[ $(( $(printf '%s' "$X" | cksum | cut -d ' ' -f 1) % 4 )) -ne 0 ] || exit 1; ${SCRIPT}`;

/** The same workflow, with steps that do what they say. */
function makeReal(value: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(value), (key, member: unknown) => {
    // A step that is skipped leaves what refers to it without an end, and which of its neighbours had begun is by chance.
    if (key === 'when' || key === 'continueOn') return undefined;
    return isObject(member) ? realBody(member) : member;
  }) as JsonObject;
}

function realBody(template: JsonObject): JsonObject {
  const { container, script, containerSet, name } = template;
  const text = name === 'fragile' ? FAILS : SCRIPT;
  const env = [{ name: 'X', value: name === 'bye' ? 'bye' : '{{inputs.parameters.x}}' }];
  const body = { image: 'busybox:local', command: ['sh', '-c'], args: [text], env };
  if (isObject(script)) return { ...template, script: { image: body.image, command: ['sh'], source: text, env } };
  if (isObject(containerSet)) {
    const containers = (containerSet.containers as readonly JsonObject[]).map((one) => ({
      ...one,
      ...body,
      args: [one.name === 'main' ? text : 'true'],
    }));
    return { ...template, containerSet: { ...containerSet, containers } };
  }
  if (!isObject(container) || container.command === undefined) return template;
  return { ...template, container: { ...container, ...body } };
}

/** With names of its own for what it has stored. */
function generate(number: number): { readonly workflow: JsonObject; readonly stored: readonly KubeObject[] } {
  const { workflow, stored } = oracleWorkflow(createRandom(SEED * 1_000_003 + number));
  const text = JSON.stringify(makeReal({ workflow, stored }));
  const named = text.replaceAll(/"name":"(shared|whole)"/g, `"name":"$1-${number}"`);
  return JSON.parse(named.replaceAll('"namespace":"default"', '"labels":{}'));
}

/** For a namespace without stepmemo the annotations mean nothing: it stays as it is. */
function subjectOf(number: number, workflow: JsonObject): Subject {
  const { spec } = workflow;
  return {
    name: `case ${number} of seed ${SEED}`,
    failsInAnyOrder: true,
    make: () => ({
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Workflow',
      metadata: { generateName: 'ex-' },
      spec,
    }),
    between: takeAThird,
  };
}

async function takeAThird(namespace: string): Promise<void> {
  const kube = await admin();
  for (const name of CACHES) {
    const path = { resource: RESOURCES.configMaps, namespace, name };
    const cache = await kube.get(path);
    if (!cache.ok) continue;
    const keys = Object.keys((cache.value.data ?? {}) as object).filter((key) => sum(key) % 3 === 0);
    const removed = Object.fromEntries(keys.map((key) => [key, null]));
    if (keys.length > 0) must(await kube.merge(path, { data: removed }));
  }
}

function sum(text: string): number {
  return [...Buffer.from(text)].reduce((total, byte) => total + byte, 0);
}

async function store(objects: readonly KubeObject[], namespaces: Namespaces): Promise<void> {
  const kube = await admin();
  for (const object of objects) {
    for (const namespace of Object.values(namespaces))
      must(await kube.create({ resource: RESOURCES.workflowTemplates, namespace }, object));
  }
}

describe(`${CASES} generated workflows on Argo ${argoVersion}`, () => {
  it('end alike without stepmemo, by the pods’ way and with look-ahead', { timeout: 7_200_000, retry: 0 }, async () => {
    const namespaces = await givenThree();
    const cases = Array.from({ length: CASES }, (_, number) => ({ number, ...generate(number) }));
    for (const { stored } of cases) await store(stored, namespaces);
    const subjects = cases.map(({ number, workflow }) => subjectOf(number, workflow));
    const { differing, counts } = await runThreeWays(subjects, namespaces, DEADLINE_MS);
    console.info(`Argo ${argoVersion}: ${JSON.stringify(counts)}`);
    expect(differing.join('\n')).toBe('');
    expect(counts.withoutEnd).toBeLessThan(CASES / 5);
  });
});
