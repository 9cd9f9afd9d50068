import { isUtf8 } from 'node:buffer';

const REPLACEMENT = [0xef, 0xbf, 0xbd];
const BLOCK_BYTES = 4096;

/**
 * Bytes of a file as the text that Argo's executor reports for them. Go puts U+FFFD in the place of every single byte that
 * is no UTF-8 (encoding/json), where Node's decoder puts one for a whole broken sequence; stepmemo compares the two texts.
 */
export function decodeAsGo(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const clean: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = blockEnd(bytes, at);
    const block = bytes.subarray(at, end);
    // Only a block with something broken in it is worth a look at each character.
    clean.push(isUtf8(block) ? block : cleanBlock(block));
    at = end;
  }
  return Buffer.concat(clean).toString('utf8');
}

function cleanBlock(block: Buffer): Buffer {
  const clean = Buffer.allocUnsafe(block.length * REPLACEMENT.length);
  let length = 0;
  for (let at = 0; at < block.length; ) {
    const width = sequenceWidth(block, at);
    if (width > 0) length += block.copy(clean, length, at, at + width);
    else for (const byte of REPLACEMENT) clean[length++] = byte;
    at += Math.max(width, 1);
  }
  return clean.subarray(0, length);
}

/** The end of a block, moved back so that it cuts no character in two. */
function blockEnd(bytes: Buffer, start: number): number {
  const end = Math.min(start + BLOCK_BYTES, bytes.length);
  for (let back = 0; back < 4; back++) {
    if (((bytes[end - back] ?? 0) & 0xc0) !== 0x80) return end - back;
  }
  return end;
}

/** Length of the valid sequence that starts here, 0 where there is none (unicode/utf8:DecodeRune). */
function sequenceWidth(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const width = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
  return width > 0 && at + width <= bytes.length && isUtf8(bytes.subarray(at, at + width)) ? width : 0;
}
