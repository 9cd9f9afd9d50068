/** JSON Patch (RFC 6902), the operations that stepmemo uses. */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

export type JsonPatch = readonly JsonPatchOperation[];

/** A JSON Pointer (RFC 6901) from its parts: `~` and `/` in a part are escaped, numbers are array positions. */
export function pointer(...parts: readonly (string | number)[]): string {
  let text = '';
  for (const part of parts) text += `/${typeof part === 'number' ? part : escapePart(part)}`;
  return text;
}

/** Nearly all parts are plain, and large objects have very many. */
function escapePart(part: string): string {
  return part.includes('~') || part.includes('/') ? part.replaceAll('~', '~0').replaceAll('/', '~1') : part;
}
