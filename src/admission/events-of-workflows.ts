import { type KubeApi, RESOURCES } from '../kube/types.ts';
import type { RecordEvent } from '../telemetry/events.ts';

/** A workflow has many pods, and all of them speak of it. */
const REMEMBERED = 1_000;
/** A caller that posts forged reviews must not make us ask for more than this at a time. */
const MOST_ASKED = 16;

/**
 * Sends an Event about a Workflow only where the API server says that there is one of that name and UID: whoever reaches the
 * webhook's port can post a review that names anything. Asked once a Workflow; what is not answered is not told.
 */
export function createEventsOfWorkflows(kube: Pick<KubeApi, 'get'>, recordEvent: RecordEvent): RecordEvent {
  const known = new Map<string, Promise<boolean>>();
  let asked = 0;

  async function isThere(namespace: string, name: string, uid: string): Promise<boolean> {
    asked += 1;
    const found = await kube.get({ resource: RESOURCES.workflows, namespace, name }, { metadataOnly: true });
    asked -= 1;
    return found.ok && found.value.metadata?.uid === uid;
  }

  function ask(namespace: string, name: string, uid: string): Promise<boolean> {
    const id = JSON.stringify([namespace, name, uid]);
    const before = known.get(id);
    if (before !== undefined) return before;
    if (asked >= MOST_ASKED) return Promise.resolve(false);
    const answer = isThere(namespace, name, uid);
    const [oldest] = known.keys();
    if (known.size >= REMEMBERED && oldest !== undefined) known.delete(oldest);
    known.set(id, answer);
    // What was not there, or not answered, may be there the next time.
    void answer.then((is) => is || known.delete(id));
    return answer;
  }

  return (event) => {
    const { namespace, name, uid = '' } = event.regarding;
    void ask(namespace, name, uid).then((is) => is && recordEvent(event));
  };
}
