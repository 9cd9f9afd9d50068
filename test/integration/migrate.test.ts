import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { runMigrateCluster } from '../../src/cli/commands/migrate.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { restoreMemoize } from '../../src/workflow/restore-memoize.ts';
import { clusterInfo, createNamespace, kubeAs, must, type TestKube, withoutServerFields } from './harness.ts';

const memoize = { key: 'k-{{inputs.parameters.x}}', maxAge: '1h', cache: { configMap: { name: 'c' } } };
const spec = {
  templateDefaults: { memoize },
  entrypoint: 'main',
  templates: [
    {
      name: 'main',
      steps: [
        [{ name: 's', template: 'work' }],
        [{ name: 'i', inline: { script: { image: 'x', source: '' }, memoize } }],
      ],
    },
    { name: 'work', inputs: { parameters: [{ name: 'x', value: '1' }] }, container: { image: 'x' }, memoize },
    { name: 'apply', resource: { action: 'get', manifest: '' }, memoize },
  ],
};

function templateObject(name: string): KubeObject {
  return { apiVersion: 'argoproj.io/v1alpha1', kind: 'WorkflowTemplate', metadata: { name }, spec };
}

function cronObject(name: string): KubeObject {
  const schedules = ['0 0 1 1 *'];
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'CronWorkflow',
    metadata: { name },
    spec: { schedules, workflowSpec: spec },
  };
}

let admin: TestKube;
let kube: KubeApi;
beforeAll(async () => {
  admin = await kubeAs('admin');
  kube = createKubeApi(clusterInfo().adminKubeconfig);
});

async function migrate(options: { namespace: string; yes: boolean }, as: KubeApi = kube) {
  const printed: string[] = [];
  const errors: string[] = [];
  const out = { print: (text: string) => printed.push(text), printError: (text: string) => errors.push(text) };
  const code = await runMigrateCluster({ allNamespaces: false, ...options }, { kube: as, out });
  return { code, text: printed.join('\n'), errors };
}

describe('stepmemo migrate --cluster', () => {
  it('moves what was stored before the opt-in, and a restore gives back what was stored', async () => {
    const namespace = await createNamespace({ isEnabled: false });
    const template = must(
      await admin.create({ resource: RESOURCES.workflowTemplates, namespace }, templateObject('old')),
    );
    const cron = must(await admin.create({ resource: RESOURCES.cronWorkflows, namespace }, cronObject('nightly')));

    expect(await migrate({ namespace, yes: true })).toMatchObject({
      code: 1,
      errors: [expect.stringContaining(`kubectl label namespace ${namespace} stepmemo.io/enabled=true`)],
    });
    must(
      await admin.merge(
        { resource: RESOURCES.namespaces, name: namespace },
        { metadata: { labels: { 'stepmemo.io/enabled': 'true' } } },
      ),
    );

    const dry = await migrate({ namespace, yes: false });
    expect(dry.text).toContain('Dry run: 2 objects would change.');
    const path = { resource: RESOURCES.workflowTemplates, namespace, name: 'old' };
    expect(must(await admin.get(path)).spec).toEqual(template.spec);

    const real = await migrate({ namespace, yes: true });
    expect(real).toMatchObject({ code: 0 });
    expect(real.text).toContain('2 objects changed.');
    expect(real.errors.join()).toContain('spec.templates[2].memoize stays with Argo: the step acts on the cluster.');
    const moved = must(await admin.get(path));
    expect(moved.spec).toMatchObject({
      templateDefaults: { metadata: { annotations: { 'stepmemo.io/moved-from': 'templateDefaults.memoize' } } },
      templates: [
        { memoize, steps: [{}, [{ inline: { metadata: { annotations: { 'stepmemo.io/key': memoize.key } } } }]] },
        {
          metadata: {
            annotations: { 'stepmemo.io/key': memoize.key, 'stepmemo.io/cache': 'c', 'stepmemo.io/max-age': '1h' },
          },
        },
        { memoize },
      ],
    });
    expect((await migrate({ namespace, yes: true })).text).toContain('Nothing to move');

    for (const [resource, before] of [
      [RESOURCES.workflowTemplates, template],
      [RESOURCES.cronWorkflows, cron],
    ] as const) {
      const stored = { resource, namespace, name: before.metadata?.name ?? '' };
      must(await admin.patch(stored, restoreMemoize(must(await admin.get(stored))).patch));
      expect(must(await admin.get(stored)).spec).toEqual(before.spec);
    }
  });

  it('serves whoever administers one namespace alone', async () => {
    const namespace = await createNamespace();
    must(await admin.create({ resource: RESOURCES.workflowTemplates, namespace }, templateObject('mine')));
    const tenant = await kubeAs({ namespace, account: 'tenant' });
    const result = await migrate({ namespace, yes: true }, tenant);
    expect(result.code).toBe(0);
    expect(result.errors).toContain('ClusterWorkflowTemplates are left out: you may not list them.');
    expect((await migrate({ namespace: 'kube-system', yes: true }, tenant)).code).toBe(1);
  });
});

// Those of the version whose CRDs are installed here; the CRDs of 3.4 are minimal, and take anything.
describe('the golden objects', () => {
  const folder = new URL('../golden/expected-workflows/argo-4.0.5/', import.meta.url).pathname;
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('-create.json'),
  );

  it('are taken by the API server as they come out of the patch', async () => {
    const namespace = await createNamespace();
    const paths: Record<string, string> = {
      Workflow: `namespaces/${namespace}/workflows`,
      WorkflowTemplate: `namespaces/${namespace}/workflowtemplates`,
      CronWorkflow: `namespaces/${namespace}/cronworkflows`,
      ClusterWorkflowTemplate: 'clusterworkflowtemplates',
    };
    let count = 0;
    for (const file of files.sort()) {
      const { object } = JSON.parse(readFileSync(`${folder}${file}`, 'utf8')) as { object?: KubeObject };
      if (object === undefined) continue;
      const bare = withoutServerFields(object);
      const body = { ...bare, metadata: { name: bare.metadata?.name ?? 'generated', labels: bare.metadata?.labels } };
      const url = `/apis/argoproj.io/v1alpha1/${paths[object.kind ?? '']}?dryRun=All&fieldValidation=Strict`;
      const answer = await admin.request('POST', url, body);
      expect(answer, `${file}: ${JSON.stringify(answer.body)}`).toMatchObject({
        status: 201,
        body: { spec: object.spec },
      });
      count += 1;
    }
    expect(count).toBeGreaterThan(20);
  });
});
