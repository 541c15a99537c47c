import fc from "fast-check";
import { expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { Slab } from "../../src/core/slab.ts";

const piece = fc.oneof(
  fc.record({ copied: fc.uint8Array({ maxLength: 3_000 }) }),
  fc.record({ written: fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 9 }) }),
);

test("every run keeps what was put into it, whatever comes after", () => {
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
          slab.make(written + part.length, written);
          slab.bytes.set(part, slab.start + written);
          written += part.length;
        }
        expected.push(Uint8Array.from(one.written.flatMap((part) => [...part])));
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

test("pieces are written anew once all of their runs are released, and no others", () => {
  const random = new Random("slab");
  const slab = new Slab();
  let live: { readonly run: Uint8Array; readonly value: number }[] = [];
  const pieces = new Set<ArrayBufferLike>();
  for (let i = 0; i < 30_000; i += 1) {
    const value = random.below(256);
    const run = slab.copy(new Uint8Array(random.below(4_000)).fill(value));
    live.push({ run, value });
    pieces.add(run.buffer);
    if (live.length < 200) continue;
    // Now and then one is kept for long.
    const [done, kept] = [live.slice(0, 100), live.slice(100)];
    live = random.chance(0.1) ? [...done.splice(0, 1), ...kept] : kept;
    for (const one of done) slab.release(one.run);
    if (i % 7 === 0)
      for (const one of live) expect(one.run.every((byte) => byte === one.value)).toBe(true);
  }
  // 60 MB have passed.
  expect(pieces.size).toBeLessThan(100);
});

test("a run of another slab is released without harm", () => {
  const [one, other] = [new Slab(), new Slab()];
  const runs = Array.from({ length: 300 }, () => one.copy(new Uint8Array(1_000).fill(1)));
  for (const run of runs) other.release(run);
  for (let i = 0; i < 1_000; i += 1) one.copy(new Uint8Array(1_000).fill(2));
  expect(runs.every((run) => run.every((byte) => byte === 1))).toBe(true);
});
