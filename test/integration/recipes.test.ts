import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../src/kube/types.ts';
import { clusterInfo } from './harness.ts';

/*
 * The overlays of docs/recipes.md: each renders, and the API server takes what comes of it.
 */
const ROOT = new URL('../..', import.meta.url).pathname;
const text = await readFile(join(ROOT, 'docs/recipes.md'), 'utf8');
const recipes = text
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    name: section.split('\n')[0] ?? '',
    blocks: [...section.matchAll(/^```yaml\n# (\S+)\n([\s\S]*?)^```$/gm)].map(([, file = '', yaml = '']) => ({
      file,
      yaml,
    })),
  }));
const overlays = recipes.flatMap(({ name, blocks }) =>
  blocks.filter(({ file }) => file === 'kustomization.yaml').map(({ yaml }) => ({ name, yaml })),
);

async function kubectl(...args: readonly string[]): Promise<string> {
  const { kubectl, adminKubeconfig } = clusterInfo();
  const { stdout } = await promisify(execFile)(kubectl, ['--kubeconfig', adminKubeconfig, ...args], {
    maxBuffer: 2 ** 24,
  });
  return stdout;
}

/** The folder of an overlay, beside the manifests as a checkout has them. */
async function folderOf(name: string, yaml: string): Promise<string> {
  const parent = join(clusterInfo().scratch, `recipe-${name.replaceAll(/\W+/g, '-')}`);
  await mkdir(join(parent, 'mine'), { recursive: true });
  await symlink(ROOT, join(parent, 'stepmemo'));
  await writeFile(join(parent, 'mine', 'kustomization.yaml'), yaml);
  return join(parent, 'mine');
}

/** What each is for, in the rendered objects. */
const EXPECTED: Readonly<Record<string, (objects: readonly KubeObject[]) => void>> = {
  OpenShift: (objects) => expect(JSON.stringify(podSpecOf(objects))).not.toMatch(/runAsUser|runAsGroup|fsGroup/),
  'A service mesh': (objects) => expect(JSON.stringify(objects)).toContain('"sidecar.istio.io/inject":"false"'),
  'A control plane that does not reach pods': (objects) =>
    expect(podSpecOf(objects)).toMatchObject({ hostNetwork: true }),
  'Webhooks from the control plane only': (objects) =>
    expect(JSON.stringify(objects)).toContain('"cidr":"172.16.0.0/28"'),
};

function podSpecOf(objects: readonly KubeObject[]): object {
  const { spec } = objects.find(({ kind }) => kind === 'Deployment') ?? {};
  return (spec as { template: { spec: object } }).template.spec;
}

describe('the recipes', () => {
  it('are all looked at here', () => {
    expect(overlays.map(({ name }) => name)).toEqual(Object.keys(EXPECTED));
  });

  it.each(overlays)('$name: renders, and the API server takes it', async ({ name, yaml }) => {
    const folder = await folderOf(name, yaml);
    const rendered = await kubectl('kustomize', '--load-restrictor=LoadRestrictionsNone', folder);
    const objects = parseAllDocuments(rendered).map((document) => document.toJS() as KubeObject);
    EXPECTED[name]?.(objects);
    const file = join(folder, 'rendered.yaml');
    await writeFile(file, rendered);
    await kubectl('apply', '--server-side', '--force-conflicts', '--dry-run=server', '-f', file);
  });

  it('has an Application that names the kinds that the server writes', () => {
    const blocks = recipes.flatMap(({ blocks }) => blocks).filter(({ file }) => file === 'application.yaml');
    const [application] = blocks.map(({ yaml }) => parse(yaml) as { spec: { ignoreDifferences: { kind: string }[] } });
    expect(application?.spec.ignoreDifferences.map(({ kind }) => kind)).toEqual([
      'MutatingWebhookConfiguration',
      'ValidatingWebhookConfiguration',
    ]);
  });
});
