import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { placeIn } from '../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import { plainText, quote } from '../base/text.ts';
import { isCache } from '../cache/cache-label.ts';
import { parseEntry } from '../cache/entry.ts';
import type { Finding } from './finding.ts';
import { type PolicyVerdict, pass, verdictOf } from './judge-submission.ts';
import type { Rule } from './rules.ts';
import { type PolicySettings, severityOf } from './settings.ts';

export interface ConfigMapSubmission {
  readonly object: JsonObject;
  readonly oldObject?: JsonObject | undefined;
  readonly requester: string;
  /** The workflow controllers, and stepmemo itself: they write what they must. */
  readonly exemptAccounts: readonly string[];
  readonly settings: PolicySettings;
}

/** Whether a user's write of a ConfigMap may pass: entries of a cache are entries, and a cache stays one while it has any. */
export function judgeConfigMap(submission: ConfigMapSubmission): PolicyVerdict {
  const { object, oldObject, requester, exemptAccounts, settings } = submission;
  if (exemptAccounts.includes(requester)) return pass('own-write', 'the controllers and stepmemo are never stopped');
  if (!isCache(object) && !isCache(oldObject)) return pass('not-a-cache', 'the ConfigMap is no cache');
  if (isObject(object.metadata) && (object.metadata.deletionTimestamp ?? undefined) !== undefined) {
    return pass('being-deleted', 'a deletion is never stopped');
  }
  const findings = findConfigMapFindings(object, oldObject, settings);
  return findings.length === 0 ? pass('policy-kept', 'nothing to object to') : verdictOf('ConfigMap', findings);
}

/** What is wrong with a ConfigMap; of one that was a cache before, only with what the write changes. */
export function findConfigMapFindings(
  object: JsonObject,
  oldObject: JsonObject | undefined,
  settings: PolicySettings,
): readonly Finding[] {
  const namespace = namespaceOf(object);
  const before = isCache(oldObject) ? oldObject : undefined;
  const found = isCache(object) ? invalidEntries(object, before) : before === undefined ? [] : lostLabel(object);
  return found.flatMap((finding) => {
    const severity = severityOf(finding.rule, settings, namespace);
    return severity === 'off' ? [] : [{ ...finding, severity }];
  });
}

type Unweighed = Omit<Finding, 'severity'>;

function invalidEntries(object: JsonObject, before: JsonObject | undefined): readonly Unweighed[] {
  const old = dataOf(before);
  return Object.entries(dataOf(object)).flatMap(([key, text]): readonly Unweighed[] => {
    // An empty text is a miss for Argo (configmap_cache.go:load); what was there before is not a new fault.
    if (text === '' || (Object.hasOwn(old, key) && old[key] === text)) return [];
    const entry =
      typeof text === 'string' ? parseEntry(text) : ({ found: 'malformed', detail: 'it is no text' } as const);
    if (entry.found !== 'malformed') return [];
    const message = `The value under the key ${quote(key)} is no cache entry: ${entry.detail}.`;
    const fix = `Write {"nodeID": "…", "outputs": {…}, "creationTimestamp": "2026-01-31T12:00:00Z", "lastHitTimestamp": "2026-01-31T12:00:00Z"}, or keep it in a ConfigMap without the label ${CACHE_LABEL}.`;
    return [{ ...at(key), rule: 'entry-invalid', message, fix, subject: key, detail: entry.detail }];
  });
}

function at(...parts: readonly string[]): { readonly path: string; readonly pointer: string } {
  return placeIn({ pointer: '/data', path: 'data' }, ...parts);
}

function lostLabel(object: JsonObject): readonly Unweighed[] {
  const count = Object.keys(dataOf(object)).length;
  const binaryCount = isObject(object.binaryData) ? Object.keys(object.binaryData).length : 0;
  if (count + binaryCount === 0) return [];
  const rule: Rule = 'cache-label-removed';
  const { name, namespace } = isObject(object.metadata) ? object.metadata : {};
  const entries = count === 0 ? 'data of its entries' : count === 1 ? '1 entry' : `${count} entries`;
  const message = `The cache still holds ${entries}, and without the label ${CACHE_LABEL}: ${CACHE_LABEL_VALUE} every step that names it fails in Argo.`;
  const removals = [...(count > 0 ? ['data'] : []), ...(binaryCount > 0 ? ['binaryData'] : [])];
  const patch = JSON.stringify(removals.map((member) => ({ op: 'remove', path: `/${member}` })));
  const fix = `Delete the ConfigMap, or empty it first: kubectl patch configmap -n ${plainText(namespace)} ${plainText(name)} --type=json -p '${patch}'.`;
  const { path, pointer } = placeIn({ pointer: '/metadata', path: 'metadata' }, 'labels', CACHE_LABEL);
  return [{ path, pointer, rule, message, fix, subject: plainText(name), detail: '' }];
}

function dataOf(object: JsonObject | undefined): JsonObject {
  return isObject(object?.data) ? object.data : {};
}

function namespaceOf(object: JsonObject): string | undefined {
  const namespace = isObject(object.metadata) ? object.metadata.namespace : undefined;
  return typeof namespace === 'string' ? namespace : undefined;
}
