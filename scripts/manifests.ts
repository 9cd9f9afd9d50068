// Makes manifests/base from the chart, its one source: what Helm renders with its own values, without what kustomize does itself.
//   manifests.ts HELM [--check]     HELM is the path of the command; --check writes nothing and fails on a difference
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const CHART = join(root, 'charts/stepmemo');
const BASE = join(root, 'manifests/base');
/** Names and an image that the overlays replace; the ConfigMap of settings is kustomize's to make. */
const VALUES = ['isBase=true', 'image.repository=stepmemo', 'image.tag=local', 'removalHook.enabled=false'];

/** What stands in manifests/base, by file. */
export function renderBase(helm: string): ReadonlyMap<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'stepmemo-chart-'));
  try {
    const set = VALUES.flatMap((value) => ['--set', value]);
    // A Helm that was built from source takes itself to be for an old Kubernetes.
    const where = ['--namespace', 'stepmemo', '--kube-version', '1.30.0', '--output-dir', folder];
    execFileSync(helm, ['template', 'stepmemo', CHART, ...set, ...where], { stdio: ['ignore', 'ignore', 'inherit'] });
    const rendered = join(folder, 'stepmemo/templates');
    return new Map(readdirSync(rendered).map((file) => [file, tidy(file, readFileSync(join(rendered, file), 'utf8'))]));
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
  for (const [file, text] of renderBase(helm)) {
    const path = join(BASE, file);
    if (mode !== '--check') writeFileSync(path, text);
    else if (readFileSync(path, 'utf8') !== text) differing.push(file);
  }
  if (differing.length > 0) {
    console.error(`manifests/base is not what the chart says: ${differing.join(', ')}. Run make manifests.`);
    process.exit(1);
  }
}
