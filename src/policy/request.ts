import type { Place } from '../argo/workflow-walk.ts';
import { isObject } from '../base/json.ts';
import { ANNOTATION_OF, FIELDS } from '../workflow/restore-hint.ts';
import {
  annotationHolder,
  annotationPlace,
  annotationsOf,
  type Field,
  type Holder,
  holderOf,
  isResourceAllowed,
  placeBelow,
  type Subject,
} from './subject.ts';

export type RequestedField = (typeof FIELDS)[number];

/** What a template asks of one of the two that look entries up: the workflow controller, or stepmemo. */
export interface MemoizeRequest extends Readonly<Record<RequestedField, Field>> {
  readonly lookedUpBy: 'argo' | 'stepmemo';
  /** Where it is asked: `memoize`, or the first annotation. */
  readonly at: Field;
  readonly form: 'memoize' | 'annotations';
}

/**
 * What the template asks for, with each field's place; empty where it is not memoized. Two askings where Argo looks up
 * by `memoize` while stepmemo goes by the annotations on the pod.
 */
export function readRequests(subject: Subject): readonly MemoizeRequest[] {
  const holder = holderOf(subject, 'memoize');
  // What is no object makes the workflow unreadable, and is told as that alone.
  const block = isObject(holder?.template.memoize) ? holder : undefined;
  const fromArgo = block !== undefined && isArgosBusiness(subject, block) ? [askOfArgo(block)] : [];
  const fromStepmemo = askOfStepmemo(subject, block, fromArgo.length > 0);
  return fromStepmemo === undefined ? fromArgo : [...fromArgo, fromStepmemo];
}

/** Whether the controller will look this block up: native mode, what stays unmoved, and what makes no pod. */
function isArgosBusiness(subject: Subject, block: Holder): boolean {
  if (subject.where === 'templateDefaults') return block.staysWithArgo && !block.isMoved;
  if (!subject.makesPod && subject.kind !== 'unknown') return true;
  if (subject.kind === 'resource' && !isResourceAllowed(subject)) return true;
  return block.staysWithArgo && !block.isMoved;
}

function askOfArgo(block: Holder): MemoizeRequest {
  return {
    lookedUpBy: 'argo',
    form: 'memoize',
    at: blockField(block, []),
    key: blockField(block, ['key']),
    cache: cacheField(block),
    maxAge: blockField(block, ['maxAge']),
  };
}

/**
 * Field by field: the annotation, else `memoize`, of the template, then of the defaults (a block that moves becomes
 * annotations, all three of them, so it hides the defaults' whole).
 */
function askOfStepmemo(subject: Subject, block: Holder | undefined, isArgos: boolean): MemoizeRequest | undefined {
  if (!canServe(subject)) return undefined;
  const used = isArgos ? undefined : block;
  const [key, cache, maxAge] = FIELDS.map((name) => annotated(subject, name, used));
  // A cache that the defaults bring asks for nothing as long as the template has no key.
  const isAsked = used !== undefined || key !== undefined || cache?.isFromDefaults === false;
  const at = used === undefined ? (key ?? cache) : blockField(used, []);
  if (!isAsked || at === undefined) return undefined;
  return {
    lookedUpBy: 'stepmemo',
    form: used === undefined ? 'annotations' : 'memoize',
    at,
    key: key ?? missing(subject, 'key'),
    cache: cache ?? missing(subject, 'cache'),
    maxAge: maxAge ?? missing(subject, 'maxAge'),
  };
}

function canServe(subject: Subject): boolean {
  if (subject.where === 'templateDefaults' || subject.kind === 'unknown') return true;
  return subject.makesPod && (subject.kind !== 'resource' || isResourceAllowed(subject));
}

function missing({ own }: Subject, name: RequestedField): Field {
  return { place: annotationPlace(own, ANNOTATION_OF[name]), via: own.via, value: undefined };
}

function annotated(
  subject: Subject,
  name: RequestedField,
  block: Holder | undefined,
): (Field & { readonly isFromDefaults: boolean }) | undefined {
  const annotation = ANNOTATION_OF[name];
  const holder = annotationHolder(subject, annotation);
  const isBlockNearer = block !== undefined && (holder === undefined || isNearer(subject, block, holder));
  if (isBlockNearer) {
    const field = name === 'cache' ? cacheField(block) : blockField(block, [name]);
    return { ...field, isFromDefaults: block !== subject.own };
  }
  if (holder === undefined) return undefined;
  return {
    place: annotationPlace(holder, annotation),
    via: holder.via,
    value: annotationsOf(holder)[annotation],
    isFromDefaults: holder !== subject.own,
  };
}

function isNearer(subject: Subject, one: Holder, other: Holder): boolean {
  return subject.holders.indexOf(one) < subject.holders.indexOf(other);
}

/** A member of `memoize`; undefined below what is no object. */
function blockField(holder: Holder, parts: readonly string[]): Field {
  let value: unknown = holder.template.memoize;
  for (const part of parts) value = isObject(value) ? (value[part] ?? undefined) : undefined;
  const place = placeBelow(holder.place, 'memoize', ...parts);
  return { via: holder.via, value, place: holder.isMoved ? movedPlace(holder, place, parts) : place };
}

/** As it was written, but where it stands now. */
function movedPlace(holder: Holder, written: Place, [name]: readonly string[]): Place {
  const annotation = ANNOTATION_OF[FIELDS.find((known) => known === name) ?? 'key'];
  return {
    get pointer() {
      return annotationPlace(holder, annotation).pointer;
    },
    get path() {
      return written.path;
    },
  };
}

/**
 * The cache's name, or the deepest part of the way to it that is there: what is missing is told where it is missing.
 * What is no object on the way is wrapped, so that it is not taken for a name.
 */
function cacheField(holder: Holder): Field {
  for (const parts of [['cache'], ['cache', 'configMap']]) {
    const field = blockField(holder, parts);
    if (field.value === undefined) return field;
    if (!isObject(field.value)) return { ...field, value: { misplaced: field.value } };
  }
  return blockField(holder, ['cache', 'configMap', 'name']);
}
