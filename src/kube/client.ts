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

/**
 * The door to the API server that `kubeconfig` (a path) names in its current context; without one, to the cluster that
 * this pod runs in. Connections are kept and shared by all calls. The token file is read again at least once a minute,
 * and at once after a 401.
 *
 * @throws when the kubeconfig cannot be read, or there is none and this is no pod.
 */
export function createKubeApi(kubeconfig?: string, options: KubeApiOptions = {}): KubeWatchApi {
  const transport = new Transport(new KubeConfigAccess(kubeconfig), options.userAgent ?? 'stepmemo');
  return new RestApi(transport, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
}

/** Access from client-node's KubeConfig: files, inline data, tokens, exec plugins, proxies. */
class KubeConfigAccess implements AccessSource {
  readonly #path: string | undefined;
  #config: KubeConfig;
  #loadedAtMs: number;
  #access: Promise<Access> | undefined;
  #accessAtMs = 0;

  constructor(path: string | undefined) {
    this.#path = path;
    this.#config = loadKubeConfig(path);
    this.#loadedAtMs = performance.now();
  }

  current(): Promise<Access> {
    const nowMs = performance.now();
    if (this.#access && nowMs - this.#accessAtMs < ACCESS_LIFETIME_MS) return this.#access;
    const access = accessOf(this.#config);
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

function loadKubeConfig(path: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (path !== undefined) config.loadFromFile(path);
  else if (process.env.KUBERNETES_SERVICE_HOST !== undefined) {
    config.loadFromCluster();
  } else throw new Error('no kubeconfig is given, and this is not a pod (KUBERNETES_SERVICE_HOST is not set)');
  if (!config.getCurrentCluster()) throw new Error(`${path ?? 'the pod'} names no current cluster`);
  return config;
}

async function accessOf(config: KubeConfig): Promise<Access> {
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
    headers: (headers ?? {}) as OutgoingHttpHeaders,
  };
}
