import { readTags, type Tag } from '../argo/tags.ts';
import { isOlderThan } from '../argo/versions.ts';
import { parseGoDuration } from '../base/duration.ts';
import { isObject } from '../base/json.ts';
import { CACHE_ANNOTATION } from '../base/names.ts';
import { capital, plainText, quote } from '../base/text.ts';
import { checkCacheName, LONGEST_KEY_BYTES } from '../step/memoization.ts';
import { type Breach, NOTHING, type RequestRule } from './breach.ts';
import type { MemoizeRequest, RequestedField } from './request.ts';
import { type PossibleValue, possibleValues, tagProblem, type WorkflowScope } from './scope.ts';
import type { Field, Subject } from './subject.ts';

type Words = Pick<Breach, 'message' | 'fix'>;

// ---- key

/** As Argo refuses them (cache/cache.go: cacheKeyRegex), outside of tags. */
const NOT_IN_ARGO_KEY = /[^-a-zA-Z0-9]/u;
/** The longest key of a ConfigMap: a longer one fails when Argo saves. */
const ARGO_KEY_LIMIT = 253;
const CONTROL = /\p{Cc}|\p{Cs}/u;

export const judgeKey: RequestRule = ({ key, form, lookedUpBy }, { subject }) => {
  const { value } = key;
  if (isLeftToTemplates(form, subject, value)) return NOTHING;
  const found = { rule: 'key-invalid', spot: key } as const;
  if (value === undefined || value === '') {
    const fix = 'Write a key that names what the outputs depend on, say "{{inputs.parameters.message}}".';
    return [{ ...found, message: 'The key is empty, so there is nothing to look up.', fix }];
  }
  if (typeof value !== 'string') {
    const message = `The key is ${quote(value)}, and Argo reads only a string.`;
    return [{ ...found, message, fix: 'Write it in quotes.', detail: plainText(value) }];
  }
  const problem = lookedUpBy === 'argo' ? argoKeyProblem(value) : keyProblem(value);
  return problem === undefined ? NOTHING : [{ ...found, ...problem, detail: value }];
};

/** Annotations are merged one by one: what templateDefaults leave out, each template may bring. */
function isLeftToTemplates(form: MemoizeRequest['form'], subject: Subject, value: unknown): boolean {
  return form === 'annotations' && subject.where === 'templateDefaults' && value === undefined;
}

/** Judged on what is known before parameters are filled in: what stands outside of tags. */
function argoKeyProblem(key: string): Words | undefined {
  const { literals } = readTags(key);
  const fix =
    'Use letters, digits and "-", beginning with a letter or digit; pod steps in managed mode may use any text.';
  const [strange] = literals.flatMap((literal) => NOT_IN_ARGO_KEY.exec(literal) ?? []);
  if (strange !== undefined) {
    return { message: `The key ${quote(key)} holds ${quote(strange)}, which Argo refuses at run time.`, fix };
  }
  if (literals[0]?.startsWith('-')) {
    return { message: `The key ${quote(key)} begins with "-", which Argo refuses at run time.`, fix };
  }
  const length = literals.join('').length;
  if (length <= ARGO_KEY_LIMIT) return undefined;
  const message = `The key has ${length} characters without its tags, and Argo cannot save more than ${ARGO_KEY_LIMIT}.`;
  return { message, fix: 'Make it shorter, say by a hash of its parts.' };
}

function keyProblem(key: string): Words | undefined {
  const literal = readTags(key).literals.join('');
  if (CONTROL.test(literal)) {
    const message = `The key ${quote(key)} holds a control character.`;
    return { message, fix: 'Write the key on one line, without tabs.' };
  }
  const sizeBytes = Buffer.byteLength(literal, 'utf8');
  if (sizeBytes <= LONGEST_KEY_BYTES) return undefined;
  const message = `The key has ${sizeBytes} bytes, and at most ${LONGEST_KEY_BYTES} can be looked up.`;
  return { message, fix: 'Make it shorter, say by a hash of its parts.' };
}

// ---- cache

/** Whether a ConfigMap can have this name. */
export function isConfigMapName(text: string): boolean {
  return checkCacheName(text) === undefined;
}

export const judgeCacheName: RequestRule = ({ cache, form }, { subject, scope }) => {
  const { value } = cache;
  if (isLeftToTemplates(form, subject, value)) return NOTHING;
  const found = { rule: 'cache-name-invalid', spot: cache } as const;
  if (value === undefined || value === '') {
    if (form === 'annotations' && isLeftToWorkflow(subject, scope)) return NOTHING;
    return [{ ...found, ...missingCache(form) }];
  }
  if (typeof value !== 'string') {
    const shown = isObject(value) && 'misplaced' in value ? value.misplaced : value;
    const message = `${capital(quote(shown))} stands where the cache is read.`;
    return [{ ...found, message, fix: missingCache(form).fix, detail: typeof value }];
  }
  const wrong = wrongName(value, possibleValues(value, subject, scope));
  if (wrong === undefined) return NOTHING;
  const message = `${capital(quote(wrong.text))} is no valid name of a ConfigMap.`;
  const fix = 'Use lower case letters, digits, "-" and ".", at most 253 characters, as in "my-cache".';
  return [{ ...found, message, fix, detail: wrong.text, ...atMostWarning(wrong.isDefault) }];
};

/** A stored template may get the cache's name from the templateDefaults of the Workflow that uses it. */
function isLeftToWorkflow(subject: Subject, scope: WorkflowScope): boolean {
  return subject.own.via === undefined && scope.kind !== 'Workflow' && scope.kind !== 'CronWorkflow';
}

function missingCache(form: MemoizeRequest['form']): Words {
  if (form === 'annotations') {
    const message = 'A key is given but no cache, so the step is not cached.';
    return { message, fix: `Name a ConfigMap in the annotation ${CACHE_ANNOTATION}.` };
  }
  return {
    message: 'memoize names no ConfigMap, which ends the workflow as an Error at run time.',
    fix: 'Write cache: {configMap: {name: my-cache}} in this very memoize: Argo does not add it from templateDefaults.',
  };
}

/** The first value that is no name; of a text with tags that cannot be followed, what stands around them is judged. */
function wrongName(text: string, values: readonly PossibleValue[]): PossibleValue | undefined {
  if (values.length > 0) return wrongOnes(values)[0];
  const { literals, isUnclosed } = readTags(text);
  // Any tag may become a letter; what is wrong even then can never be right.
  return isUnclosed || isConfigMapName(literals.join('a')) ? undefined : { text, isDefault: false };
}

/** What is given comes before what is only a default. */
function wrongOnes(values: readonly PossibleValue[]): readonly PossibleValue[] {
  const wrong = values.filter(({ text }) => !isConfigMapName(text));
  return [...wrong.filter(({ isDefault }) => !isDefault), ...wrong];
}

// ---- maxAge

export const judgeMaxAge: RequestRule = (request, { subject, scope, context }) => {
  const { maxAge } = request;
  const { value } = maxAge;
  if (value === undefined) {
    const { argoVersion } = context;
    const isRequired = argoVersion !== 'unknown' && !isOlderThan(argoVersion, 4, 0, 0);
    if (!isRequired || request.form !== 'memoize' || request.lookedUpBy !== 'argo') return NOTHING;
    const message = 'memoize has no maxAge, and the CRDs that Argo 4.0 and later ship refuse that.';
    return [{ rule: 'max-age-missing', spot: maxAge, message, fix: 'Write one, or "" for entries that never expire.' }];
  }
  if (typeof value !== 'string') {
    const message = `maxAge is ${quote(value)}, and Argo reads only a string.`;
    const fix = `Write a duration in quotes${typeof value === 'number' ? `, say "${value}s"` : ''}.`;
    return [{ rule: 'max-age-invalid', spot: maxAge, message, fix, detail: plainText(value) }];
  }
  if (value === '') return NOTHING;
  return possibleValues(value, subject, scope).flatMap((one) => judgeDuration(one, maxAge));
};

function judgeDuration({ text, isDefault }: PossibleValue, maxAge: Field): readonly Breach[] {
  // A parameter may fill in nothing, which means no limit.
  if (text === '') return NOTHING;
  const found = { spot: maxAge, detail: text, ...atMostWarning(isDefault) };
  const durationMs = parseGoDuration(text);
  if (durationMs === undefined) {
    const message = `${capital(quote(text))} is no duration as Argo reads it.`;
    return [{ ...found, rule: 'max-age-invalid', message, fix: durationFix(text) }];
  }
  if (durationMs > 0) return NOTHING;
  const message = `With a maxAge of ${quote(text)} no entry is ever fresh, and the step runs every time.`;
  return [{ ...found, rule: 'max-age-never-fresh', message, fix: 'Write a positive duration, or leave maxAge empty.' }];
}

/** A stored template is not refused for a default: whoever runs it is judged with the values that it gives. */
function atMostWarning(isDefault: boolean): Pick<Breach, 'atMost'> {
  return isDefault ? { atMost: 'warn' } : {};
}

/** Says what was probably meant. */
function durationFix(text: string): string {
  const days = /^(\d{1,5})\s*d(?:ays?)?$/i.exec(text);
  if (days) return `There is no unit for days: write "${Number(days[1]) * 24}h".`;
  const weeks = /^(\d{1,5})\s*w(?:eeks?)?$/i.exec(text);
  if (weeks) return `There is no unit for weeks: write "${Number(weeks[1]) * 168}h".`;
  if (/^\d{1,9}$/.test(text)) return `Write a unit: "${text}s" for seconds.`;
  return 'Write numbers with the units h, m and s, say "24h" or "1h30m".';
}

// ---- tags

/** Nobody reads more. */
const TAG_LIMIT = 100;
const TAGGED: readonly RequestedField[] = ['key', 'cache', 'maxAge'];

export const judgeTags: RequestRule = (request, { subject, scope }) => {
  return TAGGED.flatMap((name) => {
    const spot = request[name];
    if (typeof spot.value !== 'string' || !spot.value.includes('{{')) return NOTHING;
    const { tags, isUnclosed } = readTags(spot.value);
    const found = distinctTags(tags)
      .slice(0, TAG_LIMIT)
      .flatMap((tag): readonly Breach[] => {
        const problem = tagProblem(tag, subject, scope, request.lookedUpBy);
        if (problem === undefined) return NOTHING;
        const message = `The tag ${quote(`{{${tag.name}}}`)} will stay as it is: ${problem}.`;
        return [{ rule: 'tag-unresolved', spot, message, fix: 'Correct what the tag names.', detail: tag.name }];
      });
    return isUnclosed ? [...found, unclosedTag(spot, spot.value)] : found;
  });
};

function distinctTags(tags: readonly Tag[]): readonly Tag[] {
  return [...new Map(tags.map((tag) => [`${tag.isExpression} ${tag.name}`, tag])).values()];
}

function unclosedTag(spot: Field, text: string): Breach {
  const message = `${capital(quote(text))} opens a tag that nothing closes.`;
  return { rule: 'tag-unresolved', spot, message, fix: 'Close it with "}}".', detail: text };
}
