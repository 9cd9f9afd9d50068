import { beforeAll, describe, expect, it } from 'vitest';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import {
  admin,
  describeStep,
  entryOf,
  givenNamespace,
  podsOf,
  submit,
  untilEnded,
  untilEntries,
  untilEntry,
} from './cluster.ts';
import { oneStep } from './one-step.ts';

/*
 * What a step leaves in the cache that ended badly, or half done, or where limits are tight.
 */
let namespace: string;
beforeAll(async () => {
  namespace = await givenNamespace();
});

type Parts = Omit<NonNullable<Parameters<typeof oneStep>[1]>, 'cache'>;
const workflow = (key: string, parts: Parts = {}): KubeObject => oneStep(key, { cache: 'endings', ...parts });
const runToEnd = async (key: string, parts?: Parts) =>
  untilEnded(namespace, await submit(namespace, workflow(key, parts)));

/** A first run whose entry is there. */
async function givenEntry(key: string): Promise<void> {
  expect(await runToEnd(key)).toMatchObject({ phase: 'Succeeded' });
  await untilEntry(namespace, 'endings', key);
}

describe('a step that ends badly', () => {
  it('leaves no entry when it fails, and the workflow fails as ever', async () => {
    expect(await runToEnd('fails', { script: 'echo x > /tmp/out; exit 3' })).toMatchObject({ phase: 'Failed' });
    await givenEntry('after-fails');
    expect(await entryOf(namespace, 'endings', 'fails')).toBeUndefined();
  });

  it('leaves no entry when it is terminated', async () => {
    const name = await submit(namespace, workflow('terminated', { script: 'echo x > /tmp/out; sleep 600' }));
    await waitFor(
      async () => (await podsOf({ namespace, name })).some((pod) => describeStep(pod).phase === 'Running'),
      { what: 'the step to run', deadlineMs: 60_000 },
    );
    const kube = await admin();
    must(await kube.merge({ resource: RESOURCES.workflows, namespace, name }, { spec: { shutdown: 'Terminate' } }));
    expect(await untilEnded(namespace, name)).toMatchObject({ phase: 'Failed' });
    expect(await entryOf(namespace, 'endings', 'terminated')).toBeUndefined();
  });

  // It has written half of its output, and takes the signal for a wish to leave in order.
  const HALF = "trap 'exit 0' TERM; echo half > /tmp/out; sleep 600 & wait $!";

  it.each([
    ['its workflow is stopped', 'stopped', { shutdown: 'Stop' }, {}],
    ["its workflow's deadline passes", 'deadline', undefined, { activeDeadlineSeconds: 12 }],
  ])('leaves no entry when %s and it ends with 0, half done', async (_, key, change, spec) => {
    const name = await submit(namespace, workflow(key, { script: HALF, spec }));
    await waitFor(
      async () => (await podsOf({ namespace, name })).some((pod) => describeStep(pod).phase === 'Running'),
      { what: 'the step to run', deadlineMs: 60_000 },
    );
    const kube = await admin();
    if (change !== undefined)
      must(await kube.merge({ resource: RESOURCES.workflows, namespace, name }, { spec: change }));
    await untilEnded(namespace, name);
    // Whatever was captured of it has been decided about once a later step's entry is there.
    await givenEntry(`after-${key}`);
    expect(await entryOf(namespace, 'endings', key)).toBeUndefined();
  });

  it('uses the default of an output whose file is missing, and stores it', async () => {
    const outputs = { parameters: [{ name: 'out', valueFrom: { path: '/tmp/none', default: 'fallback' } }] };
    expect(await runToEnd('default', { script: 'true', template: { outputs } })).toMatchObject({ phase: 'Succeeded' });
    const entry = await untilEntry(namespace, 'endings', 'default');
    expect(JSON.stringify(entry.outputs)).toContain('"value":"fallback"');
  });
});

describe('namespaces with limits', () => {
  it('keep the sidecar within a LimitRange', async () => {
    const limited = await givenNamespace();
    const kube = await admin();
    await kube.require('POST', `/api/v1/namespaces/${limited}/limitranges`, {
      metadata: { name: 'limits' },
      spec: {
        limits: [
          {
            type: 'Container',
            default: { memory: '96Mi', cpu: '200m' },
            max: { memory: '96Mi', cpu: '250m' },
            maxLimitRequestRatio: { cpu: '10' },
          },
        ],
      },
    });
    const ended = await untilEnded(limited, await submit(limited, workflow('limits')));
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    await untilEntries(limited, 'endings', 1);
  });

  it('do without a sidecar where a ResourceQuota counts compute', async () => {
    const quoted = await givenNamespace();
    const kube = await admin();
    await kube.require('POST', `/api/v1/namespaces/${quoted}/limitranges`, {
      metadata: { name: 'defaults' },
      spec: { limits: [{ type: 'Container', default: { memory: '96Mi' }, defaultRequest: { memory: '32Mi' } }] },
    });
    await kube.require('POST', `/api/v1/namespaces/${quoted}/resourcequotas`, {
      metadata: { name: 'quota' },
      spec: { hard: { 'requests.memory': '1Gi' } },
    });
    const ended = await untilEnded(quoted, await submit(quoted, workflow('quota')));
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    const [pod] = await podsOf(ended);
    expect(JSON.stringify(pod?.spec)).not.toContain('stepmemo-capture');
    await untilEntries(quoted, 'endings', 1);
  });
});
