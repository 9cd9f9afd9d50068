/** Nanoseconds of each unit that Go's time.ParseDuration knows; both spellings of micro. */
const UNIT_NS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  '\u00b5s': 1_000n,
  '\u03bcs': 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** 1<<63: one more than the longest duration, exactly the longest negative one. */
const LIMIT_NS = 1n << 63n;

/** `3`, `3.`, `.5` or `3.5`, then everything up to the next number as the unit. */
const PART = /^(\d*)(?:(\.)(\d*))?([^\d.]+)/;

/**
 * What stands behind the point, in nanoseconds: Go keeps as many digits as fit in 63 bits, multiplies as float64 and cuts
 * off the rest (time/format.go:leadingFraction), so `0.3333333333333333333h` is 20 minutes.
 */
function fractionNs(digits: string, unitNs: bigint): bigint {
  let value = 0n;
  let scale = 1;
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit);
    if (value > (LIMIT_NS - 1n) / 10n || next > LIMIT_NS) break;
    value = next;
    scale *= 10;
  }
  return BigInt(Math.floor(Number(value) * (Number(unitNs) / scale)));
}

function parsePart(match: RegExpExecArray): bigint | undefined {
  const [, whole = '', , fraction = '', unit = ''] = match;
  if (whole === '' && fraction === '') return undefined;
  const unitNs = Object.hasOwn(UNIT_NS, unit) ? UNIT_NS[unit] : undefined;
  if (unitNs === undefined) return undefined;
  const wholeNs = BigInt(whole === '' ? '0' : whole) * unitNs;
  const partNs = wholeNs + fractionNs(fraction, unitNs);
  return partNs > LIMIT_NS ? undefined : partNs;
}

function parseUnsigned(text: string): bigint | undefined {
  let rest = text;
  let totalNs = 0n;
  while (rest !== '') {
    const match = PART.exec(rest);
    if (match === null) return undefined;
    const partNs = parsePart(match);
    if (partNs === undefined) return undefined;
    totalNs += partNs;
    if (totalNs > LIMIT_NS) return undefined;
    rest = rest.slice(match[0].length);
  }
  return totalNs;
}

/** Longer texts are no durations that anyone means; Go has no bound, but big numbers cost quadratic time here. */
const LONGEST_TEXT = 256;

/**
 * Reads a duration as Go's time.ParseDuration does, which Argo uses for maxAge: a sign, then numbers with units
 * (`1h30m`, `1.5h`, `-2s`); a bare `0` needs no unit; there is no `d`. Milliseconds, with fractions down to a nanosecond;
 * undefined where Go returns an error.
 */
export function parseGoDuration(text: string): number | undefined {
  if (text.length > LONGEST_TEXT) return undefined;
  const isNegative = text.startsWith('-');
  const unsigned = isNegative || text.startsWith('+') ? text.slice(1) : text;
  if (unsigned === '0') return 0;
  if (unsigned === '') return undefined;
  const totalNs = parseUnsigned(unsigned);
  if (totalNs === undefined || (!isNegative && totalNs >= LIMIT_NS)) return undefined;
  const totalMs = Number(totalNs / 1_000_000n) + Number(totalNs % 1_000_000n) / 1_000_000;
  return isNegative && totalMs !== 0 ? -totalMs : totalMs;
}
