/**
 * The path of look-ahead. Its answers hold what is cached, and whoever reaches the port may post a review: so they are given on a
 * path alone that cannot be guessed, which the API server learns from the webhook's configuration. It follows from a private
 * key that all replicas have, changes with that and with nothing else, and need not be kept anywhere.
 */
import { createPrivateKey, hkdfSync, timingSafeEqual } from 'node:crypto';

export const LOOK_AHEAD_ROUTE = '/look-ahead';

/** The path that belongs to a private key (PEM): the route and 256 bits. */
export function lookAheadPath(privateKey: string): string {
  const secret = createPrivateKey(privateKey).export({ format: 'der', type: 'pkcs8' });
  const bits = hkdfSync('sha256', secret, '', 'stepmemo look-ahead path', 32);
  return `${LOOK_AHEAD_ROUTE}/${Buffer.from(bits).toString('hex')}`;
}

/** How long a path is taken that has been followed by another, in milliseconds: API servers learn of that by a watch. */
const GRACE_MS = 10 * 60_000;

/** The paths that are answered: the one of today's key, and for a while the one before it. */
export class AcceptedPaths {
  readonly #lastSeenMs = new Map<string, number>();

  /** `path` is the one that the webhook's configuration is kept to. */
  see(path: string, now: Date): void {
    this.#lastSeenMs.set(path, now.getTime());
    for (const [old, seenMs] of this.#lastSeenMs) if (now.getTime() - seenMs > GRACE_MS) this.#lastSeenMs.delete(old);
  }

  /** Takes as long for any path of the right length. */
  has(path: string): boolean {
    const given = Buffer.from(path);
    const equal = [...this.#lastSeenMs.keys()].map((known) => {
      const wanted = Buffer.from(known);
      return wanted.length === given.length && timingSafeEqual(wanted, given);
    });
    return equal.includes(true);
  }
}
