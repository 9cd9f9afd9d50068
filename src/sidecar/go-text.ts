import { isUtf8 } from 'node:buffer';

const REPLACEMENT = [0xef, 0xbf, 0xbd];

/**
 * Bytes of a file as the text that Argo's executor reports for them. Go puts U+FFFD in the place of every single byte that
 * is no UTF-8 (encoding/json), where Node's decoder puts one for a whole broken sequence; stepmemo compares the two texts.
 */
export function decodeAsGo(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const clean = Buffer.allocUnsafe(bytes.length * REPLACEMENT.length);
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    const width = sequenceWidth(bytes, at);
    if (width === 0) {
      for (const byte of REPLACEMENT) clean[length++] = byte;
      at += 1;
    } else {
      length += bytes.copy(clean, length, at, at + width);
      at += width;
    }
  }
  return clean.toString('utf8', 0, length);
}

/** Length of the valid sequence that starts here, 0 where there is none (unicode/utf8:DecodeRune). */
function sequenceWidth(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const width = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
  return width > 0 && isUtf8(bytes.subarray(at, at + width)) && at + width <= bytes.length ? width : 0;
}
