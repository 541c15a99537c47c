import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  parseAge,
  parseChannel,
  parseDuration,
  parseRange,
  parseRate,
  parseSize,
  probability,
  wholeNumber,
} from "../../src/cli/options.ts";

test("an age may be longer than a duration, a size has its unit", () => {
  expect(["0", "90m", "1.5d", "2w", "500ms"].map(parseAge)).toEqual([
    ...[0, 5_400_000, 129_600_000, 1_209_600_000, 500],
  ]);
  expect(["0", "12B", "1.5kB", "10MiB", "2TB"].map(parseSize)).toEqual([
    ...[0, 12, 1_500, 10_485_760, 2e12],
  ]);
  for (const bad of ["", "7", "d", "-1d", "1y", "1 d", "1e3s", "constructor", "1constructor"]) {
    expect(() => parseAge(bad)).toThrow(InvalidArgumentError);
    expect(() => parseSize(bad)).toThrow(InvalidArgumentError);
  }
});

describe("a duration", () => {
  test.for([
    ["0", 0],
    ["0ms", 0],
    ["500ms", 500],
    ["1s", 1000],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["0.25ms", 0.25],
  ] as const)("%s is %d ms", ([text, ms]) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.for([
    "",
    "5",
    "s",
    "-1s",
    "1 s",
    "1S",
    "1e3ms",
    "1d",
    "1s2ms",
    ".5s",
    "1.s",
    "Infinity",
    "25h30",
    "0x1s",
  ])("%j is none", (text) => {
    expect(() => parseDuration(text)).toThrow(InvalidArgumentError);
  });

  test("is not longer than timers can wait", () => {
    expect(parseDuration("2147483647ms")).toBe(2 ** 31 - 1);
    expect(() => parseDuration("2147483648ms")).toThrow("That is longer than 24 days.");
  });
});

describe("a range", () => {
  test.for([
    ["0..50ms", [0, 50]],
    ["10ms..1s", [10, 1000]],
    ["10..20s", [10_000, 20_000]],
    ["30ms", [30, 30]],
    ["0", [0, 0]],
  ] as const)("%s is %j ms", ([text, range]) => {
    expect(parseRange(text)).toEqual(range);
  });

  test.for(["", "..", "1..", "..50ms", "50ms..10ms", "1ms..2ms..3ms", "0..50", "a..b"])(
    "%j is none",
    (text) => {
      expect(() => parseRange(text)).toThrow(InvalidArgumentError);
    },
  );
});

describe("a whole number", () => {
  test("is one between the limits, written with digits only", () => {
    const parse = wholeNumber(1, 64);
    expect([parse("1"), parse("64"), parse("007")]).toEqual([1, 64, 7]);
    for (const text of ["0", "65", "", "1.0", "+1", "-1", "1e1", " 1", "0x10", "NaN"])
      expect(() => parse(text)).toThrow("Use a whole number from 1 to 64.");
  });
});

describe("other values", () => {
  test("a rate is a number or max", () => {
    expect([parseRate("max"), parseRate("0"), parseRate("0.5"), parseRate("1000000")]).toEqual([
      "max",
      0,
      0.5,
      1_000_000,
    ]);
    for (const text of ["", "MAX", "-1", "1/s", "1e3", "10000000000"])
      expect(() => parseRate(text)).toThrow(InvalidArgumentError);
  });

  test("a probability is from 0 to 1, or to below 1", () => {
    expect([probability(true)("1"), probability(false)("0.2"), probability(false)(".5")]).toEqual([
      1, 0.2, 0.5,
    ]);
    for (const text of ["1", "1.0", "-0.1", "20%", "", "."])
      expect(() => probability(false)(text)).toThrow(InvalidArgumentError);
  });

  test("a channel is two processes", () => {
    for (const text of ["p1,p2", "p1→p2", "p1 → p2", "p1->p2", " p1 p2 "])
      expect(parseChannel(text)).toEqual(["p1", "p2"]);
    for (const text of ["", ",", "p1", "p1,", ",p2", "p1,p2,p3", "p1→", "p1 -> p2 p3"])
      expect(() => parseChannel(text)).toThrow(InvalidArgumentError);
  });
});

test("whatever is typed is taken or refused, and nothing else", () => {
  const parsers = [
    parseDuration,
    parseRange,
    parseRate,
    parseChannel,
    wholeNumber(0, 9),
    probability(true),
  ];
  fc.assert(
    fc.property(fc.string(), fc.constantFrom(...parsers), (text, parse) => {
      try {
        const value = parse(text);
        for (const one of [value].flat())
          expect(typeof one === "string" || Number.isFinite(one)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidArgumentError);
      }
    }),
    { numRuns: 2000 },
  );
});
