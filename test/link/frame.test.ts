// The bytes that a link puts on a transport; what is written is what is read, and what is not well formed says why.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchOf } from "../../src/link/batch-writer.ts";
import {
  acknowledgement,
  BATCH_HEADER_BYTES,
  type FrameHeader,
  parseFrame,
  writeBatchHeader,
} from "../../src/link/frame.ts";

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const count = fc.maxSafeNat();
const anyHeader: fc.Arbitrary<FrameHeader> = fc.record({
  stream: fc.integer({ min: 0, max: 255 }),
  epoch: u32,
  from: u32,
  to: u32,
  acknowledged: count,
  credit: count,
});

test("an acknowledgement is read as it was written", () => {
  fc.assert(
    fc.property(
      anyHeader,
      count,
      fc.constantFrom("asks", "answers", undefined),
      (header, oldest, word) => {
        const said = { asks: word === "asks", answers: word === "answers", oldest };
        expect(parseFrame(acknowledgement(header, oldest, word))).toEqual({ ...header, ...said });
      },
    ),
  );
});

test("a batch is read as it was written", () => {
  fc.assert(
    fc.property(
      anyHeader,
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: 2 ** 53 - 2 }),
      fc.uint8Array({ maxLength: 50 }),
      (header, kind, first, content) => {
        const { frame, count: records } = batchOf(kind, content);
        writeBatchHeader(frame, header, kind, first, records);
        const body = frame.subarray(BATCH_HEADER_BYTES);
        const batch = { kind, first, count: 1, body };
        const said = { asks: false, answers: false, oldest: 0 };
        expect(parseFrame(frame)).toEqual({ ...header, ...said, batch });
      },
    ),
  );
});

test("a frame that lies in the middle of more is read from its own beginning", () => {
  const header = { stream: 1, epoch: 2, from: 3, to: 4, acknowledged: 5, credit: 6 };
  const inside = new Uint8Array(100).fill(0xff);
  inside.set(acknowledgement(header, 7), 13);
  const said = { asks: false, answers: false, oldest: 7 };
  expect(parseFrame(inside.subarray(13, 53))).toEqual({ ...header, ...said });
});

describe("what is not well formed", () => {
  const header = { stream: 0, epoch: 1, from: 2, to: 3, acknowledged: 4, credit: 5 };
  const batch = (): Uint8Array => {
    const { frame } = batchOf(1, new Uint8Array(8));
    writeBatchHeader(frame, header, 1, 7, 1);
    return frame;
  };
  const numbered = (frame: Uint8Array, at: number, value: number): Uint8Array => {
    new DataView(frame.buffer).setFloat64(at, value, true);
    return frame;
  };

  test.each([
    ["no bytes at all", new Uint8Array()],
    ["too few for a header", new Uint8Array(31)],
    ["an unknown form", new Uint8Array(32)],
    ["a batch that ends in its header", batch().subarray(0, 43)],
    ["an acknowledgement with more behind it", new Uint8Array([...acknowledgement(header, 0), 0])],
    ["oldest: negative", numbered(acknowledgement(header, 0), 32, -1)],
    ["acknowledged: a fraction", numbered(batch(), 16, 0.5)],
    ["acknowledged: negative", numbered(batch(), 16, -1)],
    ["acknowledged: not a number", numbered(batch(), 16, Number.NaN)],
    ["credit: endless", numbered(batch(), 24, Number.POSITIVE_INFINITY)],
    ["first: a fraction", numbered(batch(), 32, 1e-300)],
    ["first: beyond all counts", numbered(batch(), 32, 2 ** 53)],
    ["first and count: beyond all counts", numbered(batch(), 32, 2 ** 53 - 1)],
  ])("%s", (_what, frame) => {
    expect(parseFrame(frame)).toBeTypeOf("string");
  });

  test("the frame they were made from is", () => {
    expect(parseFrame(batch())).toBeTypeOf("object");
  });

  test("any bytes are read or refused, never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(["string", "object"]).toContain(typeof parseFrame(bytes));
      }),
      { numRuns: 1_000 },
    );
  });
});
