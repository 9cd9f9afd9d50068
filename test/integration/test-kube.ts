import { readFile } from 'node:fs/promises';
import { Agent, request as httpsRequest } from 'node:https';
import { parse } from 'yaml';
import type { KubeApi, KubeFailure, KubeObject, KubeResult, ObjectPath, ResourcePath } from '../../src/kube/types.ts';

/*
 * A client of the API server for tests, on nothing but node:https. It is not the product's own, on purpose: what the
 * product did is looked at by something else.
 */

/** One answer, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly body: KubeObject;
  /** What the API server and the webhooks warn of; kubectl prints these. */
  readonly warnings: readonly string[];
}

interface Connection {
  readonly server: string;
  readonly ca: string;
  readonly agent: Agent;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** A KubeApi, and the verbs that only tests use. */
export interface TestKube extends KubeApi {
  readonly server: string;
  /** PEM of the API server's CA. */
  readonly ca: string;
  request(method: string, path: string, body?: unknown, contentType?: string): Promise<Answer>;
  /** As request, and throws where the answer is no success. */
  require(method: string, path: string, body?: unknown, contentType?: string): Promise<KubeObject>;
  /** PUT of the whole object. */
  update(path: ObjectPath, body: KubeObject, subresource?: string): Promise<KubeResult<KubeObject>>;
  /** JSON Patch of any subresource. */
  patchSubresource(path: ObjectPath, subresource: string, patch: unknown): Promise<KubeResult<KubeObject>>;
  /** JSON Merge Patch. */
  merge(path: ObjectPath, patch: unknown, subresource?: string): Promise<KubeResult<KubeObject>>;
  /** deletecollection. */
  removeAll(
    where: { resource: ResourcePath; namespace?: string },
    labelSelector?: string,
  ): Promise<KubeResult<KubeObject>>;
  /** A token of a ServiceAccount, by TokenRequest; `boundTo` binds it to a pod. */
  tokenOf(
    namespace: string,
    account: string,
    options?: { audiences?: readonly string[]; boundTo?: { name: string; uid: string } },
  ): Promise<{ token: string }>;
  /** The same server with a bearer token. */
  withToken(token: string): TestKube;
  /** The same server as somebody else, by impersonation: for people; accounts get tokens. */
  asUser(user: string, groups?: readonly string[]): TestKube;
}

/** A client for the current context of a kubeconfig (client certificate or token, both inline). */
export async function connect(kubeconfig: string): Promise<TestKube> {
  const config = parse(await readFile(kubeconfig, 'utf8')) as {
    clusters: [{ cluster: { server: string; 'certificate-authority-data': string } }];
    users: [{ user: { token?: string; 'client-certificate-data'?: string; 'client-key-data'?: string } }];
  };
  const { cluster } = config.clusters[0];
  const { user } = config.users[0];
  const decode = (text: string | undefined) =>
    text === undefined ? undefined : Buffer.from(text, 'base64').toString();
  const ca = decode(cluster['certificate-authority-data']) ?? '';
  const agent = new Agent({
    keepAlive: true,
    ca,
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
  });
  const headers: Record<string, string> = user.token === undefined ? {} : { authorization: `Bearer ${user.token}` };
  return client({ server: cluster.server, ca, agent, headers });
}

/** The URL path of a collection, or of an object in it. */
export function urlOf(
  resource: ResourcePath,
  where: { namespace?: string | undefined; name?: string | undefined } = {},
  subresource?: string,
): string {
  const root = resource.group === '' ? '/api' : `/apis/${resource.group}`;
  const parts = [`${root}/${resource.version}`];
  if (where.namespace !== undefined) parts.push('namespaces', where.namespace);
  parts.push(resource.resource);
  if (where.name !== undefined) parts.push(where.name);
  if (subresource !== undefined) parts.push(subresource);
  return parts.join('/');
}

function client(connection: Connection): TestKube {
  const send = (method: string, path: string, body?: unknown, contentType = 'application/json') =>
    exchange(connection, method, path, body, contentType);
  const call = async (...args: Parameters<typeof send>): Promise<KubeResult<KubeObject>> => {
    const answer = await send(...args);
    return isSuccess(answer) ? { ok: true, value: answer.body } : failure(answer);
  };
  const jsonPatch = 'application/json-patch+json';
  return {
    server: connection.server,
    ca: connection.ca,
    request: send,
    require: async (method, path, body, contentType) => {
      const answer = await send(method, path, body, contentType);
      if (!isSuccess(answer)) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    },
    get: (path) => call('GET', urlOf(path.resource, path)),
    create: (path, body) => call('POST', urlOf(path.resource, path), body),
    patch: (path, patch, subresource) => call('PATCH', urlOf(path.resource, path, subresource), patch, jsonPatch),
    remove: (path, preconditions) =>
      call('DELETE', urlOf(path.resource, path), preconditions === undefined ? undefined : { preconditions }),
    list: async (where, options = {}) => {
      const query = new URLSearchParams(options as Record<string, string>);
      const answer = await call('GET', `${urlOf(where.resource, where)}?${query}`);
      return answer.ok ? { ok: true, value: (answer.value.items ?? []) as KubeObject[] } : answer;
    },
    update: (path, body, subresource) => call('PUT', urlOf(path.resource, path, subresource), body),
    patchSubresource: (path, subresource, patch) =>
      call('PATCH', urlOf(path.resource, path, subresource), patch, jsonPatch),
    merge: (path, patch, subresource) =>
      call('PATCH', urlOf(path.resource, path, subresource), patch, 'application/merge-patch+json'),
    removeAll: (where, labelSelector) => {
      const query = labelSelector === undefined ? '' : `?${new URLSearchParams({ labelSelector })}`;
      return call('DELETE', `${urlOf(where.resource, where)}${query}`);
    },
    tokenOf: async (namespace, account, options = {}) => {
      const body = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: options.audiences,
          boundObjectRef:
            options.boundTo === undefined ? undefined : { apiVersion: 'v1', kind: 'Pod', ...options.boundTo },
          expirationSeconds: 3600 * 4,
        },
      };
      const answer = await call('POST', `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`, body);
      if (!answer.ok) throw new Error(`no token for ${namespace}/${account}: ${answer.message}`);
      return { token: (answer.value.status as { token: string }).token };
    },
    // Without the client certificate: it would win over the token.
    withToken: (token) =>
      client({
        ...connection,
        agent: new Agent({ keepAlive: true, ca: connection.ca }),
        headers: { authorization: `Bearer ${token}` },
      }),
    asUser: (user, groups = ['system:authenticated']) =>
      client({ ...connection, headers: { 'impersonate-user': user, 'impersonate-group': groups } }),
  };
}

const isSuccess = (answer: Answer): boolean => answer.status >= 200 && answer.status < 300;

function failure(answer: Answer): KubeFailure {
  const { reason, message } = answer.body as { reason?: string; message?: string };
  return { ok: false, status: answer.status, reason: reason ?? '', message: message ?? '' };
}

function exchange(
  connection: Connection,
  method: string,
  path: string,
  body: unknown,
  contentType: string,
): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      new URL(path, connection.server),
      {
        method,
        agent: connection.agent,
        headers: {
          accept: 'application/json',
          // The length by hand: Node sends none with a DELETE, and the body would be taken for the next request.
          ...(text !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
          ...(connection.headers as Record<string, string | string[]>),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const warnings = (response.headersDistinct.warning ?? []).map(warningText);
          resolve({ status: response.statusCode ?? 0, body: parseBody(Buffer.concat(chunks).toString()), warnings });
        });
      },
    );
    request.on('error', reject);
    request.end(text);
  });
}

/** `299 - "text"`, with the quotes inside escaped (RFC 7234, 5.5). */
const warningText = (header: string): string => header.replace(/^\d+ \S+ "(.*)"$/s, '$1').replace(/\\(.)/gs, '$1');

/** Not everything that the API server says is JSON: `/readyz`, proxied answers. */
function parseBody(text: string): KubeObject {
  try {
    return JSON.parse(text) as KubeObject;
  } catch {
    return { message: text };
  }
}
