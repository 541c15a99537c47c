/**
 * Replies in the Redis serialization protocol, RESP2 and RESP3, written one behind the other into one buffer, which grows. Nothing is
 * made for a reply but its bytes.
 */

import { writeLatin1 } from "./latin1.ts";
import { formatFloat64 } from "./numbers.ts";

const FIRST_BYTES = 16 * 1024;
/** The longest head of a reply: a type, a number of 64 bits, a line's end. */
const HEAD_BYTES = 32;
const [CR, LF, MINUS, ZERO] = [13, 10, 45, 48];
const [SIMPLE, ERROR, INTEGER, BULK, ARRAY] = [43, 45, 58, 36, 42];
const [MAP, SET, PUSH, DOUBLE, BOOLEAN, NULL, VERBATIM, BIG] = [37, 126, 62, 44, 35, 95, 61, 40];

/** See the head of the file. Every method adds one reply, or the head of one whose parts are added next. */
export class Reply {
  /** Of these, `length` are used. */
  bytes: Uint8Array = new Uint8Array(FIRST_BYTES);
  length: number = 0;
  /** The protocol of the client that is replied to. */
  resp3: boolean = false;
  /** Nothing is written: who is to have the replies is elsewhere. */
  muted: boolean = false;

  ok(): void {
    this.simple("OK");
  }

  /** A status: a word or two. */
  simple(text: string): void {
    this.#line(SIMPLE, text);
  }

  /** @param text begins with the code: `ERR`, `WRONGTYPE`, … */
  error(text: string): void {
    // A line's end in it would end it.
    this.#line(ERROR, /[\r\n]/.test(text) ? text.replace(/[\r\n]/g, " ") : text);
  }

  integer(value: number | bigint): void {
    if (typeof value === "number") this.#head(INTEGER, value);
    else this.#line(INTEGER, String(value));
  }

  bulk(text: string): void {
    if (this.muted) return;
    const { length } = text;
    this.#room(HEAD_BYTES + length);
    this.#head(BULK, length);
    const end = writeLatin1(text, this.bytes, this.length);
    this.bytes[end] = CR;
    this.bytes[end + 1] = LF;
    this.length = end + 2;
  }

  /** A bulk, or nothing. */
  bulkOrNull(text: string | undefined): void {
    if (text === undefined) this.null();
    else this.bulk(text);
  }

  null(): void {
    if (this.resp3) this.#line(NULL, "");
    else this.#head(BULK, -1);
  }

  nullArray(): void {
    if (this.resp3) this.#line(NULL, "");
    else this.#head(ARRAY, -1);
  }

  /** Of that many replies. */
  array(count: number): void {
    this.#head(ARRAY, count);
  }

  /** Of so many pairs of replies; in RESP2 an array. */
  map(pairs: number): void {
    if (this.resp3) this.#head(MAP, pairs);
    else this.#head(ARRAY, 2 * pairs);
  }

  /** Of that many replies, in no order; in RESP2 an array. */
  set(count: number): void {
    this.#head(this.resp3 ? SET : ARRAY, count);
  }

  /** Of that many replies, which nobody asked for; in RESP2 an array. */
  push(count: number): void {
    this.#head(this.resp3 ? PUSH : ARRAY, count);
  }

  /** In RESP2 a bulk. */
  double(value: number): void {
    const text = formatFloat64(value);
    if (this.resp3) this.#line(DOUBLE, text);
    else this.bulk(text);
  }

  /** In RESP2 1 or 0. */
  boolean(value: boolean): void {
    if (this.resp3) this.#line(BOOLEAN, value ? "t" : "f");
    else this.#head(INTEGER, value ? 1 : 0);
  }

  /** In RESP2 a bulk. */
  bigNumber(digits: string): void {
    if (this.resp3) this.#line(BIG, digits);
    else this.bulk(digits);
  }

  /** Text for people, of a format of three letters; in RESP2 a bulk. */
  verbatim(text: string, format: string = "txt"): void {
    if (!this.resp3) this.bulk(text);
    else if (!this.muted) {
      this.#head(VERBATIM, text.length + format.length + 1);
      this.raw(`${format}:${text}\r\n`);
    }
  }

  /** A list of bulks. */
  bulks(texts: readonly string[]): void {
    this.array(texts.length);
    for (const text of texts) this.bulk(text);
  }

  /** What is in the protocol already. */
  raw(text: string): void {
    if (this.muted) return;
    this.#room(text.length);
    this.length = writeLatin1(text, this.bytes, this.length);
  }

  #line(type: number, text: string): void {
    if (this.muted) return;
    this.#room(HEAD_BYTES + text.length);
    this.bytes[this.length] = type;
    const end = writeLatin1(text, this.bytes, this.length + 1);
    this.bytes[end] = CR;
    this.bytes[end + 1] = LF;
    this.length = end + 2;
  }

  #head(type: number, value: number): void {
    if (this.muted) return;
    this.#room(HEAD_BYTES);
    const { bytes } = this;
    let at = this.length;
    bytes[at++] = type;
    let rest = value;
    if (rest < 0) {
      bytes[at++] = MINUS;
      rest = -rest;
    }
    let digits = 1;
    for (let least = 10; rest >= least; least *= 10) digits += 1;
    for (let i = digits - 1; i >= 0; i -= 1) {
      const left = Math.floor(rest / 10);
      bytes[at + i] = ZERO + (rest - left * 10);
      rest = left;
    }
    at += digits;
    bytes[at] = CR;
    bytes[at + 1] = LF;
    this.length = at + 2;
  }

  #room(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}
