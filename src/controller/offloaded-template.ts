import { TEMPLATE_ENV, TEMPLATE_OFFLOADED } from '../argo/names.ts';
import { annotationOf } from '../argo/pod.ts';
import type { Step } from '../argo/step.ts';
import { parseTemplate } from '../argo/template.ts';
import { CACHE_ANNOTATION, KEY_ANNOTATION, MAX_AGE_ANNOTATION } from '../base/names.ts';
import { type KubeApi, type KubeFailure, type KubeObject, RESOURCES } from '../kube/types.ts';

/** What came of reading a template that is too large for the pod. */
export type TemplateLook =
  /** The pod as if its template stood in it. */
  | { readonly ok: true; readonly object: KubeObject }
  /** There is none that can be trusted to be this pod's. */
  | { readonly ok: false; readonly message: string; readonly failure?: undefined }
  /** The API server did not give it. */
  | { readonly ok: false; readonly message: string; readonly failure: KubeFailure };

/**
 * Reads an offloaded template: Argo puts it into a ConfigMap named like the pod, and takes one that is there already for
 * the right one (workflow/controller/workflowpod.go:createWorkflowPod), so it may be that of an earlier attempt. It has to
 * belong to the pod's Workflow, and say the same as the pod about what stepmemo goes by.
 */
export async function readOffloadedTemplate(kube: KubeApi, pod: KubeObject, step: Step): Promise<TemplateLook> {
  const { namespace, podName: name, workflowUid } = step;
  const answer = await kube.get({ resource: RESOURCES.configMaps, namespace, name });
  if (!answer.ok && answer.status === 404) return { ok: false, message: 'the ConfigMap of the template is not there' };
  if (!answer.ok) return { ok: false, message: answer.message, failure: answer };
  const isOwned = answer.value.metadata?.ownerReferences?.some(({ uid }) => uid === workflowUid) ?? false;
  if (!isOwned) return { ok: false, message: 'the ConfigMap of the template belongs to another Workflow' };
  const text = (answer.value.data as Record<string, unknown> | undefined)?.[TEMPLATE_ENV];
  if (typeof text !== 'string') return { ok: false, message: `the ConfigMap of the template lacks ${TEMPLATE_ENV}` };
  return checkTemplate(pod, text);
}

function checkTemplate(pod: KubeObject, text: string): TemplateLook {
  const reading = parseTemplate(text);
  if (reading.state !== 'inline') {
    return { ok: false, message: reading.state === 'unreadable' ? reading.detail : 'it is offloaded once more' };
  }
  const said = reading.template.metadata?.annotations ?? {};
  const differing = [KEY_ANNOTATION, CACHE_ANNOTATION, MAX_AGE_ANNOTATION].find(
    (name) => said[name] !== annotationOf(pod, name),
  );
  if (differing !== undefined) return { ok: false, message: `its ${differing} is not the pod's: it is out of date` };
  return { ok: true, object: inlineTemplate(pod, text) };
}

/** Pure: the pod with the text in place of the word `offloaded`, wherever that stands. */
export function inlineTemplate(object: KubeObject, text: string): KubeObject {
  const spec = object.spec as Record<string, unknown>;
  return {
    ...object,
    spec: {
      ...spec,
      containers: inlineInto(spec.containers, text),
      ...(spec.initContainers === undefined ? {} : { initContainers: inlineInto(spec.initContainers, text) }),
    },
  };
}

interface EnvHolder {
  readonly env?: readonly { readonly name?: unknown; readonly value?: unknown }[];
}

function inlineInto(containers: unknown, text: string): unknown {
  if (!Array.isArray(containers)) return containers;
  return containers.map((container: EnvHolder) => {
    if (!Array.isArray(container.env)) return container;
    const env = container.env.map((variable) =>
      variable.name === TEMPLATE_ENV && variable.value === TEMPLATE_OFFLOADED ? { ...variable, value: text } : variable,
    );
    return { ...container, env };
  });
}
