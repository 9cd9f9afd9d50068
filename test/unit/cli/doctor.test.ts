import { beforeEach, describe, expect, it } from 'vitest';
import { OUTAGE_POLICY_NAMES } from '../../../src/base/names.ts';
import { runDoctor } from '../../../src/cli/commands/doctor.ts';
import { type KubeObject, RESOURCES, type ResourcePath } from '../../../src/kube/types.ts';
import { fail, MemoryKube } from '../kube/memory-kube.ts';

/*
 * Single findings, of what is hard to break on a cluster; the whole of it is tried by test/e2e/doctor.test.ts.
 */
let kube: MemoryKube;
beforeEach(() => {
  kube = new MemoryKube();
});

async function findings(check: string): Promise<readonly object[]> {
  const printed: string[] = [];
  const print = (text: string) => void printed.push(text);
  await runDoctor({ ownNamespace: 'stepmemo', output: 'json' }, { kube, out: { print, printError: print } });
  const all = (JSON.parse(printed.join('\n')) as { findings: readonly { check: string }[] }).findings;
  return all.filter((finding) => finding.check === check);
}

function controller(env: Record<string, string>, image = 'quay.io/argoproj/workflow-controller:v4.0.5'): void {
  const list = Object.entries(env).map(([name, value]) => ({ name, value }));
  const container = { name: 'workflow-controller', image, env: list };
  kube.put(RESOURCES.deployments, {
    metadata: { namespace: 'argo', name: 'workflow-controller' },
    spec: { template: { spec: { serviceAccountName: 'argo', containers: [container] } } },
  });
}

describe('an outage', () => {
  const put = (resource: ResourcePath, name: string) =>
    kube.put(resource, { metadata: { name }, spec: { policyName: name } });

  it('goes unnoticed without the policies that warn of it', async () => {
    expect(await findings('outage')).toMatchObject([
      { state: 'problem', detail: expect.stringContaining('stepmemo-silent') },
    ]);
  });

  it('is told by the policies that warn of it', async () => {
    for (const name of OUTAGE_POLICY_NAMES) put(RESOURCES.admissionPolicies, name);
    expect(await findings('outage')).toMatchObject([{ state: 'ok', detail: expect.stringContaining('warns') }]);
  });

  it('harms no workflow where the API server moves memoize, for namespaces and for the cluster', async () => {
    put(RESOURCES.mutatingAdmissionPolicyBindings, 'stepmemo-move');
    expect(await findings('outage')).toMatchObject([{ state: 'problem' }]);
    put(RESOURCES.mutatingAdmissionPolicyBindings, 'stepmemo-move-clusterworkflowtemplates');
    expect(await findings('outage')).toMatchObject([{ state: 'ok', detail: expect.stringContaining('moves memoize') }]);
  });
});

describe('the workflow controller', () => {
  it.each([
    ['10m', 'problem'],
    ['0', undefined],
    ['', undefined],
  ])('with a CACHE_GC_PERIOD of %j: %s', async (value, state) => {
    controller({ CACHE_GC_PERIOD: value });
    expect(await findings('CACHE_GC_PERIOD')).toMatchObject(state === undefined ? [] : [{ state }]);
  });

  it.each([
    ['1s', 'ok'],
    ['2s', 'ok'],
    ['10s', 'problem'],
    ['soon', 'problem'],
  ])('with a DEFAULT_REQUEUE_TIME of %j: %s', async (value, state) => {
    controller({ DEFAULT_REQUEUE_TIME: value });
    expect(await findings('DEFAULT_REQUEUE_TIME')).toMatchObject([{ state }]);
  });

  it.each([
    ['workflow-controller:v3.3.10', 'problem'],
    ['workflow-controller:v3.7.15', 'ok'],
    ['workflow-controller:latest', 'problem'],
  ])('of the image %s: %s', async (image, state) => {
    controller({}, image);
    expect(await findings('Argo version')).toMatchObject([{ state }]);
  });
});

describe('a namespace', () => {
  const given = (ttlStrategy: object) => {
    kube.put(RESOURCES.namespaces, { metadata: { name: 'team', labels: { 'stepmemo.io/enabled': 'true' } } });
    kube.put(RESOURCES.workflowTemplates, {
      kind: 'WorkflowTemplate',
      metadata: { namespace: 'team', name: 'short' },
      spec: { entrypoint: 'a', templates: [{ name: 'a', container: { image: 'i' } }], ttlStrategy },
    } as KubeObject);
  };

  it('whose Workflows go at once is told that their last steps may leave no entry', async () => {
    given({ secondsAfterCompletion: 0 });
    expect(await findings('namespace team')).toMatchObject([
      { state: 'problem', detail: expect.stringContaining('short') },
    ]);
  });

  it('whose Workflows stay a while is told nothing', async () => {
    given({ secondsAfterCompletion: 3600, secondsAfterFailure: 0 });
    expect(await findings('namespace team')).toEqual([]);
  });
});

it('says what it may not look at', async () => {
  kube.before = ({ name }) => (name === 'deployments' ? fail(403, 'Forbidden', 'no') : undefined);
  expect(await findings('workflow controller')).toMatchObject([{ state: 'not checked', detail: 'missing right: no' }]);
});
