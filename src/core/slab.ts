/**
 * Where bytes are kept that come in many small runs: one behind the other in large pieces, which grow with use. A piece is freed
 * when nobody refers to a run in it any more, so a run should not be kept much longer than those around it.
 */

const FIRST_BYTES = 1024;
const LAST_BYTES = 128 * 1024;

/** See the head of the file. One run at a time is being written, at the end of the newest piece. */
export class Slab {
  /** The newest piece; beyond what is written all zeros. */
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  /** Where in it the run begins that is being written. */
  start = 0;

  /** Makes room for that run to have so many bytes; the `written` first of them may move to another piece. */
  make(room: number, written = 0): void {
    if (this.start + room <= this.bytes.length) return;
    const next = Math.min(LAST_BYTES, Math.max(FIRST_BYTES, 2 * this.bytes.length));
    const bytes = new Uint8Array(Math.max(next, room));
    bytes.set(this.bytes.subarray(this.start, this.start + written));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.start = 0;
  }

  /** Ends the run, after so many bytes. */
  take(length: number): Uint8Array {
    const run = new Uint8Array(this.bytes.buffer, this.start, length);
    this.start += length;
    return run;
  }

  /** A copy, as a run of its own; none may be half written. */
  copy(bytes: Uint8Array): Uint8Array {
    this.make(bytes.length);
    this.bytes.set(bytes, this.start);
    return this.take(bytes.length);
  }
}
