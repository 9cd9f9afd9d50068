import { createHash } from 'node:crypto';
import type { Captured } from './captured.ts';

/** The same texts in the same form, whatever the order they came in. */
function canonical({ parameters, result }: Captured): string {
  const sorted = parameters
    .map(({ name, value }) => [name, value])
    .sort(([a = ''], [b = '']) => (a < b ? -1 : a > b ? 1 : 0));
  return JSON.stringify([sorted, result === undefined ? null : [result]]);
}

/**
 * Hex SHA-256 of the captured values. It stands on the pod, and is the sidecar's last word, so that any replica can tell whether a
 * task result says the same as the sidecar did.
 */
export function digestOf(captured: Captured): string {
  return createHash('sha256').update(canonical(captured), 'utf8').digest('hex');
}
