/** Commands of strings as rows of bits: the first is the highest of the first byte. */

import { indexIn, integerIn } from "../arguments.ts";
import { asText, type Call, type Command, Refusal, SYNTAX } from "../command.ts";
import type { Value } from "../value.ts";
import type { ByteString } from "../values/byte-string.ts";
import { bytesToChange, checkLength, STRING_BYTES_MAX } from "./strings.ts";

const BAD_OFFSET = "ERR bit offset is not an integer or out of range";
const BAD_BIT = "ERR bit is not an integer or out of range";
const BITS_MAX = 8 * STRING_BYTES_MAX;

/** A string to look at, byte by byte. */
interface Bytes {
  readonly length: number;
  at(index: number): number;
}

function bytesOf(value: Value | undefined): Bytes {
  if (value !== undefined && typeof value !== "string" && value.type === "string") {
    const bytes: ByteString = value;
    return { length: bytes.length, at: (index) => bytes.byte(index) };
  }
  const text = asText(value) ?? "";
  return {
    length: text.length,
    at: (index) => (index < text.length ? text.charCodeAt(index) : 0),
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
  const bytes = bytesToChange(call, key);
  const at = Math.floor(offset / 8);
  const old = bytes.byte(at);
  const mask = 128 >> (offset % 8);
  bytes.setByte(at, bit === 1 ? old | mask : old & ~mask);
  call.changed("$", "setbit", key);
  call.reply.integer(old & mask ? 1 : 0);
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

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
    isBits = unitIn(args[4]);
  }
  if (start < 0 && end < 0 && start > end) {
    call.reply.integer(0);
    return;
  }
  const [from, to] = clamp(start, end, isBits ? 8 * bytes.length : bytes.length);
  let count = 0;
  if (!isBits) for (let i = from; i <= to; i += 1) count += ONES[bytes.at(i)] as number;
  else if (from <= to) {
    const [first, last] = [Math.floor(from / 8), Math.floor(to / 8)];
    for (let i = first; i <= last; i += 1) {
      let byte = bytes.at(i);
      if (i === first) byte &= 255 >> (from % 8);
      if (i === last) byte &= 255 << (7 - (to % 8));
      count += ONES[byte & 255] as number;
    }
  }
  call.reply.integer(count);
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
    if (at % 8 === 0 && at + 7 <= lastBit && bytes.at(at / 8) === skipped) at += 8;
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
  const length = Math.max(...sources.map((one) => one.length));
  const pieces: string[] = [];
  let codes: number[] = [];
  const [first, ...others] = sources as [Bytes, ...Bytes[]];
  for (let i = 0; i < length; i += 1) {
    let byte = first.at(i);
    if (way === "NOT") byte = ~byte & 255;
    else if (way === "AND") for (const one of others) byte &= one.at(i);
    else if (way === "OR") for (const one of others) byte |= one.at(i);
    else for (const one of others) byte ^= one.at(i);
    codes.push(byte);
    if (codes.length === 4096) {
      pieces.push(String.fromCharCode(...codes));
      codes = [];
    }
  }
  pieces.push(String.fromCharCode(...codes));
  if (length > 0) {
    call.db.replace(key, pieces.join(""));
    call.changed("$", "set", key);
  } else if (call.db.delete(key)) call.changed("g", "del", key);
  call.reply.integer(length);
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
  const [, sign, digits] = /^([iu])(\d{1,3})$/.exec(text ?? "") ?? [];
  const bits = Number(digits);
  if (sign === undefined || bits < 1 || bits > (sign === "i" ? 64 : 63))
    throw new Refusal(BAD_FIELD);
  return { isSigned: sign === "i", bits };
}

function fieldOffset(text: string | undefined, { bits }: Field): number {
  const isScaled = text?.startsWith("#") ?? false;
  const offset = indexIn(isScaled ? text?.slice(1) : text, BAD_OFFSET) * (isScaled ? bits : 1);
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

function readField(bytes: Bytes, { isSigned, bits }: Field, offset: number): bigint {
  let value = 0n;
  for (let i = 0; i < bits; i += 1) value = (value << 1n) | BigInt(bitAt(bytes, offset + i));
  return isSigned ? BigInt.asIntN(bits, value) : value;
}

function writeField(bytes: ByteString, { bits }: Field, offset: number, value: bigint): void {
  const raw = BigInt.asUintN(bits, value);
  for (let i = 0; i < bits; i += 1) {
    const at = offset + i;
    const byte = Math.floor(at / 8);
    const mask = 128 >> (at % 8);
    const isOne = ((raw >> BigInt(bits - 1 - i)) & 1n) === 1n;
    const old = bytes.byte(byte);
    bytes.setByte(byte, isOne ? old | mask : old & ~mask);
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
    const writes = all.filter(({ type }) => type !== "GET");
    const value = call.db.get(key);
    let bytes = bytesOf(value);
    let own: ByteString | undefined;
    if (writes.length > 0) {
      for (const { offset, field } of writes) checkLength(Math.ceil((offset + field.bits) / 8));
      own = bytesToChange(call, key);
      const changed = own;
      // It is as long as the furthest of them needs.
      const last = Math.max(...writes.map(({ offset, field }) => offset + field.bits - 1));
      changed.setByte(Math.floor(last / 8), changed.byte(Math.floor(last / 8)));
      bytes = { length: changed.length, at: (index) => changed.byte(index) };
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
      writeField(own as ByteString, field, offset, next);
      isChanged = true;
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
