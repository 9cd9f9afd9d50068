import { writeSync } from 'node:fs';
import { run } from './run.ts';
import { readSettings } from './settings.ts';

// The capturing sidecar of a missed step. Whatever happens, it ends with 0: any other code makes the pod Failed, and the
// step with it. What Node itself dies of is turned into 0 by what runs in front (src/sidecar/command.ts).

const startedMs = Date.now();

/** One line of JSON on standard error, where all that this program ever writes goes. What cannot be written is let go. */
function log(message: string, detail: Readonly<Record<string, unknown>>): void {
  try {
    writeSync(2, `${JSON.stringify({ level: 'info', time: new Date().toISOString(), msg: message, ...detail })}\n`);
  } catch {}
}

function finish(outcome: string, detail: Readonly<Record<string, unknown>>): never {
  log('capture', { outcome, ranMs: Date.now() - startedMs, ...detail });
  process.exit(0);
}

function giveUp(error: unknown): never {
  finish('internal-error', { message: error instanceof Error ? error.message : String(error) });
}

process.on('uncaughtException', giveUp);
process.on('unhandledRejection', giveUp);
const terminate = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => terminate.abort());

const reading = readSettings(process.env, process.argv.slice(2));
if (!reading.ok) finish('misconfigured', { message: reading.message });
log('waiting for the step to end', {});
const { outcome, detail } = await run(reading.settings, terminate.signal);
finish(outcome, detail);
