import { ENABLED_LABEL } from '../../../base/names.ts';
import { type KubeApi, type KubeFailure, type KubeObject, type KubeResult, RESOURCES } from '../../../kube/types.ts';
import { describeFailure } from '../kube-command.ts';

export interface Checkup {
  readonly kube: KubeApi;
  readonly ownNamespace: string;
  readonly now: Date;
  /** The namespaces that have opted in, as they were listed at the start. */
  readonly enabled: KubeResult<readonly KubeObject[]>;
}

export async function beginCheckup(kube: KubeApi, ownNamespace: string): Promise<Checkup> {
  const labelSelector = `${ENABLED_LABEL}=true`;
  const enabled = await kube.list({ resource: RESOURCES.namespaces }, { labelSelector });
  return { kube, ownNamespace, now: new Date(), enabled };
}

export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'problem' | 'not checked';
  readonly detail: string;
  /** What to do; of problems alone. */
  readonly fix?: string;
}

export type Check = (checkup: Checkup) => Promise<readonly Finding[]>;

export const ok = (check: string, detail: string): Finding => ({ check, state: 'ok', detail });
export const problem = (check: string, detail: string, fix: string): Finding => ({
  check,
  state: 'problem',
  detail,
  fix,
});

/** What may not be read is no problem of the installation. */
export function unchecked(check: string, failure: KubeFailure): Finding {
  const detail = failure.status === 403 ? `missing right: ${failure.message}` : describeFailure('no answer', failure);
  return { check, state: 'not checked', detail };
}
