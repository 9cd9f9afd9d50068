import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { readManifest } from '../../src/cli/files/read-manifests.ts';
import { rewriteManifest } from '../../src/cli/files/rewrite-manifest.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { clusterInfo, createNamespace, kubeAs, must, startServer, type TestKube } from './harness.ts';

// What docs/gitops.md says about tools that apply one manifest again and again.
const run = promisify(execFile);
const memoize = (key: string) => ({ key, maxAge: '1h', cache: { configMap: { name: 'c' } } });

let admin: TestKube;
let namespace: string;
beforeAll(async () => {
  admin = await kubeAs('admin');
  await startServer();
  namespace = await createNamespace();
});

function manifest(name: string, spec: object): string {
  return stringify({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'WorkflowTemplate',
    metadata: { name, namespace },
    spec,
  });
}
const withKey = (key: string) => ({ templates: [{ name: 't', container: { image: 'x' }, memoize: memoize(key) }] });

/** kubectl with the manifest as its file; the exit code, which says of `diff` whether there is one. */
async function kubectl(text: string, ...args: string[]): Promise<{ code: number; stdout: string }> {
  const { adminKubeconfig, kubectl, scratch } = clusterInfo();
  const file = join(scratch, 'gitops.yaml');
  await writeFile(file, text);
  try {
    const { stdout } = await run(kubectl, ['--kubeconfig', adminKubeconfig, ...args, '-f', file]);
    return { code: 0, stdout };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { code, stdout };
  }
}

async function stored(name: string): Promise<KubeObject> {
  return must(await admin.get({ resource: RESOURCES.workflowTemplates, namespace, name }));
}

describe.each([
  ['kubectl apply', 'client', []],
  ['server-side apply', 'server', ['--server-side']],
] as const)('%s', (_, prefix, flags) => {
  it('of the same manifest writes nothing, and diff sees nothing', async () => {
    const name = `${prefix}-same`;
    const text = manifest(name, withKey('one'));
    expect((await kubectl(text, 'apply', ...flags)).code).toBe(0);
    const first = await stored(name);
    expect(JSON.stringify(first.spec)).toContain('"stepmemo.io/key":"one"');
    expect((await kubectl(text, 'diff', ...flags)).code).toBe(0);
    expect((await kubectl(text, 'apply', ...flags)).code).toBe(0);
    const second = await stored(name);
    expect(second.spec).toEqual(first.spec);
    // An API server of 1.30 writes the time of an apply that a webhook has made a change of nothing.
    if (clusterInfo().minorVersion > 30) expect(second.metadata?.resourceVersion).toBe(first.metadata?.resourceVersion);
  });

  it('of another key brings that key', async () => {
    const name = `${prefix}-other`;
    await kubectl(manifest(name, withKey('one')), 'apply', ...flags);
    expect((await kubectl(manifest(name, withKey('two')), 'diff', ...flags)).code).toBe(1);
    await kubectl(manifest(name, withKey('two')), 'apply', ...flags);
    const text = JSON.stringify((await stored(name)).spec);
    expect(text).toContain('"stepmemo.io/key":"two"');
    expect(text).not.toContain('"memoize":');
  });

  it('without memoize takes the annotations away', async () => {
    const name = `${prefix}-without`;
    await kubectl(manifest(name, withKey('one')), 'apply', ...flags);
    const without = { templates: [{ name: 't', container: { image: 'x' } }] };
    await kubectl(manifest(name, without), 'apply', ...flags);
    expect((await stored(name)).spec).toEqual(without);
  });

  it('of the rewritten manifest changes nothing', async () => {
    const name = `${prefix}-rewritten`;
    const text = manifest(name, { ...withKey('one'), templateDefaults: { memoize: memoize('default') } });
    await kubectl(text, 'apply', ...flags);
    const first = await stored(name);
    const rewritten = rewriteManifest(text, readManifest(text), 'forth');
    expect((await kubectl(rewritten.text, 'apply', ...flags)).code).toBe(0);
    expect((await stored(name)).spec).toEqual(first.spec);
  });

  it('of other templateDefaults brings those, and without them leaves the annotations of the old ones', async () => {
    const name = `${prefix}-defaults`;
    const templates = [{ name: 't', container: { image: 'x' } }];
    const apply = (key?: string) =>
      kubectl(
        manifest(name, { templateDefaults: { timeout: '1h', ...(key && { memoize: memoize(key) }) }, templates }),
        'apply',
        ...flags,
      );
    await apply('one');
    await apply('two');
    expect((await stored(name)).spec).toMatchObject({
      templateDefaults: { metadata: { annotations: { 'stepmemo.io/key': 'two' } } },
    });
    await apply();
    // Neither the old object nor the new one has memoize there, so nobody can tell that it went: documented.
    expect((await stored(name)).spec).toMatchObject({
      templateDefaults: { timeout: '1h', metadata: { annotations: { 'stepmemo.io/key': 'two' } } },
    });
  });
});
