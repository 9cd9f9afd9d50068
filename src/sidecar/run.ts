import { readFileSync, writeFileSync } from 'node:fs';
import { collectOutputs } from './collect.ts';
import { digestOf } from './digest.ts';
import { createCaptureClient, pause, type SendResult } from './send.ts';
import type { SidecarSettings } from './settings.ts';
import { type MainsEnd, waitForMains } from './wait-for-mains.ts';

/** Escaped as JSON, the outputs can be longer than they are. */
const BODY_LIMIT_BYTES = 2 * 1024 * 1024;

/** What came of it, one word a case; the log line's `outcome`. */
export type Outcome = {
  readonly outcome: 'posted' | 'refused' | 'not-sent' | 'deadline' | Exclude<MainsEnd['end'], 'succeeded'>;
  /** Particulars for the log: names, counts and codes, never a value. */
  readonly detail: Readonly<Record<string, unknown>>;
};

/**
 * The program: waits for the step's end, reads its outputs, posts them. `terminate` stands for SIGTERM.
 * It never rejects on account of what the step left behind or of a server that is gone.
 */
export async function run(settings: SidecarSettings, terminate: AbortSignal): Promise<Outcome> {
  const client = createCaptureClient(settings.url, settings.ca);
  const waited = await waitForMains(settings.root, terminate);
  if (waited.end !== 'succeeded') {
    const { end, ...detail } = waited;
    return { outcome: end, detail };
  }
  const startedMs = performance.now();
  const { captured, sizeBytes, missing } = collectOutputs({ ...settings, template: waited.template });
  leaveLastWord(settings.terminationLogPath, digestOf(captured));
  const read = { parameters: captured.parameters.length, hasResult: captured.result !== undefined, sizeBytes, missing };
  const body = JSON.stringify(captured);
  if (Buffer.byteLength(body) > BODY_LIMIT_BYTES)
    return { outcome: 'not-sent', detail: { ...read, message: 'too large' } };
  const token = readToken(settings.tokenPath);
  if (token === undefined) return { outcome: 'not-sent', detail: { ...read, message: 'there is no token' } };

  const abort = new AbortController();
  const leftMs = settings.deadlineMs - waited.sinceMs - (performance.now() - startedMs);
  const sent = await Promise.race([
    client.send({ token, body }, abort.signal),
    pause(Math.max(0, leftMs)).then(() => 'deadline' as const),
  ]);
  abort.abort();
  return { outcome: nameOutcome(sent), detail: { ...read, ...(sent !== 'deadline' && describe(sent)) } };
}

function nameOutcome(sent: SendResult | 'deadline'): Outcome['outcome'] {
  if (sent === 'deadline') return 'deadline';
  if (!sent.ok) return 'not-sent';
  return sent.status === 200 ? 'posted' : 'refused';
}

function describe(sent: SendResult): Record<string, unknown> {
  const { ok: _, ...rest } = sent;
  return rest;
}

/** The file is the kubelet's: where it made none, outside a pod say, none is made. */
function leaveLastWord(path: string, digest: string): void {
  try {
    writeFileSync(path, digest, { flag: 'r+' });
  } catch {}
}

/** Read when it is sent: the kubelet replaces it long before it expires. */
function readToken(path: string): string | undefined {
  try {
    const token = readFileSync(path, 'utf8').trim();
    // A header's value: anything else in it would be an error of ours, thrown by Node.
    return /^[\w.~+/=-]{1,16384}$/.test(token) ? token : undefined;
  } catch {
    return undefined;
  }
}
