import { isObject } from '../base/json.ts';
import { capital, quote } from '../base/text.ts';
import { type Breach, NOTHING } from './breach.ts';
import { type Field, placeBelow, type Subject } from './subject.ts';

/** Whether `memoize` is something that could hold fields at all. */
export function judgeShape(subject: Subject, spot: Field): readonly Breach[] {
  if (spot.value === undefined || isObject(spot.value)) return NOTHING;
  const message = `${capital(quote(spot.value))} stands where Argo reads an object, so it cannot read the workflow at all.`;
  const fix = 'Write memoize as an object with key, maxAge and cache.configMap.name.';
  return [{ rule: 'memoize-malformed', spot, message, fix, detail: subject.where }];
}

/** The members that Argo reads (workflow_types.go: Memoize, Cache; a ConfigMapKeySelector up to 3.7). */
const MEMBERS: readonly (readonly [path: readonly string[], known: readonly string[]])[] = [
  [[], ['key', 'maxAge', 'cache']],
  [['cache'], ['configMap']],
  [
    ['cache', 'configMap'],
    ['name', 'key', 'optional'],
  ],
];

export function judgeMembers({ own }: Subject): readonly Breach[] {
  return MEMBERS.flatMap(([path, known]) => {
    let holder: unknown = own.template.memoize;
    for (const part of path) holder = isObject(holder) ? holder[part] : undefined;
    if (!isObject(holder)) return NOTHING;
    const strange = Object.keys(holder).filter((name) => !known.includes(name));
    return strange.map((name): Breach => {
      const meant = known.find((one) => one.toLowerCase() === name.toLowerCase().replace(/[-_]/g, ''));
      return {
        rule: 'member-unknown',
        spot: { place: placeBelow(own.place, 'memoize', ...path, name), via: own.via },
        message: `Argo knows no member ${quote(name)} here, and drops it.`,
        fix: meant === undefined ? `Use ${known.join(', ')}.` : `Write it ${quote(meant)}.`,
        detail: name,
      };
    });
  });
}

const BODIES = ['container', 'script', 'containerSet', 'resource', 'data', 'http', 'suspend'] as const;

/** `memoize` within a template, but not as a member of it. */
export function judgeMisplaced({ own }: Subject): readonly Breach[] {
  const { steps, dag } = own.template;
  const groups = Array.isArray(steps) ? steps : [];
  const tasks = isObject(dag) && Array.isArray(dag.tasks) ? dag.tasks : [];
  const candidates: (readonly [holder: unknown, parts: readonly (string | number)[]])[] = [
    ...BODIES.map((body) => [own.template[body], [body]] as const),
    ...groups.flatMap((group: unknown, at) => {
      return Array.isArray(group) ? group.map((step: unknown, index) => [step, ['steps', at, index]] as const) : [];
    }),
    ...tasks.map((task: unknown, index) => [task, ['dag', 'tasks', index]] as const),
  ];
  return candidates.flatMap(([holder, parts]) => {
    if (!isObject(holder) || !isObject(holder.memoize)) return NOTHING;
    const isCall = parts.length > 1;
    const found: Breach = {
      rule: 'memoize-misplaced',
      spot: { place: placeBelow(own.place, ...parts, 'memoize'), via: own.via },
      message: 'Argo reads no memoize here, so nothing is memoized by it.',
      fix: isCall ? 'Move it into the template that is called.' : 'Move it up into the template.',
    };
    return [found];
  });
}
