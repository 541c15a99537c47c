import { describe, expect, test } from "vitest";
import { msgpackCodec } from "../../src/index.ts";

const codec = msgpackCodec<unknown>();

describe("MessagePack brings back", () => {
  test.each([
    [null],
    [true],
    [0],
    [-7.5],
    [2 ** 53],
    ["ä€😀"],
    [[1, [2, []]]],
    [{ a: 1, b: { c: [undefined] } }],
    [new Set([1, "two"])],
    [new Date(1_700_000_000_000)],
    [12_345_678_901_234_567_890n],
    [new Float64Array([1, 2])],
    [new Error("with its message")],
  ])("%o", (value) => {
    const bytes = new Uint8Array(codec.encode(value));
    const decoded = codec.decode(bytes);
    // They were only lent.
    bytes.fill(0xee);
    expect(decoded).toEqual(value);
  });

  test("bytes, of which none is lent", () => {
    const encoded = new Uint8Array(codec.encode([new Uint8Array([1, 2, 255]), Buffer.from("x")]));
    const [bytes, buffer] = codec.decode(encoded) as [Uint8Array, Uint8Array];
    encoded.fill(0xee);
    expect([...bytes, ...buffer]).toEqual([1, 2, 255, 0x78]);
  });

  test("an instance of a class as a plain object", () => {
    class Point {
      x = 1;
    }
    expect(codec.decode(codec.encode(new Point()))).toEqual({ x: 1 });
  });
});

describe("MessagePack refuses", () => {
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  test.each([
    ["a Map", new Map([["x", 1]])],
    ["a Map inside", { list: [new Map()] }],
    ["a function", () => 1],
    ["a symbol", { s: Symbol("s") }],
    ["a promise", [Promise.resolve()]],
    ["the key __proto__", JSON.parse('{"__proto__": 1}')],
    ["what is cyclic", cyclic],
  ])("%s", (_what, value) => {
    expect(() => codec.encode(value)).toThrow(TypeError);
  });
});
