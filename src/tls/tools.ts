import { sign as cryptoSign, generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Tools } from './authority.ts';

const MODULUS_BITS = 2048;
const generate = promisify(generateKeyPair);

/** Keys, signatures and randomness from node:crypto, all in its thread pool: a 2048 bit key takes up to a second. */
export const SYSTEM_TOOLS: Tools = {
  makeKeyPair: async () => {
    const pair = await generate('rsa', {
      modulusLength: MODULUS_BITS,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    return pair as unknown as { privateKey: string; publicKey: string };
  },
  sign: (data, privateKey) =>
    new Promise((resolve, reject) => {
      cryptoSign('sha256', data, privateKey, (error, signature) => (error ? reject(error) : resolve(signature)));
    }),
  randomBytes: (count) => randomBytes(count),
};
