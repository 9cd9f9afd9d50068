import { describe, expect, it } from 'vitest';
import { type Lookup, parseResolvConf, resolveHost } from '../../../src/sidecar/resolve.ts';

const inPod = parseResolvConf(`
# made by the kubelet
nameserver 10.96.0.10
domain ignored.example
search team-a.svc.cluster.local svc.cluster.local. cluster.local
options edns0 ndots:5 timeout:1
`);

/** Knows some names, and notes which it was asked for. */
function fakeLookup(known: Record<string, string[]>): { lookup: Lookup; asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    lookup: async (name) => {
      asked.push(name);
      return known[name] ?? [];
    },
  };
}

describe('parseResolvConf', () => {
  it('takes the last search list and ndots', () => {
    expect(inPod).toEqual({ search: ['team-a.svc.cluster.local', 'svc.cluster.local', 'cluster.local'], ndots: 5 });
  });

  it.each(['', 'search', 'options ndots:x', '\u0000'])('has defaults for %j', (text) => {
    expect(parseResolvConf(text)).toEqual({ search: [], ndots: 1 });
  });
});

describe('resolveHost', () => {
  it('asks for a Service below each domain, and not outside of the cluster', async () => {
    const { lookup, asked } = fakeLookup({ 'stepmemo.stepmemo.svc.cluster.local': ['10.0.0.1'] });
    expect(await resolveHost('stepmemo.stepmemo.svc', inPod, lookup)).toEqual(['10.0.0.1']);
    expect(asked).not.toContain('stepmemo.stepmemo.svc');
  });

  it('prefers the earlier domain, whichever answers first', async () => {
    const lookup: Lookup = async (name) => {
      if (name === 'a.team-a.svc.cluster.local') await new Promise((resolve) => setImmediate(resolve));
      return name.startsWith('a.') ? [name] : [];
    };
    expect(await resolveHost('a', inPod, lookup)).toEqual(['a.team-a.svc.cluster.local']);
  });

  it('asks for the name as it stands last where it has few dots, first where it has many', async () => {
    const few = fakeLookup({ 'stepmemo.example.com': ['10.0.0.2'] });
    expect(await resolveHost('stepmemo.example.com', inPod, few.lookup)).toEqual(['10.0.0.2']);
    expect(few.asked.at(-1)).toBe('stepmemo.example.com');
    const many = fakeLookup({ 'stepmemo.example.com': ['10.0.0.2'] });
    await resolveHost('stepmemo.example.com', { search: ['cluster.local'], ndots: 1 }, many.lookup);
    expect(many.asked).toEqual(['stepmemo.example.com']);
  });

  it('asks for a full name alone', async () => {
    const { lookup, asked } = fakeLookup({});
    expect(await resolveHost('stepmemo.example.', inPod, lookup)).toEqual([]);
    expect(asked).toEqual(['stepmemo.example.']);
  });

  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['[fd00::1]', 'fd00::1'],
  ])('asks nobody for %s', async (host, address) => {
    const { lookup, asked } = fakeLookup({});
    expect(await resolveHost(host, inPod, lookup)).toEqual([address]);
    expect(asked).toEqual([]);
  });
});
