/**
 * Walks a Workflow as Argo will, for as long as what happens is certain: which nodes will be made, with which inputs, and
 * for each leaf the entry that serves it, or why the walk ends there. Exact or not at all. It begins before the first node, or
 * goes on from the nodes that are there.
 */
import { asObject, isObject, type JsonObject } from '../../base/json.ts';
import type { WorkflowNode } from '../node.ts';
import { checkSpec } from '../obstacles.ts';
import { baseOf, joinSpec, type LookUpTemplate } from '../references.ts';
import { readGlobals } from '../scopes.ts';
import { Unforeseen } from '../values.ts';
import { callTemplate } from './call-template.ts';
import type { Leaf, Place } from './outcome.ts';
import { type WalkInput, WalkState } from './state.ts';

export interface Walked {
  /** Of all hits, and of what holds them; as Argo would have made them. */
  readonly nodes: readonly WorkflowNode[];
  /** Children of nodes that were there before, by their ids; where they get more. */
  readonly links: ReadonlyMap<string, readonly string[]>;
  /** Ids of nodes whose pods are about to end as hits: once they have, more may be foreseen. */
  readonly awaited: readonly string[];
  /** In the order of the walk; of those that were there already none. */
  readonly leaves: readonly Leaf[];
  /** Whether nothing is left to run. */
  readonly isWhole: boolean;
  /** The stored template objects that were walked, with their resourceVersions: they may change before Argo reads them. */
  readonly references: readonly string[];
}

export function walkAhead(input: WalkInput): Walked {
  const references = new Set<string>();
  const lookUpTemplate = noted(input.lookUpTemplate, references);
  let spec: JsonObject;
  try {
    spec = input.present?.storedSpec ?? joinSpec(input.spec, lookUpTemplate);
    checkSpec(spec);
  } catch (error) {
    if (!(error instanceof Unforeseen)) throw error;
    const leaf: Leaf = { nodeName: input.workflowName, outcome: 'unforeseen', message: error.message };
    return { nodes: [], links: new Map(), awaited: [], leaves: [leaf], isWhole: false, references: [] };
  }
  const globals = readGlobals({ ...input, spec });
  const state = new WalkState({ input, spec, globals, lookUpTemplate, callTemplate });
  const call = { template: spec.entrypoint, arguments: spec.arguments };
  const { is } = state.call(rootPlace(input, spec), () => call);
  return {
    nodes: state.nodes.all(),
    links: state.nodes.links(),
    awaited: state.awaited,
    leaves: state.leaves,
    isWhole: is === 'served',
    references: [...references],
  };
}

/** Notes what was looked up, at which version. */
function noted(lookUp: LookUpTemplate | undefined, references: Set<string>): LookUpTemplate {
  return (scope, name) => {
    const found = lookUp?.(scope, name);
    const version = asObject(found?.metadata).resourceVersion;
    if (version !== undefined) references.add(`${scope}/${name} at ${String(version)}`);
    return found;
  };
}

function rootPlace({ workflowName, spec: submitted, present }: WalkInput, spec: JsonObject): Place {
  const { entrypoint } = spec;
  return {
    nodeName: workflowName,
    boundaryName: undefined,
    readsResult: () => false,
    callName: workflowName,
    called: typeof entrypoint === 'string' ? { templateName: entrypoint } : {},
    // What a stored workflow is made of has no name of its own (workflow/util/merge.go:JoinWorkflowSpec).
    base: isObject(submitted.workflowTemplateRef)
      ? baseOf('local/', spec, true)
      : baseOf(`local/${workflowName}`, spec, false),
    mayAdd: present === undefined,
    depth: 0,
  };
}
