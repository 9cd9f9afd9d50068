import type { ArgoVersion } from '../argo/versions.ts';
import { isWorkflowObject } from '../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import type { MemoizeMode } from '../base/names.ts';
import { plainText, quote } from '../base/text.ts';
import { isCache } from '../cache/cache-label.ts';
import { findConfigMapFindings } from './configmap-rules.ts';
import type { CacheLabel, PolicyContext, TemplateObjectKind } from './context.ts';
import { findFindings } from './find-findings.ts';
import type { Finding } from './finding.ts';
import type { PolicySettings } from './settings.ts';

export interface LintContext {
  readonly mode: MemoizeMode;
  readonly argoVersion: ArgoVersion | 'unknown';
  readonly controllerNamespace: string;
  /** Of objects that name none. */
  readonly defaultNamespace: string;
  readonly settings: PolicySettings;
}

/**
 * The findings in a set of objects without a cluster, in the order of the objects. Templates and caches that an object
 * names are looked for among the others; what is not there is not judged. Objects of other kinds have no findings.
 */
export function lintObjects(objects: readonly JsonObject[], context: LintContext): readonly (readonly Finding[])[] {
  const library = readLibrary(objects);
  const found = objects.map((object) => lintObject(object, library, context));
  // A finding in an object of the set is reported there, and not once more for each object that names it.
  const told = new Set(
    found.flatMap((findings, index) => {
      const object = nameOf(objects[index]);
      const denied = findings.filter(({ origin, severity }) => origin === undefined && severity === 'deny');
      return denied.map(({ rule, path, detail }) => identify(rule, object, path, detail));
    }),
  );
  return found.map((findings) => {
    return findings.filter(({ rule, origin, detail }) => {
      return origin === undefined || !told.has(identify(rule, origin.object, origin.path, detail));
    });
  });
}

/** Workflows, templates and ConfigMaps: kinds of other groups are ignored here, whatever their names. */
export function isJudged(object: JsonObject): boolean {
  return isWorkflowObject(object) || (object.kind === 'ConfigMap' && object.apiVersion === 'v1');
}

function identify(rule: string, object: string, path: string, detail: string): string {
  return JSON.stringify([rule, object, path, detail]);
}

function nameOf(object: JsonObject | undefined): string {
  return `${plainText(object?.kind)} ${quote(metadataOf(object).name)}`;
}

/** Where an object is found by its whole name. */
function keyOf(kind: unknown, name: unknown): string {
  return `${plainText(kind)} ${plainText(name)}`;
}

function metadataOf(object: JsonObject | undefined): JsonObject {
  return isObject(object?.metadata) ? object.metadata : {};
}

type Library = ReadonlyMap<string, readonly JsonObject[]>;

function readLibrary(objects: readonly JsonObject[]): Library {
  const library = new Map<string, JsonObject[]>();
  for (const object of objects.filter(isJudged)) {
    const id = keyOf(object.kind, metadataOf(object).name);
    const known = library.get(id);
    if (known === undefined) library.set(id, [object]);
    else known.push(object);
  }
  return library;
}

/** The object of that namespace, else one that leaves its namespace to whoever applies it. */
function find(library: Library, kind: string, namespace: string | undefined, name: string): JsonObject | undefined {
  const named = library.get(keyOf(kind, name)) ?? [];
  return (
    named.find((object) => metadataOf(object).namespace === namespace) ??
    named.find((object) => typeof metadataOf(object).namespace !== 'string')
  );
}

function lintObject(object: JsonObject, library: Library, context: LintContext): readonly Finding[] {
  if (!isJudged(object)) return [];
  if (object.kind === 'ConfigMap') return findConfigMapFindings(object, undefined, context.settings);
  const { namespace } = metadataOf(object);
  const own = typeof namespace === 'string' && namespace !== '' ? namespace : undefined;
  const policyContext: PolicyContext = {
    ...context,
    namespace: object.kind === 'ClusterWorkflowTemplate' ? undefined : (own ?? context.defaultNamespace),
    areTemplatesStored: false,
    lookUpTemplate: (kind: TemplateObjectKind, _, name) => find(library, kind, own, name),
    cacheLabel: (where, name): CacheLabel => {
      const configMap = find(library, 'ConfigMap', where, name);
      if (configMap === undefined) return 'unknown';
      return isCache(configMap) ? 'labeled' : 'unlabeled';
    },
  };
  return findFindings(object, policyContext);
}
