// Makes manifests/base and a component from the chart, their one source: what Helm renders with its own values, without what
// kustomize does itself.
//   manifests.ts HELM [--check]     HELM is the path of the command; --check writes nothing and fails on a difference
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const CHART = join(root, 'charts/stepmemo');
const MANIFESTS = join(root, 'manifests');
/** Templates that the chart renders on request, and kustomize has as a component; the others are the base. */
const COMPONENTS = new Map([['policies-move.yaml', 'components/move-in-api-server']]);
/** Names and an image that the overlays replace; the ConfigMap of settings is kustomize's to make. */
const VALUES = [
  'isBase=true',
  'image.repository=stepmemo',
  'image.tag=local',
  'removalHook.enabled=false',
  'outage.moveInApiServer=true',
];

/** What is made, by its path in manifests/. */
export function renderManifests(helm: string): ReadonlyMap<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'stepmemo-chart-'));
  try {
    const set = VALUES.flatMap((value) => ['--set', value]);
    // A Helm that was built from source takes itself to be for an old Kubernetes.
    const where = ['--namespace', 'stepmemo', '--kube-version', '1.30.0', '--output-dir', folder];
    execFileSync(helm, ['template', 'stepmemo', CHART, ...set, ...where], { stdio: ['ignore', 'ignore', 'inherit'] });
    const rendered = join(folder, 'stepmemo/templates');
    return new Map(
      readdirSync(rendered).map((file) => {
        const text = tidy(file, readFileSync(join(rendered, file), 'utf8'));
        return [join(COMPONENTS.get(file) ?? 'base', file), text];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function tidy(file: string, text: string): string {
  const body = text
    .replace(/^---\n# Source: .*\n/gm, '---\n')
    .replace(/^---\n/, '')
    .trimEnd();
  return `# Made by \`make manifests\` from charts/stepmemo/templates/${file}; edit there.\n${body}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [helm = 'helm', mode] = process.argv.slice(2);
  const differing: string[] = [];
  for (const [file, text] of renderManifests(helm)) {
    const path = join(MANIFESTS, file);
    if (mode !== '--check') writeFileSync(path, text);
    else if (readFileSync(path, 'utf8') !== text) differing.push(file);
  }
  if (differing.length > 0) {
    console.error(`manifests/ is not what the chart says: ${differing.join(', ')}. Run make manifests.`);
    process.exit(1);
  }
}
