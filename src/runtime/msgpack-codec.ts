/** The default codec: MessagePack by msgpackr. Self-contained (no shared record structures) and data only. */

import { Packr } from "msgpackr";
import type { Codec } from "../process/codec.ts";

// `moreTypes` keeps Map, Set, typed arrays and Error what they are.
const packr = new Packr({ useRecords: false, moreTypes: true });

/**
 * MessagePack: numbers, texts, bytes, lists, plain objects, Map, Set, Date, bigint. An instance of a class of your
 * own comes back as a plain object.
 */
export function msgpackCodec<T>(): Codec<T> {
  return {
    name: "msgpack",
    encode: (value) => packr.pack(value),
    decode: (bytes) => packr.unpack(bytes) as T,
  };
}
