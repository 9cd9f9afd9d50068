import { readFileSync } from 'node:fs';
import jsonpatch from 'jsonpatch';
import { parseAllDocuments } from 'yaml';
import { reviewSchema } from '../../admission/review.ts';
import { WORKFLOW_KINDS } from '../../argo/workflow-walk.ts';
import type { MemoizeMode } from '../../base/names.ts';
import { createCacheIndex } from '../../cache/cache-index.ts';
import { CACHE_LABEL_TEXT, isCache } from '../../cache/cache-label.ts';
import { type Config, decisionSettings } from '../../config/config.ts';
import type { KubeObject } from '../../kube/types.ts';
import { judgePod } from '../../step/decide-pod.ts';
import type { Verdict } from '../../step/decision.ts';
import type { KnownCluster, NamespaceSettings } from '../../step/known-cluster.ts';
import { judgeWorkflow } from '../../workflow/mutate-workflow.ts';
import type { CommandOutput } from '../output.ts';

export interface DecideOptions {
  readonly files: readonly string[];
  /** File with the caches: a List, or several documents. */
  readonly configmaps?: string | undefined;
  /** RFC 3339; the clock otherwise. */
  readonly now?: string | undefined;
  readonly mode: MemoizeMode;
  readonly output: 'json' | 'text';
  /** Print the object as patched instead of the decision. */
  readonly apply: boolean;
}

/** What is decided about: a recorded review, or a bare object that is taken as created by the controller. */
interface Subject {
  readonly object: KubeObject;
  readonly oldObject?: KubeObject | undefined;
  readonly operation: 'CREATE' | 'UPDATE';
  readonly creator: string;
}

class UnreadableInput extends Error {}

/**
 * `stepmemo decide`: the server's own decision about recorded reviews or bare objects, without a cluster.
 * Exit code 0, or 2 for input that cannot be read.
 */
export function runDecide(options: DecideOptions, config: Config, out: CommandOutput): number {
  try {
    const now = readTime(options.now);
    const warnings: string[] = [];
    const subjects = options.files.map((file) => readSubject(file, config));
    const cluster = offlineCluster(options, subjects, warnings);
    const verdicts = subjects.map((subject) =>
      withWarnings(judge(subject, cluster, config, now, options.mode), warnings),
    );
    const results = options.apply
      ? subjects.map((subject, index) => applyPatch(subject.object, verdicts[index]?.patch ?? []))
      : verdicts;
    const isText = options.output === 'text' && !options.apply;
    out.print(
      isText ? asText(options.files, verdicts) : JSON.stringify(results.length === 1 ? results[0] : results, null, 2),
    );
    return 0;
  } catch (error) {
    if (!(error instanceof UnreadableInput)) throw error;
    out.printError(`stepmemo decide: ${error.message}`);
    return 2;
  }
}

function judge(subject: Subject, cluster: KnownCluster, config: Config, now: Date, mode: MemoizeMode): Verdict {
  const { object, oldObject, operation, creator } = subject;
  if (object.kind === 'Pod')
    return judgePod({ pod: object, creator, cluster, settings: decisionSettings(config), now });
  return judgeWorkflow({ object, oldObject, operation, namespace: offlineNamespace(mode) });
}

function readTime(text: string | undefined): Date {
  const now = text === undefined ? new Date() : new Date(text);
  if (Number.isNaN(now.getTime()))
    throw new UnreadableInput(`--now: "${text}" is no time; write RFC 3339, say 2026-01-31T12:00:00Z`);
  return now;
}

/** All documents of a file, JSON or YAML; `-` is standard input. */
function readDocuments(file: string): unknown[] {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw new UnreadableInput(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  try {
    // Most files are JSON, and long: YAML would take seconds for what this reads at once.
    return [JSON.parse(text)];
  } catch {
    const documents = parseAllDocuments(text);
    const [error] = documents.flatMap((document) => document.errors);
    if (error !== undefined) throw new UnreadableInput(`${file}: neither JSON nor YAML: ${error.message}`);
    return documents.map((document) => document.toJS() as unknown).filter((content) => content !== null);
  }
}

const KINDS: readonly string[] = ['Pod', ...WORKFLOW_KINDS];

function readSubject(file: string, config: Config): Subject {
  const documents = readDocuments(file);
  const content = documents[0];
  if (documents.length !== 1 || typeof content !== 'object' || content === null) {
    throw new UnreadableInput(
      `${file}: expected one AdmissionReview or one object, found ${documents.length} documents`,
    );
  }
  if ((content as KubeObject).kind === 'AdmissionReview') return readReview(file, content);
  const object = content as KubeObject;
  if (!KINDS.includes(object.kind ?? '')) {
    throw new UnreadableInput(
      `${file}: kind: expected AdmissionReview or one of ${KINDS.join(', ')}, got ${JSON.stringify(object.kind)}`,
    );
  }
  return { object: inNamespace(object, 'default'), operation: 'CREATE', creator: config.controllerAccounts[0] ?? '' };
}

function readReview(file: string, content: object): Subject {
  const review = reviewSchema.safeParse(content);
  if (!review.success) {
    const fields = review.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new UnreadableInput(`${file}: no AdmissionReview: ${fields.join('; ')}`);
  }
  const { object, oldObject, operation, namespace, userInfo } = review.data.request;
  if (object == null) throw new UnreadableInput(`${file}: request.object: missing`);
  return {
    object: inNamespace(object, namespace),
    oldObject: oldObject ?? undefined,
    operation: operation === 'UPDATE' ? 'UPDATE' : 'CREATE',
    creator: userInfo.username ?? '',
  };
}

function inNamespace(object: KubeObject, namespace: string | undefined): KubeObject {
  if (namespace === undefined || object.metadata?.namespace !== undefined || object.kind === 'ClusterWorkflowTemplate')
    return object;
  return { ...object, metadata: { ...object.metadata, namespace } };
}

function offlineNamespace(mode: MemoizeMode): NamespaceSettings {
  return { isEnabled: true, memoize: mode, capture: 'sidecar' };
}

/** Every namespace opted in and everything in place: what is asked is the decision about the object. */
function offlineCluster(options: DecideOptions, subjects: readonly Subject[], warnings: string[]): KnownCluster {
  const index = createCacheIndex();
  const maps = options.configmaps === undefined ? [] : readDocuments(options.configmaps).flatMap(itemsOf);
  for (const map of maps) {
    if (isCache(map)) placesOf(map, subjects).forEach(index.upsert);
    else warnings.push(`ConfigMap ${map.metadata?.name ?? ''} is not read: it lacks the label ${CACHE_LABEL_TEXT}`);
  }
  return {
    isSynced: true,
    arePoliciesInstalled: true,
    isSidecarUsable: true,
    namespace: () => offlineNamespace(options.mode),
    lookUp: (namespace, cache, key) => index.lookUp(namespace, cache, key),
    limitRanges: () => [],
    hasComputeQuota: () => false,
  };
}

/** A ConfigMap, those of a List, or the one that a recorded review holds. */
function itemsOf(content: unknown): KubeObject[] {
  const object = content as KubeObject & { items?: unknown; request?: { object?: KubeObject } };
  if (Array.isArray(object.items)) return object.items as KubeObject[];
  return [object.kind === 'AdmissionReview' ? (object.request?.object ?? {}) : object];
}

/** A ConfigMap that names no namespace is taken to lie where the pods are. */
function placesOf(map: KubeObject, subjects: readonly Subject[]): KubeObject[] {
  if (map.metadata?.namespace !== undefined) return [map];
  const namespaces = new Set(subjects.map(({ object }) => object.metadata?.namespace));
  return [...namespaces].map((namespace) => inNamespace(map, namespace));
}

function withWarnings(verdict: Verdict, warnings: readonly string[]): Verdict {
  return warnings.length === 0 ? verdict : { ...verdict, warnings: [...verdict.warnings, ...warnings] };
}

function applyPatch(object: KubeObject, patch: Verdict['patch']): unknown {
  return jsonpatch.apply_patch(structuredClone(object), structuredClone([...patch]) as object[]);
}

function asText(files: readonly string[], verdicts: readonly Verdict[]): string {
  const lines = verdicts.flatMap(({ decision, reason, message, patch, warnings }, index) => [
    `${files[index]}: ${decision} (${reason}): ${message}`,
    `  ${patch.length} patch operations`,
    ...warnings.map((warning) => `  warning: ${warning}`),
  ]);
  return lines.join('\n');
}
