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
 *
 * Messages that come in any order need a *set hash*: the sum, lane by lane, of one hash for each record. Two ends that saw the
 * same records, each as often, have the same sum in whatever order, and the sums of two runs add up to that of both. A record's own
 * hash is the running one of a channel with that record alone, in which four times each lane takes the one before it: then every bit
 * depends on all. Without that, words that change places between two records, in the same lane, would cancel out.
 */

import { recordBytes } from "./record.ts";

/** Plain data. `words` is the number of words taken so far, modulo 4; -1 in a set hash. */
export interface ChannelHash {
  a: number;
  b: number;
  c: number;
  d: number;
  words: number;
}

const SET = -1;

/** The running hash of a channel on which nothing was sent. */
export function emptyChannelHash(): ChannelHash {
  return { a: 0x243f6a88, b: 0x85a308d3 | 0, c: 0x13198a2e, d: 0x03707344, words: 0 };
}

/** The set hash of a channel on which nothing was sent. */
export function emptySetHash(): ChannelHash {
  return { a: 0, b: 0, c: 0, d: 0, words: SET };
}

/** Folds in the bytes from `start` to `end`: whole words; in a set hash, whole records. */
export function foldChannelHash(
  hash: ChannelHash,
  view: DataView,
  start: number,
  end: number,
): void {
  if (hash.words === SET) {
    addRecords(hash, view, start, end);
    return;
  }
  let at = start;
  // Up to three words, until the lanes stand at lane a again.
  for (; hash.words !== 0 && at < end; at += 4) foldWord(hash, view.getInt32(at, true));
  let { a, b, c, d } = hash;
  for (const last = end - 15; at < last; at += 16) {
    a = take(a, view.getInt32(at, true), A);
    b = take(b, view.getInt32(at + 4, true), B);
    c = take(c, view.getInt32(at + 8, true), C);
    d = take(d, view.getInt32(at + 12, true), D);
  }
  hash.a = a;
  hash.b = b;
  hash.c = c;
  hash.d = d;
  for (; at < end; at += 4) foldWord(hash, view.getInt32(at, true));
}

// An odd factor for each lane.
const A = 0x9e3779b1;
const B = 0x85ebca77;
const C = 0xc2b2ae3d;
const D = 0x27d4eb2f;

/** A lane takes a word. */
function take(lane: number, word: number, factor: number): number {
  const mixed = Math.imul(lane ^ word, factor);
  return (mixed << 13) | (mixed >>> 19);
}

function foldWord(hash: ChannelHash, word: number): void {
  if (hash.words === 0) hash.a = take(hash.a, word, A);
  else if (hash.words === 1) hash.b = take(hash.b, word, B);
  else if (hash.words === 2) hash.c = take(hash.c, word, C);
  else hash.d = take(hash.d, word, D);
  hash.words = (hash.words + 1) & 3;
}

/** The same lanes once more, for each record by itself: kept in variables, there are many small ones. */
function addRecords(sum: ChannelHash, view: DataView, start: number, end: number): void {
  const begun = emptyChannelHash();
  for (let at = start; at < end; ) {
    const next = at + recordBytes(view.getUint32(at, true));
    let { a, b, c, d } = begun;
    for (const last = next - 15; at < last; at += 16) {
      a = take(a, view.getInt32(at, true), A);
      b = take(b, view.getInt32(at + 4, true), B);
      c = take(c, view.getInt32(at + 8, true), C);
      d = take(d, view.getInt32(at + 12, true), D);
    }
    if (at < next) a = take(a, view.getInt32(at, true), A);
    if (at + 4 < next) b = take(b, view.getInt32(at + 4, true), B);
    if (at + 8 < next) c = take(c, view.getInt32(at + 8, true), C);
    for (let round = 0; round < 4; round += 1) {
      a = take(a, d, A);
      b = take(b, a, B);
      c = take(c, b, C);
      d = take(d, c, D);
    }
    sum.a = (sum.a + a) | 0;
    sum.b = (sum.b + b) | 0;
    sum.c = (sum.c + c) | 0;
    sum.d = (sum.d + d) | 0;
    at = next;
  }
}

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");

/** The hash that such a text stands for, to go on from there; `undefined` if it is none. */
export function parseChannelHash(text: string): ChannelHash | undefined {
  if (!/^[0-9a-f]{32}[0-3s]$/.test(text)) return undefined;
  const [a, b, c, d] = [0, 8, 16, 24].map((at) => Number.parseInt(text.slice(at, at + 8), 16) | 0);
  const words = text[32] === "s" ? SET : Number(text[32]);
  return { a, b, c, d, words } as ChannelHash;
}

/** True if it is the text of a set hash. */
export const isSetHash = (text: string): boolean => text.endsWith("s");

/** The hash as it stands in a certificate: 32 hexadecimal digits, and then `words`, or `s` for a set hash. */
export function formatChannelHash(hash: ChannelHash): string {
  const last = hash.words === SET ? "s" : hash.words.toString(16);
  return hex(hash.a) + hex(hash.b) + hex(hash.c) + hex(hash.d) + last;
}
