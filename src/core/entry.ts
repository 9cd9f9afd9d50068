import { z } from 'zod';
import { outputsSchema } from '../argo/outputs.ts';

/**
 * One cache entry, as Argo writes it into a ConfigMap's data (workflow/controller/cache/cache.go:Entry).
 * Timestamps are RFC 3339 in UTC, whole seconds.
 */
export const entrySchema = z.object({
  nodeID: z.string(),
  outputs: outputsSchema.nullable(),
  creationTimestamp: z.iso.datetime({ offset: true }).nullable(),
  lastHitTimestamp: z.iso.datetime({ offset: true }).nullable().optional(),
});
export type Entry = z.infer<typeof entrySchema>;

/** What an index of caches answers for one key. */
export type EntryLookup =
  | { readonly found: 'nothing' }
  | { readonly found: 'entry'; readonly entry: Entry }
  | { readonly found: 'malformed'; readonly detail: string };
