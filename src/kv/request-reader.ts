/**
 * Cuts what a client sends into requests: arrays of bulks, or lines of words ("inline"), of the Redis serialization protocol. Bytes come
 * in pieces of any size. Nothing is copied while whole requests come: an argument is where it lies in what was fed. What is left of a
 * request that is not whole is kept, and read on from where reading stopped, so that a long request costs no more in pieces.
 *
 * Errors are those of Redis 7.0, after which nothing more can be read.
 */

import { latin1Bytes, readLatin1 } from "./latin1.ts";
import { splitWords } from "./line.ts";
import { parseInteger } from "./numbers.ts";

/** What a client may send. */
export interface RequestLimits {
  /** Of one argument. */
  bulkBytes: number;
  /** Of one request that is not whole yet. */
  queryBytes: number;
  /** Until it has said who it is, a client may send less. */
  authenticated: boolean;
}

const [CR, LF, DOLLAR, STAR, ZERO] = [13, 10, 36, 42, 48];
const INLINE_BYTES = 64 * 1024;
const HELD_BYTES = 256 * 1024;
const PLAIN_DIGITS = 15;
const ARGUMENTS_MAX = 2 ** 31 - 1;
const STRANGER_ARGUMENTS = 10;
const STRANGER_BULK_BYTES = 16 * 1024;
const NO_BYTES = new Uint8Array(0);

/** See the head of the file. */
export class RequestReader {
  readonly #limits: RequestLimits;
  /** Where the request lies, with all that belongs to it: from here up to there. */
  bytes: Uint8Array = NO_BYTES;
  from: number = 0;
  to: number = 0;
  /** How many arguments it has, the name of the command among them. */
  count: number = 0;
  /** What is wrong with what came; nothing more is read. */
  problem: string | undefined;
  /** Where arguments begin and end, in pairs. */
  #extents: Int32Array = new Int32Array(64);
  /** What came. */
  #input: Uint8Array = NO_BYTES;
  /** Of the request that is being read. */
  #start = 0;
  /** Up to where bytes are there. */
  #end = 0;
  /** Reading goes on here. */
  #at = 0;
  /** Arguments that the request is to have; -1 before that is known. */
  #expected = -1;
  /** Of the argument that is being read; -1 before that is known. */
  #bulkBytes = -1;
  /** `#input` is of this reader's own, with room behind the end. */
  #isOwn: boolean = false;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  /** Bytes that were fed and belong to no whole request yet. */
  get keptBytes(): number {
    return this.#end - this.#start;
  }

  /** Adds what came, from `start` up to `end`. It must stay as it is until `keep`. */
  feed(bytes: Uint8Array, start: number = 0, end: number = bytes.length): void {
    if (this.#end === this.#start) this.#take(bytes, start, end, false);
    else this.#append(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  }

  /** Forgets what was fed, and what was wrong with it. */
  reset(): void {
    this.#take(NO_BYTES, 0, 0, false);
    this.#expected = -1;
    this.#bulkBytes = -1;
    this.problem = undefined;
  }

  /** Copies what is left, so that what was fed can be used again. */
  keep(): void {
    if (this.#end === this.#start) this.#take(NO_BYTES, 0, 0, false);
    // Nor is what was needed for a long request held for a short one.
    else if (!this.#isOwn || this.#input.length > HELD_BYTES + 4 * this.keptBytes)
      this.#own(this.keptBytes);
  }

  /**
   * Reads the next request. False when it is not whole, or with a `problem`. Its arguments are good until the next call of `next`,
   * `feed` or `keep`.
   */
  next(): boolean {
    for (;;) {
      if (this.#expected < 0) this.#start = this.#at;
      if (this.problem !== undefined || this.#at >= this.#end) return this.#stop();
      const isArray = this.#expected >= 0 || this.#input[this.#at] === STAR;
      if (!(isArray ? this.#nextArray() : this.#nextInline())) return this.#stop();
      this.#expected = -1;
      // A request of nothing is answered with nothing.
      if (this.count > 0) return true;
    }
  }

  /** Has the request that was read last read once more. */
  again(): void {
    this.#at = this.#start;
  }

  /** An argument, as text. */
  argument(index: number): string {
    return readLatin1(this.bytes, this.start(index), this.end(index));
  }

  /**
   * All arguments.
   * @param names what the first one is likely to be: then no text is made for it
   */
  arguments(names?: { readonly name: string; readonly upperName: string }): string[] {
    const all = new Array<string>(this.count);
    all[0] = (names && this.#firstOf(names.upperName, names.name)) ?? this.argument(0);
    for (let i = 1; i < this.count; i += 1) all[i] = this.argument(i);
    return all;
  }

  /** Which of two names the first argument is. */
  #firstOf(one: string, other: string): string | undefined {
    if (this.#isFirst(one)) return one;
    return this.#isFirst(other) ? other : undefined;
  }

  #isFirst(name: string): boolean {
    const start = this.start(0);
    if (this.end(0) - start !== name.length) return false;
    for (let i = 0; i < name.length; i += 1)
      if (this.bytes[start + i] !== name.charCodeAt(i)) return false;
    return true;
  }

  start(index: number): number {
    return this.from + (this.#extents[2 * index] as number);
  }

  end(index: number): number {
    return this.from + (this.#extents[2 * index + 1] as number);
  }

  #nextArray(): boolean {
    if (this.#expected < 0) {
      const count = this.#number(1, "too big mbulk count string");
      if (count === undefined) return false;
      const { authenticated } = this.#limits;
      if (Number.isNaN(count) || count > ARGUMENTS_MAX)
        return this.#refuse("invalid multibulk length");
      if (!authenticated && count > STRANGER_ARGUMENTS)
        return this.#refuse("unauthenticated multibulk length");
      this.#expected = Math.max(0, count);
      this.count = 0;
    }
    while (this.count < this.#expected) if (!this.#nextBulk()) return false;
    this.bytes = this.#input;
    this.from = this.#start;
    this.to = this.#at;
    return true;
  }

  #nextBulk(): boolean {
    const bytes = this.#input;
    if (this.#bulkBytes < 0) {
      if (this.#at >= this.#end) return false;
      const type = bytes[this.#at] as number;
      if (type !== DOLLAR) {
        const shown = String.fromCharCode(type);
        // Redis says so once it has the line.
        const cr = this.#find(CR, "too big bulk count string");
        if (cr < 0 || cr + 1 >= this.#end) return false;
        return this.#refuse(`expected '$', got '${shown}'`);
      }
      const { authenticated, bulkBytes } = this.#limits;
      const size = this.#number(1, "too big bulk count string");
      if (size === undefined) return false;
      if (!(size >= 0 && size <= bulkBytes)) return this.#refuse("invalid bulk length");
      if (!authenticated && size > STRANGER_BULK_BYTES)
        return this.#refuse("unauthenticated bulk length");
      this.#bulkBytes = size;
    }
    const end = this.#at + this.#bulkBytes;
    if (this.#end < end + 2) return false;
    this.#add(this.#at - this.#start, end - this.#start);
    // What follows an argument is taken for a line's end, whatever it is.
    this.#at = end + 2;
    this.#bulkBytes = -1;
    return true;
  }

  /** A number between the type and the line's end. `undefined` if the line is not whole, NaN if it is none. */
  #number(skip: number, tooLong: string): number | undefined {
    const bytes = this.#input;
    const first = this.#at + skip;
    // Nearly all are short and plain.
    const last = Math.min(this.#end - 1, first + PLAIN_DIGITS);
    let at = first;
    let value = 0;
    for (; at < last; at += 1) {
      const digit = (bytes[at] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at < last && at > first && bytes[at] === CR && bytes[first] !== ZERO) {
      this.#at = at + 2;
      return value;
    }
    const cr = this.#find(CR, tooLong);
    if (cr < 0 || cr + 1 >= this.#end) return undefined;
    this.#at = cr + 2;
    return Number(parseInteger(readLatin1(bytes, first, cr)) ?? Number.NaN);
  }

  /** Where the line ends; -1 if its end is not there, or so far off that it is refused. That does not depend on the pieces it came in. */
  #find(lineEnd: number, tooLong: string): number {
    const length = this.#input.subarray(this.#at, this.#end).indexOf(lineEnd);
    if ((length < 0 ? this.#end - this.#at : length) <= INLINE_BYTES)
      return length < 0 ? length : this.#at + length;
    this.#refuse(tooLong);
    return -1;
  }

  /** A line of words: for people with nothing but a terminal. */
  #nextInline(): boolean {
    const bytes = this.#input;
    const lf = this.#find(LF, "too big inline request");
    if (lf < 0) return false;
    const end = lf > this.#at && bytes[lf - 1] === CR ? lf - 1 : lf;
    const words = splitWords(readLatin1(bytes, this.#at, end));
    if (!words) return this.#refuse("unbalanced quotes in request");
    this.#at = lf + 1;
    // As if it had come as an array.
    this.count = 0;
    this.bytes = encodeRequest(words);
    this.from = 0;
    this.to = this.bytes.length;
    let at = `*${words.length}\r\n`.length;
    for (const word of words) {
      at += `$${word.length}\r\n`.length;
      this.#add(at, at + word.length);
      at += word.length + 2;
    }
    return true;
  }

  #add(start: number, end: number): void {
    const at = 2 * this.count;
    if (at === this.#extents.length) {
      const larger = new Int32Array(2 * at);
      larger.set(this.#extents);
      this.#extents = larger;
    }
    this.#extents[at] = start;
    this.#extents[at + 1] = end;
    this.count += 1;
  }

  #refuse(problem: string): false {
    this.problem = `Protocol error: ${problem}`;
    return false;
  }

  /** Nothing more can be read until more comes, or at all. */
  #stop(): false {
    if (this.problem === undefined && this.keptBytes > this.#limits.queryBytes)
      this.problem = `a request of more than ${this.#limits.queryBytes} bytes`;
    return false;
  }

  #append(bytes: Uint8Array): void {
    const needed = this.keptBytes + bytes.length;
    if (!this.#isOwn || needed > this.#input.length) this.#own(needed + (needed >> 1));
    else if (this.#end + bytes.length > this.#input.length) {
      this.#input.copyWithin(0, this.#start, this.#end);
      this.#moved();
    }
    this.#input.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #take(bytes: Uint8Array, start: number, end: number, isOwn: boolean): void {
    this.#input = bytes;
    this.#isOwn = isOwn;
    this.#start = start;
    this.#at = start;
    this.#end = end;
  }

  /** What is left goes to the beginning of bytes of its own. */
  #own(size: number): void {
    const own = new Uint8Array(size);
    own.set(this.#input.subarray(this.#start, this.#end));
    this.#input = own;
    this.#isOwn = true;
    this.#moved();
  }

  #moved(): void {
    this.#end -= this.#start;
    this.#at -= this.#start;
    this.#start = 0;
  }
}

/** A request as an array of bulks. */
export function encodeRequest(words: readonly string[]): Uint8Array {
  const parts = words.map((word) => `$${word.length}\r\n${word}\r\n`);
  return latin1Bytes(`*${words.length}\r\n${parts.join("")}`);
}
