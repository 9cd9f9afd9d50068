/** What a cache holds, for people: each entry with its key as the user wrote it, its age and who made it. */
import { type ConfigMapContent, readConfigMap, readKey, sizeOf } from '../../cache/config-map.ts';
import { metaKeyFor } from '../../cache/data-key.ts';
import { type Entry, entryAgeMs, parseEntry } from '../../cache/entry.ts';
import { parseEntryMeta } from '../../cache/entry-meta.ts';
import type { KubeObject } from '../../kube/types.ts';

export interface ListedEntry {
  /** As the step asks for it; the data key if it was not noted. */
  readonly key: string;
  readonly dataKey: string;
  readonly bytes: number;
  /** Undefined where the text is no entry. */
  readonly entry: Entry | undefined;
  /** Undefined where the entry does not say when it was made. */
  readonly ageMs: number | undefined;
  /** The Workflow that made it, as far as stepmemo noted it. */
  readonly workflow: string | undefined;
}

export function listEntries(configMap: KubeObject, now: Date): readonly ListedEntry[] {
  const content = readConfigMap(configMap);
  return Object.entries(content.data ?? {}).map(([dataKey, text]) => {
    const found = parseEntry(text);
    const entry = found.found === 'entry' ? found.entry : undefined;
    const meta = metaOf(content, dataKey);
    return {
      key: meta?.key ?? dataKey,
      dataKey,
      bytes: Buffer.byteLength(text),
      entry,
      ageMs: entry && entryAgeMs(entry, now),
      workflow: meta?.workflow || undefined,
    };
  });
}

function metaOf({ binaryData }: ConfigMapContent, dataKey: string) {
  const note = readKey(binaryData, metaKeyFor(dataKey));
  return note === undefined ? undefined : parseEntryMeta(note);
}

export function bytesOf(configMap: KubeObject): number {
  return sizeOf(readConfigMap(configMap));
}

/** An age as kubectl writes it: `42s`, `5m`, `3h`, `12d`. */
export function formatAge(ms: number | undefined): string {
  if (ms === undefined) return '<unknown>';
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 48 * 3600 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
