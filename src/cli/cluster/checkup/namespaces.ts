import { walkWorkflow } from '../../../argo/workflow-walk.ts';
import { asObject, type JsonObject, ownString } from '../../../base/json.ts';
import { CACHE_ANNOTATION, ENABLED_LABEL } from '../../../base/names.ts';
import { CACHE_SELECTOR, readCacheLabel } from '../../../cache/cache-label.ts';
import { readNamespace } from '../../../informers/read-objects.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../../../kube/types.ts';
import { moveMemoize } from '../../../workflow/move-memoize.ts';
import { listTemplates } from '../stored-objects.ts';
import { type Check, type Finding, ok, problem, unchecked } from './finding.ts';

export const checkNamespaces: Check = async ({ kube, now, enabled }) => {
  if (!enabled.ok) return [unchecked('namespaces', enabled)];
  if (enabled.value.length === 0)
    return [problem('namespaces', 'none has opted in', `kubectl label namespace NAME ${ENABLED_LABEL}=true`)];
  const findings: Finding[] = [ok('namespaces', `${enabled.value.length} have opted in`)];
  for (const object of enabled.value) findings.push(...(await checkNamespace(kube, object, now)));
  return findings;
};

async function checkNamespace(kube: KubeApi, object: KubeObject, now: Date): Promise<readonly Finding[]> {
  const name = object.metadata?.name ?? '';
  const { settings, bad } = readNamespace(object);
  const check = `namespace ${name}`;
  const findings = bad.map(({ annotation, value, expected }) =>
    problem(check, `annotation ${annotation} is "${value}"`, `Write ${expected.join(' or ')}.`),
  );
  const templates = await listTemplates(kube, name);
  if (!templates.ok) return [...findings, unchecked(check, templates)];
  const left = templates.value.filter(
    (template) => settings.memoize === 'managed' && moveMemoize(template as JsonObject).moved.length > 0,
  );
  if (left.length > 0)
    findings.push(
      problem(
        check,
        `${left.length} stored templates still have memoize`,
        `stepmemo migrate --cluster -n ${name} --yes`,
      ),
    );
  return [
    ...findings,
    ...judgeLifetimes(check, templates.value),
    ...(await checkCaches(kube, name, templates.value, now)),
  ];
}

/** Less than that, and the Workflow may be gone before it can be read whether its last step ran to its end. */
const SHORTEST_LIFE_SECONDS = 30;

function judgeLifetimes(check: string, templates: readonly KubeObject[]): readonly Finding[] {
  const short = templates.filter((template) => {
    const walked = walkWorkflow(template as JsonObject);
    const strategy = walked.ok ? asObject(walked.walk.spec.ttlStrategy) : {};
    const seconds = [strategy.secondsAfterCompletion, strategy.secondsAfterSuccess];
    return seconds.some((value) => typeof value === 'number' && value < SHORTEST_LIFE_SECONDS);
  });
  if (short.length === 0) return [];
  const names = short.map(({ metadata }) => metadata?.name).join(', ');
  const detail = `Workflows of ${names} are deleted within ${SHORTEST_LIFE_SECONDS} s, so their last steps may leave no entry`;
  return [problem(check, detail, `Let ttlStrategy keep them for ${SHORTEST_LIFE_SECONDS} s or more.`)];
}

/** Caches that stored templates name, and that are there without the label. */
async function checkCaches(
  kube: KubeApi,
  namespace: string,
  templates: readonly KubeObject[],
  now: Date,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const name of new Set(templates.flatMap((template) => cachesNamedIn(template as JsonObject)))) {
    const found = await kube.get({ resource: RESOURCES.configMaps, namespace, name });
    if (!found.ok || readCacheLabel(found.value, now) !== 'unlabeled') continue;
    const fix = `kubectl label configmap ${name} -n ${namespace} ${CACHE_SELECTOR}, or name another cache.`;
    findings.push(problem(`namespace ${namespace}`, `ConfigMap ${name} is named as a cache and lacks the label`, fix));
  }
  return findings;
}

function cachesNamedIn(object: JsonObject): readonly string[] {
  const walked = walkWorkflow(object);
  if (!walked.ok) return [];
  return walked.walk.templates.flatMap(({ template }) => {
    const { annotations } = asObject(template.metadata);
    const field = asObject(asObject(asObject(template.memoize).cache).configMap).name;
    const name = ownString(annotations, CACHE_ANNOTATION) ?? field;
    return typeof name === 'string' && name !== '' && !name.includes('{{') ? [name] : [];
  });
}
