import { judgeWithLookups, type Lookups } from '../../admission/judge-with-lookups.ts';
import { repositoryOf } from '../../admission/look-ahead.ts';
import { ARTIFACT_REPOSITORIES, readArtifactRepository } from '../../argo/controller-facts.ts';
import { isWorkflowObject } from '../../argo/workflow-walk.ts';
import { asObject, type JsonObject } from '../../base/json.ts';
import type { MemoizeMode } from '../../base/names.ts';
import { plainText } from '../../base/text.ts';
import type { CacheIndex } from '../../cache/cache-index.ts';
import { CACHE_SELECTOR } from '../../cache/cache-label.ts';
import { readNamespace } from '../../informers/read-objects.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../../kube/types.ts';
import type { Leaf } from '../../look-ahead/walk/outcome.ts';
import { type Walked, walkAhead } from '../../look-ahead/walk/walk.ts';
import { moveMemoize } from '../../workflow/move-memoize.ts';
import { applyPatch } from '../apply-patch.ts';
import { describeFailure, formatTable } from '../cluster/kube-command.ts';
import {
  indexCaches,
  inNamespace,
  readCaches,
  readDocuments,
  readTime,
  UnreadableInput,
} from '../files/read-objects.ts';
import { createSources, nameOfSource, type Sources } from '../files/source.ts';
import type { CommandOutput } from '../output.ts';
import { EXIT_OK, EXIT_UNDONE, EXIT_USAGE } from '../output.ts';

export interface PlanOptions {
  readonly files: readonly string[];
  /** File with the caches: a List, or several documents. */
  readonly configmaps?: string | undefined;
  /** The namespace of the cluster whose caches and mode count. */
  readonly namespace?: string | undefined;
  /** RFC 3339; the clock otherwise. */
  readonly now?: string | undefined;
  /** Of the namespace; on a cluster it says itself. */
  readonly mode?: MemoizeMode | undefined;
  readonly output: 'text' | 'json';
}

/** One object of the input that can be submitted. */
interface Planned {
  readonly label: string;
  readonly object: KubeObject;
}

interface Caches {
  readonly index: CacheIndex;
  readonly warnings: readonly string[];
  readonly mode: MemoizeMode;
  /** Where stored templates are asked for that no file holds; undefined where there are files alone. */
  readonly kube?: Pick<KubeApi, 'get'>;
}

/** What cannot be asked of the cluster. */
class Unanswered extends Error {}

/**
 * `stepmemo plan`: which steps would be hits if these Workflows were submitted now, from files alone or from the caches of a
 * cluster, with the rights of whoever runs it. Nothing is changed. Exit code 0, 1 where the cluster gives no answer, 2 where
 * some input cannot be read; what can be is planned all the same.
 */
export async function runPlan(options: PlanOptions, deps: PlanDeps): Promise<number> {
  const { out } = deps;
  const sources = deps.sources ?? createSources();
  let exitCode = EXIT_OK;
  /** What cannot be read or asked is said, and the rest goes on without it. */
  const attempt = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof UnreadableInput || error instanceof Unanswered)) throw error;
      out.printError(`stepmemo plan: ${error.message}`);
      exitCode = Math.max(exitCode, error instanceof Unanswered ? EXIT_UNDONE : EXIT_USAGE);
      return undefined;
    }
  };
  const objects: KubeObject[] = [];
  for (const file of options.files)
    objects.push(...((await attempt(() => readWorkflows(file, options.namespace ?? 'default', sources))) ?? []));
  const planned = objects.filter((object) => readSpec(object as JsonObject) !== undefined).map(toPlanned);
  const now = await attempt(async () => readTime(options.now));
  const caches = await attempt(() => readCachesFor(options, planned, sources, deps));
  if (planned.length === 0 || now === undefined || caches === undefined) return exitCode;
  for (const warning of caches.warnings) out.printError(`stepmemo plan: ${warning}`);
  const plans = await Promise.all(
    planned.map(async ({ label, object }) => ({ label, walked: await plan(object, objects, caches, now) })),
  );
  out.print(options.output === 'json' ? asJson(plans) : plans.map(asText).join('\n\n'));
  return exitCode;
}

export interface PlanDeps {
  readonly out: CommandOutput;
  /** Asked for where a namespace of a cluster is named. */
  readonly connect: () => Promise<Pick<KubeApi, 'get' | 'list'>>;
  readonly sources?: Sources;
}

// ---- input

/** What a file holds of Argo's; something of it has to be there to run. */
async function readWorkflows(file: string, namespace: string, sources: Sources): Promise<readonly KubeObject[]> {
  const documents = await readDocuments(file, sources);
  const objects = documents
    .flatMap((document) => document.objects.map(({ object }) => object))
    .filter(isWorkflowObject);
  if (!objects.some((object) => readSpec(object) !== undefined))
    throw new UnreadableInput(`${nameOfSource(file)}: no Workflow, CronWorkflow or template with an entrypoint`);
  return objects.map((object) => inNamespace(object as KubeObject, namespace));
}

function toPlanned(object: KubeObject): Planned {
  const { kind, metadata } = object;
  return { label: `${kind} ${plainText(metadata?.name ?? metadata?.generateName ?? '')}`, object };
}

/** What runs: of a CronWorkflow what it makes; a template object alone runs where it names an entrypoint. */
function readSpec(object: JsonObject): JsonObject | undefined {
  const spec = asObject(object.spec);
  const runs = object.kind === 'CronWorkflow' ? asObject(spec.workflowSpec) : spec;
  return object.kind === 'Workflow' || object.kind === 'CronWorkflow' || typeof runs.entrypoint === 'string'
    ? runs
    : undefined;
}

async function readCachesFor(
  options: PlanOptions,
  planned: readonly Planned[],
  sources: Sources,
  { connect }: PlanDeps,
): Promise<Caches> {
  const { namespace, mode } = options;
  if (namespace === undefined) return readFileCaches(options, planned, sources);
  return readClusterCaches(await connect(), namespace, mode);
}

async function readFileCaches(
  { configmaps, mode = 'managed' }: PlanOptions,
  planned: readonly Planned[],
  sources: Sources,
): Promise<Caches> {
  const maps = configmaps === undefined ? [] : await readCaches(configmaps, sources);
  const { index, unread } = indexCaches(maps, new Set(planned.map(({ object }) => object.metadata?.namespace)));
  const warnings = configmaps === undefined ? ['no caches are given (--configmaps or -n): no step can be a hit'] : [];
  return { index, warnings: [...warnings, ...unread], mode };
}

async function readClusterCaches(
  kube: Pick<KubeApi, 'get' | 'list'>,
  namespace: string,
  mode: MemoizeMode | undefined,
): Promise<Caches> {
  const maps = await kube.list({ resource: RESOURCES.configMaps, namespace }, { labelSelector: CACHE_SELECTOR });
  if (!maps.ok) throw new Unanswered(describeFailure(`the caches in ${namespace} cannot be listed`, maps));
  const found = await kube.get({ resource: RESOURCES.namespaces, name: namespace });
  const { index, unread } = indexCaches(maps.value, new Set([namespace]));
  if (!found.ok) {
    const why = describeFailure(`namespace ${namespace} cannot be read, and is taken as ${mode ?? 'managed'}`, found);
    return { index, warnings: [...unread, why], mode: mode ?? 'managed', kube };
  }
  const { settings } = readNamespace(found.value);
  const warnings = settings.isEnabled ? [] : [`namespace ${namespace} has not opted in: nothing would be served there`];
  return { index, warnings: [...unread, ...warnings], mode: mode ?? settings.memoize, kube };
}

// ---- the plan

/** More than any user waits for, and more than any Workflow refers to. */
const LOOKUPS = { deadlineMs: 10_000, limit: 100 };
const NO_LOOKUPS: PlanLookups = { lookUpTemplate: () => undefined, lookUpConfigMap: () => undefined };
type PlanLookups = Pick<Lookups, 'lookUpTemplate' | 'lookUpConfigMap'>;

/** Where Argo is installed by its manifests; elsewhere artifacts are not foreseen. */
const CONTROLLER = { namespace: 'argo', configMap: 'workflow-controller-configmap' };

function lookUpRepository({ lookUpConfigMap }: PlanLookups, namespace: string): JsonObject | undefined {
  const controller = lookUpConfigMap(CONTROLLER.namespace, CONTROLLER.configMap);
  const artifactRepository = controller?.is === 'there' ? readArtifactRepository(controller.object) : undefined;
  return repositoryOf(lookUpConfigMap(namespace, ARTIFACT_REPOSITORIES), { artifactRepository });
}

async function plan(
  object: KubeObject,
  files: readonly KubeObject[],
  { index, mode, kube }: Caches,
  now: Date,
): Promise<Walked> {
  const asStored = (one: KubeObject) =>
    mode === 'managed' ? (applyPatch(one, moveMemoize(one as JsonObject).patch) as KubeObject) : one;
  const { name, generateName, namespace = 'default' } = object.metadata ?? {};
  const spec = readSpec(asStored(object) as JsonObject) ?? {};
  const walk = (lookups: PlanLookups): Walked =>
    walkAhead({
      workflowName: name ?? generateName ?? 'workflow',
      // A CronWorkflow and a template give their Workflows names of their own.
      isNameKnown: name !== undefined && object.kind === 'Workflow',
      namespace,
      spec,
      mode,
      lookUp: (cache, key) => index.lookUp(namespace, cache, key),
      lookUpTemplate: (scope, wanted) => {
        const kind = scope === 'cluster' ? 'ClusterWorkflowTemplate' : 'WorkflowTemplate';
        const inFile = files.find((one) => one.kind === kind && one.metadata?.name === wanted);
        if (inFile !== undefined) return asStored(inFile) as JsonObject;
        return lookups.lookUpTemplate(kind, kind === 'WorkflowTemplate' ? namespace : undefined, wanted);
      },
      lookUpRepository: () => lookUpRepository(lookups, namespace),
      now,
    });
  return kube === undefined ? walk(NO_LOOKUPS) : judgeWithLookups(kube, LOOKUPS, walk);
}

// ---- output

interface Plan {
  readonly label: string;
  readonly walked: Walked;
}

const OUTCOMES = { hit: 'hit', runs: 'runs', unforeseen: 'not foreseen' } as const;

function asText({ label, walked }: Plan): string {
  const rows = walked.leaves.map(({ nodeName, outcome, key, message }) => {
    return [nodeName, OUTCOMES[outcome], key === undefined ? '' : plainText(key), plainText(message)];
  });
  return `${label}: ${summarize(walked)}\n${formatTable(['NODE', 'OUTCOME', 'KEY', 'WHY'], rows)}`;
}

function summarize({ leaves, isWhole }: Walked): string {
  if (isWhole) return 'every step is a hit';
  const count = (wanted: Leaf['outcome']) => leaves.filter(({ outcome }) => outcome === wanted).length;
  return `${countHits(leaves)} hit, ${count('runs')} to run, ${count('unforeseen')} not foreseen`;
}

function countHits(leaves: readonly Leaf[]): number {
  return leaves.filter(({ outcome }) => outcome === 'hit').length;
}

function asJson(plans: readonly Plan[]): string {
  const list = plans.map(({ label, walked: { leaves, isWhole } }) => {
    const steps = leaves.map(({ nodeName, ...leaf }) => ({ node: nodeName, ...leaf }));
    return { object: label, hits: countHits(leaves), isWhole, steps };
  });
  return JSON.stringify(list.length === 1 ? list[0] : list, null, 2);
}
