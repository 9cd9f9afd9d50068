import type { Log } from '../base/log.ts';
import { eventReason, type Reason } from '../base/reasons.ts';
import { formatMicroTime } from '../kube/micro-time.ts';
import { type KubeApi, type ObjectPath, RESOURCES } from '../kube/types.ts';
import { countOf, type EventSeries, EventSeriesTable, TokenBuckets } from './event-series.ts';

export interface EventInput {
  readonly regarding: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly uid?: string | undefined;
  };
  readonly type: 'Normal' | 'Warning';
  readonly reason: Reason;
  /** A sentence, cut at 1 KiB (the API's limit for notes). */
  readonly message: string;
}

/** Sends an Event without anybody waiting for it. */
export type RecordEvent = (event: EventInput) => void;

export interface EventRecorderOptions {
  readonly kube: Pick<KubeApi, 'create' | 'patch'>;
  readonly log: Log;
  readonly reportingInstance: string;
  /** Told of each Event that was not sent, for there were too many. */
  readonly onDrop?: () => void;
  /** The clock, in milliseconds. */
  readonly nowMs?: () => number;
  /** How long a series gathers before its count is written, in milliseconds. */
  readonly flushMs?: number;
}

// A burst of pods must not become a burst of Events that crowds out the calls that end pods.
const MAX_IN_FLIGHT = 16;
const MAX_QUEUED = 1000;
const NOTE_LIMIT = 1024;
const FLUSH_MS = 10_000;
/** What one namespace may have written: at once, and a second from then on. */
const NAMESPACE_LIMIT = { burst: 100, perSecond: 2 };

/**
 * Events are a courtesy: those that cannot be sent are logged and forgotten. The first ones that say the same of an object stand
 * alone, each with its particulars; the rest are one Event that counts (`series`), so 10,000 pods of a Workflow make a dozen.
 */
export function createEventRecorder(options: EventRecorderOptions): RecordEvent {
  const { onDrop, nowMs = Date.now, flushMs = FLUSH_MS } = options;
  const series = new EventSeriesTable();
  const buckets = new TokenBuckets(NAMESPACE_LIMIT);
  const send = createSender(options);

  const mayWrite = ({ regarding }: EventInput): boolean => {
    if (buckets.take(regarding.namespace, nowMs())) return true;
    onDrop?.();
    return false;
  };

  /** Writes the count of a series, some time after it has grown. */
  function flushLater(event: EventInput, one: EventSeries): void {
    if (one.isFlushDue) return;
    one.isFlushDue = true;
    setTimeout(() => {
      one.isFlushDue = false;
      const { path } = one;
      const count = countOf(one);
      if (path !== undefined && count > 1 && mayWrite(event)) send(event, () => writeCount(options.kube, path, count));
    }, flushMs).unref();
  }

  return (event) => {
    const { regarding, reason } = event;
    const one = series.see([regarding.namespace, regarding.uid ?? regarding.name, reason].join('/'), nowMs());
    const count = countOf(one);
    if (count > 1) return flushLater(event, one);
    if (!mayWrite(event)) {
      one.told -= 1;
      return;
    }
    send(event, async () => {
      const made = await writeEvent(options, event);
      if (typeof made === 'string') return made;
      if (count === 1) one.path = made;
      // What came while it was on its way has not been written.
      if (count === 1 && countOf(one) > 1) flushLater(event, one);
      return undefined;
    });
  };
}

/** Sends in the order of asking, a few at a time; `call` returns what went wrong. */
function createSender({ log, onDrop }: EventRecorderOptions) {
  const queue: (() => Promise<void>)[] = [];
  let inFlight = 0;
  const pump = (): void => {
    while (inFlight < MAX_IN_FLIGHT) {
      const next = queue.shift();
      if (next === undefined) return;
      inFlight += 1;
      void next().finally(() => {
        inFlight -= 1;
        pump();
      });
    }
  };
  return ({ reason }: EventInput, call: () => Promise<string | undefined>): void => {
    if (queue.length >= MAX_QUEUED) {
      onDrop?.();
      return;
    }
    queue.push(async () => {
      try {
        const failure = await call();
        if (failure !== undefined) log.warn({ failure, reason }, 'an Event could not be sent');
      } catch (error) {
        log.warn({ err: error }, 'an Event could not be sent');
      }
    });
    pump();
  };
}

/** Where it is, or what went wrong. */
async function writeEvent(
  { kube, reportingInstance }: EventRecorderOptions,
  event: EventInput,
): Promise<ObjectPath | string> {
  const { namespace, name, uid, apiVersion, kind } = event.regarding;
  const answer = await kube.create(
    { resource: RESOURCES.events, namespace },
    {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      // The prefix is cut so that name and random suffix fit into 253 characters; a dot at its end would be refused.
      metadata: { generateName: `${name.slice(0, 230)}-`, namespace },
      eventTime: formatMicroTime(new Date()),
      reportingController: 'stepmemo.io/stepmemo',
      reportingInstance: reportingInstance.slice(0, 128),
      action: 'Memoize',
      reason: eventReason(event.reason),
      type: event.type,
      note: event.message.slice(0, NOTE_LIMIT),
      regarding: { apiVersion, kind, namespace, name, ...(uid === undefined ? {} : { uid }) },
    },
  );
  if (!answer.ok) return answer.message;
  return { resource: RESOURCES.events, namespace, name: answer.value.metadata?.name ?? '' };
}

async function writeCount(kube: Pick<KubeApi, 'patch'>, path: ObjectPath, count: number): Promise<string | undefined> {
  const series = { count, lastObservedTime: formatMicroTime(new Date()) };
  const answer = await kube.patch(path, [{ op: 'add', path: '/series', value: series }]);
  return answer.ok ? undefined : answer.message;
}
