import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Entry, formatTimestamp, isExpired, parseEntry, serializeEntry } from '../../../src/cache/entry.ts';

// Written by Argo 4.0.5 (workflow/controller/cache/configmap_cache.go:Save).
const NATIVE =
  '{"nodeID":"outputs-2546133472","outputs":{"parameters":[{"name":"text","value":"one\\n","valueFrom":{"path":"/tmp/text"}},{"name":"missing","value":"fallback","valueFrom":{"path":"/tmp/no","default":"fallback"}}],"exitCode":"0"},"creationTimestamp":"2026-11-24T18:08:08Z","lastHitTimestamp":"2026-11-24T18:08:08Z"}';

describe('parseEntry', () => {
  it("reads Argo's own entries and writes them back the same", () => {
    const lookup = parseEntry(NATIVE);
    expect(lookup.found).toBe('entry');
    if (lookup.found === 'entry') expect(serializeEntry(lookup.entry)).toBe(NATIVE);
  });

  it.each([
    ['{"nodeID":"n","outputs":null,"creationTimestamp":null,"lastHitTimestamp":null}', 'n', null],
    ['{"nodeID":"n"}', 'n', null],
    ['{}', '', null],
    ['{"nodeID":"n","outputs":{},"more":1}', 'n', {}],
  ])('reads %s', (text, nodeID, outputs) => {
    expect(parseEntry(text)).toMatchObject({ found: 'entry', entry: { nodeID, outputs } });
  });

  it.each([
    ['3', '3'],
    ['1.5', '1.5'],
    ['true', 'true'],
    ['1e21', '1000000000000000000000'],
    ['-1.25e-7', '-0.000000125'],
    ['1.5e22', '15000000000000000000000'],
    ['"x"', 'x'],
    ['null', undefined],
  ])('takes the value %s as Argo does', (json, value) => {
    const lookup = parseEntry(`{"nodeID":"n","outputs":{"parameters":[{"name":"p","value":${json}}]}}`);
    expect(lookup.found === 'entry' && lookup.entry.outputs?.parameters?.[0]?.value).toBe(value);
  });

  it.each([
    'not json',
    '[]',
    '"text"',
    'null',
    '{"nodeID":1}',
    '{"nodeID":"n","outputs":[]}',
    '{"nodeID":"n","outputs":{"parameters":[{"value":"x"}]}}',
    '{"nodeID":"n","outputs":{"parameters":[{"name":"p","value":{}}]}}',
    '{"nodeID":"n","outputs":{"exitCode":0}}',
    '{"nodeID":"n","creationTimestamp":"yesterday"}',
    '{"nodeID":"n","creationTimestamp":"2026-11-24T18:08Z"}',
    '{"nodeID":"n","creationTimestamp":""}',
  ])('calls %s malformed, without quoting it', (text) => {
    const lookup = parseEntry(text);
    expect(lookup.found).toBe('malformed');
    if (lookup.found === 'malformed') expect(lookup.detail).not.toContain('yesterday');
  });

  it('reads back whatever was written', () => {
    const time = fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }).map(formatTimestamp);
    const entry = fc.record({
      nodeID: fc.string(),
      outputs: fc.record(
        {
          parameters: fc.array(fc.record({ name: fc.string(), value: fc.string() })),
          result: fc.string(),
          exitCode: fc.constant('0'),
        },
        { requiredKeys: [] },
      ),
      creationTimestamp: time,
      lastHitTimestamp: time,
    });
    fc.assert(
      fc.property(entry, (written) => {
        expect(parseEntry(serializeEntry(written))).toEqual({ found: 'entry', entry: written });
      }),
    );
  });
});

describe('isExpired', () => {
  const now = new Date('2026-11-24T12:00:10Z');
  const made = (creationTimestamp?: string | null): Entry => ({ nodeID: 'n', outputs: {}, creationTimestamp });

  it.each([
    ['no limit', made('2000-01-01T00:00:00Z'), undefined, false],
    ['younger', made('2026-11-24T12:00:01Z'), 10_000, false],
    ['as old as allowed, for the comparison is strict', made('2026-11-24T12:00:00Z'), 10_000, false],
    ['older', made('2026-11-24T11:59:59Z'), 10_000, true],
    ['in another time zone', made('2026-11-24T13:00:05+01:00'), 10_000, false],
    ['from the future', made('2026-11-25T00:00:00Z'), 10_000, false],
    ['zero maxAge', made('2026-11-24T12:00:10Z'), 0, true],
    ['negative maxAge', made('2026-11-25T12:00:10Z'), -1, true],
    ['no creation time, no limit', made(null), undefined, false],
    ['no creation time, a limit', made(null), 10_000, true],
    ['absent creation time, a limit', made(), 10_000, true],
  ])('%s', (_, entry, maxAgeMs, expected) => {
    expect(isExpired(entry, maxAgeMs, now)).toBe(expected);
  });
});

describe('formatTimestamp', () => {
  it('is UTC in whole seconds', () => {
    expect(formatTimestamp(new Date('2026-11-24T12:00:00.999Z'))).toBe('2026-11-24T12:00:00Z');
  });
});
