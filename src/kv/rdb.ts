/**
 * Reads Redis' RDB files, of versions up to 11 (Redis 7.2), and what `DUMP` gives, as a stream: bytes come in pieces of any size, and keys
 * go out in parts (key-part.ts). Held are one part, and one string: an element, or a small collection, which Redis keeps in one.
 *
 * Nothing is believed of a length but that so many bytes may come; room is made for them when they are there. What ends too early, and what
 * cannot be, is an error that names the place.
 *
 * Streams, values of modules, and functions are passed and named. Values of modules of the time before Redis 4 cannot be passed: nothing
 * says where they end.
 *
 * Format: Redis' `rdb.h` and `rdb.c`; the forms of small collections are in compact.ts.
 */

import { TidemarkError } from "../core/error.ts";
import { ByteQueue } from "./byte-queue.ts";
import {
  intsetEntries,
  listpackEntries,
  Malformed,
  unpackLzf,
  ziplistEntries,
  zipmapEntries,
} from "./compact.ts";
import { Crc64 } from "./crc64.ts";
import { type KeyPart, type LeftOut, PartCutter } from "./key-part.ts";
import { latin1Bytes, readLatin1 } from "./latin1.ts";
import { formatFloat64, parseAnyFloat64 } from "./numbers.ts";
import type { TypeName } from "./value.ts";

/** What is found, in the order of the file. */
export type RdbEvent = KeyPart | LeftOut;

const VERSION_MAX = 11;
const VERSION_SUMMED = 5;
const HEAD_BYTES = 9;
/** The longest text of V8, and so the longest string of the store. */
const STRING_BYTES_MAX = 512 * 1024 * 1024 - 32;
/** Of `DUMP`: the version and the checksum. */
const [DUMP_TAIL_BYTES, SUM_BYTES] = [10, 8];

const OPCODE = {
  functionLibrary: 245,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  resize: 251,
  expiresMs: 252,
  expiresSeconds: 253,
  select: 254,
  end: 255,
} as const;

/** How the elements of a value lie in the file. */
type Form =
  | "one"
  | "many"
  | "pairs"
  | "scored texts"
  | "scored numbers"
  | "nodes"
  | "any nodes"
  | ((bytes: Uint8Array) => Generator<string, void>);

const VALUES: ReadonlyMap<number, readonly [TypeName, Form]> = new Map([
  ...([
    [0, ["string", "one"]],
    [1, ["list", "many"]],
    [2, ["set", "many"]],
    [3, ["zset", "scored texts"]],
    [4, ["hash", "pairs"]],
    [5, ["zset", "scored numbers"]],
    [9, ["hash", zipmapEntries]],
    [10, ["list", ziplistEntries]],
    [11, ["set", intsetEntries]],
    [12, ["zset", ziplistEntries]],
    [13, ["hash", ziplistEntries]],
    [14, ["list", "nodes"]],
    [16, ["hash", listpackEntries]],
    [17, ["zset", listpackEntries]],
    [18, ["list", "any nodes"]],
    [20, ["set", listpackEntries]],
  ] as const),
]);
/** Values that are passed: streams, each with what later versions added, and modules. */
const STREAMS: ReadonlyMap<number, number> = new Map([
  ...([
    [15, 1],
    [19, 2],
    [21, 3],
  ] as const),
]);
const MODULE_VALUE = 7;
/** Of what a module wrote, by its kind: how many bytes a number has. 0 ends it. */
const MODULE_FLOATS: ReadonlyMap<number, number> = new Map([
  ...([
    [3, 4],
    [4, 8],
  ] as const),
]);
const [MODULE_END, MODULE_UNSIGNED, MODULE_STRING] = [0, 2, 5];

/** Lengths that are none, but say how a string is encoded. */
const ENCODED = { int8: -1, int16: -2, int32: -3, lzf: -4 } as const;
const PLAIN_NODE = 1;
const PACKED_NODE = 2;
/** Scores that have no digits. */
const [NAN, PLUS_INFINITY, MINUS_INFINITY] = [253, 254, 255];

/** What comes when there are too few bytes: nothing, until there are more. */
type Reading<T> = Generator<undefined, T>;

/** A value whose key is known already. */
interface Whose {
  readonly db: number;
  readonly key: string;
  readonly deadline: number | undefined;
}

/** See the head of the file. Errors are `DAMAGED`, or `VERSION_MISMATCH` of a file that this cannot read. */
export class RdbReader {
  readonly #name: string;
  readonly #queue: ByteQueue = new ByteQueue();
  readonly #sum: Crc64 = new Crc64();
  /** Up to where the bytes of the queue are in the sum. */
  #summed = 0;
  /** Where what is read now begins. */
  #from = 0;
  readonly #run: Generator<RdbEvent | undefined, void>;
  #isOver: boolean = false;

  /**
   * @param name what messages call the file
   * @param whose what is read is one value and no file
   */
  constructor(name: string, whose?: Whose) {
    this.#name = name;
    this.#run = whose ? this.#value(whose) : this.#file();
  }

  /** Adds a piece, which must stay as it is. */
  feed(piece: Uint8Array): void {
    this.#queue.feed(piece);
  }

  /** What is found in the bytes that are there. @throws TidemarkError */
  *events(): Generator<RdbEvent, void> {
    while (!this.#isOver) {
      const event = this.#next();
      if (event !== undefined) yield event;
      else if (!this.#isOver) return;
    }
    if (this.#queue.left > 0)
      throw this.#damaged(this.#queue.position, "something stands behind its end");
  }

  /** There are no more bytes. @throws TidemarkError if something is missing */
  end(): void {
    if (this.#isOver) return;
    const { position, left } = this.#queue;
    throw this.#damaged(position + left, "it ends too early");
  }

  #next(): RdbEvent | undefined {
    try {
      const { done, value } = this.#run.next();
      if (done) this.#isOver = true;
      return value ?? undefined;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw this.#damaged(this.#from, error.message);
    }
  }

  #damaged(at: number, what: string): TidemarkError {
    return new TidemarkError("DAMAGED", `${this.#name} is damaged at byte ${at}: ${what}`);
  }

  // Bytes.

  /** True if so many lie together. Whatever is read asks this first. */
  #has(count: number): boolean {
    const queue = this.#queue;
    this.#from = queue.position;
    if (queue.bytes.length - queue.at >= count) return true;
    this.#addToSum();
    const isThere = queue.has(count);
    this.#summed = queue.at;
    return isThere;
  }

  *#wait(count: number): Reading<void> {
    while (!this.#has(count)) yield;
  }

  #addToSum(): void {
    const { bytes, at } = this.#queue;
    this.#sum.add(bytes, this.#summed, at);
    this.#summed = at;
  }

  *#byte(): Reading<number> {
    if (!this.#has(1)) yield* this.#wait(1);
    const queue = this.#queue;
    return queue.bytes[queue.at++] as number;
  }

  /** So many bytes, to look at. */
  *#bytes(count: number): Reading<DataView> {
    if (!this.#has(count)) yield* this.#wait(count);
    const queue = this.#queue;
    const { bytes, at } = queue;
    queue.at += count;
    return new DataView(bytes.buffer, bytes.byteOffset + at, count);
  }

  *#pass(count: number): Reading<void> {
    const queue = this.#queue;
    for (let left = count; left > 0; ) {
      if (!this.#has(1)) yield* this.#wait(1);
      const some = Math.min(left, queue.bytes.length - queue.at);
      queue.at += some;
      left -= some;
    }
  }

  /** A length, or, below 0, what stands in its place. */
  *#lengthOrEncoding(): Reading<number> {
    const first = yield* this.#byte();
    const low = first & 63;
    switch (first >> 6) {
      case 0:
        return low;
      case 1:
        return (low << 8) | (yield* this.#byte());
      case 2: {
        if (first === 0x80) return (yield* this.#bytes(4)).getUint32(0);
        if (first === 0x81) return Number((yield* this.#bytes(8)).getBigUint64(0));
        throw new Malformed(`a length begins with ${first}`);
      }
      default:
        return -1 - low;
    }
  }

  *#length(): Reading<number> {
    const length = yield* this.#lengthOrEncoding();
    if (length < 0) throw new Malformed("a number stands for a length");
    return length;
  }

  *#string(): Reading<string> {
    const length = yield* this.#lengthOrEncoding();
    switch (length) {
      case ENCODED.int8:
        return String((yield* this.#bytes(1)).getInt8(0));
      case ENCODED.int16:
        return String((yield* this.#bytes(2)).getInt16(0, true));
      case ENCODED.int32:
        return String((yield* this.#bytes(4)).getInt32(0, true));
      default: {
        const bytes = yield* this.#content(length);
        return readLatin1(bytes, 0, bytes.length);
      }
    }
  }

  /** A string that holds a collection. */
  *#packed(): Reading<Uint8Array> {
    return yield* this.#content(yield* this.#lengthOrEncoding());
  }

  *#content(length: number): Reading<Uint8Array> {
    if (length < ENCODED.lzf || (length < 0 && length !== ENCODED.lzf))
      throw new Malformed(`a string is encoded as ${-1 - length}`);
    const stored = length < 0 ? yield* this.#length() : length;
    const whole = length < 0 ? yield* this.#length() : length;
    if (Math.max(stored, whole) > STRING_BYTES_MAX)
      throw new Malformed(`a string of ${Math.max(stored, whole)} bytes is longer than any can be`);
    const { buffer, byteOffset } = yield* this.#bytes(stored);
    const bytes = new Uint8Array(buffer, byteOffset, stored);
    return length < 0 ? unpackLzf(bytes, whole) : bytes;
  }

  *#passString(): Reading<void> {
    const length = yield* this.#lengthOrEncoding();
    if (length >= 0) yield* this.#pass(length);
    else if (length >= ENCODED.int32) yield* this.#pass(2 ** (-1 - length));
    else if (length === ENCODED.lzf) {
      const stored = yield* this.#length();
      yield* this.#length();
      yield* this.#pass(stored);
    } else throw new Malformed(`a string is encoded as ${-1 - length}`);
  }

  // What a file has.

  *#file(): Generator<RdbEvent | undefined, void> {
    const version = yield* this.#head();
    let db = 0;
    let deadline: number | undefined;
    for (;;) {
      const opcode = yield* this.#byte();
      switch (opcode) {
        case OPCODE.select:
          db = yield* this.#length();
          break;
        case OPCODE.expiresMs:
          deadline = Number((yield* this.#bytes(8)).getBigInt64(0, true));
          if (!Number.isSafeInteger(deadline)) throw new Malformed("a key expires at no time");
          break;
        case OPCODE.expiresSeconds:
          deadline = 1000 * (yield* this.#bytes(4)).getInt32(0, true);
          break;
        case OPCODE.idle:
          yield* this.#length();
          break;
        case OPCODE.frequency:
          yield* this.#byte();
          break;
        case OPCODE.aux:
          yield* this.#passString();
          yield* this.#passString();
          break;
        case OPCODE.resize:
          yield* this.#length();
          yield* this.#length();
          break;
        case OPCODE.functionLibrary: {
          const code = yield* this.#string();
          const name = /^#![^\n]*\bname=([^\s]+)/.exec(code.slice(0, 1000))?.[1];
          yield { leftOut: "function library", ...(name !== undefined && { name }) };
          break;
        }
        case OPCODE.moduleAux:
          yield { leftOut: "data of a module", name: moduleName(yield* this.#bigLength()) };
          yield* this.#length();
          yield* this.#length();
          yield* this.#passModule();
          break;
        case OPCODE.end:
          if (version >= VERSION_SUMMED) yield* this.#checkSum();
          return;
        default: {
          const key = yield* this.#string();
          yield* this.#valueOf(opcode, { db, key, deadline });
          deadline = undefined;
        }
      }
    }
  }

  *#head(): Reading<number> {
    const { buffer, byteOffset } = yield* this.#bytes(HEAD_BYTES);
    const head = readLatin1(new Uint8Array(buffer, byteOffset, HEAD_BYTES), 0, HEAD_BYTES);
    const version = Number(/^REDIS(\d{4})$/.exec(head)?.[1] ?? 0);
    if (version === 0) throw new Malformed("it does not begin as an RDB file of Redis does");
    if (version <= VERSION_MAX) return version;
    throw new TidemarkError(
      "VERSION_MISMATCH",
      `${this.#name} is an RDB file of version ${version}; those up to ${VERSION_MAX} can be read (as of Redis 7.2)`,
    );
  }

  *#checkSum(): Reading<void> {
    this.#addToSum();
    const { buffer, byteOffset } = yield* this.#bytes(SUM_BYTES);
    if (this.#sum.matches(new Uint8Array(buffer, byteOffset, SUM_BYTES), 0)) return;
    throw new Malformed("the checksum is another one");
  }

  // Values.

  /** What `DUMP` gives without its tail. */
  *#value(whose: Whose): Generator<RdbEvent | undefined, void> {
    yield* this.#valueOf(yield* this.#byte(), whose);
  }

  *#valueOf(kind: number, whose: Whose): Generator<RdbEvent | undefined, void> {
    const known = VALUES.get(kind);
    const { db, key } = whose;
    if (!known) {
      const stream = STREAMS.get(kind);
      if (stream !== undefined) {
        yield* this.#passStream(stream);
        yield { leftOut: "stream", name: key, db };
      } else if (kind === MODULE_VALUE) {
        const module = moduleName(yield* this.#bigLength());
        yield* this.#passModule();
        yield { leftOut: `value of the module ${module}`, name: key, db };
      } else throw new Malformed(`a value of kind ${kind}, which cannot be read or passed`);
      return;
    }
    const [type, form] = known;
    const cutter = new PartCutter({ ...whose, type });
    for (const element of this.#elements(form)) {
      if (element === undefined) {
        yield;
        continue;
      }
      if (type === "zset" && cutter.isHalf && parseAnyFloat64(element) === undefined)
        throw new Malformed("a score is no number");
      const part = cutter.add(element);
      if (part) yield part;
    }
    if (cutter.isHalf) throw new Malformed(`of a ${type} something is without its other half`);
    const part = cutter.end();
    if (part) yield part;
  }

  *#elements(form: Form): Generator<string | undefined, void> {
    if (typeof form === "function") {
      yield* form(yield* this.#packed());
      return;
    }
    const count = form === "one" ? 1 : (yield* this.#length()) * (form === "pairs" ? 2 : 1);
    for (let i = 0; i < count; i += 1) {
      if (form === "nodes") yield* ziplistEntries(yield* this.#packed());
      else if (form === "any nodes") yield* this.#node();
      else {
        yield yield* this.#string();
        if (form === "scored numbers") yield yield* this.#scoreNumber();
        else if (form === "scored texts") yield yield* this.#scoreText();
      }
    }
  }

  *#node(): Generator<string | undefined, void> {
    const container = yield* this.#length();
    if (container === PLAIN_NODE) yield yield* this.#string();
    else if (container === PACKED_NODE) yield* listpackEntries(yield* this.#packed());
    else throw new Malformed(`a node of a list is of kind ${container}`);
  }

  *#scoreNumber(): Reading<string> {
    return formatFloat64((yield* this.#bytes(8)).getFloat64(0, true));
  }

  *#scoreText(): Reading<string> {
    const length = yield* this.#byte();
    if (length === PLUS_INFINITY) return "inf";
    if (length === MINUS_INFINITY) return "-inf";
    if (length === NAN) return "nan";
    const { buffer, byteOffset } = yield* this.#bytes(length);
    return readLatin1(new Uint8Array(buffer, byteOffset, length), 0, length);
  }

  // What is passed.

  /** 64 bits that are all needed. */
  *#bigLength(): Reading<bigint> {
    const first = yield* this.#byte();
    if (first === 0x81) return (yield* this.#bytes(8)).getBigUint64(0);
    throw new Malformed("a module has no name");
  }

  /** @param version what was added by then */
  *#passStream(version: number): Reading<void> {
    for (let nodes = yield* this.#length(); nodes > 0; nodes -= 1) {
      yield* this.#passString();
      yield* this.#passString();
    }
    // How many, and the last id; the first id, the largest one deleted, how many there ever were.
    yield* this.#passLengths(version >= 2 ? 8 : 3);
    for (let groups = yield* this.#length(); groups > 0; groups -= 1) {
      yield* this.#passString();
      yield* this.#passLengths(version >= 2 ? 3 : 2);
      for (let pending = yield* this.#length(); pending > 0; pending -= 1) {
        yield* this.#pass(24);
        yield* this.#length();
      }
      for (let consumers = yield* this.#length(); consumers > 0; consumers -= 1) {
        yield* this.#passString();
        yield* this.#pass(version >= 3 ? 16 : 8);
        for (let pending = yield* this.#length(); pending > 0; pending -= 1) yield* this.#pass(16);
      }
    }
  }

  *#passLengths(count: number): Reading<void> {
    for (let i = 0; i < count; i += 1) yield* this.#length();
  }

  *#passModule(): Reading<void> {
    for (;;) {
      const kind = yield* this.#length();
      const size = MODULE_FLOATS.get(kind);
      if (kind === MODULE_END) return;
      if (kind <= MODULE_UNSIGNED) yield* this.#length();
      else if (size !== undefined) yield* this.#pass(size);
      else if (kind === MODULE_STRING) yield* this.#passString();
      else throw new Malformed(`a module has written something of kind ${kind}`);
    }
  }
}

const MODULE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Nine letters of six bits each; the rest is a version. */
function moduleName(id: bigint): string {
  let name = "";
  for (let shift = 58n; shift >= 10n; shift -= 6n)
    name += MODULE_LETTERS.charAt(Number((id >> shift) & 63n));
  return name;
}

/**
 * What `DUMP` of that key gave, or nothing if that is a kind of value that is not known.
 * @throws TidemarkError `DAMAGED`
 */
export function* readDump(payload: string, whose: Whose, name: string): Generator<RdbEvent, void> {
  const bytes = latin1Bytes(payload);
  const end = bytes.length - DUMP_TAIL_BYTES;
  const sum = new Crc64();
  sum.add(bytes, 0, bytes.length - SUM_BYTES);
  if (end < 1 || !sum.matches(bytes, bytes.length - SUM_BYTES))
    throw new TidemarkError("DAMAGED", `${name} is damaged: the checksum is another one`);
  const reader = new RdbReader(name, whose);
  reader.feed(bytes.subarray(0, end));
  yield* reader.events();
  reader.end();
}
