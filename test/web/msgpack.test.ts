/** What the page reads is what is written. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { msgpackCodec } from "../../src/runtime/msgpack-codec.ts";
import { msgpackReader } from "../../web/snapshots/msgpack.ts";
import { cases } from "../support/soak.ts";

test("the page reads what the default codec writes", () => {
  const value = fc.anything({
    withBigInt: true,
    withDate: true,
    withTypedArray: true,
    withSet: true,
  });
  const codec = msgpackCodec<unknown>();
  let read = 0;
  fc.assert(
    fc.property(value, (one) => {
      let bytes: Uint8Array;
      try {
        bytes = codec.encode(one);
      } catch {
        return;
      }
      read += 1;
      expect(msgpackReader.decode(bytes)).toEqual(codec.decode(bytes));
    }),
    { numRuns: cases("page-msgpack", 300, 10_000) },
  );
  expect(read).toBeGreaterThan(50);
});
