import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { makesPod, templateKind, walkWorkflow } from '../../src/argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../../src/base/json.ts';
import { type KubeObject, RESOURCES } from '../../src/kube/types.ts';
import { must } from '../integration/harness.ts';
import { argoModule } from '../support/argo-module.ts';
import { admin } from './cluster.ts';
import { argoVersion } from './settings.ts';
import { givenThree, runThreeWays, type Where } from './three-ways.ts';

/*
 * Argo's own examples, those that run without a network, with every step memoized: without stepmemo, by the pods' way and with
 * look-ahead, each of the last two twice. All end alike, tree and outputs. `make test-argo-examples`.
 */
/** Argo does not memoize steps without outputs then, and the policy refuses them. */
const IS_BEFORE_3_5 = Number(argoVersion.split('.')[0]) === 3 && Number(argoVersion.split('.')[1]) < 5;
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
    const isRefused = IS_BEFORE_3_5 && !isObject(template.outputs);
    if (!makesPod(templateKind(template)) || inputs.artifacts !== undefined || isRefused) continue;
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

describe(`the examples of Argo ${argoVersion}`, () => {
  it('end alike without stepmemo, by the pods’ way and with look-ahead', { timeout: 3_600_000, retry: 0 }, async () => {
    const namespaces = await givenThree();
    // Some of them read it.
    const parameters = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'simple-parameters', labels: { 'workflows.argoproj.io/configmap-type': 'Parameter' } },
      data: { msg: 'hello' },
    };
    for (const namespace of Object.values(namespaces))
      must(await (await admin()).create({ resource: RESOURCES.configMaps, namespace }, parameters));
    const subjects = (await readExamples()).map((example) => ({
      name: example.file,
      make: (where: Where) => prepare(example, where !== 'without'),
    }));
    const { differing, counts } = await runThreeWays(subjects, namespaces, 300_000);
    console.info(`Argo ${argoVersion}: ${JSON.stringify(counts)}`);
    expect(differing.join('\n')).toBe('');
    expect(counts.withoutEnd).toBe(0);
  });
});
