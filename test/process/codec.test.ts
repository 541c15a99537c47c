import { expect, test } from "vitest";
import { bytesCodec, encodeApart, jsonCodec, lentBytesCodec } from "../../src/process/codec.ts";

test("what is encoded apart does not change when the value does", () => {
  for (const codec of [bytesCodec, lentBytesCodec]) {
    const table = new Uint8Array([1, 2, 3, 4]);
    for (const value of [table, table.subarray(1, 3), Buffer.from(table.buffer, 1, 2)]) {
      const encoded = encodeApart(codec, value);
      const before = [...encoded];
      table.fill(9);
      expect([...encoded]).toEqual(before);
      table.set([1, 2, 3, 4]);
    }
  }
});

test("and is not copied where it is apart already", () => {
  const json = jsonCodec<{ readonly a: number }>();
  let given: Uint8Array | undefined;
  const codec = {
    ...json,
    encode: (value: { readonly a: number }) => {
      given = json.encode(value);
      return given;
    },
  };
  expect(encodeApart(codec, { a: 1 })).toBe(given);
});
