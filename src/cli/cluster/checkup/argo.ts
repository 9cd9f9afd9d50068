import { controllerConfigMap, controllerEnv, describeDefaults } from '../../../argo/controller-facts.ts';
import { controllerContainers, formatVersion, isOlderThan, versionOfControllers } from '../../../argo/versions.ts';
import { parseGoDuration } from '../../../base/duration.ts';
import { asObject, type JsonObject } from '../../../base/json.ts';
import { controllersInPolicy, POD_CREATION_POLICY } from '../../../informers/admission-policies.ts';
import { readNamespace } from '../../../informers/read-objects.ts';
import { type KubeApi, type KubeObject, RESOURCES } from '../../../kube/types.ts';
import { type Check, type Checkup, type Finding, ok, problem, unchecked } from './finding.ts';
import { mayDo } from './rights.ts';

interface ArgoController {
  readonly namespace: string;
  readonly account: string;
  readonly pod: JsonObject;
}

export const checkArgo: Check = async (checkup) => {
  const { kube } = checkup;
  const deployments = await kube.list({ resource: RESOURCES.deployments });
  if (!deployments.ok) return [unchecked('workflow controller', deployments)];
  const controllers = deployments.value.flatMap(readController);
  if (controllers.length === 0)
    return [problem('workflow controller', 'no Deployment runs one', 'Install Argo Workflows.')];
  const policy = await kube.get({ resource: RESOURCES.admissionPolicies, name: POD_CREATION_POLICY });
  const accounts = policy.ok ? controllersInPolicy(policy.value) : undefined;
  const findings: Finding[] = [];
  for (const controller of controllers) findings.push(...(await judgeController(checkup, controller, accounts)));
  return findings;
};

function readController({ metadata, spec }: KubeObject): readonly ArgoController[] {
  const { template } = asObject(spec);
  const podSpec = asObject(asObject(template).spec);
  const pod = { spec: podSpec };
  if (controllerContainers([pod]).length === 0) return [];
  const { namespace = '' } = metadata ?? {};
  return [{ namespace, account: `system:serviceaccount:${namespace}:${podSpec.serviceAccountName ?? 'default'}`, pod }];
}

async function judgeController(
  checkup: Checkup,
  controller: ArgoController,
  accounts: readonly string[] | undefined,
): Promise<readonly Finding[]> {
  const { namespace, account, pod } = controller;
  const isKnown = accounts === undefined || accounts.includes(account);
  const known = isKnown
    ? ok('controller account', `${account} is one that stepmemo acts for`)
    : problem(
        'controller account',
        `a workflow controller runs as ${account}, whose pods stepmemo leaves alone`,
        'If it is yours, add it to STEPMEMO_CONTROLLER_ACCOUNTS in the settings and apply the manifests again.',
      );
  return [
    known,
    judgeVersion(pod),
    judgeRequeue(pod),
    ...judgeCacheGc(pod),
    ...(await judgeDefaults(checkup.kube, namespace, pod)),
    ...(await judgeNative(checkup, controller)),
  ];
}

function judgeVersion(pod: JsonObject): Finding {
  const reading = versionOfControllers([pod]);
  if (!reading.known)
    return problem('Argo version', reading.detail, 'Give the image a tag with its version, or set policy.argoVersion.');
  const version = formatVersion(reading.version);
  if (isOlderThan(reading.version, 3, 4, 0))
    return problem('Argo version', version, 'stepmemo supports Argo 3.4 and later.');
  if (!isOlderThan(reading.version, 4, 1, 0))
    return ok('Argo version', `${version}; look-ahead knows 3.4 to 4.0 and is off`);
  return ok('Argo version', version);
}

const REQUEUE = 'DEFAULT_REQUEUE_TIME';
const MOST_REQUEUE_MS = 2_000;

function judgeRequeue(pod: JsonObject): Finding {
  const value = controllerEnv([pod]).get(REQUEUE);
  const ms = parseGoDuration(value ?? '10s');
  if (ms !== undefined && ms <= MOST_REQUEUE_MS) return ok(REQUEUE, value ?? '');
  const detail = value === undefined ? 'not set: a hit that gets a pod takes ten seconds' : `it is ${value}`;
  return problem(REQUEUE, detail, `Set ${REQUEUE} of the workflow controller to 1s or 2s.`);
}

const CACHE_GC = 'CACHE_GC_PERIOD';

/**
 * Off as shipped. On, it deletes entries that Argo itself has not hit for a while, in every namespace that it manages, those of
 * stepmemo among them (controller/cache_gc.go).
 */
function judgeCacheGc(pod: JsonObject): readonly Finding[] {
  const value = controllerEnv([pod]).get(CACHE_GC) ?? '';
  if (value === '' || parseGoDuration(value) === 0) return [];
  const detail = `it is ${value}, so the workflow controller deletes entries that it has not hit itself`;
  return [problem(CACHE_GC, detail, `Unset ${CACHE_GC} of the workflow controller; stepmemo purge clears caches up.`)];
}

async function judgeDefaults(kube: KubeApi, namespace: string, pod: JsonObject): Promise<readonly Finding[]> {
  const name = controllerConfigMap([pod]) ?? '';
  const found = await kube.get({ resource: RESOURCES.configMaps, namespace, name });
  if (!found.ok) return found.status === 404 ? [] : [unchecked('workflowDefaults', found)];
  const obstacle = describeDefaults(found.value);
  if (obstacle === undefined)
    return [ok('workflowDefaults', 'nothing there keeps steps from being served at submission')];
  return [
    problem(
      'workflowDefaults',
      `${obstacle}: nothing is served at submission`,
      'Move it into the Workflows that need it.',
    ),
  ];
}

/** In native mode the controller writes its own cache. */
async function judgeNative(
  { kube, enabled }: Checkup,
  { account, namespace }: ArgoController,
): Promise<readonly Finding[]> {
  const native = enabled.ok
    ? enabled.value.filter((object) => readNamespace(object).settings.memoize === 'native')
    : [];
  if (native.length === 0) return [];
  for (const verb of ['create', 'update']) {
    const allowed = await mayDo(kube, account, RESOURCES.configMaps, verb, { namespace });
    if (typeof allowed !== 'boolean') return [unchecked('native mode', allowed)];
    if (!allowed)
      return [
        problem(
          'native mode',
          `${account} may not ${verb} ConfigMaps, so memoized steps of ${native.length} namespaces end in Error`,
          'Grant it, or use managed mode.',
        ),
      ];
  }
  return [ok('native mode', `${account} may write its caches`)];
}
