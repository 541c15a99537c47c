/**
 * Cuts what a server sends into replies of RESP2 and RESP3, which come in pieces of any size. Room is made for what is there, not for what
 * is announced. What a reply becomes is said by a form: plain values, or such as tell what they were.
 */

import { TidemarkError } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import { ByteQueue } from "./byte-queue.ts";
import { readLatin1 } from "./latin1.ts";

/** A reply that is an error. */
export class ErrorReply {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** A status and a bulk are texts, nothing is null; a map is a list of keys and values in turn. */
export type ServerReply = string | number | null | ErrorReply | readonly ServerReply[];

/** A reply that tells what it was; its texts have a character for each byte. */
export type TypedReply =
  | { readonly type: TextType; readonly text: string }
  | { readonly type: "null" }
  | { readonly type: ListType; readonly items: readonly TypedReply[] };

/** An integer is a text, too: it may have 64 bits. */
type TextType = "status" | "error" | "integer" | "bulk" | "double" | "boolean" | "big" | "verbatim";
/** Of a map its keys and values in turn. */
type ListType = "array" | "map" | "set" | "push";

/** What replies become. */
export interface ReplyForm<T> {
  readonly nothing: T;
  text(type: TextType, text: string): T;
  list(type: ListType, items: readonly T[]): T;
  /** What it says, if it is an error. */
  problemOf(reply: T): string | undefined;
}

export const plainReplies: ReplyForm<ServerReply> = {
  nothing: null,
  text(type, text) {
    if (type === "error") return new ErrorReply(text);
    if (type === "integer") return Number(text);
    return type === "boolean" ? Number(text === "true") : text;
  },
  list: (_, items) => items,
  problemOf: (reply) => (reply instanceof ErrorReply ? reply.message : undefined),
};

export const typedReplies: ReplyForm<TypedReply> = {
  nothing: { type: "null" },
  text: (type, text) => ({ type, text }),
  list: (type, items) => ({ type, items }),
  problemOf: (reply) => (reply.type === "error" ? reply.text : undefined),
};

/** What one reply may have. */
export interface ReplyLimits {
  /** All of it, as it was sent. @default no limit */
  readonly bytes?: number;
  /** Lists in each other. @default 8 */
  readonly depth?: number;
}

const [CR, LF] = [13, 10];
const LINE_BYTES_MAX = 64 * 1024;
const BULK_BYTES_MAX = 512 * 1024 * 1024 - 32;
const DEPTH_MAX = 8;

interface OpenList<T> {
  readonly type: ListType;
  readonly items: T[];
  left: number;
}

const LISTS: Readonly<Record<string, ListType>> = {
  "*": "array",
  "%": "map",
  "~": "set",
  ">": "push",
};
const TEXTS: Readonly<Record<string, TextType>> = {
  ...{ "+": "status", "-": "error", ",": "double", "(": "big" },
};
const BULKS: Readonly<Record<string, TextType>> = { $: "bulk", "!": "error", "=": "verbatim" };
/** In front of a verbatim text stands what it is: `txt:`. */
const VERBATIM_HEAD = 4;

/** See the head of the file. */
export class ReplyReader<T = ServerReply> {
  readonly #form: ReplyForm<T>;
  readonly #bytesMax: number;
  readonly #depthMax: number;
  readonly #queue: ByteQueue = new ByteQueue();
  /** Lists that are not whole, the outer ones first. */
  readonly #open: OpenList<T>[] = [];
  /** Of a bulk whose bytes are awaited. */
  #bulk: { readonly type: TextType; readonly length: number } | undefined;
  /** Since the last reply that was whole. */
  #taken = 0;

  constructor(form: ReplyForm<T>, limits: ReplyLimits = {}) {
    this.#form = form;
    this.#bytesMax = limits.bytes ?? Number.POSITIVE_INFINITY;
    this.#depthMax = limits.depth ?? DEPTH_MAX;
  }

  feed(piece: Uint8Array): void {
    this.#queue.feed(piece);
  }

  /** The next reply that is whole. @throws TidemarkError `BAD_MESSAGE` */
  next(): T | undefined {
    for (;;) {
      let reply = this.#one();
      if (reply === undefined) return undefined;
      for (;;) {
        const list = this.#open.at(-1);
        if (!list) {
          this.#taken = 0;
          return reply;
        }
        list.items.push(reply);
        list.left -= 1;
        if (list.left > 0) break;
        this.#open.pop();
        reply = this.#form.list(list.type, list.items);
      }
    }
  }

  /** The next one that is not the head of a list with something in it. */
  #one(): T | undefined {
    const form = this.#form;
    for (;;) {
      if (this.#bulk !== undefined) return this.#bulkOf(this.#bulk);
      const line = this.#line();
      if (line === undefined) return undefined;
      this.#take(line.length);
      const sign = line.charAt(0);
      const rest = line.slice(1);
      const [text, bulk, list] = [TEXTS[sign], BULKS[sign], LISTS[sign]];
      if (text) return form.text(text, rest);
      if (sign === ":") return form.text("integer", integerIn(rest));
      if (sign === "#") return form.text("boolean", String(rest === "t"));
      if (sign === "_") return form.nothing;
      if (bulk) {
        const length = Number(integerIn(rest));
        if (length < 0) return form.nothing;
        if (length > BULK_BYTES_MAX) throw bad(`a value of ${length} bytes is too long`);
        this.#take(length);
        this.#bulk = { type: bulk, length };
      } else if (list) {
        const count = Number(integerIn(rest));
        if (count < 0) return form.nothing;
        if (count === 0) return form.list(list, []);
        if (this.#open.length === this.#depthMax) throw bad("lists lie too deep in each other");
        this.#open.push({ type: list, items: [], left: list === "map" ? 2 * count : count });
      } else throw bad("it is no reply of Redis");
    }
  }

  /** So much of a reply is there or announced. */
  #take(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken > this.#bytesMax)
      throw bad(`a reply has more than ${byteSize(this.#bytesMax)}: ask for less at a time`);
  }

  #bulkOf({ type, length }: { readonly type: TextType; readonly length: number }): T | undefined {
    const queue = this.#queue;
    if (!queue.has(length + 2)) return undefined;
    const end = queue.at + length;
    const from = type === "verbatim" ? Math.min(end, queue.at + VERBATIM_HEAD) : queue.at;
    const text = readLatin1(queue.bytes, from, end);
    if (queue.bytes[end] !== CR || queue.bytes[end + 1] !== LF)
      throw bad("a value does not end where it should");
    queue.at = end + 2;
    this.#bulk = undefined;
    return this.#form.text(type, text);
  }

  #line(): string | undefined {
    const queue = this.#queue;
    for (;;) {
      const { bytes, at } = queue;
      const end = bytes.indexOf(LF, at);
      if (end > at && bytes[end - 1] === CR) {
        queue.at = end + 1;
        return readLatin1(bytes, at, end - 1);
      }
      if (end >= 0 || bytes.length - at > LINE_BYTES_MAX) throw bad("it is no reply of Redis");
      if (!queue.has(bytes.length - at + 1)) return undefined;
    }
  }
}

function integerIn(text: string): string {
  if (/^-?\d{1,19}$/.test(text)) return text;
  throw bad("a number has other characters than digits");
}

function bad(what: string): TidemarkError {
  return new TidemarkError("BAD_MESSAGE", what);
}
