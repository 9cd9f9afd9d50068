import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAsGo } from '../../../src/sidecar/go-text.ts';

/** unicode/utf8:DecodeRune, one byte after the other, as slowly and plainly as can be. */
function decodePlainly(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const width = [1, 2, 3, 4].find((length) => {
      const character = bytes.subarray(at, at + length);
      return character.length === length && Buffer.from(character.toString('utf8')).equals(character);
    });
    text += width === undefined ? '\u{fffd}' : bytes.toString('utf8', at, at + width);
    at += width ?? 1;
  }
  return text;
}

describe('decodeAsGo', () => {
  // What `json.Marshal(string(bytes))` of Go makes of them.
  it.each([
    ['61e282', 'a\u{fffd}\u{fffd}'],
    ['e28261', '\u{fffd}\u{fffd}a'],
    ['f09f98', '\u{fffd}\u{fffd}\u{fffd}'],
    ['c0af', '\u{fffd}\u{fffd}'],
    ['eda080', '\u{fffd}\u{fffd}\u{fffd}'],
    ['f4908080', '\u{fffd}\u{fffd}\u{fffd}\u{fffd}'],
    ['ff', '\u{fffd}'],
    ['efbbbf61', '\u{feff}a'],
    ['f09f9880', '😀'],
    ['00', '\u0000'],
  ])('reads %s', (hex, text) => {
    expect(decodeAsGo(Buffer.from(hex, 'hex'))).toBe(text);
  });

  it('leaves any text as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 50 }), (text) => {
        expect(decodeAsGo(Buffer.from(text, 'utf8'))).toBe(text);
      }),
    );
  });

  it('replaces byte by byte what is none, also across the blocks that it looks at', () => {
    const piece = fc.oneof(
      fc.constantFrom('ä', '€', '😀', 'x').map((text) => Buffer.from(text)),
      fc.uint8Array({ minLength: 1, maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(fc.nat(5), fc.array(piece, { maxLength: 20 }), (shift, pieces) => {
        const bytes = Buffer.concat([Buffer.alloc(4096 - 5 + shift, 'a'), ...pieces]);
        expect(decodeAsGo(bytes)).toBe(decodePlainly(bytes));
      }),
      { numRuns: 300 },
    );
  });
});
