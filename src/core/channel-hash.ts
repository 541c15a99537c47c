/**
 * The running hash over all bytes that ever went through a channel, kept by its sender and by its
 * receiver. Two ends that saw the same bytes have the same hash, so "the receiver's hash, with the
 * messages in flight folded in, is the sender's" proves that exactly those messages are in flight.
 *
 * Theory of operation. The bytes are taken as little-endian 32-bit words; word number i goes to lane
 * i mod 4. A lane takes a word by exclusive or, a multiplication by an odd constant and a rotation: each
 * step is a bijection of lane and word, so two streams that differ in one word always end differently,
 * and others end alike by chance once in 2^32 or less. Four lanes keep a processor's multiplier busy (about
 * 10 bytes a nanosecond), and the number of words taken so far is all that must be known to go on, so
 * the hash does not depend on how the stream was cut into batches. It finds mistakes and careless
 * edits; it is not a signature: differences that cancel out are easy to choose (the top bit of a word and
 * bit 12 of the fourth one after it), and whoever may rewrite a whole snapshot computes a fitting hash.
 */

/** Plain data. `words` is the number of words taken so far, modulo 4. */
export interface ChannelHash {
  a: number;
  b: number;
  c: number;
  d: number;
  words: number;
}

/** The hash of a channel on which nothing was sent. */
export function emptyChannelHash(): ChannelHash {
  return { a: 0x243f6a88, b: 0x85a308d3 | 0, c: 0x13198a2e, d: 0x03707344, words: 0 };
}

/** Folds in the bytes from `start` to `end`, whose number must be a multiple of 4. */
export function foldChannelHash(
  hash: ChannelHash,
  view: DataView,
  start: number,
  end: number,
): void {
  let at = start;
  // Up to three words, until the lanes stand at lane a again.
  for (; hash.words !== 0 && at < end; at += 4) foldWord(hash, view.getInt32(at, true));
  let { a, b, c, d } = hash;
  for (const last = end - 15; at < last; at += 16) {
    a = Math.imul(a ^ view.getInt32(at, true), 0x9e3779b1);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ view.getInt32(at + 4, true), 0x85ebca77);
    b = (b << 13) | (b >>> 19);
    c = Math.imul(c ^ view.getInt32(at + 8, true), 0xc2b2ae3d);
    c = (c << 13) | (c >>> 19);
    d = Math.imul(d ^ view.getInt32(at + 12, true), 0x27d4eb2f);
    d = (d << 13) | (d >>> 19);
  }
  hash.a = a;
  hash.b = b;
  hash.c = c;
  hash.d = d;
  for (; at < end; at += 4) foldWord(hash, view.getInt32(at, true));
}

function foldWord(hash: ChannelHash, word: number): void {
  switch (hash.words) {
    case 0:
      hash.a = Math.imul(hash.a ^ word, 0x9e3779b1);
      hash.a = (hash.a << 13) | (hash.a >>> 19);
      break;
    case 1:
      hash.b = Math.imul(hash.b ^ word, 0x85ebca77);
      hash.b = (hash.b << 13) | (hash.b >>> 19);
      break;
    case 2:
      hash.c = Math.imul(hash.c ^ word, 0xc2b2ae3d);
      hash.c = (hash.c << 13) | (hash.c >>> 19);
      break;
    default:
      hash.d = Math.imul(hash.d ^ word, 0x27d4eb2f);
      hash.d = (hash.d << 13) | (hash.d >>> 19);
  }
  hash.words = (hash.words + 1) & 3;
}

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");

/** The hash as it stands in a certificate: 33 hexadecimal digits, the last one `words`. */
export function formatChannelHash(hash: ChannelHash): string {
  return hex(hash.a) + hex(hash.b) + hex(hash.c) + hex(hash.d) + hash.words.toString(16);
}
