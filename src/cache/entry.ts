import { z } from 'zod';
import { outputsSchema } from '../argo/outputs.ts';

/** RFC 3339 as Go's metav1.Time reads it; null and absent are the zero time. */
const timestamp = z.iso
  .datetime({ offset: true })
  .regex(/T\d{2}:\d{2}:\d{2}/)
  .nullish();

/**
 * One cache entry, as Argo writes it into a ConfigMap's data (workflow/controller/cache/cache.go:Entry).
 * Timestamps are RFC 3339 in UTC, whole seconds. Argo writes all four members and drops unknown ones.
 */
export const entrySchema = z.object({
  /** Empty or absent: not a hit, for Argo as for us (cache.go:Hit). */
  nodeID: z.string().default(''),
  outputs: outputsSchema.nullish().transform((outputs) => outputs ?? null),
  creationTimestamp: timestamp,
  lastHitTimestamp: timestamp,
});
export type Entry = z.infer<typeof entrySchema>;

/** What an index of caches answers for one key. */
export type EntryLookup =
  | { readonly found: 'nothing' }
  /** The cache is there and not in memory: there may be an entry. */
  | { readonly found: 'unknown' }
  | { readonly found: 'entry'; readonly entry: Entry }
  | { readonly found: 'malformed'; readonly detail: string };

/** Reads the text of one data key. `detail` says what is wrong with it, without its content. */
export function parseEntry(text: string): EntryLookup {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { found: 'malformed', detail: 'it is not JSON' };
  }
  const parsed = entrySchema.safeParse(json);
  if (parsed.success) return { found: 'entry', entry: parsed.data };
  const issue = parsed.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? 'the whole' : issue.path.join('.');
  return { found: 'malformed', detail: `${where} is not as Argo writes it` };
}

/** The text of an entry, members in Argo's order, so that equal entries are equal texts. */
export function serializeEntry(entry: Entry): string {
  return JSON.stringify({
    nodeID: entry.nodeID,
    outputs: entry.outputs,
    creationTimestamp: entry.creationTimestamp ?? null,
    lastHitTimestamp: entry.lastHitTimestamp ?? null,
  });
}

/** Milliseconds since the entry was made; negative when it comes from the future, undefined when it does not say. */
export function entryAgeMs(entry: Entry, now: Date): number | undefined {
  if (entry.creationTimestamp === null || entry.creationTimestamp === undefined) return undefined;
  const createdMs = Date.parse(entry.creationTimestamp);
  return Number.isNaN(createdMs) ? undefined : now.getTime() - createdMs;
}

/**
 * Whether an entry is too old, as Argo sees it (cache.go:GetOutputsWithMaxAge): strictly older than maxAge; without a
 * creation time always, if there is a maxAge. A maxAge of zero or less never lets a hit through.
 */
export function isExpired(entry: Entry, maxAgeMs: number | undefined, now: Date): boolean {
  if (maxAgeMs === undefined) return false;
  if (maxAgeMs <= 0) return true;
  const ageMs = entryAgeMs(entry, now);
  return ageMs === undefined || ageMs > maxAgeMs;
}

/** A time as Argo writes it: UTC, whole seconds, the fraction cut off. */
export function formatTimestamp(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}
