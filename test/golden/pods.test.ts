import { readdirSync } from 'node:fs';
import jsonpatch from 'jsonpatch';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/cache/entry.ts';
import type { KubeObject } from '../../src/kube/types.ts';
import { judgePod } from '../../src/step/decide-pod.ts';
import type { Verdict } from '../../src/step/decision.ts';
import type { KnownCluster } from '../../src/step/known-cluster.ts';
import { SETTINGS } from '../unit/step/builders.ts';
import { makeEntry, memoizeOf, type Recorded, readNativeEntry, readReviews, toManaged } from './recorded.ts';

// Every recorded pod is decided in both modes, with an empty cache and with a matching entry: Argo's own where it saved
// one. The answer is compared with the file, the patched pod as a whole with the recorded one and what the answer adds.
const EXPECTED = new URL('expected/', import.meta.url).pathname;
/** Before every recorded maxAge has passed. */
const NOW = new Date('2026-11-24T18:00:05Z');

function cluster(memoize: 'managed' | 'native', entry: Entry | undefined): KnownCluster {
  return {
    isSynced: true,
    arePoliciesInstalled: true,
    isSidecarUsable: true,
    namespace: () => ({ isEnabled: true, memoize, capture: 'sidecar', lookAhead: 'on', operation: 'on' }),
    lookUp: () => (entry === undefined ? { found: 'nothing' } : { found: 'entry', entry }),
    limitRanges: () => [],
    hasComputeQuota: () => false,
  };
}

interface Pod {
  metadata: { annotations: Record<string, string> };
  spec: { containers: unknown[]; volumes: unknown[]; schedulingGates?: unknown[] };
}

/** The recorded pod with what a verdict promises, put together without any JSON Patch. */
function promised(before: KubeObject, { decision, reason, patch }: Verdict): unknown {
  const pod = structuredClone(before) as unknown as Pod;
  if (decision === 'skip') {
    // Of what asks for nothing nobody need be told.
    if (reason !== 'not-memoized' && reason !== 'agent-pod') pod.metadata.annotations['stepmemo.io/reason'] = reason;
    return pod;
  }
  const added = (path: string): unknown =>
    patch.flatMap((operation) => (operation.path === path && 'value' in operation ? [operation.value] : []))[0];
  const settings = ['key', 'cache', 'max-age'].flatMap((name) => {
    const value = added(`/metadata/annotations/stepmemo.io~1${name}`);
    return value === undefined ? [] : [[`stepmemo.io/${name}`, value]];
  });
  Object.assign(pod.metadata.annotations, Object.fromEntries(settings));
  Object.assign(pod.metadata.annotations, { 'stepmemo.io/decision': decision, 'stepmemo.io/reason': reason });
  if (decision === 'hit') pod.spec.schedulingGates = [{ name: 'stepmemo.io/hit' }];
  const container = added('/spec/containers/-');
  if (container !== undefined) pod.spec.containers.push(container);
  const volume = added('/spec/volumes/-');
  if (volume !== undefined) pod.spec.volumes.push(volume);
  return pod;
}

function decide(recorded: Recorded, mode: 'managed' | 'native', entry: Entry | undefined): Verdict {
  const pod = mode === 'managed' ? toManaged(recorded) : recorded.request.object;
  const judge = (object: KubeObject): Verdict =>
    judgePod({
      pod: object,
      creator: recorded.request.userInfo.username,
      cluster: cluster(mode, entry),
      settings: SETTINGS,
      now: NOW,
    });
  const frozen = JSON.stringify(pod);
  const verdict = judge(pod);
  expect(JSON.stringify(pod), 'the pod of the review is left alone').toBe(frozen);
  expect(judge(pod), 'a duplicate of the review').toEqual(verdict);
  const patched = jsonpatch.apply_patch(structuredClone(pod), [...verdict.patch]) as KubeObject;
  expect(patched).toEqual(promised(pod, verdict));
  expect(judge(patched), 'a second pass').toEqual({ ...verdict, patch: [] });
  return verdict;
}

const CASES = readReviews(/\.pod-\d+\.json$/);

describe.each(CASES.map((recorded) => [recorded.path, recorded] as const))('%s', (path, recorded) => {
  it('is decided as expected, twice, and patched as promised', async () => {
    const entry = readNativeEntry(recorded) ?? makeEntry(recorded);
    const answers = {
      managed: { miss: decide(recorded, 'managed', undefined), hit: decide(recorded, 'managed', entry) },
      native: { miss: decide(recorded, 'native', undefined), hit: decide(recorded, 'native', entry) },
    };
    await expect(`${JSON.stringify(answers, null, 1)}\n`).toMatchFileSnapshot(`${EXPECTED}${path}`);
  });

  it('leaves a pod whose template still has memoize to the controller in managed mode', () => {
    if (memoizeOf(recorded) === undefined || path.includes('/large') || path.includes('.http.')) return;
    const { object, userInfo } = recorded.request;
    const settings = { cluster: cluster('managed', makeEntry(recorded)), settings: SETTINGS, now: NOW };
    const verdict = judgePod({ pod: object, creator: userInfo.username, ...settings });
    const reason = 'memoize-in-template';
    const patch = [{ op: 'add', path: '/metadata/annotations/stepmemo.io~1reason', value: reason }];
    expect(verdict).toMatchObject({ decision: 'skip', reason, patch });
  });

  it('is not acted on when somebody else made it', () => {
    const settings = { cluster: cluster('native', makeEntry(recorded)), settings: SETTINGS, now: NOW };
    const verdict = judgePod({
      pod: toManaged(recorded),
      creator: 'system:serviceaccount:default:default',
      ...settings,
    });
    expect(verdict).toMatchObject({ decision: 'skip', patch: [] });
  });
});

it('has an expectation for every recorded pod and no other', () => {
  const files = readdirSync(EXPECTED, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'));
  expect(files.sort()).toEqual(CASES.map(({ path }) => path));
  expect(CASES.length).toBeGreaterThan(80);
});
