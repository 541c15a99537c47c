/**
 * Where one turn's messages to one peer are put together, straight into the frame that will carry them:
 * a message is copied once, from the codec's bytes to here. Frames are cut from a slab that grows with
 * use, so that a quiet channel costs a kilobyte and a busy one does not allocate for each frame.
 */

import { recordBytes } from "../core/record.ts";
import { BATCH_HEADER_BYTES } from "./frame.ts";

/** A frame whose header is not filled in yet, with what the header must say. */
export interface OutgoingBatch {
  readonly frame: Uint8Array;
  readonly kind: number;
  readonly count: number;
}

/** A batch is closed when its body has this many bytes: about what one read of a socket brings. */
const BATCH_BYTES = 64 * 1024;
const FIRST_SLAB_BYTES = 1024;
const LAST_SLAB_BYTES = 256 * 1024;

/** Collects messages of one kind into batches. */
export class BatchWriter {
  readonly #kind: number;
  /** Of a frame with more than one message. */
  readonly #mostBytes: number;
  #slab: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#slab.buffer);
  #start = 0;
  #end = 0;
  #count = 0;

  /** @param maxFrameBytes a message that does not fit this by itself must not be appended */
  constructor(kind: number, maxFrameBytes: number) {
    this.#kind = kind;
    this.#mostBytes = Math.min(BATCH_BYTES + BATCH_HEADER_BYTES, maxFrameBytes);
  }

  /** Messages in the open batch. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the open batch's body. */
  get bytes(): number {
    return this.#count === 0 ? 0 : this.#end - this.#start - BATCH_HEADER_BYTES;
  }

  /** True if the open batch has no room for that message, and must be taken first. */
  mustTakeBefore(length: number): boolean {
    if (this.#count === 0) return false;
    const need = recordBytes(length);
    return this.#end + need > this.#slab.length || this.#end + need - this.#start > this.#mostBytes;
  }

  /** Adds a message. `mustTakeBefore` has been asked. */
  append(content: Uint8Array): void {
    const length = content.length;
    const need = recordBytes(length);
    if (this.#count === 0) this.#open(need);
    const at = this.#end;
    this.#view.setUint32(at, length, true);
    this.#slab.set(content, at + 4);
    this.#end = at + need;
    this.#count += 1;
  }

  /** Ends the open batch, which must have a message. */
  take(): OutgoingBatch {
    const batch: OutgoingBatch = {
      frame: this.#slab.subarray(this.#start, this.#end),
      kind: this.#kind,
      count: this.#count,
    };
    this.#start = this.#end;
    this.#count = 0;
    return batch;
  }

  /** Bytes of a slab are used once: padding stays zero without being written. */
  #open(need: number): void {
    const room = BATCH_HEADER_BYTES + need;
    // Half a batch is the least worth beginning at the end of a slab, once slabs are large.
    const least = Math.max(room, Math.min(BATCH_BYTES / 2, this.#slab.length / 8));
    if (this.#slab.length - this.#start < least) {
      const size = Math.min(LAST_SLAB_BYTES, Math.max(FIRST_SLAB_BYTES, this.#slab.length * 2));
      this.#slab = new Uint8Array(Math.max(size, room));
      this.#view = new DataView(this.#slab.buffer);
      this.#start = 0;
    }
    this.#end = this.#start + BATCH_HEADER_BYTES;
  }
}

/** A batch of one message. */
export function batchOf(kind: number, content: Uint8Array): OutgoingBatch {
  const frame = new Uint8Array(BATCH_HEADER_BYTES + recordBytes(content.length));
  new DataView(frame.buffer).setUint32(BATCH_HEADER_BYTES, content.length, true);
  frame.set(content, BATCH_HEADER_BYTES + 4);
  return { frame, kind, count: 1 };
}
