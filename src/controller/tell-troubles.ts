import type { Log } from '../base/log.ts';
import type { Reason } from '../base/reasons.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../kube/types.ts';
import type { EventInput, RecordEvent } from '../telemetry/events.ts';
import { asksForMemoization } from '../workflow/asks-for-memoization.ts';
import type { SeenWorkflow } from './result-table.ts';

/** Something that is wrong with the installation. */
export interface Trouble {
  readonly reason: Extract<Reason, 'installation-incomplete' | 'webhook-not-called'>;
  /** For admins, half a sentence. */
  readonly text: string;
  /** For users whose Workflows it affects; left out where it affects none, or where each Workflow is told otherwise. */
  readonly forUsers?: {
    readonly text: string;
    /** `unreached`: those of whose pods stepmemo has seen none. */
    readonly affects: 'unreached' | 'all';
  };
}

export interface TroubleTellerOptions {
  /** What is wrong now. */
  readonly troubles: () => readonly Trouble[];
  /** stepmemo's own. */
  readonly namespace: string;
  /** One replica speaks for all of them. */
  readonly isLeader: () => boolean;
  /** Of each namespace that has opted in, the Workflow that was active last. */
  readonly newestWorkflows: () => readonly SeenWorkflow[];
  /** Whether stepmemo has dealt with a pod of that Workflow. */
  readonly hasPodOf: (namespace: string, workflow: string) => boolean;
  readonly kube: Pick<KubeApi, 'get'>;
  readonly recordEvent: RecordEvent;
  readonly log: Pick<Log, 'warn'>;
  /** How often to look, in milliseconds. */
  readonly everyMs: number;
  /** The clock, in milliseconds. */
  readonly nowMs?: () => number;
}

const TOLD_EVERY_MS = 60 * 60_000;
/** Workflows that are read at one look, each once an hour: a cluster of a thousand namespaces takes 20 looks. */
const MOST_READ = 50;

/**
 * Tells of what is wrong with the installation where people look first: a Warning on the Deployment for admins, and one on the
 * newest affected Workflow of each namespace for its users. Each is told once an hour at most, of what two looks in a row have
 * found. Workflows are those of whose steps our own watch tells, and what is told of is read before: nobody can make up one.
 *
 * @returns a function that ends it
 */
export function startTroubleTeller(options: TroubleTellerOptions): () => void {
  const { troubles, isLeader, everyMs, namespace, recordEvent, log } = options;
  const mayTell = createHourly(options.nowMs ?? Date.now);
  let before: readonly string[] = [];

  async function look(): Promise<void> {
    const now = isLeader() ? troubles() : [];
    const lasting = now.filter(({ text }) => before.includes(text));
    before = now.map(({ text }) => text);
    for (const { reason, text } of lasting) {
      if (!mayTell.isDue(text)) continue;
      mayTell.note(text);
      recordEvent(warning({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: 'stepmemo' }, reason, text));
    }
    await tellUsers(options, lasting, mayTell);
  }

  const timer = setInterval(() => {
    look().catch((error: unknown) => log.warn({ err: error }, 'what is wrong could not be told'));
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

type Hourly = ReturnType<typeof createHourly>;

function createHourly(nowMs: () => number) {
  const toldAtMs = new Map<string, number>();
  return {
    isDue: (what: string): boolean => nowMs() - (toldAtMs.get(what) ?? Number.NEGATIVE_INFINITY) >= TOLD_EVERY_MS,
    note(what: string): void {
      for (const [told, atMs] of toldAtMs) if (nowMs() - atMs >= TOLD_EVERY_MS) toldAtMs.delete(told);
      toldAtMs.set(what, nowMs());
    },
  };
}

async function tellUsers(options: TroubleTellerOptions, troubles: readonly Trouble[], mayTell: Hourly): Promise<void> {
  const { newestWorkflows, hasPodOf, kube, recordEvent } = options;
  let read = 0;
  for (const seen of troubles.some(({ forUsers }) => forUsers !== undefined) ? newestWorkflows() : []) {
    const due = troubles.flatMap(({ reason, forUsers }) => {
      const key = `${seen.namespace}/${forUsers?.text}`;
      if (forUsers === undefined || !mayTell.isDue(key)) return [];
      // Last: it goes through all pods.
      const isAffected = forUsers.affects === 'all' || !hasPodOf(seen.namespace, seen.name);
      return isAffected ? [{ reason, key, text: forUsers.text }] : [];
    });
    const reading = `read ${seen.namespace}/${seen.name}`;
    if (due.length === 0 || read >= MOST_READ || !mayTell.isDue(reading)) continue;
    read += 1;
    const workflow = await kube.get({ resource: RESOURCES.workflows, ...seen });
    if (!workflow.ok || !asksForMemoization(workflow.value)) {
      mayTell.note(reading);
      continue;
    }
    for (const { reason, key, text } of due) {
      mayTell.note(key);
      recordEvent(warning(reference(workflow.value, seen), reason, text));
    }
  }
}

function reference({ apiVersion, metadata }: KubeObject, seen: SeenWorkflow): EventInput['regarding'] {
  return { apiVersion: apiVersion ?? '', kind: 'Workflow', ...seen, uid: metadata?.uid };
}

function warning(regarding: EventInput['regarding'], reason: Reason, message: string): EventInput {
  return { regarding, type: 'Warning', reason, message };
}
