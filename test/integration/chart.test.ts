import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { renderManifests } from '../../scripts/manifests.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import type { KubeObject } from '../../src/kube/types.ts';
import { clusterInfo, createNamespace } from './harness.ts';

/*
 * The Helm chart: that manifests/base is made from it, that both Helms render it alike, what its values reach and which are
 * refused, and that a second installation is.
 */
const run = promisify(execFile);
const ROOT = new URL('../..', import.meta.url).pathname;
const CHART = join(ROOT, 'charts/stepmemo');
/** A Helm that was built from source takes itself to be for an old Kubernetes. */
const KUBE = ['--kube-version', '1.30.0'];
const IMAGE = ['--set', 'image.repository=registry.example/stepmemo', '--set', 'image.tag=1.2.3'];

const helms: Record<'3' | '4', string> = { '3': '', '4': '' };
beforeAll(async () => {
  for (const major of ['3', '4'] as const) {
    const { stdout } = await run(join(ROOT, 'cluster/build.sh'), ['helm', major], { maxBuffer: 2 ** 24 });
    helms[major] = stdout.trim().split('\n').at(-1) ?? '';
  }
}, 1_800_000);

async function template(args: readonly string[], major: '3' | '4' = '3'): Promise<KubeObject[]> {
  const { stdout } = await run(helms[major], ['template', 'mine', CHART, '-n', 'memo', ...KUBE, ...args], {
    maxBuffer: 2 ** 24,
  });
  const objects = parseAllDocuments(stdout).map((document) => document.toJS() as KubeObject | null);
  return objects.filter((object) => object !== null);
}

/** The words of a refusal. */
async function refusalOf(...args: readonly string[]): Promise<string> {
  try {
    await run(helms['3'], ['template', 'mine', CHART, ...KUBE, ...args], { maxBuffer: 2 ** 24 });
    return 'none';
  } catch (error) {
    return String((error as { stderr?: string }).stderr);
  }
}

const nameOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata?.name}`;
const find = (objects: readonly KubeObject[], kind: string, name = 'stepmemo') =>
  objects.find((object) => object.kind === kind && object.metadata?.name === name);

describe('the chart', () => {
  it('is what manifests/ is made from', async () => {
    const made = renderManifests(helms['3']);
    for (const [file, text] of made) {
      expect(await readFile(join(ROOT, 'manifests', file), 'utf8'), file).toBe(text);
    }
    const others = (await readdir(join(ROOT, 'manifests/base'))).filter((file) => !made.has(join('base', file)));
    expect(others.sort()).toEqual(['kustomization.yaml', 'namespace.yaml', 'settings.env']);
  });

  it('moves memoize in the API server, for those who ask for it on a Kubernetes that can', async () => {
    const set = ['--set', 'outage.moveInApiServer=true'];
    expect(await refusalOf(...IMAGE, ...set)).toContain('needs Kubernetes 1.36 or later');
    const objects = await template([...IMAGE, ...set, '--kube-version', '1.36.0']);
    const moving = objects.filter(({ kind }) => kind?.startsWith('MutatingAdmissionPolicy') === true);
    expect(moving).toHaveLength(4);
    expect(JSON.stringify(find(objects, 'MutatingAdmissionPolicy', 'stepmemo-move'))).toContain(
      '"values":["memo","kube-system"]',
    );
  });

  it('has alerts and a dashboard, for those who ask for them', async () => {
    const plain = (await template(IMAGE)).map(({ kind }) => kind);
    expect(plain).not.toContain('PrometheusRule');
    const set = [
      '--set',
      'prometheusRule.enabled=true,prometheusRule.labels.release=prom',
      '--set',
      'dashboard.enabled=true',
    ];
    const objects = await template([...IMAGE, ...set], '4');
    const rule = find(objects, 'PrometheusRule');
    expect(rule?.metadata?.labels).toMatchObject({ release: 'prom', 'app.kubernetes.io/part-of': 'stepmemo' });
    const { groups } = (rule?.spec ?? {}) as unknown as { groups: readonly { rules: readonly { alert: string }[] }[] };
    expect(groups[0]?.rules.map(({ alert }) => alert)).toContain('StepmemoNotCalled');
    const { data } = find(objects, 'ConfigMap', 'stepmemo-dashboard') as unknown as { data: Record<string, string> };
    expect(JSON.parse(data['stepmemo.json'] ?? '')).toMatchObject({ title: 'stepmemo' });
  });

  it('says the same to Helm 3 and Helm 4, and neither finds fault with it', async () => {
    // Each has an order of its own.
    const sorted = async (major: '3' | '4') =>
      (await template(IMAGE, major)).sort((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
    expect(await sorted('4')).toEqual(await sorted('3'));
    for (const helm of Object.values(helms)) {
      const { stdout } = await run(helm, ['lint', CHART, ...IMAGE]);
      expect(stdout).toContain('0 chart(s) failed');
    }
  });

  it('is taken by the API server, every object of it', async () => {
    const file = join(clusterInfo().scratch, 'chart.yaml');
    const { stdout } = await run(helms['3'], ['template', 'mine', CHART, '-n', 'stepmemo', ...KUBE, ...IMAGE]);
    await writeFile(file, stdout);
    const { kubectl, adminKubeconfig } = clusterInfo();
    const applied = await run(kubectl, ['--kubeconfig', adminKubeconfig, 'apply', '--dry-run=server', '-f', file]);
    expect(applied.stderr.replace(/^Warning: resource .* is missing the kubectl.*\n/gm, '')).toBe('');
  });

  it.each([
    ['no image', [], 'image.repository: name the image'],
    ['no controllers', [...IMAGE, '--set', 'controllers=null'], 'controllers'],
    ['an unknown value', [...IMAGE, '--set', 'replicaCount=3'], 'replicaCount'],
    ['an unknown setting', [...IMAGE, '--set', 'settings.logLevl=debug'], 'logLevl'],
    ["a setting that is the chart's own", [...IMAGE, '--set', 'settings.webhookPort=1'], 'webhookPort'],
    ['a bad value', [...IMAGE, '--set', 'settings.logLevel=loud'], 'logLevel'],
    ['a bad digest', [...IMAGE, '--set', 'image.digest=latest'], 'digest'],
  ])('refuses %s, and names it', async (_, args, named) => {
    expect(await refusalOf(...args)).toContain(named);
  });

  it('says one list of controllers, and one namespace, everywhere', async () => {
    const second = ['--set', 'controllers[1].namespace=team', '--set', 'controllers[1].serviceAccount=workflows'];
    const first = ['--set', 'controllers[0].namespace=argo', '--set', 'controllers[0].serviceAccount=argo'];
    const objects = await template([...IMAGE, ...first, ...second]);
    const accounts = 'system:serviceaccount:argo:argo,system:serviceaccount:team:workflows';
    const settings = find(objects, 'ConfigMap', 'stepmemo-settings')?.data as Record<string, string>;
    expect(settings.STEPMEMO_CONTROLLER_ACCOUNTS).toBe(accounts);
    for (const [kind, name] of [
      ['ValidatingAdmissionPolicy', 'stepmemo-pod-creation'],
      ['ValidatingWebhookConfiguration', 'stepmemo'],
    ] as const) {
      expect(JSON.stringify(find(objects, kind, name))).toContain(`'${accounts}'.split(',')`);
    }
    const all = JSON.stringify(objects);
    expect(all).not.toMatch(/system:serviceaccount:stepmemo|"namespace":"stepmemo"|\[stepmemo, kube-system\]/);
    expect(all).toContain('system:serviceaccount:memo:stepmemo');
    const loaded = loadConfig({ env: settings });
    expect(loaded).toMatchObject({
      ok: true,
      config: {
        ownNamespace: 'memo',
        ownAccount: 'system:serviceaccount:memo:stepmemo',
        captureUrl: 'https://stepmemo.memo.svc:8444',
      },
    });
  });

  it('hands settings of every type to the server', async () => {
    const values = join(clusterInfo().scratch, 'values.yaml');
    const numbers = 'bodyLimitBytes: 8000000, sidecarRetryMinutes: 2.5';
    const others = 'logLevel: debug, leaderElection: false, policy: {argoVersion: 4.0.5}';
    await writeFile(values, `settings: {${numbers}, ${others}}\n`);
    const objects = await template([...IMAGE, '-f', values]);
    const env = find(objects, 'ConfigMap', 'stepmemo-settings')?.data as Record<string, string>;
    expect(loadConfig({ env })).toMatchObject({
      ok: true,
      config: {
        logLevel: 'debug',
        bodyLimitBytes: 8_000_000,
        leaderElection: false,
        sidecarRetryMinutes: 2.5,
        policy: { argoVersion: '4.0.5' },
      },
    });
  });

  it('places the pods where it is told to', async () => {
    const objects = await template([
      ...IMAGE,
      ...['--set', 'nodeSelector.pool=system', '--set', 'priorityClassName=high', '--set', 'image.pullSecrets={a}'],
      ...['--set', 'tolerations[0].operator=Exists', '--set', 'labels.team=core', '--set', 'image.digest='],
    ]);
    const deployment = find(objects, 'Deployment') as { spec: { template: { spec: object } } } | undefined;
    expect(deployment?.spec.template.spec).toMatchObject({
      nodeSelector: { pool: 'system' },
      priorityClassName: 'high',
      tolerations: [{ operator: 'Exists' }],
      containers: [{ image: 'registry.example/stepmemo:1.2.3' }],
    });
    expect(find(objects, 'ServiceAccount')).toMatchObject({ imagePullSecrets: [{ name: 'a' }] });
    for (const object of objects.filter(({ metadata }) => metadata?.name !== 'stepmemo-removal')) {
      expect(object.metadata?.labels, `${object.kind} ${object.metadata?.name}`).toMatchObject({
        team: 'core',
        'app.kubernetes.io/part-of': 'stepmemo',
      });
    }
  });

  it('is refused where stepmemo is installed already, and leaves nothing behind', async () => {
    const namespace = await createNamespace({ isEnabled: false });
    const { adminKubeconfig } = clusterInfo();
    for (const helm of Object.values(helms)) {
      const installing = run(helm, [
        'install',
        'second',
        CHART,
        '-n',
        namespace,
        '--kubeconfig',
        adminKubeconfig,
        ...IMAGE,
      ]);
      await expect(installing).rejects.toThrow(
        /"stepmemo[^"]*".* exists and cannot be imported into the current release/,
      );
    }
  });
});
