import { z } from 'zod';

/**
 * stepmemo's own notes on an entry. They are kept in `binaryData` under `<hash>.meta`, for Argo drops unknown members of
 * an entry, and all labels, whenever it saves (workflow/controller/cache/configmap_cache.go). The digest is a hash:
 * no output stands here.
 */
export const entryMetaSchema = z.object({
  /** The cache key as asked for: the data key may be a hash of it. */
  key: z.string(),
  /** The pod whose outputs these are. */
  podUid: z.string().default(''),
  workflow: z.string().default(''),
  /** Of what the sidecar read; absent without a sidecar. */
  digest: z.string().optional(),
  /** How the outputs were had. */
  capture: z.enum(['sidecar', 'server', 'off']).default('server'),
});
export type EntryMeta = z.infer<typeof entryMetaSchema>;

/** Reads a value of `binaryData` (base64); undefined where it is no such note. */
export function parseEntryMeta(base64: string): EntryMeta | undefined {
  try {
    const parsed = entryMetaSchema.safeParse(JSON.parse(Buffer.from(base64, 'base64').toString('utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** The value for `binaryData`: base64 of JSON, members always in one order. */
export function serializeEntryMeta(meta: EntryMeta): string {
  const { key, podUid, workflow, digest, capture } = meta;
  return Buffer.from(JSON.stringify({ key, podUid, workflow, digest, capture }), 'utf8').toString('base64');
}
