/** Suffixes of a Kubernetes quantity and what they stand for (apimachinery/pkg/api/resource/suffix.go). */
const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$/;

/** Cores or bytes that a quantity such as `500m`, `64Mi` or `1e3` stands for; undefined where it is none. */
export function parseQuantity(text: unknown): number | undefined {
  if (typeof text === 'number') return Number.isFinite(text) ? text : undefined;
  if (typeof text !== 'string') return undefined;
  const match = QUANTITY.exec(text);
  if (match === null) return undefined;
  const [, number = '', exponent = '', suffix = ''] = match;
  return exponent === '' ? Number(number) * (FACTORS[suffix] ?? Number.NaN) : Number(number + exponent);
}

/** Whether two quantities are the same amount, however written; the API server writes `0.5` as `500m`. */
export function isSameQuantity(a: unknown, b: unknown): boolean {
  const first = parseQuantity(a);
  const second = parseQuantity(b);
  if (first === undefined || second === undefined) return a === b;
  return Math.abs(first - second) <= Math.max(Math.abs(first), Math.abs(second)) * 1e-12;
}

/** CPU in whole thousandths, rounded up, as a quantity. */
export function formatCpu(cores: number): string {
  const milli = Math.ceil(cores * 1000 - 1e-6);
  return milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`;
}

/** Bytes as a quantity, rounded up. */
export function formatBytes(bytes: number): string {
  return String(Math.ceil(bytes - 1e-6));
}
