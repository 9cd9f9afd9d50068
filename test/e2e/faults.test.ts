import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CAPTURE_CONTAINER, DECISION_ANNOTATION, RESULT_POD_UID_ANNOTATION } from '../../src/base/names.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { digestOf } from '../../src/sidecar/digest.ts';
import { must, waitFor } from '../integration/harness.ts';
import {
  admin,
  describeWorkflow,
  entryOf,
  eventReasons,
  forgeResults,
  givenNamespace,
  isHeld,
  memoizedSteps,
  podsOf,
  submit,
  untilEnded,
  untilEntries,
  untilEntry,
} from './cluster.ts';
import { oneStep } from './one-step.ts';
import { serverProcesses, sidecarProcesses, signal } from './processes.ts';
import { scaleServer, serverPods, untilServerReady, whileNobodyLeads, withServerEnv } from './server.ts';

/*
 * Never in the way: workflows end as they would without stepmemo, whatever happens to it.
 */
let namespace: string;
beforeAll(async () => {
  namespace = await givenNamespace();
});
afterEach(untilServerReady);

const workflow = (key: string, script?: string, template?: object): KubeObject =>
  oneStep(key, { cache: 'faults', ...(script !== undefined && { script }), ...(template && { template }) });

async function runToEnd(key: string, script?: string, extra?: object) {
  return untilEnded(namespace, await submit(namespace, workflow(key, script, extra)));
}

/** A first run whose entry is there. */
async function givenEntry(key: string): Promise<void> {
  expect(await runToEnd(key)).toMatchObject({ phase: 'Succeeded' });
  await untilEntry(namespace, 'faults', key);
}

async function onlyPod(name: string): Promise<KubeObject> {
  return waitFor(async () => (await podsOf({ namespace, name }))[0], {
    what: `the pod of ${name}`,
    deadlineMs: 60_000,
  });
}

const containerNames = (pod: KubeObject | undefined): readonly string[] =>
  ((pod?.spec as { containers?: { name: string }[] } | undefined)?.containers ?? []).map(({ name }) => name);

describe('without stepmemo', () => {
  it('runs as ever while no replica is there', async () => {
    await givenEntry('absent');
    await scaleServer(0);
    const ended = await runToEnd('absent');
    await scaleServer(2);
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(ended))[0]).toMatchObject({ decision: '', hasRun: true });
  });

  it('runs as ever when what answers in its place is wrong', async () => {
    const kube = await admin();
    const service = {
      resource: { group: '', version: 'v1', resource: 'services' },
      namespace: 'stepmemo',
      name: 'stepmemo',
    };
    const ports = (must(await kube.get(service)).spec as { ports: { port: number; targetPort: unknown }[] }).ports;
    const index = ports.findIndex(({ port }) => port === 443);
    const path = `/spec/ports/${index}/targetPort`;
    // The plain port of metrics stands where TLS is expected.
    must(await kube.patch(service, [{ op: 'replace', path, value: 8080 }]));
    try {
      const ended = await runToEnd('wrong');
      expect(ended).toMatchObject({ phase: 'Succeeded' });
      expect((await memoizedSteps(ended))[0]).toMatchObject({ decision: '', hasRun: true });
    } finally {
      must(await kube.patch(service, [{ op: 'replace', path, value: ports[index]?.targetPort }]));
    }
  });
});

describe('one of two replicas hangs', () => {
  const replicaOf = async (role: string) =>
    (await serverPods()).find(({ metadata }) => metadata?.labels?.['stepmemo.io/role'] === role)?.metadata?.uid;

  /** With `memoize`, which somebody has to move; as a dry run. */
  async function isMoved(): Promise<boolean> {
    const template = {
      name: 'a',
      memoize: { key: 'k', maxAge: '1h', cache: { configMap: { name: 'faults' } } },
      container: { image: 'busybox:local' },
      outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
    };
    const spec = { entrypoint: 'a', templates: [template] };
    const object = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', metadata: { generateName: 'h-' }, spec };
    const url = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows?dryRun=All`;
    const { body } = await (await admin()).request('POST', url, object);
    return JSON.stringify(body).includes('"stepmemo.io/key":"k"');
  }

  it.each(['leader', 'follower'])('the %s, and no submission passes by', async (role) => {
    await waitFor(
      async () => (await replicaOf('leader')) !== undefined && (await replicaOf('follower')) !== undefined,
      {
        what: 'the replicas to be labelled',
        deadlineMs: 60_000,
      },
    );
    const uid = await replicaOf(role);
    if (uid === undefined) throw new Error(`there is no ${role}`);
    const pids = await serverProcesses(uid);
    expect(pids).toHaveLength(1);
    signal(pids, 'SIGSTOP');
    try {
      // Within the seconds that it stays in the Services.
      const moved = await Promise.all(Array.from({ length: 50 }, isMoved));
      expect(moved.filter((one) => !one)).toEqual([]);
    } finally {
      signal(pids, 'SIGCONT');
    }
  });
});

describe('a hit while the server crashes', () => {
  it('is completed when the crash came before anything was done', async () => {
    await givenEntry('crash-before');
    let name = '';
    await whileNobodyLeads(async () => {
      name = await submit(namespace, workflow('crash-before'));
      expect(isHeld(await onlyPod(name))).toBe(true);
      signal(await serverProcesses(), 'SIGKILL');
    });
    const ended = await untilEnded(namespace, name);
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(ended))[0]).toMatchObject({ decision: 'hit', hasRun: false });
  });

  it('is completed when the crash came between the task result and the status', async () => {
    await givenEntry('crash-between');
    let name = '';
    await whileNobodyLeads(async () => {
      name = await submit(namespace, workflow('crash-between'));
      const pod = await onlyPod(name);
      await createMarkedResult(pod);
      signal(await serverProcesses(), 'SIGKILL');
    });
    const ended = await untilEnded(namespace, name);
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    const [node] = ended.nodes;
    const entry = await entryOf(namespace, 'faults', 'crash-between');
    const stored = entry?.outputs as { parameters: { value: string }[] };
    expect(node?.outputs?.parameters?.[0]?.value).toBe(stored.parameters[0]?.value);
    expect((await memoizedSteps(ended))[0]).toMatchObject({ decision: 'hit', hasRun: false });
  });

  /** What the server had made when it crashed, made by its own account. */
  async function createMarkedResult(pod: KubeObject): Promise<void> {
    const kube = await admin();
    const { token } = await kube.tokenOf('stepmemo', 'stepmemo');
    const { name = '', uid = '', annotations = {}, labels = {}, ownerReferences = [] } = pod.metadata ?? {};
    expect(name).not.toBe('');
    const owner = ownerReferences[0];
    must(
      await kube.withToken(token).create(
        { resource: RESOURCES.workflowTaskResults, namespace },
        {
          apiVersion: 'argoproj.io/v1alpha1',
          kind: 'WorkflowTaskResult',
          metadata: {
            name: annotations['workflows.argoproj.io/node-id'] ?? '',
            annotations: { [RESULT_POD_UID_ANNOTATION]: uid },
            labels: {
              'workflows.argoproj.io/workflow': labels['workflows.argoproj.io/workflow'] ?? '',
              'workflows.argoproj.io/report-outputs-completed': 'true',
            },
            ...(owner !== undefined && { ownerReferences: [{ ...owner, controller: false }] }),
          },
          outputs: { parameters: [{ name: 'out', value: 'half done' }] },
        },
      ),
    );
  }

  it('is released, and runs, when its entry has gone meanwhile', async () => {
    await givenEntry('entry-gone');
    let name = '';
    await whileNobodyLeads(async () => {
      name = await submit(namespace, workflow('entry-gone'));
      expect(isHeld(await onlyPod(name))).toBe(true);
      const kube = await admin();
      const cache = { resource: RESOURCES.configMaps, namespace, name: 'faults' };
      must(await kube.patch(cache, [{ op: 'remove', path: '/data/entry-gone' }]));
    });
    const ended = await untilEnded(namespace, name);
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(ended))[0]).toMatchObject({ decision: 'miss', hasRun: true });
    await waitFor(() => entryOf(namespace, 'faults', 'entry-gone'), { what: 'a new entry', deadlineMs: 60_000 });
  });

  it('is gone with its workflow when that is deleted', async () => {
    await givenEntry('deleted');
    await whileNobodyLeads(async () => {
      const name = await submit(namespace, workflow('deleted'));
      expect(isHeld(await onlyPod(name))).toBe(true);
      const kube = await admin();
      must(await kube.remove({ resource: RESOURCES.workflows, namespace, name }));
      await waitFor(async () => (await podsOf({ namespace, name })).length === 0, {
        what: 'the gated pod to be collected',
        deadlineMs: 60_000,
      });
    });
  });

  it('leaves no gated pod behind when the step timed out', async () => {
    await givenEntry('timeout');
    let name = '';
    await whileNobodyLeads(async () => {
      name = await submit(namespace, workflow('timeout', undefined, { timeout: '5s' }));
      const kube = await admin();
      const path = { resource: RESOURCES.workflows, namespace, name };
      let nudgedMs = 0;
      await waitFor(
        async () => {
          // Argo looks at a timeout only when something else makes it look at the workflow: now and then, we do.
          if (performance.now() - nudgedMs > 1000) {
            nudgedMs = performance.now();
            must(await kube.merge(path, { metadata: { annotations: { nudge: String(nudgedMs) } } }));
          }
          return ['Failed', 'Error'].includes(describeWorkflow(must(await kube.get(path))).phase);
        },
        { what: 'the step to time out', deadlineMs: 60_000 },
      );
    });
    await waitFor(async () => !(await podsOf({ namespace, name })).some(isHeld), {
      what: 'the gated pod to be deleted',
      deadlineMs: 60_000,
    });
  });

  it('ends right while replicas are killed again and again', async () => {
    await givenEntry('storm');
    const names = await Promise.all(Array.from({ length: 6 }, () => submit(namespace, workflow('storm'))));
    const misses = await Promise.all(
      Array.from({ length: 3 }, (_, i) => submit(namespace, workflow(`storm-${i}`, 'sleep 2; date > /tmp/out'))),
    );
    for (let round = 0; round < 3; round++) {
      signal(await serverProcesses(), 'SIGKILL');
      await waitFor(async () => (await serverProcesses()).length > 0, {
        what: 'a replica to be back',
        deadlineMs: 90_000,
      });
    }
    for (const name of [...names, ...misses])
      expect(await untilEnded(namespace, name)).toMatchObject({ phase: 'Succeeded' });
    const pods = (await Promise.all(names.map((name) => podsOf({ namespace, name })))).flat();
    expect(pods.some(isHeld)).toBe(false);
  });
});

describe('a sidecar in trouble never fails or holds up the step', () => {
  const slow = 'sleep 4; cat /proc/sys/kernel/random/uuid > /tmp/out';

  async function sidecarOf(name: string): Promise<readonly number[]> {
    const pod = await onlyPod(name);
    return waitFor(
      async () => {
        const pids = await sidecarProcesses(pod.metadata?.uid?.replaceAll('_', '-'));
        return pids.length > 0 ? pids : undefined;
      },
      { what: 'the sidecar to run', deadlineMs: 60_000 },
    );
  }

  it.each(['SIGKILL', 'SIGABRT', 'SIGSEGV'] as const)('that dies of %s', async (name) => {
    const key = `dies-${name.toLowerCase()}`;
    const submitted = await submit(namespace, workflow(key, slow));
    signal(await sidecarOf(submitted), name);
    expect(await untilEnded(namespace, submitted)).toMatchObject({ phase: 'Succeeded' });
  });

  it('that hangs', async () => {
    const submitted = await submit(namespace, workflow('hangs', slow));
    signal(await sidecarOf(submitted), 'SIGSTOP');
    expect(await untilEnded(namespace, submitted)).toMatchObject({ phase: 'Succeeded' });
  });

  it('whose server is gone', async () => {
    const submitted = await submit(namespace, workflow('server-gone', slow));
    await sidecarOf(submitted);
    await scaleServer(0);
    const ended = await untilEnded(namespace, submitted);
    await scaleServer(2);
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    // The kubelet has what it read all the same, so nobody can pass off other outputs as the step's.
    const value = ended.nodes[0]?.outputs?.parameters?.[0]?.value ?? '';
    const { containerStatuses } = (await onlyPod(submitted)).status as {
      containerStatuses: { name: string; state: { terminated?: { message?: string } } }[];
    };
    const sidecar = containerStatuses.find(({ name }) => name === CAPTURE_CONTAINER);
    expect(sidecar?.state.terminated?.message).toBe(digestOf({ parameters: [{ name: 'out', value }] }));
  });

  it('that cannot deliver: what it read is cached, and what somebody passes off as the outputs is not', async () => {
    // No port of the service.
    await withServerEnv({ STEPMEMO_CAPTURE_URL: 'https://stepmemo.stepmemo.svc:9' }, async () => {
      const ended = await runToEnd('undelivered', slow);
      const value = ended.nodes[0]?.outputs?.parameters?.[0]?.value;
      expect(await untilEntry(namespace, 'faults', 'undelivered')).toMatchObject({
        outputs: { parameters: [{ value }] },
      });
      const name = await submit(namespace, workflow('passed-off', slow));
      await sidecarOf(name);
      expect(await forgeResults(await admin(), { namespace, name })).toBeGreaterThan(0);
      const podName = (await onlyPod(name)).metadata?.name ?? '';
      const isTold = async () => (await eventReasons(namespace, podName)).includes('CaptureMismatch');
      await waitFor(async () => (await isTold()) || (await entryOf(namespace, 'faults', 'passed-off')), {
        what: 'the step to be settled',
        deadlineMs: 60_000,
      });
      expect(JSON.stringify((await entryOf(namespace, 'faults', 'passed-off')) ?? {})).not.toContain('forged');
    });
  });

  it('whose image is missing: the pod is ended for it, and later misses do without', async () => {
    await withServerEnv({ STEPMEMO_SIDECAR_IMAGE: 'stepmemo-is-not-there:0' }, async () => {
      const ended = await runToEnd('no-image');
      expect(ended).toMatchObject({ phase: 'Succeeded' });
      expect(ended.nodes[0]?.outputs?.parameters?.[0]?.value).toMatch(/^[0-9a-f-]{36}$/);
      const next = await runToEnd('no-image-next');
      expect(next).toMatchObject({ phase: 'Succeeded' });
      const [pod] = await podsOf(next);
      expect(containerNames(pod)).not.toContain('stepmemo-capture');
      expect(pod?.metadata?.annotations?.[DECISION_ANNOTATION]).toBe('miss');
      await untilEntries(namespace, 'faults', 1);
    });
  });

  it('that is killed for its memory', async () => {
    await withServerEnv(
      { STEPMEMO_SIDECAR_MEMORY_LIMIT: '16Mi', STEPMEMO_SIDECAR_MEMORY_REQUEST: '16Mi' },
      async () => {
        expect(await runToEnd('no-memory', slow)).toMatchObject({ phase: 'Succeeded' });
      },
    );
  });
});
