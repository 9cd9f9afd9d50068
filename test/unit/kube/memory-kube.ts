import jsonpatch from 'jsonpatch';
import type { JsonPatch } from '../../../src/base/json-patch.ts';
import type {
  KubeFailure,
  KubeObject,
  KubeResult,
  KubeWatchApi,
  ListScope,
  ObjectPath,
  PageOptions,
  ResourcePath,
  WatchEvent,
} from '../../../src/kube/types.ts';

type Verb = 'get' | 'create' | 'patch' | 'remove' | 'listPage' | 'watch';
export interface Call {
  readonly verb: Verb;
  readonly name: string;
  /** Of a patch. */
  readonly patch?: JsonPatch;
}

const DOES_NOT_APPLY = 'the server rejected our request due to an error in our request';

/**
 * An API server in memory, as far as the store and the election need one: resource versions, JSON Patch with `test`,
 * and the API server's own words for failures. `before` sees every call first, and may change what is stored (another
 * writer) or answer in its place.
 */
export class MemoryKube implements KubeWatchApi {
  readonly calls: Call[] = [];
  before: (call: Call) => KubeFailure | undefined | Promise<KubeFailure | undefined> = () => undefined;
  readonly #objects = new Map<string, KubeObject>();
  readonly #watchers = new Set<(event: WatchEvent, resource: ResourcePath) => void>();
  #version = 100;

  /** Stores an object as it is, as another client would; metadata is filled in. */
  put(resource: ResourcePath, object: KubeObject): KubeObject {
    const { namespace, name = '' } = object.metadata ?? {};
    const id = idOf(resource, namespace, name);
    const known = this.#objects.get(id);
    this.#version += 1;
    const stored: KubeObject = {
      ...structuredClone(object),
      metadata: {
        uid: known?.metadata?.uid ?? `uid-${this.#version}`,
        creationTimestamp: known?.metadata?.creationTimestamp ?? new Date().toISOString(),
        ...object.metadata,
        resourceVersion: String(this.#version),
      },
    };
    this.#objects.set(id, stored);
    for (const tell of this.#watchers) tell({ type: known ? 'MODIFIED' : 'ADDED', object: stored }, resource);
    return stored;
  }

  peek(resource: ResourcePath, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects.get(idOf(resource, namespace, name));
  }

  drop(resource: ResourcePath, namespace: string | undefined, name: string): void {
    const id = idOf(resource, namespace, name);
    const known = this.#objects.get(id);
    if (!known) return;
    this.#objects.delete(id);
    this.#version += 1;
    const object = { ...known, metadata: { ...known.metadata, resourceVersion: String(this.#version) } };
    for (const tell of this.#watchers) tell({ type: 'DELETED', object }, resource);
  }

  async get(path: ObjectPath): Promise<KubeResult<KubeObject>> {
    return (await this.#enter('get', path.name)) ?? this.#found(path);
  }

  async create(path: Omit<ObjectPath, 'name'>, body: KubeObject): Promise<KubeResult<KubeObject>> {
    const name = body.metadata?.name ?? '';
    const refusal = await this.#enter('create', name);
    if (refusal) return refusal;
    if (this.peek(path.resource, path.namespace, name)) return fail(409, 'AlreadyExists', `"${name}" already exists`);
    return { ok: true, value: structuredClone(this.put(path.resource, body)) };
  }

  async patch(path: ObjectPath, patch: JsonPatch): Promise<KubeResult<KubeObject>> {
    const refusal = await this.#enter('patch', path.name, patch);
    if (refusal) return refusal;
    const found = this.#found(path);
    if (!found.ok) return found;
    const patched = applyPatch(found.value, patch);
    if (!patched) return fail(422, 'Invalid', DOES_NOT_APPLY);
    return { ok: true, value: structuredClone(this.put(path.resource, patched)) };
  }

  async remove(path: ObjectPath): Promise<KubeResult<KubeObject>> {
    const refusal = await this.#enter('remove', path.name);
    if (refusal) return refusal;
    const found = this.#found(path);
    this.drop(path.resource, path.namespace, path.name);
    return found;
  }

  async list(where: ListScope): Promise<KubeResult<readonly KubeObject[]>> {
    const page = await this.listPage(where, {});
    return page.ok ? { ok: true, value: page.value.items } : page;
  }

  async listPage(
    where: ListScope,
    _options: PageOptions,
  ): Promise<KubeResult<{ items: KubeObject[]; resourceVersion: string }>> {
    const refusal = await this.#enter('listPage', where.resource.resource);
    if (refusal) return refusal;
    const prefix = idOf(where.resource, where.namespace, '');
    const kind = `${where.resource.resource}/`;
    const items = [...this.#objects].filter(([id]) => id.startsWith(where.namespace === undefined ? kind : prefix));
    return {
      ok: true,
      value: { items: structuredClone(items.map(([, object]) => object)), resourceVersion: String(this.#version) },
    };
  }

  async watch(
    where: ListScope,
    options: { signal: AbortSignal },
    onEvent: (event: WatchEvent) => void,
  ): Promise<{ ok: true } | KubeFailure> {
    const refusal = await this.#enter('watch', where.resource.resource);
    if (refusal) return refusal;
    const tell = (event: WatchEvent, resource: ResourcePath) => {
      if (resource.resource === where.resource.resource) onEvent(structuredClone(event));
    };
    this.#watchers.add(tell);
    await new Promise<void>((resolve) => {
      options.signal.addEventListener('abort', () => resolve());
      if (options.signal.aborted) resolve();
    });
    this.#watchers.delete(tell);
    return fail(0, 'Aborted', 'the call was given up');
  }

  close(): void {}

  async #enter(verb: Verb, name: string, patch?: JsonPatch): Promise<KubeFailure | undefined> {
    const call = { verb, name, ...(patch && { patch }) };
    this.calls.push(call);
    // As over a wire: never at once.
    await Promise.resolve();
    return this.before(call);
  }

  #found({ resource, namespace, name }: ObjectPath): KubeResult<KubeObject> {
    const object = this.peek(resource, namespace, name);
    if (!object) return fail(404, 'NotFound', `${resource.resource} "${name}" not found`);
    return { ok: true, value: structuredClone(object) };
  }
}

/** The object as patched; undefined where a test fails or a path is not there. */
export function applyPatch(object: KubeObject, patch: JsonPatch): KubeObject | undefined {
  try {
    return jsonpatch.apply_patch(structuredClone(object), structuredClone([...patch]) as object[]) as KubeObject;
  } catch {
    return undefined;
  }
}

export function fail(status: number, reason: string, message: string): KubeFailure {
  return { ok: false, status, reason, message };
}

function idOf(resource: ResourcePath, namespace: string | undefined, name: string): string {
  return `${resource.resource}/${namespace ?? ''}/${name}`;
}

/** A log that keeps what was said. */
export function memoryLog() {
  const lines: { level: string; fields: Record<string, unknown>; message: string }[] = [];
  const at = (level: string) => (fields: unknown, message?: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message: message ?? '' });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
