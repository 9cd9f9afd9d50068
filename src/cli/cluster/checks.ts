/** What `stepmemo doctor` looks at, in the order in which it says so: the server, what surrounds it, Argo, the namespaces. */
import { controllerConfigMap, controllerEnv, describeDefaults } from '../../argo/controller-facts.ts';
import { controllerContainers, formatVersion, isOlderThan, versionOfControllers } from '../../argo/versions.ts';
import { walkWorkflow } from '../../argo/workflow-walk.ts';
import { parseGoDuration } from '../../base/duration.ts';
import { asObject, type JsonObject, ownString } from '../../base/json.ts';
import { CACHE_ANNOTATION, ENABLED_LABEL, KEY_ANNOTATION, POLICY_NAMES } from '../../base/names.ts';
import { CACHE_SELECTOR, readCacheLabel } from '../../cache/cache-label.ts';
import { controllersInPolicy, POD_CREATION_POLICY } from '../../informers/admission-policies.ts';
import { enforcedPolicy, readNamespace } from '../../informers/read-objects.ts';
import {
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type KubeResult,
  RESOURCES,
  type ResourcePath,
} from '../../kube/types.ts';
import { parseCertificates } from '../../tls/authority.ts';
import { LOOK_AHEAD_ROUTE } from '../../tls/look-ahead-path.ts';
import { LOOK_AHEAD_WEBHOOK } from '../../tls/webhook-bundles.ts';
import { moveMemoize } from '../../workflow/move-memoize.ts';
import { listGatedPods } from './gated-pods.ts';
import { describeFailure, holderOf } from './kube-command.ts';
import { listTemplates } from './stored-objects.ts';

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

const ok = (check: string, detail: string): Finding => ({ check, state: 'ok', detail });
const problem = (check: string, detail: string, fix: string): Finding => ({ check, state: 'problem', detail, fix });

/** What may not be read is no problem of the installation. */
function unchecked(check: string, failure: KubeFailure): Finding {
  const detail = failure.status === 403 ? `missing right: ${failure.message}` : describeFailure('no answer', failure);
  return { check, state: 'not checked', detail };
}

// ---- the server

const checkServer: Check = async ({ kube, ownNamespace }) => {
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

const checkLease: Check = async ({ kube, ownNamespace, now }) => {
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

// ---- webhooks

interface Webhook {
  readonly name: string;
  readonly clientConfig?: {
    readonly caBundle?: string;
    readonly service?: { readonly name?: string; readonly path?: string };
  };
}

const checkWebhooks: Check = async ({ kube, now }) => {
  const findings: Finding[] = [];
  for (const resource of [RESOURCES.mutatingWebhookConfigurations, RESOURCES.validatingWebhookConfigurations]) {
    const found = await kube.get({ resource, name: 'stepmemo' });
    const check = resource.resource.replace('configurations', 's');
    if (!found.ok && found.status === 404)
      findings.push(problem(check, `there is no ${resource.resource} stepmemo`, 'Apply the manifests whole.'));
    else if (!found.ok) findings.push(unchecked(check, found));
    else findings.push(...judgeWebhooks(check, (found.value.webhooks ?? []) as readonly Webhook[], now));
  }
  return findings;
};

function judgeWebhooks(check: string, webhooks: readonly Webhook[], now: Date): readonly Finding[] {
  const broken = webhooks.flatMap((webhook) => {
    const fault = faultOfBundle(webhook, now);
    return fault === undefined ? [] : [`${webhook.name}: ${fault}`];
  });
  if (broken.length > 0)
    return [
      problem(
        check,
        broken.join('; '),
        'The server writes caBundle itself: look at its log, and whether it may patch these.',
      ),
    ];
  const ahead = webhooks.find(({ name }) => name === LOOK_AHEAD_WEBHOOK);
  const isAhead = ahead === undefined || (ahead.clientConfig?.service?.path ?? '').startsWith(`${LOOK_AHEAD_ROUTE}/`);
  const findings = [ok(check, `${webhooks.length} webhooks, each with a certificate authority that has not expired`)];
  if (isAhead) return findings;
  return [
    ...findings,
    problem('look-ahead', 'its webhook has no path yet', 'The server writes the path: look at its log.'),
  ];
}

function faultOfBundle({ clientConfig }: Webhook, now: Date): string | undefined {
  const pem = Buffer.from(clientConfig?.caBundle ?? '', 'base64').toString();
  if (pem === '') return 'it has no caBundle, so the API server cannot call it';
  const certificates = parseCertificates(pem);
  if (certificates.length === 0) return 'its caBundle holds no certificate';
  return certificates.some(({ validToDate }) => validToDate > now) ? undefined : 'its caBundle has expired';
}

/** The API server is asked to create a Workflow, as a dry run: what comes back shows whether it called us. */
const checkCalls: Check = async ({ kube, enabled }) => {
  if (!enabled.ok) return [unchecked('webhook is called', enabled)];
  const managed = enabled.value.find((object) => readNamespace(object).settings.memoize === 'managed');
  const namespace = managed?.metadata?.name;
  if (namespace === undefined) return [];
  const made = await kube.create({ resource: RESOURCES.workflows, namespace }, PROBE, true);
  if (!made.ok) return [unchecked('webhook is called', made)];
  if (JSON.stringify(made.value.spec).includes(KEY_ANNOTATION))
    return [ok('webhook is called', `a Workflow of namespace ${namespace} came back with its memoize moved (dry run)`)];
  const fix =
    'Let the control plane reach port 8443 of the pods (NetworkPolicy, firewall), and look at the log of the server.';
  return [problem('webhook is called', `a Workflow of namespace ${namespace} came back as it was (dry run)`, fix)];
};

const PROBE: KubeObject = {
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'Workflow',
  metadata: { generateName: 'stepmemo-doctor-' },
  spec: {
    entrypoint: 'probe',
    templates: [
      {
        name: 'probe',
        memoize: { key: 'probe', maxAge: '1s', cache: { configMap: { name: 'stepmemo-doctor' } } },
        container: { image: 'none' },
        outputs: { parameters: [{ name: 'o', valueFrom: { path: '/o' } }] },
      },
    ],
  },
};

// ---- policies

const MEMOIZE_LEFT_POLICY = 'stepmemo-memoize-left';

const checkPolicies: Check = async ({ kube }) => {
  const policies = await kube.list({ resource: RESOURCES.admissionPolicies });
  if (!policies.ok) return [unchecked('admission policies', policies)];
  const bindings = await kube.list({ resource: RESOURCES.admissionPolicyBindings });
  if (!bindings.ok) return [unchecked('admission policies', bindings)];
  const there = new Set(policies.value.map(({ metadata }) => metadata?.name));
  const enforced = new Set(bindings.value.map(enforcedPolicy));
  const missing = POLICY_NAMES.filter((name) => !there.has(name) || !enforced.has(name));
  const floor = there.has(MEMOIZE_LEFT_POLICY)
    ? ok('outage', 'the API server warns of a Workflow whose memoize nobody moved')
    : problem(
        'outage',
        `the policy ${MEMOIZE_LEFT_POLICY} is missing`,
        'Apply the manifests whole; better, run stepmemo migrate on your manifests.',
      );
  if (missing.length > 0)
    return [
      problem(
        'admission policies',
        `missing or not enforced: ${missing.join(', ')}`,
        'Apply the manifests whole: nothing is served without them.',
      ),
      floor,
    ];
  return [ok('admission policies', `all ${POLICY_NAMES.length} are enforced`), floor];
};

// ---- rights

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

const checkRights: Check = async ({ kube, ownNamespace }) => {
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

async function mayDo(
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

// ---- Argo

interface ArgoController {
  readonly namespace: string;
  readonly account: string;
  readonly pod: JsonObject;
}

const checkArgo: Check = async (checkup) => {
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

// ---- namespaces

const checkNamespaces: Check = async ({ kube, now, enabled }) => {
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
  return [...findings, ...(await checkCaches(kube, name, templates.value, now))];
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

/** How long a pod may be held back: a leader that changes takes seconds. */
const STRANDED_MS = 120_000;

const checkGatedPods: Check = async ({ kube, now }) => {
  const pods = await listGatedPods(kube);
  if (!pods.ok) return [unchecked('held pods', pods)];
  const stranded = pods.value.filter(
    ({ metadata }) => now.getTime() - Date.parse(metadata?.creationTimestamp ?? '') > STRANDED_MS,
  );
  if (stranded.length === 0) return [ok('held pods', `${pods.value.length} are held back, none for long`)];
  const [first] = stranded;
  const detail = `${stranded.length} are held back for more than two minutes, ${first?.metadata?.namespace}/${first?.metadata?.name} among them`;
  return [problem('held pods', detail, 'Look at the server; if it is gone for good: stepmemo release -A --yes')];
};

export const CHECKS: readonly Check[] = [
  checkServer,
  checkLease,
  checkWebhooks,
  checkCalls,
  checkPolicies,
  checkRights,
  checkArgo,
  checkNamespaces,
  checkGatedPods,
];
