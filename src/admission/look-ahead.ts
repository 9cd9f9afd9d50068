import { randomBytes } from 'node:crypto';
import { ARTIFACT_REPOSITORIES, type ArgoFacts, readNamespaceRepository } from '../argo/controller-facts.ts';
import { ARGO_API_VERSION } from '../argo/names.ts';
import type { JsonObject } from '../base/json.ts';
import { LOOK_AHEAD_DIGEST_ANNOTATION } from '../base/names.ts';
import type { Controller } from '../controller/controller.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../kube/types.ts';
import type { ForesightInput } from '../look-ahead/foresee.ts';
import { judgeProgress, type ProgressVerdict } from '../look-ahead/judge-progress.ts';
import { type AheadVerdict, judgeSubmissionAhead } from '../look-ahead/judge-submission.ts';
import type { ServedOutputs } from '../look-ahead/present.ts';
import type { KnownCluster } from '../step/known-cluster.ts';
import type { RecordEvent } from '../telemetry/events.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { answerVerdict } from './answer.ts';
import type { AdmissionHandler } from './app.ts';
import type { ArgoSource } from './argo-source.ts';
import { type FoundConfigMap, judgeWithLookups } from './judge-with-lookups.ts';
import { withNamespace } from './mutate-pods.ts';
import type { AdmissionRequest } from './review.ts';
import { skipUnsupported } from './unsupported.ts';

export interface LookAheadOptions {
  readonly cluster: KnownCluster;
  readonly kube: Pick<KubeApi, 'get'>;
  readonly argo: ArgoSource;
  /** What is known of step pods. */
  readonly controller: Pick<Controller, 'knowsWorkflow' | 'servedOutputs' | 'newsOf'>;
  readonly recordEvent: RecordEvent;
  readonly metrics: Pick<Metrics, 'servedAtSubmission' | 'servedAhead'>;
}

/** What is not known of Argo by then is unknown. */
const ARGO_DEADLINE_MS = 50;
/** How long a Workflow is walked at a time: nothing else is answered meanwhile. */
const WALK_MS = 100;
/** What is read for one Workflow, stored templates for the most part. */
const LOOKUPS = { deadlineMs: 300, limit: 20 };
/** How long a write of the workflow controller is held up for a hit that is about to end, in milliseconds. */
const AWAIT_MS = 150;
/** What an answer may take beyond the deadline of one that asks nothing of the cluster, in milliseconds; the API server waits for a second. */
export const LOOK_AHEAD_EXTRA_MS = ARGO_DEADLINE_MS + LOOKUPS.deadlineMs + AWAIT_MS;

/**
 * POST on the path of look-ahead: a Workflow gets the nodes of its cached steps as it is created, and of those that follow on a
 * hit as its controller writes it.
 */
export function createLookAhead(options: LookAheadOptions): AdmissionHandler {
  return async (request) => {
    const unsupported = skipUnsupported(request, { kinds: ['Workflow'], operations: ['CREATE', 'UPDATE'] });
    if (unsupported) return unsupported;
    const verdict =
      request.operation === 'CREATE' ? await atCreation(options, request) : await atWrite(options, request);
    return answerVerdict(request.uid, verdict);
  };
}

async function atCreation(options: LookAheadOptions, request: AdmissionRequest): Promise<AheadVerdict> {
  const { controller, metrics } = options;
  const { namespace, judge } = await foresight(options, request);
  const suffix = makeSuffix();
  const verdict = await judge((input) =>
    judgeSubmissionAhead({ ...input, suffix, knowsWorkflow: (name) => controller.knowsWorkflow(namespace, name) }),
  );
  metrics.servedAtSubmission({ steps: verdict.served, isDryRun: request.dryRun === true });
  if (request.dryRun !== true && verdict.digest !== undefined) void tellOnceThere(options, namespace, verdict);
  return verdict;
}

/** Judges, and again when a pod that is about to end as a hit has: its outputs are certain then. */
async function atWrite(options: LookAheadOptions, request: AdmissionRequest): Promise<ProgressVerdict> {
  const { controller, metrics, recordEvent } = options;
  const { namespace, object, judge } = await foresight(options, request);
  const endMs = performance.now() + AWAIT_MS;
  const served: ServedOutputs = (node) => controller.servedOutputs(namespace, node);
  const look = () => judge((input) => judgeProgress({ ...input, served }));
  let verdict = await look();
  for (let leftMs = AWAIT_MS; verdict.awaited.length > 0 && leftMs > 0; leftMs = endMs - performance.now()) {
    await controller.newsOf(namespace, verdict.awaited, leftMs);
    verdict = await look();
  }
  metrics.servedAhead({ steps: verdict.added, isDryRun: request.dryRun === true });
  if (request.dryRun !== true && verdict.added > 0) {
    const { name = '', uid } = object.metadata ?? {};
    const regarding = { apiVersion: ARGO_API_VERSION, kind: 'Workflow', namespace, name, uid };
    recordEvent({ regarding, type: 'Normal', reason: verdict.reason, message: verdict.message });
  }
  return verdict;
}

/** What is known of a Workflow that came, and how it is judged: with what is looked up for it. */
async function foresight({ cluster, kube, argo }: LookAheadOptions, request: AdmissionRequest) {
  const object = withNamespace(request);
  const namespace = object.metadata?.namespace ?? '';
  const facts = await argo.read(ARGO_DEADLINE_MS);
  const known = {
    object,
    namespace: cluster.namespace(namespace),
    cluster,
    argo: facts,
    lookUp: (cache: string, key: string) => cluster.lookUp(namespace, cache, key),
    now: new Date(),
  };
  const judge = <T>(by: (input: ForesightInput) => T): Promise<T> =>
    judgeWithLookups(kube, LOOKUPS, ({ lookUpTemplate, lookUpConfigMap }) => {
      const endMs = performance.now() + WALK_MS;
      return by({
        ...known,
        lookUpTemplate: (scope, name) =>
          scope === 'cluster'
            ? lookUpTemplate('ClusterWorkflowTemplate', undefined, name)
            : lookUpTemplate('WorkflowTemplate', namespace, name),
        lookUpRepository: () => repositoryOf(lookUpConfigMap(namespace, ARTIFACT_REPOSITORIES), facts),
        isOverdue: () => performance.now() > endMs,
      });
    });
  return { object, namespace, judge };
}

/** The namespace's own default, else the controller's (artifactrepositories.go:Resolve). */
export function repositoryOf(
  found: FoundConfigMap | undefined,
  { artifactRepository }: Pick<ArgoFacts, 'artifactRepository'>,
): JsonObject | undefined {
  if (found === undefined) return undefined;
  const own = found.is === 'absent' ? 'none' : readNamespaceRepository(found.object);
  return own === 'none' ? artifactRepository : own;
}

/** What the API server makes names of, without vowels; twice as many as it adds, for it does not try again on a clash. */
const LETTERS = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 10;

function makeSuffix(): string {
  return [...randomBytes(SUFFIX_LENGTH)].map((byte) => LETTERS[byte % LETTERS.length]).join('');
}

/** When a Workflow is looked for after its answer: it is there at once, unless another webhook takes its time or refuses it. */
const LOOKS_MS = [250, 1_000, 4_000];

/** An Event needs the UID of a Workflow, which it has once it is stored. */
async function tellOnceThere(
  { kube, recordEvent }: LookAheadOptions,
  namespace: string,
  { workflowName, digest, reason, message }: AheadVerdict,
): Promise<void> {
  for (const waitMs of LOOKS_MS) {
    await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    const found = await kube.get(
      { resource: RESOURCES.workflows, namespace, name: workflowName },
      { metadataOnly: true },
    );
    if (!found.ok || digestOf(found.value) !== digest) continue;
    const uid = found.value.metadata?.uid;
    const regarding = { apiVersion: ARGO_API_VERSION, kind: 'Workflow', namespace, name: workflowName, uid };
    return recordEvent({ regarding, type: 'Normal', reason, message });
  }
}

function digestOf({ metadata }: KubeObject): string | undefined {
  return metadata?.annotations?.[LOOK_AHEAD_DIGEST_ANNOTATION];
}
