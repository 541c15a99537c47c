import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random, type RandomState } from "../../src/core/random.ts";

const take = (random: Random, count: number): number[] =>
  Array.from({ length: count }, () => random.bits());

test("the numbers are those of the reference implementation of xoshiro128**", () => {
  // From the state 1, 2, 3, 4, as other implementations check themselves.
  expect(take(new Random([1, 2, 3, 4]), 10)).toEqual([
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597,
    4258142804,
  ]);
});

test("a seed always gives the same numbers", () => {
  // A scenario is kept by its seed alone: these may never change.
  expect(take(new Random(7), 3)).toEqual(take(new Random(7), 3));
  const first = [7, -7, 2 ** 40, "bank"].map((seed) => new Random(seed).bits());
  expect(first).toEqual([1725147949, 234254303, 4231576545, 3352035365]);
});

test("different seeds give different streams", () => {
  const seeds = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.nat(100));
  fc.assert(
    fc.property(seeds, seeds, (a, b) => {
      fc.pre(a !== b);
      expect(take(new Random(a), 4)).not.toEqual(take(new Random(b), 4));
    }),
  );
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      fc.pre(a !== b);
      expect(take(new Random(a), 4)).not.toEqual(take(new Random(b), 4));
    }),
  );
});

test("seeds that differ by a multiple of 2^32 differ, below zero too", () => {
  const seeds = [-1, 2 ** 32 - 1, 2 ** 33 - 1, -1 - 2 ** 32, 0, 2 ** 32, -(2 ** 32)];
  const streams = seeds.map((seed) => take(new Random(seed), 4).join());
  expect(new Set(streams).size).toBe(seeds.length);
});

test("any number is a seed", () => {
  for (const seed of [Number.NaN, Number.POSITIVE_INFINITY, 1e300, -0.5, 5e-324])
    expect(take(new Random(seed), 3).every((bits) => bits >= 0 && bits < 2 ** 32)).toBe(true);
});

test("the state is plain data: a stream goes on from a copy of it, and apart from it", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(20), (seed, drawn) => {
      const random = new Random(seed);
      take(random, drawn);
      const saved: RandomState = JSON.parse(JSON.stringify(random.state));
      const restored = new Random(saved);
      const later = take(random, 5);
      expect(take(restored, 5)).toEqual(later);
      expect(restored.state).not.toBe(saved);
    }),
  );
});

test("below and between stay within their limits, and reach them", () => {
  const random = new Random("limits");
  const below = Array.from({ length: 1_000 }, () => random.below(6));
  expect(new Set(below)).toEqual(new Set([0, 1, 2, 3, 4, 5]));
  const between = Array.from({ length: 1_000 }, () => random.between(-2, 2));
  expect(new Set(between)).toEqual(new Set([-2, -1, 0, 1, 2]));
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, limit) => {
      const drawn = new Random(seed).below(limit);
      expect(Number.isInteger(drawn) && drawn >= 0 && drawn < limit).toBe(true);
    }),
  );
  expect(random.below(1)).toBe(0);
  expect(random.between(5, 5)).toBe(5);
});

test("the numbers are spread evenly", () => {
  const random = new Random("dice");
  const counts = new Array<number>(16).fill(0);
  const draws = 160_000;
  for (let i = 0; i < draws; i += 1) {
    const face = random.below(16);
    counts[face] = (counts[face] ?? 0) + 1;
  }
  const expected = draws / 16;
  const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // With 15 degrees of freedom chance alone goes beyond this once in a million.
  expect(chiSquared).toBeLessThan(56.5);
});

describe("chance, fraction and pick", () => {
  test("a probability of 0 never comes true, of 1 always, of a half about half the time", () => {
    const random = new Random("coin");
    const heads = (probability: number): number =>
      Array.from({ length: 10_000 }, () => random.chance(probability)).filter(Boolean).length;
    expect(heads(0)).toBe(0);
    expect(heads(1)).toBe(10_000);
    expect(Math.abs(heads(0.5) - 5_000)).toBeLessThan(300);
  });

  test("a fraction is from 0 to below 1", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const fraction = new Random(seed).fraction();
        expect(fraction >= 0 && fraction < 1).toBe(true);
      }),
    );
  });

  test("pick gives one of the items, every one now and then, and undefined of none", () => {
    const random = new Random("pick");
    const items = ["a", "b", "c"];
    const picked = new Set(Array.from({ length: 200 }, () => random.pick(items)));
    expect(picked).toEqual(new Set(items));
    expect(random.pick([])).toBeUndefined();
  });
});
