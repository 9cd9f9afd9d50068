import { asObject } from '../../base/json.ts';
import type { KubeApi, KubeFailure, KubeObject, KubeResult, ListScope, Selectors } from '../../kube/types.ts';
import type { CommandOutput } from '../output.ts';

/** What a command that works on a cluster is given. It acts with the rights of whoever runs it. */
export interface KubeCommandDeps {
  readonly kube: KubeApi;
  readonly out: CommandOutput;
  /** Waits between two looks; tests put something quicker in its place. */
  readonly sleep?: (ms: number) => Promise<void>;
}

/** Says what went wrong and returns the exit code. */
export function fail(out: CommandOutput, command: string, message: string, exitCode: number): number {
  out.printError(`stepmemo ${command}: ${message}`);
  return exitCode;
}

export function sleepOf(deps: Pick<KubeCommandDeps, 'sleep'>): (ms: number) => Promise<void> {
  return deps.sleep ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
}

/** A failed call in a sentence that names a way out where there is one. */
export function describeFailure(what: string, failure: KubeFailure): string {
  if (failure.status === 0) return `${what}: the API server cannot be reached (${failure.message}).`;
  if (failure.status === 401) return `${what}: the API server does not know you (401); check the kubeconfig.`;
  if (failure.status === 403) return `${what}: ${failure.message}. Run this with an account that may.`;
  return `${what}: ${failure.message} (${failure.status} ${failure.reason}).`;
}

/** The same of an object that was to be read: that it is not there is said in fewer words. */
export function describeUnread(what: string, failure: KubeFailure): string {
  return failure.status === 404 ? `${what} is not there.` : describeFailure(`${what} cannot be read`, failure);
}

/** Who holds a lease that is being renewed; undefined if there is none. */
export function holderOf({ spec }: KubeObject, now: Date): string | undefined {
  const { holderIdentity, renewTime, leaseDurationSeconds = 0 } = asObject(spec);
  const endMs = Date.parse(String(renewTime)) + Number(leaseDurationSeconds) * 1000;
  return typeof holderIdentity === 'string' && holderIdentity !== '' && endMs > now.getTime()
    ? holderIdentity
    : undefined;
}

/** A list; a kind that the API server does not have counts as an empty one. */
export async function listOrNone(
  kube: KubeApi,
  where: ListScope,
  selectors?: Selectors,
): Promise<KubeResult<readonly KubeObject[]>> {
  const result = await kube.list(where, selectors);
  return !result.ok && result.status === 404 ? { ok: true, value: [] } : result;
}

/** `Kind namespace/name`, or `Kind name`. */
export function nameObject(object: KubeObject): string {
  const { namespace, name = '' } = object.metadata ?? {};
  return `${object.kind ?? 'object'} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** Rows in columns of even width, as kubectl prints them. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}
