/** RDB files made by hand: what they have is read whatever the pieces, and what is damaged is an error that names the place. */

import { expect, test } from "vitest";
import { isTidemarkError, Random } from "../../src/index.ts";
import { type RdbEvent, readDump } from "../../src/kv/rdb.ts";
import { cases, seeds } from "../support/soak.ts";
import {
  crc64,
  entry,
  keysIn,
  latin1,
  length,
  PLAIN,
  rdbFile,
  readAll,
  text,
  valuesByHand,
} from "./rdb-files.ts";

const MS = Buffer.from([0xfc, 0x00, 0xe4, 0x0b, 0x54, 0x02, 0, 0, 0]);
const SECONDS = Buffer.from([0xfd, 0, 0, 0, 0x40]);
const SELECT_3 = Buffer.from([0xfe, 3]);
/** What may stand between keys, and says nothing of them. */
const BETWEEN = Buffer.concat([
  ...[Buffer.from([0xfa]), text("redis-ver"), text("7.0.15"), Buffer.from([0xfa]), text("n")],
  ...[Buffer.from([0xc0, 64]), Buffer.from([0xfb]), length(20), length(70_000)],
  ...[Buffer.from([0xf8]), length(300), Buffer.from([0xf9, 7])],
]);

/** A small file with something of everything. */
function smallFile(seed: number, longest?: number): Buffer {
  const random = new Random(seed);
  const values = valuesByHand(random, 8, longest);
  return rdbFile(11, [BETWEEN, ...values, SELECT_3, MS, ...values.slice(0, 4), ...passed()]);
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** A stream with a group and a consumer, a value of a module, data of a module, and a function. */
function passed(): Buffer[] {
  const id = Buffer.alloc(16, 1);
  const stream = Buffer.concat([
    ...[length(1), text(id), text("entries")],
    ...[1, 5, 0, 5, 0, 0, 0, 1].map(length),
    ...[length(1), text("group"), length(5), length(0), length(1)],
    ...[length(1), id, Buffer.alloc(8), length(2)],
    ...[length(1), text("consumer"), Buffer.alloc(16), length(1), id],
  ]);
  const module = Buffer.alloc(9, 0x81);
  const letters = [..."ReJSON-RL"].map((letter) => BigInt(LETTERS.indexOf(letter)));
  module.writeBigUInt64BE(letters.reduce((id, letter) => (id << 6n) | letter, 0n) << 10n, 1);
  const written = Buffer.concat([
    ...[Buffer.from([1]), length(70), Buffer.from([2]), length(7)],
    ...[Buffer.from([3]), Buffer.alloc(4), Buffer.from([4]), Buffer.alloc(8)],
    ...[Buffer.from([5]), text("text"), Buffer.from([0])],
  ]);
  return [
    entry(21, "a stream", stream),
    entry(7, "of a module", Buffer.concat([module, written])),
    Buffer.concat([Buffer.from([0xf7]), module, Buffer.from([2, 2]), written]),
    Buffer.concat([Buffer.from([0xf5]), text("#!lua name=mine\nreturn 1")]),
  ];
}

/** The keys, or what is wrong. */
function outcome(bytes: Uint8Array, pieceOf?: () => number): RdbEvent[] | string {
  try {
    return readAll(bytes, pieceOf);
  } catch (error) {
    if (isTidemarkError(error, "DAMAGED") || isTidemarkError(error, "VERSION_MISMATCH"))
      return error.message;
    throw error;
  }
}

test("all that a file has is found, whatever the pieces that it comes in", () => {
  for (const seed of seeds("rdb-pieces", 4, 2_000)) {
    const random = new Random(seed);
    const file = smallFile(seed);
    const whole = readAll(file);
    const most = random.below(2) === 0 ? 3 : 2_000;
    expect(readAll(file, () => 1 + random.below(most))).toEqual(whole);
    const keys = keysIn(whole);
    expect(keys.get("0:packed")?.elements).toEqual(["ab".repeat(30)]);
    expect(keys.get("0:string of 8 bits")?.elements).toEqual(["-128"]);
    expect(keys.get("0:string of 32 bits")?.elements).toEqual(["-2147483648"]);
    expect(keys.get("3:string")?.deadline).toBe(10_000_000_000);
    expect(keys.get("3:string of 8 bits")?.deadline).toBeUndefined();
    const list = keys.get("0:list")?.elements as readonly string[];
    expect(keys.get("0:list ziplist")?.elements).toEqual(list);
    expect(keys.get("0:quicklist")?.elements).toEqual([...list.slice(0, 4), ...list]);
    const nodes = [...list, PLAIN, ...list.slice(0, 4)];
    expect(keys.get("0:quicklist 2")?.elements).toEqual(nodes);
    for (const kind of ["hash ziplist", "hash listpack"])
      expect(keys.get(`0:${kind}`)?.elements).toEqual(keys.get("0:hash")?.elements);
    for (const kind of ["zset 2", "zset ziplist", "zset listpack"])
      expect(keys.get(`0:${kind}`)?.elements).toEqual(keys.get("0:zset")?.elements);
    expect(whole.filter((event) => "leftOut" in event)).toEqual([
      { leftOut: "stream", name: "a stream", db: 3 },
      { leftOut: "value of the module ReJSON-RL", name: "of a module", db: 3 },
      { leftOut: "data of a module", name: "ReJSON-RL" },
      { leftOut: "function library", name: "mine" },
    ]);
  }
});

test("seconds, files without a checksum, and old versions", () => {
  const key = entry(0, "k", text("v"));
  const head = { db: 0, key: "k", type: "string", isFirst: true, isLast: true, elements: ["v"] };
  for (const version of [1, 4, 5, 9, 11]) {
    const found = readAll(rdbFile(version, [SECONDS, key, key]));
    expect(found).toEqual([
      { ...head, deadline: 2 ** 30 * 1000 },
      { ...head, deadline: undefined },
    ]);
  }
  const unsummed = rdbFile(9, [key]);
  unsummed.fill(0, unsummed.length - 8);
  expect(readAll(unsummed)).toHaveLength(1);
});

test("a large value goes out in parts, and is never whole anywhere", () => {
  const count = cases("rdb-large", 30_000, 2_000_000);
  const one = Buffer.concat([text("member"), Buffer.alloc(8)]);
  const head = Buffer.concat([length(count)]);
  const file = rdbFile(9, [
    entry(5, "z", Buffer.concat([head, ...Array<Buffer>(count).fill(one)])),
  ]);
  const parts = readAll(file).map((event) => ("leftOut" in event ? 0 : event.elements.length));
  expect(Math.max(...parts)).toBeLessThanOrEqual(257);
  expect(parts.reduce((sum, size) => sum + size, 0)).toBe(2 * count);
});

test("a file that ends too early is told so, with the place", () => {
  const file = smallFile(1, 100);
  for (let end = 0; end < file.length; end += 1)
    expect(outcome(file.subarray(0, end))).toBe(
      `the file is damaged at byte ${end}: it ends too early`,
    );
  const longer = Buffer.concat([file, latin1("*1")]);
  expect(outcome(longer)).toBe(
    `the file is damaged at byte ${file.length}: something stands behind its end`,
  );
});

test("a changed byte is noticed, in whatever way, and never makes much of little", () => {
  const file = smallFile(2, 100);
  const startBytes = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (const seed of seeds("rdb-fuzz", 800, 200_000)) {
    const random = new Random(seed);
    const damaged = Buffer.from(file);
    for (let changes = 1 + random.below(3); changes > 0; changes -= 1) {
      const at = random.below(damaged.length);
      const values = [(damaged[at] as number) ^ (1 << random.below(8)), 0x81, 0xff, 0xc3];
      damaged[at] = random.pick(values) ?? 0;
    }
    if (damaged.equals(file)) continue;
    const told = outcome(damaged, () => 1 + random.below(500));
    expect(told).toMatch(/^the file is (damaged at byte \d+: .|an RDB file of version)/);
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }
  expect(most - startBytes).toBeLessThan(256 * 1024 * 1024);
});

test.each([
  ["no file of Redis", latin1("SQLite format 3"), "at byte 0: it does not begin as an RDB file"],
  ["a later version", rdbFile(12, []), "is an RDB file of version 12; those up to 11"],
  [
    "a string of a terabyte",
    rdbFile(9, [entry(0, "k", length(2 ** 40))]),
    "a string of 1099511627776 bytes is longer than any can be",
  ],
  [
    "a list without an end",
    rdbFile(9, [entry(1, "k", length(2 ** 52))]),
    "a string is encoded as 63",
  ],
  [
    "four bytes that unpack to 500 MB",
    rdbFile(9, [
      entry(0, "k", Buffer.concat([Buffer.from([0xc3]), length(4), length(5e8), text("xxxxxxx")])),
    ]),
    "4 packed bytes cannot make 500000000",
  ],
  ["a module of old", rdbFile(8, [entry(6, "k", text("?"))]), "a value of kind 6, which cannot be"],
  [
    "half a pair",
    rdbFile(9, [entry(16, "k", text(latin1("\x09\0\0\0\x01\0\x01\x01\xff")))]),
    "half",
  ],
  [
    "a score that is none",
    rdbFile(9, [entry(3, "k", Buffer.concat([length(1), text("m"), Buffer.from([253])]))]),
    "a score is no number",
  ],
  [
    "an intset that says more than it has",
    rdbFile(9, [entry(11, "k", text(latin1("\x02\0\0\0\xff\xff\xff\xff\x01\0")))]),
    "an intset of 10 bytes has no 4294967295 numbers of 2",
  ],
])("%s is refused", (_, file, why) => {
  expect(outcome(file)).toContain(why);
});

test("what DUMP gives is read, and refused if a byte of it is another one", () => {
  const value = Buffer.concat([
    Buffer.from([5]),
    length(1),
    text("m"),
    Buffer.alloc(8),
    latin1("\x0a\0"),
  ]);
  const tail = Buffer.alloc(8);
  tail.writeBigUInt64LE(crc64(value));
  const payload = Buffer.concat([value, tail]).toString("latin1");
  const whose = { db: 2, key: "k", deadline: 5 };
  const read = (given: string): RdbEvent[] => [...readDump(given, whose, "the value")];
  expect(read(payload)).toEqual([
    { ...whose, type: "zset", elements: ["m", "0"], isFirst: true, isLast: true },
  ]);
  for (let at = 0; at < payload.length; at += 1) {
    const other = String.fromCharCode(payload.charCodeAt(at) ^ 1);
    const changed = payload.slice(0, at) + other + payload.slice(at + 1);
    expect(() => read(changed)).toThrow(/the value is damaged: the checksum/);
  }
  for (let end = 0; end < payload.length; end += 1)
    expect(() => read(payload.slice(0, end))).toThrow(/the value is damaged/);
});
