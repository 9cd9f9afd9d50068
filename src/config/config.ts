import { z } from 'zod';
import { policySettingsSchema } from '../policy/settings.ts';
import type { DecisionSettings } from '../step/known-cluster.ts';

/**
 * The whole configuration of the server, in one schema. Each field can come from a flag (`--log-level`), an environment
 * variable (`STEPMEMO_LOG_LEVEL`) or the mounted file (`logLevel`); flags beat the environment, which beats the file.
 * docs/config.md is made from this.
 */
export const configSchema = z.strictObject({
  logLevel: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
    .default('info')
    .describe('The least severe level that is logged.'),
  kubeconfig: z.string().optional().describe("Path of a kubeconfig. Without it the pod's own service account is used."),
  ownNamespace: z.string().min(1).default('stepmemo').describe('Namespace that stepmemo runs in.'),
  ownAccount: z
    .string()
    .min(1)
    .default('system:serviceaccount:stepmemo:stepmemo')
    .describe('The account that stepmemo acts as.'),
  serviceName: z.string().min(1).default('stepmemo').describe('Name of the Service in front of the webhooks.'),
  controllerAccounts: z
    .array(z.string().regex(/^system:serviceaccount:[^:]+:[^:]+$/, 'expected system:serviceaccount:NAMESPACE:NAME'))
    .min(1)
    .default(['system:serviceaccount:argo:argo'])
    .describe(
      'Accounts of the workflow controllers whose pods stepmemo acts on. The admission policies name them too.',
    ),
  controllerNamespace: z
    .string()
    .min(1)
    .default('argo')
    .describe('Namespace of the workflow controller, where Argo keeps its own caches.'),
  listenAddress: z.string().default('0.0.0.0').describe('Address that the ports are opened on.'),
  webhookPort: z.int().min(0).max(65535).default(8443).describe('TLS port of the webhooks.'),
  capturePort: z.int().min(0).max(65535).default(8444).describe('TLS port of the capture endpoint.'),
  metricsPort: z.int().min(0).max(65535).default(8080).describe('Plain port of /healthz, /readyz and /metrics.'),
  captureUrl: z
    .url({ protocol: /^https$/ })
    .default('https://stepmemo.stepmemo.svc:8444')
    .describe('Base URL under which step pods reach the capture endpoint.'),
  certSource: z
    .enum(['self', 'file'])
    .default('self')
    .describe(
      '`self`: stepmemo keeps a CA of its own in a Secret. `file`: tls.crt, tls.key and ca.crt in certDir, say from cert-manager.',
    ),
  certDir: z.string().default('/etc/stepmemo/tls').describe('Where the `file` source finds its files.'),
  caSecretName: z.string().default('stepmemo-ca').describe('Secret of the self-managed CA, in ownNamespace.'),
  caValidityHours: z.number().positive().default(8760).describe('Validity of the self-managed CA.'),
  leafValidityHours: z.number().positive().default(168).describe('Validity of the certificate of each replica.'),
  webhookConfigurationName: z
    .string()
    .default('stepmemo')
    .describe('Name of the Mutating- and ValidatingWebhookConfiguration whose caBundle stepmemo maintains.'),
  admissionDeadlineMs: z
    .int()
    .positive()
    .default(250)
    .describe('If an admission answer is not ready by then, it becomes "allowed" with a warning.'),
  bodyLimitBytes: z
    .int()
    .positive()
    .default(7 * 1024 * 1024)
    .describe('Largest AdmissionReview that is read.'),
  sidecarImage: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Image of the capturing sidecar. Defaults to the image of the server's own pod; set it if nodes pull from a mirror.",
    ),
  sidecarPlatforms: z
    .array(z.string().regex(/^[a-z0-9]+\/[a-z0-9]+$/, 'expected OS/ARCHITECTURE, say linux/amd64'))
    .min(1)
    .optional()
    .describe(
      'Platforms of its image: a step that may run on nodes of another one is captured without a sidecar. The image says its own; by default the one that the server runs on.',
    ),
  sidecarImagePullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'])
    .default('IfNotPresent')
    .describe('Its pull policy.'),
  sidecarCpuRequest: z.string().default('10m').describe('CPU request of the sidecar.'),
  sidecarMemoryRequest: z.string().default('64Mi').describe('Memory request of the sidecar.'),
  sidecarCpuLimit: z.string().default('500m').describe('CPU limit of the sidecar.'),
  sidecarMemoryLimit: z.string().default('128Mi').describe('Memory limit of the sidecar.'),
  sidecarRetryMinutes: z
    .number()
    .positive()
    .default(10)
    .describe('How long to wait before a miss tries a sidecar again, after one did not start.'),
  captureLimitBytes: z
    .int()
    .positive()
    .default(1024 * 1024)
    .describe('Largest set of outputs that is accepted for one step.'),
  captureNamespaceLimitBytes: z
    .int()
    .positive()
    .default(16 * 1024 * 1024)
    .describe('Most bytes of outputs that one replica holds for one namespace.'),
  captureTotalLimitBytes: z
    .int()
    .positive()
    .default(64 * 1024 * 1024)
    .describe('Most bytes of outputs that one replica holds in all.'),
  leaderElection: z.boolean().default(true).describe('Whether replicas elect one that completes hits.'),
  leaseDurationMs: z.int().positive().default(8000).describe('How long a silent leader stays leader.'),
  hitDeadlineSeconds: z
    .number()
    .positive()
    .default(120)
    .describe(
      'How long a hit waits for calls about it that get no answer while the API server answers others; then its step runs.',
    ),
  taskResultWaitMs: z
    .int()
    .nonnegative()
    .default(3000)
    .describe(
      'On Argo versions that may see a pod before its task result (up to 3.6.10, 3.7.0, 3.7.1): how long a hit waits for the Workflow to show the outputs.',
    ),
  resyncSeconds: z.number().positive().default(30).describe('How often every pod of interest is checked again.'),
  selfCheckSeconds: z
    .number()
    .positive()
    .default(180)
    .describe('How often the leader asks the API server to call stepmemo, to verify that it can.'),
  shutdownGraceMs: z.int().nonnegative().default(5000).describe('How long readiness fails before the ports close.'),
  policy: policySettingsSchema
    .prefault({})
    .describe(
      'What is refused or causes a warning at submission: severities of the rules, for the cluster and by namespace.',
    ),
});

/** Settings of earlier versions that say nothing any more: they are passed over, so that an upgrade starts with old ones. */
export const RETIRED_SETTINGS: readonly string[] = ['controllerInstanceId'];

export type Config = Readonly<z.infer<typeof configSchema>>;

/** Node.js calls one of the architectures otherwise than nodes and images do. */
const OWN_PLATFORM = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;

/** What `make image` builds without a name: the sidecar's image where nothing says another, and no pod of our own can be asked. */
const LOCAL_IMAGE = 'stepmemo:local';

/**
 * The part of the configuration that decisions depend on. `caBundle` is what sidecars will trust; only the running server
 * knows it, and where nothing is injected it may be empty.
 */
export function decisionSettings(config: Config, caBundle = ''): DecisionSettings {
  return {
    controllerAccounts: config.controllerAccounts,
    controllerNamespace: config.controllerNamespace,
    sidecar: {
      image: config.sidecarImage ?? LOCAL_IMAGE,
      platforms: config.sidecarPlatforms ?? [OWN_PLATFORM],
      imagePullPolicy: config.sidecarImagePullPolicy,
      captureUrl: config.captureUrl,
      caBundle,
      requests: { cpu: config.sidecarCpuRequest, memory: config.sidecarMemoryRequest },
      limits: { cpu: config.sidecarCpuLimit, memory: config.sidecarMemoryLimit },
    },
  };
}

/** The Services in front of the webhooks: of all replicas, of the leader, of the others. */
export function serviceNames({ serviceName }: Pick<Config, 'serviceName'>): readonly string[] {
  return [serviceName, `${serviceName}-leader`, `${serviceName}-followers`];
}
