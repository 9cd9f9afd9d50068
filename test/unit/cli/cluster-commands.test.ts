import { beforeEach, describe, expect, it } from 'vitest';
import { metaKeyFor } from '../../../src/cache/data-key.ts';
import { runMigrateCluster } from '../../../src/cli/commands/migrate.ts';
import { runRelease } from '../../../src/cli/commands/release.ts';
import { runUninstall } from '../../../src/cli/commands/uninstall.ts';
import {
  type KubeFailure,
  type KubeObject,
  type ListScope,
  type ObjectPath,
  RESOURCES,
  type Selectors,
} from '../../../src/kube/types.ts';
import { MemoryKube } from '../kube/memory-kube.ts';

/** The API server in memory, with selectors and preconditions. */
class SelectingKube extends MemoryKube {
  override async list(where: ListScope, { labelSelector, fieldSelector }: Selectors = {}) {
    const listed = await super.list(where);
    if (!listed.ok) return listed;
    const [label = '', value] = labelSelector?.split('=') ?? [];
    return {
      ok: true as const,
      value: listed.value.filter((object) => {
        const phase = (object.status as { phase?: string } | undefined)?.phase;
        return (
          (labelSelector === undefined || object.metadata?.labels?.[label] === value) &&
          (fieldSelector === undefined || fieldSelector === `status.phase=${phase}`)
        );
      }),
    };
  }

  override async remove(path: ObjectPath, preconditions: { uid?: string } = {}) {
    const known = this.peek(path.resource, path.namespace, path.name);
    if (known !== undefined && preconditions.uid !== undefined && known.metadata?.uid !== preconditions.uid) {
      return {
        ok: false as const,
        status: 409,
        reason: 'Conflict',
        message: 'the UID in the precondition does not match',
      };
    }
    return super.remove(path);
  }
}

const forbidden: KubeFailure = { ok: false, status: 403, reason: 'Forbidden', message: 'you may not' };
const memoize = { key: 'k', maxAge: '1h', cache: { configMap: { name: 'c' } } };

let kube: SelectingKube;
let printed: string[];
let errors: string[];
let sleepCount: number;
beforeEach(() => {
  kube = new SelectingKube();
  [printed, errors, sleepCount] = [[], [], 0];
});

/** What a command gets; `onSleep` is what others do meanwhile. */
function deps(onSleep: (count: number) => void = () => undefined) {
  const out = { print: (text: string) => printed.push(text), printError: (text: string) => errors.push(text) };
  const sleep = async () => {
    sleepCount += 1;
    onSleep(sleepCount);
  };
  return { kube, out, sleep };
}
const said = (): string => [...printed, ...errors].join('\n');

function putNamespace(name: string, annotations: Record<string, string> = {}, isEnabled = true): void {
  const labels: Record<string, string> = isEnabled ? { 'stepmemo.io/enabled': 'true' } : {};
  kube.put(RESOURCES.namespaces, { kind: 'Namespace', metadata: { name, labels, annotations } });
}

function template(kind: string, name: string, namespace?: string, labels: Record<string, string> = {}): KubeObject {
  const spec = { templates: [{ name: 't', container: {}, memoize }] };
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind,
    metadata: { name, labels, ...(namespace !== undefined && { namespace }) },
    spec: kind === 'CronWorkflow' ? { workflowSpec: spec } : spec,
  };
}

function putTemplates(namespace: string): void {
  kube.put(RESOURCES.workflowTemplates, template('WorkflowTemplate', 'shared', namespace));
  kube.put(RESOURCES.cronWorkflows, template('CronWorkflow', 'nightly', namespace));
}

const isMoved = (object: KubeObject | undefined): boolean => JSON.stringify(object).includes('moved-from');

describe('runMigrateCluster', () => {
  const all = { allNamespaces: true, yes: true };
  beforeEach(() => {
    putNamespace('a');
    putTemplates('a');
  });

  it('says what would change, and changes nothing without --yes', async () => {
    expect(await runMigrateCluster({ ...all, yes: false }, deps())).toBe(0);
    expect(said()).toMatch(/a +WorkflowTemplate +shared +spec\.templates\[0\]/);
    expect(said()).toMatch(/a +CronWorkflow +nightly +spec\.workflowSpec\.templates\[0\]/);
    expect(said()).toContain('Dry run: 2 objects would change.');
    expect(kube.calls.map(({ verb }) => verb)).not.toContain('patch');
  });

  it('moves what is stored, once', async () => {
    expect(await runMigrateCluster({ namespace: 'a', allNamespaces: false, yes: true }, deps())).toBe(0);
    expect(said()).toContain('2 objects changed.');
    expect(isMoved(kube.peek(RESOURCES.workflowTemplates, 'a', 'shared'))).toBe(true);
    expect(isMoved(kube.peek(RESOURCES.cronWorkflows, 'a', 'nightly'))).toBe(true);
    printed = [];
    expect(await runMigrateCluster(all, deps())).toBe(0);
    expect(said()).toContain('Nothing to move');
  });

  it('leaves out namespaces that have not opted in or are in native mode', async () => {
    putNamespace('off', {}, false);
    putNamespace('native', { 'stepmemo.io/memoize': 'native' });
    for (const name of ['off', 'native']) putTemplates(name);
    expect(await runMigrateCluster(all, deps())).toBe(0);
    expect(isMoved(kube.peek(RESOURCES.workflowTemplates, 'off', 'shared'))).toBe(false);
    expect(isMoved(kube.peek(RESOURCES.workflowTemplates, 'native', 'shared'))).toBe(false);
    expect(errors).toEqual(['Namespace native is left out: it is in native mode.']);
    expect(await runMigrateCluster({ namespace: 'off', allNamespaces: false, yes: true }, deps())).toBe(1);
    expect(said()).toContain('kubectl label namespace off stepmemo.io/enabled=true');
    expect(await runMigrateCluster({ namespace: 'native', allNamespaces: false, yes: true }, deps())).toBe(1);
  });

  it('takes ClusterWorkflowTemplates with the label alone, and tells of the others', async () => {
    const labels = { 'stepmemo.io/enabled': 'true' };
    kube.put(RESOURCES.clusterWorkflowTemplates, template('ClusterWorkflowTemplate', 'with', undefined, labels));
    kube.put(RESOURCES.clusterWorkflowTemplates, template('ClusterWorkflowTemplate', 'without'));
    expect(await runMigrateCluster(all, deps())).toBe(0);
    expect(isMoved(kube.peek(RESOURCES.clusterWorkflowTemplates, undefined, 'with'))).toBe(true);
    expect(isMoved(kube.peek(RESOURCES.clusterWorkflowTemplates, undefined, 'without'))).toBe(false);
    expect(said()).toContain('ClusterWorkflowTemplate without has memoize and stays with Argo');
  });

  it('does without ClusterWorkflowTemplates where the caller may not see them', async () => {
    kube.before = ({ verb, name }) =>
      verb === 'listPage' && name === 'clusterworkflowtemplates' ? forbidden : undefined;
    expect(await runMigrateCluster(all, deps())).toBe(0);
    expect(said()).toContain('you may not list them');
  });

  it('makes its patch anew when somebody was quicker', async () => {
    let isFirst = true;
    kube.before = ({ verb, name }) => {
      if (verb === 'patch' && name === 'shared' && isFirst) {
        isFirst = false;
        const other = template('WorkflowTemplate', 'shared', 'a');
        kube.put(RESOURCES.workflowTemplates, {
          ...other,
          spec: { templates: [{ name: 'new', script: {}, memoize }] },
        });
      }
      return undefined;
    };
    expect(await runMigrateCluster(all, deps())).toBe(0);
    expect(kube.peek(RESOURCES.workflowTemplates, 'a', 'shared')?.spec).toMatchObject({
      templates: [{ name: 'new', metadata: { annotations: { 'stepmemo.io/key': 'k' } } }],
    });
  });

  it('goes on after one that cannot be changed, and says so in the end', async () => {
    kube.before = ({ verb, name }) => (verb === 'patch' && name === 'shared' ? forbidden : undefined);
    expect(await runMigrateCluster(all, deps())).toBe(1);
    expect(errors).toEqual([expect.stringContaining('WorkflowTemplate a/shared stays as it is: you may not.')]);
    expect(isMoved(kube.peek(RESOURCES.cronWorkflows, 'a', 'nightly'))).toBe(true);
  });

  it.each([[{ allNamespaces: false, yes: false }], [{ namespace: 'a', allNamespaces: true, yes: false }]])(
    'wants one scope: %j',
    async (options) => {
      expect(await runMigrateCluster(options, deps())).toBe(2);
    },
  );
});

function putPod(
  name: string,
  options: { gates?: string[]; phase?: string; labels?: Record<string, string> } = {},
): KubeObject {
  const { gates = ['other/gate', 'stepmemo.io/hit', 'stepmemo.io/miss'], phase = 'Pending', labels = {} } = options;
  return kube.put(RESOURCES.pods, {
    kind: 'Pod',
    metadata: { name, namespace: 'a', labels },
    spec: { schedulingGates: gates.map((gate) => ({ name: gate })) },
    status: { phase },
  });
}

function putResult(name: string, podUid: string | undefined): void {
  kube.put(RESOURCES.workflowTaskResults, {
    kind: 'WorkflowTaskResult',
    metadata: {
      name,
      namespace: 'a',
      labels: { 'workflows.argoproj.io/workflow': 'wf' },
      annotations: podUid === undefined ? {} : { 'stepmemo.io/pod-uid': podUid },
    },
  });
}

const gatesOf = (name: string) => kube.peek(RESOURCES.pods, 'a', name)?.spec;
const hasResult = (name: string) => kube.peek(RESOURCES.workflowTaskResults, 'a', name) !== undefined;

function putDeployment(readyReplicas: number): void {
  const metadata = { name: 'stepmemo', namespace: 'stepmemo', labels: { 'app.kubernetes.io/part-of': 'stepmemo' } };
  kube.put(RESOURCES.deployments, { kind: 'Deployment', metadata, status: { readyReplicas } });
}

describe('runRelease', () => {
  const options = { allNamespaces: true, yes: true, force: false, ownNamespace: 'stepmemo' };

  it('takes our gates off, and no other; nothing without --yes', async () => {
    putPod('held');
    putPod('free', { gates: ['other/gate'] });
    putPod('running', { phase: 'Running' });
    expect(await runRelease({ ...options, yes: false }, deps())).toBe(0);
    expect(said()).toContain('Dry run: 1 pod would be released.');
    expect(gatesOf('held')).toMatchObject({ schedulingGates: { length: 3 } });
    expect(await runRelease(options, deps())).toBe(0);
    expect(gatesOf('held')).toEqual({ schedulingGates: [{ name: 'other/gate' }] });
    expect(said()).toContain('1 pod released, 0 deleted.');
  });

  it('first deletes the task result that was made for the pod, and that one alone', async () => {
    const pod = putPod('held');
    putResult('mine', pod.metadata?.uid);
    putResult('argos', undefined);
    putResult('other-pod', 'other');
    const order: string[] = [];
    kube.before = ({ verb, name }) => {
      if (verb === 'remove' || verb === 'patch') order.push(`${verb} ${name}`);
      return undefined;
    };
    expect(await runRelease(options, deps())).toBe(0);
    expect(order).toEqual(['remove mine', 'patch held']);
    expect([hasResult('mine'), hasResult('argos'), hasResult('other-pod')]).toEqual([false, true, true]);
  });

  it('keeps a pod gated whose task result it cannot delete', async () => {
    putResult('mine', putPod('held').metadata?.uid);
    kube.before = ({ verb }) => (verb === 'remove' ? forbidden : undefined);
    expect(await runRelease(options, deps())).toBe(1);
    expect(gatesOf('held')).toMatchObject({ schedulingGates: { length: 3 } });
    expect(said()).toContain('Pod a/held stays gated');
  });

  it('deletes a pod whose step has ended', async () => {
    putPod('late', { labels: { 'workflows.argoproj.io/completed': 'true' } });
    expect(await runRelease(options, deps())).toBe(0);
    expect(kube.peek(RESOURCES.pods, 'a', 'late')).toBeUndefined();
    expect(said()).toContain('0 pods released, 1 deleted.');
  });

  it('meets others at the pod with good grace', async () => {
    putPod('changed');
    putPod('gone');
    let isFirst = true;
    kube.before = ({ verb, name }) => {
      if (verb !== 'patch' || !isFirst) return undefined;
      if (name === 'gone') kube.drop(RESOURCES.pods, 'a', 'gone');
      else {
        isFirst = false;
        putPod('changed', { gates: ['stepmemo.io/hit'] });
      }
      return undefined;
    };
    expect(await runRelease(options, deps())).toBe(0);
    expect(gatesOf('changed')).toEqual({ schedulingGates: [] });
  });

  it('stands back while stepmemo runs, unless told to', async () => {
    putPod('held');
    putDeployment(1);
    expect(await runRelease(options, deps())).toBe(1);
    expect(said()).toContain('Stop it first, or say --force.');
    expect(await runRelease({ ...options, force: true }, deps())).toBe(0);
    expect(gatesOf('held')).toEqual({ schedulingGates: [{ name: 'other/gate' }] });
  });

  it('takes a lease that is being renewed for a running server', async () => {
    putPod('held');
    const lease = (renewTime: Date) =>
      kube.put(RESOURCES.leases, {
        metadata: { name: 'stepmemo', namespace: 'stepmemo' },
        spec: { holderIdentity: 'x', leaseDurationSeconds: 8, renewTime: renewTime.toISOString() },
      });
    lease(new Date());
    expect(await runRelease(options, deps())).toBe(1);
    lease(new Date(Date.now() - 60_000));
    expect(await runRelease(options, deps())).toBe(0);
  });

  it('has nothing to do, or lacks a scope, or a right', async () => {
    expect(await runRelease(options, deps())).toBe(0);
    expect(said()).toContain('No pod carries a gate of stepmemo.');
    expect(await runRelease({ ...options, allNamespaces: false }, deps())).toBe(2);
    kube.before = () => forbidden;
    expect(await runRelease(options, deps())).toBe(1);
    expect(errors.at(-1)).toContain('Run this with an account that may.');
  });
});

describe('runUninstall', () => {
  const options = { yes: true, caches: false, prepare: false, ownNamespace: 'stepmemo', waitMs: 1000 };
  const partOf = { labels: { 'app.kubernetes.io/part-of': 'stepmemo' } };
  const rbac = (resource: string) => ({ group: 'rbac.authorization.k8s.io', version: 'v1', resource });
  const clusterWide = [
    ['MutatingWebhookConfiguration', RESOURCES.mutatingWebhookConfigurations],
    ['ValidatingWebhookConfiguration', RESOURCES.validatingWebhookConfigurations],
    ['ValidatingAdmissionPolicyBinding', RESOURCES.admissionPolicyBindings],
    ['ValidatingAdmissionPolicy', RESOURCES.admissionPolicies],
    ['ClusterRoleBinding', rbac('clusterrolebindings')],
    ['ClusterRole', rbac('clusterroles')],
    ['Namespace', RESOURCES.namespaces],
  ] as const;

  beforeEach(async () => {
    for (const [kind, resource] of clusterWide) kube.put(resource, { kind, metadata: { name: 'stepmemo', ...partOf } });
    kube.put(rbac('clusterroles'), { kind: 'ClusterRole', metadata: { name: 'not-ours' } });
    putNamespace('a');
    putTemplates('a');
    await runMigrateCluster({ allNamespaces: true, yes: true }, deps());
    kube.put(RESOURCES.workflowTemplates, template('WorkflowTemplate', 'never-moved', 'a'));
    [printed, errors] = [[], []];
    kube.calls.length = 0;
  });
  const writes = () => kube.calls.filter(({ verb }) => verb === 'remove' || verb === 'patch');

  it('says what it would do, and does nothing without --yes', async () => {
    putPod('held');
    expect(await runUninstall({ ...options, yes: false }, deps())).toBe(0);
    expect(writes()).toEqual([]);
    expect(said()).toMatch(/end or release +Pod a\/held/);
    expect(said()).toMatch(/move memoize back +CronWorkflow a\/nightly/);
    expect(said()).toMatch(/delete +Namespace stepmemo/);
    expect(said()).not.toContain('never-moved');
    expect(said()).toContain('kubectl label namespace a stepmemo.io/enabled-');
  });

  it('goes in order, and leaves the templates as they were', async () => {
    putPod('held');
    putDeployment(0);
    expect(await runUninstall(options, deps())).toBe(0);
    const order = printed.slice(printed.indexOf('') + 1);
    expect(order).toEqual([
      'deleted MutatingWebhookConfiguration stepmemo',
      'deleted ValidatingWebhookConfiguration stepmemo',
      'deleted Deployment stepmemo/stepmemo',
      '1 pod released, 0 deleted.',
      'memoize moved back in WorkflowTemplate a/shared',
      'memoize moved back in CronWorkflow a/nightly',
      ...clusterWide.slice(2).map(([kind]) => `deleted ${kind} stepmemo`),
      'stepmemo is out of this cluster.',
    ]);
    expect(kube.peek(RESOURCES.workflowTemplates, 'a', 'shared')?.spec).toEqual(template('WorkflowTemplate', '').spec);
    expect(kube.peek(RESOURCES.cronWorkflows, 'a', 'nightly')?.spec).toEqual(template('CronWorkflow', '').spec);
    expect(kube.peek(rbac('clusterroles'), undefined, 'not-ours')).toBeDefined();
    printed = [];
    expect(await runUninstall(options, deps())).toBe(0);
    expect(printed).toEqual(['Nothing of stepmemo is in this cluster.']);
  });

  it('leaves the objects to their owner, and nothing that depends on stepmemo, with --prepare', async () => {
    putPod('held');
    putDeployment(0);
    expect(await runUninstall({ ...options, prepare: true, yes: false }, deps())).toBe(0);
    expect(said()).toMatch(/delete +Deployment stepmemo/);
    expect(said()).not.toContain('ClusterRole');
    expect(await runUninstall({ ...options, prepare: true }, deps())).toBe(0);
    expect(said()).toContain('1 pod released');
    expect(said()).toContain('memoize moved back in WorkflowTemplate a/shared');
    expect(kube.peek(RESOURCES.mutatingWebhookConfigurations, undefined, 'stepmemo')).toBeUndefined();
    for (const [, resource] of clusterWide.slice(2)) expect(kube.peek(resource, undefined, 'stepmemo')).toBeDefined();
  });

  it('lets a running server end its pods, and waits until it has stopped', async () => {
    putPod('held');
    putDeployment(2);
    const labels = { 'app.kubernetes.io/name': 'stepmemo' };
    kube.put(RESOURCES.pods, { kind: 'Pod', metadata: { name: 'replica', namespace: 'stepmemo', labels } });
    const meanwhile = (count: number) => {
      if (count === 2) putPod('held', { gates: [], phase: 'Succeeded' });
      if (count === 3) kube.drop(RESOURCES.pods, 'stepmemo', 'replica');
    };
    expect(await runUninstall(options, deps(meanwhile))).toBe(0);
    expect(said()).not.toMatch(/\d pods? released/);
    expect(sleepCount).toBe(3);
  });

  it('goes no further when replicas do not stop', async () => {
    putPod('held');
    const labels = { 'app.kubernetes.io/name': 'stepmemo' };
    kube.put(RESOURCES.pods, { kind: 'Pod', metadata: { name: 'replica', namespace: 'stepmemo', labels } });
    expect(await runUninstall(options, deps())).toBe(1);
    expect(said()).toContain('replicas of stepmemo in namespace stepmemo do not stop');
    expect(gatesOf('held')).toMatchObject({ schedulingGates: { length: 3 } });
    expect(kube.peek(RESOURCES.admissionPolicies, undefined, 'stepmemo')).toBeDefined();
  });

  it('deletes marked task results that nobody will read, and no other', async () => {
    putResult('of-running', putPod('running', { gates: [], phase: 'Running' }).metadata?.uid);
    putResult('of-hit', putPod('hit', { gates: [], phase: 'Succeeded' }).metadata?.uid);
    putResult('of-nobody', 'no-such-uid');
    putResult('argos', undefined);
    const wf = { kind: 'Workflow', metadata: { name: 'wf', namespace: 'a' } };
    kube.put(RESOURCES.workflows, wf);
    expect(await runUninstall(options, deps())).toBe(0);
    expect(['of-running', 'of-hit', 'of-nobody', 'argos'].map(hasResult)).toEqual([false, true, true, true]);
    kube.drop(RESOURCES.workflows, 'a', 'wf');
    expect(await runUninstall(options, deps())).toBe(0);
    expect(['of-hit', 'of-nobody', 'argos'].map(hasResult)).toEqual([true, false, true]);
  });

  it("deletes caches only when asked, and only those that are stepmemo's in whole", async () => {
    const labels = { 'workflows.argoproj.io/configmap-type': 'Cache' };
    const put = (name: string, data: object, binaryData: object, own = labels) =>
      kube.put(RESOURCES.configMaps, {
        kind: 'ConfigMap',
        metadata: { name, namespace: 'a', labels: own },
        data,
        binaryData,
      });
    put('ours', { k: '{}' }, { [metaKeyFor('k')]: '' });
    put('argos', { k: '{}' }, {});
    put('both', { k: '{}', j: '{}' }, { [metaKeyFor('k')]: '' });
    const left = () => ['ours', 'argos', 'both'].filter((name) => kube.peek(RESOURCES.configMaps, 'a', name));
    expect(await runUninstall(options, deps())).toBe(0);
    expect(left()).toEqual(['ours', 'argos', 'both']);
    expect(await runUninstall({ ...options, caches: true }, deps())).toBe(0);
    expect(left()).toEqual(['argos', 'both']);
  });

  it('leaves a namespace that it did not make, and empties it of what is its own', async () => {
    kube.put(RESOURCES.namespaces, { kind: 'Namespace', metadata: { name: 'stepmemo' } });
    putDeployment(0);
    const secret = (name: string) =>
      kube.put(RESOURCES.secrets, { kind: 'Secret', metadata: { name, namespace: 'stepmemo' } });
    secret('stepmemo-ca');
    secret('somebody-elses');
    expect(await runUninstall(options, deps())).toBe(0);
    expect(kube.peek(RESOURCES.namespaces, undefined, 'stepmemo')).toBeDefined();
    expect(kube.peek(RESOURCES.secrets, 'stepmemo', 'stepmemo-ca')).toBeUndefined();
    expect(kube.peek(RESOURCES.secrets, 'stepmemo', 'somebody-elses')).toBeDefined();
    expect(printed.filter((line) => line === 'deleted Deployment stepmemo/stepmemo')).toHaveLength(1);
  });

  it('tries again when a webhook that is on its way out changes a template back', async () => {
    const moved = kube.peek(RESOURCES.workflowTemplates, 'a', 'shared');
    let isFirst = true;
    const patch = kube.patch.bind(kube);
    kube.patch = async (path, operations) => {
      const result = await patch(path, operations);
      if (path.name !== 'shared' || !isFirst || moved === undefined) return result;
      isFirst = false;
      return { ok: true, value: kube.put(RESOURCES.workflowTemplates, moved) };
    };
    expect(await runUninstall(options, deps())).toBe(0);
    expect(isMoved(kube.peek(RESOURCES.workflowTemplates, 'a', 'shared'))).toBe(false);
  });

  it('stops where it may not go on, and can be run again', async () => {
    kube.before = ({ verb, name }) => (verb === 'listPage' && name === 'pods' ? forbidden : undefined);
    expect(await runUninstall(options, deps())).toBe(1);
    expect(errors.at(-1)).toContain('pods cannot be listed');
    expect(writes()).toEqual([]);
    kube.before = ({ verb, name }) => (verb === 'patch' && name === 'shared' ? forbidden : undefined);
    expect(await runUninstall(options, deps())).toBe(1);
    expect(errors.at(-1)).toContain('the rest of stepmemo stays');
    expect(kube.peek(RESOURCES.admissionPolicies, undefined, 'stepmemo')).toBeDefined();
    kube.before = () => undefined;
    expect(await runUninstall(options, deps())).toBe(0);
  });
});
