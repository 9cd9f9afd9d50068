import type { ManifestDocument } from '../read-manifests.ts';
import { findPair } from './changes.ts';
import { findComments } from './flow.ts';

/** Whether a member says more than its values: it stands on lines of its own, or has comments within. */
export function hasOwnLayout({ root, text }: ManifestDocument, pointer: string): boolean {
  const pair = findPair(root, pointer);
  if (pair === undefined) return false;
  const isOnLines = pair.value.kind === 'map' && pair.value.style === 'block';
  return isOnLines || findComments(text, pair).length > 0 || /^[ \t]*#/.test(text.slice(pair.value.end));
}
