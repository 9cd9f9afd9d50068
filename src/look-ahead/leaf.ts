/** One step that makes a pod: whether the entry under its key serves it, by the functions that decide about pods. */
import { readLocation } from '../argo/artifact-location.ts';
import { MAIN_CONTAINER } from '../argo/names.ts';
import type { Outputs } from '../argo/outputs.ts';
import { parseTemplate } from '../argo/template.ts';
import { asObject, isObject, type JsonObject, objectsOf } from '../base/json.ts';
import type { MemoizeMode } from '../base/names.ts';
import type { EntryLookup } from '../cache/entry.ts';
import { rebuildOutputs } from '../cache/served-outputs.ts';
import { judgeLookup } from '../step/judge-entry.ts';
import { readTemplateMemoization } from '../step/memoization.ts';
import { checkArtifact } from './obstacles.ts';
import type { LookUpRepository } from './references.ts';
import { hasTags, Unforeseen } from './values.ts';

export interface LeafContext {
  readonly mode: MemoizeMode;
  /** The entry under a key of a cache in the workflow's namespace. */
  readonly lookUp: (cache: string, key: string) => EntryLookup;
  /** Where artifacts lie; not known where it is left out. */
  readonly lookUpRepository?: LookUpRepository;
  readonly now: Date;
}

export type JudgedLeaf =
  | {
      readonly is: 'hit';
      readonly key: string;
      readonly cache: string;
      readonly message: string;
      readonly outputs: Outputs;
    }
  | { readonly is: 'runs'; readonly key?: string; readonly cache?: string; readonly message: string };

/** `template` has its tags filled in; throws where what comes of it cannot be foreseen. */
export function judgeLeaf(
  template: JsonObject,
  { needsResult, namesRepository }: { readonly needsResult: boolean; readonly namesRepository: boolean },
  { mode, lookUp, lookUpRepository, now }: LeafContext,
): JudgedLeaf {
  const located = withRepository(template, namesRepository ? undefined : lookUpRepository);
  const reading = parseTemplate(JSON.stringify(located));
  if (reading.state !== 'inline') throw new Unforeseen('its template cannot be read');
  const asked = readTemplateMemoization(reading.template, mode);
  if (!asked.ok) return { is: 'runs', message: `${asked.reason}: ${asked.message}` };
  const { key, cache } = asked.memoization;
  const step = { template: reading, needsResult, hasMain: hasMain(template) };
  const judged = judgeLookup(step, asked.memoization, lookUp(cache, key), now);
  if (!judged.fresh) return { is: 'runs', key, cache, message: `${judged.reason}: ${judged.message}` };
  const rebuilt = rebuildOutputs(step, reading, judged.entry);
  if (!rebuilt.ok) throw new Unforeseen(`the entry lacks ${rebuilt.missing.join(', ')}`);
  if (hasTags(rebuilt.outputs)) throw new Unforeseen('a tag is left in its outputs');
  return { is: 'hit', key, cache, message: judged.message, outputs: rebuilt.outputs };
}

/** Whether its pod has a container `main`: Argo takes the exit code from there, and nowhere else. */
export function hasMain({ containerSet }: JsonObject): boolean {
  return !isObject(containerSet) || objectsOf(containerSet.containers).some(({ name }) => name === MAIN_CONTAINER);
}

/** The controller gives each pod the repository; by it an entry that lies in another kind of store is found out. */
function withRepository(template: JsonObject, lookUpRepository: LookUpRepository | undefined): JsonObject {
  const artifacts = objectsOf(asObject(template.outputs).artifacts);
  if (artifacts.length === 0) return template;
  const archiveLocation = lookUpRepository?.();
  const repository = readLocation(archiveLocation);
  if (typeof repository === 'string')
    throw new Unforeseen('its outputs have artifacts, and the artifact repository is not known');
  for (const artifact of artifacts) checkArtifact(artifact, repository.provider);
  return { ...template, archiveLocation };
}
