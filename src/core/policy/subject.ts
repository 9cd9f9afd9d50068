import { ALLOW_RESOURCE_ANNOTATION } from '../names.ts';
import {
  isObject,
  makesPod,
  type Place,
  placeIn,
  type TemplateKind,
  templateKind,
  type Unknowns,
  type WalkedTemplate,
} from '../workflow-walk.ts';
import { plainText, quote } from './finding.ts';

/** A place in the object that is judged, or in another one that it names. */
export interface Spot {
  readonly place: Place;
  /** The other object, say `WorkflowTemplate "common"`. */
  readonly via?: string | undefined;
}

/** A template, or defaults, as their author wrote them in one place: what stepmemo moved is back in `memoize`. */
export interface Holder extends Spot {
  readonly template: Unknowns;
  /** `memoize` now stands in the annotations, and is stepmemo's business in every mode. */
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

export function annotationsOf(holder: Holder): Unknowns {
  const { metadata } = holder.template;
  const annotations = isObject(metadata) ? metadata.annotations : undefined;
  return isObject(annotations) ? annotations : {};
}

/** The holder that an annotation comes from: maps of annotations are merged key by key. */
export function annotationHolder(subject: Subject, name: string): Holder | undefined {
  return subject.holders.find((holder) => (annotationsOf(holder)[name] ?? undefined) !== undefined);
}

export function annotationPlace(holder: Holder, name: string): Place {
  return placeIn(holder.place, 'metadata', 'annotations', name);
}

/** Whether a resource template may be skipped, which only its author can say. */
export function isResourceAllowed(subject: Subject): boolean {
  const holder = annotationHolder(subject, ALLOW_RESOURCE_ANNOTATION);
  return holder !== undefined && annotationsOf(holder)[ALLOW_RESOURCE_ANNOTATION] === 'true';
}

type Declarations = ReadonlyMap<string, Unknowns>;
/** Declarations of a template, by name: defaults are asked for theirs once for each template. */
const declarations = new WeakMap<Unknowns, Map<string, Declarations>>();

function declaredBy({ template }: Holder, side: 'inputs' | 'outputs', what: 'parameters' | 'artifacts'): Declarations {
  let known = declarations.get(template);
  if (known === undefined) {
    known = new Map();
    declarations.set(template, known);
  }
  const id = `${side}.${what}`;
  let found = known.get(id);
  if (found === undefined) {
    const holder = template[side];
    const list = isObject(holder) ? holder[what] : undefined;
    const declared = Array.isArray(list) ? list.filter(isObject) : [];
    found = new Map(declared.map((declaration) => [plainText(declaration.name), declaration]));
    known.set(id, found);
  }
  return found;
}

/** A declared input or output, of the template itself or of its defaults. */
export function findDeclared(
  subject: Subject,
  side: 'inputs' | 'outputs',
  what: 'parameters' | 'artifacts',
  name: string,
): Unknowns | undefined {
  return subject.holders.map((holder) => declaredBy(holder, side, what).get(name)).find((found) => found !== undefined);
}

/** The names of the template's own input parameters. */
export function inputParameterNames(subject: Subject): readonly string[] {
  return [...declaredBy(subject.own, 'inputs', 'parameters').keys()];
}

function hasDeclared(subject: Subject, side: 'inputs' | 'outputs'): boolean {
  return subject.holders.some((holder) => {
    return declaredBy(holder, side, 'parameters').size > 0 || declaredBy(holder, side, 'artifacts').size > 0;
  });
}

/** Whether the template declares outputs (Outputs.HasOutputs, as far as a template shows it). */
export function hasDeclaredOutputs(subject: Subject): boolean {
  return hasDeclared(subject, 'outputs');
}

export function hasInputs(subject: Subject): boolean {
  return hasDeclared(subject, 'inputs');
}
