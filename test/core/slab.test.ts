import fc from "fast-check";
import { expect, test } from "vitest";
import { Slab } from "../../src/core/slab.ts";

const piece = fc.oneof(
  fc.record({ copied: fc.uint8Array({ maxLength: 3_000 }) }),
  fc.record({ written: fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 9 }) }),
);

test("every run keeps what was put into it, whatever comes after, and a new one begins with zeros", () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const slab = new Slab();
      const expected: Uint8Array[] = [];
      const runs = pieces.map((one) => {
        if ("copied" in one) {
          expected.push(one.copied.slice());
          return slab.copy(one.copied);
        }
        let written = 0;
        for (const part of one.written) {
          // A byte between two parts is left as it was.
          slab.make(written + part.length + 1, written);
          slab.bytes.set(part, slab.start + written);
          written += part.length + 1;
        }
        expected.push(Uint8Array.from(one.written.flatMap((part) => [...part, 0])));
        return slab.take(written);
      });
      expect(runs.map((run) => [...run])).toEqual(expected.map((run) => [...run]));
    }),
  );
});

test("many small runs share a piece", () => {
  const slab = new Slab();
  const runs = Array.from({ length: 10_000 }, () => slab.copy(new Uint8Array(100)));
  expect(new Set(runs.map(({ buffer }) => buffer)).size).toBeLessThan(20);
});
