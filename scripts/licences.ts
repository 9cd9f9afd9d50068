// Fails when a package of the lock file has a licence that Apache-2.0 software should not carry along.
import lock from '../package-lock.json' with { type: 'json' };

const ALLOWED = new Set([
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'CC0-1.0',
  'BlueOak-1.0.0',
  'Python-2.0',
  'PSF-2.0',
  'Unlicense',
  'MIT-0',
  // Only tools that are not shipped with the server (vitest's build tool) are under it.
  'MPL-2.0',
]);

interface LockedPackage {
  readonly license?: string;
  readonly dev?: boolean;
}

/** `(A OR B)` is fine when one of them is; `A AND B` when both are. */
function isAllowed(expression: string): boolean {
  const bare = expression.replaceAll(/[()]/g, '');
  return bare.split(' OR ').some((choice) => choice.split(' AND ').every((name) => ALLOWED.has(name.trim())));
}

const packages = Object.entries(lock.packages as Record<string, LockedPackage>).filter(([path]) => path !== '');
const bad = packages.filter(([, { license, dev }]) => {
  if (license === undefined) return true;
  return !isAllowed(license) || (license === 'MPL-2.0' && dev !== true);
});
for (const [path, { license }] of bad) console.error(`${path}: licence ${license ?? 'unknown'} is not on the list`);
if (bad.length > 0) process.exit(1);
console.log(`licences of ${packages.length} packages are fine`);
