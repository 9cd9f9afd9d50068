import { beforeAll, describe, expect, it } from 'vitest';
import { DECISION_ANNOTATION, HIT_GATE } from '../../src/base/names.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must, waitFor } from '../integration/harness.ts';
import type { TestKube } from '../integration/test-kube.ts';
import {
  admin,
  entryOf,
  forgeResults,
  giveAccount,
  givenNamespace,
  memoizedSteps,
  podsOf,
  submit,
  untilEnded,
  untilEntry,
} from './cluster.ts';
import { oneStep, UUID_SCRIPT } from './one-step.ts';

/*
 * What a tenant may write without being the workflow controller, an executor or stepmemo: each is refused, or changes
 * nothing. The tenant has the rights of `edit` that matter here.
 */
const CACHE = 'forgeries';
/** Where the image has Node.js. */
const NODE = '/nodejs/bin/node';
let namespace: string;
let tenant: TestKube;

beforeAll(async () => {
  namespace = await givenNamespace();
  const kube = await admin();
  const verbs = ['get', 'list', 'create', 'update', 'patch', 'delete'];
  await giveAccount(kube, namespace, 'tenant', [
    { apiGroups: [''], resources: ['pods'], verbs },
    { apiGroups: ['argoproj.io'], resources: ['workflowtaskresults'], verbs },
  ]);
  tenant = kube.withToken((await kube.tokenOf(namespace, 'tenant')).token);
});

const workflow = (key: string, script = UUID_SCRIPT, outputs: object = {}): KubeObject =>
  oneStep(key, {
    cache: CACHE,
    script,
    template: { outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }], ...outputs } },
  });

async function givenEntry(key: string, outputs?: object): Promise<void> {
  const ended = await untilEnded(namespace, await submit(namespace, workflow(key, UUID_SCRIPT, outputs)));
  expect(ended).toMatchObject({ phase: 'Succeeded' });
  await untilEntry(namespace, CACHE, key);
}

const runningPod = (name: string) =>
  waitFor(
    async () =>
      (await podsOf({ namespace, name })).find((pod) => (pod.status as { phase?: string }).phase === 'Running'),
    { what: `the pod of ${name} to run`, deadlineMs: 120_000 },
  );

const plainPod = (name: string, extra: object = {}, spec: object = {}): KubeObject => ({
  metadata: { name, ...extra },
  spec: {
    containers: [{ name: 'main', image: 'busybox:local', command: ['sleep', '600'] }],
    terminationGracePeriodSeconds: 0,
    ...spec,
  },
});

describe('an entry written by hand', () => {
  it("gives the step this pod's own artifact location, whatever store and secret it names", async () => {
    const artifacts = [{ name: 'file', path: '/tmp/out', archive: { none: {} }, s3: { key: 'own/{{workflow.name}}' } }];
    await givenEntry('bucket', { artifacts });
    const entry = (await untilEntry(namespace, CACHE, 'bucket')) as { outputs: { artifacts: { s3: object }[] } };
    const [artifact] = entry.outputs.artifacts;
    if (artifact === undefined) throw new Error('the entry has no artifact');
    Object.assign(artifact.s3, {
      endpoint: 'evil.example.com',
      bucket: 'stolen',
      accessKeySecret: { name: 'somebody-elses', key: 'a' },
      secretKeySecret: { name: 'somebody-elses', key: 's' },
    });
    const kube = await admin();
    const map = { resource: RESOURCES.configMaps, namespace, name: CACHE };
    must(await kube.patch(map, [{ op: 'replace', path: '/data/bucket', value: JSON.stringify(entry) }]));
    await waitFor(async () => JSON.stringify(await entryOf(namespace, CACHE, 'bucket')).includes('stolen'), {
      what: 'the forged entry',
    });
    const ended = await untilEnded(namespace, await submit(namespace, workflow('bucket', UUID_SCRIPT, { artifacts })));
    expect(ended).toMatchObject({ phase: 'Succeeded' });
    const [step] = await memoizedSteps(ended);
    expect(step).toMatchObject({ decision: 'hit', hasRun: false });
    expect(JSON.stringify(ended.nodes)).not.toMatch(/evil|stolen|somebody-elses/);
    expect(JSON.stringify(ended.nodes)).toContain('own/');
  });
});

describe('a tenant who may write pods', () => {
  const pods = { resource: RESOURCES.pods };

  it.each([
    ['our gate', {}, { schedulingGates: [{ name: HIT_GATE }] }],
    ['a decision', { annotations: { [DECISION_ANNOTATION]: 'miss' } }, {}],
  ])('creates none with %s', async (_, metadata, spec) => {
    const made = await tenant.create({ ...pods, namespace }, plainPod('forged', metadata, spec));
    expect(made).toMatchObject({ ok: false, status: 403 });
  });

  it('creates others', async () => {
    must(await tenant.create({ ...pods, namespace }, plainPod('plain')));
    must(await tenant.remove({ ...pods, namespace, name: 'plain' }));
  });

  it('changes no annotation of ours on a step that runs', async () => {
    const name = await submit(namespace, workflow('change', `sleep 5; ${UUID_SCRIPT}`));
    const pod = await runningPod(name);
    const path = { ...pods, namespace, name: pod.metadata?.name ?? '' };
    for (const annotations of [{ [DECISION_ANNOTATION]: 'hit' }, { 'stepmemo.io/key': 'other' }])
      expect(await tenant.merge(path, { metadata: { annotations } })).toMatchObject({ ok: false, status: 403 });
    expect(await untilEnded(namespace, name)).toMatchObject({ phase: 'Succeeded' });
    expect(await entryOf(namespace, CACHE, 'other')).toBeUndefined();
  });
});

describe('a task result of somebody else', () => {
  it('is in no entry, however often it is written while the step runs', async () => {
    const name = await submit(namespace, workflow('result', `sleep 4; ${UUID_SCRIPT}`));
    await runningPod(name);
    const written = await forgeResults(tenant, { namespace, name });
    expect(written).toBeGreaterThan(0);
    // A later entry is there: what became of the earlier one is settled.
    await givenEntry('after-result');
    expect(JSON.stringify((await entryOf(namespace, CACHE, 'result')) ?? {})).not.toContain('forged');
  });
});

describe('a pod that posts to the server itself', () => {
  /** Runs a script of Node.js in a pod of the tenant's and returns the lines that it printed. */
  async function postFromPod(name: string, script: string): Promise<string> {
    const container = { name: 'main', image: 'stepmemo:local', command: [NODE, '-e', script] };
    must(
      await tenant.create(
        { resource: RESOURCES.pods, namespace },
        plainPod(name, {}, { containers: [container], restartPolicy: 'Never' }),
      ),
    );
    const kube = await admin();
    await waitFor(
      async () => {
        const pod = must(await kube.get({ resource: RESOURCES.pods, namespace, name }));
        return ['Succeeded', 'Failed'].includes((pod.status as { phase?: string }).phase ?? '');
      },
      { what: `pod ${name} to end`, deadlineMs: 120_000 },
    );
    const log = await kube.request('GET', `/api/v1/namespaces/${namespace}/pods/${name}/log`);
    return typeof log.body.message === 'string' ? log.body.message : JSON.stringify(log.body);
  }

  /** Certificates are not looked at: who posts is what is tested. */
  const scriptOf = (port: number, path: string, body: string, headers: object) =>
    `const r=require('https').request({host:'stepmemo.stepmemo.svc',port:${port},path:'${path}',method:'POST',` +
    `rejectUnauthorized:false,headers:${JSON.stringify({ 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers })}},` +
    `(a)=>{let t='';a.on('data',(c)=>{t+=c});a.on('end',()=>console.log('status='+a.statusCode+' '+t))});` +
    `r.on('error',(e)=>console.log('error='+e.message));r.end(${JSON.stringify(body)})`;

  /** What a review could have changed, with its versions. */
  async function snapshot(exceptPod: string): Promise<readonly string[]> {
    const kube = await admin();
    const kinds = [RESOURCES.pods, RESOURCES.configMaps, RESOURCES.workflowTaskResults];
    const lists = await Promise.all(kinds.map(async (resource) => must(await kube.list({ resource, namespace }))));
    return lists
      .flat()
      .filter(({ metadata }) => metadata?.name !== exceptPod)
      .map(({ metadata, data, outputs }) =>
        JSON.stringify([metadata?.name, metadata?.uid, metadata?.annotations, data, outputs]),
      )
      .sort();
  }

  it('gets an answer to a review, and changes nothing in the cluster', async () => {
    await givenEntry('review');
    const [pod] = (await memoizedStepsOf('review')).map(({ pod }) => pod);
    const object = { ...pod, metadata: { ...pod?.metadata, name: 'never-created', uid: undefined } };
    const request = {
      uid: '00000000-0000-4000-8000-000000000000',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      namespace,
      operation: 'CREATE',
      userInfo: { username: 'system:serviceaccount:argo:argo' },
      object,
    };
    const body = JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request });
    const before = await snapshot('reviewer');
    expect(await postFromPod('reviewer', scriptOf(443, '/mutate/pods', body, {}))).toMatch(/status=\d+/);
    // Argo takes results of ended workflows away meanwhile; nothing may be there that was not there before.
    expect(before).toEqual(expect.arrayContaining([...(await snapshot('reviewer'))]));
  });

  async function memoizedStepsOf(key: string) {
    const kube = await admin();
    const pods = must(await kube.list({ resource: RESOURCES.pods, namespace }));
    const names = pods.map(({ metadata }) => metadata?.labels?.['workflows.argoproj.io/workflow'] ?? '');
    const name = names.find((candidate) => candidate.startsWith(`${key}-`)) ?? '';
    return memoizedSteps({ namespace, name });
  }

  it.each([
    ['no token', 401],
    ['a token that is bound to no pod', 403],
    ["another pod's token", 403],
  ])('captures nothing with %s', async (what, status) => {
    const kube = await admin();
    const key = `capture-${status}-${what.length}`;
    const name = await submit(namespace, workflow(key, `sleep 6; ${UUID_SCRIPT}`));
    await runningPod(name);
    const other = must(
      await tenant.create({ resource: RESOURCES.pods, namespace }, plainPod(`other-${status}-${what.length}`)),
    );
    const boundTo = { name: other.metadata?.name ?? '', uid: other.metadata?.uid ?? '' };
    const options = { audiences: ['stepmemo'], ...(what.startsWith('another') && { boundTo }) };
    const { token } = await kube.tokenOf(namespace, 'default', options);
    const headers = what === 'no token' ? {} : { authorization: `Bearer ${token}` };
    const body = JSON.stringify({ parameters: [{ name: 'out', value: 'forged' }] });
    const poster = `poster-${status}-${what.length}`;
    const answer = await postFromPod(poster, scriptOf(8444, '/capture/v1/outputs', body, headers));
    expect(answer).toContain(`status=${status}`);
    expect(await untilEnded(namespace, name)).toMatchObject({ phase: 'Succeeded' });
    expect(JSON.stringify(await untilEntry(namespace, CACHE, key))).not.toContain('forged');
    must(await tenant.remove({ resource: RESOURCES.pods, namespace, name: boundTo.name }));
  });
});
