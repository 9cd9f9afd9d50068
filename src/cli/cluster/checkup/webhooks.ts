import { KEY_ANNOTATION } from '../../../base/names.ts';
import { readNamespace } from '../../../informers/read-objects.ts';
import { type KubeObject, RESOURCES } from '../../../kube/types.ts';
import { parseCertificates } from '../../../tls/authority.ts';
import { LOOK_AHEAD_ROUTE } from '../../../tls/look-ahead-path.ts';
import { LOOK_AHEAD_WEBHOOKS } from '../../../tls/webhook-bundles.ts';
import { type Check, type Finding, ok, problem, unchecked } from './finding.ts';

interface Webhook {
  readonly name: string;
  readonly clientConfig?: {
    readonly caBundle?: string;
    readonly service?: { readonly name?: string; readonly path?: string };
  };
}

export const checkWebhooks: Check = async ({ kube, now }) => {
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
  const isAhead = webhooks
    .filter(({ name = '' }) => LOOK_AHEAD_WEBHOOKS.includes(name))
    .every(({ clientConfig }) => (clientConfig?.service?.path ?? '').startsWith(`${LOOK_AHEAD_ROUTE}/`));
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
export const checkCalls: Check = async ({ kube, enabled }) => {
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
