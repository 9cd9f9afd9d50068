/** Small objects of a namespaced kind, found by their namespace. */
export class ByNamespace<T> {
  readonly #namespaces = new Map<string, Map<string, T>>();

  set(namespace: string, name: string, value: T): void {
    const objects = this.#namespaces.get(namespace) ?? new Map<string, T>();
    objects.set(name, value);
    this.#namespaces.set(namespace, objects);
  }

  delete(namespace: string, name: string): void {
    const objects = this.#namespaces.get(namespace);
    objects?.delete(name);
    if (objects?.size === 0) this.#namespaces.delete(namespace);
  }

  *in(namespace: string): IterableIterator<T> {
    yield* this.#namespaces.get(namespace)?.values() ?? [];
  }
}
