import {
  ALLOW_RESOURCE_ANNOTATION,
  CACHE_ANNOTATION,
  CAPTURE_ANNOTATION,
  COPIED_FROM_ANNOTATION,
  DECISION_ANNOTATIONS,
  KEY_ANNOTATION,
  MAX_AGE_ANNOTATION,
  MOVED_FROM_ANNOTATION,
  OWN_PREFIX,
  REUSE_ANNOTATION,
} from '../base/names.ts';
import { capital, quote } from '../base/text.ts';
import { RESTORE_ANNOTATIONS } from '../workflow/restore-hint.ts';
import { type Breach, NOTHING } from './breach.ts';
import { annotationHolder, annotationPlace, annotationsOf, type Subject } from './subject.ts';

const SETTINGS = [KEY_ANNOTATION, CACHE_ANNOTATION, MAX_AGE_ANNOTATION] as const;
const MARKS: readonly string[] = [MOVED_FROM_ANNOTATION, COPIED_FROM_ANNOTATION, ...RESTORE_ANNOTATIONS];
const DECISIONS: readonly string[] = DECISION_ANNOTATIONS;
const VALUES = new Map<string, readonly string[]>([
  [CAPTURE_ANNOTATION, ['sidecar', 'server', 'off']],
  [ALLOW_RESOURCE_ANNOTATION, ['true', 'false']],
  [REUSE_ANNOTATION, ['off', 'refresh']],
]);
const KNOWN: readonly string[] = [...SETTINGS, ...VALUES.keys()];

type Words = Pick<Breach, 'message' | 'fix'>;

/** Misspelt settings, memoized template or not: they do nothing and say nothing. */
export function judgeAnnotations({ own }: Subject): readonly Breach[] {
  const annotations = annotationsOf(own);
  const names = Object.keys(annotations).filter((name) => name.startsWith(OWN_PREFIX));
  return names.flatMap((name) => {
    const words = annotationProblem(name, annotations[name]);
    const spot = { place: annotationPlace(own, name), via: own.via };
    return words === undefined ? NOTHING : [{ rule: 'annotation-unknown', spot, ...words, detail: name } as const];
  });
}

function annotationProblem(name: string, value: unknown): Words | undefined {
  if (DECISIONS.includes(name)) {
    const message = 'stepmemo writes this annotation itself, and removes it from pods that bring it along.';
    return { message, fix: 'Remove it.' };
  }
  const values = VALUES.get(name);
  if (values !== undefined) return valueProblem(value, values);
  if (KNOWN.includes(name) || MARKS.includes(name)) return undefined;
  return { message: 'stepmemo knows no annotation of that name.', fix: `Use one of ${KNOWN.join(', ')}.` };
}

function valueProblem(value: unknown, values: readonly string[]): Words | undefined {
  if (typeof value === 'string' && (values.includes(value) || value.includes('{{'))) return undefined;
  const fix = `Write ${values.map((one) => `"${one}"`).join(' or ')}.`;
  return { message: `${capital(quote(value))} has no meaning here.`, fix };
}

/** A key on a template that makes no pod to carry it, and that has no `memoize` either. */
export function judgeUselessKey(subject: Subject): readonly Breach[] {
  if (subject.makesPod || subject.kind === 'unknown') return NOTHING;
  if (annotationHolder(subject, KEY_ANNOTATION) !== subject.own) return NOTHING;
  const spot = { place: annotationPlace(subject.own, KEY_ANNOTATION), via: subject.own.via };
  const message = `A template of kind ${subject.kind} makes no pod that could carry the annotation, so it does nothing.`;
  const fix = 'Put it on the container and script templates that make the pods.';
  return [{ rule: 'memoize-without-pod', spot, message, fix }];
}
