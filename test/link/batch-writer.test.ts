// Where a turn's messages are put together: whatever their sizes, the same messages come out, in frames of the right size.
import fc from "fast-check";
import { expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { countRecords, readRecords, recordBytes } from "../../src/core/record.ts";
import {
  type BatchStream,
  BatchWriter,
  batchOf,
  type OutgoingBatch,
} from "../../src/link/batch-writer.ts";
import { BATCH_HEADER_BYTES } from "../../src/link/frame.ts";
import { cases } from "../support/soak.ts";

const KiB = 1024;
const LARGE = 16 * KiB * KiB;

const bodyOf = ({ frame }: OutgoingBatch): Uint8Array => frame.subarray(BATCH_HEADER_BYTES);

/** A stream on which nothing ever arrives. */
const stuck: BatchStream = { givenBytes: 1, ackedBytes: 0, reusableFromBytes: 0 };

/** What a process does with its messages: takes a batch when it must, and the rest at the end of the turn. */
function write(
  turns: readonly (readonly Uint8Array[])[],
  maxFrameBytes = LARGE,
  heading?: Uint8Array,
): OutgoingBatch[] {
  const writer = new BatchWriter(9, maxFrameBytes, stuck);
  const batches: OutgoingBatch[] = [];
  for (const turn of turns) {
    for (const content of turn) {
      if (writer.mustTakeBefore(content.length)) batches.push(writer.take());
      writer.append(content, heading);
      expect(writer.bytes).toBeGreaterThanOrEqual(recordBytes(content.length));
    }
    if (writer.count > 0) batches.push(writer.take());
    expect(writer.bytes).toBe(0);
  }
  return batches;
}

/** Some bytes of that length that are not all the same. */
const message = (length: number, seed = length): Uint8Array =>
  PATTERN.slice(seed & 0xff, (seed & 0xff) + length);
const PATTERN = Uint8Array.from({ length: 300 * KiB }, (_, i) => (i * 31) & 0xff);

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

test("every batch begins with the heading, if there is one, before its first message", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.integer({ min: 0, max: 30 * KiB }), { maxLength: 6 }), { maxLength: 6 }),
      fc.constantFrom(0, 1, 90, 6_000),
      (sizes, length) => {
        const heading = message(length, 7);
        const turns = sizes.map((turn) => turn.map((size) => message(size)));
        const batches = write(turns, LARGE, heading);
        const contents = batches.map((batch) => contentsOf([batch]));
        for (const [first] of contents) expect(first).toEqual(heading);
        expect(contents.flatMap((all) => all.slice(1)).map((one) => one.length)).toEqual(
          sizes.flat(),
        );
        expect(batches.length).toBeGreaterThanOrEqual(
          turns.filter((turn) => turn.length > 0).length,
        );
      },
    ),
    { numRuns: cases("headings", 100, 5_000) },
  );
});

/** A frame that was handed out. */
interface Sent {
  readonly batch: OutgoingBatch;
  readonly copy: Uint8Array;
  readonly endBytes: number;
}

/** Writes batches into a stream on which frames arrive, or are sent again, as `happens` says; checks all that are under way. */
function stream(
  sizes: readonly number[],
  happens: (turn: number) => "nothing" | "arrives" | "again" | "restarts",
  reliable = true,
): { readonly slabs: number; readonly batches: number } {
  const state = { givenBytes: 0, ackedBytes: 0, reusableFromBytes: reliable ? 0 : Infinity };
  const writer = new BatchWriter(9, LARGE, state);
  const underWay: Sent[] = [];
  const sentTwice: Sent[] = [];
  const slabs = new Set<ArrayBufferLike>();
  let batches = 0;
  const take = (): void => {
    const batch = writer.take();
    expect(contentsOf([batch]).length).toBe(batch.count);
    batch.frame.fill(1, 0, BATCH_HEADER_BYTES);
    slabs.add(batch.frame.buffer);
    batches += 1;
    state.givenBytes += bodyOf(batch).length;
    underWay.push({ batch, copy: batch.frame.slice(), endBytes: state.givenBytes });
  };
  sizes.forEach((size, turn) => {
    const content = message(size, turn);
    if (writer.mustTakeBefore(size)) take();
    writer.append(content);
    if (turn % 3 === 0 && writer.count > 0) take();
    switch (happens(turn)) {
      case "arrives":
        state.ackedBytes = underWay.shift()?.endBytes ?? state.ackedBytes;
        break;
      case "again":
        sentTwice.push(...underWay);
        if (underWay.length > 0)
          state.reusableFromBytes = Math.max(state.reusableFromBytes, state.givenBytes);
        break;
      case "restarts":
        Object.assign(state, { givenBytes: 0, ackedBytes: 0 });
        if (reliable) state.reusableFromBytes = 0;
        underWay.length = 0;
        sentTwice.length = 0;
        writer.restart();
        break;
      default:
    }
    for (const { batch, copy } of turn % 16 === 0 ? [...underWay, ...sentTwice] : [])
      if (Buffer.compare(batch.frame, copy) !== 0) throw new Error("a frame was written to");
  });
  return { slabs: slabs.size, batches };
}

test("a frame is not written to before it has arrived, nor ever if it was sent twice", () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 2, max: 60 }), (seed, often) => {
      const random = new Random(seed);
      const sizes = Array.from({ length: 400 }, () => random.below(60 * KiB));
      stream(sizes, () => {
        const one = random.below(often * 20);
        if (one === 0) return "again";
        if (one === 1) return "restarts";
        return random.chance(0.9) ? "arrives" : "nothing";
      });
    }),
    { numRuns: cases("slabs", 20, 1_000) },
  );
});

test("a busy channel goes round through a few slabs, if its frames arrive, each sent once", () => {
  const sizes = Array.from({ length: 600 }, (_, i) => 20 * KiB + i);
  const soon = stream(sizes, () => "arrives");
  expect(soon.batches).toBeGreaterThan(200);
  expect(soon.slabs).toBeLessThan(15);
  expect(stream(sizes, (turn) => (turn % 2 ? "again" : "arrives")).slabs).toBeGreaterThan(40);
  expect(stream(sizes, () => "nothing").slabs).toBeGreaterThan(40);
  expect(stream(sizes, () => "arrives", false).slabs).toBeGreaterThan(40);
});

test("a channel that falls quiet keeps the slab at hand and no more", () => {
  const state = { givenBytes: 0, ackedBytes: 0, reusableFromBytes: 0 };
  const writer = new BatchWriter(9, LARGE, state);
  const slabs = (count: number): Set<ArrayBufferLike> => {
    const used = new Set<ArrayBufferLike>();
    for (let i = 0; i < count; i += 1) {
      writer.append(message(50 * KiB));
      const batch = writer.take();
      used.add(batch.frame.buffer);
      state.givenBytes += bodyOf(batch).length;
    }
    state.ackedBytes = state.givenBytes;
    return used;
  };
  const burst = slabs(60);
  expect([...slabs(10)].every((slab) => burst.has(slab))).toBe(true);
  const before = slabs(60);
  writer.rest();
  const after = [...slabs(60)].filter((slab) => before.has(slab));
  expect(after.length).toBeLessThanOrEqual(1);
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
