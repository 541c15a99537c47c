/** MessagePack in a browser: what runtime/msgpack-codec.ts writes, read alone. */

import { Unpackr } from "msgpackr/unpack";
import type { Codec } from "../../src/process/codec.ts";

const unpackr = new Unpackr({ useRecords: false, moreTypes: true, copyBuffers: true });

export const msgpackReader: Codec<unknown> = {
  name: "msgpack",
  encode() {
    throw new TypeError("nothing is written here");
  },
  decode: (bytes) => unpackr.unpack(bytes),
};
