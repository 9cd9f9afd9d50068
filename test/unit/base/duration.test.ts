import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGoDuration } from '../../../src/base/duration.ts';

// The table of Go's own test (time/time_test.go: parseDurationTests), in milliseconds.
const GOOD: readonly [string, number][] = [
  ['0', 0],
  ['5s', 5_000],
  ['30s', 30_000],
  ['1478s', 1_478_000],
  ['-5s', -5_000],
  ['+5s', 5_000],
  ['-0', 0],
  ['+0', 0],
  ['5.0s', 5_000],
  ['5.6s', 5_600],
  ['5.s', 5_000],
  ['.5s', 500],
  ['1.0s', 1_000],
  ['1.00s', 1_000],
  ['1.004s', 1_004],
  ['1.0040s', 1_004],
  ['100.00100s', 100_001],
  ['10ns', 0.00001],
  ['11us', 0.011],
  ['12µs', 0.012],
  ['12μs', 0.012],
  ['13ms', 13],
  ['14s', 14_000],
  ['15m', 900_000],
  ['16h', 57_600_000],
  ['3h30m', 12_600_000],
  ['10.5s4m', 250_500],
  ['-2m3.4s', -123_400],
  ['1h2m3s4ms5us6ns', 3_723_004.005006],
  ['39h9m14.425s', 140_954_425],
  ['52763797000ns', 52_763.797],
  ['0.3333333333333333333h', 1_200_000],
  ['9007199254740993ns', 9_007_199_254.740992],
  ['9223372036854775807ns', 9_223_372_036_854.775],
  ['9223372036854775.807us', 9_223_372_036_854.775],
  ['9223372036s854ms775us807ns', 9_223_372_036_854.775],
  ['-9223372036854775808ns', -9_223_372_036_854.775],
  ['0.100000000000000000000h', 360_000],
  ['0.830103483285477580700h', 2_988_372.539827],
  // maxAge as people write it
  ['1h30m', 5_400_000],
  ['1.5h', 5_400_000],
  ['0s', 0],
];

const BAD = [
  '',
  '3',
  '-',
  's',
  '.',
  '-.',
  '.s',
  '+.s',
  '1d',
  '1w',
  '1h 30m',
  ' 1h',
  '1h ',
  '1H',
  '1e3s',
  '--1s',
  '1,5h',
  '٣s',
  '{{inputs.parameters.age}}',
  '\x85\x85',
  '\xffff',
  'hello \xffff world',
  '9223372036854775810ns',
  '9223372036854775808ns',
  '-9223372036854775809ns',
  '9223372036854776us',
  '3000000h',
  '9223372036854775.808us',
  '9223372036854ms775us808ns',
  '1constructor',
];

describe('parseGoDuration', () => {
  it.each(GOOD)('reads %s', (text, ms) => {
    const read = parseGoDuration(text) ?? Number.NaN;
    expect(Math.abs(read - ms)).toBeLessThanOrEqual(Math.abs(ms) * 1e-12);
  });

  it.each(BAD)('refuses %j', (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  });

  it('reads whatever is put together from whole numbers and units', () => {
    const units = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
    const part = fc.tuple(fc.integer({ min: 0, max: 100_000 }), fc.constantFrom(...(Object.keys(units) as 'h'[])));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), fc.boolean(), (parts, isNegative) => {
        const text = parts.map(([count, unit]) => `${count}${unit}`).join('');
        const ms = parts.reduce((sum, [count, unit]) => sum + count * units[unit], 0);
        expect(parseGoDuration(isNegative ? `-${text}` : text)).toBe(isNegative && ms > 0 ? -ms : ms);
      }),
    );
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(['undefined', 'number']).toContain(typeof parseGoDuration(text));
      }),
    );
  });

  it('does not work on texts that nobody means', () => {
    expect(parseGoDuration(`${'0'.repeat(1_000_000)}1s`)).toBeUndefined();
  });
});
