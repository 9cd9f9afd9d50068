import { NO_STEP_PODS } from '../argo/names.ts';
import { podSpec } from '../argo/pod.ts';
import { controllerContainers } from '../argo/versions.ts';
import type { Log } from '../base/log.ts';
import type { Trouble } from '../controller/tell-troubles.ts';
import { type KubeApi, RESOURCES } from '../kube/types.ts';

export interface UnnamedControllers {
  /** Takes note of an account that creates step pods and is not one of the configured controllers. */
  see(account: string): void;
  /** Accounts of running workflow controllers that stepmemo was not told about. */
  troubles(): readonly Trouble[];
}

/** Who posts forged reviews may name any account: no more than this is looked into. */
const REMEMBERED = 50;

/**
 * Finds workflow controllers that an admin has installed and not named (Argo's Helm chart uses another account than its manifests):
 * nothing they create is ever memoized. An account counts only where a workflow controller runs as it.
 */
export function createUnnamedControllers(kube: Pick<KubeApi, 'list'>, log: Pick<Log, 'warn'>): UnnamedControllers {
  const controllers = new Map<string, boolean>();
  let isAsking = false;

  async function lookInto(account: string, namespace: string, name: string): Promise<void> {
    const pods = await kube.list({ resource: RESOURCES.pods, namespace }, { labelSelector: NO_STEP_PODS });
    if (!pods.ok) return;
    const isController = pods.value.some(
      (pod) => (podSpec(pod).serviceAccountName ?? 'default') === name && controllerContainers([pod]).length > 0,
    );
    controllers.set(account, isController);
    if (isController) log.warn({ account }, describe(account));
  }

  return {
    see(account) {
      const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(account) ?? [];
      if (namespace === undefined || name === undefined) return;
      if (isAsking || controllers.has(account) || controllers.size >= REMEMBERED) return;
      isAsking = true;
      lookInto(account, namespace, name)
        .catch((error: unknown) => log.warn({ err: error, account }, 'an account could not be looked into'))
        .finally(() => {
          isAsking = false;
        });
    },
    troubles: () => [...controllers].flatMap(([account, isController]) => (isController ? [troubleWith(account)] : [])),
  };
}

/** Users are not told of accounts. */
function troubleWith(account: string): Trouble {
  const forUsers = {
    text: 'a workflow controller that stepmemo was not told about runs in this cluster; steps that it starts are not memoized',
    affects: 'unreached',
  } as const;
  return { reason: 'installation-incomplete', text: describe(account), forUsers };
}

function describe(account: string): string {
  return `a workflow controller runs as ${account}, whose steps are left alone; if it is yours, add it to controllerAccounts`;
}
