/** Makes a case that failed smaller, as long as it fails. */
import { isObject, type JsonObject } from '../../src/base/json.ts';

/** Members without which the rest means nothing. */
const NEEDED: ReadonlySet<string> = new Set([
  ...['number', 'workflow', 'stored', 'fill', 'salt'],
  ...['apiVersion', 'kind', 'metadata', 'name', 'spec', 'entrypoint', 'templates'],
]);

/** Every variant of `value` with one element of a list, or one member of an object, taken away; the largest pieces first. */
export function* withoutOnePart(value: unknown): Generator<unknown> {
  if (Array.isArray(value)) yield* withoutOneElement(value);
  else if (isObject(value)) yield* withoutOneMember(value);
}

function* withoutOneElement(list: readonly unknown[]): Generator<unknown> {
  for (const index of list.keys()) yield list.toSpliced(index, 1);
  for (const [index, element] of list.entries())
    for (const smaller of withoutOnePart(element)) yield list.with(index, smaller);
}

function* withoutOneMember(object: JsonObject): Generator<unknown> {
  for (const name of Object.keys(object)) {
    const { [name]: _, ...rest } = object;
    if (!NEEDED.has(name)) yield rest;
  }
  for (const [name, member] of Object.entries(object))
    for (const smaller of withoutOnePart(member)) yield { ...object, [name]: smaller };
}

/**
 * The smallest case that still fails, as far as taking away one part after the other leads. `findFailing` says which of some
 * cases fails first, or undefined; it is asked about `size` at a time, until `isLate`.
 */
export async function shrink<Case extends JsonObject>(
  failing: Case,
  findFailing: (cases: readonly Case[]) => Promise<Case | undefined>,
  { size = 50, isLate = () => false }: { readonly size?: number; readonly isLate?: () => boolean } = {},
): Promise<Case> {
  const candidates = [...withoutOnePart(failing)] as Case[];
  for (let from = 0; from < candidates.length && !isLate(); from += size) {
    const smaller = await findFailing(candidates.slice(from, from + size));
    if (smaller !== undefined) return shrink(smaller, findFailing, { size, isLate });
  }
  return failing;
}
