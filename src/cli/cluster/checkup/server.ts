import { asObject } from '../../../base/json.ts';
import { RESOURCES } from '../../../kube/types.ts';
import { holderOf } from '../kube-command.ts';
import { type Check, ok, problem, unchecked } from './finding.ts';

export const checkServer: Check = async ({ kube, ownNamespace }) => {
  const found = await kube.get({ resource: RESOURCES.deployments, namespace: ownNamespace, name: 'stepmemo' });
  if (!found.ok && found.status === 404)
    return [
      problem('server', `there is no Deployment ${ownNamespace}/stepmemo`, 'Install stepmemo, or say --own-namespace.'),
    ];
  if (!found.ok) return [unchecked('server', found)];
  const { replicas = 1 } = asObject(found.value.spec);
  const { readyReplicas = 0 } = asObject(found.value.status);
  const detail = `${readyReplicas} of ${replicas} replicas are ready`;
  if (Number(readyReplicas) >= Number(replicas) && Number(replicas) > 0) return [ok('server', detail)];
  return [
    problem('server', detail, `Read kubectl logs -n ${ownNamespace} deployment/stepmemo, and /readyz of the pods.`),
  ];
};

export const checkLease: Check = async ({ kube, ownNamespace, now }) => {
  const found = await kube.get({ resource: RESOURCES.leases, namespace: ownNamespace, name: 'stepmemo' });
  if (!found.ok && found.status !== 404) return [unchecked('leader', found)];
  const holder = found.ok ? holderOf(found.value, now) : undefined;
  if (holder !== undefined) return [ok('leader', `${holder} ends the pods of hits`)];
  const { renewTime } = asObject(found.ok ? found.value.spec : {});
  const since = typeof renewTime === 'string' ? `since ${renewTime}` : 'and never did';
  return [
    problem('leader', `no replica ends the pods of hits ${since}`, 'Look at the server; hits wait until one does.'),
  ];
};
