/**
 * Where recorded messages are kept: copied one behind the other, for what comes in is only lent; once, however many
 * snapshots record it. Under load a recording holds megabytes; the memory goes round from one snapshot to the next, and
 * leaves nothing to collect.
 */

import { copyOf } from "../core/record.ts";

const REEL_BYTES = 256 * 1024;
/** Up to this size a batch has a copy of its own: a quiet system's recording costs no reel. */
const SMALL_BYTES = 4 * 1024;
/** So much is kept for the next recordings. */
const SHELF_REELS = 16;

interface Reel {
  readonly bytes: Uint8Array;
  /** Where it goes on. */
  at: number;
  /** Tapes that something on it belongs to. */
  holders: number;
}

/** A copy, and the reel that it lies on, if it does. */
interface Copy {
  readonly bytes: Uint8Array;
  readonly reel: Reel | undefined;
}

/** What the recordings of one process are kept on. */
export class Tapes {
  readonly #shelf: Reel[] = [];
  #reel: Reel | undefined;

  /** Copies what one recording or several are to keep. */
  copy(bytes: Uint8Array): Copy {
    if (bytes.length <= SMALL_BYTES || bytes.length > REEL_BYTES)
      return { bytes: copyOf(bytes), reel: undefined };
    let reel = this.#reel;
    if (!reel || reel.at + bytes.length > REEL_BYTES) {
      reel = this.#shelf.pop() ?? { bytes: new Uint8Array(REEL_BYTES), at: 0, holders: 0 };
      reel.at = 0;
      this.#reel = reel;
    }
    const start = reel.at;
    reel.at += bytes.length;
    reel.bytes.set(bytes, start);
    return { bytes: reel.bytes.subarray(start, reel.at), reel };
  }

  /** An empty tape. */
  take(): Tape {
    return new Tape((reel) => {
      if (reel === this.#reel) this.#reel = undefined;
      if (this.#shelf.length < SHELF_REELS) this.#shelf.push(reel);
    });
  }
}

/** What one recording keeps. */
export class Tape {
  readonly #free: (reel: Reel) => void;
  readonly #reels = new Set<Reel>();

  constructor(free: (reel: Reel) => void) {
    this.#free = free;
  }

  /** What that copy lies on is not written over before this is erased. */
  hold({ reel }: Copy): void {
    if (!reel || this.#reels.has(reel)) return;
    this.#reels.add(reel);
    reel.holders += 1;
  }

  /** Nobody refers to what this held any more, but through other tapes. */
  erase(): void {
    for (const reel of this.#reels) {
      reel.holders -= 1;
      if (reel.holders === 0) this.#free(reel);
    }
    this.#reels.clear();
  }
}
