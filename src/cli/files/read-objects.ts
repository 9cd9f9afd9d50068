/** What the commands that decide read from files: objects as kubectl sends them, and caches to look keys up in. */
import { asObject } from '../../base/json.ts';
import { type CacheIndex, createCacheIndex } from '../../cache/cache-index.ts';
import { CACHE_LABEL_TEXT, isCache } from '../../cache/cache-label.ts';
import type { KubeObject } from '../../kube/types.ts';
import { type ManifestDocument, readManifest } from './read-manifests.ts';
import { createLocator, nameOfSource, type Sources } from './source.ts';

/** What keeps some of the input from being read; its message names file and field. */
export class UnreadableInput extends Error {}

/** The documents of a file, as kubectl reads them. */
export async function readDocuments(file: string, sources: Sources): Promise<readonly ManifestDocument[]> {
  const source = await sources.read(file);
  if (!source.ok) throw new UnreadableInput(source.message);
  const { documents, problems } = readManifest(source.text);
  const locate = createLocator(source.text);
  const [problem] = problems;
  if (problem === undefined) return documents;
  const { line, column } = locate(problem.offset);
  throw new UnreadableInput(`${nameOfSource(file)}:${line}:${column}: ${problem.message}`);
}

/** ConfigMaps, alone, in lists, or held by recorded reviews. */
export async function readCaches(file: string, sources: Sources): Promise<readonly KubeObject[]> {
  const documents = await readDocuments(file, sources);
  const objects = documents.flatMap((document) => document.objects.map(({ object }) => object as KubeObject));
  return objects
    .map((object) => (object.kind === 'AdmissionReview' ? reviewedObject(object) : object))
    .filter(({ kind = 'ConfigMap', apiVersion = 'v1' }) => kind === 'ConfigMap' && apiVersion === 'v1');
}

function reviewedObject(review: KubeObject): KubeObject {
  const { object } = asObject(review.request);
  return asObject(object) as KubeObject;
}

/** The entries of these ConfigMaps. One that names no namespace counts in all of those that are asked about. */
export function indexCaches(
  maps: readonly KubeObject[],
  namespaces: ReadonlySet<string | undefined>,
): { readonly index: CacheIndex; readonly unread: readonly string[] } {
  const index = createCacheIndex({ limitBytes: Number.POSITIVE_INFINITY });
  const unread: string[] = [];
  for (const map of maps) {
    const places = map.metadata?.namespace === undefined ? [...namespaces] : [map.metadata.namespace];
    if (isCache(map)) for (const namespace of places) index.upsert(inNamespace(map, namespace));
    else unread.push(`ConfigMap ${map.metadata?.name ?? ''} is not read: it lacks the label ${CACHE_LABEL_TEXT}`);
  }
  return { index, unread };
}

export function inNamespace(object: KubeObject, namespace: string | undefined): KubeObject {
  if (namespace === undefined || object.metadata?.namespace !== undefined || object.kind === 'ClusterWorkflowTemplate')
    return object;
  return { ...object, metadata: { ...object.metadata, namespace } };
}

export function readTime(text: string | undefined): Date {
  const now = text === undefined ? new Date() : new Date(text);
  if (Number.isNaN(now.getTime()))
    throw new UnreadableInput(`--now: "${text}" is no time; write RFC 3339, say 2026-01-31T12:00:00Z`);
  return now;
}
