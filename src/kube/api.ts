import { z } from 'zod';
import type { JsonPatch } from '../base/json-patch.ts';
import type { HttpAnswer, Transport } from './transport.ts';
import type {
  GetOptions,
  KubeFailure,
  KubeObject,
  KubeResult,
  KubeWatchApi,
  ListScope,
  ObjectPath,
  Page,
  PageOptions,
  Selectors,
  WatchEnd,
  WatchEvent,
  WatchOptions,
} from './types.ts';

const PAGE_LIMIT = 500;
const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

/** Any JSON object: its members are looked at where they are used. */
const objectSchema = z.custom<KubeObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'not a JSON object',
);
const listSchema = z.object({
  apiVersion: z.string().optional(),
  /** Required: taking something else for an empty list would forget every object. */
  kind: z.string().endsWith('List'),
  metadata: z.object({ resourceVersion: z.string().default(''), continue: z.string().optional() }),
  items: z
    .array(objectSchema)
    .nullish()
    .transform((items) => items ?? []),
});
const statusSchema = z.object({
  kind: z.literal('Status'),
  code: z.number().optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
});
const eventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']), object: objectSchema }),
  z.object({ type: z.literal('ERROR'), object: statusSchema }),
]);

/** KubeWatchApi over a transport: paths, bodies and what the API server's answers mean. */
export class RestApi implements KubeWatchApi {
  readonly #transport: Transport;
  readonly #timeoutMs: number;

  constructor(transport: Transport, timeoutMs: number) {
    this.#transport = transport;
    this.#timeoutMs = timeoutMs;
  }

  async get(path: ObjectPath, options: GetOptions = {}): Promise<KubeResult<KubeObject>> {
    if (!isNameUsable(path.name)) return badName(path.name);
    const answer = await this.#transport.send({
      method: 'GET',
      path: urlPath(path, path.name),
      timeoutMs: options.timeoutMs ?? this.#timeoutMs,
      ...(options.metadataOnly ? { accept: METADATA_ONLY } : {}),
    });
    return objectFrom(answer);
  }

  async create(path: Omit<ObjectPath, 'name'>, body: KubeObject, isDryRun = false): Promise<KubeResult<KubeObject>> {
    const answer = await this.#transport.send({
      method: 'POST',
      path: `${urlPath(path)}${isDryRun ? '?dryRun=All' : ''}`,
      body: JSON.stringify(body),
      timeoutMs: this.#timeoutMs,
    });
    return objectFrom(answer);
  }

  async patch(path: ObjectPath, patch: JsonPatch, subresource?: 'status'): Promise<KubeResult<KubeObject>> {
    if (!isNameUsable(path.name)) return badName(path.name);
    const answer = await this.#transport.send({
      method: 'PATCH',
      path: urlPath(path, path.name, subresource),
      contentType: 'application/json-patch+json',
      body: JSON.stringify(patch),
      timeoutMs: this.#timeoutMs,
    });
    return objectFrom(answer);
  }

  async remove(
    path: ObjectPath,
    preconditions?: { uid?: string; resourceVersion?: string },
  ): Promise<KubeResult<KubeObject>> {
    if (!isNameUsable(path.name)) return badName(path.name);
    const answer = await this.#transport.send({
      method: 'DELETE',
      path: urlPath(path, path.name),
      body: JSON.stringify({
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Background',
        ...(preconditions && { preconditions }),
      }),
      timeoutMs: this.#timeoutMs,
    });
    return objectFrom(answer);
  }

  async list(where: ListScope, options: Selectors = {}): Promise<KubeResult<readonly KubeObject[]>> {
    const items: KubeObject[] = [];
    let token: string | undefined;
    let limit: number | undefined = PAGE_LIMIT;
    for (;;) {
      const page = await this.listPage(where, { ...options, limit, continue: token });
      if (page.ok) {
        items.push(...page.value.items);
        token = page.value.continue;
        if (token === undefined) return { ok: true, value: items };
      } else if (page.status === 410 && token !== undefined) {
        // The snapshot that the pages came from has been compacted away: all of it at once, then.
        items.length = 0;
        token = undefined;
        limit = undefined;
      } else return page;
    }
  }

  async listPage(where: ListScope, options: PageOptions): Promise<KubeResult<Page>> {
    const { labelSelector, fieldSelector, limit, signal } = options;
    const answer = await this.#transport.send({
      method: 'GET',
      path: urlPath(where) + query({ labelSelector, fieldSelector, limit, continue: options.continue }),
      timeoutMs: this.#timeoutMs * 6,
      signal,
    });
    const body = bodyFrom(answer);
    if (!body.ok) return body;
    const list = listSchema.safeParse(body.value);
    if (!list.success) return unreadable(z.prettifyError(list.error));
    const { metadata, items, apiVersion, kind } = list.data;
    const itemType = { ...(apiVersion && { apiVersion }), kind: kind.slice(0, -'List'.length) };
    return {
      ok: true,
      value: {
        // The API server leaves both out in the items of a list, and has them in every other answer.
        items: items.map((item) => (item.kind ? item : { ...item, ...itemType })),
        resourceVersion: metadata.resourceVersion,
        continue: metadata.continue || undefined,
      },
    };
  }

  async watch(where: ListScope, options: WatchOptions, onEvent: (event: WatchEvent) => void): Promise<WatchEnd> {
    const { labelSelector, fieldSelector, resourceVersion, timeoutSeconds, idleLimitMs } = options;
    // A stream of its own to end: by the caller, or here by an event that says that nothing more will come.
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, stop.signal]);
    let end: KubeFailure | undefined;
    const lines = new LineSplitter((line) => {
      if (signal.aborted) return;
      const event = readEvent(line);
      if ('type' in event) return onEvent(event);
      end = event;
      stop.abort();
    });
    const answer = await this.#transport.stream(
      {
        path:
          urlPath(where) +
          query({
            watch: true,
            allowWatchBookmarks: true,
            resourceVersion,
            timeoutSeconds,
            labelSelector,
            fieldSelector,
          }),
        idleLimitMs,
        signal,
      },
      (chunk) => lines.push(chunk),
    );
    if (end) return end;
    if (!answer.ok) return answer;
    return answer.status === 200 ? { ok: true } : failureFrom(answer);
  }

  close(): void {
    this.#transport.close();
  }
}

/** Bytes in, lines out; a line is decoded as a whole, so no character is cut in two. */
class LineSplitter {
  readonly #onLine: (line: string) => void;
  #parts: Buffer[] = [];

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(this.#parts).toString('utf8');
      this.#parts = [];
      start = end + 1;
      if (line.trim() !== '') this.#onLine(line);
    }
    if (start < chunk.length) this.#parts.push(chunk.subarray(start));
  }
}

function readEvent(line: string): WatchEvent | KubeFailure {
  const event = eventSchema.safeParse(parseJson(line));
  if (!event.success) return unreadable(z.prettifyError(event.error));
  if (event.data.type !== 'ERROR') return { type: event.data.type, object: event.data.object };
  const { code, reason, message } = event.data.object;
  return { ok: false, status: code ?? 500, reason: reason ?? '', message: message ?? 'the watch failed' };
}

/** `/api/v1/namespaces/ns/configmaps/name/status`, each part escaped. */
function urlPath(where: ListScope, name?: string, subresource?: string): string {
  const { group, version, resource } = where.resource;
  const root = group === '' ? ['api', version] : ['apis', group, version];
  const scope = where.namespace === undefined ? [] : ['namespaces', where.namespace];
  const rest = [resource, name, subresource].filter((part) => part !== undefined);
  return [...root, ...scope, ...rest].map((part) => `/${encodeURIComponent(part)}`).join('');
}

function query(parameters: Record<string, string | number | boolean | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) search.set(name, String(value));
  }
  return search.size === 0 ? '' : `?${search}`;
}

/** An empty name would ask for the whole list, a dot for another path. */
function isNameUsable(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..';
}

function badName(name: string): KubeFailure {
  return { ok: false, status: 400, reason: 'BadRequest', message: `${JSON.stringify(name)} is no name of an object` };
}

function unreadable(detail: string): KubeFailure {
  return {
    ok: false,
    status: 0,
    reason: 'Unreadable',
    message: `the API server's answer could not be read: ${detail}`,
  };
}

function objectFrom(answer: HttpAnswer | KubeFailure): KubeResult<KubeObject> {
  const body = bodyFrom(answer);
  if (!body.ok) return body;
  const object = objectSchema.safeParse(body.value);
  return object.success ? { ok: true, value: object.data } : unreadable(z.prettifyError(object.error));
}

function bodyFrom(answer: HttpAnswer | KubeFailure): KubeResult<unknown> {
  if (!answer.ok) return answer;
  if (answer.status < 200 || answer.status > 299) return failureFrom(answer);
  const value = parseJson(answer.body.toString('utf8'));
  return value === undefined ? unreadable('no JSON') : { ok: true, value };
}

/** A refusal is a Status object; what a proxy in between says may be anything. */
function failureFrom(answer: HttpAnswer): KubeFailure {
  const text = answer.body.toString('utf8');
  const status = statusSchema.safeParse(parseJson(text));
  if (!status.success) {
    return { ok: false, status: answer.status, reason: '', message: text.slice(0, 200) || `HTTP ${answer.status}` };
  }
  const { reason, message } = status.data;
  return { ok: false, status: answer.status, reason: reason ?? '', message: message ?? `HTTP ${answer.status}` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
