import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countRecords, readRecords, recordBytes, writeRecords } from "../../src/core/record.ts";

const contents = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 });
const count = (bytes: Uint8Array): number =>
  countRecords(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length);

describe("records", () => {
  test("are read as they were written, and counted", () => {
    fc.assert(
      fc.property(contents, (messages) => {
        const bytes = writeRecords(messages);
        expect(bytes.length).toBe(
          messages.reduce((sum, { length }) => sum + recordBytes(length), 0),
        );
        expect(bytes.length % 4).toBe(0);
        expect(count(bytes)).toBe(messages.length);
        expect(readRecords(bytes).map((one) => [...one])).toEqual(messages.map((one) => [...one]));
      }),
    );
  });

  test("of two batches stand one behind the other, anywhere in a larger buffer", () => {
    fc.assert(
      fc.property(contents, contents, fc.nat(5), (first, second, offset) => {
        const both = [...writeRecords(first), ...writeRecords(second)];
        const buffer = Uint8Array.of(...new Array<number>(offset).fill(255), ...both, 255, 255);
        const view = new DataView(buffer.buffer);
        expect(countRecords(view, offset, offset + both.length)).toBe(first.length + second.length);
        const inside = buffer.subarray(offset, offset + both.length);
        expect(readRecords(inside).map((one) => [...one])).toEqual(
          [...first, ...second].map((one) => [...one]),
        );
      }),
    );
  });

  test("take a length, the content, and zeros up to a multiple of 4", () => {
    expect([...writeRecords([Uint8Array.of(7, 8, 9), new Uint8Array()])]).toEqual([
      ...[3, 0, 0, 0],
      ...[7, 8, 9, 0],
      ...[0, 0, 0, 0],
    ]);
    expect([0, 1, 4, 5, 2 ** 31, 2 ** 32 - 1].map(recordBytes)).toEqual([
      ...[4, 8, 8, 12],
      2 ** 31 + 4,
      2 ** 32 + 4,
    ]);
  });
});

describe("what is not a whole number of records", () => {
  test("is told from what is, for any bytes", () => {
    /** Straight from the description. */
    const slowCount = (bytes: Uint8Array): number => {
      let at = 0;
      let records = 0;
      while (at < bytes.length) {
        if (bytes.length - at < 4) return -1;
        const length = Buffer.from(bytes.subarray(at)).readUInt32LE();
        const end = at + 4 + length;
        at = Math.ceil(end / 4) * 4;
        if (at > bytes.length || bytes.slice(end, at).some((byte) => byte !== 0)) return -1;
        records += 1;
      }
      return records;
    };
    const nearly = fc
      .tuple(contents, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }), fc.nat(3))
      .map(([messages, changes, cut]) => {
        const bytes = writeRecords(messages);
        for (const [at, byte] of changes) bytes[at % Math.max(1, bytes.length)] = byte;
        return bytes.subarray(0, bytes.length - Math.min(cut, bytes.length));
      });
    let whole = 0;
    let broken = 0;
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 32 }), nearly), (bytes) => {
        const records = slowCount(bytes);
        expect(count(bytes)).toBe(records);
        if (records < 0) broken += 1;
        else whole += 1;
      }),
      { numRuns: 3_000 },
    );
    expect(Math.min(whole, broken)).toBeGreaterThan(300);
  });

  test("has padding that is not zero, which would be a hidden part of the message", () => {
    for (let length = 1; length < 9; length += 1) {
      const bytes = writeRecords([new Uint8Array(length).fill(255)]);
      expect(count(bytes)).toBe(1);
      for (let at = 4 + length; at < bytes.length; at += 1) {
        const changed = bytes.slice();
        changed[at] = 1;
        expect(count(changed)).toBe(-1);
      }
    }
  });

  test("says lengths up to 2^32 - 1 that are not there", () => {
    for (const length of [5, 2 ** 31 - 4, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 4, 2 ** 32 - 1]) {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setUint32(0, length, true);
      expect(count(bytes)).toBe(-1);
    }
  });
});
