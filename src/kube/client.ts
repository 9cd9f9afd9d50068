import { existsSync, readFileSync } from 'node:fs';
import type { OutgoingHttpHeaders } from 'node:http';
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { RestApi } from './api.ts';
import { type Access, type AccessSource, Transport } from './transport.ts';
import type { KubeWatchApi } from './types.ts';

export interface KubeApiOptions {
  /** Time for one call, in milliseconds; six times as much for a page of a list. */
  readonly timeoutMs?: number;
  /** Also the field manager of what is written: the API server takes it up to the slash. */
  readonly userAgent?: string;
}

/** How long credentials serve before they are read again (certificates and CA from disk; tokens have a clock of their own). */
const ACCESS_LIFETIME_MS = 30_000;
/** A server that answers 401 to everything must not make us read files at every call. */
const REFRESH_PAUSE_MS = 1_000;

const DEFAULT_TIMEOUT_MS = 5_000;

/** Which cluster is meant, as kubectl is told it. */
export interface KubeconfigChoice {
  /** Read as kubectl reads KUBECONFIG: of two things with one name the first counts; of several files some may be missing. */
  readonly files: readonly string[];
  readonly context?: string | undefined;
  readonly cluster?: string | undefined;
  readonly user?: string | undefined;
  /** Who to act as, beside whom the kubeconfig says (kubectl's --as and --as-group). */
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] } | undefined;
}

/**
 * The door to the API server that `kubeconfig` (a path, or a choice) names in its current context; without one, to the cluster that
 * this pod runs in. Connections are kept and shared by all calls. The token file is read again at least once a minute,
 * and at once after a 401.
 *
 * @throws when the kubeconfig cannot be read, or there is none and this is no pod.
 */
export function createKubeApi(kubeconfig?: string | KubeconfigChoice, options: KubeApiOptions = {}): KubeWatchApi {
  const transport = new Transport(new KubeConfigAccess(kubeconfig), options.userAgent ?? 'stepmemo');
  return new RestApi(transport, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
}

/** Access from client-node's KubeConfig: files, inline data, tokens, exec plugins, proxies. */
class KubeConfigAccess implements AccessSource {
  readonly #path: string | KubeconfigChoice | undefined;
  #config: KubeConfig;
  #loadedAtMs: number;
  #access: Promise<Access> | undefined;
  #accessAtMs = 0;

  constructor(path: string | KubeconfigChoice | undefined) {
    this.#path = path;
    this.#config = loadKubeConfig(path);
    this.#loadedAtMs = performance.now();
  }

  current(): Promise<Access> {
    const nowMs = performance.now();
    if (this.#access && nowMs - this.#accessAtMs < ACCESS_LIFETIME_MS) return this.#access;
    const access = accessOf(this.#config, typeof this.#path === 'object' ? this.#path.impersonate : undefined);
    this.#access = access;
    this.#accessAtMs = nowMs;
    // What could not be read now is tried again by the next call.
    access.catch(() => {
      if (this.#access === access) this.#access = undefined;
    });
    return access;
  }

  refresh(): void {
    const nowMs = performance.now();
    if (nowMs - this.#loadedAtMs < REFRESH_PAUSE_MS) return;
    this.#loadedAtMs = nowMs;
    try {
      this.#config = loadKubeConfig(this.#path);
      this.#access = undefined;
    } catch {
      // Half-written files: what was read before serves on, and the next 401 comes back here.
    }
  }
}

/** The namespace of the context that is meant; `default` where it names none, as kubectl has it. */
export function namespaceOf(choice: KubeconfigChoice): string {
  const config = loadChosen(choice);
  return config.getContextObject(config.getCurrentContext())?.namespace || 'default';
}

const POD_NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** The namespace of the pod that this runs in; `default` where the kubelet does not say. */
export function ownNamespaceOfPod(): string {
  try {
    return readFileSync(POD_NAMESPACE_FILE, 'utf8').trim() || 'default';
  } catch {
    return 'default';
  }
}

function loadKubeConfig(kubeconfig: string | KubeconfigChoice | undefined): KubeConfig {
  if (kubeconfig !== undefined)
    return loadChosen(typeof kubeconfig === 'string' ? { files: [kubeconfig] } : kubeconfig);
  if (process.env.KUBERNETES_SERVICE_HOST === undefined)
    throw new Error('no kubeconfig is given, and this is not a pod (KUBERNETES_SERVICE_HOST is not set)');
  const config = new KubeConfig();
  config.loadFromCluster();
  return config;
}

function loadChosen({ files, context, cluster, user }: KubeconfigChoice): KubeConfig {
  const config = new KubeConfig();
  for (const file of files.length > 1 ? files.filter(existsSync) : files) {
    const next = new KubeConfig();
    next.loadFromFile(file);
    mergeUnder(config, next);
  }
  if (context !== undefined && config.getContextObject(context) === null)
    throw new Error(`there is no context "${context}"`);
  if (context !== undefined) config.setCurrentContext(context);
  if (cluster !== undefined || user !== undefined) putTogether(config, cluster, user);
  if (!config.getCurrentCluster()) throw new Error(`${files.join(':')} names no current cluster`);
  return config;
}

function putTogether(config: KubeConfig, cluster: string | undefined, user: string | undefined): void {
  const current = config.getContextObject(config.getCurrentContext());
  const chosen = { cluster: cluster ?? current?.cluster ?? '', user: user ?? current?.user ?? '' };
  const { namespace } = current ?? {};
  config.addContext({ name: CHOSEN, ...chosen, ...(namespace !== undefined && { namespace }) });
  config.setCurrentContext(CHOSEN);
}

/** The context that flags put together. */
const CHOSEN = '(chosen by flags)';

/** client-node's own merge throws where two files name the same thing. */
function mergeUnder(config: KubeConfig, next: KubeConfig): void {
  const byName = <T extends { readonly name: string }>(
    known: readonly T[] | undefined,
    more: readonly T[] | undefined,
  ) => {
    const names = new Set((known ?? []).map(({ name }) => name));
    return [...(known ?? []), ...(more ?? []).filter(({ name }) => !names.has(name))];
  };
  config.clusters = byName(config.clusters, next.clusters);
  config.users = byName(config.users, next.users);
  config.contexts = byName(config.contexts, next.contexts);
  config.currentContext ||= next.currentContext;
}

async function accessOf(config: KubeConfig, impersonate: KubeconfigChoice['impersonate']): Promise<Access> {
  const cluster = config.getCurrentCluster();
  if (!cluster) throw new Error('the kubeconfig names no current cluster');
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  // The agent that came with them keeps no connections; only one that leads through a proxy is needed.
  const { agent, headers, ...rest } = options;
  return {
    server: new URL(cluster.server),
    options: cluster.proxyUrl && agent ? { ...rest, agent } : rest,
    // An object, whatever the type allows: client-node sets members of it (config.ts:applyAuthorizationHeader).
    headers: {
      ...((headers ?? {}) as OutgoingHttpHeaders),
      ...(impersonate && { 'Impersonate-User': impersonate.user }),
      ...(impersonate && impersonate.groups.length > 0 && { 'Impersonate-Group': [...impersonate.groups] }),
    },
  };
}
