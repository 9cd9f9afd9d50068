import { expect, it } from 'vitest';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import {
  admin,
  givenNamespace,
  isArgoOlderThan,
  memoizedSteps,
  podsOf,
  submit,
  submitFile,
  untilEnded,
  untilEntries,
} from './cluster.ts';

/*
 * Workflows and pods that come otherwise than from a user's hand: by a schedule, and as a dry run.
 */
it('a CronWorkflow is changed when it is created, and its Workflow is memoized', async () => {
  const namespace = await givenNamespace();
  const isOld = isArgoOlderThan(3, 6);
  const workflowSpec = {
    entrypoint: 'work',
    templates: [
      {
        name: 'work',
        memoize: { key: 'cron', maxAge: '1h', cache: { configMap: { name: 'cron-cache' } } },
        container: { image: 'busybox:local', command: ['sh', '-c'], args: ['date > /tmp/out'] },
        outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
      },
    ],
  };
  const name = await submit(namespace, {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'CronWorkflow',
    metadata: { name: 'cron' },
    spec: { ...(isOld ? { schedule: '* * * * *' } : { schedules: ['* * * * *'] }), workflowSpec },
  });
  const kube = await admin();
  const made = await waitFor(
    async () => must(await kube.list({ resource: RESOURCES.workflows, namespace }))[0]?.metadata?.name,
    { what: 'the first minute', deadlineMs: 90_000 },
  );
  must(await kube.merge({ resource: RESOURCES.cronWorkflows, namespace, name }, { spec: { suspend: true } }));
  const ended = await untilEnded(namespace, made);
  expect(ended).toMatchObject({ phase: 'Succeeded' });
  expect((await memoizedSteps(ended))[0]).toMatchObject({ key: 'cron', decision: 'miss', hasRun: true });
  await untilEntries(namespace, 'cron-cache', 1);
});

it('a dry run gets the same answer and leaves no trace', async () => {
  const namespace = await givenNamespace();
  const first = await untilEnded(namespace, await submitFile(namespace, 'root'));
  await untilEntries(namespace, 'root-cache', 1);
  const [pod] = await podsOf(first);
  const kube = await admin();
  const { token } = await kube.tokenOf('argo', 'argo');
  const again = dryRunCopy(pod);
  const answer = await kube.withToken(token).request('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, again);
  expect(answer.status).toBe(201);
  expect(answer.body.metadata?.annotations).toMatchObject({ 'stepmemo.io/decision': 'hit' });
  expect((await podsOf(first)).map(({ metadata }) => metadata?.name)).toEqual([pod?.metadata?.name]);
});

/** The pod as its controller would create it once more. */
function dryRunCopy(pod: KubeObject | undefined): KubeObject {
  const { name, labels, annotations = {}, ownerReferences } = pod?.metadata ?? {};
  const kept = Object.entries(annotations).filter(
    ([key]) => !/stepmemo\.io\/(decision|reason|outputs-digest)/.test(key),
  );
  const spec = pod?.spec as { containers: { name: string }[]; volumes: { name: string }[]; nodeName?: string };
  const { nodeName: _, ...rest } = spec;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${name}-again`,
      labels,
      annotations: Object.fromEntries(kept),
      ownerReferences,
    } as KubeObject['metadata'],
    spec: {
      ...rest,
      containers: spec.containers.filter((container) => container.name !== 'stepmemo-capture'),
      volumes: spec.volumes.filter((volume) => volume.name !== 'stepmemo-token'),
    },
  } as KubeObject;
}
