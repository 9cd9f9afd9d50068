import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestProject } from 'vitest/node';
import { argoVersion, runFolder } from './settings.ts';

/*
 * A whole cluster with Argo Workflows and stepmemo, as `make demo` makes it: node, workflow-controller, image, manifests.
 *
 *   ARGO=3.7.15            the version of Argo Workflows (4.0.5)
 *   STEPMEMO_KEEP=1        leave the cluster up at the end, for the next run or for a look
 */
declare module 'vitest' {
  interface ProvidedContext {
    e2e: { kubeconfig: string; kubectl: string; argoVersion: string };
  }
}

const ROOT = new URL('../..', import.meta.url).pathname;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const down = async () => {
    if (process.env.STEPMEMO_KEEP !== '1') await script('cluster/down.sh');
  };
  try {
    await script('cluster/up.sh');
    await script('scripts/install.sh', `${runFolder}/kubeconfig`, `${runFolder}/bin/kubectl`);
  } catch (error) {
    await down();
    throw error;
  }
  project.provide('e2e', { kubeconfig: `${runFolder}/kubeconfig`, kubectl: `${runFolder}/bin/kubectl`, argoVersion });
  return down;
}

async function script(path: string, ...args: readonly string[]): Promise<void> {
  const child = spawn(`${ROOT}/${path}`, args, {
    env: { ...process.env, ARGO: argoVersion, STEPMEMO_RUN: runFolder },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${path} ended with ${code}`);
}
