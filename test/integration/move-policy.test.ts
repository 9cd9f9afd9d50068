import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import fc from 'fast-check';
import jsonpatch from 'jsonpatch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import type { MemoizeMode } from '../../src/base/names.ts';
import type { KubeObject } from '../../src/kube/types.ts';
import { judgeWorkflow } from '../../src/workflow/mutate-workflow.ts';
import { damagedObject, oddObject, plainObject } from '../support/memoized-objects.ts';
import { clusterInfo, createNamespace, kubeAs, waitFor, withoutServerFields } from './harness.ts';
import type { TestKube } from './test-kube.ts';

/*
 * The policy that moves memoize inside the API server, while no stepmemo runs, held against what the webhook does: of what it knows
 * the same, of everything else nothing. Needs an API server of 1.36 or later: `make test-move-policy`.
 */
const run = promisify(execFile);
const POLICIES = new URL('../../manifests/components/move-in-api-server/policies-move.yaml', import.meta.url).pathname;
const RUNS = 1_000;
const API = '/apis/argoproj.io/v1alpha1';
const PLURALS: Readonly<Record<string, string>> = {
  Workflow: 'workflows',
  WorkflowTemplate: 'workflowtemplates',
  CronWorkflow: 'cronworkflows',
  ClusterWorkflowTemplate: 'clusterworkflowtemplates',
};
const memoize = { key: 'k', maxAge: '1h', cache: { configMap: { name: 'c' } } };
const step = { name: 'a', container: { image: 'i' } };
const simple = { entrypoint: 'a', templates: [{ ...step, memoize }] };

let admin: TestKube;
const namespaces: Record<'managed' | 'native' | 'other' | 'late', string> = {
  managed: '',
  native: '',
  other: '',
  late: '',
};

/** As the API server would store it: in a namespace where the policy moves, or where it does not. */
async function submit(object: JsonObject, where: keyof typeof namespaces): Promise<JsonObject | number> {
  const { status, body } = await admin.request('POST', `${urlOf(object, where)}?dryRun=All`, toSend(object, where));
  return status === 201 ? (withoutServerFields(body) as JsonObject) : status;
}

function urlOf({ kind }: JsonObject, where: keyof typeof namespaces): string {
  const plural = PLURALS[String(kind)] ?? '';
  return kind === 'ClusterWorkflowTemplate' ? `${API}/${plural}` : `${API}/namespaces/${namespaces[where]}/${plural}`;
}

function toSend(object: JsonObject, where: keyof typeof namespaces): JsonObject {
  const { labels = {} } = object.metadata as { labels?: JsonObject };
  const isOptedOut = object.kind === 'ClusterWorkflowTemplate' && where === 'other';
  const metadata = { ...(object.metadata as JsonObject), name: 'w', labels: isOptedOut ? {} : labels };
  const spec = object.kind === 'CronWorkflow' ? { schedules: ['@daily'], ...(object.spec as JsonObject) } : object.spec;
  return { ...object, metadata, spec };
}

/** What the webhook would make of a stored object. */
function movedByWebhook(object: JsonObject, mode: MemoizeMode = 'managed'): JsonObject {
  const { patch } = judgeWorkflow({ object, operation: 'CREATE', mode });
  return jsonpatch.apply_patch(structuredClone(object), patch) as JsonObject;
}

const kubectl = (...args: readonly string[]) =>
  run(clusterInfo().kubectl, ['--kubeconfig', clusterInfo().adminKubeconfig, ...args]);

async function installCrds(form: 'full' | 'minimal'): Promise<void> {
  const folder = join(clusterInfo().argoManifests, 'base', 'crds', form);
  const files = (await readdir(folder)).filter((file) => file.startsWith('argoproj.io_'));
  await kubectl('apply', '--server-side', '--force-conflicts', ...files.flatMap((file) => ['-f', join(folder, file)]));
}

/** Until a Workflow is pruned, or not, as the schemas say, and moved. */
async function waitUntilMoving(form: 'full' | 'minimal', where: 'managed' | 'late' = 'managed'): Promise<void> {
  const object = { apiVersion: 'argoproj.io/v1alpha1', metadata: {}, spec: { ...simple, unknown: {} } };
  for (const kind of Object.keys(PLURALS)) {
    const spec = kind === 'CronWorkflow' ? { workflowSpec: object.spec } : object.spec;
    await waitFor(
      async () => {
        const answer = await submit(
          { ...object, kind, metadata: { labels: { 'stepmemo.io/enabled': 'true' } }, spec },
          where,
        );
        const text = JSON.stringify(answer);
        return text.includes('stepmemo.io/moved-from') && text.includes('unknown') === (form === 'minimal');
      },
      { what: `a ${kind} to be moved, with the ${form} CRDs`, deadlineMs: 60_000 },
    );
  }
}

/** All of these objects move as the webhook moves them. */
async function compareAll(objects: fc.Arbitrary<JsonObject>): Promise<void> {
  let moved = 0;
  const property = fc.asyncProperty(objects, async (object) => {
    const stored = await submit(object, 'other');
    if (typeof stored === 'number') throw new Error(`${stored} for ${JSON.stringify(object)}`);
    const original = { ...stored, metadata: toSend(object, 'managed').metadata } as JsonObject;
    const answer = (await submit(object, 'managed')) as JsonObject;
    expect(answer.spec).toEqual(movedByWebhook(original).spec);
    if (JSON.stringify(answer).includes('stepmemo.io/moved-from')) moved += 1;
  });
  await fc.assert(property, { numRuns: RUNS });
  // The property says something only where there was something to move.
  expect(moved).toBeGreaterThan(RUNS / 2);
}

describe('the move in the API server', () => {
  beforeAll(async () => {
    admin = await kubeAs('admin');
    namespaces.managed = await createNamespace();
    namespaces.native = await createNamespace({ annotations: { 'stepmemo.io/memoize': 'native' } });
    namespaces.other = await createNamespace({ isEnabled: false });
    namespaces.late = await createNamespace({ isEnabled: false });
    await kubectl('apply', '-f', POLICIES);
    await waitUntilMoving('full');
  });
  afterAll(async () => {
    await installCrds('full');
    await kubectl('delete', '--ignore-not-found', '-f', POLICIES);
  });

  it('does what the webhook does, of all that it knows', () => compareAll(plainObject('complete')), 300_000);

  describe('with the minimal CRDs, which admit anything', () => {
    beforeAll(async () => {
      await installCrds('minimal');
      await waitUntilMoving('minimal');
    });
    afterAll(async () => {
      await installCrds('full');
      await waitUntilMoving('full');
    });

    it('does what the webhook does, of all that it knows', () => compareAll(plainObject('partial')), 300_000);

    it('does what the webhook does, or nothing', async () => {
      const counts = { moved: 0, left: 0, refused: 0 };
      const property = fc.asyncProperty(fc.oneof(oddObject, damagedObject), async (object) => {
        const stored = await submit(object, 'other');
        if (typeof stored === 'number') {
          counts.refused += 1;
          return;
        }
        const answer = (await submit(object, 'managed')) as JsonObject;
        const original = { ...stored, metadata: toSend(object, 'managed').metadata } as JsonObject;
        // The label stepmemo.io/reuse may be obeyed where nothing moves.
        const left = [stored.spec, movedByWebhook(original, 'native').spec];
        const isLeft = left.some((spec) => isDeepStrictEqual(answer.spec, spec));
        counts[isLeft ? 'left' : 'moved'] += 1;
        if (!isLeft) expect(answer.spec).toEqual(movedByWebhook(original).spec);
      });
      await fc.assert(property, { numRuns: RUNS });
      expect(counts.moved).toBeGreaterThan(RUNS / 10);
      expect(counts.refused).toBeLessThan(RUNS / 10);
    }, 300_000);
  });

  it('leaves native namespaces alone, but for the label stepmemo.io/reuse', async () => {
    const object = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', metadata: { name: 'w' }, spec: simple };
    expect(((await submit(object, 'native')) as KubeObject).spec).toEqual(simple);
    const labelled = { ...object, metadata: { labels: { 'stepmemo.io/reuse': 'off' } } };
    expect(((await submit(labelled, 'native')) as KubeObject).spec).toEqual({
      ...simple,
      podMetadata: { annotations: { 'stepmemo.io/reuse': 'off' } },
    });
  });

  it('moves what an update of the spec brings, and nothing for an update of labels', async () => {
    const object = { apiVersion: 'argoproj.io/v1alpha1', kind: 'WorkflowTemplate', metadata: {}, spec: simple };
    const url = urlOf(object, 'late');
    // Stored before its namespace opted in.
    await admin.require('POST', url, { ...object, metadata: { name: 'before' } });
    const optIn = { metadata: { labels: { 'stepmemo.io/enabled': 'true' } } };
    await admin.require('PATCH', `/api/v1/namespaces/${namespaces.late}`, optIn, 'application/merge-patch+json');
    await waitUntilMoving('full', 'late');
    const merge = (patch: object) => admin.require('PATCH', `${url}/before`, patch, 'application/merge-patch+json');
    expect(await merge({ metadata: { labels: { l: '1' } } })).toMatchObject({ spec: simple });
    const updated = await merge({ spec: { entrypoint: 'b' } });
    expect(updated.spec).toEqual(movedByWebhook({ ...object, spec: { ...simple, entrypoint: 'b' } }).spec);
  });

  it('moves 200 templates at once', async () => {
    const templates = Array.from({ length: 200 }, (_, index) => ({ ...step, name: `t${index}`, memoize }));
    const object = {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Workflow',
      metadata: {},
      spec: { ...simple, templates },
    };
    const answer = (await submit(object, 'managed')) as JsonObject;
    expect(answer.spec).toEqual(movedByWebhook(object).spec);
  });
});
