/** The default codec: MessagePack by msgpackr. Self-contained (no shared record structures) and data only. */

import { Packr } from "msgpackr";
import type { Codec } from "../process/codec.ts";

// `moreTypes` keeps Set, typed arrays and Error what they are; `copyBuffers` has no value refer to what it was read from.
const packr = new Packr({ useRecords: false, moreTypes: true, copyBuffers: true });

/** Deeper values are refused: they are a mistake, or cyclic. */
const DEPTH_MAX = 1000;

/**
 * MessagePack: numbers, texts, bytes, booleans, null, lists, plain objects, Set, Date, bigint, typed arrays, Error. An
 * instance of a class of your own comes back as a plain object, and -0 as 0. What would not come back at all
 * (a Map, a function, a symbol, a promise, the key `__proto__`) is refused; a list of pairs serves for a Map.
 */
export function msgpackCodec<T>(): Codec<T> {
  return {
    name: "msgpack",
    bytes: "lent",
    encode: (value) => {
      refuse(value, 0);
      return packr.pack(value);
    },
    decode: (bytes) => packr.unpack(bytes) as T,
  };
}

/** Throws for what MessagePack would change without a word. */
function refuse(value: unknown, depth: number): void {
  if (typeof value === "function" || typeof value === "symbol")
    throw new TypeError(`a ${typeof value} has no MessagePack form`);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  if (depth > DEPTH_MAX) throw new TypeError(`it is nested deeper than ${DEPTH_MAX}, or cyclic`);
  if (value instanceof Map || value instanceof WeakMap || value instanceof Promise)
    throw new TypeError(`a ${value.constructor.name} has no MessagePack form`);
  if (Array.isArray(value) || value instanceof Set) {
    for (const item of value) refuse(item, depth + 1);
    return;
  }
  for (const key in value) {
    if (key === "__proto__") throw new TypeError("the key __proto__ has no MessagePack form");
    refuse((value as Record<string, unknown>)[key], depth + 1);
  }
}
