// The pure rooms have no TextEncoder; theirs must say the same, and refuse what is not UTF-8.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeUtf8, encodeUtf8 } from "../../src/core/utf8.ts";

const encoder = new TextEncoder();
const fatal = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return fatal.decode(bytes);
  } catch {
    return undefined;
  }
}

test("any text is encoded as the platform does it, and comes back", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      expect(encodeUtf8(text)).toEqual(encoder.encode(text));
      expect(decodeUtf8(encodeUtf8(text))).toBe(text);
    }),
    { numRuns: 1_000 },
  );
});

test("any code units, pairs or halves, are encoded as the platform does it", () => {
  const unit = fc.oneof(
    fc.integer({ min: 0, max: 0xffff }),
    fc.integer({ min: 0xd7ff, max: 0xe000 }),
    fc.constantFrom(0x7f, 0x80, 0x7ff, 0x800, 0xdbff, 0xdc00, 0xfffd, 0xffff),
  );
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 50 }), (units) => {
      const text = String.fromCharCode(...units);
      expect(encodeUtf8(text)).toEqual(encoder.encode(text));
    }),
    { numRuns: 2_000 },
  );
});

test("any bytes are decoded as the platform does it, or refused where it refuses", () => {
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(
      0x7f,
      0x80,
      0xbf,
      0xc0,
      0xc1,
      0xc2,
      0xe0,
      0xed,
      0xa0,
      0x9f,
      0xef,
      0xf0,
      0xf4,
      0x90,
      0xf5,
      0xff,
    ),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 12 }), (bytes) => {
      const given = Uint8Array.from(bytes);
      expect(decodeUtf8(given)).toBe(decoded(given));
    }),
    { numRuns: 10_000 },
  );
});

describe("what is not UTF-8 is refused", () => {
  test.each([
    ["a byte that only continues", [0x80]],
    ["two bytes for an ASCII letter", [0xc1, 0x81]],
    ["three bytes for what fits two", [0xe0, 0x9f, 0xbf]],
    ["four bytes for what fits three", [0xf0, 0x8f, 0xbf, 0xbf]],
    ["half of a surrogate pair", [0xed, 0xa0, 0x80]],
    ["beyond the last code point", [0xf4, 0x90, 0x80, 0x80]],
    ["a lead that no code point has", [0xf8, 0x88, 0x80, 0x80, 0x80]],
    ["an end in the middle of two", [0xc3]],
    ["an end in the middle of three", [0xe2, 0x82]],
    ["an end in the middle of four", [0xf0, 0x9f, 0x98]],
    ["a letter where a byte should continue", [0xe2, 0x41, 0xac]],
  ])("%s", (_what, bytes) => {
    expect(decodeUtf8(Uint8Array.from([0x61, ...bytes]))).toBeUndefined();
  });
});

test("the edges of each length are right", () => {
  for (const code of [
    0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfeff, 0xffff, 0x10000, 0x10ffff,
  ]) {
    const text = String.fromCodePoint(code);
    expect(encodeUtf8(text)).toEqual(encoder.encode(text));
    expect(decodeUtf8(encodeUtf8(text))).toBe(text);
  }
});

test("a megabyte comes back, wherever the decoder cuts it into pieces", () => {
  for (const text of ["a", "é", "€", "😀", "a😀"]) {
    const long = "x".repeat(4_095) + text.repeat(200_000);
    expect(decodeUtf8(encodeUtf8(long))).toBe(long);
  }
});
