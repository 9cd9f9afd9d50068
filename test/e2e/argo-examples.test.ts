import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { makesPod, templateKind, walkWorkflow } from '../../src/argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../../src/base/json.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must } from '../integration/harness.ts';
import { argoModule } from '../support/argo-module.ts';
import { forEachAtOnce } from '../support/at-once.ts';
import { admin, type EndedWorkflow, givenNamespace, podsOf, submit, untilEnded, type WorkflowNode } from './cluster.ts';
import { argoVersion } from './settings.ts';

/*
 * Argo's own examples, those that run without a network, with every step memoized: without stepmemo, by the pods' way and with
 * look-ahead, each of the last two twice. All end alike, tree and outputs. `make test-argo-examples`.
 */
const AT_ONCE = 6;
const WANTED = new RegExp(process.env.ARGO_EXAMPLES ?? '.');

/** What a single node without registry and network cannot run, and what does not end within minutes. */
const CANNOT_RUN =
  /\b(s3|gcs|oss|git|hdfs|azure|artifactory|raw|http|suspend|resource|plugin|daemon|sidecars|volumes|volumeClaimTemplates|volumeClaimGC):|python|\bbash\b|apk |curl|wget|nslookup|secretKeyRef|cowsay|RANDOM|random/;
const OTHER_IMAGES = /image: *["']?(?!.*(busybox|alpine|whalesay|debian|ubuntu))\S+/;
const LEFT_OUT: Readonly<Record<string, string>> = {
  'dag-task-level-timeout.yaml': 'ends by the clock: with which exit code is a matter of a second',
  'expression-reusing-verbose-snippets.yaml': 'asks for more CPU than a small node has',
  'forever.yaml': 'does not end',
  'gc-ttl.yaml': 'is deleted as soon as it has ended',
  'node-selector.yaml': 'needs nodes of other kinds',
  'pod-spec-from-previous-step.yaml': 'asks for more CPU than a small node has',
  'scripts-javascript.yaml': 'needs Node.js in its image',
  'step-level-timeout.yaml': 'ends by the clock: whether the pod has begun is a matter of a second',
  'synchronization-mutex-tmpl-level.yaml': 'waits for the lock of the other examples',
  'synchronization-mutex-wf-level.yaml': 'waits for the lock of the other examples',
  'synchronization-mutex-wf-level-legacy.yaml': 'waits for the lock of the other examples',
};

interface Example {
  readonly file: string;
  readonly object: KubeObject;
}

async function readExamples(): Promise<readonly Example[]> {
  const folder = join(await argoModule(argoVersion), 'examples');
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml') && WANTED.test(file) && LEFT_OUT[file] === undefined)
    .flatMap((file) => readExample(file, readFileSync(join(folder, file), 'utf8')));
}

function readExample(file: string, text: string): readonly Example[] {
  if (CANNOT_RUN.test(text) || OTHER_IMAGES.test(text) || /synchronization-db/.test(file)) return [];
  const objects = parseAllDocuments(text.replaceAll(/image: *\S+/g, 'image: busybox:local'))
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
  const [object, ...others] = objects;
  return object?.kind === 'Workflow' && others.length === 0 ? [{ file, object }] : [];
}

/** As the example, for a namespace of ours; memoized where a step's key can be told. */
function prepare({ file, object }: Example, isMemoized: boolean): KubeObject {
  const { labels, annotations } = object.metadata ?? {};
  const spec = structuredClone(object.spec) as Record<string, unknown>;
  for (const member of ['serviceAccountName', 'ttlStrategy', 'podGC', 'artifactRepositoryRef', 'archiveLogs'])
    delete spec[member];
  const metadata = { generateName: 'ex-', ...(labels && { labels }), ...(annotations && { annotations }) };
  const prepared = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', metadata, spec };
  for (const template of templatesOf(prepared)) delete (template as Record<string, unknown>).memoize;
  if (isMemoized) memoize(prepared, file.replace('.yaml', '').toLowerCase());
  return prepared;
}

function templatesOf(object: JsonObject): readonly JsonObject[] {
  const walked = walkWorkflow(object);
  return walked.ok ? walked.walk.templates.map(({ template }) => template) : [];
}

function memoize(object: JsonObject, cache: string): void {
  for (const [index, template] of templatesOf(object).entries()) {
    const inputs = isObject(template.inputs) ? template.inputs : {};
    if (!makesPod(templateKind(template)) || inputs.artifacts !== undefined) continue;
    const names = ((inputs.parameters ?? []) as readonly { name: string }[]).map(
      ({ name }) => `{{inputs.parameters.${name}}}`,
    );
    const mine = template as Record<string, unknown>;
    mine.memoize = {
      key: [`${index}`, ...names].join('/'),
      maxAge: '1h',
      cache: { configMap: { name: `ex-${cache}` } },
    };
  }
}

/** What two runs have in common: each node with what it was given and what it gave, under the name of no workflow. */
function treeOf(workflow: EndedWorkflow): readonly string[] {
  const text = (node: WorkflowNode) => {
    const { parameters, result, exitCode } = node.outputs ?? {};
    const outputs = { parameters: (parameters ?? []).map(({ name, value }) => [name, value]), result, exitCode };
    return `${node.name} ${node.type} ${node.phase} ${JSON.stringify({ inputs: node.inputs, outputs })}`;
  };
  // Times and UIDs are of the run that made them: a hit gives those of the first.
  const plain = (line: string) =>
    line
      .replaceAll(workflow.name, 'WORKFLOW')
      .replaceAll(/ex-[a-z0-9]{5,10}\b/g, 'WORKFLOW')
      // The hash at the end of a node's ID, in the keys of its artifacts.
      .replaceAll(/-\d{6,}\b/g, '-N')
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'UID')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');
  const nodes = withoutAttempts(workflow.nodes).map(text).map(plain);
  return [`workflow ${workflow.phase}`, ...nodes.sort()];
}

/** A retried step that is served is one Pod, where a run has a Retry node and its attempts. */
function withoutAttempts(nodes: readonly WorkflowNode[]): readonly WorkflowNode[] {
  const retried = nodes.filter(({ type, phase }) => type === 'Retry' && phase === 'Succeeded').map(({ name }) => name);
  return nodes
    .filter(({ name }) => !retried.some((one) => name.startsWith(`${one}(`)))
    .map((node) => (retried.includes(node.name) ? { ...node, type: 'Pod' } : node));
}

/** A text that says in what a tree differs; none where it does not. */
function compare(what: string, wanted: readonly string[], tree: readonly string[]): readonly string[] {
  const lost = wanted.filter((line) => !tree.includes(line)).map((line) => `- ${line}`);
  const added = tree.filter((line) => !wanted.includes(line)).map((line) => `+ ${line}`);
  return lost.length + added.length === 0 ? [] : [[what, ...lost, ...added].join('\n  ')];
}

describe(`the examples of Argo ${argoVersion}`, () => {
  it('end alike without stepmemo, by the pods’ way and with look-ahead', { timeout: 3_600_000, retry: 0 }, async () => {
    const namespaces = {
      without: await givenNamespace({ isEnabled: false }),
      pods: await givenNamespace(),
      ahead: await givenNamespace({ lookAhead: 'on' }),
    };
    // Some of them read it.
    const parameters = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'simple-parameters', labels: { 'workflows.argoproj.io/configmap-type': 'Parameter' } },
      data: { msg: 'hello' },
    };
    for (const namespace of Object.values(namespaces))
      must(await (await admin()).create({ resource: RESOURCES.configMaps, namespace }, parameters));
    const differing: string[] = [];
    const counts = { examples: 0, pods: { without: 0, pods: 0, ahead: 0 } };
    await forEachAtOnce(await readExamples(), AT_ONCE, async (example) => {
      const run = async (where: keyof typeof namespaces) => {
        const object = prepare(example, where !== 'without');
        const namespace = namespaces[where];
        return untilEnded(namespace, await submit(namespace, object), 300_000);
      };
      try {
        const without = await run('without');
        const first = { pods: await run('pods'), ahead: await run('ahead') };
        // Captures of the first runs: a step that ends has its entry a moment later.
        await new Promise((resolve) => setTimeout(resolve, 5_000));
        const second = { pods: await run('pods'), ahead: await run('ahead') };
        const wanted = treeOf(without);
        const others = {
          'first run, pods': first.pods,
          'first run, look-ahead': first.ahead,
          'second run, pods': second.pods,
          'second run, look-ahead': second.ahead,
        };
        for (const [what, workflow] of Object.entries(others)) {
          differing.push(...compare(`${example.file}, ${what} (${workflow.name})`, wanted, treeOf(workflow)));
        }
        counts.examples += 1;
        counts.pods.without += (await podsOf(without)).length;
        for (const way of ['pods', 'ahead'] as const) counts.pods[way] += (await podsOf(second[way])).length;
      } catch (error) {
        differing.push(`${example.file}: ${(error as Error).message}`);
      }
    });
    console.info(`Argo ${argoVersion}: ${JSON.stringify(counts)}`);
    expect(differing.join('\n')).toBe('');
  });
});
