import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type DecideOptions, runDecide } from '../../../src/cli/commands/decide.ts';
import { configSchema } from '../../../src/config/config.ts';

const directory = mkdtempSync(join(tmpdir(), 'stepmemo-decide-'));
afterAll(() => rmSync(directory, { recursive: true }));

const REVIEW = new URL('../../golden/reviews/argo-4.0.5/memoized-whalesay.pod-1.json', import.meta.url).pathname;
const WORKFLOW = new URL('../../golden/reviews/argo-4.0.5/memoized-whalesay.workflow-create.json', import.meta.url)
  .pathname;

let files = 0;
function write(content: unknown): string {
  const file = join(directory, `${files++}.yaml`);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

async function decide(options: Partial<DecideOptions> & { files: readonly string[] }) {
  const lines: string[] = [];
  const errors: string[] = [];
  const exitCode = await runDecide(
    { mode: 'managed', output: 'json', apply: false, ...options },
    configSchema.parse({}),
    {
      print: (text) => lines.push(text),
      printError: (text) => errors.push(text),
    },
  );
  const text = lines.join('\n');
  return { exitCode, text, errors, json: exitCode === 0 && options.output !== 'text' ? JSON.parse(text) : undefined };
}

const CREATED = '2026-01-01T00:00:00Z';
function cache(overrides: { labels?: object; namespace?: string | null } = {}): string {
  const { labels = { 'workflows.argoproj.io/configmap-type': 'Cache' }, namespace = 'default' } = overrides;
  const entry = {
    nodeID: 'n',
    outputs: { parameters: [{ name: 'hello', value: 'from the cache' }], exitCode: '0' },
    creationTimestamp: CREATED,
    lastHitTimestamp: CREATED,
  };
  return `
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: whalesay-cache, ${namespace === null ? '' : `namespace: ${namespace},`} labels: ${JSON.stringify(labels)}}
data: {hello-world: '${JSON.stringify(entry)}'}
`;
}

describe('stepmemo decide', () => {
  it('prints one object for one file', async () => {
    const { json, exitCode } = await decide({ files: [REVIEW], mode: 'native' });
    expect(exitCode).toBe(0);
    expect(json).toMatchObject({ decision: 'miss', reason: 'no-entry' });
    expect(Object.keys(json)).toEqual(['decision', 'reason', 'message', 'patch', 'warnings']);
  });

  it('prints an array for several, in their order', async () => {
    const { json } = await decide({ files: [WORKFLOW, REVIEW] });
    expect(json).toMatchObject([
      { decision: 'mutate', reason: 'memoize-moved' },
      { decision: 'skip', reason: 'memoize-in-template' },
    ]);
  });

  it('reads caches, and tells fresh from expired by --now', async () => {
    const configmaps = write(cache());
    const at = async (now: string) => (await decide({ files: [REVIEW], mode: 'native', configmaps, now })).json;
    expect(await at('2026-01-01T00:00:10Z')).toMatchObject({ decision: 'hit', reason: 'fresh-entry' });
    expect(await at('2026-01-01T00:00:11Z')).toMatchObject({ decision: 'miss', reason: 'expired' });
  });

  it('reads caches from a List', async () => {
    const item = { metadata: { name: 'c', labels: { 'workflows.argoproj.io/configmap-type': 'Cache' } }, data: {} };
    expect(
      (await decide({ files: [REVIEW], mode: 'native', configmaps: write({ kind: 'List', items: [item] }) })).exitCode,
    ).toBe(0);
  });

  it('never reads an unlabeled ConfigMap, and says so', async () => {
    const configmaps = write(cache({ labels: {} }));
    const { json } = await decide({ files: [REVIEW], mode: 'native', configmaps, now: CREATED });
    expect(json).toMatchObject({ decision: 'miss', reason: 'no-entry' });
    expect(json.warnings).toContainEqual(expect.stringContaining('ConfigMap whalesay-cache is not read'));
  });

  it('never reads a cache of another namespace', async () => {
    const configmaps = write(cache({ namespace: 'argo' }));
    expect((await decide({ files: [REVIEW], mode: 'native', configmaps, now: CREATED })).json).toMatchObject({
      decision: 'miss',
    });
  });

  it('takes a cache without a namespace to lie where the pod is', async () => {
    const review = JSON.parse(readFileSync(REVIEW, 'utf8'));
    review.request.namespace = 'elsewhere';
    review.request.object.metadata.namespace = 'elsewhere';
    const configmaps = write(cache({ namespace: null }));
    const files = [write(review)];
    expect((await decide({ files, mode: 'native', configmaps, now: CREATED })).json).toMatchObject({ decision: 'hit' });
  });

  it('takes a bare pod as created by the controller, and a review as recorded', async () => {
    const review = JSON.parse(readFileSync(REVIEW, 'utf8'));
    expect((await decide({ files: [write(review.request.object)], mode: 'native' })).json).toMatchObject({
      decision: 'miss',
    });
    review.request.userInfo.username = 'somebody';
    expect((await decide({ files: [write(review)], mode: 'native' })).json).toMatchObject({
      reason: 'creator-untrusted',
    });
  });

  it('reads YAML', async () => {
    const workflow = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: a-}
spec: {templates: [{name: a, memoize: {key: k, cache: {configMap: {name: c}}}, container: {image: i}}]}
`;
    expect((await decide({ files: [write(workflow)] })).json).toMatchObject({ decision: 'mutate' });
  });

  it('prints the object as patched with --apply', async () => {
    const { json } = await decide({ files: [REVIEW], mode: 'native', apply: true });
    expect(json.kind).toBe('Pod');
    expect(json.metadata.annotations['stepmemo.io/decision']).toBe('miss');
    expect(json.spec.containers.at(-1).name).toBe('stepmemo-capture');
  });

  it('prints lines for people with -o text', async () => {
    expect((await decide({ files: [REVIEW], mode: 'native', output: 'text' })).text).toMatch(/miss \(no-entry\): /);
  });

  it.each([
    ['a missing file', '/nonexistent.json', /nonexistent\.json: there is no such file$/],
    ['what is neither JSON nor YAML', write('a: [1'), /:1:6: a ',' or '\]' is missing here$/],
    ['another kind', write({ kind: 'Secret' }), /kind: expected AdmissionReview or one of .*, found "Secret"$/],
    ['nothing', write(''), /found no object$/],
    ['a review without a request', write({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' }), /request: /],
  ])('ends with 2 for %s', async (_, file, message) => {
    const { exitCode, errors } = await decide({ files: [file] });
    expect(exitCode).toBe(2);
    expect(errors).toEqual([expect.stringMatching(message)]);
  });

  it('ends with 2 for a time that is none', async () => {
    expect(await decide({ files: [REVIEW], now: 'yesterday' })).toMatchObject({
      exitCode: 2,
      errors: [expect.stringContaining('--now')],
    });
  });
});
