import { lstatSync } from 'node:fs';
import { readFileBelow } from './safe-file.ts';
import { readSidecarTemplate, type SidecarTemplate } from './template.ts';

/** How the waiting ended. */
export type MainsEnd =
  /** All mains exited with 0. `sinceMs`: how long ago the last one did. */
  | { readonly end: 'succeeded'; readonly template: SidecarTemplate; readonly sinceMs: number }
  | { readonly end: 'failed'; readonly container: string; readonly exitCode: number }
  /** Told to end before the mains had. */
  | { readonly end: 'terminated' }
  /** Argo's supervisor gave up, so no main will end well. */
  | { readonly end: 'supervisor-failed' }
  | { readonly end: 'unusable'; readonly detail: string };

/** A template of Argo is a part of a Workflow, which etcd keeps below 2 MiB. */
const TEMPLATE_LIMIT_BYTES = 2 * 1024 * 1024;
const FIRST_PAUSE_MS = 20;
const LOOKS_PER_SUPERVISOR_LOOK = 10;
/** The last exit code is noticed at most this long after it appeared. */
export const LONGEST_PAUSE_MS = 100;

/**
 * Waits until every main container has ended, by looking for `ctr/<name>/exitcode` below `root`.
 *
 * It looks again and again instead of watching: an inotify instance is a resource of the node (often 128 for each user, and
 * most containers are the same user, root's kubelet among them), and a step must not use it up. The pauses start
 * short, for short steps, and grow to a tenth of a second: then this takes 2 ms of CPU a second (docs/adr has the figures).
 *
 * The signal means SIGTERM. Argo sends it as soon as the mains have ended, so there is one more look after it.
 */
export function waitForMains(root: string, signal: AbortSignal): Promise<MainsEnd> {
  const mains = new Mains(root);
  const startedMs = performance.now();
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const look = (): void => {
      clearTimeout(timer);
      const found = mains.look() ?? (signal.aborted ? { end: 'terminated' as const } : undefined);
      if (found) {
        resolve(found);
        return;
      }
      const waitedMs = performance.now() - startedMs;
      timer = setTimeout(look, Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, waitedMs / 20)));
    };
    signal.addEventListener('abort', look, { once: true });
    look();
  });
}

/** What is known so far of one step's main containers. */
class Mains {
  readonly #root: string;
  #template: SidecarTemplate | undefined;
  #pending: readonly string[] = [];
  #lastExitMs = 0;
  #supervisorMs = 0;
  #looks = 0;

  constructor(root: string) {
    this.#root = root;
  }

  /** Looks once at all the files; answers when the waiting is over. */
  look(): MainsEnd | undefined {
    return this.#lookAtTemplate() ?? this.#lookAtExitCodes() ?? this.#lookAtSupervisor();
  }

  /** The supervisor of the init-less layout writes it while the other containers start already. */
  #lookAtTemplate(): MainsEnd | undefined {
    if (this.#template) return undefined;
    const reading = readFileBelow(this.#root, 'template', { limitBytes: TEMPLATE_LIMIT_BYTES });
    if (!reading.ok) return reading.why === 'refused' ? unusable(`template: ${reading.detail}`) : undefined;
    const template = readSidecarTemplate(reading.bytes.toString('utf8'));
    if (template === 'no-template') return unusable('template: not understood');
    if (template === 'no-json') return undefined;
    this.#template = template;
    this.#pending = template.mains;
    return undefined;
  }

  #lookAtExitCodes(): MainsEnd | undefined {
    if (!this.#template) return undefined;
    for (const container of this.#pending) {
      const exit = readExitCode(this.#root, container);
      if (exit === 'not-yet') continue;
      if ('end' in exit) return exit;
      if (exit.code !== 0) return { end: 'failed', container, exitCode: exit.code };
      this.#lastExitMs = Math.max(this.#lastExitMs, exit.modifiedMs);
      this.#pending = this.#pending.filter((name) => name !== container);
    }
    if (this.#pending.length > 0) return undefined;
    // Whoever owns a file can set its time, so that counts within what the pauses explain.
    const sinceMs = Math.min(LONGEST_PAUSE_MS, Math.max(0, Date.now() - this.#lastExitMs));
    return { end: 'succeeded', template: this.#template, sinceMs };
  }

  /**
   * The marker of the init-less layout: `RUNNING` (written again every 5 s), `READY`, or `FAILED` and why. Mostly there is
   * none, and it is in no hurry: the mains that did start exit with 65.
   */
  #lookAtSupervisor(): MainsEnd | undefined {
    if (this.#looks++ % LOOKS_PER_SUPERVISOR_LOOK !== 0) return undefined;
    const modifiedMs = statOrNothing(`${this.#root}/status`)?.mtimeMs ?? 0;
    if (modifiedMs === this.#supervisorMs) return undefined;
    this.#supervisorMs = modifiedMs;
    const reading = readFileBelow(this.#root, 'status', { limitBytes: 64 * 1024 });
    const hasFailed = reading.ok && reading.bytes.toString('latin1').startsWith('FAILED');
    return hasFailed ? { end: 'supervisor-failed' } : undefined;
  }
}

function readExitCode(root: string, container: string): { code: number; modifiedMs: number } | MainsEnd | 'not-yet' {
  const path = `ctr/${container}/exitcode`;
  // The usual answer, and the cheapest way to it.
  if (!statOrNothing(`${root}/${path}`)) return 'not-yet';
  const reading = readFileBelow(root, path, { limitBytes: 16 });
  if (!reading.ok) return reading.why === 'refused' ? unusable(`exitcode: ${reading.detail}`) : 'not-yet';
  // Empty for a moment: Argo creates the file and then writes it (cmd/argoexec/commands/emissary.go).
  const text = reading.bytes.toString('latin1');
  return /^\d{1,3}$/.test(text) ? { code: Number(text), modifiedMs: reading.modifiedMs } : 'not-yet';
}

function unusable(detail: string): MainsEnd {
  return { end: 'unusable', detail };
}

function statOrNothing(path: string): { mtimeMs: number } | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
