/** One template that is called: what it is, with which inputs, and what becomes of it. */
import { templateKind } from '../../argo/workflow-walk.ts';
import { isObject, type JsonObject } from '../../base/json.ts';
import { isMet } from '../conditions.ts';
import { checkCall, checkTemplate } from '../obstacles.ts';
import { checkInputs, type PresentNode } from '../present.ts';
import { referredBase, type TemplateBase, withDefaults } from '../references.ts';
import { inputValues, readInputs } from '../scopes.ts';
import { fillIn, Unforeseen } from '../values.ts';
import { followLeaf, serveLeaf } from './call-leaf.ts';
import { walkDag } from './dag.ts';
import type { Outcome, Place, Resolved } from './outcome.ts';
import type { WalkState } from './state.ts';
import { walkSteps } from './steps.ts';

export function callTemplate(state: WalkState, place: Place, makeCall: () => JsonObject): Outcome {
  const { nodeName } = place;
  return state.ended(nodeName) ?? state.attempt(nodeName, () => walkCall(state, place, makeCall()));
}

function walkCall(state: WalkState, place: Place, call: JsonObject): Outcome {
  state.countCall(place);
  const present = state.present.get(place.nodeName);
  const { when, ...rest } = call;
  // A node that is there has been decided about.
  if (present === undefined && !mayRun(place, when)) return addSkipped(state, place, String(when));
  checkCall(rest);
  const { template: stored, base } = resolve(state, call, place.base);
  const template = fillTemplate(state, place, stored, call);
  checkTemplate(template);
  if (present !== undefined) checkInputs(present, template);
  const kind = templateKind(template);
  switch (kind) {
    case 'container':
    case 'script':
    case 'containerSet':
      return present === undefined ? serveLeaf(state, place, template) : followLeaf(state, place, template, present);
    case 'steps':
      return walkSteps(state, place, template, { stored, base, present: running(present) });
    case 'dag':
      return walkDag(state, place, template, { stored, base, present: running(present) });
    default:
      throw new Unforeseen(`a template of kind ${kind} is left to its pod`);
  }
}

/** `argo resubmit --memoized` gives a workflow the boundaries of another one, Pending: the controller has still to go through them. */
function running(present: PresentNode | undefined): PresentNode | undefined {
  if (present !== undefined && present.phase !== 'Running')
    throw new Unforeseen(`${present.name} is ${present.phase}: it comes from another workflow`);
  return present;
}

/** Whether the condition of a call is met, where Argo will ask. */
function mayRun({ mayAdd }: Place, when: unknown): boolean {
  if (!mayAdd) throw new Unforeseen('Argo has not made it yet, though it might have');
  return isMet(when);
}

/** As Argo makes a step whose condition is not met (steps.go, dag.go). */
function addSkipped(state: WalkState, place: Place, when: string): Outcome {
  const id = state.addNode(place, { type: 'Skipped', phase: 'Skipped', message: `when '${when}' evaluated false` });
  return { is: 'served', id, outbound: [id], values: new Map(), isSkipped: true };
}

function resolve(state: WalkState, call: JsonObject, from: TemplateBase): Resolved {
  const { inline, templateRef } = call;
  // The controller fills in the stored one itself, and finds it filled in the next time (make look-ahead-oracle shows it).
  if (isObject(inline) && from.isStored) throw new Unforeseen('it has an inline template in a stored one');
  const base = isObject(templateRef) ? referredBase(templateRef, state.lookUpTemplate) : from;
  const name = isObject(templateRef) ? templateRef.template : call.template;
  const template = isObject(inline) ? inline : base.templates.get(String(name));
  if (template === undefined) throw new Unforeseen('the template that it calls is not there');
  return { template: withDefaults(template, state.spec.templateDefaults), base };
}

/** The template with its inputs and tags filled in: what is global first, then its inputs, as Argo does it. */
function fillTemplate({ globals }: WalkState, { nodeName }: Place, stored: JsonObject, call: JsonObject): JsonObject {
  const inputs = readInputs(stored, call, globals);
  const locals = new Map([...globals, ['node.name', nodeName]]);
  const first = fillIn({ ...stored, inputs }, locals) as JsonObject;
  return fillIn(first, new Map([...locals, ...inputValues(first.inputs)]));
}
