/** What is to be known of the workflow controllers that run, from their pods and their configuration (config/config.go). */
import { parse } from 'yaml';
import { asObject, isObject, type JsonObject, objectsOf } from '../base/json.ts';
import { type ArgoVersion, controllerContainers } from './versions.ts';

export interface ArgoFacts {
  readonly version: ArgoVersion | 'unknown';
  /** Why it is not known which steps a Workflow will have, as half a sentence; undefined where its own spec says it all. */
  readonly defaults: string | undefined;
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
    defaults = readDefaults(asObject(configMap.data));
  } catch {
    return 'workflowDefaults cannot be read';
  }
  if (defaults === undefined || defaults === null) return undefined;
  if (!isObject(defaults)) return 'workflowDefaults cannot be read';
  const member = Object.keys(asObject(defaults.spec)).find((name) => !HARMLESS.has(name));
  return member === undefined ? undefined : `workflowDefaults sets spec.${member}`;
}

/** A member of its own, or within the one text that older installations have (`config`, config/controller.go). */
function readDefaults({ config, workflowDefaults }: JsonObject): unknown {
  if (typeof config === 'string') return asObject(parse(config)).workflowDefaults;
  return typeof workflowDefaults === 'string' ? parse(workflowDefaults) : undefined;
}

/** The environment of workflow controllers, by name; of several the last. */
export function controllerEnv(pods: readonly unknown[]): ReadonlyMap<string, string> {
  const env = controllerContainers(pods).flatMap((container) => objectsOf(container.env));
  return new Map(env.map(({ name, value }) => [String(name), String(value)]));
}
