import { z } from 'zod';
import { configSchema } from '../src/config/config.ts';

/** What the chart says itself, or what has to agree with its objects. */
const OF_THE_CHART = [
  'kubeconfig',
  'ownNamespace',
  'ownAccount',
  'serviceName',
  'controllerAccounts',
  'controllerNamespace',
  'listenAddress',
  'webhookPort',
  'capturePort',
  'metricsPort',
  'captureUrl',
  'certSource',
  'certDir',
  'caSecretName',
  'webhookConfigurationName',
] as const;

const map = z.record(z.string(), z.unknown());
const texts = z.record(z.string(), z.string());
const switchOf = z.strictObject({ enabled: z.boolean() });

/** charts/stepmemo/values.yaml; nothing else is taken. */
const valuesSchema = z.strictObject({
  image: z.strictObject({
    repository: z.string().describe('The image of stepmemo that your nodes pull. Has to be said.'),
    tag: z.string().describe("The chart's appVersion where it is empty."),
    digest: z.union([z.literal(''), z.string().regex(/^sha256:[0-9a-f]{64}$/)]).describe('Counts before the tag.'),
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
    pullSecrets: z.array(z.string()).describe("Names of Secrets in the release's namespace."),
  }),
  controllers: z
    .array(z.strictObject({ namespace: z.string().min(1), serviceAccount: z.string().min(1) }))
    .min(1)
    .describe('Each workflow controller of the cluster.'),
  settings: configSchema.omit(Object.fromEntries(OF_THE_CHART.map((name) => [name, true])) as Record<never, true>),
  replicas: z.int().min(1),
  resources: map,
  nodeSelector: texts,
  tolerations: z.array(map),
  affinity: map,
  topologySpreadConstraints: z.array(map),
  priorityClassName: z.string(),
  podSecurityContext: map,
  labels: texts.describe('On every object.'),
  podLabels: texts,
  podAnnotations: texts,
  certificates: z.strictObject({
    existingSecret: z
      .string()
      .describe('A Secret with tls.crt, tls.key and ca.crt; empty: stepmemo keeps a CA itself.'),
  }),
  policy: z.strictObject({ failurePolicy: z.enum(['Ignore', 'Fail']) }),
  outage: z.strictObject({
    refuse: z.boolean().describe('Refuse a Workflow that still has memoize after admission, instead of warning of it.'),
    moveInApiServer: z
      .boolean()
      .describe('Move memoize into annotations inside the API server too. Kubernetes 1.36 or later.'),
  }),
  podDisruptionBudget: switchOf,
  networkPolicy: switchOf,
  userRoles: z
    .boolean()
    .describe('Roles for users of kubectl stepmemo, which join the roles view and edit of the cluster.'),
  removalHook: switchOf.describe('A Job before the chart is uninstalled: releases held pods, moves memoize back.'),
  serviceMonitor: switchOf.extend({ interval: z.string(), labels: texts }),
  prometheusRule: switchOf.extend({ labels: texts }).describe('Alerts, for the Prometheus operator.'),
  dashboard: switchOf.extend({ labels: texts }).describe('A dashboard, for the sidecar of Grafana.'),
  isBase: z.boolean().describe('For manifests/base.'),
  /** Helm's own, for charts within charts. */
  global: map.optional(),
});

export function chartSchema(): string {
  const schema = z.toJSONSchema(valuesSchema, { io: 'input', target: 'draft-07' });
  return `${JSON.stringify(schema, null, 2)}\n`;
}
