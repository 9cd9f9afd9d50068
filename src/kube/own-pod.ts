import { z } from 'zod';
import { Backoff, sleep } from '../base/backoff.ts';
import type { Log } from '../base/log.ts';
import { isNoAnswer, type KubeApi, RESOURCES } from './types.ts';

export interface OwnImageOptions {
  readonly kube: Pick<KubeApi, 'get'>;
  readonly namespace: string;
  /** Name of the pod in which this process runs. */
  readonly pod: string;
  readonly container: string;
  readonly log: Pick<Log, 'warn'>;
  readonly wait?: (ms: number) => Promise<void>;
}

const podSchema = z.object({
  spec: z.object({ containers: z.array(z.object({ name: z.string(), image: z.string().min(1) })) }),
});

/**
 * The image of a container of the pod in which this process runs, as its spec names it: a digest that a runtime has resolved
 * (`imageID`) may be one that other nodes cannot pull. Undefined where there is no such pod, say outside of a cluster. Waits
 * for an API server that does not answer.
 */
export async function readOwnImage(options: OwnImageOptions): Promise<string | undefined> {
  const { kube, namespace, pod, container, log, wait = sleep } = options;
  const backoff = new Backoff({ firstMs: 250, mostMs: 8000 });
  for (;;) {
    const found = await kube.get({ resource: RESOURCES.pods, namespace, name: pod });
    if (found.ok) {
      const parsed = podSchema.safeParse(found.value);
      return parsed.data?.spec.containers.find(({ name }) => name === container)?.image;
    }
    if (!isNoAnswer(found)) return undefined;
    log.warn({ namespace, pod, status: found.status, message: found.message }, 'our own pod cannot be read yet');
    await wait(backoff.next());
  }
}
