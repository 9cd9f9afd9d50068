import { readdirSync, readFileSync } from 'node:fs';
import { isObject, type JsonObject } from '../../src/base/json.ts';
import { type Entry, parseEntry } from '../../src/cache/entry.ts';
import type { KubeObject } from '../../src/kube/types.ts';

// The recorded reviews, and what follows from them: the entry that Argo itself saved for a step, the pod that would have
// come of a Workflow that stepmemo had changed.

export const REVIEWS = new URL('reviews/', import.meta.url).pathname;

export interface Review {
  readonly request: { readonly userInfo: { readonly username: string }; readonly object: KubeObject };
}

export interface Recorded extends Review {
  /** `argo-4.0.5/dag.pod-1.json` */
  readonly path: string;
}

/** Every recorded review whose file name matches, in order. */
export function readReviews(pattern: RegExp): readonly Recorded[] {
  return readdirSync(REVIEWS)
    .sort()
    .flatMap((version) => readdirSync(`${REVIEWS}${version}`).map((file) => `${version}/${file}`))
    .filter((path) => pattern.test(path))
    .sort()
    .map((path) => ({ path, ...(JSON.parse(readFileSync(`${REVIEWS}${path}`, 'utf8')) as Review) }));
}

interface MemoizeBlock {
  readonly key: string;
  readonly maxAge: string;
  readonly cache: { readonly configMap: { readonly name: string } };
}

interface Container {
  env?: { name: string; value?: string }[];
}

function containersOf(pod: KubeObject): Container[] {
  const spec = pod.spec as { containers: Container[]; initContainers?: Container[] };
  return [...(spec.initContainers ?? []), ...spec.containers];
}

/** The template of a recorded pod, an offloaded one from the ConfigMap that was recorded beside it. */
export function templateOf({ path, request }: Recorded): JsonObject | undefined {
  for (const { env = [] } of containersOf(request.object)) {
    const text = env.find(({ name }) => name === 'ARGO_TEMPLATE')?.value;
    if (text === undefined) continue;
    return JSON.parse(text === 'offloaded' ? readOffloaded(path) : text) as JsonObject;
  }
  return undefined;
}

function readOffloaded(path: string): string {
  const file = path.replace(/\.pod-\d+\.json$/, '.configmap-1.json');
  const review = JSON.parse(readFileSync(`${REVIEWS}${file}`, 'utf8')) as Review;
  return (review.request.object.data as Record<string, string>).ARGO_TEMPLATE ?? '';
}

export function memoizeOf(recorded: Recorded): MemoizeBlock | undefined {
  return templateOf(recorded)?.memoize as MemoizeBlock | undefined;
}

/**
 * The pod as the controller makes it of a template whose `memoize` was moved: it stands in annotations, of the template
 * and so of the pod. A resource template keeps its memoize, and so does its pod.
 */
export function toManaged(recorded: Recorded): KubeObject {
  const pod = structuredClone(recorded.request.object);
  const template = templateOf(recorded);
  const memoize = memoizeOf(recorded);
  if (template === undefined || memoize === undefined || template.resource !== undefined) return pod;
  const annotations = {
    'stepmemo.io/key': memoize.key,
    'stepmemo.io/cache': memoize.cache.configMap.name,
    'stepmemo.io/max-age': memoize.maxAge,
    'stepmemo.io/moved-from': 'memoize',
  };
  for (const { env = [] } of containersOf(pod)) {
    for (const variable of env) {
      if (variable.name !== 'ARGO_TEMPLATE' || variable.value === 'offloaded') continue;
      variable.value = JSON.stringify(withAnnotations(JSON.parse(variable.value ?? '{}') as JsonObject, annotations));
    }
  }
  Object.assign(pod.metadata?.annotations ?? {}, annotations);
  return pod;
}

function withAnnotations(template: JsonObject, annotations: Record<string, string>): JsonObject {
  const { memoize: _, metadata, ...others } = template;
  const before = isObject(metadata) && isObject(metadata.annotations) ? metadata.annotations : {};
  return { ...others, metadata: { ...(metadata as JsonObject), annotations: { ...before, ...annotations } } };
}

/** The entry that Argo's controller saved for a step, from the last recorded write of that cache. */
export function readNativeEntry(recorded: Recorded): Entry | undefined {
  const memoize = memoizeOf(recorded);
  if (memoize === undefined) return undefined;
  const version = recorded.path.split('/')[0] ?? '';
  const writes = readReviews(new RegExp(`^${version}/${memoize.cache.configMap.name}\\.configmap-\\d+\\.json$`));
  for (const { request } of [...writes].reverse()) {
    const text = (request.object.data as Record<string, string> | undefined)?.[memoize.key];
    const lookup = text === undefined ? undefined : parseEntry(text);
    if (lookup?.found === 'entry') return lookup.entry;
  }
  return undefined;
}

/** An entry with everything that the template declares, for steps that Argo saved nothing of. */
export function makeEntry(recorded: Recorded): Entry {
  const outputs = templateOf(recorded)?.outputs as
    | { parameters?: { name: string }[]; artifacts?: { name: string }[] }
    | undefined;
  return {
    nodeID: 'earlier-1',
    outputs: {
      parameters: (outputs?.parameters ?? []).map(({ name }) => ({ name, value: `cached ${name}` })),
      artifacts: (outputs?.artifacts ?? []).map(({ name }) => ({ name, s3: { key: `earlier/${name}` } })),
      result: 'cached result',
      exitCode: '0',
    },
    creationTimestamp: '2026-11-24T18:00:00Z',
    lastHitTimestamp: '2026-11-24T18:00:00Z',
  };
}
