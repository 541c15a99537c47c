/** Bytes that come in pieces of any size and are read in order. A piece is not copied, but for what lies across two. */

const NO_BYTES = new Uint8Array(0);

/** See the head of the file. */
export class ByteQueue {
  /** What is read, from `at` on; whoever reads moves that. */
  bytes: Uint8Array = NO_BYTES;
  at: number = 0;
  /** Of what came, where `bytes` begins. */
  #base = 0;
  #later: Uint8Array[] = [];
  #laterBytes = 0;

  /** Where reading is, in all that came. */
  get position(): number {
    return this.#base + this.at;
  }

  /** What came and is not read yet. */
  get left(): number {
    return this.bytes.length - this.at + this.#laterBytes;
  }

  /** Adds a piece, which must stay as it is. */
  feed(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#later.push(piece);
    this.#laterBytes += piece.length;
  }

  /** True if so many bytes lie together by now. `bytes` is another one if they did not before. */
  has(count: number): boolean {
    if (this.bytes.length - this.at >= count) return true;
    if (this.left < count) return false;
    const rest = this.bytes.subarray(this.at);
    const taken: Uint8Array[] = rest.length > 0 ? [rest] : [];
    let size = rest.length;
    let pieces = 0;
    for (; size < count; pieces += 1) {
      const piece = this.#later[pieces] as Uint8Array;
      taken.push(piece);
      size += piece.length;
    }
    this.#later.splice(0, pieces);
    this.#laterBytes -= size - rest.length;
    this.#base += this.at;
    this.at = 0;
    this.bytes = taken.length === 1 ? (taken[0] as Uint8Array) : joined(taken, size);
    return true;
  }
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
