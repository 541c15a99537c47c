import { describe, expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { formatFloat64, parseAnyFloat64, parseFloat64 } from "../../src/kv/numbers.ts";

describe("numbers are written as C writes them", () => {
  test("what is in the middle of two of 17 digits is the even one", () => {
    expect(formatFloat64(10 ** 15 + 3.25)).toBe("1000000000000003.2");
    expect(formatFloat64(10 ** 15 + 3.75)).toBe("1000000000000003.8");
    expect(formatFloat64(2 ** -25)).toBe("2.9802322387695312e-08");
    expect(formatFloat64(-(2 ** -25))).toBe("-2.9802322387695312e-08");
  });

  test("with 17 digits, without zeros at the end", () => {
    const expected: readonly (readonly [number, string])[] = [
      [0.1, "0.10000000000000001"],
      [-0.0001, "-0.0001"],
      [0.00001, "1.0000000000000001e-05"],
      [1e16, "10000000000000000"],
      [-12345678901234568, "-12345678901234568"],
      [1e17, "1e+17"],
      [5e-324, "4.9406564584124654e-324"],
      [-0, "-0"],
      [Number.NEGATIVE_INFINITY, "-inf"],
    ];
    for (const [value, text] of expected) expect(formatFloat64(value)).toBe(text);
  });

  test("the same number is read back", () => {
    const random = new Random("numbers");
    for (let i = 0; i < 5_000; i += 1) {
      const value = (random.bits() / (1 + random.bits())) * 10 ** random.between(-300, 300);
      expect(parseFloat64(formatFloat64(value))).toBe(value);
    }
  });
});

describe("numbers are read as C reads them", () => {
  test("what is too large or too small is refused, or infinite or 0", () => {
    for (const [text, value] of [
      ["1e400", Number.POSITIVE_INFINITY],
      ["-1e400", Number.NEGATIVE_INFINITY],
      ["1e-400", 0],
      ["0x1p-5000", 0],
    ] as const) {
      expect(parseFloat64(text)).toBeUndefined();
      expect(parseAnyFloat64(text)).toBe(value);
    }
  });

  test("in base 16, too", () => {
    expect(parseFloat64("0x10")).toBe(16);
    expect(parseFloat64("-0x1.8p1")).toBe(-3);
    expect(parseFloat64("0x0p9999")).toBe(0);
    expect(parseFloat64("0xep0")).toBe(14);
    for (const text of ["0x", "0x.p1", "x10", "0x1p", "nan", "", " 1", "1 "])
      expect(parseFloat64(text)).toBeUndefined();
  });
});
