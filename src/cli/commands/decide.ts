import { describeReviewError, reviewSchema } from '../../admission/review.ts';
import { isWorkflowObject, WORKFLOW_KINDS } from '../../argo/workflow-walk.ts';
import type { JsonObject } from '../../base/json.ts';
import type { MemoizeMode } from '../../base/names.ts';
import { quote } from '../../base/text.ts';
import { type Config, decisionSettings } from '../../config/config.ts';
import type { KubeObject } from '../../kube/types.ts';
import { judgePod } from '../../step/decide-pod.ts';
import type { Verdict } from '../../step/decision.ts';
import type { KnownCluster, NamespaceSettings } from '../../step/known-cluster.ts';
import { judgeWorkflow } from '../../workflow/mutate-workflow.ts';
import { applyPatch } from '../apply-patch.ts';
import {
  indexCaches,
  inNamespace,
  readCaches,
  readDocuments,
  readTime,
  UnreadableInput,
} from '../files/read-objects.ts';
import { createSources, nameOfSource, type Sources } from '../files/source.ts';
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
  /** The file, and which object of it where it holds several. */
  readonly label: string;
  readonly object: KubeObject;
  readonly oldObject?: KubeObject | undefined;
  readonly operation: 'CREATE' | 'UPDATE';
  readonly creator: string;
  readonly warnings: readonly string[];
}

const EXIT_UNREADABLE = 2;

/**
 * `stepmemo decide`: the server's own decision about recorded reviews or bare objects, without a cluster.
 * Exit code 0, or 2 where some input cannot be read; what can be is decided about all the same.
 */
export async function runDecide(
  options: DecideOptions,
  config: Config,
  out: CommandOutput,
  sources: Sources = createSources(),
): Promise<number> {
  const errors: string[] = [];
  const attempt = async <T>(read: () => Promise<readonly T[]>): Promise<readonly T[]> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof UnreadableInput)) throw error;
      errors.push(error.message);
      return [];
    }
  };
  const [now = new Date()] = await attempt(async () => [readTime(options.now)]);
  const subjects: Subject[] = [];
  for (const file of options.files) subjects.push(...(await attempt(() => readSubjects(file, config, sources))));
  const { configmaps } = options;
  const maps = configmaps === undefined ? [] : await attempt(() => readCaches(configmaps, sources));
  for (const error of errors) out.printError(`stepmemo decide: ${error}`);
  if (subjects.length > 0 && (errors.length === 0 || options.files.length > 1)) {
    print(decideAll(subjects, maps, { options, config, now }), options, out);
  }
  return errors.length === 0 ? 0 : EXIT_UNREADABLE;
}

interface Decided {
  readonly subject: Subject;
  readonly verdict: Verdict;
}

function decideAll(
  subjects: readonly Subject[],
  maps: readonly KubeObject[],
  { options, config, now }: { options: DecideOptions; config: Config; now: Date },
): readonly Decided[] {
  const unread: string[] = [];
  const cluster = offlineCluster(maps, options.mode, subjects, unread);
  return subjects.map((subject) => {
    const verdict = judge(subject, cluster, config, now, options.mode);
    return { subject, verdict: withWarnings(verdict, [...subject.warnings, ...unread]) };
  });
}

function print(decided: readonly Decided[], { apply, output }: DecideOptions, out: CommandOutput): void {
  if (output === 'text' && !apply) {
    out.print(asText(decided));
    return;
  }
  const results = decided.map(({ subject, verdict }) => {
    return apply ? applyPatch(subject.object, verdict.patch) : verdict;
  });
  out.print(toJson(results.length === 1 ? results[0] : results));
}

/** Integers beyond JavaScript's own are written as they are. */
function toJson(value: unknown): string {
  const raw = (integer: bigint) => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(integer));
  return JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? raw(member) : member), 2);
}

function judge(subject: Subject, cluster: KnownCluster, config: Config, now: Date, mode: MemoizeMode): Verdict {
  const { object, oldObject, operation, creator } = subject;
  if (object.kind === 'Pod')
    return judgePod({ pod: object, creator, cluster, settings: decisionSettings(config), now });
  return judgeWorkflow({ object, oldObject, operation, namespace: offlineNamespace(mode) });
}

const KINDS: readonly string[] = ['Pod', ...WORKFLOW_KINDS];

async function readSubjects(file: string, config: Config, sources: Sources): Promise<readonly Subject[]> {
  const documents = await readDocuments(file, sources);
  const objects = documents.flatMap((document) => {
    const warnings = document.duplicates.map(({ key }) => {
      return `${nameOfSource(file)}: the key ${quote(key)} stands twice in one mapping; kubectl takes the last one`;
    });
    return document.objects.map(({ object }) => ({ object: object as KubeObject, warnings }));
  });
  const known = objects.filter(({ object }) => object.kind === 'AdmissionReview' || isKnown(object));
  if (known.length === 0) {
    const found = objects.map(({ object }) => quote(object.kind)).join(', ') || 'no object';
    throw new UnreadableInput(
      `${nameOfSource(file)}: kind: expected AdmissionReview or one of ${KINDS.join(', ')}, found ${found}`,
    );
  }
  return known.map(({ object, warnings }) => {
    const name = object.metadata?.name ?? object.metadata?.generateName ?? '';
    const label = known.length === 1 ? file : `${file} (${object.kind} ${name})`;
    return {
      label,
      warnings,
      ...(object.kind === 'AdmissionReview' ? readReview(file, object) : bare(object, config)),
    };
  });
}

function isKnown(object: KubeObject): boolean {
  return object.kind === 'Pod' || isWorkflowObject(object as JsonObject);
}

function bare(object: KubeObject, config: Config): Omit<Subject, 'label' | 'warnings'> {
  return { object: inNamespace(object, 'default'), operation: 'CREATE', creator: config.controllerAccounts[0] ?? '' };
}

function readReview(file: string, content: object): Omit<Subject, 'label' | 'warnings'> {
  const review = reviewSchema.safeParse(content);
  if (!review.success) {
    throw new UnreadableInput(`${nameOfSource(file)}: no AdmissionReview: ${describeReviewError(review.error)}`);
  }
  const { object, oldObject, operation, namespace, userInfo } = review.data.request;
  if (object == null) throw new UnreadableInput(`${nameOfSource(file)}: request.object: missing`);
  return {
    object: inNamespace(object, namespace),
    oldObject: oldObject ?? undefined,
    operation: operation === 'UPDATE' ? 'UPDATE' : 'CREATE',
    creator: userInfo.username ?? '',
  };
}

function offlineNamespace(mode: MemoizeMode): NamespaceSettings {
  return { isEnabled: true, memoize: mode, capture: 'sidecar', lookAhead: 'on', operation: 'on' };
}

/** Every namespace opted in and everything in place: what is asked is the decision about the object. */
function offlineCluster(
  maps: readonly KubeObject[],
  mode: MemoizeMode,
  subjects: readonly Subject[],
  warnings: string[],
): KnownCluster {
  const namespaces = new Set(subjects.map(({ object }) => object.metadata?.namespace));
  const { index, unread } = indexCaches(maps, namespaces);
  warnings.push(...unread);
  return {
    isSynced: true,
    arePoliciesInstalled: true,
    isSidecarUsable: true,
    namespace: () => offlineNamespace(mode),
    lookUp: (namespace, cache, key) => index.lookUp(namespace, cache, key),
    limitRanges: () => [],
    hasComputeQuota: () => false,
  };
}

function withWarnings(verdict: Verdict, warnings: readonly string[]): Verdict {
  return warnings.length === 0 ? verdict : { ...verdict, warnings: [...verdict.warnings, ...warnings] };
}

function asText(decided: readonly Decided[]): string {
  const lines = decided.flatMap(({ subject, verdict: { decision, reason, message, patch, warnings } }) => [
    `${subject.label}: ${decision} (${reason}): ${message}`,
    `  ${patch.length} patch operations`,
    ...warnings.map((warning) => `  warning: ${warning}`),
  ]);
  return lines.join('\n');
}
