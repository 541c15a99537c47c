/** A string that is changed in place: a bitmap, or one that grows by `APPEND`. */

import { type Item, type ItemReader, JOIN } from "../items.ts";
import { readLatin1, writeLatin1 } from "../latin1.ts";
import type { Aggregate } from "../value.ts";

/** Between two places where it may be copied, so many bytes: what one change can cost while a snapshot is taken. */
const PIECE_BYTES = 16 * 1024;

interface Piece {
  readonly version: number;
  readonly bytes: Uint8Array;
}

/** Of all strings where nothing was written yet. No string has its version: who changes it takes a copy. */
const ZEROS: Piece = { version: -1, bytes: new Uint8Array(PIECE_BYTES) };

/** See the head of the file. Bytes beyond the end read as 0. */
export class ByteString implements Aggregate {
  readonly type = "string";
  readonly encoding = "raw";
  readonly version: number;
  readonly #pieces: Piece[];
  #length: number;

  constructor(version: number, text: string = "") {
    this.version = version;
    this.#pieces = [];
    this.#length = 0;
    this.write(0, text);
  }

  get length(): number {
    return this.#length;
  }

  get memoryBytes(): number {
    return this.#pieces.reduce((sum, piece) => sum + (piece === ZEROS ? 0 : piece.bytes.length), 0);
  }

  byte(at: number): number {
    if (at >= this.#length) return 0;
    return (this.#pieces[Math.floor(at / PIECE_BYTES)] as Piece).bytes[at % PIECE_BYTES] as number;
  }

  /** The bytes from there on that lie together, to look at: none behind the end. */
  bytesFrom(at: number): Uint8Array {
    if (at >= this.#length) return ZEROS.bytes.subarray(0, 0);
    const index = Math.floor(at / PIECE_BYTES);
    const end = Math.min(PIECE_BYTES, this.#length - index * PIECE_BYTES);
    return (this.#pieces[index] as Piece).bytes.subarray(at % PIECE_BYTES, end);
  }

  /** Zeros up to there, if it ends before. True if it did. */
  extend(length: number): boolean {
    const isShorter = length > this.#length;
    this.#grow(length);
    return isShorter;
  }

  setByte(at: number, value: number): void {
    this.#grow(at + 1);
    this.#own(Math.floor(at / PIECE_BYTES))[at % PIECE_BYTES] = value;
  }

  /** Writes a text there; what is between the end and there becomes 0. */
  write(at: number, text: string): void {
    this.#grow(at + text.length);
    for (let done = 0; done < text.length; ) {
      const from = (at + done) % PIECE_BYTES;
      const size = Math.min(text.length - done, PIECE_BYTES - from);
      const piece = this.#own(Math.floor((at + done) / PIECE_BYTES));
      writeLatin1(text.length === size ? text : text.slice(done, done + size), piece, from);
      done += size;
    }
  }

  /** @param end the first byte that is not read */
  slice(start: number, end: number = this.#length): string {
    let text = "";
    for (let at = start; at < Math.min(end, this.#length); ) {
      const from = at % PIECE_BYTES;
      const size = Math.min(end, this.#length) - at;
      const piece = this.#pieces[Math.floor(at / PIECE_BYTES)] as Piece;
      const to = Math.min(PIECE_BYTES, from + size);
      text += readLatin1(piece.bytes, from, to);
      at += to - from;
    }
    return text;
  }

  clone(version: number): ByteString {
    const clone = new ByteString(version);
    for (const piece of this.#pieces) clone.#pieces.push(piece);
    clone.#length = this.#length;
    return clone;
  }

  get elements(): number {
    return this.#pieces.length;
  }

  *items(): Generator<Item> {
    for (let at = 0; at < this.#length || at === 0; at += PIECE_BYTES) {
      if (at > 0) yield JOIN;
      yield this.slice(at, at + PIECE_BYTES);
    }
  }

  static decode(items: ItemReader, version: number): ByteString {
    return new ByteString(version, items.next() as string);
  }

  /** All pieces but the last are whole; that one has room to grow. */
  #grow(length: number): void {
    if (length <= this.#length) return;
    const last = Math.floor((length - 1) / PIECE_BYTES);
    for (let i = Math.max(0, this.#pieces.length - 1); i <= last; i += 1) {
      const needed = i < last ? PIECE_BYTES : length - last * PIECE_BYTES;
      const had = this.#pieces[i]?.bytes;
      if (had && had.length >= needed) continue;
      if (!had && needed === PIECE_BYTES) {
        this.#pieces[i] = ZEROS;
        continue;
      }
      const bytes = new Uint8Array(Math.min(PIECE_BYTES, Math.max(needed, 2 * (had?.length ?? 0))));
      if (had) bytes.set(had);
      this.#pieces[i] = { version: this.version, bytes };
    }
    this.#length = length;
  }

  #own(index: number): Uint8Array {
    const piece = this.#pieces[index] as Piece;
    if (piece.version === this.version) return piece.bytes;
    const own = { version: this.version, bytes: piece.bytes.slice() };
    this.#pieces[index] = own;
    return own.bytes;
  }
}
