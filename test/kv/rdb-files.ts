/** Makes RDB files by hand, of all versions: what the present Redis reads, but no longer writes. */

import type { Random } from "../../src/index.ts";
import { type RdbEvent, RdbReader } from "../../src/kv/rdb.ts";

export const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

function little(size: number, value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes.subarray(0, size);
}

export function length(value: number): Buffer {
  if (value < 64) return Buffer.from([value]);
  if (value < 2 ** 14) return Buffer.from([0x40 | (value >> 8), value & 255]);
  const long = Buffer.alloc(9);
  if (value < 2 ** 32) {
    long[4] = 0x80;
    long.writeUInt32BE(value, 5);
    return long.subarray(4);
  }
  long[0] = 0x81;
  long.writeBigUInt64BE(BigInt(value), 1);
  return long;
}

export function text(value: string | Uint8Array): Buffer {
  const bytes = typeof value === "string" ? latin1(value) : value;
  return Buffer.concat([length(bytes.length), bytes]);
}

const texts = (values: readonly (string | Uint8Array)[]): Buffer =>
  Buffer.concat(values.map((value) => text(value)));

/** A number of 64 bits in its only form. */
function numberIn(value: string): bigint | undefined {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(value)) return undefined;
  const big = BigInt(value);
  return BigInt.asIntN(64, big) === big ? big : undefined;
}

const fits = (value: bigint, bits: number): boolean => BigInt.asIntN(bits, value) === value;

function ziplistEntry(value: string): Buffer {
  const number = numberIn(value);
  if (number !== undefined) {
    if (number >= 0n && number <= 12n) return Buffer.from([0xf1 + Number(number)]);
    for (const [kind, bytes] of [
      [0xfe, 1],
      [0xc0, 2],
      [0xf0, 3],
      [0xd0, 4],
      [0xe0, 8],
    ] as const)
      if (fits(number, 8 * bytes))
        return Buffer.concat([Buffer.from([kind]), little(bytes, number)]);
  }
  const bytes = latin1(value);
  const head =
    bytes.length < 64
      ? Buffer.from([bytes.length])
      : bytes.length < 2 ** 14
        ? Buffer.from([0x40 | (bytes.length >> 8), bytes.length & 255])
        : Buffer.concat([Buffer.from([0x80]), little(4, bytes.length).reverse()]);
  return Buffer.concat([head, bytes]);
}

export function ziplist(values: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  let [before, tail, end] = [0, 10, 10];
  for (const value of values) {
    const entry = ziplistEntry(value);
    const back =
      before < 254 ? Buffer.from([before]) : Buffer.concat([Buffer.from([254]), little(4, before)]);
    parts.push(back, entry);
    before = back.length + entry.length;
    tail = end;
    end += before;
  }
  const count = Math.min(values.length, 65_535);
  return Buffer.concat([
    ...[little(4, end + 1), little(4, tail), little(2, count)],
    ...[...parts, Buffer.from([255])],
  ]);
}

function listpackEntry(value: string): Buffer {
  const number = numberIn(value);
  if (number !== undefined) {
    if (number >= 0n && number < 128n) return Buffer.from([Number(number)]);
    if (fits(number, 13)) {
      const bits = Number(BigInt.asUintN(13, number));
      return Buffer.from([0xc0 | (bits >> 8), bits & 255]);
    }
    for (const [kind, bytes] of [
      [0xf1, 2],
      [0xf2, 3],
      [0xf3, 4],
      [0xf4, 8],
    ] as const)
      if (fits(number, 8 * bytes))
        return Buffer.concat([Buffer.from([kind]), little(bytes, number)]);
  }
  const bytes = latin1(value);
  const head =
    bytes.length < 64
      ? Buffer.from([0x80 | bytes.length])
      : bytes.length < 4096
        ? Buffer.from([0xe0 | (bytes.length >> 8), bytes.length & 255])
        : Buffer.concat([Buffer.from([0xf0]), little(4, bytes.length)]);
  return Buffer.concat([head, bytes]);
}

export function listpack(values: readonly string[]): Buffer {
  const parts = values.flatMap((value) => {
    const entry = listpackEntry(value);
    // Groups of seven bits, the highest first; all but that one have the eighth set.
    const groups: number[] = [];
    for (let rest = entry.length; rest > 0; rest = Math.floor(rest / 128))
      groups.unshift((rest & 127) | (groups.length > 0 || rest >= 128 ? 128 : 0));
    groups[0] = (groups[0] as number) & 127;
    return [entry, Buffer.from(groups)];
  });
  const size = parts.reduce((sum, part) => sum + part.length, 7);
  return Buffer.concat([
    ...[little(4, size), little(2, Math.min(values.length, 65_535))],
    ...[...parts, Buffer.from([255])],
  ]);
}

export function intset(values: readonly string[], bytes: 2 | 4 | 8): Buffer {
  const sorted = values.map(BigInt).sort((a, b) => (a < b ? -1 : 1));
  return Buffer.concat([
    ...[little(4, bytes), little(4, values.length)],
    ...sorted.map((value) => little(bytes, value)),
  ]);
}

export function zipmap(values: readonly string[]): Buffer {
  const size = (value: string): Buffer =>
    value.length < 254
      ? Buffer.from([value.length])
      : Buffer.concat([Buffer.from([254]), little(4, value.length)]);
  const parts = values.flatMap((value, i) => [
    size(value),
    // Behind a value there may be room that is not used.
    ...(i % 2 === 0 ? [latin1(value)] : [Buffer.from([i % 3]), latin1(value), Buffer.alloc(i % 3)]),
  ]);
  return Buffer.concat([Buffer.from([values.length / 2]), ...parts, Buffer.from([255])]);
}

/** Jones' CRC-64, as slow and as plain as can be. */
export function crc64(bytes: Uint8Array): bigint {
  let crc = 0n;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1)
      crc = crc & 1n ? (crc >> 1n) ^ 0x95ac9329ac4bc9b5n : crc >> 1n;
  }
  return crc;
}

/** A file with these in it. */
export function rdbFile(version: number, parts: readonly Uint8Array[]): Buffer {
  const head = latin1(`REDIS${String(version).padStart(4, "0")}`);
  const body = Buffer.concat([head, ...parts, Buffer.from([255])]);
  return version < 5 ? body : Buffer.concat([body, little(8, crc64(body))]);
}

/** A key, with the number of its type and what comes of that. */
export function entry(type: number, key: string, value: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([type]), text(key), value]);
}

const NUMBERS = ["0", "12", "13", "-1", "127", "128", "-4096", "4095", "-129", "32768", "8388607"];
const MORE = ["-8388609", "2147483647", "-2147483649", "9223372036854775807", "-0", "007", "1.5"];
const WORDS = ["", "a", "\r\n", "\0\x01\xff", "é".repeat(3), "x".repeat(63), "y".repeat(64)];
const LONG = ["z".repeat(253), "u".repeat(254), "v".repeat(5000), "ab".repeat(9000)];

/** Too long for a node of its own kind. */
export const PLAIN: string = "plain".repeat(40);

/** Different texts of all kinds of encodings. */
function someTexts(random: Random, count: number, longest: number): string[] {
  const kinds = [...NUMBERS, ...MORE, ...WORDS, ...LONG].filter((one) => one.length <= longest);
  const found = new Set<string>();
  while (found.size < count)
    found.add(
      random.below(3) === 0
        ? (kinds[random.below(kinds.length)] as string)
        : random.below(2) === 0
          ? String(random.below(2 ** 32) - 2 ** 31)
          : `m${random.below(1e9)}${"-".repeat(random.below(80))}`,
    );
  return [...found];
}

/** A value of each way in which a list, a set, a hash or a sorted set may be kept, each with a key that says which. */
export function valuesByHand(
  random: Random,
  count: number,
  longest: number = Number.POSITIVE_INFINITY,
): Buffer[] {
  const list = someTexts(random, count, longest);
  const pairs = someTexts(random, 2 * count, longest);
  const scores = [1.5, -2, 1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.1];
  const scoreOf = (i: number): number => scores[i % scores.length] as number;
  const written = (score: number): string => String(score).replace("Infinity", "inf");
  const scored = list.flatMap((member, i) => [member, written(scoreOf(i))]);
  const sets = ([2, 4, 8] as const).map((bytes) => {
    const numbers = list.map(
      (_, i) => BigInt(random.below(2 ** 31)) * (i % 2 ? 1n : -1n) * (bytes === 8 ? 2n ** 31n : 1n),
    );
    const values = [...new Set(numbers.map((value) => String(BigInt.asIntN(8 * bytes, value))))];
    return entry(11, `intset ${bytes}`, text(intset(values, bytes)));
  });
  const half = list.slice(0, count / 2);
  const double = (score: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(score);
    return bytes;
  };
  const asText = (score: number): Buffer => {
    if (Number.isFinite(score)) return text(String(score));
    return Buffer.from([score > 0 ? 254 : 255]);
  };
  const many = (type: number, key: string, parts: readonly Uint8Array[]): Buffer =>
    entry(type, key, Buffer.concat([length(parts.length), ...parts]));
  return [
    entry(0, "string", text(list[0] as string)),
    entry(0, "string of 8 bits", Buffer.from([0xc0, 0x80])),
    entry(0, "string of 16 bits", Buffer.from([0xc1, 0xff, 0x7f])),
    entry(0, "string of 32 bits", Buffer.from([0xc2, 0, 0, 0, 0x80])),
    entry(0, "packed", Buffer.concat([Buffer.from([0xc3, 6, 60, 1, 97, 98, 0xe0, 49, 1])])),
    entry(1, "list", Buffer.concat([length(count), texts(list)])),
    entry(10, "list ziplist", text(ziplist(list))),
    many(14, "quicklist", [text(ziplist(half)), text(ziplist(list))]),
    many(18, "quicklist 2", [
      Buffer.concat([Buffer.from([2]), text(listpack(list))]),
      Buffer.concat([Buffer.from([1]), text(PLAIN)]),
      Buffer.concat([Buffer.from([2]), text(listpack(half))]),
    ]),
    entry(2, "set", Buffer.concat([length(count), texts(list)])),
    ...sets,
    entry(4, "hash", Buffer.concat([length(count), texts(pairs)])),
    entry(9, "hash zipmap", text(zipmap(pairs.slice(0, 40)))),
    entry(13, "hash ziplist", text(ziplist(pairs))),
    entry(16, "hash listpack", text(listpack(pairs))),
    many(
      3,
      "zset",
      list.map((member, i) => Buffer.concat([text(member), asText(scoreOf(i))])),
    ),
    many(
      5,
      "zset 2",
      list.map((member, i) => Buffer.concat([text(member), double(scoreOf(i))])),
    ),
    entry(12, "zset ziplist", text(ziplist(inOrder(scored)))),
    entry(17, "zset listpack", text(listpack(inOrder(scored)))),
  ];
}

/** Members and scores, by score. */
function inOrder(scored: readonly string[]): string[] {
  const entries = scored.flatMap((member, i) =>
    i % 2 === 0 ? [[member, scored[i + 1] as string] as const] : [],
  );
  const value = (score: string): number => Number(score.replace("inf", "Infinity"));
  return entries.sort(([a, x], [b, y]) => value(x) - value(y) || (a < b ? -1 : 1)).flat();
}

/** Reads a file that comes in pieces. */
export function readAll(bytes: Uint8Array, pieceOf: () => number = () => 1 << 16): RdbEvent[] {
  const reader = new RdbReader("the file");
  const events: RdbEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + Math.max(1, pieceOf()));
    reader.feed(bytes.subarray(at, end));
    events.push(...reader.events());
    at = end;
  }
  reader.end();
  return events;
}

/** What a key has: of what is in no order, in one. */
export interface Found {
  readonly type: string;
  readonly deadline: number | undefined;
  readonly elements: readonly string[];
}

/** In an order, if it is not a list. */
export function settled(type: string, elements: readonly string[]): readonly string[] {
  if (type === "list" || type === "string") return elements;
  if (type === "set") return [...elements].sort();
  const pairs = elements.flatMap((one, i) =>
    i % 2 === 0 ? [JSON.stringify([one, elements[i + 1]])] : [],
  );
  return pairs.sort();
}

/** All keys, each with its database in front. */
export function keysIn(events: Iterable<RdbEvent>): Map<string, Found> {
  const keys = new Map<string, Found>();
  let elements: string[] = [];
  for (const event of events) {
    if ("leftOut" in event) continue;
    const { db, key, type, deadline, isFirst, isLast } = event;
    if (isFirst) elements = [];
    elements.push(
      ...(type === "zset"
        ? event.elements.map((one, i) =>
            i % 2 === 0 ? one : String(Number(one.replace("inf", "Infinity"))),
          )
        : event.elements),
    );
    if (isLast) keys.set(`${db}:${key}`, { type, deadline, elements: settled(type, elements) });
  }
  return keys;
}
