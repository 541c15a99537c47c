/**
 * What Redis keeps small collections in, one behind the other in one string of bytes: ziplist, listpack, intset and zipmap; and LZF, which
 * packs strings. Lengths are believed only as far as there are bytes.
 */

import { readLatin1 } from "./latin1.ts";

/** What was read cannot be; the message says why. */
export class Malformed extends Error {}

/** Three bytes make so many at the most, so no more than this for each. */
const LZF_GAIN_MAX = 88;
const LITERALS = 32;
const LONG = 7;

/**
 * @param length of what was packed
 * @throws Malformed
 */
export function unpackLzf(packed: Uint8Array, length: number): Uint8Array {
  if (length > LZF_GAIN_MAX * packed.length)
    throw new Malformed(`${packed.length} packed bytes cannot make ${length}`);
  const bytes = new Uint8Array(length);
  let at = 0;
  let to = 0;
  while (at < packed.length) {
    const control = packed[at++] as number;
    if (control < LITERALS) {
      const count = control + 1;
      if (at + count > packed.length || to + count > length)
        throw new Malformed("what is packed is longer than it says");
      for (let i = 0; i < count; i += 1) bytes[to++] = packed[at++] as number;
      continue;
    }
    let count = control >> 5;
    if (count === LONG) count += packed[at++] ?? Number.POSITIVE_INFINITY;
    count += 2;
    const back = ((control & 31) << 8) + (packed[at++] ?? Number.POSITIVE_INFINITY) + 1;
    if (back > to || to + count > length)
      throw new Malformed("what is packed refers to what is not there");
    // Byte by byte: it may repeat what it has just written.
    for (let i = 0; i < count; i += 1, to += 1) bytes[to] = bytes[to - back] as number;
  }
  if (to !== length) throw new Malformed(`what is packed makes ${to} bytes and not ${length}`);
  return bytes;
}

/** Reads on in some bytes, and never behind them. */
class Cursor {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Passes so many bytes, and gives where they begin. */
  pass(count: number): number {
    const from = this.at;
    if (count > this.bytes.length - from) throw new Malformed("it ends within an entry");
    this.at = from + count;
    return from;
  }

  byte(): number {
    return this.bytes[this.pass(1)] as number;
  }

  uint16(): number {
    return this.#view.getUint16(this.pass(2), true);
  }

  uint32(isLittleEndian = true): number {
    return this.#view.getUint32(this.pass(4), isLittleEndian);
  }

  text(length: number): string {
    const from = this.pass(length);
    return readLatin1(this.bytes, from, from + length);
  }

  /** A number of so many bytes, as text. */
  integer(bytes: number): string {
    const from = this.pass(bytes);
    const view = this.#view;
    switch (bytes) {
      case 1:
        return String(view.getInt8(from));
      case 2:
        return String(view.getInt16(from, true));
      case 3:
        return String(view.getUint16(from, true) | (view.getInt8(from + 2) << 16));
      case 4:
        return String(view.getInt32(from, true));
      default:
        return String(view.getBigInt64(from, true));
    }
  }
}

const END = 0xff;

/** The whole length stands in front. */
function cursorOf(bytes: Uint8Array, what: string): Cursor {
  const cursor = new Cursor(bytes);
  const length = cursor.uint32();
  if (length === bytes.length && bytes.at(-1) === END) return cursor;
  throw new Malformed(`a ${what} of ${bytes.length} bytes says that it has ${length}`);
}

/** Nothing may stand behind the end. */
function finish({ at, bytes }: Cursor, what: string): void {
  if (at !== bytes.length) throw new Malformed(`a ${what} ends before its end`);
}

const ZIPLIST_FAR = 0xfe;
/** Of numbers: by the byte that they begin with, how many follow. */
const ZIPLIST_NUMBERS: ReadonlyMap<number, number> = new Map([
  ...([
    [0xc0, 2],
    [0xd0, 4],
    [0xe0, 8],
    [0xf0, 3],
    [0xfe, 1],
  ] as const),
]);
/** In the byte itself, from 0 to 12. */
const [ZIPLIST_FIRST_DIGIT, ZIPLIST_LAST_DIGIT] = [0xf1, 0xfd];

/** @throws Malformed */
export function* ziplistEntries(bytes: Uint8Array): Generator<string, void> {
  const cursor = cursorOf(bytes, "ziplist");
  // Where the last entry is, and how many there are: neither is needed.
  cursor.pass(6);
  for (let first = cursor.byte(); first !== END; first = cursor.byte()) {
    // How long the entry before it is: that is for reading backwards.
    if (first === ZIPLIST_FAR) cursor.pass(4);
    const encoding = cursor.byte();
    const low = encoding & 63;
    if (encoding < 0x40) yield cursor.text(low);
    else if (encoding < 0x80) yield cursor.text((low << 8) | cursor.byte());
    else if (encoding === 0x80) yield cursor.text(cursor.uint32(false));
    else if (encoding >= ZIPLIST_FIRST_DIGIT && encoding <= ZIPLIST_LAST_DIGIT)
      yield String(encoding - ZIPLIST_FIRST_DIGIT);
    else {
      const size = ZIPLIST_NUMBERS.get(encoding);
      if (size === undefined) throw new Malformed(`a ziplist has an entry of kind ${encoding}`);
      yield cursor.integer(size);
    }
  }
  finish(cursor, "ziplist");
}

/** Of numbers, by the byte that they begin with. */
const LISTPACK_NUMBERS: ReadonlyMap<number, number> = new Map([
  ...([
    [0xf1, 2],
    [0xf2, 3],
    [0xf3, 4],
    [0xf4, 8],
  ] as const),
]);
const LISTPACK_LONG = 0xf0;

/** @throws Malformed */
export function* listpackEntries(bytes: Uint8Array): Generator<string, void> {
  const cursor = cursorOf(bytes, "listpack");
  // How many there are, if that is not too many.
  cursor.pass(2);
  for (let from = cursor.at, first = cursor.byte(); first !== END; ) {
    if (first < 0x80) yield String(first);
    else if (first < 0xc0) yield cursor.text(first & 63);
    else if (first < 0xe0) yield String((((first & 31) << 27) >> 19) | cursor.byte());
    else if (first < 0xf0) yield cursor.text(((first & 15) << 8) | cursor.byte());
    else if (first === LISTPACK_LONG) yield cursor.text(cursor.uint32());
    else {
      const size = LISTPACK_NUMBERS.get(first);
      if (size === undefined) throw new Malformed(`a listpack has an entry of kind ${first}`);
      yield cursor.integer(size);
    }
    // Its length once more, for reading backwards.
    const length = cursor.at - from;
    cursor.pass(
      length < 2 ** 7 ? 1 : length < 2 ** 14 ? 2 : length < 2 ** 21 ? 3 : length < 2 ** 28 ? 4 : 5,
    );
    from = cursor.at;
    first = cursor.byte();
  }
  finish(cursor, "listpack");
}

/** @throws Malformed */
export function* intsetEntries(bytes: Uint8Array): Generator<string, void> {
  const cursor = new Cursor(bytes);
  const size = cursor.uint32();
  const count = cursor.uint32();
  if (![2, 4, 8].includes(size) || bytes.length !== cursor.at + size * count)
    throw new Malformed(`an intset of ${bytes.length} bytes has no ${count} numbers of ${size}`);
  while (cursor.at < bytes.length) yield cursor.integer(size);
}

/** @throws Malformed */
export function* zipmapEntries(bytes: Uint8Array): Generator<string, void> {
  const cursor = new Cursor(bytes);
  const lengthFrom = (first: number): number => (first < 254 ? first : cursor.uint32());
  cursor.pass(1);
  for (let first = cursor.byte(); first !== END; first = cursor.byte()) {
    yield cursor.text(lengthFrom(first));
    const length = lengthFrom(cursor.byte());
    const unused = cursor.byte();
    yield cursor.text(length);
    cursor.pass(unused);
  }
  finish(cursor, "zipmap");
}
