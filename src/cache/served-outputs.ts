import {
  type ArtifactLocation,
  keyAlone,
  LOCATION_MEMBERS,
  readLocation,
  storeId,
  withKey,
} from '../argo/artifact-location.ts';
import type { Artifact, Outputs, Parameter } from '../argo/outputs.ts';
import type { Step } from '../argo/step.ts';
import { mainContainerNames, type StepTemplate } from '../argo/template.ts';
import { isObject } from '../base/json.ts';
import { STORE_MEMBER } from '../base/names.ts';
import type { Entry } from './entry.ts';

/** What a step's template declares and the pod must report: the measure of a complete entry. */
type OutputsOfStep = Pick<Step, 'needsResult' | 'hasMain'>;

/** The value to report for a declared parameter: the entry's, else one that the template fixes itself. */
function valueFor(declared: Parameter, entry: Entry): string | undefined {
  const stored = entry.outputs?.parameters?.find((parameter) => parameter.name === declared.name);
  return stored?.value ?? (declared.valueFrom ? undefined : declared.value);
}

function storedArtifact(entry: Entry, name: string): Artifact | undefined {
  return entry.outputs?.artifacts?.find((artifact) => artifact.name === name);
}

/**
 * Where a declared artifact lies, by the entry: its key and nothing else is taken, and only if the entry's artifact lies in
 * the same store as this pod's, as far as the entry says, and in the same kind of store in any case. Endpoint, bucket and secrets come from this pod's declaration; without any, the key
 * alone is given, and Argo resolves it against the workflow's artifact repository, as it does for a fresh one.
 */
function locate(declared: Artifact, template: StepTemplate, entry: Entry): Record<string, unknown> | undefined {
  const found = storedArtifact(entry, declared.name);
  const stored = readLocation(found);
  if (typeof stored === 'string' || stored.key === '' || !isInStore(found, declared, template)) return undefined;
  return relocate(stored, readLocation(declared), readLocation(template.template.archiveLocation));
}

/** The id of the store that a declared artifact (undefined: logs) of this pod lies in; undefined where nothing says. */
function storeOf(declared: Artifact | undefined, template: StepTemplate): string | undefined {
  const own = readLocation(declared);
  const location = typeof own !== 'string' && own.key !== '' ? own : readLocation(template.template.archiveLocation);
  return typeof location === 'string' ? undefined : storeId(location);
}

/** Workflows may share a key, and a namespace, and use different repositories. */
function isInStore(stored: unknown, declared: Artifact | undefined, template: StepTemplate): boolean {
  const noted = isObject(stored) ? stored[STORE_MEMBER] : undefined;
  if (noted === undefined) return true;
  const own = storeOf(declared, template);
  return own === undefined || noted === own;
}

/** The outputs as an entry keeps them: each artifact with a note of the store that its key is of. */
export function noteStores(outputs: Outputs, template: StepTemplate): Outputs {
  const declared = new Map((template.template.outputs?.artifacts ?? []).map((artifact) => [artifact.name, artifact]));
  const noted = outputs.artifacts?.map((artifact) => {
    const store = readLocation(artifact) === 'none' ? undefined : storeOf(declared.get(artifact.name), template);
    return store === undefined ? artifact : { ...artifact, [STORE_MEMBER]: store };
  });
  return noted === undefined ? outputs : { ...outputs, artifacts: noted };
}

function relocate(
  stored: ArtifactLocation,
  declared: ReturnType<typeof readLocation>,
  archive: ReturnType<typeof readLocation>,
): Record<string, unknown> | undefined {
  if (declared === 'unusable') return undefined;
  // One that names a store but no key is stored where the archive is, all else forgotten (executor.go:saveArtifactFromFile).
  if (declared !== 'none' && declared.key !== '') {
    return declared.provider === stored.provider ? withKey(declared, stored.key) : undefined;
  }
  if (typeof archive !== 'string' && archive.provider !== stored.provider) return undefined;
  return keyAlone(stored.provider, stored.key);
}

/**
 * What an entry lacks of that which this step has to report, as words for a message; empty when the entry is complete.
 * Argo never lets a node end that lacks a declared output (3.6.11, 3.7.2, 4.0), or leaves its consumers unresolved
 * (before), so an entry that lacks one is no hit. A value that came from `valueFrom.default` is in the entry like any
 * other. An optional artifact may be missing.
 */
export function missingOutputs(step: OutputsOfStep, template: StepTemplate, entry: Entry): readonly string[] {
  const declared = template.template.outputs ?? {};
  const parameters = (declared.parameters ?? [])
    .filter((parameter) => valueFor(parameter, entry) === undefined)
    .map((parameter) => `parameter ${parameter.name}`);
  const artifacts = (declared.artifacts ?? [])
    .filter((artifact) => artifact.optional !== true && locate(artifact, template, entry) === undefined)
    .map((artifact) => `artifact ${artifact.name}${isElsewhere(artifact, template, entry) ? ' in its store' : ''}`);
  return [...parameters, ...artifacts, ...missingResult(step, entry)];
}

function isElsewhere(declared: Artifact, template: StepTemplate, entry: Entry): boolean {
  const found = storedArtifact(entry, declared.name);
  return found !== undefined && !isInStore(found, declared, template);
}

/** The part of completeness that can be told without the template (an offloaded one). */
export function missingResult(step: OutputsOfStep, entry: Entry): readonly string[] {
  return step.needsResult && typeof entry.outputs?.result !== 'string' ? ['result'] : [];
}

function rebuildArtifact(declared: Artifact, template: StepTemplate, entry: Entry): Artifact | undefined {
  const location = locate(declared, template, entry) ?? placeOfMissing(declared, entry);
  if (location === undefined) return undefined;
  const others = Object.entries(declared).filter(([member]) => !LOCATION_MEMBERS.includes(member));
  return { ...Object.fromEntries(others), name: declared.name, ...location };
}

/** No place at all, for an optional artifact that the run reported by name and never stored (up to 3.4). */
function placeOfMissing(declared: Artifact, entry: Entry): Record<string, unknown> | undefined {
  const isListed = storedArtifact(entry, declared.name) !== undefined;
  return declared.optional === true && isListed ? {} : undefined;
}

/**
 * The archived logs of the run that made the entry: `<container>-logs`, which no template declares. Argo keeps them in its
 * own cache as key alone (workflow/executor/executor.go:SaveLogs), so does stepmemo.
 */
function rebuildLogs(template: StepTemplate, entry: Entry): readonly Artifact[] {
  const declared = new Set((template.template.outputs?.artifacts ?? []).map((artifact) => artifact.name));
  const archive = readLocation(template.template.archiveLocation);
  const logs: Artifact[] = [];
  for (const name of mainContainerNames(template).map((container) => `${container}-logs`)) {
    if (declared.has(name)) continue;
    const found = storedArtifact(entry, name);
    const stored = readLocation(found);
    if (typeof stored === 'string' || stored.key === '' || !isInStore(found, undefined, template)) continue;
    const location = relocate(stored, 'none', archive);
    if (location !== undefined) logs.push({ name, ...location });
  }
  return logs;
}

/**
 * The outputs that this pod reports when it ends with an entry. Names, globalName, valueFrom, paths and the location of an
 * artifact are what THIS pod declares; values and artifact keys alone come from the entry, so an entry cannot make Argo
 * send a secret anywhere. What this pod does not declare is left out, but for archived logs. exitCode stands there
 * exactly when the pod has a container `main`, as Argo sets it.
 */
export function rebuildOutputs(
  step: OutputsOfStep,
  template: StepTemplate,
  entry: Entry,
): { readonly ok: true; readonly outputs: Outputs } | { readonly ok: false; readonly missing: readonly string[] } {
  const missing = missingOutputs(step, template, entry);
  if (missing.length > 0) return { ok: false, missing };
  const declared = template.template.outputs ?? {};
  const parameters = (declared.parameters ?? []).map((parameter) => ({
    ...parameter,
    value: valueFor(parameter, entry),
  }));
  const artifacts = [
    ...(declared.artifacts ?? [])
      .map((artifact) => rebuildArtifact(artifact, template, entry))
      .filter((artifact) => artifact !== undefined),
    ...rebuildLogs(template, entry),
  ];
  return {
    ok: true,
    outputs: {
      ...(parameters.length > 0 ? { parameters } : {}),
      ...(artifacts.length > 0 ? { artifacts } : {}),
      ...(step.needsResult ? { result: entry.outputs?.result } : {}),
      ...(step.hasMain ? { exitCode: '0' } : {}),
    },
  };
}
