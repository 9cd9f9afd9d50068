import { performance } from 'node:perf_hooks';
import { WORKFLOW_LABEL } from '../../src/argo/names.ts';
import { DECISION_ANNOTATION } from '../../src/base/names.ts';
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
    await watch.#open(kube, { resource: RESOURCES.pods, namespace }, (pod, type) =>
      watch.#see(pod, type, performance.now()),
    );
    await watch.#open(kube, { resource: RESOURCES.workflowTaskResults, namespace }, (result) => {
      const pod = watch.#byWorkflow.get(workflowOf(result) ?? '');
      if (pod) pod.resultMs ??= performance.now();
    });
    return watch;
  }

  async #open(
    kube: KubeWatchApi,
    scope: ListScope,
    onObject: (object: KubeObject, type: string) => void,
  ): Promise<void> {
    const page = await kube.listPage(scope, { limit: 1 });
    if (!page.ok) throw new Error(`${scope.resource.resource} cannot be listed: ${page.message}`);
    const options = {
      resourceVersion: page.value.resourceVersion,
      timeoutSeconds: 3_600,
      idleLimitMs: 600_000,
      signal: this.#ending.signal,
    };
    this.#ends.push(kube.watch(scope, options, ({ object, type }) => onObject(object, type)));
  }

  get pods(): readonly SeenPod[] {
    return [...this.#byWorkflow.values()];
  }

  /** The only pod of the workflow, once it has Succeeded; anything else makes the figures worthless. */
  async untilSucceeded(workflow: string, deadlineMs = 120_000): Promise<SeenPod> {
    const known = this.#byWorkflow.get(workflow);
    const pod = known?.endedMs === undefined ? await this.#untilEnded(workflow, deadlineMs) : known;
    if (pod.phase !== 'Succeeded') throw new Error(`pod ${pod.name} was deleted or has not Succeeded: ${pod.phase}`);
    return pod;
  }

  #untilEnded(workflow: string, deadlineMs: number): Promise<SeenPod> {
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

  #see(object: KubeObject, type: string, nowMs: number): void {
    const workflow = workflowOf(object);
    if (workflow === undefined) return;
    const pod = this.#byWorkflow.get(workflow) ?? firstSeen(object, nowMs);
    this.#byWorkflow.set(workflow, pod);
    const status = (object.status ?? {}) as {
      phase?: string;
      containerStatuses?: { name: string; containerID?: string }[];
    };
    pod.phase = status.phase ?? '';
    for (const { name: container, containerID } of status.containerStatuses ?? []) {
      if (containerID !== undefined) pod.containerIds.set(container, containerID.replace(/^.*:\/\//, ''));
    }
    const hasEnded = type === 'DELETED' || ['Succeeded', 'Failed'].includes(pod.phase);
    if (pod.endedMs !== undefined || !hasEnded) return;
    pod.endedMs = nowMs;
    this.#waiting.get(workflow)?.(pod);
    this.#waiting.delete(workflow);
  }
}

function workflowOf({ metadata }: KubeObject): string | undefined {
  return metadata?.labels?.[WORKFLOW_LABEL];
}

function firstSeen({ metadata = {} }: KubeObject, nowMs: number): SeenPod {
  const { annotations = {}, namespace = '', name = '', uid = '' } = metadata;
  return {
    namespace,
    name,
    uid,
    decision: annotations[DECISION_ANNOTATION] ?? 'none',
    addedMs: nowMs,
    resultMs: undefined,
    endedMs: undefined,
    phase: '',
    containerIds: new Map(),
  };
}
