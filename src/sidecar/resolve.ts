import { promises as dns } from 'node:dns';
import { readFileSync } from 'node:fs';

/** What /etc/resolv.conf says about names that are not fully qualified. */
export interface SearchRules {
  readonly search: readonly string[];
  readonly ndots: number;
}

/** Answers the addresses of a name, or an empty list. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/**
 * Addresses of a host, by DNS alone. The system's resolver (getaddrinfo) is left aside on purpose: it blocks a
 * thread that the process waits for when it ends, with a name server that does not answer for up to 20 seconds
 * (measured), and the pod with it. Node's own resolver lacks the search list, so that is done here, as resolv.conf(5) has it.
 */
export async function resolveHost(
  host: string,
  rules = readSearchRules(),
  lookup = lookUp,
): Promise<readonly string[]> {
  // As a URL has it: IPv6 in brackets, IPv4 in its one form, and no name whose last part is a number.
  const literal = /^\[(.*)\]$/.exec(host)?.[1] ?? (/\.\d+$/.test(host) ? host : undefined);
  if (literal !== undefined) return [literal];
  const { asIs, searched } = candidates(host, rules);
  // The name as it stands would leave the cluster, so it is asked for last; and first where it has dots enough.
  if (asIs === 'first') {
    const found = await lookup(host);
    if (found.length > 0) return found;
  }
  const lookups = searched.map(lookup);
  for (const pending of lookups) {
    const found = await pending;
    if (found.length > 0) return found;
  }
  return asIs === 'last' ? lookup(host) : [];
}

function candidates(host: string, { search, ndots }: SearchRules): { asIs: 'first' | 'last'; searched: string[] } {
  if (host.endsWith('.')) return { asIs: 'first', searched: [] };
  const dots = host.split('.').length - 1;
  const searched = search.map((domain) => `${host}.${domain}`);
  return { asIs: dots >= ndots ? 'first' : 'last', searched };
}

/** The last `search` or `domain` line counts, and `ndots` is 1 where nothing says otherwise. */
export function parseResolvConf(text: string): SearchRules {
  let search: string[] = [];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === 'search' || keyword === 'domain') search = values.map((domain) => domain.replace(/\.$/, ''));
    if (keyword !== 'options') continue;
    for (const value of values) {
      const number = /^ndots:(\d+)$/.exec(value)?.[1];
      if (number !== undefined) ndots = Number(number);
    }
  }
  return { search: search.filter(Boolean), ndots };
}

function readSearchRules(): SearchRules {
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return { search: [], ndots: 1 };
  }
}

/** IPv4 first; IPv6 where there is nothing else. */
async function lookUp(name: string): Promise<readonly string[]> {
  const nothing = (): string[] => [];
  const resolver = new dns.Resolver({ timeout: 100, tries: 2 });
  const six = resolver.resolve6(name).catch(nothing);
  const four = await resolver.resolve4(name).catch(nothing);
  return four.length > 0 ? four : six;
}
