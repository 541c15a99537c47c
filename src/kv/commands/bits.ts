/** Commands of strings as rows of bits: the first is the highest of the first byte. */

import { indexIn, integerIn } from "../arguments.ts";
import { asText, type Call, type Command, Refusal, SYNTAX } from "../command.ts";
import { latin1Bytes, readLatin1 } from "../latin1.ts";
import { parseInteger } from "../numbers.ts";
import type { Value } from "../value.ts";
import { ByteString } from "../values/byte-string.ts";
import { bytesToChange, checkLength, LONG_BYTES } from "./strings.ts";

const BAD_OFFSET = "ERR bit offset is not an integer or out of range";
const BAD_BIT = "ERR bit is not an integer or out of range";
/** Of Redis; what is written must be within our own limit. */
const BITS_MAX = 2 ** 32;

/** A string to look at. */
interface Bytes {
  readonly length: number;
  at(index: number): number;
  /** The bytes from there on that lie together; none behind the end. */
  from(index: number): Uint8Array;
}

/** So many bytes of a text are made at once; those of a `ByteString` lie in pieces of as many. */
const PIECE_BYTES = 16 * 1024;

function bytesOf(value: Value | undefined): Bytes {
  if (value !== undefined && typeof value !== "string" && value.type === "string")
    return viewOf(value);
  const text = asText(value) ?? "";
  return {
    length: text.length,
    at: (index) => (index < text.length ? text.charCodeAt(index) : 0),
    from: (index) => latin1Bytes(text.slice(index, index + PIECE_BYTES)),
  };
}

function viewOf(bytes: ByteString): Bytes {
  return {
    length: bytes.length,
    at: (index) => bytes.byte(index),
    from: (index) => bytes.bytesFrom(index),
  };
}

function offsetIn(text: string | undefined): number {
  const offset = indexIn(text, BAD_OFFSET);
  if (offset < 0 || offset >= BITS_MAX) throw new Refusal(BAD_OFFSET);
  return offset;
}

const bitAt = (bytes: Bytes, bit: number): number =>
  (bytes.at(Math.floor(bit / 8)) >> (7 - (bit % 8))) & 1;

function getBit(call: Call, args: readonly string[]): void {
  const offset = offsetIn(args[2]);
  call.reply.integer(bitAt(bytesOf(call.db.get(args[1] as string)), offset));
}

function setBit(call: Call, args: readonly string[]): void {
  const key = args[1] as string;
  const offset = offsetIn(args[2]);
  const bit = indexIn(args[3], BAD_BIT);
  if (bit !== 0 && bit !== 1) throw new Refusal(BAD_BIT);
  const at = Math.floor(offset / 8);
  checkLength(at + 1);
  const [bytes, isLonger] = bytesUpTo(call, key, at + 1);
  const old = bytes.byte(at);
  const mask = 128 >> (offset % 8);
  const wanted = bit === 1 ? old | mask : old & ~mask;
  if (wanted !== old) bytes.setByte(at, wanted);
  if (isLonger || wanted !== old) call.changed("$", "setbit", key);
  call.reply.integer(old & mask ? 1 : 0);
}

/** A string of so many bytes at least, and whether it was shorter or was not there. */
function bytesUpTo(
  call: Call,
  key: string,
  length: number,
): readonly [bytes: ByteString, isLonger: boolean] {
  const bytes = bytesToChange(call, key);
  return [bytes, bytes.extend(length)];
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

const WORD_BYTES = 4;

function onesIn(bytes: Uint8Array): number {
  let count = 0;
  let at = 0;
  const { length } = bytes;
  if (bytes.byteOffset % WORD_BYTES === 0) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(length / WORD_BYTES));
    for (const word of words) {
      if (word === 0) continue;
      // Counted in pairs of bits, in fours, in bytes, and these together (Anderson, "Bit Twiddling Hacks").
      let rest = word - ((word >>> 1) & 0x55555555);
      rest = (rest & 0x33333333) + ((rest >>> 2) & 0x33333333);
      count += Math.imul((rest + (rest >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
    }
    at = WORD_BYTES * words.length;
  }
  for (; at < length; at += 1) count += ONES[bytes[at] as number] as number;
  return count;
}

/** In the bytes from one to before another. */
function onesBetween(bytes: Bytes, from: number, end: number): number {
  let count = 0;
  for (let at = from; at < end; ) {
    const some = bytes.from(at).subarray(0, end - at);
    if (some.length === 0) break;
    count += onesIn(some);
    at += some.length;
  }
  return count;
}

/** Of `length` places, from one to another, both in it; counted from the end, if negative. */
function clamp(start: number, end: number, length: number): readonly [number, number] {
  const from = start < 0 ? Math.max(0, length + start) : start;
  const to = end < 0 ? Math.max(0, length + end) : end;
  return [from, Math.min(to, length - 1)];
}

/** True for bits. */
function unitIn(word: string | undefined): boolean {
  const upper = word?.toUpperCase() ?? "BYTE";
  if (upper !== "BYTE" && upper !== "BIT") throw new Refusal(SYNTAX);
  return upper === "BIT";
}

function bitCount(call: Call, args: readonly string[]): void {
  const value = call.db.get(args[1] as string);
  const bytes = bytesOf(value);
  if (value === undefined) {
    call.reply.integer(0);
    return;
  }
  const hasRange = args.length > 2;
  if (args.length === 3 || args.length > 5) throw new Refusal(SYNTAX);
  let [start, end] = [0, -1];
  let isBits = false;
  if (hasRange) {
    start = indexIn(args[2]);
    end = indexIn(args[3]);
    if (start < 0 && end < 0 && start > end) {
      call.reply.integer(0);
      return;
    }
    isBits = unitIn(args[4]);
  }
  const [from, to] = clamp(start, end, isBits ? 8 * bytes.length : bytes.length);
  let count = 0;
  if (!isBits) count = onesBetween(bytes, from, to + 1);
  else if (from <= to) {
    const [first, last] = [Math.floor(from / 8), Math.floor(to / 8)];
    const [head, tail] = [255 >> (from % 8), 255 & (255 << (7 - (to % 8)))];
    count = onesBetween(bytes, first + 1, last);
    if (first === last) count = ONES[bytes.at(first) & head & tail] as number;
    else
      count += (ONES[bytes.at(first) & head] as number) + (ONES[bytes.at(last) & tail] as number);
  }
  call.reply.integer(count);
}

/** The first byte from there, before the end, that is another one; the end if there is none. */
function firstOther(bytes: Bytes, from: number, end: number, byte: number): number {
  for (let at = from; at < end; ) {
    const some = bytes.from(at).subarray(0, end - at);
    if (some.length === 0) break;
    for (let i = 0; i < some.length; i += 1) if (some[i] !== byte) return at + i;
    at += some.length;
  }
  return end;
}

function bitPosition(call: Call, args: readonly string[]): void {
  const [, key = "", given, first, last, unit] = args;
  const bit = indexIn(given);
  if (bit !== 0 && bit !== 1) throw new Refusal("ERR The bit argument must be 1 or 0.");
  const value = call.db.get(key);
  const bytes = bytesOf(value);
  if (value === undefined) {
    call.reply.integer(bit === 1 ? -1 : 0);
    return;
  }
  if (args.length > 6) throw new Refusal(SYNTAX);
  const start = first === undefined ? 0 : indexIn(first);
  const hasEnd = last !== undefined;
  const isBits = unitIn(unit);
  const end = hasEnd ? indexIn(last) : -1;
  const [from, to] = clamp(start, end, isBits ? 8 * bytes.length : bytes.length);
  if (from > to) {
    call.reply.integer(-1);
    return;
  }
  const [firstBit, lastBit] = isBits ? [from, to] : [8 * from, 8 * to + 7];
  const skipped = bit === 1 ? 0 : 255;
  for (let at = firstBit; at <= lastBit; ) {
    const wholeBytes = at % 8 === 0 ? Math.floor((lastBit + 1 - at) / 8) : 0;
    if (wholeBytes > 0 && bytes.at(at / 8) === skipped)
      at = 8 * firstOther(bytes, at / 8, at / 8 + wholeBytes, skipped);
    else if (bitAt(bytes, at) === bit) {
      call.reply.integer(at);
      return;
    } else at += 1;
  }
  // Behind a string without an end there are zeros.
  call.reply.integer(bit === 0 && !hasEnd ? 8 * bytes.length : -1);
}

function bitOp(call: Call, args: readonly string[]): void {
  const [, given = "", key = ""] = args;
  const way = given.toUpperCase();
  if (!["AND", "OR", "XOR", "NOT"].includes(way)) throw new Refusal(SYNTAX);
  if (way === "NOT" && args.length !== 4)
    throw new Refusal("ERR BITOP NOT must be called with a single source key.");
  const sources = args.slice(3).map((one) => bytesOf(call.db.get(one)));
  const length = sources.reduce((most, one) => Math.max(most, one.length), 0);
  const result = new ByteString(call.keyspace.version);
  const [first, ...others] = sources as [Bytes, ...Bytes[]];
  const piece = new Uint8Array(PIECE_BYTES);
  for (let at = 0; at < length; at += PIECE_BYTES) {
    const size = Math.min(PIECE_BYTES, length - at);
    piece.fill(0);
    piece.set(first.from(at));
    if (way === "NOT") for (let i = 0; i < size; i += 1) piece[i] = ~(piece[i] as number);
    for (const one of others) combine(piece, one.from(at), way);
    result.write(at, readLatin1(piece, 0, size));
  }
  if (length > 0) {
    call.db.replace(key, length < LONG_BYTES ? result.slice(0) : result);
    call.changed("$", "set", key);
  } else if (call.db.delete(key)) call.changed("g", "del", key);
  call.reply.integer(length);
}

/** Behind its end, the other one has zeros. */
function combine(bytes: Uint8Array, other: Uint8Array, way: string): void {
  const { length } = other;
  if (way === "AND") {
    for (let i = 0; i < length; i += 1) bytes[i] = (bytes[i] as number) & (other[i] as number);
    bytes.fill(0, length);
  } else if (way === "OR")
    for (let i = 0; i < length; i += 1) bytes[i] = (bytes[i] as number) | (other[i] as number);
  else for (let i = 0; i < length; i += 1) bytes[i] = (bytes[i] as number) ^ (other[i] as number);
}

// BITFIELD.

interface Field {
  readonly isSigned: boolean;
  readonly bits: number;
}

type Overflow = "WRAP" | "SAT" | "FAIL";

interface Operation {
  readonly type: "GET" | "SET" | "INCRBY";
  readonly field: Field;
  readonly offset: number;
  readonly operand: bigint;
  readonly overflow: Overflow;
}

const BAD_FIELD =
  "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";

function fieldIn(text: string | undefined): Field {
  const [given = ""] = (text ?? "").split("\0", 1);
  const isSigned = given.startsWith("i");
  const bits = Number(parseInteger(given.slice(1)));
  if (!(isSigned || given.startsWith("u")) || !(bits >= 1 && bits <= (isSigned ? 64 : 63)))
    throw new Refusal(BAD_FIELD);
  return { isSigned, bits };
}

function fieldOffset(text: string | undefined, { bits }: Field): number {
  const isScaled = text?.startsWith("#") ?? false;
  const given = BigInt(integerIn(isScaled ? text?.slice(1) : text, BAD_OFFSET));
  // The product has 64 bits, as in C.
  const offset = Number(isScaled ? BigInt.asIntN(64, given * BigInt(bits)) : given);
  if (offset < 0 || offset >= BITS_MAX) throw new Refusal(BAD_OFFSET);
  return offset;
}

function operations(args: readonly string[], isReadOnly: boolean): readonly Operation[] {
  const all: Operation[] = [];
  let overflow: Overflow = "WRAP";
  for (let i = 2; i < args.length; ) {
    const type = (args[i] as string).toUpperCase();
    const left = args.length - i - 1;
    if (type === "GET" && left >= 2) {
      const field = fieldIn(args[i + 1]);
      all.push({ type, field, offset: fieldOffset(args[i + 2], field), operand: 0n, overflow });
      i += 3;
    } else if ((type === "SET" || type === "INCRBY") && left >= 3) {
      const field = fieldIn(args[i + 1]);
      const offset = fieldOffset(args[i + 2], field);
      all.push({ type, field, offset, operand: BigInt(integerIn(args[i + 3])), overflow });
      i += 4;
    } else if (type === "OVERFLOW" && left >= 1) {
      const word = (args[i + 1] as string).toUpperCase();
      if (word !== "WRAP" && word !== "SAT" && word !== "FAIL")
        throw new Refusal("ERR Invalid OVERFLOW type specified");
      overflow = word;
      i += 2;
    } else throw new Refusal(SYNTAX);
  }
  if (isReadOnly && all.some(({ type }) => type !== "GET"))
    throw new Refusal("ERR BITFIELD_RO only supports the GET subcommand");
  return all;
}

/** The bytes that a field touches, as one number, and how many bits of it are behind the field. */
function around(
  bytes: Bytes,
  bits: number,
  offset: number,
): readonly [all: bigint, behind: bigint] {
  const last = Math.floor((offset + bits - 1) / 8);
  let all = 0n;
  for (let at = Math.floor(offset / 8); at <= last; at += 1)
    all = (all << 8n) | BigInt(bytes.at(at));
  return [all, BigInt(7 - ((offset + bits - 1) % 8))];
}

function readField(bytes: Bytes, { isSigned, bits }: Field, offset: number): bigint {
  const [all, behind] = around(bytes, bits, offset);
  const value = all >> behind;
  return isSigned ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

function writeField(bytes: ByteString, { bits }: Field, offset: number, value: bigint): void {
  const [all, behind] = around(viewOf(bytes), bits, offset);
  const mask = ((1n << BigInt(bits)) - 1n) << behind;
  let rest = (all & ~mask) | (BigInt.asUintN(bits, value) << behind);
  for (let at = Math.floor((offset + bits - 1) / 8); at >= Math.floor(offset / 8); at -= 1) {
    bytes.setByte(at, Number(rest & 255n));
    rest >>= 8n;
  }
}

/**
 * What a field becomes; `undefined`: it stays, for it would overflow. As Redis reckons it, in 64 bits that wrap: so what is too small by
 * nearly all of them counts as too large.
 */
function added(
  value: bigint,
  by: bigint,
  { isSigned, bits }: Field,
  overflow: Overflow,
): bigint | undefined {
  const size = BigInt(bits);
  const least = isSigned ? -(1n << (size - 1n)) : 0n;
  const most = isSigned ? (1n << (size - 1n)) - 1n : (1n << size) - 1n;
  const room = BigInt.asIntN(64, most - value);
  const depth = BigInt.asIntN(64, least - value);
  const isNarrow = isSigned && bits !== 64;
  const isOver =
    value > most || (isNarrow ? by > room : by > 0n && by > room && (!isSigned || value >= 0n));
  const isUnder =
    value < least || (isNarrow ? by < depth : by < 0n && by < depth && (!isSigned || value < 0n));
  if (!isOver && !isUnder) return value + by;
  if (overflow === "FAIL") return undefined;
  if (overflow === "SAT") return isOver ? most : least;
  return isSigned ? BigInt.asIntN(bits, value + by) : BigInt.asUintN(bits, value + by);
}

function bitField(isReadOnly: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const key = args[1] as string;
    const all = operations(args, isReadOnly);
    let length = 0;
    for (const { type, offset, field } of all)
      if (type !== "GET") length = Math.max(length, Math.ceil((offset + field.bits) / 8));
    let bytes = bytesOf(call.db.get(key));
    let own: ByteString | undefined;
    let isLonger = false;
    if (length > 0) {
      // It is as long as the furthest of them needs.
      checkLength(length);
      [own, isLonger] = bytesUpTo(call, key, length);
      bytes = viewOf(own);
    }
    let isChanged = false;
    call.reply.array(all.length);
    for (const { type, field, offset, operand, overflow } of all) {
      const old = readField(bytes, field, offset);
      if (type === "GET") {
        call.reply.integer(old);
        continue;
      }
      // An operand has 64 bits, whatever the field.
      const given = field.isSigned ? operand : BigInt.asUintN(64, operand);
      const next =
        type === "INCRBY"
          ? added(old, operand, field, overflow)
          : added(given, 0n, field, overflow);
      if (next === undefined) {
        call.reply.null();
        continue;
      }
      if (next !== old) writeField(own as ByteString, field, offset, next);
      isChanged ||= isLonger || next !== old;
      call.reply.integer(type === "SET" ? old : next);
    }
    if (isChanged) call.changed("$", "setbit", key);
  };
}

const KEY = [1, 1, 1] as const;

export const bitCommands: readonly Command[] = [
  {
    ...{ name: "getbit", arity: 3, flags: ["readonly", "fast"], keys: KEY, group: "bitmap" },
    since: "2.2.0",
    summary: "Returns the bit value at offset in the string value stored at key",
    run: getBit,
  },
  {
    ...{ name: "setbit", arity: 4, flags: ["write", "denyoom"], keys: KEY, group: "bitmap" },
    since: "2.2.0",
    summary: "Sets or clears the bit at offset in the string value stored at key",
    run: setBit,
  },
  {
    ...{ name: "bitcount", arity: -2, flags: ["readonly"], keys: KEY, group: "bitmap" },
    since: "2.6.0",
    summary: "Count set bits in a string",
    run: bitCount,
  },
  {
    ...{ name: "bitpos", arity: -3, flags: ["readonly"], keys: KEY, group: "bitmap" },
    since: "2.8.7",
    summary: "Find first bit set or clear in a string",
    run: bitPosition,
  },
  {
    ...{ name: "bitop", arity: -4, flags: ["write", "denyoom"], keys: [2, -1, 1], group: "bitmap" },
    since: "2.6.0",
    summary: "Perform bitwise operations between strings",
    run: bitOp,
  },
  {
    ...{ name: "bitfield", arity: -2, flags: ["write", "denyoom"], keys: KEY, group: "bitmap" },
    since: "3.2.0",
    summary: "Perform arbitrary bitfield integer operations on strings",
    run: bitField(false),
  },
  {
    ...{ name: "bitfield_ro", arity: -2, flags: ["readonly", "fast"], keys: KEY, group: "bitmap" },
    since: "6.0.0",
    summary:
      "Perform arbitrary bitfield integer operations on strings. Read-only variant of BITFIELD",
    run: bitField(true),
  },
];
