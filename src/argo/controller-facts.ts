/** What is to be known of the workflow controllers that run, from their pods and their configuration (config/config.go). */
import { parse } from 'yaml';
import { asObject, isObject, type JsonObject, objectsOf, ownString } from '../base/json.ts';
import { type ArgoVersion, controllerContainers } from './versions.ts';

export interface ArgoFacts {
  readonly version: ArgoVersion | 'unknown';
  /** Why it is not known which steps a Workflow will have, as half a sentence; undefined where its own spec says it all. */
  readonly defaults: string | undefined;
  /** The artifact repository of workflows that name none; undefined where there is none, or it is not known. */
  readonly artifactRepository: JsonObject | undefined;
  /** Whether a controller takes what it has written itself for what is stored: what a webhook added to that is lost. */
  readonly isWrittenBack: boolean;
}

const DEFAULT_CONFIG_MAP = 'workflow-controller-configmap';

/** The ConfigMap that the running controllers read (`--configmap`); undefined where they read several. */
export function controllerConfigMap(pods: readonly unknown[]): string | undefined {
  const names = new Set(controllerContainers(pods).map(({ args, command }) => namedIn([command, args].flat())));
  return names.size > 1 ? undefined : (names.values().next().value ?? DEFAULT_CONFIG_MAP);
}

function namedIn(words: readonly unknown[]): string {
  for (const [index, word] of words.entries()) {
    if (word === '--configmap') return String(words[index + 1]);
    if (typeof word === 'string' && word.startsWith('--configmap=')) return word.slice('--configmap='.length);
  }
  return DEFAULT_CONFIG_MAP;
}

/**
 * Members of a spec that say how pods run, and what becomes of a workflow that has ended: whatever the defaults set there,
 * the same steps are made with the same inputs.
 */
const HARMLESS: ReadonlySet<string> = new Set([
  'activeDeadlineSeconds',
  'affinity',
  'archiveLogs',
  'artifactGC',
  'artifactRepositoryRef',
  'automountServiceAccountToken',
  'dnsConfig',
  'dnsPolicy',
  'executor',
  'hostAliases',
  'hostNetwork',
  'imagePullSecrets',
  'nodeSelector',
  'onExit',
  'parallelism',
  'podDisruptionBudget',
  'podGC',
  'podPriority',
  'podPriorityClassName',
  'podSpecPatch',
  'priority',
  'schedulerName',
  'securityContext',
  'serviceAccountName',
  'tolerations',
  'ttlStrategy',
  'volumeClaimGC',
  'volumeClaimTemplates',
  'volumes',
  'workflowMetadata',
]);

/** What the defaults may change of the steps of a Workflow, as half a sentence; undefined where they change nothing. */
export function describeDefaults(configMap: JsonObject): string | undefined {
  let defaults: unknown;
  try {
    defaults = readSetting(asObject(configMap.data), 'workflowDefaults');
  } catch {
    return 'workflowDefaults cannot be read';
  }
  if (defaults === undefined || defaults === null) return undefined;
  if (!isObject(defaults)) return 'workflowDefaults cannot be read';
  const member = Object.keys(asObject(defaults.spec)).find((name) => !HARMLESS.has(name));
  return member === undefined ? undefined : `workflowDefaults sets spec.${member}`;
}

/** `artifactRepository` of the controller's configuration; undefined where there is none, or it cannot be read. */
export function readArtifactRepository(configMap: JsonObject): JsonObject | undefined {
  try {
    const repository = readSetting(asObject(configMap.data), 'artifactRepository');
    return isObject(repository) ? repository : undefined;
  } catch {
    return undefined;
  }
}

/** Where a namespace may keep artifact repositories of its own (artifactrepositories.go:Resolve). */
export const ARTIFACT_REPOSITORIES = 'artifact-repositories';
const DEFAULT_REPOSITORY_ANNOTATION = 'workflows.argoproj.io/default-artifact-repository';

/** The repository that such a ConfigMap names as the default; undefined where it names none, or one that cannot be read. */
export function readNamespaceRepository(configMap: JsonObject): JsonObject | 'none' | undefined {
  const key = ownString(asObject(configMap.metadata).annotations, DEFAULT_REPOSITORY_ANNOTATION);
  const text = ownString(configMap.data, key ?? '');
  if (text === undefined) return 'none';
  try {
    const repository: unknown = parse(text);
    return isObject(repository) ? repository : undefined;
  } catch {
    return undefined;
  }
}

/** A member of its own, or within the one text that older installations have (`config`, config/controller.go). */
function readSetting({ config, ...data }: JsonObject, name: string): unknown {
  if (typeof config === 'string') return asObject(parse(config))[name];
  const text = data[name];
  return typeof text === 'string' ? parse(text) : undefined;
}

/** The environment of workflow controllers, by name; of several the last. */
export function controllerEnv(pods: readonly unknown[]): ReadonlyMap<string, string> {
  const env = controllerContainers(pods).flatMap((container) => objectsOf(container.env));
  return new Map(env.map(({ name, value }) => [String(name), String(value)]));
}

/** `INFORMER_WRITE_BACK`, off from 4.0 on (workflow/controller/operator.go:persistUpdates). */
export function isWrittenBack(pods: readonly unknown[]): boolean {
  return controllerEnv(pods).get('INFORMER_WRITE_BACK') === 'true';
}
