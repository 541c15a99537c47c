/**
 * Cuts what a server sends into replies of RESP2, which come in pieces of any size. Room is made for what is there, not for what is
 * announced.
 */

import { TidemarkError } from "../core/error.ts";
import { ByteQueue } from "./byte-queue.ts";
import { readLatin1 } from "./latin1.ts";

/** A reply that is an error. */
export class ErrorReply {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** A status and a bulk are texts, nothing is null. */
export type ServerReply = string | number | null | ErrorReply | readonly ServerReply[];

const [CR, LF] = [13, 10];
const LINE_BYTES_MAX = 64 * 1024;
const BULK_BYTES_MAX = 512 * 1024 * 1024 - 32;
const DEPTH_MAX = 8;

interface OpenArray {
  readonly items: ServerReply[];
  left: number;
}

/** See the head of the file. */
export class ReplyReader {
  readonly #queue: ByteQueue = new ByteQueue();
  /** Arrays that are not whole, the outer ones first. */
  readonly #open: OpenArray[] = [];
  /** Of a bulk whose bytes are awaited. */
  #bulkBytes: number | undefined;

  feed(piece: Uint8Array): void {
    this.#queue.feed(piece);
  }

  /** The next reply that is whole. @throws TidemarkError `BAD_MESSAGE` */
  next(): ServerReply | undefined {
    for (;;) {
      let reply = this.#one();
      if (reply === undefined) return undefined;
      for (;;) {
        const array = this.#open.at(-1);
        if (!array) return reply;
        array.items.push(reply);
        array.left -= 1;
        if (array.left > 0) break;
        this.#open.pop();
        reply = array.items;
      }
    }
  }

  /** The next one that is not the head of an array with something in it. */
  #one(): ServerReply | undefined {
    for (;;) {
      if (this.#bulkBytes !== undefined) return this.#bulk(this.#bulkBytes);
      const line = this.#line();
      if (line === undefined) return undefined;
      const rest = line.slice(1);
      switch (line.charAt(0)) {
        case "+":
          return rest;
        case "-":
          return new ErrorReply(rest);
        case ":":
          return numberIn(rest);
        case "$": {
          const length = numberIn(rest);
          if (length < 0) return null;
          if (length > BULK_BYTES_MAX) throw bad(`a value of ${length} bytes is too long`);
          this.#bulkBytes = length;
          break;
        }
        case "*": {
          const left = numberIn(rest);
          if (left < 0) return null;
          if (left === 0) return [];
          if (this.#open.length === DEPTH_MAX) throw bad("lists lie too deep in each other");
          this.#open.push({ items: [], left });
          break;
        }
        default:
          throw bad("it is no reply of Redis");
      }
    }
  }

  #bulk(length: number): string | undefined {
    const queue = this.#queue;
    if (!queue.has(length + 2)) return undefined;
    const end = queue.at + length;
    const text = readLatin1(queue.bytes, queue.at, end);
    if (queue.bytes[end] !== CR || queue.bytes[end + 1] !== LF)
      throw bad("a value does not end where it should");
    queue.at = end + 2;
    this.#bulkBytes = undefined;
    return text;
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

function numberIn(text: string): number {
  const value = Number(text);
  if (/^-?\d{1,19}$/.test(text)) return value;
  throw bad("a number has other characters than digits");
}

function bad(what: string): TidemarkError {
  return new TidemarkError("BAD_MESSAGE", what);
}
