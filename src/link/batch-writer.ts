/**
 * Where one turn's messages to one peer are put together, straight into the frame that will carry them:
 * a message is copied once, from the codec's bytes to here. Frames are cut from slabs that grow with
 * use, so that a quiet channel costs a kilobyte. A slab is written anew once the stream is done with all
 * its frames: a busy channel goes round through the same few slabs, and leaves nothing to collect.
 */

import { recordBytes } from "../core/record.ts";
import { BATCH_HEADER_BYTES } from "./frame.ts";

/** A frame whose header is not filled in yet, with what the header must say. */
export interface OutgoingBatch {
  readonly frame: Uint8Array;
  readonly kind: number;
  readonly count: number;
}

/** Where batches go, each at once when it is taken. */
export interface BatchStream {
  /** Bytes of bodies that were given to it. */
  readonly givenBytes: number;
  /** How many of them have arrived. */
  readonly ackedBytes: number;
  /** From where on nobody refers to a frame that has arrived; Infinity if one never knows. */
  readonly reusableFromBytes: number;
}

/** How far a slab is filled. */
export interface SlabPlace {
  readonly slabBytes: number;
  readonly at: number;
}

/** A slab that is full, and what of the stream lies in it. */
interface FullSlab {
  readonly bytes: Uint8Array;
  readonly startBytes: number;
  readonly endBytes: number;
}

/** A batch is closed when its body has this many bytes: about what one read of a socket brings. */
const BATCH_BYTES = 64 * 1024;
const FIRST_SLAB_BYTES = 1024;
const LAST_SLAB_BYTES = 256 * 1024;
/** So many full slabs are kept to be written anew. */
const FULL_SLABS_MAX = 16;

/** Collects messages of one kind into batches. */
export class BatchWriter {
  readonly #kind: number;
  /** Of a frame with more than one message. */
  readonly #mostBytes: number;
  readonly #stream: BatchStream;
  /** Of the largest size, oldest first. */
  readonly #full: FullSlab[] = [];
  #slab: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#slab.buffer);
  /** Where in the stream the first frame of the slab begins. */
  #slabBytes = 0;
  #start = 0;
  #end = 0;
  #count = 0;

  /** @param maxFrameBytes a message that does not fit this by itself must not be appended */
  constructor(kind: number, maxFrameBytes: number, stream: BatchStream) {
    this.#kind = kind;
    this.#mostBytes = Math.min(BATCH_BYTES + BATCH_HEADER_BYTES, maxFrameBytes);
    this.#stream = stream;
  }

  /** Records in the open batch. */
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

  /**
   * Adds a message. `mustTakeBefore` has been asked.
   *
   * @param heading if given, a record that every batch begins with, before its first message
   */
  append(content: Uint8Array, heading?: Uint8Array): void {
    const first = this.#count === 0;
    if (first) {
      const more = heading === undefined ? 0 : recordBytes(heading.length);
      this.#open(more + recordBytes(content.length));
    }
    if (first && heading !== undefined) this.#write(heading);
    this.#write(content);
  }

  #write(content: Uint8Array): void {
    const length = content.length;
    const need = recordBytes(length);
    const at = this.#end;
    this.#end = at + need;
    // The padding, or what the length or the content is about to cover.
    this.#view.setUint32(at + need - 4, 0, true);
    this.#view.setUint32(at, length, true);
    this.#slab.set(content, at + 4);
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

  /** True if there may be full slabs that are kept to be written anew. Not whether there are: they are not in an image. */
  get keepsSlabs(): boolean {
    return this.#slab.length >= LAST_SLAB_BYTES;
  }

  /** Everything has arrived: a channel that falls quiet keeps the slab at hand and no more. */
  rest(): void {
    this.#full.length = 0;
  }

  /** Where the next batch begins, in a slab of what size: where batches are cut depends on it. None may be open. */
  get place(): SlabPlace {
    return { slabBytes: this.#slab.length, at: this.#start };
  }

  /** Goes on as another did from that place, with a slab of its own. */
  resume({ slabBytes, at }: SlabPlace): void {
    this.#slab = new Uint8Array(slabBytes);
    this.#view = new DataView(this.#slab.buffer);
    this.#slabBytes = this.#stream.givenBytes;
    this.#start = at;
    this.#end = at;
  }

  /** The stream has begun afresh, at 0. */
  restart(): void {
    this.#full.length = 0;
    this.#slabBytes = 0;
  }

  #open(need: number): void {
    const room = BATCH_HEADER_BYTES + need;
    // Half a batch is the least worth beginning at the end of a slab, once slabs are large.
    const least = Math.max(room, Math.min(BATCH_BYTES / 2, this.#slab.length / 8));
    if (this.#slab.length - this.#start < least) {
      this.#retire();
      this.#slab = this.#another(room);
      this.#view = new DataView(this.#slab.buffer);
      this.#start = 0;
    }
    this.#end = this.#start + BATCH_HEADER_BYTES;
  }

  #retire(): void {
    const { givenBytes, reusableFromBytes } = this.#stream;
    const startBytes = this.#slabBytes;
    this.#slabBytes = givenBytes;
    if (
      this.#slab.length === LAST_SLAB_BYTES &&
      this.#full.length < FULL_SLABS_MAX &&
      startBytes >= reusableFromBytes
    )
      this.#full.push({ bytes: this.#slab, startBytes, endBytes: givenBytes });
  }

  /** A slab with room for a frame of that size. */
  #another(room: number): Uint8Array {
    const { ackedBytes, reusableFromBytes } = this.#stream;
    while (room <= LAST_SLAB_BYTES) {
      const oldest = this.#full[0];
      if (!oldest || oldest.endBytes > ackedBytes) break;
      this.#full.shift();
      if (oldest.startBytes >= reusableFromBytes) return oldest.bytes;
    }
    const size = Math.min(LAST_SLAB_BYTES, Math.max(FIRST_SLAB_BYTES, this.#slab.length * 2));
    return new Uint8Array(Math.max(size, room));
  }
}

/** A batch of one message. */
export function batchOf(kind: number, content: Uint8Array): OutgoingBatch {
  const frame = new Uint8Array(BATCH_HEADER_BYTES + recordBytes(content.length));
  new DataView(frame.buffer).setUint32(BATCH_HEADER_BYTES, content.length, true);
  frame.set(content, BATCH_HEADER_BYTES + 4);
  return { frame, kind, count: 1 };
}
