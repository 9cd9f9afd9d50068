import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { AcceptedPaths, lookAheadPath } from '../../../src/tls/look-ahead-path.ts';

const newKey = () =>
  generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

it('is 256 bits that follow from the key alone', () => {
  const [key, other] = [newKey(), newKey()];
  expect(lookAheadPath(key)).toMatch(/^\/look-ahead\/[0-9a-f]{64}$/);
  expect(lookAheadPath(key)).toBe(lookAheadPath(key));
  expect(lookAheadPath(other)).not.toBe(lookAheadPath(key));
});

it('is accepted for ten minutes after another has come', () => {
  const paths = new AcceptedPaths();
  const at = (minutes: number) => new Date(minutes * 60_000);
  expect(paths.has('/look-ahead/a')).toBe(false);
  paths.see('/look-ahead/a', at(0));
  paths.see('/look-ahead/b', at(9));
  expect(['a', 'b', 'c', ''].map((name) => paths.has(`/look-ahead/${name}`))).toEqual([true, true, false, false]);
  paths.see('/look-ahead/b', at(11));
  expect(['a', 'b'].map((name) => paths.has(`/look-ahead/${name}`))).toEqual([false, true]);
});
