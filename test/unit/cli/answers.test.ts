import { beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { dataKeyFor, metaKeyFor } from '../../../src/cache/data-key.ts';
import { serializeEntryMeta } from '../../../src/cache/entry-meta.ts';
import { type ExplainedStep, explainSteps } from '../../../src/cli/cluster/explain-steps.ts';
import { runLs, runPurge, runShow } from '../../../src/cli/commands/caches.ts';
import { runExplain } from '../../../src/cli/commands/explain.ts';
import { type KubeFailure, type KubeObject, RESOURCES } from '../../../src/kube/types.ts';
import { MemoryKube } from '../kube/memory-kube.ts';

const LABEL = { 'workflows.argoproj.io/configmap-type': 'Cache' };
const ago = (hours: number) => `${new Date(Date.now() - hours * 3_600_000).toISOString().slice(0, 19)}Z`;
const entry = (hours: number, value = 'v') =>
  JSON.stringify({
    nodeID: 'n',
    outputs: { parameters: [{ name: 'o', value }] },
    creationTimestamp: ago(hours),
    lastHitTimestamp: ago(hours),
  });

let kube: MemoryKube;
let printed: string[];
let errors: string[];
beforeEach(() => {
  kube = new MemoryKube();
  [printed, errors] = [[], []];
});
const deps = () => ({
  kube,
  out: { print: (text: string) => void printed.push(text), printError: (text: string) => void errors.push(text) },
});

/** A cache with an entry of two hours under `old`, one of a minute under a key that has to be hashed. */
function givenCache(labels: Record<string, string> = LABEL): void {
  const odd = 'an odd key/ü';
  const dataKey = dataKeyFor(odd);
  const note = serializeEntryMeta({ key: odd, podUid: 'p', workflow: 'wf-1', capture: 'sidecar' });
  kube.put(RESOURCES.configMaps, {
    metadata: { namespace: 'team', name: 'cache', labels },
    data: { old: entry(2), [dataKey]: entry(0.01), broken: 'no JSON' },
    binaryData: { [metaKeyFor(dataKey)]: note },
  });
}
const dataOf = () => Object.keys((kube.peek(RESOURCES.configMaps, 'team', 'cache')?.data as object) ?? {});

describe('stepmemo ls', () => {
  it('lists caches with what is in them', async () => {
    givenCache();
    expect(await runLs({ namespace: 'team', output: 'text' }, deps())).toBe(0);
    expect(printed[0]).toMatch(/^NAMESPACE +CACHE +ENTRIES +SIZE +OLDEST +NEWEST\nteam +cache +3 +.* +2h +3[5-9]s$/);
    await runLs({ output: 'json' }, deps());
    expect(JSON.parse(printed[1] ?? '')).toMatchObject([
      { namespace: 'team', name: 'cache', entries: 3, oldest: expect.stringMatching(/Z$/) },
    ]);
  });

  it('prints as kubectl does: more columns, YAML, names', async () => {
    givenCache();
    for (const output of ['wide', 'yaml', 'name'] as const) await runLs({ namespace: 'team', output }, deps());
    expect(printed[0]).toMatch(/ FULL +CREATED +WRITTEN BY\nteam .* 1% .* others$/);
    expect(parse(printed[1] ?? '')).toMatchObject([{ namespace: 'team', name: 'cache', entries: 3 }]);
    expect(printed[2]).toBe('configmap/cache');
    await runShow({ cache: 'cache', namespace: 'team', output: 'name' }, deps());
    expect(printed[3]?.split('\n').sort()).toEqual(['an odd key/ü', 'broken', 'old']);
  });

  it('prints no line where there are no names', async () => {
    expect(await runLs({ namespace: 'team', output: 'name' }, deps())).toBe(0);
    expect(printed).toEqual([]);
  });

  it('says where there are none', async () => {
    expect(await runLs({ namespace: 'team', output: 'text' }, deps())).toBe(0);
    expect(printed).toEqual(['No caches in namespace team.']);
  });

  it('says which right is missing', async () => {
    kube.before = (): KubeFailure => ({ ok: false, status: 403, reason: 'Forbidden', message: 'you may not list' });
    expect(await runLs({ output: 'text' }, deps())).toBe(1);
    expect(errors).toEqual([
      'stepmemo ls: caches cannot be listed: you may not list. Run this with an account that may.',
    ]);
  });
});

describe('stepmemo show', () => {
  const show = (key?: string) => runShow({ cache: 'cache', key, namespace: 'team', output: 'text' }, deps());

  it('lists entries by the keys that users know', async () => {
    givenCache();
    expect(await show()).toBe(0);
    expect(printed[0]).toMatch(/an odd key\/ü +3[5-9]s +.* +wf-1/);
    expect(printed[0]).toMatch(/broken +no entry/);
  });

  it('prints one entry whole', async () => {
    givenCache();
    expect(await show('an odd key/ü')).toBe(0);
    expect(JSON.parse(printed[0] ?? '')).toMatchObject({ key: 'an odd key/ü', workflow: 'wf-1', nodeID: 'n' });
  });

  it('says what is not there, and what is no cache', async () => {
    expect(await show()).toBe(1);
    givenCache({});
    expect(await show()).toBe(1);
    givenCache();
    expect(await show('none')).toBe(1);
    expect(errors).toEqual([
      'stepmemo show: ConfigMap team/cache is not there.',
      'stepmemo show: ConfigMap team/cache is no cache: it lacks the label workflows.argoproj.io/configmap-type=Cache.',
      'stepmemo show: cache cache has no entry for the key "none".',
    ]);
  });
});

describe('stepmemo purge', () => {
  const purge = (more: { key?: string; olderThan?: string; all?: boolean; yes?: boolean }) =>
    runPurge({ cache: 'cache', namespace: 'team', all: false, yes: true, ...more }, deps());

  it('changes nothing without --yes', async () => {
    givenCache();
    expect(await purge({ all: true, yes: false })).toBe(0);
    expect(printed.join('\n')).toContain('Dry run: 3 entries would be removed from team/cache.');
    expect(dataOf()).toHaveLength(3);
  });

  it.each([
    [{ key: 'an odd key/ü' }, ['old', 'broken']],
    [{ olderThan: '90m' }, [dataKeyFor('an odd key/ü')]],
    [{ all: true }, []],
  ])('takes away %j', async (selection, left) => {
    givenCache();
    expect(await purge(selection)).toBe(0);
    expect(dataOf()).toEqual(left);
  });

  it('takes the notes of an entry away with it', async () => {
    givenCache();
    await purge({ key: 'an odd key/ü' });
    expect(kube.peek(RESOURCES.configMaps, 'team', 'cache')?.binaryData).toEqual({});
  });

  it('goes on where another writer was quicker', async () => {
    givenCache();
    let isFirst = true;
    kube.before = ({ verb }) => {
      if (verb !== 'patch' || !isFirst) return undefined;
      isFirst = false;
      return { ok: false, status: 409, reason: 'Conflict', message: 'changed' };
    };
    expect(await purge({ key: 'old' })).toBe(0);
    expect(dataOf()).not.toContain('old');
  });

  it.each([
    [{}, 'say one of KEY, --older-than DURATION and --all.'],
    [{ key: 'old', all: true }, 'say one of KEY, --older-than DURATION and --all.'],
    [{ olderThan: '3d' }, '--older-than: "3d" is no duration such as 90m or 24h (there is no "d").'],
  ])('takes no unclear order: %j', async (selection, message) => {
    givenCache();
    expect(await purge(selection)).toBe(2);
    expect(errors).toEqual([`stepmemo purge: ${message}`]);
  });
});

describe('stepmemo explain', () => {
  const template = {
    name: 'work',
    inputs: { parameters: [{ name: 'x' }] },
    metadata: { annotations: { 'stepmemo.io/key': 'k-{{inputs.parameters.x}}', 'stepmemo.io/cache': 'cache' } },
    container: { image: 'i' },
  };
  const node = (number: number, more: object = {}) => ({
    id: `wf-${number}`,
    name: `wf[0].s${number}`,
    type: 'Pod',
    phase: 'Succeeded',
    templateName: 'work',
    templateScope: 'local/wf',
    startedAt: '2026-01-01T00:00:00Z',
    inputs: { parameters: [{ name: 'x', value: String(number) }] },
    ...more,
  });
  const workflowWith = (...nodes: readonly { id: string }[]): KubeObject => ({
    kind: 'Workflow',
    metadata: { name: 'wf', namespace: 'team' },
    spec: { entrypoint: 'main', templates: [template, { name: 'plain', container: {} }] },
    status: { nodes: Object.fromEntries(nodes.map((one) => [one.id, one])) },
  });
  const pod = (number: number, annotations: Record<string, string>, spec: object = {}): KubeObject => ({
    metadata: {
      name: `wf-work-${number}`,
      namespace: 'team',
      labels: { 'workflows.argoproj.io/workflow': 'wf' },
      annotations: { 'workflows.argoproj.io/node-id': `wf-${number}`, ...annotations },
    },
    spec,
  });
  const event = (number: number, reason: string, message: string): KubeObject => ({
    reason,
    note: `pod wf-work-${number}: ${message}`,
    eventTime: '2026-01-01T00:00:00Z',
  });
  const decided = (decision: string, reason: string) => ({
    'stepmemo.io/decision': decision,
    'stepmemo.io/reason': reason,
    'stepmemo.io/key': 'k-1',
    'stepmemo.io/cache': 'cache',
  });
  const explain = (
    workflow: KubeObject,
    more: { pods?: KubeObject[]; events?: KubeObject[] } = {},
  ): readonly ExplainedStep[] =>
    explainSteps({
      workflow,
      pods: [],
      events: [],
      mode: 'managed',
      lookUp: () => ({ found: 'nothing' }),
      now: new Date(),
      ...more,
    });

  it.each<[string, object, { pods?: KubeObject[]; events?: KubeObject[] }, Partial<ExplainedStep>]>([
    [
      'a step that was served at submission',
      { message: 'served at submission: made by x', memoizationStatus: { hit: true, key: 'k-1', cacheName: 'cache' } },
      {},
      { outcome: 'served at submission', reason: 'served-at-submission', key: 'k-1', source: 'node' },
    ],
    [
      "a hit of Argo's own",
      { memoizationStatus: { hit: true, key: 'k-1', cacheName: 'cache' } },
      {},
      { outcome: 'served by Argo', source: 'node' },
    ],
    [
      'a hit by its pod',
      {},
      { pods: [pod(1, decided('hit', 'fresh-entry'))] },
      { outcome: 'served by its pod', reason: 'fresh-entry', key: 'k-1', source: 'pod' },
    ],
    [
      'a hit that was released',
      {},
      {
        pods: [pod(1, decided('hit', 'fresh-entry'), { nodeName: 'n' })],
        events: [event(1, 'Released', 'the entry is gone'), event(12, 'Captured', 'of another')],
      },
      { outcome: 'ran', reason: 'fresh-entry', message: 'released: the entry is gone' },
    ],
    [
      'a miss, with what would make it a hit',
      {},
      { pods: [pod(1, decided('miss', 'expired'), { nodeName: 'n' })] },
      { outcome: 'ran', reason: 'expired', fix: 'Raise maxAge if an older result is still good.', source: 'pod' },
    ],
    [
      'a pod that is gone, by its Event',
      {},
      { events: [event(1, 'MaxAgeInvalid', 'maxAge is "3d"')] },
      { outcome: 'ran', reason: 'max-age-invalid', message: 'max-age-invalid: maxAge is "3d"', source: 'event' },
    ],
    [
      'nothing that is left, by what is the case now',
      {},
      {},
      {
        outcome: 'not known',
        key: 'k-1',
        reason: 'no-entry',
        message: 'as of now: no entry for key "k-1" in cache cache',
        source: 'now',
      },
    ],
  ])('tells of %s', (_, members, more, expected) => {
    expect(explain(workflowWith(node(1, members)), more)).toMatchObject([expected]);
  });

  it('a step that was served together with a hit before it', () => {
    const served = node(1, { message: 'served ahead: the cache holds it' });
    expect(explain(workflowWith(served))).toMatchObject([
      { key: 'k-1', outcome: 'served ahead', reason: 'served-ahead', source: 'node' },
    ]);
  });

  it('leaves out steps that ask for nothing', () => {
    expect(explain(workflowWith(node(1, { templateName: 'plain' })))).toEqual([]);
  });

  it('finds what it needs on a cluster, and the one step of a pod', async () => {
    kube.put(RESOURCES.workflows, workflowWith(node(1), node(2)));
    kube.put(RESOURCES.pods, pod(2, decided('miss', 'no-entry'), { nodeName: 'n' }));
    kube.put(RESOURCES.namespaces, { metadata: { name: 'team', labels: {} } });
    expect(await runExplain({ what: 'pod/wf-work-2', namespace: 'team', output: 'text' }, deps())).toBe(0);
    expect(printed[0]).toContain('Namespace team has not opted in');
    expect(printed[0]).toMatch(/\n\nNODE +KEY +OUTCOME +REASON +KNOWN FROM\nwf\[0\]\.s2 +k-1 +ran +no-entry +pod\n/);
    expect(printed[0]).not.toContain('s1');
  });

  it.each([
    ['bla', 2, 'say workflow/NAME or pod/NAME, not "bla".'],
    ['workflow/none', 1, 'Workflow team/none is not there.'],
    ['pod/none', 1, 'Pod team/none is not there.'],
  ])('says what is wrong with %s', async (what, code, message) => {
    expect(await runExplain({ what, namespace: 'team', output: 'text' }, deps())).toBe(code);
    expect(errors).toEqual([`stepmemo explain: ${message}`]);
  });
});
