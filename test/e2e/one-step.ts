import type { KubeObject } from '../../src/kube/types.ts';

/** Gives another value with each run. */
export const UUID_SCRIPT = 'cat /proc/sys/kernel/random/uuid > /tmp/out';

interface OneStep {
  readonly cache?: string;
  /** What the step runs in a shell; it leaves its output in /tmp/out. */
  readonly script?: string;
  /** Further members of the template, of the spec, and labels of the Workflow. */
  readonly template?: object;
  readonly spec?: object;
  readonly labels?: object;
}

/** A Workflow of one step that annotations memoize: it needs no mutation, so it is the same with stepmemo and without. */
export function oneStep(
  key: string,
  { cache = 'cache', script = UUID_SCRIPT, template = {}, spec = {}, labels = {} }: OneStep = {},
): KubeObject {
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: `${key}-`, labels: { ...labels } },
    spec: {
      entrypoint: 'work',
      ...spec,
      templates: [
        {
          name: 'work',
          metadata: { annotations: { 'stepmemo.io/key': key, 'stepmemo.io/cache': cache } },
          container: { image: 'busybox:local', command: ['sh', '-c'], args: [script] },
          outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
          ...template,
        },
      ],
    },
  };
}
