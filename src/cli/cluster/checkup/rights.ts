import { asObject } from '../../../base/json.ts';
import { type KubeApi, type KubeFailure, RESOURCES, type ResourcePath } from '../../../kube/types.ts';
import { type Check, ok, problem, unchecked } from './finding.ts';

const OWN_RIGHTS: readonly (readonly [ResourcePath, verb: string, subresource?: string])[] = [
  [RESOURCES.configMaps, 'list'],
  [RESOURCES.configMaps, 'create'],
  [RESOURCES.configMaps, 'patch'],
  [RESOURCES.pods, 'list'],
  [RESOURCES.pods, 'patch'],
  [RESOURCES.pods, 'patch', 'status'],
  [RESOURCES.workflowTaskResults, 'create'],
  [RESOURCES.workflows, 'get'],
  [RESOURCES.namespaces, 'list'],
  [RESOURCES.events, 'create'],
  [RESOURCES.tokenReviews, 'create'],
];

export const checkRights: Check = async ({ kube, ownNamespace }) => {
  const user = `system:serviceaccount:${ownNamespace}:stepmemo`;
  const missing: string[] = [];
  for (const [resource, verb, subresource] of OWN_RIGHTS) {
    const allowed = await mayDo(kube, user, resource, verb, { subresource });
    if (typeof allowed !== 'boolean') return [unchecked('rights', allowed)];
    if (!allowed) missing.push(`${verb} ${resource.resource}${subresource === undefined ? '' : `/${subresource}`}`);
  }
  if (missing.length === 0) return [ok('rights', `${user} has what it needs`)];
  return [
    problem('rights', `${user} may not ${missing.join(', ')}`, 'Apply the manifests whole (manifests/base/rbac.yaml).'),
  ];
};

export async function mayDo(
  kube: KubeApi,
  user: string,
  { group, resource }: ResourcePath,
  verb: string,
  more: { readonly subresource?: string | undefined; readonly namespace?: string },
): Promise<boolean | KubeFailure> {
  const [, , namespace = ''] = user.split(':');
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
  const spec = { user, groups, resourceAttributes: { group, resource, verb, ...more } };
  const answer = await kube.create({ resource: RESOURCES.subjectAccessReviews }, { metadata: {}, spec });
  if (!answer.ok) return answer;
  return asObject(answer.value.status).allowed === true;
}
