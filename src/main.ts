import { Command, Option } from 'commander';
import { type DecideOptions, runDecide } from './cli/decide.ts';
import { processOutput } from './cli/output.ts';
import { configSchema } from './config.ts';
import { flagName, loadConfig } from './load-config.ts';
import { startServer } from './server.ts';
import { createLog } from './telemetry/log.ts';

declare const STEPMEMO_VERSION: string;

/** Exit codes of all commands: 0 done, 1 found or failed (each command says what), 2 bad usage or unreadable input. */
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

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
  if (!loaded.ok) exitWithConfigErrors(loaded.errors);
  const log = createLog(loaded.config.logLevel);
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'));
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
  .addOption(new Option('--mode <mode>', 'mode of the namespace').choices(['managed', 'native']).default('managed'))
  .addOption(new Option('-o, --output <format>', 'output format').choices(['json', 'text']).default('json'))
  .option('--apply', 'print the object as patched instead', false)
  .option('--config <file>', 'YAML or JSON file of settings (also STEPMEMO_CONFIG)')
  .action((files: string[], options: Omit<DecideOptions, 'files'> & { config?: string }) => {
    const loaded = loadConfig({ file: options.config ?? process.env.STEPMEMO_CONFIG, env: process.env });
    if (!loaded.ok) exitWithConfigErrors(loaded.errors);
    process.exitCode = runDecide({ ...options, files }, loaded.config, processOutput);
  });

await program.parseAsync();

function exitWithConfigErrors(errors: readonly string[]): never {
  for (const error of errors) process.stderr.write(`stepmemo: ${error}\n`);
  process.exit(EXIT_USAGE);
}
