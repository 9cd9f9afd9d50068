/** Which cluster a command works on, and as whom, said with kubectl's flags. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Command } from 'commander';
import { parseGoDuration } from '../../base/duration.ts';
import { exitWithErrors, processOutput } from '../output.ts';
import type { KubeCommandDeps } from './kube-command.ts';

/** Which cluster, as kubectl is told it. `--cluster` alone is another flag in `migrate`. */
export interface ClusterChoice {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly cluster?: string | boolean;
  readonly user?: string;
  readonly as?: string;
  readonly asGroup?: string[];
  readonly requestTimeout?: string;
}

export function addClusterOptions(command: Command): void {
  command.option('--kubeconfig <file>', 'kubeconfig of the cluster (KUBECONFIG, then ~/.kube/config)');
  command.option('--context <name>', 'context of the kubeconfig');
  command.option('--as <user>', 'user to act as');
  command.option('--as-group <group>', 'group to act as; may be said several times', (group, all: string[] = []) => [
    ...all,
    group,
  ]);
  command.option('--request-timeout <duration>', 'how long one request may take, for example 5s');
  if (command.name() === 'migrate') return;
  command.option('--cluster <name>', 'cluster of the kubeconfig');
  command.option('--user <name>', 'user of the kubeconfig');
}

/** Commands on a cluster act with the rights of whoever runs them, in the namespace of their context. */
export async function onCluster(flags: ClusterChoice): Promise<KubeCommandDeps & { readonly namespace: string }> {
  // Loaded where it is needed: the client is most of the program, and decide and lint start without it.
  const { createKubeApi, namespaceOf, ownNamespaceOfPod } = await import('../../kube/client.ts');
  const options = timeoutOf(flags);
  const listed = (process.env.KUBECONFIG ?? '').split(delimiter).filter((file) => file !== '');
  const standard = join(homedir(), '.kube', 'config');
  const isNamed = flags.kubeconfig !== undefined || listed.length > 0;
  // As kubectl: without any kubeconfig, a pod's own account.
  if (!isNamed && !existsSync(standard) && process.env.KUBERNETES_SERVICE_HOST !== undefined) {
    return { kube: createKubeApi(undefined, options), out: processOutput, namespace: ownNamespaceOfPod() };
  }
  const files = flags.kubeconfig !== undefined ? [flags.kubeconfig] : isNamed ? listed : [standard];
  const { context, cluster, user } = flags;
  const choice = {
    files,
    context,
    user,
    ...(typeof cluster === 'string' && { cluster }),
    impersonate: impersonationOf(flags),
  };
  try {
    return { kube: createKubeApi(choice, options), out: processOutput, namespace: namespaceOf(choice) };
  } catch (error) {
    return exitWithErrors([
      `--kubeconfig: ${files.join(delimiter)}: ${error instanceof Error ? error.message : String(error)}`,
    ]);
  }
}

function impersonationOf({ as, asGroup = [] }: ClusterChoice): { user: string; groups: readonly string[] } | undefined {
  if (as === undefined && asGroup.length > 0) return exitWithErrors(['--as-group needs --as, as in kubectl']);
  return as === undefined ? undefined : { user: as, groups: asGroup };
}

/** kubectl's: a duration with its unit, or seconds; 0 is no limit of its own. */
function timeoutOf({ requestTimeout = '0' }: ClusterChoice): { timeoutMs?: number } {
  const ms = /^\d+$/.test(requestTimeout) ? Number(requestTimeout) * 1000 : parseGoDuration(requestTimeout);
  if (ms === undefined || ms < 0)
    return exitWithErrors([`--request-timeout: "${requestTimeout}" is no duration such as 5s`]);
  return ms === 0 ? {} : { timeoutMs: ms };
}
