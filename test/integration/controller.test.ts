import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createLog, type Log } from '../../src/base/log.ts';
import {
  CAPTURE_CONTAINER,
  DECISION_ANNOTATION,
  HIT_GATE,
  MISS_GATE,
  OUTPUTS_DIGEST_ANNOTATION,
  REASON_ANNOTATION,
  RESULT_POD_UID_ANNOTATION,
} from '../../src/base/names.ts';
import type { Reason } from '../../src/base/reasons.ts';
import type { CapturePost } from '../../src/capture/types.ts';
import { configSchema } from '../../src/config/config.ts';
import { type Controller, startController } from '../../src/controller/controller.ts';
import type { PlanTiming } from '../../src/controller/facts.ts';
import { type WatchedCluster, watchCluster } from '../../src/informers/watch-cluster.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeObject, type KubeWatchApi, type ObjectPath, RESOURCES } from '../../src/kube/types.ts';
import { digestOf } from '../../src/sidecar/digest.ts';
import { buildPod } from '../support/argo-pod.ts';
import { clusterInfo, createNamespace, kubeAs, kubeAsController, must, type TestKube, waitFor } from './harness.ts';

/*
 * The controller on a real API server, with its own account, rights and admission policies. Pods are made by Argo's account
 * as admission would have left them; there is no node, so nothing runs, and what a kubelet would say the tests say.
 */

const log = createLog(process.env.STEPMEMO_TEST_LOG ?? 'fatal');

let admin: TestKube;
let argo: TestKube;
let namespace: string;
let own: TestKube;
let executor: TestKube;
let kube: KubeWatchApi;
let cluster: WatchedCluster;
const running = new Set<Controller>();
const outcomes: { reason: Reason; pod: string }[] = [];

beforeAll(async () => {
  namespace = await createNamespace();
  [admin, argo, own, executor] = await Promise.all([
    kubeAs('admin'),
    kubeAsController(),
    kubeAs('stepmemo'),
    kubeAs({ namespace, account: 'default' }),
  ]);
  kube = createKubeApi(clusterInfo().serverKubeconfig);
  const config = configSchema.parse({});
  cluster = watchCluster({ kube, config, log });
  cluster.start();
  await cluster.whenSynced();
  await waitFor(() => cluster.namespace(namespace)?.isEnabled, { what: 'the namespace to be known' });
});

afterEach(async () => {
  await Promise.all([...running].map(stop));
});

afterAll(async () => {
  await cluster.stop();
  kube.close();
});

async function start(
  options: {
    kube?: KubeWatchApi;
    config?: object;
    timing?: Partial<PlanTiming>;
    now?: () => number;
    stepsLimitBytes?: number;
    log?: Log;
  } = {},
): Promise<Controller> {
  const controller = startController({
    kube: options.kube ?? kube,
    cluster,
    config: configSchema.parse({ leaderElection: false, resyncSeconds: 1, ...options.config }),
    log: options.log ?? log,
    ...(options.stepsLimitBytes !== undefined && { stepsLimitBytes: options.stepsLimitBytes }),
    ...(options.now && { now: options.now }),
    timing: { hangMs: 1000, holderGraceMs: 1000, resultGraceMs: 500, ...options.timing },
    metrics: { outcome: () => {}, completion: () => {}, setLeader: () => {} },
    recordEvent: ({ reason, regarding }) => outcomes.push({ reason, pod: regarding.name }),
  });
  running.add(controller);
  return controller;
}

async function stop(controller: Controller): Promise<void> {
  running.delete(controller);
  await controller.stop();
}

// ---- what the tests make

let counter = 0;

interface StepParts {
  readonly gates?: readonly string[];
  readonly decision?: string | undefined;
  readonly key?: string;
  readonly cache?: string;
  readonly labels?: Record<string, string>;
  readonly hasSidecar?: boolean;
  readonly version?: string;
  readonly annotations?: Record<string, string>;
  readonly namespace?: string;
  readonly daemon?: boolean;
  readonly isOffloaded?: boolean;
  readonly finalizers?: readonly string[];
  /** An existing Workflow's next attempt. */
  readonly workflow?: KubeObject;
}

interface MadeStep {
  readonly pod: KubeObject;
  readonly workflow: KubeObject;
  readonly path: ObjectPath;
  readonly uid: string;
  readonly nodeId: string;
  readonly resultPath: ObjectPath;
}

/** A step of Argo 4.0.5 with one output parameter, gated unless it says otherwise, and the Workflow that it belongs to. */
async function makeStep(parts: StepParts = {}): Promise<MadeStep> {
  const where = parts.namespace ?? namespace;
  const workflow =
    parts.workflow ??
    must(await admin.create({ resource: RESOURCES.workflows, namespace: where }, workflowOf(`wf-${counter++}`)));
  const pod = must(await argo.create({ resource: RESOURCES.pods, namespace: where }, podOf(workflow, parts)));
  const name = pod.metadata?.name ?? '';
  return {
    pod,
    workflow,
    path: { resource: RESOURCES.pods, namespace: where, name },
    uid: pod.metadata?.uid ?? '',
    nodeId: name,
    resultPath: { resource: RESOURCES.workflowTaskResults, namespace: where, name },
  };
}

/** As the workflow controller keeps it while the step runs. */
function workflowOf(name: string): KubeObject {
  const startedAt = new Date().toISOString();
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { name },
    spec: { entrypoint: 'work', templates: [{ name: 'work', container: { image: 'none' } }] },
    status: {
      phase: 'Running',
      startedAt,
      nodes: { [name]: { id: name, name, type: 'Pod', phase: 'Pending', startedAt } },
    },
  };
}

const TEMPLATE = {
  name: 'work',
  outputs: { parameters: [{ name: 'text', valueFrom: { path: '/tmp/text' } }] },
  container: { name: '', image: 'none' },
};

function podOf(workflow: KubeObject, parts: StepParts): KubeObject {
  const { gates = [HIT_GATE], decision = 'hit', key = 'key', cache = 'cache', version = '4.0.5' } = parts;
  const name = workflow.metadata?.name ?? '';
  const pod = buildPod({
    name,
    workflow: name,
    workflowUid: workflow.metadata?.uid ?? '',
    nodeId: name,
    template: { ...TEMPLATE, ...(parts.daemon === true && { daemon: true }) },
    executor: `argoexec:${version}`,
    isOffloaded: parts.isOffloaded === true,
    labels: { ...parts.labels },
    annotations: {
      'stepmemo.io/key': key,
      'stepmemo.io/cache': cache,
      ...(decision !== '' && { [DECISION_ANNOTATION]: decision, [REASON_ANNOTATION]: 'fresh-entry' }),
      ...parts.annotations,
    },
  });
  const { namespace: _, ...metadata } = pod.metadata;
  const sidecar = parts.hasSidecar === true ? [{ name: CAPTURE_CONTAINER, image: 'stepmemo:local' }] : [];
  return {
    ...pod,
    metadata: { ...metadata, ...(parts.finalizers && { finalizers: parts.finalizers }) },
    spec: {
      ...pod.spec,
      schedulingGates: gates.map((gate) => ({ name: gate })),
      containers: [...(pod.spec.containers as readonly object[]), ...sidecar],
    },
  };
}

async function putEntry(key: string, value: string, cache = 'cache'): Promise<void> {
  const now = new Date().toISOString().replace(/\.\d+Z/, 'Z');
  const entry = {
    nodeID: 'earlier',
    outputs: { parameters: [{ name: 'text', value, valueFrom: { path: '/elsewhere' } }], exitCode: '0' },
    creationTimestamp: now,
    lastHitTimestamp: now,
  };
  const path = { resource: RESOURCES.configMaps, namespace, name: cache };
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: cache, labels: { 'workflows.argoproj.io/configmap-type': 'Cache' } },
    data: { [key]: JSON.stringify(entry) },
  };
  const created = await admin.create({ resource: RESOURCES.configMaps, namespace }, body);
  if (!created.ok) must(await admin.merge(path, { data: body.data }));
  await waitFor(() => cluster.lookUp(namespace, cache, key).found === 'entry', { what: 'the entry to be known' });
}

async function dropEntry(key: string, cache = 'cache'): Promise<void> {
  must(await admin.merge({ resource: RESOURCES.configMaps, namespace, name: cache }, { data: { [key]: null } }));
}

interface PodObject extends KubeObject {
  readonly spec: { readonly schedulingGates?: readonly { readonly name: string }[] };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses: readonly {
      readonly name: string;
      readonly state: { readonly terminated?: Readonly<Record<string, unknown>> };
    }[];
    readonly initContainerStatuses?: unknown;
  };
}

const read = async (path: ObjectPath): Promise<KubeObject> => must(await admin.get(path));
const readPod = async (step: MadeStep): Promise<PodObject> => (await read(step.path)) as PodObject;
const phaseOf = async (step: MadeStep): Promise<string> => (await readPod(step)).status.phase;
const annotationsOf = async (step: MadeStep) => (await read(step.path)).metadata?.annotations ?? {};
const gatesOf = async (step: MadeStep): Promise<string[]> =>
  ((await readPod(step)).spec.schedulingGates ?? []).map((gate) => gate.name);
const isGone = async (path: ObjectPath): Promise<boolean> => {
  const answer = await admin.get(path);
  return !answer.ok && answer.status === 404;
};
const untilSucceeded = (step: MadeStep) =>
  waitFor(async () => (await phaseOf(step)) === 'Succeeded', { what: 'the pod to be Succeeded' });
const untilReleased = (step: MadeStep) =>
  waitFor(async () => (await gatesOf(step)).length === 0, { what: 'the gate to be gone', deadlineMs: 30_000 });

describe('a hit', () => {
  test('ends as Succeeded, with the outputs of the entry in a task result of Argo’s form', async () => {
    const key = 'plain';
    await putEntry(key, 'from the cache');
    await start();
    const step = await makeStep({ key });
    await untilSucceeded(step);
    const pod = await readPod(step);
    expect(pod.status.containerStatuses.map((status) => status.name)).toEqual(['wait', 'main']);
    for (const { state } of pod.status.containerStatuses) {
      expect(state.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
      expect(state.terminated?.startedAt).toBe(state.terminated?.finishedAt);
    }
    expect(pod.status.initContainerStatuses).toBeUndefined();
    const result = await read(step.resultPath);
    expect(result.metadata?.labels).toEqual({
      'workflows.argoproj.io/workflow': step.nodeId,
      'workflows.argoproj.io/report-outputs-completed': 'true',
    });
    expect(result.metadata?.annotations).toEqual({ [RESULT_POD_UID_ANNOTATION]: step.uid });
    expect(result.metadata?.ownerReferences).toEqual([
      {
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Workflow',
        name: step.nodeId,
        uid: step.workflow.metadata?.uid,
      },
    ]);
    expect(result.outputs).toEqual({
      parameters: [{ name: 'text', value: 'from the cache', valueFrom: { path: '/tmp/text' } }],
      exitCode: '0',
    });
    await waitFor(() => outcomes.some(({ reason, pod }) => reason === 'completed' && pod === step.path.name), {
      what: 'the outcome to be told',
    });
  });

  test('carries the instance id exactly when the pod does', async () => {
    await putEntry('instance', 'x');
    await start();
    const step = await makeStep({ key: 'instance', labels: { 'workflows.argoproj.io/controller-instanceid': 'one' } });
    await untilSucceeded(step);
    expect((await read(step.resultPath)).metadata?.labels?.['workflows.argoproj.io/controller-instanceid']).toBe('one');
  });

  test('made while nobody led is completed by whoever starts', async () => {
    await putEntry('late', 'x');
    const step = await makeStep({ key: 'late' });
    await start();
    await untilSucceeded(step);
  });

  test('of a version that may see the pod before the result waits until the Workflow shows the outputs', async () => {
    await putEntry('race', 'x');
    await start({ config: { taskResultWaitMs: 60_000 } });
    const step = await makeStep({ key: 'race', version: 'v3.6.10' });
    await waitFor(async () => !(await isGone(step.resultPath)), { what: 'the result to be there' });
    expect(await phaseOf(step)).toBe('Pending');
    const path = { resource: RESOURCES.workflows, namespace, name: step.nodeId };
    must(
      await admin.merge(path, {
        status: {
          nodes: {
            [step.nodeId]: {
              id: step.nodeId,
              name: step.nodeId,
              displayName: '',
              templateName: 'work',
              type: 'Pod',
              phase: 'Pending',
              outputs: { exitCode: '0' },
            },
          },
        },
      }),
    );
    await untilSucceeded(step);
  });

  test('of such a version ends after the time that is given, if the Workflow shows nothing', async () => {
    await putEntry('race-blind', 'x');
    await start({ config: { taskResultWaitMs: 700 } });
    const step = await makeStep({ key: 'race-blind', version: 'v3.4.17' });
    await untilSucceeded(step);
  });
});

/** A client that dies at its n-th call, before or after that call is carried out, and answers nothing from then on. */
function dyingAt(n: number, moment: 'before' | 'after'): KubeWatchApi & { hasDied: () => boolean } {
  let calls = 0;
  const lost = { ok: false, status: 0, reason: 'Crash', message: 'the process is gone' } as const;
  const through = async <T>(call: () => Promise<T>): Promise<T | typeof lost> => {
    calls += 1;
    if (calls > n || (calls === n && moment === 'before')) return lost;
    const answer = await call();
    return calls >= n && moment === 'after' ? lost : answer;
  };
  return {
    get: (...args) => through(() => kube.get(...args)),
    create: (...args) => through(() => kube.create(...args)),
    patch: (...args) => through(() => kube.patch(...args)),
    remove: (...args) => through(() => kube.remove(...args)),
    list: (...args) => kube.list(...args),
    listPage: (...args) => kube.listPage(...args),
    watch: (...args) => kube.watch(...args),
    close: () => {},
    hasDied: () => calls >= n,
  };
}

async function executorReports(step: MadeStep, value: string, isComplete = true): Promise<void> {
  must(
    await executor.create(
      { resource: RESOURCES.workflowTaskResults, namespace },
      {
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'WorkflowTaskResult',
        metadata: {
          name: step.nodeId,
          labels: {
            'workflows.argoproj.io/workflow': step.nodeId,
            'workflows.argoproj.io/report-outputs-completed': String(isComplete),
          },
          ownerReferences: [
            {
              apiVersion: 'argoproj.io/v1alpha1',
              kind: 'Workflow',
              name: step.nodeId,
              uid: step.workflow.metadata?.uid ?? '',
            },
          ],
        },
        outputs: { parameters: [{ name: 'text', value, valueFrom: { path: '/tmp/text' } }] },
        progress: '1/2',
      },
    ),
  );
}

describe('a crash', () => {
  // Calls of one hit: read the cache, make the result, end the pod.
  test.each(
    [1, 2, 3].flatMap((n) => [
      { n, moment: 'before' as const },
      { n, moment: 'after' as const },
    ]),
  )('$moment call $n is made good by the next leader', async ({ n, moment }) => {
    const key = `crash-${n}-${moment}`;
    await putEntry(key, key);
    const dying = dyingAt(n, moment);
    const first = await start({ kube: dying });
    const step = await makeStep({ key });
    await waitFor(() => dying.hasDied(), { what: 'the crash' });
    await stop(first);
    await start();
    await untilSucceeded(step);
    expect((await read(step.resultPath)).outputs).toMatchObject({ parameters: [{ name: 'text', value: key }] });
  });

  test('after the result was made goes forward with it though the entry is gone', async () => {
    await putEntry('forward', 'made before the crash');
    const dying = dyingAt(2, 'after');
    const first = await start({ kube: dying });
    const step = await makeStep({ key: 'forward' });
    await waitFor(() => dying.hasDied(), { what: 'the crash' });
    await stop(first);
    await dropEntry('forward');
    await start();
    await untilSucceeded(step);
    expect((await read(step.resultPath)).outputs).toMatchObject({ parameters: [{ value: 'made before the crash' }] });
  });

  test('after the result was made brings it up to date with an entry that has changed', async () => {
    await putEntry('changed', 'old');
    const dying = dyingAt(2, 'after');
    const first = await start({ kube: dying });
    const step = await makeStep({ key: 'changed' });
    await waitFor(() => dying.hasDied(), { what: 'the crash' });
    await stop(first);
    await putEntry('changed', 'new');
    await start();
    await untilSucceeded(step);
    expect((await read(step.resultPath)).outputs).toMatchObject({ parameters: [{ value: 'new' }] });
  });

  test('leaves no result behind for the pod that Argo makes anew', async () => {
    await putEntry('orphan', 'x');
    const dying = dyingAt(2, 'after');
    const first = await start({ kube: dying });
    const step = await makeStep({ key: 'orphan' });
    await waitFor(() => dying.hasDied(), { what: 'the crash' });
    await stop(first);
    must(await admin.remove(step.path));
    await start();
    await waitFor(() => isGone(step.resultPath), { what: 'the result to be gone' });
  });

  test('of nobody: a result whose pod is deleted goes with it', async () => {
    await putEntry('deleted-early', 'x');
    await start({ config: { taskResultWaitMs: 60_000 } });
    const step = await makeStep({ key: 'deleted-early', version: 'v3.6.10' });
    await waitFor(async () => !(await isGone(step.resultPath)), { what: 'the result to be there' });
    must(await admin.remove(step.path));
    await waitFor(() => isGone(step.resultPath), { what: 'the result to be gone' });
  });

  test('of the watch (410, events lost) is made good by listing again', async () => {
    await putEntry('expired-watch', 'x');
    let expired = 0;
    const forgetful: KubeWatchApi = {
      ...dyingAt(Number.POSITIVE_INFINITY, 'before'),
      watch: async (scope, options, onEvent) => {
        if (expired >= 6 || scope.resource.resource !== 'pods') return kube.watch(scope, options, onEvent);
        expired += 1;
        return { ok: false, status: 410, reason: 'Expired', message: 'too old resource version' };
      },
    };
    await start({ kube: forgetful });
    const step = await makeStep({ key: 'expired-watch' });
    await untilSucceeded(step);
    expect(expired).toBeGreaterThan(0);
  });
});

describe('a task result that is there already', () => {
  test('of an earlier attempt’s executor is made ours, with nothing left of it', async () => {
    await putEntry('foreign', 'from the cache');
    const step = await makeStep({ key: 'foreign' });
    await executorReports(step, 'stale', false);
    await start();
    await untilSucceeded(step);
    const result = await read(step.resultPath);
    expect(result.metadata?.annotations).toEqual({ [RESULT_POD_UID_ANNOTATION]: step.uid });
    expect(result.metadata?.labels?.['workflows.argoproj.io/report-outputs-completed']).toBe('true');
    expect(result.outputs).toMatchObject({ parameters: [{ value: 'from the cache' }] });
    expect(result.progress).toBeUndefined();
  });

  test('made for a pod of before is made this pod’s', async () => {
    await putEntry('other-uid', 'from the cache');
    const step = await makeStep({ key: 'other-uid' });
    must(
      await own.create(
        { resource: RESOURCES.workflowTaskResults, namespace },
        {
          apiVersion: 'argoproj.io/v1alpha1',
          kind: 'WorkflowTaskResult',
          metadata: {
            name: step.nodeId,
            labels: { 'workflows.argoproj.io/workflow': step.nodeId },
            annotations: { [RESULT_POD_UID_ANNOTATION]: 'another' },
          },
          outputs: { result: 'stale' },
        },
      ),
    );
    await start();
    await untilSucceeded(step);
    const result = await read(step.resultPath);
    expect(result.metadata?.annotations).toEqual({ [RESULT_POD_UID_ANNOTATION]: step.uid });
    expect(result.outputs).not.toHaveProperty('result');
  });

  test('for a pod that runs after all is taken from under it', async () => {
    const step = await makeStep({ key: 'stray', gates: [], decision: 'miss' });
    must(
      await own.create(
        { resource: RESOURCES.workflowTaskResults, namespace },
        {
          apiVersion: 'argoproj.io/v1alpha1',
          kind: 'WorkflowTaskResult',
          metadata: {
            name: step.nodeId,
            labels: { 'workflows.argoproj.io/workflow': step.nodeId },
            annotations: { [RESULT_POD_UID_ANNOTATION]: step.uid },
          },
        },
      ),
    );
    await start();
    await waitFor(() => isGone(step.resultPath), { what: 'the result to be gone' });
  });
});

describe('a gated pod that is no hit', () => {
  test('any more runs, to be captured as a miss', async () => {
    await start();
    const step = await makeStep({ key: 'no-such-entry' });
    await untilReleased(step);
    expect(await annotationsOf(step)).toMatchObject({ [DECISION_ANNOTATION]: 'miss', [REASON_ANNOTATION]: 'no-entry' });
    expect(await phaseOf(step)).toBe('Pending');
    expect(await isGone(step.resultPath)).toBe(true);
  });

  test.each([
    { what: 'without a decision', parts: { decision: '' }, reason: 'gate-unknown' },
    { what: 'decided as a miss', parts: { decision: 'miss' }, reason: 'gate-unknown' },
    { what: 'with the gate of coalescing', parts: { gates: [MISS_GATE] }, reason: 'gate-unknown' },
    { what: 'with both gates', parts: { gates: [HIT_GATE, MISS_GATE] }, reason: 'gate-unknown' },
    {
      what: 'that claims another node',
      parts: { annotations: { 'workflows.argoproj.io/node-id': 'other-1234' } },
      reason: 'identity-mismatch',
    },
    { what: 'of a daemon', parts: { daemon: true }, reason: 'daemon' },
  ])('$what is let go and never completed', async ({ parts, reason }) => {
    await putEntry('forged', 'x');
    await start();
    const step = await makeStep({ key: 'forged', ...parts });
    await untilReleased(step);
    expect(await annotationsOf(step)).toMatchObject({ [DECISION_ANNOTATION]: 'skip', [REASON_ANNOTATION]: reason });
    expect(await phaseOf(step)).toBe('Pending');
    expect(await isGone(step.resultPath)).toBe(true);
  });

  test('in a namespace that has not opted in is let go', async () => {
    const elsewhere = await createNamespace({ isEnabled: false });
    await start();
    const step = await makeStep({ namespace: elsewhere, key: 'forged' });
    await untilReleased(step);
    expect((await annotationsOf(step))[REASON_ANNOTATION]).toBe('namespace-not-enabled');
  });

  test('whose Workflow is gone is deleted', async () => {
    const step = await makeStep({ key: 'nobody' });
    must(await admin.remove({ resource: RESOURCES.workflows, namespace, name: step.nodeId }));
    await start();
    await waitFor(() => isGone(step.path), { what: 'the pod to be gone' });
  });

  test('that Argo has given up is deleted, and its result with it', async () => {
    await putEntry('given-up', 'x');
    const dying = dyingAt(2, 'after');
    const first = await start({ kube: dying });
    const step = await makeStep({ key: 'given-up' });
    await waitFor(() => dying.hasDied(), { what: 'the crash' });
    await stop(first);
    must(await admin.merge(step.path, { metadata: { labels: { 'workflows.argoproj.io/completed': 'true' } } }));
    await start();
    await waitFor(() => isGone(step.path), { what: 'the pod to be gone' });
    expect(await isGone(step.resultPath)).toBe(true);
  });

  test('and is being deleted is left to the API server', async () => {
    await putEntry('deleted', 'x');
    const step = await makeStep({ key: 'deleted', finalizers: ['test.stepmemo.io/hold'] });
    must(await admin.remove(step.path));
    const controller = await start();
    await waitFor(() => controller.isSynced, { what: 'the watches' });
    const other = await makeStep({ key: 'deleted' });
    await untilSucceeded(other);
    expect(await phaseOf(step)).toBe('Pending');
    must(await admin.merge(step.path, { metadata: { finalizers: null } }));
    await waitFor(() => isGone(step.path), { what: 'the pod to be gone' });
  });
});

describe('an API server that refuses', () => {
  /** Refuses some writes, again and again. */
  const refusing = (isRefused: (verb: string, resource: string) => boolean): KubeWatchApi => {
    const refusal = { ok: false, status: 403, reason: 'Forbidden', message: 'refused' } as const;
    return {
      ...dyingAt(Number.POSITIVE_INFINITY, 'before'),
      create: async (path, body) => (isRefused('create', path.resource.resource) ? refusal : kube.create(path, body)),
      patch: async (path, patch, subresource) =>
        isRefused(`patch${subresource ?? ''}`, path.resource.resource) ? refusal : kube.patch(path, patch, subresource),
      remove: async (path, preconditions) =>
        isRefused('remove', path.resource.resource) ? refusal : kube.remove(path, preconditions),
    };
  };
  /** A clock on which every second is ten. */
  const hasty = () => {
    const startMs = Date.now();
    return () => startMs + (Date.now() - startMs) * 10;
  };

  test.each([
    { what: 'the task result', refused: ['create workflowtaskresults'], hasResult: false },
    { what: 'the status', refused: ['patchstatus pods'], hasResult: false },
    {
      what: 'the status, and to delete the result',
      refused: ['patchstatus pods', 'remove workflowtaskresults'],
      hasResult: true,
    },
  ])('$what keeps no pod: it runs', async ({ refused, hasResult }) => {
    await putEntry('refused-write', 'x');
    const stubborn = refusing((verb, resource) => refused.includes(`${verb} ${resource}`));
    await start({ kube: stubborn, now: hasty() });
    const step = await makeStep({ key: 'refused-write' });
    await untilReleased(step);
    expect(await annotationsOf(step)).toMatchObject({
      [DECISION_ANNOTATION]: 'skip',
      [REASON_ANNOTATION]: 'internal-error',
    });
    expect(await isGone(step.resultPath)).toBe(!hasResult);
  });

  test('a note on a released pod keeps it no longer: the gate alone goes', async () => {
    const strict: KubeWatchApi = {
      ...dyingAt(Number.POSITIVE_INFINITY, 'before'),
      patch: async (path, patch, subresource) =>
        patch.some((operation) => operation.path.startsWith('/metadata/annotations'))
          ? { ok: false, status: 422, reason: 'Invalid', message: "refused by somebody's policy" }
          : kube.patch(path, patch, subresource),
    };
    await start({ kube: strict });
    const step = await makeStep({ key: 'refused-note' });
    await waitFor(async () => (await gatesOf(step)).length === 0, { what: 'the gate to be gone' });
    expect(await annotationsOf(step)).toMatchObject({ [DECISION_ANNOTATION]: 'hit' });
  });
});

describe('beside a foreign gate', () => {
  test('a hit waits until it stands alone', async () => {
    await putEntry('foreign-gate', 'x');
    await start();
    const step = await makeStep({ key: 'foreign-gate', gates: ['kueue.x-k8s.io/admission', HIT_GATE] });
    const other = await makeStep({ key: 'foreign-gate' });
    await untilSucceeded(other);
    expect(await gatesOf(step)).toEqual(['kueue.x-k8s.io/admission', HIT_GATE]);
    expect(await phaseOf(step)).toBe('Pending');
    must(await admin.patch(step.path, [{ op: 'remove', path: '/spec/schedulingGates/0' }]));
    await untilSucceeded(step);
  });

  test('a pod that is no hit loses our gate and keeps the other', async () => {
    await start();
    const step = await makeStep({ key: 'no-such-entry', gates: [HIT_GATE, 'kueue.x-k8s.io/admission'] });
    await waitFor(async () => (await gatesOf(step)).length === 1, { what: 'our gate to be gone' });
    expect(await gatesOf(step)).toEqual(['kueue.x-k8s.io/admission']);
  });
});

// ---- what a kubelet would say

type State = 'running' | { readonly exitCode: number; readonly message?: string } | { readonly waiting: string };

/** Sets the status of a pod without a gate, containers in the order of the spec; those that ended did so `secondsAgo`. */
async function setStatus(
  step: MadeStep,
  phase: string,
  states: Readonly<Record<string, State>>,
  secondsAgo = 0,
): Promise<void> {
  const at = new Date(Date.now() - secondsAgo * 1000).toISOString().replace(/\.\d+Z/, 'Z');
  const stateOf = (state: State): object => {
    if (state === 'running') return { running: { startedAt: at } };
    if ('waiting' in state) return { waiting: { reason: state.waiting } };
    return { terminated: { ...state, startedAt: at, finishedAt: at } };
  };
  const containerStatuses = Object.entries(states).map(([name, state]) => ({
    name,
    image: 'none',
    imageID: '',
    ready: false,
    restartCount: 0,
    state: stateOf(state),
  }));
  must(await admin.merge(step.path, { status: { phase, containerStatuses } }, 'status'));
}

const ENDED = { wait: { exitCode: 0 }, main: { exitCode: 0 } };
const makeMiss = (parts: StepParts = {}) => makeStep({ gates: [], decision: 'miss', hasSidecar: true, ...parts });

async function entryOf(key: string, cache = 'cache'): Promise<string | undefined> {
  const answer = await admin.get({ resource: RESOURCES.configMaps, namespace, name: cache });
  const text = answer.ok ? (answer.value.data as Record<string, string> | undefined)?.[key] : undefined;
  if (text === undefined) return undefined;
  return (JSON.parse(text) as { outputs: { parameters: { value: string }[] } }).outputs.parameters[0]?.value;
}

const untilEntry = (key: string, value: string) =>
  waitFor(async () => (await entryOf(key)) === value, { what: `the entry of ${key}`, deadlineMs: 25_000 });
const untilTold = (step: MadeStep, reason: Reason) =>
  waitFor(() => outcomes.some((told) => told.reason === reason && told.pod === step.path.name), {
    what: `${reason} to be told`,
    deadlineMs: 25_000,
  });

function post(controller: Controller, step: MadeStep, value: string, overrides: Partial<CapturePost> = {}) {
  return controller.accept({
    namespace,
    podName: step.nodeId,
    podUid: step.uid,
    account: `system:serviceaccount:${namespace}:default`,
    captured: { parameters: [{ name: 'text', value }] },
    sizeBytes: 100,
    ...overrides,
  });
}

describe('calls of the API server', () => {
  /** Notes each call, as docs/performance.md has them. */
  function noting(): { calls: string[]; noted: KubeWatchApi } {
    const calls: string[] = [];
    const note = (verb: string, path: Partial<ObjectPath>, subresource = '') => {
      calls.push(`${verb} ${path.resource?.resource}${subresource === '' ? '' : `/${subresource}`}`);
    };
    const noted: KubeWatchApi = {
      ...dyingAt(Number.POSITIVE_INFINITY, 'before'),
      get: (path) => {
        note('get', path);
        return kube.get(path);
      },
      create: (path, body) => {
        note('create', path);
        return kube.create(path, body);
      },
      patch: (path, patch, subresource) => {
        note('patch', path, subresource);
        return kube.patch(path, patch, subresource);
      },
    };
    return { calls, noted };
  }

  test('are three for a hit', async () => {
    const { calls, noted } = noting();
    await putEntry('counted', 'from the cache', 'counted-hits');
    await start({ kube: noted });
    await untilSucceeded(await makeStep({ key: 'counted', cache: 'counted-hits' }));
    expect(calls).toEqual(['get configmaps', 'create workflowtaskresults', 'patch pods/status']);
  });

  test('are four for a capture, beside the review of its token', async () => {
    const { calls, noted } = noting();
    const controller = await start({ kube: noted });
    const step = await makeMiss({ key: 'counted', cache: 'counted-misses' });
    await post(controller, step, 'x');
    await executorReports(step, 'x');
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilTold(step, 'captured');
    expect(calls.filter((call) => call !== 'get pods')).toEqual([
      'patch pods',
      'get workflows',
      'get configmaps',
      'create configmaps',
    ]);
  });
});

describe('outputs that a sidecar posts', () => {
  test('become the entry once the pod has ended well', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'posted' });
    await setStatus(step, 'Running', { wait: 'running', main: 'running', [CAPTURE_CONTAINER]: 'running' });
    expect(await post(controller, step, 'value')).toMatchObject({ status: 200 });
    expect((await annotationsOf(step))[OUTPUTS_DIGEST_ANNOTATION]).toBe(
      digestOf({ parameters: [{ name: 'text', value: 'value' }] }),
    );
    await executorReports(step, 'value');
    expect(await entryOf('posted')).toBeUndefined();
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilEntry('posted', 'value');
    await untilTold(step, 'captured');
  });

  test('of a pod that was seen by nobody yet are taken too, and only once', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'once' });
    expect(await post(controller, step, 'first')).toMatchObject({ status: 200 });
    expect(await post(controller, step, 'first')).toMatchObject({ status: 200 });
    expect(await post(controller, step, 'second')).toMatchObject({ status: 409 });
    // Another replica has nothing in memory: the pod itself tells.
    const other = await start({ config: { leaderElection: true, leaseDurationMs: 1000 } });
    expect(await post(other, step, 'second')).toMatchObject({ status: 409 });
    expect(await post(other, step, 'first')).toMatchObject({ status: 200 });
  });

  test('at two replicas at once are taken by one of them', async () => {
    const config = { leaderElection: true };
    const [one, two] = [await start({ config }), await start({ config })];
    const step = await makeMiss({ key: 'at-once' });
    await waitFor(() => one.isSynced && two.isSynced, { what: 'the watches' });
    const answers = await Promise.all([post(one, step, 'one'), post(two, step, 'two')]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
  });

  test.each([
    { what: 'another account', parts: {}, overrides: { account: 'system:serviceaccount:x:default' }, status: 403 },
    { what: 'another pod of that name', parts: {}, overrides: { podUid: 'other' }, status: 404 },
    { what: 'a pod without our decision', parts: { decision: '' }, overrides: {}, status: 403 },
    { what: 'a pod without our container', parts: { hasSidecar: false }, overrides: {}, status: 403 },
    { what: 'more than one pod may send', parts: {}, overrides: { sizeBytes: 5000 }, status: 413 },
    { what: 'more than a namespace may have', parts: {}, overrides: { sizeBytes: 4000 }, status: 429 },
  ])('from $what are refused with $status', async ({ parts, overrides, status }) => {
    const controller = await start({ config: { captureLimitBytes: 4500, captureNamespaceLimitBytes: 3000 } });
    const step = await makeMiss({ key: 'refused', ...parts });
    expect(await post(controller, step, 'x', overrides)).toMatchObject({ status });
    expect((await annotationsOf(step))[OUTPUTS_DIGEST_ANNOTATION]).toBeUndefined();
  });

  test('of a step that failed become nothing', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'failed' });
    await post(controller, step, 'half');
    await executorReports(step, 'half');
    await setStatus(step, 'Failed', { ...ENDED, main: { exitCode: 1 }, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilTold(step, 'step-failed');
    expect(await entryOf('failed')).toBeUndefined();
  });

  test('of a step that was stopped become nothing, though it ended with 0', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'stopped' });
    await post(controller, step, 'half');
    await executorReports(step, 'half');
    must(
      await admin.merge(
        { resource: RESOURCES.workflows, namespace, name: step.nodeId },
        { spec: { shutdown: 'Terminate' } },
      ),
    );
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilTold(step, 'step-failed');
    expect(await entryOf('stopped')).toBeUndefined();
  });

  test.each<{ what: string; change: object; reason: Reason }>([
    {
      what: 'whose workflow had reached its deadline',
      change: { spec: { activeDeadlineSeconds: 1 }, status: { startedAt: '2026-01-01T00:00:00Z' } },
      reason: 'step-failed',
    },
    { what: 'whose workflow was given up', change: { status: { phase: 'Failed' } }, reason: 'step-failed' },
    {
      what: 'that Argo takes as failed in packed nodes',
      change: { status: { nodes: null, compressedNodes: 'PACKED' } },
      reason: 'step-failed',
    },
  ])('of a step $what become nothing, though it ended with 0', async ({ change, reason }) => {
    const controller = await start();
    const key = `half-${counter}`;
    const step = await makeMiss({ key });
    await post(controller, step, 'half');
    await executorReports(step, 'half');
    const packed = gzipSync(JSON.stringify({ [step.nodeId]: { phase: 'Failed' } })).toString('base64');
    const said = JSON.parse(JSON.stringify(change).replace('PACKED', packed)) as object;
    must(await admin.merge({ resource: RESOURCES.workflows, namespace, name: step.nodeId }, said));
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilTold(step, reason);
    expect(await entryOf(key)).toBeUndefined();
  });

  test('of a step whose Workflow is gone become nothing', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'gone' });
    await post(controller, step, 'half');
    await executorReports(step, 'half');
    must(await admin.remove({ resource: RESOURCES.workflows, namespace, name: step.nodeId }));
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilTold(step, 'workflow-gone');
    expect(await entryOf('gone')).toBeUndefined();
  });

  test('of a step that Argo knows nothing of yet wait for its word', async () => {
    let looks = 0;
    const counting: KubeWatchApi = {
      ...dyingAt(Number.POSITIVE_INFINITY, 'before'),
      get: (path) => {
        if (path.resource === RESOURCES.workflows) looks += 1;
        return kube.get(path);
      },
    };
    const controller = await start({ kube: counting });
    const step = await makeMiss({ key: 'later' });
    const path = { resource: RESOURCES.workflows, namespace, name: step.nodeId };
    must(await admin.merge(path, { status: { nodes: { [step.nodeId]: null } } }));
    await post(controller, step, 'whole');
    await executorReports(step, 'whole');
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await waitFor(() => looks > 1, { what: 'the Workflow to be looked at twice' });
    expect(await entryOf('later')).toBeUndefined();
    must(
      await admin.merge(path, {
        status: { nodes: { [step.nodeId]: { id: step.nodeId, name: 'n', type: 'Pod', phase: 'Succeeded' } } },
      }),
    );
    await waitFor(() => entryOf('later'), { what: 'the entry' });
  });

  test('for a cache that others contend for keep no hit waiting', async () => {
    const contended: KubeWatchApi = {
      ...dyingAt(Number.POSITIVE_INFINITY, 'before'),
      patch: async (path, patch, subresource) =>
        path.name === 'contended'
          ? { ok: false, status: 409, reason: 'Conflict', message: 'the object has been modified' }
          : kube.patch(path, patch, subresource),
    };
    await putEntry('first', 'x', 'contended');
    await putEntry('unhurried', 'from the cache');
    const controller = await start({ kube: contended });
    // More than are worked on at a time.
    const misses = await Promise.all(
      Array.from({ length: 20 }, (_, index) => makeMiss({ key: `contended-${index}`, cache: 'contended' })),
    );
    await Promise.all(
      misses.map(async (step) => {
        await post(controller, step, 'x');
        await executorReports(step, 'x');
        await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
      }),
    );
    await untilSucceeded(await makeStep({ key: 'unhurried' }));
    const told = (step: MadeStep) => outcomes.filter(({ pod }) => pod === step.path.name).map(({ reason }) => reason);
    expect(misses.map(told)).toEqual(misses.map(() => []));
    for (const step of misses) await untilTold(step, 'write-failed');
  });

  test('that the task result contradicts become nothing', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'contradicted' });
    await post(controller, step, 'value');
    await executorReports(step, 'forged');
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilTold(step, 'capture-mismatch');
    expect(await entryOf('contradicted')).toBeUndefined();
  });

  test('survive the deletion of the task result, which Argo does when the workflow ends', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'deleted-result' });
    await post(controller, step, 'value');
    await executorReports(step, 'value');
    await setStatus(step, 'Running', { ...ENDED, [CAPTURE_CONTAINER]: 'running' });
    must(await admin.remove(step.resultPath));
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    must(await admin.merge(step.path, { metadata: { labels: { 'workflows.argoproj.io/completed': 'true' } } }));
    await untilEntry('deleted-result', 'value');
  });

  test('held by a replica that is gone are taken from the task result, if that matches', async () => {
    const first = await start();
    const [good, bad] = [await makeMiss({ key: 'matching' }), await makeMiss({ key: 'not-matching' })];
    await Promise.all([post(first, good, 'value'), post(first, bad, 'value')]);
    await stop(first);
    await executorReports(good, 'value');
    await executorReports(bad, 'forged');
    for (const step of [good, bad]) {
      await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } }, 12);
      must(await admin.merge(step.path, { metadata: { labels: { 'workflows.argoproj.io/completed': 'true' } } }));
    }
    await start();
    await untilEntry('matching', 'value');
    await untilTold(bad, 'capture-mismatch');
    expect(await entryOf('not-matching')).toBeUndefined();
  });

  test('that nobody took are taken from the task result, if that matches the last word of the sidecar', async () => {
    await start();
    const [good, bad] = [await makeMiss({ key: 'word-matches' }), await makeMiss({ key: 'word-differs' })];
    await executorReports(good, 'value');
    await executorReports(bad, 'forged');
    const message = digestOf({ parameters: [{ name: 'text', value: 'value' }] });
    for (const step of [good, bad])
      await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0, message } });
    await untilEntry('word-matches', 'value');
    await untilTold(bad, 'capture-mismatch');
    expect(await entryOf('word-differs')).toBeUndefined();
  });

  test('are not written again by the next leader', async () => {
    const controller = await start();
    const step = await makeMiss({ key: 'twice' });
    await post(controller, step, 'value');
    await executorReports(step, 'value');
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } }, 12);
    await untilEntry('twice', 'value');
    await stop(controller);
    const { resourceVersion } =
      (await read({ resource: RESOURCES.configMaps, namespace, name: 'cache' })).metadata ?? {};
    const told = outcomes.filter(({ pod }) => pod === step.nodeId).length;
    await start();
    // What is done to this one was done to the other before.
    const later = await makeMiss({ key: 'twice-later', cache: 'other-cache', hasSidecar: false });
    await executorReports(later, 'x');
    await setStatus(later, 'Succeeded', ENDED);
    await untilTold(later, 'captured');
    const after = await read({ resource: RESOURCES.configMaps, namespace, name: 'cache' });
    expect(after.metadata?.resourceVersion).toBe(resourceVersion);
    expect(outcomes.filter(({ pod }) => pod === step.nodeId)).toHaveLength(told);
  });
});

describe('an entry that was deleted', () => {
  test('stays away, though its pod is still remembered by a leader that never wrote it', async () => {
    const settled = new Set<unknown>();
    const write = (line: string): void => {
      const { action, pod } = JSON.parse(line) as { action?: string; pod?: string };
      if (action === 'settle') settled.add(pod);
    };
    const timing = { holderGraceMs: 10_000 };
    const leader = await start({ timing, log: pino({ level: 'debug' }, { write }) });
    const holder = await start({ config: { leaderElection: true, ownNamespace: 'nowhere' } });
    await waitFor(() => leader.isSynced && holder.isSynced, { what: 'both replicas' });
    const step = await makeMiss({ key: 'purged', cache: 'purged-cache' });
    await post(holder, step, 'value');
    await executorReports(step, 'value');
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await waitFor(async () => (await entryOf('purged', 'purged-cache')) === 'value', { what: 'the entry' });
    // The leader looks once a second while it waits for the holder.
    await waitFor(() => settled.has(step.path.name), { what: 'the leader to have seen the entry' });
    await dropEntry('purged', 'purged-cache');
    const later = await makeMiss({ key: 'purged-later', cache: 'purged-cache', hasSidecar: false });
    await executorReports(later, 'x');
    await setStatus(later, 'Succeeded', ENDED);
    await untilTold(later, 'captured');
    expect(await entryOf('purged', 'purged-cache')).toBeUndefined();
  });
});

describe('a pod of which there is no memory for anything', () => {
  test('ends as a hit like any other', async () => {
    await putEntry('no-body', 'from the cache');
    await start({ stepsLimitBytes: 0 });
    await untilSucceeded(await makeStep({ key: 'no-body' }));
  });

  test('is captured like any other', async () => {
    const controller = await start({ stepsLimitBytes: 0 });
    const step = await makeMiss({ key: 'no-body-captured' });
    await post(controller, step, 'value');
    await executorReports(step, 'value');
    await setStatus(step, 'Succeeded', { ...ENDED, [CAPTURE_CONTAINER]: { exitCode: 0 } });
    await untilEntry('no-body-captured', 'value');
  });

  test('is deleted when its Workflow is gone', async () => {
    await start({ stepsLimitBytes: 0 });
    const step = await makeStep({ key: 'no-body-orphan', decision: 'hit' });
    must(await admin.remove({ resource: RESOURCES.workflows, namespace, name: step.nodeId }));
    await waitFor(() => isGone(step.path), { what: 'the pod to be gone', deadlineMs: 30_000 });
  });
});

describe('without a sidecar', () => {
  test('the task result alone becomes the entry', async () => {
    await start();
    const step = await makeMiss({ key: 'server', hasSidecar: false });
    await executorReports(step, 'value');
    await setStatus(step, 'Succeeded', ENDED);
    await untilEntry('server', 'value');
  });

  test('a step that was released ends in an entry like any other', async () => {
    await start();
    const step = await makeStep({ key: 'released' });
    await untilReleased(step);
    await executorReports(step, 'fresh');
    await setStatus(step, 'Succeeded', ENDED);
    await untilEntry('released', 'fresh');
  });

  test('a step that asked for no capture leaves no entry', async () => {
    await start();
    const step = await makeMiss({
      key: 'off',
      hasSidecar: false,
      annotations: { 'stepmemo.io/capture': 'off' },
    });
    await executorReports(step, 'value');
    await setStatus(step, 'Succeeded', ENDED);
    const later = await makeMiss({ key: 'not-off', hasSidecar: false });
    await executorReports(later, 'value');
    await setStatus(later, 'Succeeded', ENDED);
    await untilEntry('not-off', 'value');
    expect(await entryOf('off')).toBeUndefined();
  });
});

describe('a pod that our container holds up', () => {
  test.each([
    { what: 'did not start', capture: { waiting: 'ErrImageNeverPull' }, reason: 'sidecar-not-started' as const },
    { what: 'hangs', capture: 'running' as const, reason: 'sidecar-hanging' as const },
  ])('because it $what is ended, and its outputs are captured', async ({ capture, reason }) => {
    await start();
    const step = await makeMiss({ key: reason });
    await executorReports(step, 'value');
    await setStatus(step, 'Pending', { ...ENDED, [CAPTURE_CONTAINER]: capture }, 30);
    await untilSucceeded(step);
    const statuses = (await readPod(step)).status.containerStatuses;
    expect(statuses.map(({ state }) => state.terminated?.exitCode)).toEqual([0, 0, 0]);
    await untilTold(step, reason);
    expect((await annotationsOf(step))[REASON_ANNOTATION]).toBe(reason);
    await untilEntry(reason, 'value');
    if (reason === 'sidecar-not-started') expect(cluster.isSidecarUsable).toBe(false);
    cluster.markSidecarWorking(new Date(Date.now() + 60_000));
  });

  test('and whose step failed is ended as Failed', async () => {
    await start();
    const step = await makeMiss({ key: 'healed-failed' });
    await setStatus(step, 'Running', {
      wait: { exitCode: 0 },
      main: { exitCode: 3 },
      [CAPTURE_CONTAINER]: { waiting: 'ImagePullBackOff' },
    });
    await waitFor(async () => (await phaseOf(step)) === 'Failed', { what: 'the pod to be Failed' });
    await untilTold(step, 'step-failed');
    cluster.markSidecarWorking(new Date(Date.now() + 60_000));
  });

  test('is left alone while the step runs', async () => {
    await start();
    const step = await makeMiss({ key: 'still-running' });
    await setStatus(step, 'Pending', {
      wait: 'running',
      main: { exitCode: 0 },
      [CAPTURE_CONTAINER]: { waiting: 'ErrImagePull' },
    });
    const other = await makeMiss({ key: 'heals' });
    await setStatus(other, 'Pending', { ...ENDED, [CAPTURE_CONTAINER]: { waiting: 'ErrImagePull' } });
    await untilSucceeded(other);
    expect(await phaseOf(step)).toBe('Pending');
    cluster.markSidecarWorking(new Date(Date.now() + 60_000));
  });
});

describe('an offloaded template', () => {
  const offload = async (
    step: MadeStep,
    template: object,
    owner = step.workflow.metadata?.uid ?? '',
  ): Promise<void> => {
    must(
      await admin.create(
        { resource: RESOURCES.configMaps, namespace },
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: {
            name: step.nodeId,
            ownerReferences: [{ apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', name: step.nodeId, uid: owner }],
          },
          data: { ARGO_TEMPLATE: JSON.stringify(template) },
        },
      ),
    );
  };
  const annotated = (key: string) => ({
    ...TEMPLATE,
    metadata: { annotations: { 'stepmemo.io/key': key, 'stepmemo.io/cache': 'cache' } },
  });
  /** The foreign gate keeps the pod until the ConfigMap is there, which Argo makes before the pod. */
  const makeOffloaded = (key: string) =>
    makeStep({ key, isOffloaded: true, gates: ['test.stepmemo.io/wait', HIT_GATE] });
  const letGo = async (step: MadeStep) =>
    must(await admin.patch(step.path, [{ op: 'remove', path: '/spec/schedulingGates/0' }]));

  test('is read for the outputs of a hit', async () => {
    await putEntry('offloaded', 'x');
    const step = await makeOffloaded('offloaded');
    await offload(step, annotated('offloaded'));
    await letGo(step);
    await start();
    await untilSucceeded(step);
    expect((await read(step.resultPath)).outputs).toMatchObject({ parameters: [{ name: 'text', value: 'x' }] });
  });

  test.each([
    { what: 'of a daemon', template: { ...annotated('offloaded-bad'), daemon: true }, reason: 'daemon' },
    {
      what: 'with an output that the entry lacks',
      template: { ...annotated('offloaded-bad'), outputs: { parameters: [{ name: 'more' }] } },
      reason: 'incomplete-entry',
    },
    { what: 'of an earlier attempt', template: annotated('another'), reason: 'template-unreadable' },
    {
      what: 'of another Workflow',
      template: annotated('offloaded-bad'),
      owner: '00000000-0000-0000-0000-000000000000',
      reason: 'template-unreadable',
    },
  ])('$what makes no hit', async ({ template, owner, reason }) => {
    await putEntry('offloaded-bad', 'x');
    const step = await makeOffloaded('offloaded-bad');
    await offload(step, template, owner);
    await letGo(step);
    await start();
    await untilReleased(step);
    expect((await annotationsOf(step))[REASON_ANNOTATION]).toBe(reason);
    expect(await isGone(step.resultPath)).toBe(true);
  });
});

describe('two replicas', () => {
  test('elect one, and the other takes over when it stops', async () => {
    await putEntry('elected', 'x');
    const config = { leaderElection: true, leaseDurationMs: 2000 };
    const [one, two] = [await start({ config }), await start({ config })];
    await waitFor(() => one.isLeader || two.isLeader, { what: 'a leader' });
    const step = await makeStep({ key: 'elected' });
    await untilSucceeded(step);
    expect(one.isLeader && two.isLeader).toBe(false);
    const [leader, other] = one.isLeader ? [one, two] : [two, one];
    await stop(leader);
    await waitFor(() => other.isLeader, { what: 'the other to lead' });
    const later = await makeStep({ key: 'elected' });
    await untilSucceeded(later);
  });
});
