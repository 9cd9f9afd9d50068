import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type PlanOptions, runPlan } from '../../../src/cli/commands/plan.ts';
import type { KubeApi, KubeObject, KubeResult } from '../../../src/kube/types.ts';

const directory = mkdtempSync(join(tmpdir(), 'stepmemo-plan-'));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function write(text: string): string {
  const file = join(directory, `${files++}.yaml`);
  writeFileSync(file, text);
  return file;
}

const TEMPLATES = `
    - name: main
      steps:
        - - {name: a, template: work, arguments: {parameters: [{name: x, value: one}]}}
        - - {name: b, template: work, arguments: {parameters: [{name: x, value: "{{steps.a.outputs.parameters.o}}"}]}}
    - name: work
      inputs: {parameters: [{name: x}]}
      memoize: {key: "{{inputs.parameters.x}}", maxAge: 24h, cache: {configMap: {name: work}}}
      outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}]}
      container: {image: busybox}
`;
const WORKFLOW = write(`
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: train-}
spec:
  entrypoint: main
  templates:${TEMPLATES}`);
const entry = JSON.stringify({
  nodeID: 'n',
  outputs: { parameters: [{ name: 'o', value: 'two' }] },
  creationTimestamp: '2026-01-01T00:00:00Z',
  lastHitTimestamp: '2026-01-01T00:00:00Z',
});
const CACHES = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'work', labels: { 'workflows.argoproj.io/configmap-type': 'Cache' } },
  data: { one: entry },
};

function clusterWith(answers: { maps?: KubeResult<readonly KubeObject[]>; namespace?: KubeResult<KubeObject> }) {
  const refused = { ok: false, status: 403, reason: 'Forbidden', message: 'forbidden' } as const;
  return { list: async () => answers.maps ?? refused, get: async () => answers.namespace ?? refused } as Pick<
    KubeApi,
    'get' | 'list'
  >;
}

async function plan(options: Partial<PlanOptions>, cluster = clusterWith({})) {
  const lines: string[] = [];
  const errors: string[] = [];
  const out = { print: (text: string) => lines.push(text), printError: (text: string) => errors.push(text) };
  const given = { files: [WORKFLOW], now: '2026-01-01T01:00:00Z', output: 'text', ...options } as const;
  const exitCode = await runPlan(given, { out, connect: async () => cluster });
  return { exitCode, text: lines.join('\n'), errors };
}

describe('stepmemo plan', () => {
  it('prints what would be a hit, and why the rest would not', async () => {
    const { exitCode, text, errors } = await plan({ configmaps: write(JSON.stringify(CACHES)) });
    expect(text).toBe(
      [
        'Workflow train-: 1 hit, 1 to run, 0 not foreseen',
        'NODE          OUTCOME   KEY   WHY',
        'train-[0].a   hit       one   key "one" in cache work: made by node "n", 3600 s old',
        'train-[1].b   runs      two   no-entry: no entry for key "two" in cache work',
      ].join('\n'),
    );
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: [] });
  });

  it('prints the same as JSON', async () => {
    const { text } = await plan({ configmaps: write(JSON.stringify(CACHES)), output: 'json' });
    expect(JSON.parse(text)).toMatchObject({
      object: 'Workflow train-',
      hits: 1,
      isWhole: false,
      steps: [
        { node: 'train-[0].a', key: 'one', cache: 'work', outcome: 'hit' },
        { node: 'train-[1].b', key: 'two', cache: 'work', outcome: 'runs' },
      ],
    });
  });

  it('asks the cluster for caches and mode', async () => {
    const metadata = { name: 'team', labels: { 'stepmemo.io/enabled': 'true' } };
    const inTeam = { ...CACHES, metadata: { ...CACHES.metadata, namespace: 'team' } };
    const cluster = clusterWith({ maps: { ok: true, value: [inTeam] }, namespace: { ok: true, value: { metadata } } });
    const { exitCode, text, errors } = await plan({ namespace: 'team' }, cluster);
    expect(text).toContain('1 hit, 1 to run');
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: [] });
  });

  it('says so where the namespace has not opted in', async () => {
    const cluster = clusterWith({ maps: { ok: true, value: [] }, namespace: { ok: true, value: { metadata: {} } } });
    const { errors } = await plan({ namespace: 'team' }, cluster);
    expect(errors).toEqual(['stepmemo plan: namespace team has not opted in: nothing would be served there']);
  });

  it('ends with 1 where the caches may not be read', async () => {
    const { exitCode, text, errors } = await plan({ namespace: 'team' });
    expect({ exitCode, text }).toEqual({ exitCode: 1, text: '' });
    expect(errors).toEqual([
      'stepmemo plan: the caches in team cannot be listed: forbidden. Run this with an account that may.',
    ]);
  });

  it('ends with 2 on a file that it cannot read, and plans the others', async () => {
    const { exitCode, text, errors } = await plan({ files: [write('a: {{ b }}'), WORKFLOW, '/no/such/file'] });
    expect(exitCode).toBe(2);
    expect(text).toContain('train-[0].a   runs');
    expect(errors).toHaveLength(3);
    expect(errors[2]).toBe('stepmemo plan: no caches are given (--configmaps or -n): no step can be a hit');
  });

  it('plans what a CronWorkflow would make, without its name', async () => {
    const cron = write(`
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedule: "0 0 * * *"
  workflowSpec:
    entrypoint: work
    arguments: {parameters: [{name: x, value: "{{workflow.name}}"}]}
    templates:${TEMPLATES}`);
    const { text } = await plan({ files: [cron] });
    expect(text).toContain('CronWorkflow nightly: 0 hit, 0 to run, 1 not foreseen');
  });
});
