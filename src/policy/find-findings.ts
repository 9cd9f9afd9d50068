import { parametersOf, workflowValues } from '../argo/scopes.ts';
import { type Place, type WalkedTemplate, type WorkflowWalk, walkWorkflow } from '../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../base/json.ts';
import { plainText, quote } from '../base/text.ts';
import { asWritten } from '../workflow/as-written.ts';
import { hasOptedIn } from '../workflow/labels.ts';
import { type Collector, createCollector } from './collector.ts';
import type { PolicyContext } from './context.ts';
import type { Finding } from './finding.ts';
import { type Reference, readReferences, referencesOfStep } from './references.ts';
import { type Call, callId, readArguments, type WorkflowScope } from './scope.ts';
import { type Holder, readSubject, type Subject, subjectName } from './subject.ts';
import { judgeTemplate } from './template-rules.ts';

/**
 * Everything that the policy finds in a Workflow, WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow, in the
 * order of the document. Templates that it names in other objects are judged as far as `context` has them, by the rules
 * that deny. Total: whatever the object is, it ends with findings or without.
 */
export function findFindings(object: JsonObject, context: PolicyContext): readonly Finding[] {
  const walked = walkWorkflow(object);
  if (!walked.ok) return [];
  const collector = createCollector(context);
  new Judge(context, collector).judge(object, walked.walk);
  return collector.findings();
}

/** More templates behind references than any workflow runs; ends what would take too long. */
const REACH_LIMIT = 10_000;

/** All templates of one object, without defaults. */
interface Library {
  readonly walk: WorkflowWalk;
  readonly subjects: readonly Subject[];
  /** By name, each with the inline templates it contains. */
  readonly byName: ReadonlyMap<string, readonly Subject[]>;
  readonly defaults: readonly Holder[];
}

class Judge {
  readonly #context: PolicyContext;
  readonly #collector: Collector;
  /** Objects behind references, by kind and name. */
  readonly #opened = new Map<string, Library | undefined>();

  constructor(context: PolicyContext, collector: Collector) {
    this.#context = context;
    this.#collector = collector;
  }

  judge(object: JsonObject, walk: WorkflowWalk): void {
    const staysWithArgo = this.#context.mode === 'native' || isForeign(object);
    const own = readLibrary(walk, undefined, staysWithArgo);
    const [reference] = readReferences(walk, 'workflowTemplateRef');
    const base = reference === undefined ? undefined : this.#open(reference);
    // A Workflow's own defaults go over those of its workflowTemplateRef (JoinWorkflowSpec), and into all templates.
    const defaults = [...own.defaults, ...(base?.defaults ?? [])];
    const subjects = own.subjects.map((subject) => withDefaults(subject, defaults));
    const baseSubjects = (base?.subjects ?? []).map((subject) => withDefaults(subject, defaults));
    const first = [
      ...readReferences(walk, 'templateRef'),
      ...(base === undefined ? [] : readReferences(base.walk, 'templateRef', reference?.place)),
    ];
    const reached = this.#followReferences(first, defaults);
    const calling = [...subjects, ...baseSubjects, ...reached.map(({ subject }) => subject)];
    const scope = this.#readScope(object, walk, base, calling);
    for (const subject of subjects) this.#judgeSubject(subject, scope);
    for (const subject of baseSubjects) this.#judgeSubject(subject, scope, reference?.place);
    for (const { subject, place } of reached) this.#judgeSubject(subject, scope, place);
  }

  #judgeSubject(subject: Subject, scope: WorkflowScope, reference?: Place): void {
    const name = subjectName(subject);
    for (const found of judgeTemplate({ subject, scope, context: this.#context })) {
      this.#collector.add(found, name, reference);
    }
  }

  #readScope(
    object: JsonObject,
    walk: WorkflowWalk,
    base: Library | undefined,
    subjects: readonly Subject[],
  ): WorkflowScope {
    const { kind, metadata } = object;
    const specs = base === undefined ? [walk.spec] : [walk.spec, base.walk.spec];
    const given = readArguments(specs);
    // A Workflow without templates of its own runs those of the object that it refers to.
    const start = base === undefined ? undefined : subjects.find(({ own }) => own.via !== undefined)?.own.via;
    return {
      kind: plainText(kind),
      specs,
      arguments: given,
      globals: workflowValues({
        // What is stored, or starts workflows, has another name than these will have.
        name: kind === 'Workflow' && isObject(metadata) ? metadata.name : undefined,
        namespace: this.#context.namespace,
        entrypoint: specs.map((spec) => spec.entrypoint).find((name) => typeof name === 'string'),
        parameters: given.values(),
      }),
      isWhole: base !== undefined || !isObject(walk.spec.workflowTemplateRef),
      callers: readCallers(subjects, specs, [...given.values()], base === undefined ? undefined : start),
      followed: new Map(),
    };
  }

  /** Each template that is named in another object, and what it names in turn; each once. */
  #followReferences(
    first: readonly Reference[],
    defaults: readonly Holder[],
  ): readonly { readonly subject: Subject; readonly place: Place }[] {
    const reached: { subject: Subject; place: Place }[] = [];
    const waiting = [...first].reverse();
    const seen = new Set<string>();
    for (let next = waiting.pop(); next !== undefined && seen.size < REACH_LIMIT; next = waiting.pop()) {
      const id = JSON.stringify([next.kind, next.name, next.template]);
      if (seen.has(id)) continue;
      seen.add(id);
      for (const subject of this.#open(next)?.byName.get(next.template) ?? []) {
        reached.push({ subject: withDefaults(subject, defaults), place: next.place });
        waiting.push(...referencesBelow(subject, next));
      }
    }
    return reached;
  }

  /** The object behind a reference; undefined where it cannot be retrieved. */
  #open(reference: Reference): Library | undefined {
    const id = JSON.stringify([reference.kind, reference.name]);
    if (!this.#opened.has(id)) this.#opened.set(id, this.#read(reference));
    return this.#opened.get(id);
  }

  #read({ kind, name }: Reference): Library | undefined {
    const { mode, namespace, areTemplatesStored } = this.#context;
    // In a ClusterWorkflowTemplate it depends on who uses it.
    if (kind === 'WorkflowTemplate' && namespace === undefined) return undefined;
    const object = this.#context.lookUpTemplate(kind, kind === 'WorkflowTemplate' ? namespace : undefined, name);
    const walked = object === undefined ? undefined : walkWorkflow(object);
    if (object === undefined || walked?.ok !== true) return undefined;
    const staysWithArgo = mode === 'native' || areTemplatesStored || isForeign(object);
    return readLibrary(walked.walk, `${kind} ${quote(name)}`, staysWithArgo);
  }
}

/** A ClusterWorkflowTemplate is used from every namespace, so its memoize moves only where it opts in itself. */
function isForeign(object: JsonObject): boolean {
  return object.kind === 'ClusterWorkflowTemplate' && !hasOptedIn(object);
}

function readLibrary(walk: WorkflowWalk, via: string | undefined, staysWithArgo: boolean): Library {
  const subjects = walk.templates.map((walked) => {
    return readSubject(readHolder(walked, via, staysWithArgo), walked.where, []);
  });
  const defaults = subjects.filter(({ where }) => where === 'templateDefaults').map(({ own }) => own);
  return { walk, subjects, byName: indexByName(subjects), defaults };
}

function readHolder(walked: WalkedTemplate, via: string | undefined, staysWithArgo: boolean): Holder {
  const { template, isMoved } = asWritten(walked.template);
  return { place: { pointer: walked.pointer, path: walked.path }, via, template, isMoved, staysWithArgo };
}

function withDefaults(subject: Subject, defaults: readonly Holder[]): Subject {
  return defaults.length === 0 ? subject : readSubject(subject.own, subject.where, defaults);
}

function indexByName(subjects: readonly Subject[]): ReadonlyMap<string, readonly Subject[]> {
  const byName = new Map<string, Subject[]>();
  let current: Subject[] | undefined;
  for (const subject of subjects) {
    if (subject.where === 'templateDefaults') continue;
    if (subject.where === 'templates') {
      current = byName.get(subject.name) ?? [];
      byName.set(subject.name, current);
    }
    current?.push(subject);
  }
  return byName;
}

/** What a template of another object names: templates of that object, and of others. */
function referencesBelow({ own }: Subject, from: Reference): readonly Reference[] {
  return stepsOf(own.template).flatMap((step) => {
    const { template } = step;
    const inside = typeof template === 'string' ? [{ ...from, template }] : [];
    return [...inside, ...referencesOfStep(step, from.place)];
  });
}

/** Every call that the templates and the workflow around them make, wherever Argo takes arguments. */
function readCallers(
  subjects: readonly Subject[],
  specs: readonly JsonObject[],
  given: readonly JsonObject[],
  base: string | undefined,
): ReadonlyMap<string, readonly Call[]> {
  const ofWorkflow = specs.flatMap(workflowCalls).flatMap(({ holder, isWithWorkflowsArguments }) => {
    const own = parametersOf(holder.arguments);
    const isStart = isWithWorkflowsArguments && own.length === 0;
    const call = { caller: undefined, arguments: isStart ? given : own, isStart };
    return [...new Set([undefined, base])].map((via) => ({ id: calledBy(holder, via), call }));
  });
  const ofTemplates = subjects.flatMap((caller) => {
    return callsOf(caller).map(({ holder, inline }) => ({
      id: inline === undefined ? calledBy(holder, caller.own.via) : callId(caller.own.via, inline),
      call: { caller, arguments: parametersOf(holder.arguments), isStart: false },
    }));
  });
  const callers = new Map<string, Call[]>();
  for (const { id = '', call } of [...ofWorkflow, ...ofTemplates]) {
    const calls = callers.get(id);
    if (calls === undefined) callers.set(id, [call]);
    else calls.push(call);
  }
  return callers;
}

/** The template that a step, a task or a hook calls, of the same object or of another. */
function calledBy({ template, templateRef }: JsonObject, via: string | undefined): string | undefined {
  if (!isObject(templateRef)) return typeof template === 'string' ? callId(via, template) : undefined;
  const kind = templateRef.clusterScope === true ? 'ClusterWorkflowTemplate' : 'WorkflowTemplate';
  return callId(`${kind} ${quote(templateRef.name)}`, plainText(templateRef.template));
}

/** What a workflow calls itself: where it starts, how it ends, and its hooks (operator.go:operate, hooks.go). */
function workflowCalls(spec: JsonObject): readonly { holder: JsonObject; isWithWorkflowsArguments: boolean }[] {
  const hooks = isObject(spec.hooks) ? Object.entries(spec.hooks) : [];
  return [
    ...[spec.entrypoint, spec.onExit].map((template) => ({ holder: { template }, isWithWorkflowsArguments: true })),
    ...hooks.flatMap(([name, holder]) =>
      isObject(holder) ? [{ holder, isWithWorkflowsArguments: name === 'exit' }] : [],
    ),
  ];
}

/** The calls of one template: its steps and tasks, with what is inline in them, and their hooks. */
function callsOf({ own }: Subject): readonly { readonly holder: JsonObject; readonly inline?: string }[] {
  const { steps, dag } = own.template;
  const groups = Array.isArray(steps) ? steps : [];
  const tasks = isObject(dag) && Array.isArray(dag.tasks) ? dag.tasks : [];
  const placed = [
    ...groups.flatMap((group: unknown, at) => {
      return Array.isArray(group) ? group.map((step: unknown, index) => [step, `steps[${at}][${index}]`] as const) : [];
    }),
    ...tasks.map((task: unknown, index) => [task, `dag.tasks[${index}]`] as const),
  ];
  return placed.flatMap(([step, path]) => {
    if (!isObject(step)) return [];
    const hooks = isObject(step.hooks) ? Object.values(step.hooks).filter(isObject) : [];
    const end = typeof step.onExit === 'string' ? [{ holder: { template: step.onExit } }] : [];
    const called = isObject(step.inline)
      ? { holder: step, inline: `${own.place.path}.${path}.inline` }
      : { holder: step };
    return [called, ...hooks.map((holder) => ({ holder })), ...end];
  });
}

/** Steps and DAG tasks of one template. */
function stepsOf(template: JsonObject): readonly JsonObject[] {
  const { steps, dag } = template;
  const tasks = isObject(dag) && Array.isArray(dag.tasks) ? dag.tasks : [];
  return [...(Array.isArray(steps) ? steps.flat() : []), ...tasks].filter(isObject);
}
