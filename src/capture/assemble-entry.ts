import { type ArtifactLocation, isKeyBelow, isWithinStore, readLocation } from '../argo/artifact-location.ts';
import { OUTPUTS_ANNOTATION } from '../argo/names.ts';
import { type Artifact, type Outputs, outputsSchema, type Parameter } from '../argo/outputs.ts';
import { annotationOf } from '../argo/pod.ts';
import { readsOutputsAnnotation, versionOf } from '../argo/pod-version.ts';
import type { Step } from '../argo/step.ts';
import { findOverlappingMount, mainContainerNames, type StepTemplate, templateVolumeMounts } from '../argo/template.ts';
import type { Reason } from '../base/reasons.ts';
import { type Entry, formatTimestamp } from '../cache/entry.ts';
import { noteStores, rebuildOutputs } from '../cache/served-outputs.ts';
import type { KubeObject } from '../kube/types.ts';
import { agreesWith, type Captured, capturedFrom } from '../sidecar/captured.ts';
import { digestOf } from '../sidecar/digest.ts';

export interface AssembleInput {
  /** The pod, ended well: the caller has seen that Argo's own containers exited 0. */
  readonly pod: KubeObject;
  readonly step: Step;
  /** The template, where the pod's own is offloaded and the caller has read it. */
  readonly template?: StepTemplate | undefined;
  /** What the sidecar posted, held by this replica. */
  readonly captured?: Captured | undefined;
  /** Of what the sidecar read, where no replica holds it: noted on the pod, or the sidecar's last word. */
  readonly digest?: string | undefined;
  /** The WorkflowTaskResult of the node. `isComplete` false and no outputs: it has nothing to say yet. */
  readonly taskResult?: { readonly outputs?: Outputs | undefined; readonly isComplete: boolean } | undefined;
  readonly now: Date;
}

export type Assembled =
  | { readonly ok: true; readonly entry: Entry }
  | { readonly ok: false; readonly reason: Reason; readonly message: string };

type Refusal = Extract<Assembled, { ok: false }>;

function no(reason: Reason, message: string): Refusal {
  return { ok: false, reason, message };
}

/** What Argo itself was told: by the task result, on 3.4 and 3.5 by the pod's annotation. */
function readReported({ pod, taskResult }: AssembleInput): Outputs | undefined {
  if (taskResult !== undefined && (taskResult.outputs !== undefined || taskResult.isComplete)) {
    return taskResult.outputs ?? {};
  }
  const text = annotationOf(pod, OUTPUTS_ANNOTATION);
  if (text === undefined || !readsOutputsAnnotation(versionOf(pod))) return undefined;
  try {
    const parsed = outputsSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether a task result carries the values that the digest was made of. The sidecar may have left out what it does not
 * see: values of outputs in volumes that were not mounted for it (an offloaded template), defaults, a result that no step
 * asked for.
 */
function matchesDigest(digest: string, reported: Outputs, template: StepTemplate): boolean {
  const all = capturedFrom(reported);
  const declared = new Map(
    (template.template.outputs?.parameters ?? []).map((parameter) => [parameter.name, parameter]),
  );
  const withoutDefaults = all.parameters.filter(({ name, value }) => defaultOf(declared.get(name)) !== value);
  const seen = all.parameters.filter(({ name }) => !isInMount(declared.get(name), template));
  return [all.parameters, withoutDefaults, seen].some((parameters) =>
    [{ ...all, parameters }, { parameters }].some((candidate) => digestOf(candidate) === digest),
  );
}

/** The value of a parameter whose file is missing; Argo cuts a newline off this, too (executor.go:SaveParameters). */
function defaultOf(declared: Parameter | undefined): string | undefined {
  return declared?.valueFrom?.default?.replace(/\n$/, '');
}

/** Whether an output lies in a mount of main's, where only the sidecar of a template that it could read has looked. */
function isInMount(parameter: Parameter | undefined, template: StepTemplate): boolean {
  const path = parameter?.valueFrom?.path;
  return path !== undefined && findOverlappingMount(templateVolumeMounts(template), path) !== undefined;
}

/** The value of one parameter, by those who may speak for it; undefined if none does. */
interface ValueSource {
  readonly captured: ReadonlyMap<string, string> | undefined;
  readonly reported: ReadonlyMap<string, string | undefined>;
}

function pickValue(
  declared: Parameter,
  { captured, reported }: ValueSource,
  isOutOfSight: boolean,
): string | undefined {
  const told = reported.get(declared.name);
  if (captured === undefined) return told;
  const seen = captured.get(declared.name);
  if (seen !== undefined) return seen;
  const fallback = defaultOf(declared);
  if (told === undefined) return fallback;
  // The sidecar saw no file: only a default, or a place that it could not look into, explains a value.
  return told === fallback || isOutOfSight || declared.valueFrom?.path === undefined ? told : undefined;
}

function collectParameters(input: AssembleInput, template: StepTemplate, reported: Outputs): readonly Parameter[] {
  const isOffloaded = input.step.template.state !== 'inline';
  const sources: ValueSource = {
    captured: input.captured && new Map(input.captured.parameters.map(({ name, value }) => [name, value])),
    reported: new Map((reported.parameters ?? []).map(({ name, value }) => [name, value])),
  };
  return (template.template.outputs?.parameters ?? []).flatMap((declared) => {
    const value = pickValue(declared, sources, isOffloaded && isInMount(declared, template));
    return value === undefined ? [] : [{ name: declared.name, value }];
  });
}

/**
 * Whether a reported artifact lies where this pod may store one: under its declared key, or below the key that
 * archiveLocation gives this pod, in the store named there. Another key could be anybody's object.
 */
function isOwnArtifact(reported: ArtifactLocation, declared: Artifact | undefined, template: StepTemplate): boolean {
  const own = readLocation(declared);
  const archive = readLocation(template.template.archiveLocation);
  if (own === 'unusable') return false;
  if (own !== 'none' && own.key !== '') return isWithinStore(reported, own) && reported.key === own.key;
  return typeof archive !== 'string' && isWithinStore(reported, archive) && isKeyBelow(reported.key, archive.key);
}

/** Declared artifacts that were stored, and archived logs; a refusal where one lies elsewhere. */
function collectArtifacts(template: StepTemplate, reported: Outputs): readonly Artifact[] | Refusal {
  const byName = new Map((reported.artifacts ?? []).map((artifact) => [artifact.name, artifact]));
  const declared = template.template.outputs?.artifacts ?? [];
  const kept: Artifact[] = [];
  for (const artifact of declared) {
    const stored = byName.get(artifact.name);
    const location = readLocation(stored);
    if (stored === undefined) continue;
    if (location === 'none') {
      kept.push(...neverStored(artifact));
      continue;
    }
    if (typeof location === 'string' || !isOwnArtifact(location, artifact, template)) {
      return no('artifact-outside', `artifact ${artifact.name}`);
    }
    kept.push(stored);
  }
  return [...kept, ...collectLogs(template, byName)];
}

/**
 * What is kept of an artifact that was reported without a place: its upload failed, or it is optional and missing. Up to 3.4
 * Argo reports the latter by name, so that a consumer's reference to it resolves; the entry does as the run did.
 */
function neverStored({ name, optional }: Artifact): readonly Artifact[] {
  return optional === true ? [{ name, optional }] : [];
}

/** Logs that lie elsewhere are not worth an entry's life: they are left out. */
function collectLogs(template: StepTemplate, byName: ReadonlyMap<string, Artifact>): readonly Artifact[] {
  const declared = new Set((template.template.outputs?.artifacts ?? []).map(({ name }) => name));
  return mainContainerNames(template).flatMap((container) => {
    const stored = byName.get(`${container}-logs`);
    const location = readLocation(stored);
    if (stored === undefined || typeof location === 'string' || declared.has(stored.name)) return [];
    return isOwnArtifact(location, undefined, template) ? [stored] : [];
  });
}

function collectResult({ step, captured }: AssembleInput, reported: Outputs | undefined): string | undefined {
  if (!step.needsResult) return undefined;
  return captured?.result ?? reported?.result ?? undefined;
}

/** Where sidecar and task result contradict each other there is no telling which of them is right. */
function findMismatch(
  input: AssembleInput,
  reported: Outputs | undefined,
  template: StepTemplate,
): Refusal | undefined {
  const { captured, digest, step } = input;
  if (captured === undefined) {
    if (digest === undefined || digest === '') return undefined;
    if (reported === undefined) return no('capture-lost', 'what the sidecar sent is gone, and there is no task result');
    return matchesDigest(digest, reported, template)
      ? undefined
      : no('capture-mismatch', 'the task result does not match the digest of what the sidecar sent');
  }
  if (reported === undefined) return undefined;
  if (!agreesWith(captured, reported)) return no('capture-mismatch', 'sidecar and task result differ in a value');
  const hasResult = typeof reported.result === 'string';
  if (step.needsResult && hasResult !== (captured.result !== undefined)) {
    return no('capture-mismatch', 'sidecar and task result differ in the result');
  }
  return undefined;
}

/**
 * Makes the entry of a step that ended well. Values come from the sidecar where it posted them, and must agree with what
 * Argo was told; artifacts come from the task result, which any account that may patch task results could have forged, so
 * a key counts only where this pod may store. Without what the sidecar posted the task result serves alone: it has to
 * match the digest, if there is one. The entry holds all that the pod has to report, in the form that Argo's own cache has
 * (both timestamps now, in whole seconds), or there is none. A step without outputs has an entry with its exit code.
 */
export function assembleEntry(input: AssembleInput): Assembled {
  const { step, now } = input;
  const template = input.template ?? (step.template.state === 'inline' ? step.template : undefined);
  if (template === undefined) return no('template-offloaded', 'the declared outputs of the step are not known');
  const reported = readReported(input);
  const mismatch = findMismatch(input, reported, template);
  if (mismatch !== undefined) return mismatch;
  if (reported === undefined && input.captured === undefined) return no('capture-lost', 'there is no task result');
  const artifacts = collectArtifacts(template, reported ?? {});
  if ('ok' in artifacts) return artifacts;
  const result = collectResult(input, reported);
  const timestamp = formatTimestamp(now);
  const raw: Entry = {
    nodeID: step.nodeId,
    outputs: {
      parameters: [...collectParameters(input, template, reported ?? {})],
      artifacts: [...artifacts],
      ...(result === undefined ? {} : { result }),
    },
    creationTimestamp: timestamp,
    lastHitTimestamp: timestamp,
  };
  const rebuilt = rebuildOutputs(step, template, raw);
  if (!rebuilt.ok) return no('capture-incomplete', `not reported: ${rebuilt.missing.join(', ')}`);
  return { ok: true, entry: { ...raw, outputs: noteStores(rebuilt.outputs, template) } };
}
