import { expect, test } from "vitest";
import { Tapes } from "../../src/snapshot/tape.ts";

const KiB = 1024;
const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

test("what a tape holds stays as it was, whatever happens to the original and to other tapes", () => {
  const tapes = new Tapes();
  const [first, second] = [tapes.take(), tapes.take()];
  const kept: { readonly copy: Uint8Array; readonly value: number }[] = [];
  for (let value = 1; value <= 60; value += 1) {
    const original = bytes(value % 7 === 0 ? 100 : 30 * KiB + value, value);
    const copy = tapes.copy(original);
    first.hold(copy);
    if (value % 2) second.hold(copy);
    original.fill(0);
    kept.push({ copy: copy.bytes, value });
  }
  first.erase();
  // What both held is still held by the second; the rest is written over, as it may be.
  const third = tapes.take();
  for (let i = 0; i < 60; i += 1) third.hold(tapes.copy(bytes(30 * KiB, 99)));
  for (const { copy, value } of kept)
    if (value % 2) expect(copy.every((byte) => byte === value)).toBe(true);
});

test("memory goes round: an erased tape's is used again, and a shared one's once the last has erased it", () => {
  const tapes = new Tapes();
  const buffers = new Set<ArrayBufferLike>();
  const record = (): void => {
    const [one, other] = [tapes.take(), tapes.take()];
    for (let i = 0; i < 40; i += 1) {
      const copy = tapes.copy(bytes(60 * KiB, i));
      one.hold(copy);
      other.hold(copy);
      buffers.add(copy.bytes.buffer);
    }
    one.erase();
    one.erase();
    other.erase();
  };
  record();
  const once = buffers.size;
  for (let i = 0; i < 20; i += 1) record();
  expect(once).toBe(10);
  expect(buffers.size).toBe(once);
});

test("small batches and giant ones have copies of their own, and no reel", () => {
  const tapes = new Tapes();
  for (const length of [0, 1, 4 * KiB, 256 * KiB + 1]) {
    const original = bytes(length, 7);
    const { bytes: copy, reel } = tapes.copy(original);
    expect(reel).toBeUndefined();
    expect(copy).toEqual(original);
    expect(copy.buffer.byteLength).toBe(length);
  }
  expect(tapes.copy(bytes(4 * KiB + 1, 7)).reel).toBeDefined();
});
