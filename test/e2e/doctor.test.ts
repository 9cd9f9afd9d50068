import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runDoctor } from '../../src/cli/commands/doctor.ts';
import { runExplain } from '../../src/cli/commands/explain.ts';
import { admin, givenNamespace, kubectl, submitFile, untilEnded, untilEntries } from './cluster.ts';
import { scaleServer } from './server.ts';

/*
 * What the commands say that answer questions, of an installation that is well, and of one in which something was broken.
 */
interface Finding {
  readonly check: string;
  readonly state: string;
  readonly detail: string;
  readonly fix?: string;
}

async function doctor(): Promise<{ code: number; problems: readonly Finding[] }> {
  const printed: string[] = [];
  const out = {
    print: (text: string) => void printed.push(text),
    printError: (text: string) => void printed.push(text),
  };
  const code = await runDoctor({ ownNamespace: 'stepmemo', output: 'json' }, { kube: await admin(), out });
  const { findings } = JSON.parse(printed.join('\n')) as { findings: readonly Finding[] };
  return { code, problems: findings.filter(({ state }) => state !== 'ok') };
}

let namespace: string;
beforeAll(async () => {
  namespace = await givenNamespace({ lookAhead: 'on' });
});

describe('stepmemo doctor', () => {
  const undo: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const work of undo.splice(0).reverse()) await work();
  });

  it('finds nothing wrong with an installation as shipped', async () => {
    const { problems } = await doctor();
    // Namespaces of other test files stay, with what these broke in them.
    expect(problems.filter(({ check }) => !/^namespace |^native mode$/.test(check))).toEqual([]);
  });

  it('names a policy that is not enforced', async () => {
    const binding = await kubectl('get', 'validatingadmissionpolicybinding', 'stepmemo-own-pods', '-o', 'json');
    const { apiVersion, kind, metadata, spec } = JSON.parse(binding) as Record<string, never> & {
      metadata: { name: string; labels: object };
    };
    const { name, labels } = metadata;
    await kubectl('delete', 'validatingadmissionpolicybinding', name);
    const kube = await admin();
    undo.push(() =>
      kube.require('POST', '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings', {
        apiVersion,
        kind,
        metadata: { name, labels },
        spec,
      }),
    );
    const { code, problems } = await doctor();
    expect(code).toBe(1);
    expect(problems.filter(({ check }) => check === 'admission policies')).toMatchObject([
      { detail: 'missing or not enforced: stepmemo-own-pods' },
    ]);
  });

  it('names what was stored before the namespace opted in, and a cache without its label', async () => {
    const late = await givenNamespace({ isEnabled: false });
    const kube = await admin();
    await kube.require('POST', `/apis/argoproj.io/v1alpha1/namespaces/${late}/workflowtemplates`, {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'WorkflowTemplate',
      metadata: { name: 'old' },
      spec: {
        templates: [
          {
            name: 'a',
            memoize: { key: 'k', maxAge: '1h', cache: { configMap: { name: 'bare' } } },
            container: { image: 'i' },
          },
        ],
      },
    });
    await kubectl('create', 'configmap', 'bare', '-n', late, '--from-literal=a=b');
    await kubectl('label', 'namespace', late, 'stepmemo.io/enabled=true');
    undo.push(() => kubectl('label', 'namespace', late, 'stepmemo.io/enabled-'));
    const { problems } = await doctor();
    expect(problems.filter(({ check }) => check === `namespace ${late}`)).toMatchObject([
      { detail: '1 stored templates still have memoize', fix: `stepmemo migrate --cluster -n ${late} --yes` },
      { detail: 'ConfigMap bare is named as a cache and lacks the label' },
    ]);
  });

  it('names a server that is away, and that nobody is called', async () => {
    await scaleServer(0);
    undo.push(() => scaleServer(2));
    const { code, problems } = await doctor();
    expect(code).toBe(1);
    expect(problems.map(({ check }) => check)).toEqual(expect.arrayContaining(['server', 'webhook is called']));
  });
});

describe('stepmemo explain', () => {
  it('tells a run from a step that was served at submission', async () => {
    const explain = async (name: string) => {
      const printed: string[] = [];
      const out = {
        print: (text: string) => void printed.push(text),
        printError: (text: string) => void printed.push(text),
      };
      await runExplain({ what: `workflow/${name}`, namespace, output: 'json' }, { kube: await admin(), out });
      return (JSON.parse(printed.join('\n')) as { steps: readonly object[] }).steps;
    };
    const first = await submitFile(namespace, 'container');
    await untilEnded(namespace, first);
    await untilEntries(namespace, 'container-cache', 1);
    const second = await submitFile(namespace, 'container');
    await untilEnded(namespace, second);
    expect(await explain(first)).toMatchObject([
      { key: 'container/hello world', outcome: 'ran', reason: 'no-entry', source: 'pod' },
    ]);
    expect(await explain(second)).toMatchObject([
      { key: 'container/hello world', outcome: 'served at submission', source: 'node' },
    ]);
  });
});
