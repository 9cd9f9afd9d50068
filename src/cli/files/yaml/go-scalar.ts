/**
 * Plain YAML scalars as Go's reader resolves them (go.yaml.in/yaml/v2: resolve.go), which is what kubectl sends: YAML 1.1
 * with exceptions of its own. `yes` is true, `017` is 15, `1_000` is a number; a date is a text, and so is `1:30`.
 */
export type ScalarValue = string | number | bigint | boolean | null;

/** A scalar's value, or why Go would refuse it. */
export type ScalarReading =
  | { readonly ok: true; readonly value: ScalarValue }
  | { readonly ok: false; readonly message: string };

const NAMED: ReadonlyMap<string, ScalarValue> = new Map<string, ScalarValue>([
  ...words(true, 'y Y yes Yes YES true True TRUE on On ON'),
  ...words(false, 'n N no No NO false False FALSE off Off OFF'),
  ...words(null, '~ null Null NULL'),
  ['', null],
  ...words(Number.NaN, '.nan .NaN .NAN'),
  ...words(Number.POSITIVE_INFINITY, '.inf .Inf .INF +.inf +.Inf +.INF'),
  ...words(Number.NEGATIVE_INFINITY, '-.inf -.Inf -.INF'),
]);

function words(value: ScalarValue, list: string): [string, ScalarValue][] {
  return list.split(' ').map((word) => [word, value]);
}

const YAML_TAGS = 'tag:yaml.org,2002:';
const STR = `${YAML_TAGS}str`;
const TYPES: Readonly<Record<string, (value: ScalarValue) => boolean>> = {
  'tag:yaml.org,2002:bool': (value) => typeof value === 'boolean',
  'tag:yaml.org,2002:int': (value) => typeof value === 'bigint' || Number.isInteger(value),
  'tag:yaml.org,2002:float': (value) => typeof value === 'number' || typeof value === 'bigint',
  'tag:yaml.org,2002:null': (value) => value === null,
};

/** Resolves a scalar: `tag` is undefined where none is written, `isPlain` false for quoted and block scalars. */
export function resolveScalar(text: string, tag: string | undefined, isPlain: boolean): ScalarReading {
  if (tag === undefined) return isPlain ? finite(resolvePlain(text), text) : { ok: true, value: text };
  // A tag of anybody else's schema is passed over, and the text stays one.
  if (tag === STR || !tag.startsWith(YAML_TAGS)) return { ok: true, value: text };
  const isType = TYPES[tag];
  // Binary and timestamps: Go has rules for each that manifests do not need.
  if (isType === undefined) return refuse(`the tag ${tag.replace(YAML_TAGS, '!!')} is not supported`);
  const value = resolvePlain(text);
  if (!isType(value)) return refuse(`"${text}" is no ${tag.replace(YAML_TAGS, '!!')}`);
  return finite(value, text);
}

function refuse(message: string): ScalarReading {
  return { ok: false, message };
}

/** JSON has no word for the others. */
function finite(value: ScalarValue, text: string): ScalarReading {
  if (typeof value === 'number' && !Number.isFinite(value)) return refuse(`${text} is no number that JSON can hold`);
  return { ok: true, value };
}

const FLOAT = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;

function resolvePlain(text: string): ScalarValue {
  const named = NAMED.get(text);
  if (named !== undefined) return named;
  if (text.startsWith('.')) return parseGoFloat(text) ?? text;
  if (!/^[-+0-9]/.test(text) || isTimestamp(text)) return text;
  const plain = text.replaceAll('_', '');
  return parseGoInteger(plain) ?? (FLOAT.test(plain) ? Number(plain) : text);
}

/** After a dot Go asks its own parser of floats, which takes `_` only in hexadecimal, and so nothing that begins here. */
function parseGoFloat(text: string): number | undefined {
  return /^\.[0-9]+([eE][-+]?[0-9]+)?$/.test(text) ? Number(text) : undefined;
}

/** A date, or a date with a time of day, is a text (decode.go:scalar); the shapes are those of resolve.go. */
function isTimestamp(text: string): boolean {
  const match =
    /^\d{4}-(\d{1,2})-(\d{1,2})(?:(?:[Tt]| )(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?(?:Z|[-+]\d\d:\d\d)?)?$/.exec(
      text,
    );
  return match !== null;
}

const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;

/** strconv.ParseInt and ParseUint with base 0, and the binary forms that resolve.go adds. */
function parseGoInteger(text: string): number | bigint | undefined {
  const match = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[oO]([0-7]+)|0[bB]([01]+)|0([0-7]+)|(0|[1-9][0-9]*))$/.exec(text);
  if (match === null) return undefined;
  const [, sign = '', hex, octal, binary, oldOctal, decimal] = match;
  const digits = hex ?? octal ?? binary ?? oldOctal ?? decimal ?? '';
  const isOctal = octal !== undefined || oldOctal !== undefined;
  const prefix = hex !== undefined ? '0x' : binary !== undefined ? '0b' : isOctal ? '0o' : '';
  return signed(sign, BigInt(prefix + digits));
}

function signed(sign: string, size: bigint): number | bigint | undefined {
  if (sign === '-') return size <= MAX_INT64 + 1n ? narrow(-size) : undefined;
  if (size <= MAX_INT64) return narrow(size);
  // An unsigned number has no sign. Kubernetes keeps what int64 cannot hold as a float.
  return sign === '' && size <= MAX_UINT64 ? Number(size) : undefined;
}

/** An integer as a number where that is exact. */
export function narrow(integer: bigint): number | bigint {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : integer;
}
