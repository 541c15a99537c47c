/**
 * Where the messages of one recording are kept: copied one behind the other, for what comes in is only lent. Under load
 * a recording holds megabytes; the memory goes round from one snapshot to the next, and leaves nothing to collect.
 */

import { copyOf } from "../core/record.ts";

const REEL_BYTES = 256 * 1024;
/** Up to this size a message has a copy of its own: a quiet system's recording costs no reel. */
const SMALL_BYTES = 4 * 1024;
/** So much is kept for the next recordings. */
const SHELF_REELS = 32;

/** The tapes of one process. */
export class Tapes {
  readonly #shelf: Uint8Array[] = [];

  /** An empty tape. */
  take(): Tape {
    return new Tape(this.#shelf);
  }
}

/** The bytes of one recording. */
export class Tape {
  readonly #shelf: Uint8Array[];
  readonly #reels: Uint8Array[] = [];
  /** Where the last reel goes on. */
  #at = REEL_BYTES;

  constructor(shelf: Uint8Array[]) {
    this.#shelf = shelf;
  }

  /** A copy of those bytes. */
  write(bytes: Uint8Array): Uint8Array {
    if (bytes.length <= SMALL_BYTES || bytes.length > REEL_BYTES) return copyOf(bytes);
    if (this.#at + bytes.length > REEL_BYTES) {
      this.#reels.push(this.#shelf.pop() ?? new Uint8Array(REEL_BYTES));
      this.#at = 0;
    }
    const start = this.#at;
    this.#at += bytes.length;
    const reel = this.#reels.at(-1) as Uint8Array;
    reel.set(bytes, start);
    return reel.subarray(start, this.#at);
  }

  /** Gives the memory to later recordings: nobody may refer to what was written any more. */
  erase(): void {
    for (const reel of this.#reels) if (this.#shelf.length < SHELF_REELS) this.#shelf.push(reel);
    this.#reels.length = 0;
    this.#at = REEL_BYTES;
  }
}
