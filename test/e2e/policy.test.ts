import { afterAll, expect, it } from 'vitest';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import { admin, describeStep, givenNamespace, podsOf, submit, untilEnded } from './cluster.ts';
import { untilServerReady, withServerEnv } from './server.ts';

/*
 * A policy that became stricter stops what is submitted from then on, and nothing that runs.
 */
afterAll(untilServerReady);

/** A constant key beside inputs: a warning as shipped. The first step outlives the roll-out of the stricter policy. */
const workflow: KubeObject = {
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'Workflow',
  metadata: { generateName: 'policy-' },
  spec: {
    entrypoint: 'main',
    templates: [
      {
        name: 'main',
        steps: [
          [{ name: 'long', template: 'work', arguments: { parameters: [{ name: 'x', value: 'sleep 50' }] } }],
          [{ name: 'next', template: 'work', arguments: { parameters: [{ name: 'x', value: 'true' }] } }],
        ],
      },
      {
        name: 'work',
        inputs: { parameters: [{ name: 'x' }] },
        memoize: { key: 'constant', maxAge: '1h', cache: { configMap: { name: 'policy-cache' } } },
        container: {
          image: 'busybox:local',
          command: ['sh', '-c'],
          args: ['{{inputs.parameters.x}}; echo done > /tmp/out'],
        },
        outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
      },
    ],
  },
};

it('a running workflow is never stopped by a policy that became stricter, and can be suspended, resumed and stopped', async () => {
  const namespace = await givenNamespace();
  const kube = await admin();
  const names = [await submit(namespace, workflow), await submit(namespace, workflow)];
  for (const name of names) {
    await waitFor(
      async () => (await podsOf({ namespace, name })).some((pod) => describeStep(pod).phase === 'Running'),
      {
        what: 'the first step to run',
        deadlineMs: 60_000,
      },
    );
  }
  const [finishing = '', stopped = ''] = names;
  const update = async (name: string, spec: object) =>
    must(await kube.merge({ resource: RESOURCES.workflows, namespace, name }, { spec }));

  await withServerEnv({ STEPMEMO_POLICY: '{"rules":{"key-constant":"deny"}}' }, async () => {
    // The API server may keep talking to the replica that is going, for a moment.
    const refusal = await waitFor(
      async () => {
        const url = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows?dryRun=All`;
        const answer = await kube.request('POST', url, workflow);
        return answer.status === 403 && String(answer.body.message);
      },
      { what: 'the stricter policy to be in force', deadlineMs: 30_000 },
    );
    expect(refusal).toMatch(/spec\.templates\[1\]\.memoize\.key: .*\[key-constant\]/);
    await update(finishing, { suspend: true });
    await update(finishing, { suspend: null });
    await update(stopped, { shutdown: 'Stop' });
    expect(await untilEnded(namespace, stopped)).toMatchObject({ phase: 'Failed' });
    expect(await untilEnded(namespace, finishing)).toMatchObject({ phase: 'Succeeded' });
  });
});
