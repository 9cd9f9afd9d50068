import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import {
  admin,
  eventReasons,
  givenNamespace,
  kubectl,
  memoizedSteps,
  podsOf,
  submit,
  submitFile,
  untilEnded,
  untilEntries,
  untilHeld,
} from './cluster.ts';
import { whileNobodyLeads } from './server.ts';

/*
 * What admins do, and what they are told: the tick of the workflow controller as shipped, dry runs, CronWorkflows, and
 * taking stepmemo off again.
 */
const run = promisify(execFile);
const ROOT = new URL('../..', import.meta.url).pathname;

it('observes, and is switched off, by an annotation of a namespace or of its own', async () => {
  const namespace = await givenNamespace({ lookAhead: 'on' });
  const annotate = (name: string, value: string) =>
    kubectl('annotate', 'namespace', name, '--overwrite', `stepmemo.io/operation${value}`);
  const reasons = async (workflow: string) => {
    const all = await eventReasons(namespace, workflow);
    return all.filter((reason) => /^(Observed|SwitchedOff|NoEntry|Served)/.test(reason));
  };
  const submitAndEnd = async () => {
    const ended = await untilEnded(namespace, await submitFile(namespace, 'container'));
    expect(ended.phase).toBe('Succeeded');
    return { pods: (await podsOf(ended)).length, reasons: await reasons(ended.name) };
  };
  await annotate(namespace, '=observe');
  expect(await submitAndEnd()).toEqual({ pods: 2, reasons: ['ObservedMiss'] });
  const kube = await admin();
  expect((await kube.get({ resource: RESOURCES.configMaps, namespace, name: 'container-cache' })).ok).toBe(false);
  await annotate(namespace, '-');
  expect((await submitAndEnd()).reasons).toEqual(['NoEntry']);
  await untilEntries(namespace, 'container-cache', 1);
  await annotate('stepmemo', '=off');
  try {
    expect(await submitAndEnd()).toEqual({ pods: 2, reasons: ['SwitchedOff'] });
  } finally {
    await annotate('stepmemo', '-');
  }
  // What is served has no pod; what follows it has.
  expect(await submitAndEnd()).toEqual({ pods: 1, reasons: ['ServedAtSubmission'] });
}, 240_000);

it("with the controller's tick as shipped (10 s) a hit takes about that long", async () => {
  const namespace = await givenNamespace();
  await untilEnded(namespace, await submitFile(namespace, 'root'));
  await untilEntries(namespace, 'root-cache', 1);
  await kubectl('set', 'env', '-n', 'argo', 'deployment/workflow-controller', 'DEFAULT_REQUEUE_TIME=10s');
  try {
    await kubectl('rollout', 'status', '-n', 'argo', 'deployment/workflow-controller', '--timeout=120s');
    // The one that goes leads until it is gone.
    await waitFor(
      async () => (await kubectl('get', 'pods', '-n', 'argo', '-o', 'name')).trim().split('\n').length === 1,
      {
        what: 'the old controller to be gone',
        deadlineMs: 60_000,
      },
    );
    const ended = await untilEnded(namespace, await submitFile(namespace, 'root'));
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    expect((await memoizedSteps(ended))[0]).toMatchObject({ decision: 'hit', hasRun: false });
    console.log(`a hit with DEFAULT_REQUEUE_TIME=10s took ${ended.seconds} s`);
  } finally {
    await kubectl('set', 'env', '-n', 'argo', 'deployment/workflow-controller', 'DEFAULT_REQUEUE_TIME=1s');
    await kubectl('rollout', 'status', '-n', 'argo', 'deployment/workflow-controller', '--timeout=120s');
  }
});

/* Last in this file: these take stepmemo away, and bring it back for whoever comes next. */
const CLUSTER_WIDE =
  'namespaces,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingwebhookconfigurations,validatingwebhookconfigurations';
const listOwn = () => kubectl('get', CLUSTER_WIDE, '-l', 'app.kubernetes.io/part-of=stepmemo', '-o', 'name');

function stepmemo(...args: readonly string[]): Promise<{ stdout: string }> {
  const { kubeconfig } = inject('e2e');
  return run(`${ROOT}/bin/stepmemo.mjs`, [...args, '--kubeconfig', kubeconfig], { env: { PATH: process.env.PATH } });
}

async function install(): Promise<void> {
  const { kubeconfig, kubectl: program } = inject('e2e');
  await run(`${ROOT}/scripts/install.sh`, [kubeconfig, program], { maxBuffer: 16 * 1024 * 1024 });
}

describe('stepmemo', () => {
  afterAll(async () => {
    await install();
    await kubectl('rollout', 'status', 'deployment/stepmemo', '-n', 'stepmemo', '--timeout=120s');
  });

  it('can be taken off, and leaves the cluster as it was', async () => {
    const kube = await admin();
    // A second try of this test has to find what the first one took away.
    if (!(await kube.get({ resource: RESOURCES.namespaces, name: 'stepmemo' })).ok) await install();
    const namespace = await givenNamespace();
    await untilEnded(namespace, await submitFile(namespace, 'workflow-template-ref'));
    const template = { resource: RESOURCES.workflowTemplates, namespace, name: 'whole' };
    expect(JSON.stringify(must(await kube.get(template)))).toContain('stepmemo.io/moved-from');

    const { stdout: plan } = await stepmemo('uninstall');
    expect(plan).toMatch(/--yes/);
    expect((await kube.get({ resource: RESOURCES.namespaces, name: 'stepmemo' })).ok).toBe(true);
    await stepmemo('uninstall', '--yes');

    const { memoize, metadata } =
      (must(await kube.get(template)).spec as { templates: Record<string, unknown>[] }).templates[0] ?? {};
    expect(memoize).toMatchObject({ maxAge: '1h', cache: { configMap: { name: 'whole-cache' } } });
    expect(JSON.stringify(metadata ?? {})).not.toContain('stepmemo.io');
    expect((await listOwn()).trim()).toBe('');
    // As ever, as if it had never been there.
    expect(await untilEnded(namespace, await submitPlain(namespace))).toMatchObject({ phase: 'Succeeded' });
  });

  it('is installed by Helm where it is told to, and taken off without a trace', async () => {
    if ((await listOwn()).trim() !== '') await stepmemo('uninstall', '--yes');
    const { kubeconfig } = inject('e2e');
    const { stdout: built } = await run(`${ROOT}/cluster/build.sh`, ['helm', '4'], { maxBuffer: 16 * 1024 * 1024 });
    const program = built.trim().split('\n').at(-1) ?? '';
    const helm = (...args: readonly string[]) => run(program, [...args, '-n', 'memo', '--kubeconfig', kubeconfig]);
    await helm('uninstall', 'mine', '--ignore-not-found', '--wait');
    const image = ['--set', 'image.repository=stepmemo', '--set', 'image.tag=local'];
    await helm('install', 'mine', `${ROOT}/charts/stepmemo`, '--create-namespace', '--wait', ...image);

    const namespace = await givenNamespace();
    await untilEnded(namespace, await submitFile(namespace, 'container'));
    await untilEntries(namespace, 'container-cache', 1);
    const second = await untilEnded(namespace, await submitFile(namespace, 'container'));
    expect(second).toMatchObject({ phase: 'Succeeded' });
    expect(await decisionsOf(namespace)).toEqual(['hit', 'miss']);

    await untilEnded(namespace, await submitFile(namespace, 'workflow-template-ref'));
    // The hook meets a pod that is held, and no replica that would end it.
    await whileNobodyLeads(async () => {
      const held = await submitFile(namespace, 'container');
      await untilHeld(namespace, [held]);
      await helm('uninstall', 'mine', '--wait');
      expect(await untilEnded(namespace, held)).toMatchObject({ phase: 'Succeeded' });
    }, 'memo');
    const kube = await admin();
    const template = must(await kube.get({ resource: RESOURCES.workflowTemplates, namespace, name: 'whole' }));
    expect(JSON.stringify(template)).toContain('memoize');
    expect((await listOwn()).trim()).toBe('');
    expect(await kubectl('get', 'clusterroles,clusterrolebindings', '-o', 'name')).not.toContain('stepmemo');
    await kubectl('delete', 'namespace', 'memo');
  });
});

async function decisionsOf(namespace: string): Promise<readonly string[]> {
  const pods = must(await (await admin()).list({ resource: RESOURCES.pods, namespace }));
  return pods.flatMap(({ metadata }) => metadata?.annotations?.['stepmemo.io/decision'] ?? []).sort();
}

const submitPlain = (namespace: string): Promise<string> =>
  submit(namespace, {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'plain-' },
    spec: { entrypoint: 'a', templates: [{ name: 'a', container: { image: 'busybox:local', command: ['true'] } }] },
  });
