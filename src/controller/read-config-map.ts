import { type KubeApi, type KubeObject, type KubeResult, RESOURCES } from '../kube/types.ts';

/** A ConfigMap as it is now. */
export type ReadConfigMap = (namespace: string, name: string) => Promise<KubeResult<KubeObject>>;

/**
 * Reads that are asked for while one of the same ConfigMap waits to be sent share it: a hundred hits of one cache, which
 * may have a megabyte, are a handful of reads. One that was sent already is not shared, for it may be older than the question.
 */
export function createConfigMapReader(kube: Pick<KubeApi, 'get'>): ReadConfigMap {
  interface Line {
    readonly current: Promise<unknown>;
    next: Promise<KubeResult<KubeObject>> | undefined;
  }
  const lines = new Map<string, Line>();

  function send(id: string, namespace: string, name: string): Promise<KubeResult<KubeObject>> {
    const answer = kube.get({ resource: RESOURCES.configMaps, namespace, name });
    const line: Line = { current: answer.catch(() => undefined), next: undefined };
    lines.set(id, line);
    void line.current.then(() => {
      // With a next one planned, that one takes the line over.
      if (lines.get(id) === line && line.next === undefined) lines.delete(id);
    });
    return answer;
  }

  return (namespace, name) => {
    const id = `${namespace}/${name}`;
    const line = lines.get(id);
    if (line === undefined) return send(id, namespace, name);
    line.next ??= line.current.then(() => send(id, namespace, name));
    return line.next;
  };
}
