/**
 * Bytes as text and back, one character for each byte. Keys and values are such texts: they hold any bytes, take one byte for each, and
 * are what maps are fast with. On Node its own routines do it, which are far faster for more than a few bytes; without them, loops.
 */

interface Native {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  latin1Write(this: Uint8Array, text: string, at: number, length: number): number;
}

const native = (globalThis as { readonly Buffer?: { readonly prototype?: Partial<Native> } })[
  "Buffer"
]?.prototype;
const { latin1Slice, latin1Write } = native ?? {};
/** A call out of the language costs as much as so many characters. */
const SHORT = 12;
/** An argument list has a limit. */
const PIECE = 4096;

/** The text of the bytes from `start` up to `end`. */
export function readLatin1(bytes: Uint8Array, start: number, end: number): string {
  if (latin1Slice) return latin1Slice.call(bytes, start, end);
  let text = "";
  for (let at = start; at < end; at += PIECE)
    text += String.fromCharCode(...bytes.subarray(at, Math.min(end, at + PIECE)));
  return text;
}

/** Writes a text, for which there must be room, and gives where it ends. */
export function writeLatin1(text: string, bytes: Uint8Array, at: number): number {
  const { length } = text;
  if (latin1Write && length > SHORT) latin1Write.call(bytes, text, at, length);
  else for (let i = 0; i < length; i += 1) bytes[at + i] = text.charCodeAt(i);
  return at + length;
}

/** A text as bytes of its own. */
export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeLatin1(text, bytes, 0);
  return bytes;
}
