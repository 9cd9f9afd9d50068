import { Command, Option } from 'commander';
import { createLog } from './base/log.ts';
import { MEMOIZE_MODES } from './base/names.ts';
import { addClusterOptions, type ClusterChoice, onCluster } from './cli/cluster/connect.ts';
import { type PurgeOptions, runLs, runPurge, runShow } from './cli/commands/caches.ts';
import { type DecideOptions, runDecide } from './cli/commands/decide.ts';
import { runDoctor } from './cli/commands/doctor.ts';
import { runExplain } from './cli/commands/explain.ts';
import { addLintCommand } from './cli/commands/lint.ts';
import { runMigrateCluster } from './cli/commands/migrate.ts';
import { type PlanOptions, runPlan } from './cli/commands/plan.ts';
import { runRelease } from './cli/commands/release.ts';
import { runUninstall } from './cli/commands/uninstall.ts';
import { addCompletionCommands } from './cli/completion.ts';
import { runMigrateFiles } from './cli/files/migrate-files.ts';
import { FORMATS, type Format } from './cli/formats.ts';
import { EXIT_USAGE, endQuietlyOnClosedPipe, exitWithErrors, processOutput } from './cli/output.ts';
import { configSchema } from './config/config.ts';
import { flagName, loadConfig } from './config/load-config.ts';

declare const STEPMEMO_VERSION: string;

/** Exit codes of all commands: 0 done, 1 found or failed (each command says what), 2 bad usage or unreadable input. */
const EXIT_FAILED = 1;

const program = new Command('stepmemo')
  .description('Step-level memoization for Argo Workflows, from outside the workflow controller.')
  .version(typeof STEPMEMO_VERSION === 'string' ? STEPMEMO_VERSION : '0.0.0')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));

const server = program
  .command('server')
  .description('run the webhooks, the capture endpoint and the controller')
  .option('--config <file>', 'YAML or JSON file of settings (also STEPMEMO_CONFIG)');
for (const [field, schema] of Object.entries(configSchema.shape)) {
  server.addOption(new Option(`${flagName(field)} <value>`, schema.description));
}
server.action(async (flags: Record<string, string | undefined>) => {
  const { config: file, ...rest } = flags;
  const loaded = loadConfig({ file: file ?? process.env.STEPMEMO_CONFIG, env: process.env, flags: rest });
  if (!loaded.ok) exitWithErrors(loaded.errors);
  const log = createLog(loaded.config.logLevel);
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'));
  const { startServer } = await import('./server.ts');
  const running = await startServer(loaded.config, log).catch((error: unknown) => {
    log.fatal({ err: error }, 'the server could not start');
    return process.exit(EXIT_FAILED);
  });
  const stop = (signal: string): void => {
    log.info({ signal }, 'stopping');
    running.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'the server did not stop cleanly');
        process.exit(EXIT_FAILED);
      },
    );
  };
  process.once('SIGTERM', () => stop('SIGTERM'));
  process.once('SIGINT', () => stop('SIGINT'));
});

program
  .command('decide')
  .description('print what would be decided about recorded AdmissionReviews, Pods or Workflows, without a cluster')
  .argument('<file...>', 'JSON or YAML files; - is standard input')
  .option('--configmaps <file>', 'the caches: a List, or several documents')
  .option('--now <time>', 'decide as of this time (RFC 3339)')
  .addOption(new Option('--mode <mode>', 'mode of the namespace').choices(MEMOIZE_MODES).default('managed'))
  .addOption(new Option('-o, --output <format>', 'output format').choices(['json', 'text']).default('json'))
  .option('--apply', 'print the object as patched instead', false)
  .option('--config <file>', 'YAML or JSON file of settings (also STEPMEMO_CONFIG)')
  .action(async (files: string[], options: Omit<DecideOptions, 'files'> & { config?: string }) => {
    const loaded = loadConfig({ file: options.config ?? process.env.STEPMEMO_CONFIG, env: process.env });
    if (!loaded.ok) exitWithErrors(loaded.errors);
    process.exitCode = await runDecide({ ...options, files }, loaded.config, processOutput);
  });

addLintCommand(program, exitWithErrors);

program
  .command('plan')
  .description('print which steps would be hits if these Workflows were submitted now, and why the others would not')
  .argument('<file...>', 'manifests of Workflows, CronWorkflows or templates with an entrypoint; - is standard input')
  .option('--configmaps <file>', 'the caches: a List, or several documents')
  .option('-n, --namespace <name>', 'ask the cluster for the caches of this namespace, and for its mode')
  .option('--now <time>', 'plan as of this time (RFC 3339)')
  .addOption(new Option('--mode <mode>', 'mode of the namespace (managed, or what it says)').choices(MEMOIZE_MODES))
  .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
  .action(async (files: string[], options: Omit<PlanOptions, 'files'> & ClusterChoice) => {
    if (options.configmaps !== undefined && options.namespace !== undefined)
      exitWithErrors(['plan: say either --configmaps or -n']);
    const connect = async () => (await onCluster(options)).kube;
    process.exitCode = await runPlan({ ...options, files }, { out: processOutput, connect });
  });

interface LookFlags extends ClusterChoice {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly output: Format;
  readonly ownNamespace: string;
}

const namespaceOption = () => new Option('-n, --namespace <name>', "the namespace (the context's)");
const outputOption = () => new Option('-o, --output <format>', 'output format').choices(FORMATS).default('text');

type PurgeFlags = Omit<PurgeOptions, 'cache' | 'key' | 'namespace'> & LookFlags;

program
  .command('explain')
  .description('say why each memoized step of a Workflow was served or not, and what would make it a hit')
  .argument('<what>', 'workflow/NAME or pod/NAME')
  .addOption(namespaceOption())
  .addOption(outputOption())
  .action(async (what: string, flags: LookFlags) => {
    const deps = await onCluster(flags);
    process.exitCode = await runExplain(
      { what, output: flags.output, namespace: flags.namespace ?? deps.namespace },
      deps,
    );
  });

program
  .command('ls')
  .description('list the caches of a namespace: entries, size, the oldest and the newest')
  .addOption(namespaceOption())
  .option('-A, --all-namespaces', 'of all namespaces', false)
  .addOption(outputOption())
  .action(async ({ allNamespaces, namespace, output, ...flags }: LookFlags) => {
    const deps = await onCluster(flags);
    const where = allNamespaces === true ? undefined : (namespace ?? deps.namespace);
    process.exitCode = await runLs({ namespace: where, output }, deps);
  });

program
  .command('show')
  .description('print the entries of a cache, or one of them')
  .argument('<cache>', 'name of its ConfigMap')
  .argument('[key]', 'the key as the step asks for it')
  .addOption(namespaceOption())
  .addOption(outputOption())
  .action(async (cache: string, key: string | undefined, flags: LookFlags) => {
    const deps = await onCluster(flags);
    const { output, namespace = deps.namespace } = flags;
    process.exitCode = await runShow({ cache, key, namespace, output }, deps);
  });

program
  .command('purge')
  .description('take entries out of a cache, so that their steps run again')
  .argument('<cache>', 'name of its ConfigMap')
  .argument('[key]', 'the key as the step asks for it')
  .option('--older-than <duration>', 'entries older than this, say 24h')
  .option('--all', 'all entries', false)
  .addOption(namespaceOption())
  .option('--yes', 'apply; without it, list the entries (dry run)', false)
  .action(async (cache: string, key: string | undefined, flags: PurgeFlags) => {
    const deps = await onCluster(flags);
    process.exitCode = await runPurge({ ...flags, cache, key, namespace: flags.namespace ?? deps.namespace }, deps);
  });

program
  .command('doctor')
  .description('look at an installation of stepmemo and say what is wrong with it, and how to fix it')
  .option('--own-namespace <name>', 'where stepmemo runs', 'stepmemo')
  .addOption(outputOption())
  .action(async (flags: LookFlags) => {
    process.exitCode = await runDoctor(flags, await onCluster(flags));
  });

interface MigrateFlags extends ClusterChoice {
  readonly cluster: boolean;
  readonly namespace?: string;
  readonly allNamespaces: boolean;
  readonly yes: boolean;
  readonly write: boolean;
  readonly back: boolean;
  readonly backup: boolean;
}

program
  .command('migrate')
  .description('move memoize into annotations: of what a cluster has stored, or of manifests in a repository')
  .argument('[file...]', 'manifests to rewrite; - is standard input')
  .option('--cluster', 'migrate what is stored in the cluster', false)
  .option('-n, --namespace <name>', 'with --cluster: this namespace')
  .option('-A, --all-namespaces', 'with --cluster: all namespaces that have opted in', false)
  .option('--yes', 'with --cluster: apply; without it, list what would change (dry run)', false)
  .option('--write', 'write the files; without it, print the result', false)
  .option('--back', 'with files: the other way', false)
  .option('--backup', 'with --write: leave the original beside each file that changes, as NAME.orig', false)
  .action(async (files: string[], flags: MigrateFlags) => {
    if (flags.cluster === files.length > 0) return exitWithErrors(['migrate: say either --cluster or files']);
    if (!flags.cluster) process.exitCode = await runMigrateFiles({ files, ...flags }, processOutput);
    else process.exitCode = await runMigrateCluster(flags, await onCluster(flags));
  });

interface ClusterFlags extends Omit<ClusterChoice, 'cluster'> {
  readonly namespace?: string;
  readonly allNamespaces: boolean;
  readonly yes: boolean;
  readonly force: boolean;
  readonly caches: boolean;
  readonly prepare: boolean;
  readonly waitSeconds: string;
  readonly ownNamespace: string;
}

program
  .command('release')
  .description('release all pods that stepmemo holds back, in case it is gone')
  .option('-n, --namespace <name>', 'pods of this namespace')
  .option('-A, --all-namespaces', 'pods of all namespaces', false)
  .option('--yes', 'apply; without it, list the pods (dry run)', false)
  .option('--force', 'apply even though stepmemo is running', false)
  .option('--own-namespace <name>', 'where stepmemo runs', 'stepmemo')
  .action(async (flags: ClusterFlags) => {
    process.exitCode = await runRelease(flags, await onCluster(flags));
  });

program
  .command('uninstall')
  .description('take stepmemo off the cluster and leave it as it was')
  .option('--yes', 'apply; without it, list what would be done (dry run)', false)
  .option('--caches', 'delete the caches that stepmemo has written too', false)
  .option('--prepare', 'leave the objects to what made them (Helm, Argo CD, Flux), and do all else', false)
  .option('--wait-seconds <seconds>', 'how long the server may take to end the pods that it holds back', '30')
  .option('--own-namespace <name>', 'where stepmemo runs', 'stepmemo')
  .action(async (flags: ClusterFlags) => {
    const waitMs = Number(flags.waitSeconds) * 1000;
    if (!(waitMs >= 0)) return exitWithErrors([`--wait-seconds: "${flags.waitSeconds}" is no number of seconds`]);
    process.exitCode = await runUninstall({ ...flags, waitMs }, await onCluster(flags));
  });

const CLUSTER_COMMANDS: readonly string[] = [
  'plan',
  'explain',
  'ls',
  'show',
  'purge',
  'doctor',
  'migrate',
  'release',
  'uninstall',
];
for (const command of program.commands.filter((one) => CLUSTER_COMMANDS.includes(one.name()))) {
  addClusterOptions(command);
}

addCompletionCommands(program);
endQuietlyOnClosedPipe();
void program.parseAsync();
