import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ChannelHash,
  emptyChannelHash,
  emptySetHash,
  foldChannelHash,
  formatChannelHash,
} from "../../src/core/channel-hash.ts";
import { writeRecords } from "../../src/core/record.ts";

const documentFile = fileURLToPath(
  new URL("../../docs/internals/snapshot-format.md", import.meta.url),
);

function fold(hash: ChannelHash, bytes: Uint8Array): ChannelHash {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  foldChannelHash(hash, view, 0, bytes.length);
  return hash;
}

const hashOf = (bytes: Uint8Array): string => formatChannelHash(fold(emptyChannelHash(), bytes));

/** Bytes in whole words. */
const streams = fc
  .array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 40 })
  .map((words) => new Uint8Array(Int32Array.from(words).buffer));

describe("the hash of a channel", () => {
  test("is that of the vectors in the description of the format", () => {
    const text = readFileSync(documentFile, "utf8");
    const vectors = [...text.matchAll(/^\| `([0-9a-f ]*)` \| `([0-9a-f]{33})` \|$/gm)];
    expect(vectors.length).toBeGreaterThanOrEqual(6);
    for (const [, bytes = "", hash] of vectors)
      expect(hashOf(Uint8Array.from(Buffer.from(bytes.replaceAll(" ", ""), "hex"))), bytes).toBe(
        hash,
      );
  });

  test("is what the description of the format says, word by word", () => {
    const slowHash = (bytes: Uint8Array): string => {
      const lanes = [0x243f6a88n, 0x85a308d3n, 0x13198a2en, 0x03707344n];
      const factors = [0x9e3779b1n, 0x85ebca77n, 0xc2b2ae3dn, 0x27d4eb2fn];
      const words = bytes.length / 4;
      for (let i = 0; i < words; i += 1) {
        const word = BigInt(Buffer.from(bytes).readUInt32LE(4 * i));
        const product = BigInt.asUintN(32, ((lanes[i % 4] ?? 0n) ^ word) * (factors[i % 4] ?? 0n));
        lanes[i % 4] = BigInt.asUintN(32, product << 13n) | (product >> 19n);
      }
      return lanes.map((lane) => lane.toString(16).padStart(8, "0")).join("") + (words % 4);
    };
    fc.assert(
      fc.property(streams, (bytes) => {
        expect(hashOf(bytes)).toBe(slowHash(bytes));
      }),
    );
  });

  test("does not depend on how the stream is cut into batches, nor where they lie", () => {
    fc.assert(
      fc.property(streams, fc.array(fc.nat(40)), fc.nat(5), (bytes, cuts, offset) => {
        const whole = emptyChannelHash();
        const view = new DataView(
          Uint8Array.of(...new Array<number>(offset).fill(7), ...bytes, 7).buffer,
        );
        const ends = cuts.map((cut) => Math.min(4 * cut, bytes.length)).sort((a, b) => a - b);
        let at = 0;
        for (const end of [...ends, bytes.length]) {
          foldChannelHash(whole, view, offset + at, offset + end);
          at = end;
        }
        expect(formatChannelHash(whole)).toBe(hashOf(bytes));
      }),
    );
  });

  test("is plain data: it goes on from a copy", () => {
    fc.assert(
      fc.property(streams, streams, (first, second) => {
        const copy: ChannelHash = JSON.parse(JSON.stringify(fold(emptyChannelHash(), first)));
        expect(formatChannelHash(fold(copy, second))).toBe(
          hashOf(Uint8Array.of(...first, ...second)),
        );
      }),
    );
  });

  test("always differs when one word differs", () => {
    fc.assert(
      fc.property(streams, fc.nat(), fc.integer({ min: 1, max: 2 ** 32 - 1 }), (bytes, at, by) => {
        fc.pre(bytes.length > 0);
        const changed = new Int32Array(bytes.slice().buffer);
        const index = at % changed.length;
        changed[index] = (changed[index] ?? 0) ^ by;
        expect(hashOf(new Uint8Array(changed.buffer))).not.toBe(hashOf(bytes));
      }),
    );
  });

  test("differs for two small streams that differ in any way", () => {
    const seen = new Map<string, string>();
    // Every stream of up to 4 words out of a few that are much alike.
    const words = [0, 1, 2, 3, 4, 256, -1, 1 << 31];
    const all = (length: number): number[][] =>
      length === 0 ? [[]] : all(length - 1).flatMap((some) => words.map((word) => [...some, word]));
    for (let length = 0; length <= 4; length += 1)
      for (const stream of all(length)) {
        const hash = hashOf(new Uint8Array(Int32Array.from(stream).buffer));
        expect(seen.get(hash)).toBeUndefined();
        seen.set(hash, stream.join());
      }
    expect(seen.size).toBe((8 ** 5 - 1) / 7);
  });

  test("is not a signature: differences that cancel out can be chosen", () => {
    fc.assert(
      fc.property(streams, fc.nat(), (bytes, at) => {
        const words = new Int32Array(bytes.slice().buffer);
        fc.pre(words.length > 4);
        const index = at % (words.length - 4);
        words[index] = (words[index] ?? 0) ^ (1 << 31);
        words[index + 4] = (words[index + 4] ?? 0) ^ (1 << 12);
        expect(hashOf(new Uint8Array(words.buffer))).toBe(hashOf(bytes));
      }),
    );
  });

  test("of no bytes is the digits of pi", () => {
    expect(hashOf(new Uint8Array())).toBe("243f6a8885a308d313198a2e037073440");
  });
});

const setOf = (...runs: readonly (readonly Uint8Array[])[]): string => {
  const hash = emptySetHash();
  for (const run of runs) fold(hash, writeRecords(run));
  return formatChannelHash(hash);
};

const messages = fc.array(fc.uint8Array({ maxLength: 14 }), { maxLength: 12 });

describe("the set hash", () => {
  test("is that of the vectors in the description of the format", () => {
    const text = readFileSync(documentFile, "utf8");
    const vectors = [...text.matchAll(/^\| `([0-9a-f ]*)` \| `([0-9a-f]{32}s)` \|$/gm)];
    expect(vectors.length).toBeGreaterThanOrEqual(5);
    for (const [, bytes = "", hash] of vectors) {
      const records = Uint8Array.from(Buffer.from(bytes.replaceAll(" ", ""), "hex"));
      expect(formatChannelHash(fold(emptySetHash(), records)), bytes).toBe(hash);
    }
  });

  test("does not depend on the order of the messages, nor on how they come in batches", () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.nat(), (contents, at, turn) => {
        const cut = contents.length === 0 ? 0 : at % contents.length;
        const other = contents.toSorted(
          (a, b) => ((a.length * turn) % 7) - ((b.length * turn) % 7),
        );
        const whole = setOf(contents);
        expect(setOf(contents.slice(cut), contents.slice(0, cut))).toBe(whole);
        expect(setOf(other)).toBe(whole);
        expect(setOf(...contents.map((content) => [content]))).toBe(whole);
      }),
    );
  });

  test("counts how often a message is there", () => {
    const [a, b] = [Uint8Array.of(1), Uint8Array.of(2)];
    expect(
      new Set([setOf([]), setOf([a]), setOf([a, a]), setOf([a, a, a]), setOf([a, a, b])]).size,
    ).toBe(5);
  });

  test("differs when words change places between two messages, or a message ends elsewhere", () => {
    const words = (...numbers: number[]) => new Uint8Array(Int32Array.from(numbers).buffer);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer(), fc.integer()), { minLength: 1, maxLength: 8 }),
        fc.nat(),
        (pairs, at) => {
          const one = pairs.map(([word]) => word);
          const two = pairs.map(([, word]) => word);
          const i = at % pairs.length;
          fc.pre(one[i] !== two[i] && one.some((word, j) => j !== i && word !== two[j]));
          const swapped = [one.with(i, two[i] as number), two.with(i, one[i] as number)];
          const whole = setOf([words(...one), words(...two)]);
          expect(setOf(swapped.map((list) => words(...list)))).not.toBe(whole);
          expect(setOf([words(...one, ...two)])).not.toBe(whole);
        },
      ),
    );
  });

  test("differs for small sets that differ in any way", () => {
    const seen = new Set<string>();
    const all = Array.from({ length: 200 }, (_, i) => Uint8Array.of(i));
    for (let i = 0; i < all.length; i += 1)
      for (let j = i; j < all.length; j += 1)
        seen.add(setOf([all[i] as Uint8Array, all[j] as Uint8Array]));
    expect(seen.size).toBe((200 * 201) / 2);
  });

  test("of no messages is zero", () => {
    expect(setOf([])).toBe(`${"0".repeat(32)}s`);
  });
});
