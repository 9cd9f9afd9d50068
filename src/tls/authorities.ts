import { z } from 'zod';
import { type Judgement, needsRenewal, type Pair, parseCertificates } from './authority.ts';

/*
 * Several certificate authorities at a time, so that one can follow another without a gap: a new one is in every bundle
 * for a while before a certificate of it is used, and the old one stays until the last certificate of it is gone.
 * All replicas read the same list and draw the same conclusions from it; nothing has to be agreed on.
 */

const storedAuthoritySchema = z.object({
  certificate: z.string(),
  /** Taken away once a newer authority signs. */
  key: z.string().optional(),
  addedAt: z.iso.datetime(),
});
export const storedAuthoritiesSchema = z.array(storedAuthoritySchema);
export type StoredAuthority = z.infer<typeof storedAuthoritySchema>;

export interface AuthorityTerms {
  readonly leafValidityMs: number;
  /** How long an authority is in the bundles before it signs: time for every replica and API server to learn of it. */
  readonly settleMs: number;
}

export interface AuthorityPlan {
  /** The authorities to keep, oldest first. */
  readonly kept: readonly StoredAuthority[];
  /** Whether `kept` differs from what is stored. */
  readonly isChanged: boolean;
  /** Whether a new authority has to be added to them, and why. */
  readonly needsNew: Judgement;
}

/** What to do about the stored authorities at this time. */
export function planAuthorities(stored: readonly StoredAuthority[], now: Date, terms: AuthorityTerms): AuthorityPlan {
  const living = stored.filter((authority) => isAlive(authority, now)).sort(byAge);
  const signer = chooseSigner(living, now, terms);
  const kept = living
    .filter((authority) => !isSuperseded(authority, signer, now, terms))
    .map((authority) => withoutOldKey(authority, signer));
  const newest = living.findLast((authority) => authority.key !== undefined);
  return {
    kept,
    isChanged: JSON.stringify(kept) !== JSON.stringify(stored),
    needsNew:
      newest === undefined
        ? { is: true, reason: 'there is none that could sign' }
        : needsRenewal(newest.certificate, now),
  };
}

/** An authority that can sign. */
export type Signer = StoredAuthority & Pair;

/**
 * The authority that signs now: the newest that has settled; the oldest where none has (a first installation). Only
 * those with a key count.
 */
export function chooseSigner(
  authorities: readonly StoredAuthority[],
  now: Date,
  terms: AuthorityTerms,
): Signer | undefined {
  const able = [...authorities]
    .sort(byAge)
    .filter((authority) => isAlive(authority, now))
    .filter(canSign);
  return able.findLast((authority) => addedAtMs(authority) + terms.settleMs <= now.getTime()) ?? able[0];
}

/** The bundle that clients are to trust: all of them, oldest first. */
export function bundleOf(authorities: readonly StoredAuthority[]): string {
  return authorities.map((authority) => `${authority.certificate.trim()}\n`).join('');
}

const canSign = (authority: StoredAuthority): authority is Signer => authority.key !== undefined;
const addedAtMs = (authority: StoredAuthority): number => Date.parse(authority.addedAt);
const byAge = (one: StoredAuthority, other: StoredAuthority): number => addedAtMs(one) - addedAtMs(other);

function isAlive(authority: StoredAuthority, now: Date): boolean {
  const [certificate] = parseCertificates(authority.certificate);
  return certificate !== undefined && now < certificate.validToDate;
}

/** Older than the signer, which has signed for so long that every leaf of an older one has been renewed. */
function isSuperseded(
  authority: StoredAuthority,
  signer: Signer | undefined,
  now: Date,
  terms: AuthorityTerms,
): boolean {
  if (signer === undefined || byAge(authority, signer) >= 0) return false;
  return addedAtMs(signer) + terms.settleMs + terms.leafValidityMs <= now.getTime();
}

/** Once a newer authority signs, the key of an older one can only be stolen. */
function withoutOldKey(authority: StoredAuthority, signer: Signer | undefined): StoredAuthority {
  if (signer === undefined || byAge(authority, signer) >= 0) return authority;
  const { certificate, addedAt } = authority;
  return { certificate, addedAt };
}
