/** How messages and states become bytes. A codec never runs code that bytes bring along. */

import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";

/** Turns values into bytes and back. Both directions throw what they cannot do; neither changes the value. */
export interface Codec<T> {
  /** Recorded beside the bytes, so that others know how to read them. */
  readonly name: string;
  encode(value: T): Uint8Array;
  /** The bytes are the codec's to keep. */
  decode(bytes: Uint8Array): T;
}

/** Bytes as they are: the fastest, and right for applications that have a format of their own. */
export const bytesCodec: Codec<Uint8Array> = {
  name: "bytes",
  encode: (value) => value,
  decode: (bytes) => bytes,
};

/**
 * JSON as UTF-8. Needs nothing but the language, so it also works in the simulator and in a browser.
 *
 * @example
 * ```ts
 * import { jsonCodec } from "tidemark";
 * const codec = jsonCodec<{ amount: number }>();
 * if (codec.decode(codec.encode({ amount: 7 })).amount !== 7) throw new Error("the same value comes back");
 * ```
 */
export function jsonCodec<T>(): Codec<T> {
  return {
    name: "json",
    encode: (value) => {
      const text = JSON.stringify(value) as string | undefined;
      if (text === undefined) throw new TypeError("the value has no JSON form");
      return encodeUtf8(text);
    },
    decode: (bytes) => {
      const text = decodeUtf8(bytes);
      if (text === undefined) throw new SyntaxError("the bytes are not UTF-8");
      return JSON.parse(text) as T;
    },
  };
}
