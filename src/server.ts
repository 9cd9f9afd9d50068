import { createServer as createPlainServer, type Server as PlainServer } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { hostname } from 'node:os';
import { answerSelfCheck, SELF_CHECK_PATH } from './admission/answer-self-check.ts';
import { createAdmissionApp } from './admission/app.ts';
import { createArgoSource } from './admission/argo-source.ts';
import { createEventsOfWorkflows } from './admission/events-of-workflows.ts';
import { createLookAhead, LOOK_AHEAD_EXTRA_MS } from './admission/look-ahead.ts';
import { createMutatePods } from './admission/mutate-pods.ts';
import { createMutateWorkflows } from './admission/mutate-workflows.ts';
import { createOpsApp, type Readiness } from './admission/ops-app.ts';
import { createUnnamedControllers } from './admission/unnamed-controllers.ts';
import { createValidateConfigMaps } from './admission/validate-configmaps.ts';
import { createValidateWorkflows } from './admission/validate-workflows.ts';
import { warmUp } from './admission/warm-up.ts';
import type { Log } from './base/log.ts';
import { createCaptureApp } from './capture/endpoint.ts';
import { createCaptureServer } from './capture/server.ts';
import { type Config, decisionSettings } from './config/config.ts';
import { startController } from './controller/controller.ts';
import { startSelfCheck } from './controller/self-check.ts';
import { startTroubleTeller, type Trouble } from './controller/tell-troubles.ts';
import { type WatchedCluster, watchCluster } from './informers/watch-cluster.ts';
import { createKubeApi } from './kube/client.ts';
import { judgeOwnAccount } from './kube/own-account.ts';
import { readOwnImage } from './kube/own-pod.ts';
import type { KubeApi } from './kube/types.ts';
import { judgeMemory } from './memory-bounds.ts';
import type { DecisionSettings } from './step/known-cluster.ts';
import { createEventRecorder } from './telemetry/events.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { LOOK_AHEAD_ROUTE } from './tls/look-ahead-path.ts';
import { createCertificateSource } from './tls/source.ts';

/**
 * The API server keeps connections for reuse, and ours must not be the side that closes one just as it is reused. Anybody else
 * who reaches the port has as little time as the capture endpoint gives.
 */
const WEBHOOK_TIMEOUTS = {
  keepAliveTimeout: 90_000,
  handshakeTimeout: 5_000,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  // How often the two timeouts above are looked after.
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 16 * 1024,
} as const;

const TROUBLES_EVERY_MS = 60_000;

export interface RunningServer {
  /** The ports that are open; those of the configuration, or what the system chose for 0. */
  readonly ports: { readonly webhook: number; readonly capture: number; readonly metrics: number };
  /** Fails readiness, waits for the endpoints to forget this replica, drains, then closes. */
  stop(): Promise<void>;
}

/** Puts the parts together and opens the ports. Resolves once they are open; readiness comes later, by itself. */
export async function startServer(given: Config, log: Log): Promise<RunningServer> {
  const metrics = createMetrics();
  const kube = createKubeApi(given.kubeconfig);
  const config = await withSidecarImage(given, kube, log);
  const tooLittle = judgeMemory(config, process.constrainedMemory());
  if (tooLittle !== undefined) log.warn(tooLittle);
  let wrongAccount: string | undefined;
  void judgeOwnAccount(kube, config.ownAccount).then((trouble) => {
    wrongAccount = trouble;
    if (trouble !== undefined) log.warn(trouble);
  });
  const cluster = watchCluster({ kube, config, log });
  const certificates = createCertificateSource({ config, kube, log });
  const recordEvent = createEventRecorder({
    kube,
    log,
    reportingInstance: hostname(),
    onDrop: metrics.eventDropped,
  });
  const controller = startController({ kube, cluster, config, log, metrics, recordEvent });
  const settings = (): DecisionSettings => decisionSettings(config, certificates.caBundle());

  const argo = createArgoSource({
    kube,
    controllerNamespace: config.controllerNamespace,
    setting: config.policy.argoVersion,
    log,
  });
  const unnamed = createUnnamedControllers(kube, log);
  const admission = createAdmissionApp({
    handlers: {
      '/mutate/pods': createMutatePods({
        cluster,
        settings,
        recordEvent: createEventsOfWorkflows(kube, recordEvent),
        onUntrusted: unnamed.see,
      }),
      '/mutate/workflows': createMutateWorkflows(cluster),
      '/validate/workflows': createValidateWorkflows({ cluster, kube, argo, config }),
      '/validate/configmaps': createValidateConfigMaps(config),
      [SELF_CHECK_PATH]: answerSelfCheck,
    },
    secret: {
      route: LOOK_AHEAD_ROUTE,
      isPath: (path) => certificates.isLookAheadPath(path),
      handler: createLookAhead({ cluster, kube, argo, controller, recordEvent, metrics }),
    },
    // What passes by the first is Argo's to memoize, and fails where its controller may not write caches; the second holds up
    // whoever submits. A self-check over a kept connection would not show that new ones are possible.
    closing: ['/mutate/workflows', LOOK_AHEAD_ROUTE, SELF_CHECK_PATH],
    bodyLimitBytes: config.bodyLimitBytes,
    deadlineMs: config.admissionDeadlineMs,
    // Its lookups end by themselves; what it found without them must still be said.
    deadlinesMs: {
      '/validate/workflows': config.policy.lookupDeadlineMs + config.admissionDeadlineMs,
      [LOOK_AHEAD_ROUTE]: LOOK_AHEAD_EXTRA_MS + config.admissionDeadlineMs,
    },
    log,
    metrics,
  });
  const capture = createCaptureApp({ kube, sink: controller, config, log, metrics, recordEvent });
  let isStopping = false;
  const readiness = (): Readiness => {
    if (isStopping) return { isReady: false, reason: 'shutting down' };
    if (!cluster.isSynced || !controller.isSynced) return { isReady: false, reason: 'the caches are not read yet' };
    return certificates.readiness();
  };
  const selfCheck = startSelfCheck({
    kube,
    namespace: config.ownNamespace,
    everyMs: config.selfCheckSeconds * 1000,
    isLeader: () => controller.isLeader,
    log,
    metrics,
  });
  const troubles = (): readonly Trouble[] => [
    ...troublesOf(cluster),
    ...unnamed.troubles(),
    ...incomplete(tooLittle),
    ...incomplete(wrongAccount),
    ...(selfCheck.trouble === undefined ? [] : [selfCheck.trouble]),
  ];
  const stopTelling = startTroubleTeller({
    troubles,
    namespace: config.ownNamespace,
    isLeader: () => controller.isLeader,
    newestWorkflows: controller.newestWorkflows,
    hasPodOf: controller.hasPodOf,
    kube,
    recordEvent,
    log,
    everyMs: Math.min(TROUBLES_EVERY_MS, config.selfCheckSeconds * 1000),
  });
  const beforeMetrics = (): void => metrics.setMissingOutagePolicies(cluster.missingOutagePolicies.length);
  const ops = createOpsApp({
    readiness,
    troubles: () => troubles().map(({ text }) => text),
    registry: metrics.registry,
    beforeMetrics,
  });

  warmUp(cluster, settings());
  cluster.start();
  await certificates.start();
  const tlsOptions = certificates.current();
  const servers = [
    createTlsServer({ ...tlsOptions, ...WEBHOOK_TIMEOUTS }, admission),
    createCaptureServer(tlsOptions, capture),
    createPlainServer(ops),
  ] as const;
  const noteExpiry = (): void => metrics.setCertificateExpiry((certificates.expiresAt()?.getTime() ?? 0) / 1000);
  noteExpiry();
  certificates.onChange((options) => {
    servers[0].setSecureContext(options);
    servers[1].setSecureContext(options);
    noteExpiry();
  });
  const ports = [config.webhookPort, config.capturePort, config.metricsPort];
  const [webhook = 0, capturePort = 0, metricsPort = 0] = await Promise.all(
    servers.map((server, index) => listen(server, ports[index] ?? 0, config.listenAddress)),
  );
  log.info({ webhook, capture: capturePort, metrics: metricsPort }, 'listening');
  return {
    ports: { webhook, capture: capturePort, metrics: metricsPort },
    async stop() {
      isStopping = true;
      selfCheck.stop();
      stopTelling();
      await new Promise((resolve) => setTimeout(resolve, config.shutdownGraceMs));
      await Promise.all(servers.map(close));
      await controller.stop();
      await cluster.stop();
      await certificates.stop();
    },
  };
}

/** What is missing or broken, as far as our own watches tell. */
function troublesOf(cluster: WatchedCluster): readonly Trouble[] {
  const outage = cluster.missingOutagePolicies.map((name): Trouble => {
    const text = `${name} is missing: users are not warned of an outage`;
    const forUsers = `nothing warns you when stepmemo is away: the policy ${name} is not installed`;
    return { reason: 'installation-incomplete', text, forUsers: { text: forUsers, affects: 'all' } };
  });
  return [
    // Each Workflow that it concerns is told, with the decision on its pods.
    ...incomplete(
      cluster.arePoliciesInstalled
        ? undefined
        : 'the admission policies are not in place: nothing is served or captured',
    ),
    ...incomplete(
      cluster.isSidecarUsable ? undefined : 'the sidecar was seen not to start: misses are captured without it',
    ),
    ...outage,
  ];
}

function incomplete(text: string | undefined): readonly Trouble[] {
  return text === undefined ? [] : [{ reason: 'installation-incomplete', text }];
}

/** The sidecar is the same image as the server, whoever has renamed that on its way into the cluster. */
async function withSidecarImage(config: Config, kube: KubeApi, log: Log): Promise<Config> {
  if (config.sidecarImage !== undefined) return config;
  const pod = process.env.POD_NAME ?? hostname();
  const sidecarImage = await readOwnImage({ kube, namespace: config.ownNamespace, pod, container: 'server', log });
  if (sidecarImage === undefined)
    log.warn({ pod }, 'no pod of our own says which image the sidecar is: say sidecarImage');
  return { ...config, sidecarImage };
}

type AnyServer = PlainServer | TlsServer;

function listen(server: AnyServer, port: number, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      const bound = server.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
    });
  });
}

/** Longer than any request may take: what is still open then waits for nothing. */
const DRAIN_MS = 5000;

/** Idle connections end at once, busy ones once they are answered. */
function close(server: AnyServer): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
