/** How messages and states become bytes. A codec never runs code that bytes bring along. */

import { copyOf } from "../core/record.ts";
import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";

/** Turns values into bytes and back. Both directions throw what they cannot do; neither changes the value. */
export interface Codec<T> {
  /** Recorded beside the bytes, so that others know how to read them. */
  readonly name: string;
  /**
   * Whose the bytes are that `decode` gets. `"kept"`: the codec's, and what it decodes may refer to them: messages that come
   * in are copied for it first. `"lent"`: they are written over once `receive` has returned, which is faster, and
   * right for a codec whose values do not refer to the bytes.
   * @default "kept"
   */
  readonly bytes?: "kept" | "lent";
  /** What it encodes are packets of groups (grouped.ts), and not messages of the application. @internal */
  readonly carries?: "packets";
  /** May give bytes of the value itself, but not bytes that another call writes to. */
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** Encodes a value; the bytes do not change when the value does. */
export function encodeApart<T>(codec: Codec<T>, value: T): Uint8Array {
  const bytes = codec.encode(value);
  return ArrayBuffer.isView(value) && value.buffer === bytes.buffer ? copyOf(bytes) : bytes;
}

/** Bytes as they are, for applications that have a format of their own. */
export const bytesCodec: Codec<Uint8Array> = {
  name: "bytes",
  encode: (value) => value,
  decode: (bytes) => bytes,
};

/**
 * Bytes as they lie in what came in: the fastest. `receive` must be done with them when it returns, for then they are
 * written over; what it wants to keep, or to give as a reply, it copies. Sending it on in the same turn is right.
 */
export const lentBytesCodec: Codec<Uint8Array> = { ...bytesCodec, bytes: "lent" };

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
    bytes: "lent",
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
