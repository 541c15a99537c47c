// Where a turn's messages are put together: whatever their sizes, the same messages come out, in frames of the right size.
import fc from "fast-check";
import { expect, test } from "vitest";
import { countRecords, readRecords, recordBytes } from "../../src/core/record.ts";
import { BatchWriter, batchOf, type OutgoingBatch } from "../../src/link/batch-writer.ts";
import { BATCH_HEADER_BYTES } from "../../src/link/frame.ts";
import { cases } from "../support/soak.ts";

const KiB = 1024;
const LARGE = 16 * KiB * KiB;

const bodyOf = ({ frame }: OutgoingBatch): Uint8Array => frame.subarray(BATCH_HEADER_BYTES);

/** What a process does with its messages: takes a batch when it must, and the rest at the end of the turn. */
function write(turns: readonly (readonly Uint8Array[])[], maxFrameBytes = LARGE): OutgoingBatch[] {
  const writer = new BatchWriter(9, maxFrameBytes);
  const batches: OutgoingBatch[] = [];
  for (const turn of turns) {
    for (const content of turn) {
      if (writer.mustTakeBefore(content.length)) batches.push(writer.take());
      writer.append(content);
      expect(writer.bytes).toBeGreaterThanOrEqual(recordBytes(content.length));
    }
    if (writer.count > 0) batches.push(writer.take());
    expect(writer.bytes).toBe(0);
  }
  return batches;
}

/** Some bytes of that length that are not all the same. */
const message = (length: number, seed = length): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);

const contentsOf = (batches: readonly OutgoingBatch[]): Uint8Array[] =>
  batches.flatMap((batch) => {
    const body = bodyOf(batch);
    expect(countRecords(new DataView(body.buffer, body.byteOffset), 0, body.length)).toBe(
      batch.count,
    );
    return readRecords(body);
  });

test("what goes in comes out, in order, each frame within its limit unless it is one message", () => {
  const size = fc.oneof(
    fc.integer({ min: 0, max: 20 }),
    fc.integer({ min: 900, max: 1_100 }),
    fc.integer({ min: 64 * KiB - 60, max: 64 * KiB + 8 }),
    fc.integer({ min: 256 * KiB - 100, max: 256 * KiB + 8 }),
  );
  fc.assert(
    fc.property(
      fc.array(fc.array(size, { maxLength: 8 }), { maxLength: 8 }),
      fc.constantFrom(300 * KiB, 16_384, 70 * KiB, LARGE),
      (sizes, maxFrameBytes) => {
        const fits = (length: number): boolean =>
          recordBytes(length) + BATCH_HEADER_BYTES <= maxFrameBytes;
        const turns = sizes.map((turn) => turn.filter(fits).map((length, i) => message(length, i)));
        const batches = write(turns, maxFrameBytes);
        const expected = turns.flat();
        const contents = contentsOf(batches);
        expect(contents.length).toBe(expected.length);
        contents.forEach((content, i) => {
          expect(Buffer.compare(content, expected[i] as Uint8Array)).toBe(0);
        });
        for (const { frame, kind, count } of batches) {
          expect(kind).toBe(9);
          expect(frame.length).toBeLessThanOrEqual(maxFrameBytes);
          if (count > 1) expect(frame.length).toBeLessThanOrEqual(64 * KiB + BATCH_HEADER_BYTES);
        }
      },
    ),
    { numRuns: cases("batches", 100, 5_000) },
  );
});

test.each([0, 1, 2, 3, 4, 5])("the edge of a batch of 64 KiB is exact (%i bytes over)", (over) => {
  // Two records that fill a body of 64 KiB, and `over` bytes more.
  const first = message(32 * KiB - 4);
  const second = message(32 * KiB - 4 + over);
  // A large slab first: what ends a slab ends a batch too.
  const [, ...batches] = write([[message(200 * KiB)], [first, second]]);
  expect(batches.map(({ count }) => count)).toEqual(over === 0 ? [2] : [1, 1]);
});

test("frames that were handed out are never written to again", () => {
  const turns = Array.from({ length: 600 }, (_, i) => [message(i), message(i * 3)]);
  const writer = new BatchWriter(9, LARGE);
  const kept: { readonly batch: OutgoingBatch; readonly copy: Uint8Array }[] = [];
  const take = (): void => {
    const batch = writer.take();
    kept.push({ batch, copy: batch.frame.slice() });
  };
  for (const turn of turns) {
    for (const content of turn) {
      if (writer.mustTakeBefore(content.length)) take();
      writer.append(content);
    }
    take();
  }
  for (const { batch, copy } of kept) expect(Buffer.compare(batch.frame, copy)).toBe(0);
  const spans = kept.map(({ batch: { frame } }) => [frame.buffer, frame.byteOffset, frame.length]);
  for (const [i, [buffer, offset]] of spans.slice(1).entries()) {
    const [before, at, length] = spans[i] as [ArrayBuffer, number, number];
    if (buffer === before) expect(offset).toBe(at + length);
  }
});

test("a quiet channel costs a kilobyte, a busy one a slab for many frames", () => {
  const [quiet] = write([[message(10)]]);
  expect(quiet?.frame.buffer.byteLength).toBe(KiB);
  const busy = write(Array.from({ length: 5_000 }, () => [message(100)]));
  const slabs = new Set(busy.map(({ frame }) => frame.buffer));
  expect(slabs.size).toBeLessThan(12);
});

test("a batch of one message is what a writer makes of it", () => {
  for (const length of [0, 1, 3, 4, 100]) {
    const [written] = write([[message(length)]]);
    expect(batchOf(9, message(length))).toEqual({ ...written, frame: written?.frame.slice() });
  }
});
