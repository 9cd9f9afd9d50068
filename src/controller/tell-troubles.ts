import type { RecordEvent } from '../telemetry/events.ts';

export interface TroubleTellerOptions {
  /** What is wrong now, each as half a sentence. */
  readonly troubles: () => readonly string[];
  readonly namespace: string;
  /** One replica speaks for all of them. */
  readonly isLeader: () => boolean;
  readonly recordEvent: RecordEvent;
  /** The clock, in milliseconds. */
  readonly nowMs?: () => number;
}

const LOOK_EVERY_MS = 60_000;
const TOLD_EVERY_MS = 60 * 60_000;

/**
 * Tells of what is wrong with the installation where admins look first: a Warning on the Deployment for each trouble, once an
 * hour at most, of what two looks in a row have found.
 *
 * @returns a function that ends it
 */
export function startTroubleTeller(options: TroubleTellerOptions): () => void {
  const { troubles, isLeader, nowMs = Date.now } = options;
  let before: readonly string[] = [];
  const toldAtMs = new Map<string, number>();

  function look(): void {
    const now = isLeader() ? troubles() : [];
    for (const trouble of now.filter((one) => before.includes(one))) {
      if (nowMs() - (toldAtMs.get(trouble) ?? Number.NEGATIVE_INFINITY) < TOLD_EVERY_MS) continue;
      toldAtMs.set(trouble, nowMs());
      tell(trouble, options);
    }
    before = now;
  }

  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function tell(trouble: string, { namespace, recordEvent }: TroubleTellerOptions): void {
  recordEvent({
    regarding: { apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: 'stepmemo' },
    type: 'Warning',
    reason: 'installation-incomplete',
    message: trouble,
  });
}
