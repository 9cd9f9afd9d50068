import { performance } from 'node:perf_hooks';
import { WORKFLOW_LABEL } from '../../src/argo/names.ts';
import { DECISION_ANNOTATION } from '../../src/core/names.ts';
import { type KubeObject, type KubeWatchApi, type ListScope, RESOURCES } from '../../src/kube/types.ts';

/** What one watch saw of one pod. Times in milliseconds of this process's monotonic clock, as the events arrived. */
export interface SeenPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly decision: string;
  readonly addedMs: number;
  /** When a WorkflowTaskResult of its workflow appeared. */
  resultMs: number | undefined;
  /** Of the event that first said so. */
  endedMs: number | undefined;
  phase: string;
  /** Without the prefix `containerd://`, by container. */
  readonly containerIds: Map<string, string>;
}

/** Watches the step pods of one namespace, for workflows of one pod each. */
export class PodWatch {
  readonly #byWorkflow = new Map<string, SeenPod>();
  readonly #waiting = new Map<string, (pod: SeenPod) => void>();
  readonly #ending = new AbortController();
  readonly #ends: Promise<unknown>[] = [];

  static async start(kube: KubeWatchApi, namespace: string): Promise<PodWatch> {
    const watch = new PodWatch();
    await watch.#open(kube, { resource: RESOURCES.pods, namespace }, (pod) => watch.#see(pod, performance.now()));
    await watch.#open(kube, { resource: RESOURCES.workflowTaskResults, namespace }, (result) => {
      const pod = watch.#byWorkflow.get(workflowOf(result) ?? '');
      if (pod) pod.resultMs ??= performance.now();
    });
    return watch;
  }

  async #open(kube: KubeWatchApi, scope: ListScope, onObject: (object: KubeObject) => void): Promise<void> {
    const page = await kube.listPage(scope, { limit: 1 });
    if (!page.ok) throw new Error(`${scope.resource.resource} cannot be listed: ${page.message}`);
    const options = {
      resourceVersion: page.value.resourceVersion,
      timeoutSeconds: 3_600,
      idleLimitMs: 600_000,
      signal: this.#ending.signal,
    };
    this.#ends.push(kube.watch(scope, options, ({ object }) => onObject(object)));
  }

  get pods(): readonly SeenPod[] {
    return [...this.#byWorkflow.values()];
  }

  /** The only pod of the workflow, once it is Succeeded or Failed. */
  untilEnded(workflow: string, deadlineMs = 120_000): Promise<SeenPod> {
    const pod = this.#byWorkflow.get(workflow);
    if (pod?.endedMs !== undefined) return Promise.resolve(pod);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the pod of ${workflow} did not end`)), deadlineMs);
      this.#waiting.set(workflow, (ended) => {
        clearTimeout(timer);
        resolve(ended);
      });
    });
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#ends);
  }

  #see(object: KubeObject, nowMs: number): void {
    const { annotations = {}, namespace = '', name = '', uid = '' } = object.metadata ?? {};
    const workflow = workflowOf(object);
    if (workflow === undefined) return;
    const pod = this.#byWorkflow.get(workflow) ?? {
      namespace,
      name,
      uid,
      decision: annotations[DECISION_ANNOTATION] ?? 'none',
      addedMs: nowMs,
      resultMs: undefined,
      endedMs: undefined,
      phase: '',
      containerIds: new Map<string, string>(),
    };
    this.#byWorkflow.set(workflow, pod);
    const status = (object.status ?? {}) as {
      phase?: string;
      containerStatuses?: { name: string; containerID?: string }[];
    };
    pod.phase = status.phase ?? '';
    for (const { name: container, containerID } of status.containerStatuses ?? []) {
      if (containerID !== undefined) pod.containerIds.set(container, containerID.replace(/^.*:\/\//, ''));
    }
    if (pod.endedMs !== undefined || !['Succeeded', 'Failed'].includes(pod.phase)) return;
    pod.endedMs = nowMs;
    this.#waiting.get(workflow)?.(pod);
    this.#waiting.delete(workflow);
  }
}

function workflowOf({ metadata }: KubeObject): string | undefined {
  return metadata?.labels?.[WORKFLOW_LABEL];
}
