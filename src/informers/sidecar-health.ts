/** Whether the capturing sidecar can be trusted to start, as far as this replica has seen. */
export interface SidecarHealth {
  /** True as long as none was seen not to start, and once in a while afterwards, for a try. Reading it changes nothing. */
  readonly isUsable: boolean;
  /** A sidecar did not start: until `retryMs` have passed, no pod gets one. */
  markBroken(at: Date): void;
  /** The sidecar of a pod that was created then did start. Was that after the last break, all pods get one again. */
  markWorking(createdAt: Date): void;
  /** A pod got one. In broken times it is the try, and the next one is `retryMs` away. */
  noteInjected(at: Date): void;
}

/** All times are of the wall clock: other replicas' pods are judged by their timestamps. */
export function createSidecarHealth(retryMs: number, now: () => Date): SidecarHealth {
  let brokenAtMs: number | undefined;
  /** The last break or try. */
  let triedAtMs = 0;
  return {
    get isUsable() {
      return brokenAtMs === undefined || now().getTime() - triedAtMs >= retryMs;
    },
    markBroken(at) {
      brokenAtMs = Math.max(brokenAtMs ?? 0, at.getTime());
      triedAtMs = Math.max(triedAtMs, at.getTime());
    },
    markWorking(createdAt) {
      if (brokenAtMs !== undefined && createdAt.getTime() > brokenAtMs) brokenAtMs = undefined;
    },
    noteInjected(at) {
      if (brokenAtMs !== undefined) triedAtMs = Math.max(triedAtMs, at.getTime());
    },
  };
}
