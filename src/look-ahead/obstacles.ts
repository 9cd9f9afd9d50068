/** What ends the walk because Argo would do more, or something else, than what was foreseen. */
import { type ArtifactProvider, keyAlone, readLocation } from '../argo/artifact-location.ts';
import { parametersOf } from '../argo/scopes.ts';
import { templateKind } from '../argo/workflow-walk.ts';
import { asObject, deepEqual, isObject, type JsonObject, ownString } from '../base/json.ts';
import { LOOK_AHEAD_ANNOTATION, OWN_PREFIX } from '../base/names.ts';
import { Unforeseen } from './values.ts';

/** Members of a spec that act on all of its steps. */
const SPEC_OBSTACLES = ['suspend', 'shutdown', 'synchronization', 'retryStrategy'] as const;

export function checkSpec(spec: JsonObject): void {
  for (const member of SPEC_OBSTACLES) if (isGiven(spec[member])) throw new Unforeseen(`the workflow has ${member}`);
  // An exit hook comes after all steps; any other may fire beside one that would be there already.
  const hooks = Object.keys(asObject(spec.hooks)).filter((name) => name !== 'exit');
  if (hooks.length > 0) throw new Unforeseen(`the workflow has the hook ${hooks[0]}`);
  const { annotations } = asObject(spec.podMetadata);
  const own = Object.keys(asObject(annotations)).find((name) => name.startsWith(OWN_PREFIX));
  if (own !== undefined) throw new Unforeseen(`podMetadata of the workflow sets ${own}`);
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false && value !== '';
}

/** Members of a step or task that decide beside what it runs. */
const CALL_OBSTACLES = ['hooks', 'onExit'] as const;

export function checkCall(call: JsonObject): void {
  for (const member of CALL_OBSTACLES) {
    if (isGiven(call[member])) throw new Unforeseen(`it has ${member}`);
  }
  const { artifacts } = asObject(call.arguments);
  if (Array.isArray(artifacts) && artifacts.length > 0) throw new Unforeseen('artifacts are passed to it');
}

/** Members of a template that Argo acts on though the node is there, or that it never would. */
const TEMPLATE_OBSTACLES = ['archiveLocation', 'daemon', 'synchronization', 'metrics', 'parallelism', 'hooks'] as const;

export function checkTemplate(template: JsonObject): void {
  for (const member of TEMPLATE_OBSTACLES) {
    if (isGiven(template[member])) throw new Unforeseen(`its template has ${member}`);
  }
  const kind = templateKind(template);
  const hasOneContainer = kind === 'container' || kind === 'script';
  const isLeaf = hasOneContainer || kind === 'containerSet';
  // What follows on a retried containerSet hangs on its last attempt, and not on that one's containers.
  if (!hasOneContainer && isObject(template.retryStrategy)) throw new Unforeseen('its template is retried as a whole');
  if (!isLeaf && isObject(template.memoize)) throw new Unforeseen('its template is memoized as a whole');
  const { annotations } = asObject(template.metadata);
  if (ownString(annotations, LOOK_AHEAD_ANNOTATION) === 'off')
    throw new Unforeseen('look-ahead is off for its template');
  checkSides(template, isLeaf ? ['inputs'] : ['inputs', 'outputs']);
}

/** An artifact of a leaf is served where nothing is said of its place but a key in the workflow's own repository. */
export function checkArtifact(artifact: JsonObject, repository: ArtifactProvider): void {
  const location = readLocation(artifact);
  const isKeyAlone =
    typeof location !== 'string' &&
    location.provider === repository &&
    deepEqual(keyAlone(location.provider, location.key)[location.provider], location.fields);
  const isGlobal = (artifact.globalName ?? '') !== '';
  if (isGlobal || (artifact.archiveLogs ?? false) !== false || !(location === 'none' || isKeyAlone))
    throw new Unforeseen(`its artifact ${String(artifact.name)} has a globalName, or a place of its own`);
}

function checkSides(template: JsonObject, sides: readonly ('inputs' | 'outputs')[]): void {
  for (const side of sides) {
    const { artifacts } = asObject(template[side]);
    if (Array.isArray(artifacts) && artifacts.length > 0) throw new Unforeseen(`its ${side} have artifacts`);
  }
  if (parametersOf(template.outputs).some(({ globalName }) => (globalName ?? '') !== ''))
    throw new Unforeseen('an output of it has a globalName');
}
