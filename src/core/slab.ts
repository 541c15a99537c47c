/**
 * Where bytes are kept that come in many small runs: one behind the other in large pieces, which grow with use. Whoever says when it
 * is done with a run has the pieces written anew: many bytes can pass through a few of them, with nothing to collect. A piece is kept
 * as long as one of its runs, so none should be kept much longer than those around it.
 */

/** Some runs, and how many of them are in use. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  runs: number;
}

const FIRST_BYTES = 1024;
const LAST_BYTES = 128 * 1024;
/** So many pieces of the largest size are kept to be written anew. */
const FREE_MAX = 16;

const pieceOf = (length: number): Piece => {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer), runs: 0 };
};

/** See the head of the file. One run at a time is being written, at the end of the newest piece. */
export class Slab {
  /** Where in the newest piece the run begins that is being written. */
  start = 0;
  #newest: Piece = pieceOf(0);
  /** Those that may be written anew, once no run of them is in use. */
  readonly #watched = new Map<ArrayBufferLike, Piece>();
  readonly #free: Piece[] = [];

  /** The newest piece; what is beyond the written may be anything. */
  get bytes(): Uint8Array {
    return this.#newest.bytes;
  }

  get view(): DataView {
    return this.#newest.view;
  }

  /** Makes room for the run to have so many bytes; the `written` first of them may move to another piece. */
  make(room: number, written = 0): void {
    if (this.start + room <= this.bytes.length) return;
    const length = Math.min(LAST_BYTES, Math.max(FIRST_BYTES, 2 * this.bytes.length));
    const piece = (room <= LAST_BYTES && this.#free.pop()) || pieceOf(Math.max(length, room));
    piece.bytes.set(this.bytes.subarray(this.start, this.start + written));
    this.#retire();
    this.#newest = piece;
    this.start = 0;
  }

  /** Ends the run, after so many bytes. */
  take(length: number): Uint8Array {
    const run = new Uint8Array(this.bytes.buffer, this.start, length);
    this.start += length;
    this.#newest.runs += 1;
    return run;
  }

  /** A copy, as a run of its own; none may be half written. */
  copy(bytes: Uint8Array): Uint8Array {
    this.make(bytes.length);
    this.bytes.set(bytes, this.start);
    return this.take(bytes.length);
  }

  /** Nobody refers to that run any more; or to that part of one. If it is of another slab, that does not matter. */
  release({ buffer }: Uint8Array): void {
    const piece = buffer === this.bytes.buffer ? this.#newest : this.#watched.get(buffer);
    if (!piece) return;
    piece.runs -= 1;
    if (piece.runs > 0 || piece === this.#newest) return;
    this.#watched.delete(buffer);
    this.#keep(piece);
  }

  #retire(): void {
    const piece = this.#newest;
    if (piece.bytes.length !== LAST_BYTES) return;
    if (piece.runs === 0) this.#keep(piece);
    else this.#watched.set(piece.bytes.buffer, piece);
  }

  #keep(piece: Piece): void {
    if (this.#free.length < FREE_MAX) this.#free.push(piece);
  }
}
