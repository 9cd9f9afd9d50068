/** On which nodes a pod may come to run, as far as the pod itself says: our image has to run on all of them. */
import { podSpec } from '../argo/pod.ts';
import { asObject, type JsonObject, objectsOf } from '../base/json.ts';
import { quote } from '../base/text.ts';
import type { KubeObject } from '../kube/types.ts';

/** What nodes are labelled with (k8s.io/api/core/v1/well_known_labels.go), and how it was spelled before Kubernetes 1.14. */
const OS_LABELS: readonly string[] = ['kubernetes.io/os', 'beta.kubernetes.io/os'];
const ARCH_LABELS: readonly string[] = ['kubernetes.io/arch', 'beta.kubernetes.io/arch'];

/**
 * Why an image of these platforms (`linux/amd64`) could not run where the pod may be put; undefined where nothing in the pod speaks
 * against it. A pod that says nothing may be put anywhere: then the nodes are taken to be such as the image was made for.
 */
export function findForeignPlatform(pod: KubeObject, platforms: readonly string[]): string | undefined {
  const known = platforms.map((platform) => platform.split('/'));
  const systems = new Set(known.map(([os]) => os));
  const architectures = new Set(known.map(([, arch]) => arch));
  const spec = podSpec(pod);
  const named = [...selectorsOf(spec.nodeSelector), ...affinityTerms(spec)];
  const os = asObject(spec.os).name;
  if (typeof os === 'string') named.push({ key: OS_LABELS[0] ?? '', operator: 'In', values: [os] });
  for (const requirement of named) {
    const ours = OS_LABELS.includes(requirement.key)
      ? systems
      : ARCH_LABELS.includes(requirement.key)
        ? architectures
        : undefined;
    const foreign = ours && foreignValue(requirement, ours);
    if (foreign !== undefined) return `the pod may run on nodes with ${requirement.key} ${foreign}`;
  }
  return undefined;
}

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** A value that nodes may have there and that is none of ours. */
function foreignValue({ operator, values }: Requirement, ours: ReadonlySet<string | undefined>): string | undefined {
  if (operator === 'In') {
    const foreign = values.find((value) => !ours.has(value));
    return foreign && quote(foreign);
  }
  const isNoneLeft = operator === 'NotIn' && [...ours].every((value) => values.includes(value ?? ''));
  return isNoneLeft ? `other than ${quote(values.join(', '))}` : undefined;
}

function selectorsOf(nodeSelector: unknown): Requirement[] {
  return Object.entries(asObject(nodeSelector)).map(([key, value]) => ({
    key,
    operator: 'In',
    values: [String(value)],
  }));
}

/** Any of the terms may be what puts it somewhere. */
function affinityTerms(spec: JsonObject): readonly Requirement[] {
  const { nodeAffinity } = asObject(spec.affinity);
  const required = asObject(asObject(nodeAffinity).requiredDuringSchedulingIgnoredDuringExecution);
  return objectsOf(required.nodeSelectorTerms).flatMap(({ matchExpressions }) =>
    objectsOf(matchExpressions).map(({ key, operator, values }) => ({
      key: String(key),
      operator: String(operator),
      values: Array.isArray(values) ? values.map(String) : [],
    })),
  );
}
