import jsonpatch from 'jsonpatch';
import type { JsonPatch } from '../base/json-patch.ts';

/** The object with the patch carried out; the one that is given stays as it is. */
export function applyPatch(object: unknown, patch: JsonPatch): unknown {
  return jsonpatch.apply_patch(structuredClone(object) as object, structuredClone([...patch]) as object[]);
}
