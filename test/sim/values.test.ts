// Values as texts and as copies: what a search tells states apart by, and what it hands to applications.
import { expect, test } from "vitest";
import { copyOfData, keyOf, textOfBytes } from "../../src/sim/values.ts";

class Purse {
  readonly coins: number;

  constructor(coins: number) {
    this.coins = coins;
  }
}

class Sealed {
  readonly #what: number;

  constructor(what: number) {
    this.#what = what;
  }

  toJSON(): number {
    return this.#what;
  }
}

/** No two are the same; each is made anew. */
const different = (): unknown[] => [
  ...[
    null,
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    0,
    -0,
    1,
    1n,
  ],
  ...[true, "", "1", "1n", "null", "true", "a,", "^0"],
  ...[[], {}, [[]], [undefined], [null], Array(1), Array(2), ["a", "b"], ["a,b"], ['a","b']],
  ...[{ a: undefined }, { a: null }, { a: 1, b: 2 }, { b: 2, a: 1 }, { "a:1,b": 2 }, { "": {} }],
  ...[new Map(), new Set(), new Map([[1, 2]]), new Set([1, 2]), new Map([[[1], 2]]), { map: [] }],
  ...[new Date(0), new Date(1), new Date(0).toISOString(), new Date(Number.NaN)],
  ...[new Uint8Array(), new Uint8Array([1]), new Uint8Array([1, 0]), new Float64Array([1]), [1]],
  ...[new Purse(1), new Purse(2), { coins: 1 }, new Sealed(1), new Sealed(2), /a/, /a/g],
];

test("texts are the same for the same values, and for no others", () => {
  expect(different().map((one) => keyOf(one))).toEqual(different().map((one) => keyOf(one)));
  expect(new Set(different().map((one) => keyOf(one))).size).toBe(different().length);
  for (const wrap of [(one: unknown) => [one], (one: unknown) => ({ one })])
    expect(new Set(different().map((one) => keyOf(wrap(one)))).size).toBe(different().length);
});

test("what is in itself has an end", () => {
  const round: { self?: unknown; other: unknown } = { other: [] };
  round.self = round;
  expect(keyOf(round)).not.toBe(keyOf({ self: null, other: [] }));
  expect((copyOfData(round).self as { self: unknown }).self).not.toBe(round);
});

test("as many bytes as there are", () => {
  const text = textOfBytes(new Uint8Array(1_000_000).fill(65));
  expect(text).toBe("A".repeat(1_000_000));
});

test("a copy is the same and its own all through", () => {
  for (const one of different()) expect(keyOf(copyOfData(one))).toBe(keyOf(one));
  const deep = { list: [{ set: new Set([[1]]), map: new Map([["a", [1]]]) }], bytes: Buffer.of(1) };
  const copy = copyOfData(deep);
  for (const { map, set } of copy.list) for (const one of [...map.values(), ...set]) one.push(2);
  copy.bytes[0] = 2;
  copy.list.length = 0;
  expect(deep.list).toEqual([{ set: new Set([[1]]), map: new Map([["a", [1]]]) }]);
  expect(deep.bytes).toEqual(Buffer.of(1));
});
