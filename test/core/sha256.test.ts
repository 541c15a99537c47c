import { hash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { sha256 } from "../../src/core/sha256.ts";

test("every length around the blocks is what Node's own says", () => {
  for (let length = 0; length < 300; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 0xff);
    expect(sha256(bytes)).toBe(hash("sha256", bytes));
  }
});

test("so do any bytes, also as a part of more", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5_000 }), fc.nat(100), (bytes, from) => {
      const part = bytes.subarray(from);
      expect(sha256(part)).toBe(hash("sha256", part));
    }),
  );
});
