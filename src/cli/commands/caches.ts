import { parseGoDuration } from '../../base/duration.ts';
import { plainText } from '../../base/text.ts';
import { CACHE_SELECTOR, isCache } from '../../cache/cache-label.ts';
import { CONFIG_MAP_LIMIT_BYTES } from '../../cache/config-map.ts';
import { isOwnCache } from '../../cache/own-caches.ts';
import { planRemovals } from '../../cache/plan-removal.ts';
import { retryOvertaken } from '../../kube/retry.ts';
import { isOvertaken, type KubeObject, type KubeResult, type ObjectPath, RESOURCES } from '../../kube/types.ts';
import { bytesOf, formatAge, type ListedEntry, listEntries } from '../cluster/cache-entries.ts';
import { describeFailure, describeUnread, fail, formatTable, type KubeCommandDeps } from '../cluster/kube-command.ts';
import { type Format, printAs } from '../formats.ts';
import { EXIT_OK, EXIT_UNDONE, EXIT_USAGE } from '../output.ts';

/*
 * `stepmemo ls`, `show` and `purge`: what the caches of a cluster hold, and taking it away. All with the rights of whoever
 * runs them: ls and show list and read ConfigMaps, purge patches one.
 */

export interface LsOptions {
  /** Undefined: all namespaces. */
  readonly namespace?: string | undefined;
  readonly output: Format;
}

/** Prints the caches of a namespace, or of all. Exit code 0, or 1 where the cluster does not say. */
export async function runLs({ namespace, output }: LsOptions, { kube, out }: KubeCommandDeps): Promise<number> {
  const listed = await kube.list({ resource: RESOURCES.configMaps, namespace }, { labelSelector: CACHE_SELECTOR });
  if (!listed.ok) return fail(out, 'ls', describeFailure('caches cannot be listed', listed), EXIT_UNDONE);
  const now = new Date();
  const caches = listed.value.map((map) => ({ map, entries: listEntries(map, now) }));
  printAs(out, output, {
    data: caches.map(({ map, entries }) => describeCache(map, entries)),
    names: caches.map(({ map }) => `configmap/${map.metadata?.name}`),
    text: (isWide) => {
      if (caches.length === 0) return namespace === undefined ? 'No caches.' : `No caches in namespace ${namespace}.`;
      const rows = caches.map(({ map, entries }) => [...rowOf(map, entries), ...(isWide ? wideRowOf(map) : [])]);
      return formatTable([...HEADER, ...(isWide ? WIDE_HEADER : [])], rows);
    },
  });
  return EXIT_OK;
}

const HEADER = ['NAMESPACE', 'CACHE', 'ENTRIES', 'SIZE', 'OLDEST', 'NEWEST'];
const WIDE_HEADER = ['FULL', 'CREATED', 'WRITTEN BY'];

function rowOf(map: KubeObject, entries: readonly ListedEntry[]): readonly string[] {
  const ages = entries.flatMap(({ ageMs }) => ageMs ?? []);
  const [oldest, newest] = ages.length === 0 ? [undefined, undefined] : [Math.max(...ages), Math.min(...ages)];
  const { namespace = '', name = '' } = map.metadata ?? {};
  return [namespace, name, String(entries.length), formatSize(bytesOf(map)), formatAge(oldest), formatAge(newest)];
}

function wideRowOf(map: KubeObject): readonly string[] {
  const { creationTimestamp } = map.metadata ?? {};
  const full = `${Math.ceil((100 * bytesOf(map)) / CONFIG_MAP_LIMIT_BYTES)}%`;
  return [full, String(creationTimestamp ?? '<unknown>'), isOwnCache(map) ? 'stepmemo' : 'others'];
}

function describeCache(map: KubeObject, entries: readonly ListedEntry[]) {
  const { namespace, name } = map.metadata ?? {};
  const times = entries.flatMap(({ entry }) => entry?.creationTimestamp ?? []).sort();
  return {
    namespace,
    name,
    entries: entries.length,
    bytes: bytesOf(map),
    oldest: times[0] ?? null,
    newest: times.at(-1) ?? null,
  };
}

/** Of the MiB that a ConfigMap holds. */
function formatSize(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} KiB`;
}

export interface ShowOptions {
  readonly cache: string;
  readonly key?: string | undefined;
  readonly namespace: string;
  readonly output: Format;
}

/** Prints the entries of a cache, or one of them whole. Exit code 1 where there is no such cache or entry. */
export async function runShow(options: ShowOptions, { kube, out }: KubeCommandDeps): Promise<number> {
  const { cache, key, namespace, output } = options;
  const found = await readCache(kube, { resource: RESOURCES.configMaps, namespace, name: cache });
  if (!found.ok) return fail(out, 'show', found.message, EXIT_UNDONE);
  const entries = listEntries(found.value, new Date());
  if (key !== undefined) {
    const wanted = entries.find((one) => one.key === key || one.dataKey === key);
    if (wanted === undefined)
      return fail(out, 'show', `cache ${cache} has no entry for the key ${JSON.stringify(key)}.`, EXIT_UNDONE);
    const data = { key: wanted.key, workflow: wanted.workflow ?? null, ...wanted.entry };
    const whole = () => JSON.stringify(data, null, 2);
    printAs(out, output, { data, names: [plainText(wanted.key)], text: whole });
    return EXIT_OK;
  }
  printAs(out, output, {
    data: entries.map(({ dataKey: _, ageMs: __, ...entry }) => entry),
    names: entries.map((one) => plainText(one.key)),
    text: (isWide) => {
      const rows = entries.map((one) => [
        plainText(one.key),
        one.entry === undefined ? 'no entry' : formatAge(one.ageMs),
        formatSize(one.bytes),
        one.workflow ?? '<unknown>',
        ...(isWide ? [one.entry?.nodeID ?? '<unknown>', one.dataKey] : []),
      ]);
      const header = ['KEY', 'AGE', 'SIZE', 'WORKFLOW', ...(isWide ? ['NODE', 'DATA KEY'] : [])];
      return rows.length === 0 ? `Cache ${cache} is empty.` : formatTable(header, rows);
    },
  });
  return EXIT_OK;
}

export interface PurgeOptions {
  readonly cache: string;
  readonly key?: string | undefined;
  /** A Go duration. */
  readonly olderThan?: string | undefined;
  readonly all: boolean;
  readonly namespace: string;
  /** Do it; without it, say what would be done. */
  readonly yes: boolean;
}

/** Takes entries out of a cache; the steps run when they are asked for again. Exit code 0, 1 where it was not done, 2. */
export async function runPurge(options: PurgeOptions, { kube, out }: KubeCommandDeps): Promise<number> {
  const isWanted = selectionOf(options, new Date());
  if (typeof isWanted === 'string') return fail(out, 'purge', isWanted, EXIT_USAGE);
  const { cache, namespace, yes } = options;
  const path: ObjectPath = { resource: RESOURCES.configMaps, namespace, name: cache };
  const where = `${namespace}/${cache}`;
  const attempt = async (): Promise<number | 'overtaken'> => {
    const found = await readCache(kube, path);
    if (!found.ok) return fail(out, 'purge', found.message, EXIT_UNDONE);
    const chosen = listEntries(found.value, new Date()).filter(isWanted);
    if (chosen.length === 0 || !yes) {
      out.print(chosen.length === 0 ? `Nothing in cache ${where} is to be removed.` : describePurge(chosen, where));
      return EXIT_OK;
    }
    const dataKeys = chosen.map(({ dataKey }) => dataKey);
    const patched = await kube.patch(path, planRemovals(found.value, dataKeys));
    if (patched.ok) {
      out.print(`${count(chosen.length)} removed from ${where}. The next run of these steps computes them again.`);
      return EXIT_OK;
    }
    if (isOvertaken(patched)) return 'overtaken';
    return fail(out, 'purge', describeFailure('nothing was removed', patched), EXIT_UNDONE);
  };
  const end = await retryOvertaken(attempt, (outcome) => outcome === 'overtaken');
  if (end !== 'overtaken') return end;
  return fail(out, 'purge', `cache ${cache} changes all the time; nothing was removed.`, EXIT_UNDONE);
}

function describePurge(chosen: readonly ListedEntry[], where: string): string {
  const table = formatTable(
    ['KEY', 'AGE'],
    chosen.map((one) => [plainText(one.key), formatAge(one.ageMs)]),
  );
  return `${table}\n\nDry run: ${count(chosen.length)} would be removed from ${where}. Run it again with --yes.`;
}

/** Which entries are meant; a text where that is not clear. */
function selectionOf({ key, olderThan, all }: PurgeOptions, now: Date): ((entry: ListedEntry) => boolean) | string {
  if ([key !== undefined, olderThan !== undefined, all].filter(Boolean).length !== 1)
    return 'say one of KEY, --older-than DURATION and --all.';
  if (key !== undefined) return (entry) => entry.key === key || entry.dataKey === key;
  if (olderThan === undefined) return () => true;
  const limitMs = parseGoDuration(olderThan);
  if (limitMs === undefined) return `--older-than: "${olderThan}" is no duration such as 90m or 24h (there is no "d").`;
  // One that does not say when it was made is older than anything.
  return ({ entry }) => now.getTime() - Date.parse(entry?.creationTimestamp ?? new Date(0).toISOString()) > limitMs;
}

const count = (entries: number): string => (entries === 1 ? '1 entry' : `${entries} entries`);

type CacheReading =
  | { readonly ok: true; readonly value: KubeObject }
  | { readonly ok: false; readonly message: string };

async function readCache(kube: KubeCommandDeps['kube'], path: ObjectPath): Promise<CacheReading> {
  const found: KubeResult<KubeObject> = await kube.get(path);
  const where = `ConfigMap ${path.namespace}/${path.name}`;
  if (!found.ok) return { ok: false, message: describeUnread(where, found) };
  if (isCache(found.value)) return found;
  return { ok: false, message: `${where} is no cache: it lacks the label ${CACHE_SELECTOR}.` };
}
