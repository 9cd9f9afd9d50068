// Writes the reference pages that code is the source of: docs/config.md, docs/config.schema.json, docs/reasons.md,
// docs/metrics.md, docs/cli.md and the schema of the chart's values. With --check it writes nothing and fails when a page is not what the code says.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import { eventReason, REASONS, type Reason } from '../src/base/reasons.ts';
import { configSchema } from '../src/config/config.ts';
import { envName, flagName } from '../src/config/load-config.ts';
import { createMetrics } from '../src/telemetry/metrics.ts';
import { chartSchema } from './chart-schema.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const isCheck = process.argv.includes('--check');
const MADE = '<!-- Made by `make docs` from the code; edit there. -->';

interface JsonSchemaProperty {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
}

function configPage(): string {
  const schema = z.toJSONSchema(configSchema, { io: 'input' }) as { properties: Record<string, JsonSchemaProperty> };
  const rows = Object.entries(schema.properties).map(([field, property]) => {
    const type = property.enum?.map((value) => `\`${value}\``).join(', ') ?? property.type ?? '';
    const fallback = property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``;
    return `| \`${field}\` | \`${flagName(field)}\` | \`${envName(field)}\` | ${type} | ${fallback} | ${property.description ?? ''} |`;
  });
  return `# Configuration

${MADE}

Settings of \`stepmemo server\`. Flags take precedence over environment variables, and those over the file (\`--config FILE\`, YAML or JSON; in the
manifests a mounted ConfigMap). The server refuses to start with an unknown or invalid setting, and names it with the reason. Lists are
written with commas in flags and variables, objects as JSON. The file's schema: [config.schema.json](config.schema.json).

| field of the file | flag | variable | type | default | what |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

function reasonsPage(): string {
  const sections = (Object.keys(REASONS) as Reason[]).map((reason) => {
    const { meaning, fix } = REASONS[reason];
    return `## ${reason}\n\n${meaning}${fix === '' ? '' : `\n\n**What to do:** ${fix}`}\n\nEvent: \`${eventReason(reason)}\`\n`;
  });
  return `# Reasons

${MADE}

Why a step was or was not served from the cache. The word appears in the admission answer (and the API server's audit log), in
the pod's annotation \`stepmemo.io/reason\`, in the label \`reason\` of the metrics and, in UpperCamelCase, as the reason of Events.

${sections.join('\n')}`;
}

async function metricsPage(): Promise<string> {
  const { registry } = createMetrics();
  const all = await registry.getMetricsAsJSON();
  const rows = all
    .filter(({ name }) => name.startsWith('stepmemo_'))
    .map(({ name, help, type }) => `| \`${name}\` | ${String(type)} | ${labelsOf(registry, name)} | ${help} |`);
  return `# Metrics

${MADE}

Served at \`/metrics\` on port 8080, beside the usual ones of a Node process (\`process_*\`, \`nodejs_*\`).

| name | type | labels | what |
| --- | --- | --- | --- |
${rows.join('\n')}

Alerts and a Grafana dashboard are in the chart: \`charts/stepmemo/files\`, installed with \`prometheusRule.enabled\` and \`dashboard.enabled\`.
`;
}

function labelsOf(registry: Registry, name: string): string {
  const { labelNames = [] } = registry.getSingleMetric(name) as unknown as { labelNames?: readonly string[] };
  return labelNames.map((label) => `\`${label}\``).join(', ');
}

function cliPage(): string {
  const help = (...args: string[]): string =>
    execFileSync(process.execPath, [`${root}/bin/stepmemo.mjs`, ...args, '--help'], {
      encoding: 'utf8',
      env: { ...process.env, COLUMNS: '110', NO_COLOR: '1' },
    }).trimEnd();
  const top = help();
  // The flags of the server are those of docs/config.md.
  const commands = [...top.matchAll(/^ {2}([a-z]+) .*$/gm)]
    .map(([, name]) => name ?? '')
    .filter((name) => name !== 'help' && name !== 'server');
  const sections = commands.map((name) => `## stepmemo ${name}\n\n\`\`\`text\n${help(name)}\n\`\`\`\n`);
  return `# Command line\n\n${MADE}\n\n\`\`\`text\n${top}\n\`\`\`\n\nThe flags of \`stepmemo server\` are in [config.md](config.md).\n\n${sections.join('\n')}`;
}

const pages: Record<string, string> = {
  'docs/config.md': configPage(),
  'charts/stepmemo/values.schema.json': chartSchema(),
  'docs/config.schema.json': `${JSON.stringify(z.toJSONSchema(configSchema, { io: 'input' }), null, 2)}\n`,
  'docs/reasons.md': reasonsPage(),
  'docs/metrics.md': await metricsPage(),
  'docs/cli.md': cliPage(),
};
mkdirSync(`${root}/docs`, { recursive: true });
let isStale = false;
for (const [path, text] of Object.entries(pages)) {
  if (!isCheck) writeFileSync(`${root}/${path}`, text);
  else if (readText(`${root}/${path}`) !== text) {
    console.error(`${path} is not what the code says; run \`make docs\``);
    isStale = true;
  }
}
if (isStale) process.exit(1);

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
