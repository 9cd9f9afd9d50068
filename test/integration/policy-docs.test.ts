import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { CACHE_LABEL } from '../../src/argo/names.ts';
import { runLint } from '../../src/cli/commands/lint.ts';
import { RESOURCES } from '../../src/kube/types.ts';
import { policySettingsSchema } from '../../src/policy/settings.ts';
import { clusterInfo, createNamespace, kubeAs, type ServerHandle, startServer } from './harness.ts';
import { urlOf } from './test-kube.ts';

/*
 * What docs/policy.md shows after each example is what kubectl prints when it is applied. The info string of an example
 * says what is special about the cluster: `mode=native`, `argo=3.4.17`, `rule=NAME=SEVERITY`, `lint`, or `unlabel`.
 *
 *   STEPMEMO_UPDATE_DOCS=1   write the page anew instead of comparing
 */

const PAGE = new URL('../../docs/policy.md', import.meta.url);
const EXAMPLE = /```yaml([^\n]*)\n([^`]*)```\n\n```console\n([^`]*)```/g;

/** Names on the page, whatever the namespaces of the test are called. */
const SHOWN = { managed: 'team-a', native: 'team-n' } as const;
const namespaces = { managed: '', native: '' };

beforeAll(async () => {
  const admin = await kubeAs('admin');
  // Of a server of an earlier file, ended the hard way: until another one leads, the API server would say that stepmemo is silent.
  await admin.remove({ resource: RESOURCES.leases, namespace: 'stepmemo', name: 'stepmemo' });
  namespaces.managed = await createNamespace({ prefix: 'docs' });
  namespaces.native = await createNamespace({
    prefix: 'docs-native',
    annotations: { 'stepmemo.io/memoize': 'native' },
  });
  const url = urlOf(RESOURCES.configMaps, { namespace: namespaces.managed });
  await admin.require('POST', url, { metadata: { name: 'app-settings' }, data: { color: 'blue' } });
});

interface Example {
  readonly info: string;
  readonly yaml: string;
}

/** A server for examples that ask for one with these settings; one at a time. */
let server: { readonly settings: string; readonly handle: ServerHandle } | undefined;
async function serve(settings: { argoVersion: string; rules: object }): Promise<void> {
  const text = JSON.stringify(settings);
  if (server?.settings === text) return;
  await server?.handle.stop();
  const policy = policySettingsSchema.parse({ ...settings, lookupDeadlineMs: 5000 });
  server = { settings: text, handle: await startServer({ config: { policy } }) };
}

function setting(info: string, name: string): string | undefined {
  return new RegExp(`(?:^| )${name}=(\\S+)`).exec(info)?.[1];
}

async function show(example: Example): Promise<string> {
  const { info } = example;
  const [rule, severity] = setting(info, 'rule')?.split('=') ?? [];
  if (info.includes('lint')) return lint(example);
  await serve({ argoVersion: setting(info, 'argo') ?? '4.0.5', rules: rule === undefined ? {} : { [rule]: severity } });
  const mode = info.includes('mode=native') ? 'native' : 'managed';
  const file = ['-f', 'example.yaml'];
  // The example is what is there already; what is shown is an attempt to take its label away.
  if (info.includes('unlabel')) await kubectl(example, namespaces[mode], ['apply', ...file]);
  const args = info.includes('unlabel') ? ['label', ...file, `${CACHE_LABEL}-`] : ['apply', ...file];
  const printed = await kubectl(example, namespaces[mode], args);
  return `$ kubectl ${args.join(' ')}\n${printed.replaceAll(namespaces[mode], SHOWN[mode])}`;
}

async function exampleFile({ yaml }: Example): Promise<string> {
  const folder = join(clusterInfo().scratch, 'policy-docs');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'example.yaml'), yaml);
  return folder;
}

/** What a terminal shows: kubectl writes warnings and errors first. */
async function kubectl(example: Example, namespace: string, args: readonly string[]): Promise<string> {
  const { kubectl: program, adminKubeconfig } = clusterInfo();
  const cwd = await exampleFile(example);
  const all = ['--kubeconfig', adminKubeconfig, '-n', namespace, ...args];
  return new Promise((resolve) => execFile(program, all, { cwd }, (_, stdout, stderr) => resolve(stderr + stdout)));
}

async function lint(example: Example): Promise<string> {
  const folder = await exampleFile(example);
  const printed: string[] = [];
  const out = {
    print: (text: string) => void printed.push(text),
    printError: (text: string) => void printed.push(text),
  };
  const config = { policy: policySettingsSchema.parse({}), controllerNamespace: 'argo' };
  const options = { mode: 'managed', output: 'text', namespace: 'default', argoVersion: '4.0.5' } as const;
  await runLint({ ...options, files: [join(folder, 'example.yaml')] }, config, out);
  const text = printed.join('\n').replaceAll(`${folder}/`, '');
  return `$ stepmemo lint --argo-version 4.0.5 example.yaml\n${text}\n`;
}

it('docs/policy.md shows what kubectl prints', { timeout: 240_000 }, async () => {
  const page = await readFile(PAGE, 'utf8');
  const examples = [...page.matchAll(EXAMPLE)].map(([, info = '', yaml = '']) => ({ info, yaml }));
  // By settings, so that each server is started once.
  const order = [...examples].sort((a, b) => (a.info < b.info ? -1 : 1));
  const shown = new Map<Example, string>();
  for (const example of order) shown.set(example, await show(example));
  const next = examples.values();
  const wanted = page.replaceAll(EXAMPLE, (_, info: string, yaml: string) => {
    const example = next.next().value;
    return `\`\`\`yaml${info}\n${yaml}\`\`\`\n\n\`\`\`console\n${example === undefined ? '' : shown.get(example)}\`\`\``;
  });
  if (process.env.STEPMEMO_UPDATE_DOCS === '1') await writeFile(PAGE, wanted);
  else expect(page).toBe(wanted);
});
