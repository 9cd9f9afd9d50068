import { type Command, InvalidArgumentError, Option } from 'commander';
import { formatVersion, parseArgoVersion } from '../../argo/versions.ts';
import { isObject, type JsonObject } from '../../base/json.ts';
import { MEMOIZE_MODES, type MemoizeMode } from '../../base/names.ts';
import { plainText, quote } from '../../base/text.ts';
import type { Config } from '../../config/config.ts';
import { loadConfig } from '../../config/load-config.ts';
import type { Finding } from '../../policy/finding.ts';
import { isJudged, type LintContext, lintObjects } from '../../policy/lint-objects.ts';
import { RULE_NAMES, RULES, type Rule } from '../../policy/rules.ts';
import { type PolicySettings, type Severity, severityOf, severitySchema } from '../../policy/settings.ts';
import { type LintObject, readLintInput } from '../files/lint-input.ts';
import { formatJson, formatSarif, formatText, type LintFinding, type LintReport } from '../files/lint-output.ts';
import { createSources, type Sources } from '../files/source.ts';
import { type CommandOutput, processOutput } from '../output.ts';

export interface LintOptions {
  readonly files: readonly string[];
  /** As given; unknown versions are refused before. */
  readonly argoVersion?: string | undefined;
  readonly mode: MemoizeMode;
  readonly output: 'text' | 'json' | 'sarif';
  /** Of objects that name none. */
  readonly namespace: string;
  /** Severities that beat those of the configuration. */
  readonly rules?: Readonly<Partial<Record<Rule, Severity>>> | undefined;
}

const EXIT_DENIED = 1;
const EXIT_UNREADABLE = 2;

/**
 * `stepmemo lint`: the policy's rules on files, without a cluster. Exit code 0 when nothing is found or warnings alone,
 * 1 on a denial, 2 when some input cannot be read (findings in the rest are printed all the same).
 */
export async function runLint(
  options: LintOptions,
  config: Pick<Config, 'policy' | 'controllerNamespace'>,
  out: CommandOutput,
  sources: Sources = createSources(),
): Promise<number> {
  const report = await lint(options, config, sources);
  for (const error of report.errors) out.printError(`stepmemo lint: ${error}`);
  const format = { text: formatText, json: formatJson, sarif: formatSarif }[options.output];
  out.print(format(report));
  if (report.errors.length > 0) return EXIT_UNREADABLE;
  return report.findings.some(({ severity }) => severity === 'deny') ? EXIT_DENIED : 0;
}

async function lint(
  options: LintOptions,
  config: Pick<Config, 'policy' | 'controllerNamespace'>,
  sources: Sources,
): Promise<LintReport> {
  const { policy, controllerNamespace } = config;
  const settings: PolicySettings = { ...policy, rules: { ...policy.rules, ...options.rules } };
  const argoVersion = parseArgoVersion(options.argoVersion ?? policy.argoVersion ?? '') ?? 'unknown';
  const context: LintContext = {
    mode: options.mode,
    argoVersion,
    controllerNamespace,
    defaultNamespace: options.namespace,
    settings,
  };
  const { objects, files, errors } = await readLintInput(options.files, sources);
  const found = lintObjects(
    objects.map(({ object }) => object),
    context,
  );
  const findings = objects.flatMap((object, index) => {
    const placed = (found[index] ?? []).map((finding) => place(finding, object));
    return [...duplicateKeys(object, settings), ...placed].sort((a, b) => a.line - b.line || a.column - b.column);
  });
  return {
    findings,
    errors,
    fileCount: files.length,
    objectCount: objects.filter(({ object }) => isJudged(object)).length,
    argoVersion: argoVersion === 'unknown' ? argoVersion : formatVersion(argoVersion),
    mode: options.mode,
  };
}

/** What only the file shows: the object has the last of two. */
function duplicateKeys(located: LintObject, settings: PolicySettings): readonly LintFinding[] {
  const { file, object, duplicates } = located;
  const severity = severityOf('duplicate-key', settings, undefined);
  if (severity === 'off' || !isJudged(object)) return [];
  return duplicates.map(({ key, line, column }) => {
    const message = `The key ${quote(key)} stands twice in this mapping, and kubectl takes the last one.`;
    const finding = {
      rule: 'duplicate-key',
      severity,
      path: key,
      pointer: '',
      message,
      subject: '',
      detail: key,
    } as const;
    return {
      ...finding,
      fix: RULES['duplicate-key'].fix,
      file,
      line,
      column,
      kind: plainText(object.kind),
      object: objectName(object),
    };
  });
}

function place(finding: Finding, { file, object, locate }: LintObject): LintFinding {
  return { ...finding, file, ...locate(finding.pointer), kind: plainText(object.kind), object: objectName(object) };
}

function objectName(object: JsonObject): string {
  const metadata = isObject(object.metadata) ? object.metadata : {};
  return plainText(metadata.name ?? metadata.generateName ?? '');
}

/** Adds `lint` to the program. */
export function addLintCommand(program: Command, exitWithErrors: (errors: readonly string[]) => never): void {
  program
    .command('lint')
    .description('judge Workflows, templates and caches in files by the rules of the policy, without a cluster')
    .argument('<file...>', 'YAML or JSON files, or folders of them; - is standard input')
    .option('--argo-version <version>', 'the Argo that will run them, say 4.0.5', checkVersion)
    .addOption(new Option('--mode <mode>', 'mode of the namespace').choices(MEMOIZE_MODES).default('managed'))
    .option('--namespace <name>', 'namespace of objects that name none', 'default')
    .option('--rule <rule=severity>', 'severity of a rule: deny, warn or off; may be given several times', readSeverity)
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json', 'sarif']).default('text'))
    .option('--config <file>', 'YAML or JSON file of settings, for its policy (also STEPMEMO_CONFIG)')
    .action(async (files: string[], options: LintFlags) => {
      const loaded = loadConfig({ file: options.config ?? process.env.STEPMEMO_CONFIG, env: process.env });
      if (!loaded.ok) return exitWithErrors(loaded.errors);
      process.exitCode = await runLint({ ...options, files, rules: options.rule }, loaded.config, processOutput);
    });
}

type LintFlags = Omit<LintOptions, 'files' | 'rules'> & {
  readonly config?: string;
  readonly rule?: Partial<Record<Rule, Severity>>;
};

function checkVersion(text: string): string {
  if (parseArgoVersion(text) === undefined) throw new InvalidArgumentError('Expected a version such as 4.0.5.');
  return text;
}

function readSeverity(text: string, before: Partial<Record<Rule, Severity>> = {}): Partial<Record<Rule, Severity>> {
  const [name, value] = text.split('=');
  const rule = RULE_NAMES.find((known) => known === name);
  const severity = severitySchema.safeParse(value);
  if (rule === undefined)
    throw new InvalidArgumentError(`There is no rule "${name}". Rules: ${RULE_NAMES.join(', ')}.`);
  if (!severity.success) throw new InvalidArgumentError('Expected RULE=deny, RULE=warn or RULE=off.');
  return { ...before, [rule]: severity.data };
}
