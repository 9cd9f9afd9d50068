import { mkdir, mkdtemp, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { issueAuthority, issueLeaf, type Pair, type Tools } from '../../../src/tls/authority.ts';
import { readCertificateFiles } from '../../../src/tls/file-source.ts';
import type { CertificateSource } from '../../../src/tls/rounds.ts';
import { createCertificateSource } from '../../../src/tls/source.ts';
import type { MemoryKube } from '../kube/memory-kube.ts';
import {
  bundlesIn,
  configOf,
  DAY_MS,
  kubeWithWebhooks,
  tools as makeTools,
  quietLog,
  SERVICE_NAME,
} from './support.ts';

let tools: Tools;
let authority: Pair;
let folder: string;

const leafOf = (names = [SERVICE_NAME]): Promise<Pair> =>
  issueLeaf({ authority, names, now: new Date(), validityMs: DAY_MS, tools });

beforeAll(async () => {
  tools = await makeTools();
  authority = await issueAuthority({ now: new Date(), validityMs: 30 * DAY_MS, tools });
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stepmemo-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

let version = 0;
/** As the kubelet exchanges a mounted Secret: a new folder, then the link to it renamed over the old one. */
async function mount(files: Record<string, string>): Promise<void> {
  const next = `..version-${version++}`;
  await mkdir(join(folder, next));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, next, name), text);
    await symlink(join('..data', name), join(folder, name)).catch(() => undefined);
  }
  await symlink(next, join(folder, '..data_tmp'));
  await rename(join(folder, '..data_tmp'), join(folder, '..data'));
}
const filesOf = (pair: Pair, ca?: string) => ({
  'tls.crt': pair.certificate,
  'tls.key': pair.key,
  ...(ca !== undefined && { 'ca.crt': ca }),
});
const sourceFor = (kube: MemoryKube): CertificateSource =>
  createCertificateSource({ config: configOf({ certSource: 'file', certDir: folder }), kube, log: quietLog() });

describe('files', () => {
  test('with a ca.crt: the webhooks are kept to it, and the replica is ready', async () => {
    const kube = kubeWithWebhooks();
    const leaf = await leafOf();
    await mount(filesOf(leaf, authority.certificate));
    const source = sourceFor(kube);
    await source.refresh();
    expect(source.current()).toEqual({ cert: leaf.certificate, key: leaf.key });
    const own = authority.certificate;
    expect(bundlesIn(kube)).toEqual([own, 'other', own, own, own]);
    expect(source.caBundle()).toBe(authority.certificate);
    expect(source.readiness()).toEqual({ isReady: true });
  });
  test('exchanged on disk, they are taken over', async () => {
    const kube = kubeWithWebhooks();
    await mount(filesOf(await leafOf(), authority.certificate));
    const source = sourceFor(kube);
    const changes: unknown[] = [];
    source.onChange(({ cert }) => changes.push(cert));
    await source.refresh();
    const next = await leafOf();
    await mount(filesOf(next, authority.certificate));
    await source.refresh();
    await source.refresh();
    expect(source.current()).toEqual({ cert: next.certificate, key: next.key });
    expect(changes).toHaveLength(2);
  });
  test('started, it finds them by itself', async () => {
    const kube = kubeWithWebhooks();
    const config = configOf({ certSource: 'file', certDir: folder });
    const source = createCertificateSource({ config, kube, log: quietLog(), intervalMs: 20 });
    await source.start();
    expect(source.readiness().isReady).toBe(false);
    await mount(filesOf(await leafOf(), authority.certificate));
    await expect.poll(() => source.readiness()).toEqual({ isReady: true });
    await source.stop();
  });
  test('without a ca.crt the bundle is left to whoever keeps it, and read back', async () => {
    const kube = kubeWithWebhooks();
    await mount(filesOf(await leafOf()));
    const source = sourceFor(kube);
    await source.refresh();
    expect(bundlesIn(kube)[0]).toBeUndefined();
    expect(source.readiness()).toEqual({
      isReady: false,
      reason: 'webhook pods.stepmemo.io: the bundle holds no certificate',
    });
    expect(source.caBundle()).toBe('');
    injectBundle(kube);
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: true });
    expect(source.caBundle()).toBe(authority.certificate);
  });
  test('what cert-manager injects is left to it, though there is a ca.crt', async () => {
    const kube = kubeWithWebhooks({ 'cert-manager.io/inject-ca-from': 'stepmemo/stepmemo' });
    await mount(filesOf(await leafOf(), authority.certificate));
    const source = sourceFor(kube);
    await source.refresh();
    expect(bundlesIn(kube)[0]).toBeUndefined();
    expect(source.caBundle()).toBe(authority.certificate);
    expect(kube.calls.filter(({ verb }) => verb === 'patch')).toEqual([]);
  });
  test('an intermediate that comes with the leaf leads to the root', async () => {
    // An authority that may sign no other one is no intermediate: here the leaf stands for itself.
    const leaf = await leafOf();
    await mount(filesOf({ ...leaf, certificate: leaf.certificate + authority.certificate }, authority.certificate));
    const source = sourceFor(kubeWithWebhooks());
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: true });
  });
});

describe('files that are wrong', () => {
  test.each<[string, (leaf: Pair) => Promise<Record<string, string>>, string]>([
    ['no certificate', async (leaf) => ({ 'tls.crt': '', 'tls.key': leaf.key }), 'tls.crt holds no certificate'],
    ['no key', async (leaf) => ({ ...filesOf(leaf), 'tls.key': 'x' }), 'tls.key holds no private key'],
    [
      'the key of another',
      async (leaf) => ({ ...filesOf(leaf), 'tls.key': (await leafOf()).key }),
      'tls.key does not belong to tls.crt',
    ],
    ['a broken ca.crt', async (leaf) => filesOf(leaf, 'x'), 'ca.crt holds no certificate'],
    ['a missing key', async (leaf) => ({ 'tls.crt': leaf.certificate }), 'the certificate cannot be read'],
  ])('%s: the old ones serve on, not ready, with the reason', async (_, broken, reason) => {
    const kube = kubeWithWebhooks();
    const good = await leafOf();
    await mount(filesOf(good, authority.certificate));
    const source = sourceFor(kube);
    await source.refresh();
    await mount(await broken(await leafOf()));
    await source.refresh();
    expect(source.current()).toEqual({ cert: good.certificate, key: good.key });
    expect(source.readiness().isReady).toBe(false);
    expect(source.readiness().reason).toContain(reason);
    expect(source.readiness().reason).not.toContain('BEGIN');
    await mount(filesOf(await leafOf(), authority.certificate));
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: true });
  });
  test('none at all: no certificate, not ready', async () => {
    const source = sourceFor(kubeWithWebhooks());
    await source.refresh();
    expect(source.current()).toEqual({});
    expect(source.readiness()).toMatchObject({ isReady: false });
  });
  test('a certificate for another name: not ready', async () => {
    await mount(filesOf(await leafOf(['other.svc']), authority.certificate));
    const source = sourceFor(kubeWithWebhooks());
    await source.refresh();
    expect(source.readiness().reason).toContain(`is not for ${SERVICE_NAME}`);
  });
  test('files that are exchanged while they are read are never mixed', async () => {
    await mount(filesOf(await leafOf()));
    const first = await readlink(join(folder, '..data'));
    await mount(filesOf(await leafOf()));
    const versions = [first, await readlink(join(folder, '..data'))];
    let isOver = false;
    const exchange = (async () => {
      for (let turn = 0; !isOver; turn++) {
        await symlink(versions[turn % 2] ?? '', join(folder, '..data_tmp'));
        await rename(join(folder, '..data_tmp'), join(folder, '..data'));
      }
    })();
    const readings: unknown[] = [];
    for (let reads = 0; reads < 500; reads++) readings.push(await readCertificateFiles(folder));
    isOver = true;
    await exchange;
    expect(readings.filter((reading) => !(reading as { ok: boolean }).ok)).toEqual([]);
  });
  test('files without the links of a mounted Secret are read as well', async () => {
    for (const [name, text] of Object.entries(filesOf(await leafOf()))) await writeFile(join(folder, name), text);
    expect(await readCertificateFiles(folder)).toMatchObject({ ok: true, ca: undefined });
  });
});

function injectBundle(kube: MemoryKube): void {
  const path = { group: 'admissionregistration.k8s.io', version: 'v1', resource: 'mutatingwebhookconfigurations' };
  const stored = structuredClone(kube.peek(path, undefined, 'stepmemo')) as unknown as {
    webhooks: { clientConfig: { caBundle?: string } }[];
  };
  for (const { clientConfig } of stored.webhooks) {
    clientConfig.caBundle = Buffer.from(authority.certificate).toString('base64');
  }
  kube.put(path, stored as never);
}
