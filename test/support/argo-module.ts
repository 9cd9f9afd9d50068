import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const MODULES = new URL('../../cluster/modules', import.meta.url).pathname;

/** The folder of Argo's Go module, in a version that cluster/ pins (4.0.5): its manifests and examples. */
export async function argoModule(version: string): Promise<string> {
  const module = `github.com/argoproj/argo-workflows/v${version.split('.')[0]}@v${version}`;
  const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', module], {
    cwd: join(MODULES, `argo-${version}`),
    env: { ...process.env, GOWORK: 'off', GOFLAGS: '-mod=readonly' },
  });
  return (JSON.parse(stdout) as { Dir: string }).Dir;
}
