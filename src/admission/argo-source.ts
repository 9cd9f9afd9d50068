import {
  type ArgoFacts,
  controllerConfigMap,
  describeDefaults,
  isWrittenBack,
  readArtifactRepository,
} from '../argo/controller-facts.ts';
import { NO_STEP_PODS } from '../argo/names.ts';
import { parseArgoVersion, versionOfControllers } from '../argo/versions.ts';
import type { Log } from '../base/log.ts';
import { type KubeApi, RESOURCES } from '../kube/types.ts';
import { withDeadline } from './deadline.ts';

export interface ArgoSource {
  /** Within `deadlineMs`; what is not known by then is unknown. */
  read(deadlineMs: number): Promise<ArgoFacts>;
}

export interface ArgoSourceOptions {
  readonly kube: Pick<KubeApi, 'list' | 'get'>;
  readonly controllerNamespace: string;
  /** The version, where the configuration says it. */
  readonly setting: string | undefined;
  readonly log: Log;
  /** The clock, in milliseconds. */
  readonly nowMs?: () => number;
}

/** How old an answer may be before it is asked for again, in milliseconds. */
const STALE_MS = 60_000;

function unread(defaults: string): Omit<ArgoFacts, 'version'> {
  return { defaults, artifactRepository: undefined, isWrittenBack: true };
}

const UNKNOWN: ArgoFacts = {
  version: 'unknown',
  ...unread('the configuration of the workflow controller is not read yet'),
};

/**
 * Reads version and configuration of the running workflow controllers, when they are first asked for and then again each
 * minute: an old answer is given while a new one is fetched.
 */
export function createArgoSource(options: ArgoSourceOptions): ArgoSource {
  const { kube, controllerNamespace, setting, log, nowMs = () => performance.now() } = options;
  const fixed = setting === undefined ? undefined : parseArgoVersion(setting);
  let known: ArgoFacts | undefined;
  let knownSinceMs = 0;
  let told = '';
  let pending: Promise<void> | undefined;

  async function refresh(): Promise<void> {
    const where = { resource: RESOURCES.pods, namespace: controllerNamespace };
    const pods = await kube.list(where, { labelSelector: NO_STEP_PODS });
    const reading = pods.ok ? versionOfControllers(pods.value) : ({ known: false, detail: pods.message } as const);
    // Said once, and again when it changes.
    const detail = reading.known || fixed !== undefined ? '' : reading.detail;
    if (detail !== told) log.warn({ controllerNamespace, detail }, 'the version of Argo is not known');
    told = detail;
    const version = fixed ?? (reading.known ? reading.version : 'unknown');
    known = { version, ...(pods.ok ? await readController(pods.value) : unread(pods.message)) };
    knownSinceMs = nowMs();
  }

  async function readController(pods: readonly unknown[]): Promise<Omit<ArgoFacts, 'version'>> {
    return { ...(await readConfiguration(pods)), isWrittenBack: isWrittenBack(pods) };
  }

  async function readConfiguration(
    pods: readonly unknown[],
  ): Promise<Pick<ArgoFacts, 'defaults' | 'artifactRepository'>> {
    const name = controllerConfigMap(pods);
    if (name === undefined) return unread('several workflow controllers have configurations of their own');
    const found = await kube.get({ resource: RESOURCES.configMaps, namespace: controllerNamespace, name });
    if (found.ok) {
      return { defaults: describeDefaults(found.value), artifactRepository: readArtifactRepository(found.value) };
    }
    // Argo's controller runs without one, by its built-in settings.
    if (found.status === 404) return { defaults: undefined, artifactRepository: undefined };
    return unread(`the configuration of the workflow controller cannot be read: ${found.message}`);
  }

  return {
    async read(deadlineMs) {
      if (known === undefined || nowMs() - knownSinceMs > STALE_MS) {
        pending ??= refresh().finally(() => {
          pending = undefined;
        });
      }
      if (known === undefined && pending !== undefined)
        await withDeadline(() => pending ?? Promise.resolve(), deadlineMs);
      return known ?? (fixed === undefined ? UNKNOWN : { ...UNKNOWN, version: fixed });
    },
  };
}
