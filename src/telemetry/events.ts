import type { Log } from '../base/log.ts';
import { eventReason, type Reason } from '../base/reasons.ts';
import { type KubeApi, RESOURCES } from '../kube/types.ts';

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

// A burst of pods must not become a burst of Events that crowds out the calls that end pods.
const MAX_IN_FLIGHT = 16;
const MAX_QUEUED = 1000;
const NOTE_LIMIT = 1024;

/** Events are a courtesy: those that cannot be sent are logged and forgotten. */
export function createEventRecorder(kube: KubeApi, log: Log, reportingInstance: string): RecordEvent {
  const queue: EventInput[] = [];
  let inFlight = 0;
  const pump = (): void => {
    while (inFlight < MAX_IN_FLIGHT) {
      const next = queue.shift();
      if (next === undefined) return;
      inFlight += 1;
      send(kube, next, reportingInstance)
        .then((failure) => failure && log.warn({ failure, reason: next.reason }, 'an Event could not be sent'))
        .catch((error: unknown) => log.warn({ err: error }, 'an Event could not be sent'))
        .finally(() => {
          inFlight -= 1;
          pump();
        });
    }
  };
  return (event) => {
    if (queue.length >= MAX_QUEUED) return;
    queue.push(event);
    pump();
  };
}

async function send(kube: KubeApi, event: EventInput, reportingInstance: string): Promise<string | undefined> {
  const { namespace, name, uid, apiVersion, kind } = event.regarding;
  const answer = await kube.create(
    { resource: RESOURCES.events, namespace },
    {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      // The prefix is cut so that name and random suffix fit into 253 characters; a dot at its end would be refused.
      metadata: { generateName: `${name.slice(0, 230)}-`, namespace },
      eventTime: new Date().toISOString().replace('Z', '000Z'),
      reportingController: 'stepmemo.io/stepmemo',
      reportingInstance: reportingInstance.slice(0, 128),
      action: 'Memoize',
      reason: eventReason(event.reason),
      type: event.type,
      note: event.message.slice(0, NOTE_LIMIT),
      regarding: { apiVersion, kind, namespace, name, ...(uid === undefined ? {} : { uid }) },
    },
  );
  return answer.ok ? undefined : answer.message;
}
