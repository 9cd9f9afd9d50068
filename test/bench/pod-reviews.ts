import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../../src/argo/names.ts';
import { CACHE_ANNOTATION, KEY_ANNOTATION } from '../../src/base/names.ts';
import { createCacheIndex } from '../../src/cache/cache-index.ts';
import { serializeEntry } from '../../src/cache/entry.ts';
import type { KubeObject } from '../../src/kube/types.ts';
import type { KnownCluster } from '../../src/step/known-cluster.ts';
import { makeEntry, type Recorded, readReviews, toManaged } from '../golden/recorded.ts';

/** What the admission benchmarks send, and the cluster that they pretend to. */

export const REVIEW_BYTES = 16 * 1024;
export const CACHES = 1_000;
export const ENTRIES_PER_CACHE = 10;
export const CREATOR = 'system:serviceaccount:argo:argo';
const RECORDED_PATH = 'argo-4.0.5/outputs.pod-1.json';
const NAMESPACE = 'bench';

function readRecorded(): Recorded {
  const found = readReviews(/outputs\.pod-1\.json$/).find(({ path }) => path === RECORDED_PATH);
  if (found === undefined) throw new Error(`there is no ${RECORDED_PATH}`);
  return found;
}

const recorded = readRecorded();

/** `hit` finds its entry, `miss` finds none, among the same caches. */
export type Outcome = 'hit' | 'miss';

export function podFor(outcome: Outcome): KubeObject {
  const pod = toManaged(recorded);
  const metadata = { ...pod.metadata, namespace: NAMESPACE };
  const annotations = { ...metadata.annotations, [CACHE_ANNOTATION]: 'cache-7', [KEY_ANNOTATION]: `${outcome}-3` };
  return { ...pod, metadata: { ...metadata, annotations } };
}

/** The recorded review, as text, with as many variables more in main as make it 16 KiB. */
export function reviewFor(outcome: Outcome): string {
  const { path: _, ...review } = recorded;
  const request = { ...review.request, namespace: NAMESPACE, object: podFor(outcome) };
  const spec = request.object.spec as { containers: { name: string; env?: unknown[] }[] };
  const main = spec.containers.find(({ name }) => name === 'main');
  if (main === undefined) throw new Error('the recorded pod has no main container');
  const text = (): string => JSON.stringify({ ...review, request });
  main.env ??= [];
  for (let index = 0; text().length < REVIEW_BYTES; index += 1) {
    main.env.push({ name: `SETTING_${index}`, value: 'a value of ordinary length, "quoted"' });
  }
  return text();
}

/** A synced view that holds many caches, in the product's own index. */
export function createView(): KnownCluster & { noteSidecarInjected(): void } {
  const index = createCacheIndex();
  const entry = serializeEntry({
    ...makeEntry(recorded),
    creationTimestamp: `${new Date().toISOString().slice(0, 19)}Z`,
  });
  for (let cache = 0; cache < CACHES; cache += 1) {
    const data = Object.fromEntries(Array.from({ length: ENTRIES_PER_CACHE }, (_, key) => [`hit-${key}`, entry]));
    index.upsert({
      metadata: { namespace: NAMESPACE, name: `cache-${cache}`, labels: { [CACHE_LABEL]: CACHE_LABEL_VALUE } },
      data,
    });
  }
  return {
    isSynced: true,
    arePoliciesInstalled: true,
    isSidecarUsable: true,
    namespace: () => ({ isEnabled: true, memoize: 'managed', capture: 'sidecar', lookAhead: 'on', operation: 'on' }),
    lookUp: (namespace, cache, key) => index.lookUp(namespace, cache, key),
    limitRanges: () => [],
    hasComputeQuota: () => false,
    noteSidecarInjected: () => undefined,
  };
}
