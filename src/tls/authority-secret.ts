import { retryOvertaken } from '../kube/retry.ts';
import {
  isOvertaken,
  type KubeApi,
  type KubeFailure,
  type KubeObject,
  type ObjectPath,
  RESOURCES,
} from '../kube/types.ts';
import {
  type AuthorityTerms,
  bundleOf,
  planAuthorities,
  type StoredAuthority,
  storedAuthoritiesSchema,
} from './authorities.ts';
import { issueAuthority, type Tools } from './authority.ts';

/** What the Secret holds: the list that counts, and the bundle for people and for whoever else has to trust us. */
const LIST_KEY = 'authorities.json';
const BUNDLE_KEY = 'ca.crt';

export interface AuthoritySecretOptions {
  readonly kube: Pick<KubeApi, 'get' | 'create' | 'patch'>;
  readonly namespace: string;
  readonly name: string;
  readonly validityMs: number;
  readonly terms: AuthorityTerms;
  readonly tools: Tools;
  readonly now: () => Date;
  /** Told of each authority that this replica makes, and why. */
  readonly onIssued?: (reason: string) => void;
}

export type Authorities =
  | { readonly ok: true; readonly authorities: readonly StoredAuthority[] }
  | { readonly ok: false; readonly message: string };

/**
 * Reads the authorities from their Secret and brings them up to date: makes the Secret where there is none, adds a new
 * authority when the newest is due, takes away what has had its day. Every write tests that the Secret is still the one
 * that was read, so that of several replicas one writes and the others take over what it wrote.
 */
export async function keepAuthorities(options: AuthoritySecretOptions): Promise<Authorities> {
  const outcome = await retryOvertaken(
    () => tryOnce(options),
    (one) => !one.ok && isRaceLost(one),
  );
  if (outcome.ok) return outcome;
  return { ok: false, message: `Secret ${options.namespace}/${options.name}: ${outcome.message}` };
}

const isRaceLost = (failure: KubeFailure): boolean => failure.reason === 'AlreadyExists' || isOvertaken(failure);

async function tryOnce(options: AuthoritySecretOptions): Promise<(Authorities & { ok: true }) | KubeFailure> {
  const path: ObjectPath = { resource: RESOURCES.secrets, namespace: options.namespace, name: options.name };
  const read = await options.kube.get(path);
  if (!read.ok && read.status !== 404) return read;
  const stored = read.ok ? storedIn(read.value) : [];
  const now = options.now();
  const plan = planAuthorities(stored, now, options.terms);
  if (!plan.needsNew.is && !plan.isChanged) return { ok: true, authorities: plan.kept };

  const authorities = plan.needsNew.is ? [...plan.kept, await makeAuthority(options, now)] : plan.kept;
  const written = read.ok
    ? await replaceData(options, path, read.value, authorities)
    : await createSecret(options, authorities);
  if (!written.ok) return written;
  if (plan.needsNew.is) options.onIssued?.(plan.needsNew.reason);
  return { ok: true, authorities };
}

async function makeAuthority(options: AuthoritySecretOptions, now: Date): Promise<StoredAuthority> {
  const pair = await issueAuthority({ now, validityMs: options.validityMs, tools: options.tools });
  return { ...pair, addedAt: now.toISOString() };
}

/** What cannot be read counts as nothing: a new authority then takes its place. */
function storedIn(secret: KubeObject): StoredAuthority[] {
  const text = (secret.data as Record<string, unknown> | null | undefined)?.[LIST_KEY];
  if (typeof text !== 'string') return [];
  try {
    const parsed = storedAuthoritiesSchema.safeParse(JSON.parse(Buffer.from(text, 'base64').toString()));
    return parsed.success ? parsed.data : [];
  } catch {
    return [];
  }
}

function dataOf(authorities: readonly StoredAuthority[]): Record<string, string> {
  const encode = (text: string) => Buffer.from(text).toString('base64');
  return { [LIST_KEY]: encode(JSON.stringify(authorities)), [BUNDLE_KEY]: encode(bundleOf(authorities)) };
}

function createSecret(options: AuthoritySecretOptions, authorities: readonly StoredAuthority[]) {
  return options.kube.create(
    { resource: RESOURCES.secrets, namespace: options.namespace },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        namespace: options.namespace,
        name: options.name,
        labels: { 'app.kubernetes.io/part-of': 'stepmemo' },
      },
      type: 'Opaque',
      data: dataOf(authorities),
    },
  );
}

function replaceData(
  options: AuthoritySecretOptions,
  path: ObjectPath,
  read: KubeObject,
  authorities: readonly StoredAuthority[],
) {
  return options.kube.patch(path, [
    { op: 'test', path: '/metadata/resourceVersion', value: read.metadata?.resourceVersion },
    { op: 'add', path: '/data', value: dataOf(authorities) },
  ]);
}
