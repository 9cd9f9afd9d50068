import { CACHE_LABEL, CACHE_LABEL_VALUE } from '../argo/names.ts';
import { readTags } from '../argo/tags.ts';
import { formatVersion, imageTag, isOlderThan, losesStepsOutputs } from '../argo/versions.ts';
import { isObject } from '../base/json.ts';
import { ALLOW_RESOURCE_ANNOTATION } from '../base/names.ts';
import { plainText, quote } from '../base/text.ts';
import { judgeAnnotations, judgeUselessKey } from './annotation-rules.ts';
import { type Breach, NOTHING, type RequestRule, type RuleInput } from './breach.ts';
import type { PolicyContext } from './context.ts';
import { type MemoizeRequest, readRequests } from './request.ts';
import { possibleValues, specMember } from './scope.ts';
import { judgeMembers, judgeMisplaced, judgeShape } from './shape-rules.ts';
import {
  type Holder,
  hasDeclaredOutputs,
  hasInputs,
  holderOf,
  inputParameterNames,
  memberOf,
  placeBelow,
  type Spot,
  type Subject,
  shownName,
} from './subject.ts';
import { isConfigMapName, judgeCacheName, judgeKey, judgeMaxAge, judgeTags } from './value-rules.ts';

/** Everything that the rules find in one template, memoized or not. */
export function judgeTemplate(input: RuleInput): readonly Breach[] {
  const { subject } = input;
  const { own, where } = subject;
  const memoize = { place: placeBelow(own.place, 'memoize'), via: own.via, value: own.template.memoize ?? undefined };
  const requests = readRequests(subject);
  // Of defaults alone it cannot be told what they will be merged into: each template is judged with them.
  const rules = where === 'templateDefaults' ? VALUE_RULES : [...VALUE_RULES, ...TEMPLATE_RULES];
  return [
    ...judgeShape(subject, memoize),
    ...judgeMembers(subject),
    ...judgeMisplaced(subject),
    ...judgeAnnotations(subject),
    ...requests.flatMap((request) => rules.flatMap((rule) => rule(request, input))),
    ...(requests.length === 0 && where !== 'templateDefaults' ? judgeUselessKey(subject) : NOTHING),
  ];
}

/** Where it is asked; where defaults ask, the template that they make memoized. */
function memoizedSpot({ at }: MemoizeRequest, { own }: Subject): Spot {
  const isOwn = at.via === own.via && at.place.path.startsWith(`${own.place.path}.`);
  return isOwn ? at : own;
}

const judgeCacheLabel: RequestRule = (request, { subject, scope, context }) => {
  const { value } = request.cache;
  if (typeof value !== 'string') return NOTHING;
  const namespaces = lookupNamespaces(request, subject, context);
  const names = possibleValues(value, subject, scope).filter(({ text }) => isConfigMapName(text));
  return names.flatMap(({ text: name, isDefault }) => {
    // Each is asked for, so that who records the questions gets all of them.
    const unlabeled = namespaces.filter((namespace) => context.cacheLabel(namespace, name) === 'unlabeled');
    return unlabeled.map((namespace) => ({
      ...unlabeledCache(request.cache, namespace, name),
      ...(isDefault && { atMost: 'warn' as const }),
    }));
  });
};

/** Where the cache will be used: by Argo in the controller's namespace, by stepmemo in the workflow's. */
function lookupNamespaces(request: MemoizeRequest, subject: Subject, context: PolicyContext): readonly string[] {
  const own = context.namespace === undefined ? [] : [context.namespace];
  if (request.lookedUpBy === 'stepmemo') return own;
  const isBoth = context.mode === 'native' && subject.makesPod;
  return [...new Set([context.controllerNamespace, ...(isBoth ? own : [])])];
}

function unlabeledCache(spot: Spot, namespace: string, name: string): Breach {
  const label = `${CACHE_LABEL}=${CACHE_LABEL_VALUE}`;
  const message = `The ConfigMap ${quote(name)} in namespace ${namespace} exists without the label ${CACHE_LABEL}: ${CACHE_LABEL_VALUE}, so it cannot be used as a cache.`;
  const fix = `Name another ConfigMap; if this one is a cache, run: kubectl label configmap -n ${namespace} ${name} ${label} --overwrite`;
  return { rule: 'cache-unlabeled', spot, message, fix, detail: `${namespace}/${name}` };
}

const judgeOutputs: RequestRule = (request, { subject, context }) => {
  if (subject.kind === 'unknown' || hasDeclaredOutputs(subject)) return NOTHING;
  const found = { rule: 'outputless-before-3.5', spot: memoizedSpot(request, subject) } as const;
  const { argoVersion } = context;
  if (argoVersion === 'unknown') {
    const message = `The template ${shownName(subject)} declares no outputs, which before Argo 3.5 cannot be memoized, and the version of Argo is not known.`;
    const fix = 'Declare an output, or tell the version (policy.argoVersion; --argo-version for lint).';
    return [{ ...found, message, fix, atMost: 'warn' }];
  }
  if (!isOlderThan(argoVersion, 3, 5, 0)) return NOTHING;
  const canBeServed = request.lookedUpBy === 'stepmemo';
  const way = canBeServed ? ' (stepmemo could serve it in managed mode, so an admin may switch this rule off)' : '';
  const message = `The template ${shownName(subject)} declares no outputs, and Argo ${formatVersion(argoVersion)} does not memoize such steps.`;
  return [{ ...found, message, fix: `Declare an output parameter or artifact, or remove memoize${way}.` }];
};

const judgeConstantKey: RequestRule = ({ key }, { subject }) => {
  const { value } = key;
  if (typeof value !== 'string' || value === '' || value.includes('{{') || !hasInputs(subject)) return NOTHING;
  const message = `The key ${quote(value)} holds no parameter, though the template ${shownName(subject)} has inputs: other inputs would get the same outputs.`;
  const fix = `Put the inputs into the key, say "${isShort(value) ? value : 'key'}-${inputTag(subject)}".`;
  return [{ rule: 'key-constant', spot: key, message, fix, detail: value }];
};

function inputTag(subject: Subject): string {
  return `{{inputs.parameters.${inputParameterNames(subject).find(isShort) ?? 'NAME'}}}`;
}

function isShort(text: unknown): text is string {
  return typeof text === 'string' && /^[-\w.]{1,40}$/.test(text);
}

/**
 * What differs from run to run. `workflow.name` does: nearly all names are generated. Of a time (the letters are those of
 * strftime), year, month and day are the same for all runs of a day.
 */
const RUN_TAG =
  /^(workflow\.(name|uid|duration|creationTimestamp(\.(s|RFC3339|[cfHIkLlMpRrSTX]))?|scheduledTime)|pod\.name|node\.name|retries|lastRetry\..+)$/;

const judgeRunKey: RequestRule = ({ key }) => {
  if (typeof key.value !== 'string' || !key.value.includes('{{')) return NOTHING;
  const tag = readTags(key.value).tags.find(({ name, isExpression }) => !isExpression && RUN_TAG.test(name))?.name;
  if (tag === undefined) return NOTHING;
  const message = `The key holds ${quote(`{{${tag}}}`)}, which is another one in every run, so no later run finds the entry.`;
  const fix = 'Leave it out, unless reuse within one run is what you want.';
  return [{ rule: 'key-unique-per-run', spot: key, message, fix, detail: tag }];
};

const judgePodless: RequestRule = (request, { subject, context }) => {
  const { kind } = subject;
  if (subject.makesPod || kind === 'unknown') return NOTHING;
  const found = { rule: 'memoize-without-pod', spot: memoizedSpot(request, subject) } as const;
  if (kind === 'suspend') {
    const message = 'Argo looks up suspend templates but never saves them, so there is never a hit.';
    return [{ ...found, message, fix: 'Remove memoize from it.' }];
  }
  if (context.mode === 'native') return NOTHING;
  const message = `A template of kind ${kind} makes no pod, so stepmemo cannot serve it: Argo itself looks it up, in its own namespace (${context.controllerNamespace}).`;
  const calls = kind === 'steps' || kind === 'dag';
  const fix = calls ? 'Memoize the container and script templates that it runs.' : 'Remove memoize from it.';
  return [{ ...found, message, fix }];
};

const judgeResource: RequestRule = (request, { subject, context }) => {
  if (subject.kind !== 'resource' || request.lookedUpBy !== 'argo' || context.mode === 'native') return NOTHING;
  const message =
    'A resource template acts on the cluster, so its memoize stays with Argo until you allow it to be skipped.';
  const fix = `If a cached result may stand for it, set the annotation ${ALLOW_RESOURCE_ANNOTATION}: "true" in the template's metadata.`;
  return [{ rule: 'resource-not-allowed', spot: memoizedSpot(request, subject), message, fix }];
};

const judgeDaemon: RequestRule = (request, { subject }) => {
  if (memberOf(subject, 'daemon') !== true) return NOTHING;
  const message = 'The template is a daemon, which has to run: its consumers need its address.';
  return [{ rule: 'daemon-memoized', spot: memoizedSpot(request, subject), message, fix: 'Remove memoize from it.' }];
};

const judgeSynchronization: RequestRule = (request, { subject, context }) => {
  const holder = holderOf(subject, 'synchronization');
  if (holder === undefined) return NOTHING;
  const spot = { place: placeBelow(holder.place, 'synchronization'), via: holder.via };
  const found = { rule: 'memoize-with-synchronization', spot } as const;
  if (request.lookedUpBy === 'stepmemo' && context.mode === 'managed') {
    const message = 'Argo takes the lock before stepmemo can look at the cache, so even hits wait for it one by one.';
    return [{ ...found, message, fix: 'Drop it if it is only there to run a step once.' }];
  }
  const isLeaking = context.argoVersion !== 'unknown' && isOlderThan(context.argoVersion, 3, 4, 12);
  if (!isLeaking) return NOTHING;
  const message = 'Before Argo 3.4.12 the lock is not released after a hit.';
  return [{ ...found, message, fix: 'Drop one of the two, or run a later Argo.' }];
};

const judgeArtifacts: RequestRule = (_, { subject, scope }) => {
  const general = strategyOf(specMember(scope, 'artifactGC'));
  return subject.holders.flatMap((holder) => collectedArtifacts(holder, general));
};

/** One is enough to make the point; defaults are asked once for each template. */
const ARTIFACT_LIMIT = 100;

function collectedArtifacts(holder: Holder, general: string | undefined): readonly Breach[] {
  const { outputs } = holder.template;
  const artifacts = isObject(outputs) && Array.isArray(outputs.artifacts) ? outputs.artifacts : [];
  return artifacts.slice(0, ARTIFACT_LIMIT).flatMap((artifact: unknown, index): readonly Breach[] => {
    const strategy = isObject(artifact) ? (strategyOf(artifact.artifactGC) ?? general) : undefined;
    if (!isObject(artifact) || strategy === undefined || strategy === 'Never') return NOTHING;
    const spot = { place: placeBelow(holder.place, 'outputs', 'artifacts', index), via: holder.via };
    const message = `artifactGC ${quote(strategy)} deletes the artifact while entries still point to it.`;
    const fix = 'Set artifactGC: {strategy: Never} on this artifact.';
    return [{ rule: 'artifacts-collected', spot, message, fix, detail: plainText(artifact.name) }];
  });
}

/** An empty strategy means that none is set (ArtifactGCStrategy). */
function strategyOf(gc: unknown): string | undefined {
  const strategy = isObject(gc) ? gc.strategy : undefined;
  return typeof strategy === 'string' && strategy !== '' ? strategy : undefined;
}

const judgeStepsOutputs: RequestRule = (request, { subject, context }) => {
  const { argoVersion } = context;
  if (subject.kind !== 'steps' || argoVersion === 'unknown' || request.lookedUpBy !== 'argo') return NOTHING;
  if (!hasDeclaredOutputs(subject) || !losesStepsOutputs(argoVersion)) return NOTHING;
  const message = `Argo ${formatVersion(argoVersion)} saves the outputs of a steps template as null, so a hit has none.`;
  const fix = 'Memoize the templates of its steps instead, or run Argo 3.7.18, 4.0.9 or later.';
  return [{ rule: 'steps-outputs-null', spot: memoizedSpot(request, subject), message, fix }];
};

const judgeRetry: RequestRule = (request, { subject, scope, context }) => {
  const { argoVersion } = context;
  if (!subject.makesPod || argoVersion === 'unknown' || request.lookedUpBy !== 'argo') return NOTHING;
  const isRetried = isObject(memberOf(subject, 'retryStrategy')) || isObject(specMember(scope, 'retryStrategy'));
  if (!isRetried || !isOlderThan(argoVersion, 3, 5, 5)) return NOTHING;
  const message = `Argo ${formatVersion(argoVersion)} never saves the outputs of a step that has a retryStrategy.`;
  const fix = 'Use managed mode, or run Argo 3.5.5 or later.';
  return [{ rule: 'retry-not-saved', spot: memoizedSpot(request, subject), message, fix }];
};

const judgeImage: RequestRule = ({ key }, { subject }) => {
  const { own } = subject;
  return ['container', 'script'].flatMap((body): readonly Breach[] => {
    const holder = own.template[body];
    const image = isObject(holder) ? holder.image : undefined;
    if (typeof image !== 'string' || image.includes('@') || image.includes('{{')) return NOTHING;
    const tag = imageTag(image);
    if (tag !== undefined && typeof key.value === 'string' && key.value.includes(tag)) return NOTHING;
    const spot = { place: placeBelow(own.place, body, 'image'), via: own.via };
    const message = `The image ${quote(image)} may change under its name, and entries made with the old one still hit.`;
    const fix = 'Name it by digest, or put its version into the key.';
    return [{ rule: 'image-unpinned', spot, message, fix, detail: image }];
  });
};

/** What the values alone show. */
const VALUE_RULES: readonly RequestRule[] = [judgeKey, judgeCacheName, judgeMaxAge, judgeTags];

/** What they mean for this template. */
const TEMPLATE_RULES: readonly RequestRule[] = [
  judgeCacheLabel,
  judgeOutputs,
  judgeConstantKey,
  judgeRunKey,
  judgePodless,
  judgeResource,
  judgeDaemon,
  judgeSynchronization,
  judgeArtifacts,
  judgeStepsOutputs,
  judgeRetry,
  judgeImage,
];
