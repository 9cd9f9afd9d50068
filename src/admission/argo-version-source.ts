import { type ArgoVersion, parseArgoVersion, versionOfControllers } from '../argo/versions.ts';
import type { Log } from '../base/log.ts';
import { type KubeApi, RESOURCES } from '../kube/types.ts';
import { withDeadline } from './deadline.ts';

export interface ArgoVersionSource {
  /** The version of the Argo that runs workflows, within `deadlineMs`. */
  read(deadlineMs: number): Promise<ArgoVersion | 'unknown'>;
}

export interface ArgoVersionOptions {
  readonly kube: Pick<KubeApi, 'list'>;
  readonly controllerNamespace: string;
  /** A setting wins; nobody is asked then. */
  readonly setting: string | undefined;
  readonly log: Log;
  /** The clock, in milliseconds. */
  readonly nowMs?: () => number;
}

/** How old an answer may be before it is asked for again, in milliseconds. */
const STALE_MS = 60_000;
/** Everything in the controller's namespace but step pods, of which there may be thousands. */
const NO_STEP_PODS = '!workflows.argoproj.io/workflow';

/**
 * Reads the version from the images of the running workflow controllers, when it is first asked for and then again each
 * minute: an old answer is given while a new one is fetched.
 */
export function createArgoVersionSource(options: ArgoVersionOptions): ArgoVersionSource {
  const { kube, controllerNamespace, setting, log, nowMs = () => performance.now() } = options;
  const fixed = setting === undefined ? undefined : parseArgoVersion(setting);
  let known: ArgoVersion | 'unknown' | undefined;
  let knownSinceMs = 0;
  let told = '';
  let pending: Promise<void> | undefined;

  async function refresh(): Promise<void> {
    const pods = await kube.list(
      { resource: RESOURCES.pods, namespace: controllerNamespace },
      { labelSelector: NO_STEP_PODS },
    );
    const reading = pods.ok ? versionOfControllers(pods.value) : ({ known: false, detail: pods.message } as const);
    // Said once, and again when it changes.
    const detail = reading.known ? '' : reading.detail;
    if (detail !== told) log.warn({ controllerNamespace, detail }, 'the version of Argo is not known');
    told = detail;
    known = reading.known ? reading.version : 'unknown';
    knownSinceMs = nowMs();
  }

  return {
    async read(deadlineMs) {
      if (fixed !== undefined) return fixed;
      if (known === undefined || nowMs() - knownSinceMs > STALE_MS) {
        pending ??= refresh().finally(() => {
          pending = undefined;
        });
      }
      if (known === undefined && pending !== undefined)
        await withDeadline(() => pending ?? Promise.resolve(), deadlineMs);
      return known ?? 'unknown';
    },
  };
}
