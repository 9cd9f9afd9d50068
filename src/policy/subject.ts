import {
  makesPod,
  type Place,
  placeIn,
  type TemplateKind,
  templateKind,
  type WalkedTemplate,
} from '../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import { ALLOW_RESOURCE_ANNOTATION } from '../base/names.ts';
import { plainText, quote } from '../base/text.ts';

/** A place in the object that is judged, or in another one that it names. */
export interface Spot {
  readonly place: Place;
  /** The other object, say `WorkflowTemplate "common"`. */
  readonly via?: string | undefined;
}

/** A template, or defaults, as their author wrote them in one place: what stepmemo moved is back in `memoize`. */
export interface Holder extends Spot {
  readonly template: JsonObject;
  /** `memoize` is now in the annotations, and stepmemo's business in every mode. */
  readonly isMoved: boolean;
  /** `memoize` stays where it is, and is the workflow controller's business even where the template makes a pod. */
  readonly staysWithArgo: boolean;
}

/** A value and where it stands; `value` is undefined where it is missing (or null, which Argo reads as missing). */
export interface Field extends Spot {
  readonly value: unknown;
}

/**
 * A template as it will run: its own fields, then those of `templateDefaults`, which Argo merges into every template
 * (operator.go:mergedTemplateDefaultsInto).
 */
export interface Subject {
  readonly own: Holder;
  /** `own` first; a field is taken from the first that has it. */
  readonly holders: readonly Holder[];
  /** Empty for inline templates, and for templateDefaults. */
  readonly name: string;
  readonly where: WalkedTemplate['where'];
  readonly kind: TemplateKind;
  readonly makesPod: boolean;
}

export function readSubject(own: Holder, where: WalkedTemplate['where'], defaults: readonly Holder[]): Subject {
  const kind = templateKind(own.template);
  const { name } = own.template;
  return {
    own,
    holders: where === 'templateDefaults' ? [own] : [own, ...defaults],
    name: typeof name === 'string' ? name : '',
    where,
    kind,
    makesPod: makesPod(kind),
  };
}

/** How a template is called in messages and told from others. */
export function subjectName(subject: Subject): string {
  return subject.name === '' ? subject.own.place.path : subject.name;
}

/** The same for messages. */
export function shownName(subject: Subject): string {
  return subject.name === '' ? subject.own.place.path : quote(subject.name);
}

/** The holder that a member of the template comes from. */
export function holderOf(subject: Subject, member: string): Holder | undefined {
  return subject.holders.find(({ template }) => template[member] !== undefined && template[member] !== null);
}

/** A member of the template, its own or the defaults'. */
export function memberOf(subject: Subject, member: string): unknown {
  return holderOf(subject, member)?.template[member];
}

export function annotationsOf(holder: Holder): JsonObject {
  const { metadata } = holder.template;
  const annotations = isObject(metadata) ? metadata.annotations : undefined;
  return isObject(annotations) ? annotations : {};
}

/** The holder that an annotation comes from: maps of annotations are merged key by key. */
export function annotationHolder(subject: Subject, name: string): Holder | undefined {
  return subject.holders.find((holder) => (annotationsOf(holder)[name] ?? undefined) !== undefined);
}

export function annotationPlace(holder: Holder, name: string): Place {
  return placeBelow(holder.place, 'metadata', 'annotations', name);
}

/** A place that is put into words only when somebody reads it: most are never told to anybody. */
class PlaceBelow implements Place {
  readonly #parent: Place;
  readonly #parts: readonly (string | number)[];
  #words: Place | undefined;

  constructor(parent: Place, parts: readonly (string | number)[]) {
    this.#parent = parent;
    this.#parts = parts;
  }
  get pointer(): string {
    return this.#made().pointer;
  }
  get path(): string {
    return this.#made().path;
  }
  #made(): Place {
    this.#words ??= placeIn(this.#parent, ...this.#parts);
    return this.#words;
  }
}

export function placeBelow(place: Place, ...parts: readonly (string | number)[]): Place {
  return new PlaceBelow(place, parts);
}

/** Whether a resource template may be skipped, which only its author can say. */
export function isResourceAllowed(subject: Subject): boolean {
  const holder = annotationHolder(subject, ALLOW_RESOURCE_ANNOTATION);
  return holder !== undefined && annotationsOf(holder)[ALLOW_RESOURCE_ANNOTATION] === 'true';
}

/** By name, for the long lists: defaults are asked for theirs once for each template. */
const declarations = new WeakMap<readonly unknown[], ReadonlyMap<string, JsonObject>>();
const SHORT = 16;

function declaredBy(
  { template }: Holder,
  side: 'inputs' | 'outputs',
  what: 'parameters' | 'artifacts',
): readonly unknown[] {
  const holder = template[side];
  const list = isObject(holder) ? holder[what] : undefined;
  return Array.isArray(list) ? list : [];
}

function isNamed(declaration: unknown, name: string): declaration is JsonObject {
  return isObject(declaration) && declaration.name === name;
}

function findIn(list: readonly unknown[], name: string): JsonObject | undefined {
  if (list.length <= SHORT) return list.find((declaration): declaration is JsonObject => isNamed(declaration, name));
  let known = declarations.get(list);
  if (known === undefined) {
    known = new Map(list.filter(isObject).map((declaration) => [plainText(declaration.name), declaration]));
    declarations.set(list, known);
  }
  return known.get(name);
}

/** A declared input or output, of the template itself or of its defaults. */
export function findDeclared(
  subject: Subject,
  side: 'inputs' | 'outputs',
  what: 'parameters' | 'artifacts',
  name: string,
): JsonObject | undefined {
  for (const holder of subject.holders) {
    const found = findIn(declaredBy(holder, side, what), name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The names of the template's own input parameters. */
export function inputParameterNames(subject: Subject): readonly unknown[] {
  return declaredBy(subject.own, 'inputs', 'parameters').map((declaration) => {
    return isObject(declaration) ? declaration.name : undefined;
  });
}

function hasDeclared(subject: Subject, side: 'inputs' | 'outputs'): boolean {
  return subject.holders.some((holder) => {
    return declaredBy(holder, side, 'parameters').length > 0 || declaredBy(holder, side, 'artifacts').length > 0;
  });
}

/** Whether the template declares outputs (Outputs.HasOutputs, as far as a template shows it). */
export function hasDeclaredOutputs(subject: Subject): boolean {
  return hasDeclared(subject, 'outputs');
}

export function hasInputs(subject: Subject): boolean {
  return hasDeclared(subject, 'inputs');
}
