/**
 * Keys on their way from one store to another, in parts: so a large one never has to be anywhere as a whole. And the commands that make
 * them again.
 */

import { formatFloat64 } from "./numbers.ts";
import type { Reply } from "./reply.ts";
import type { TypeName, Value } from "./value.ts";

/** Whose value it is. */
export interface KeyHead {
  readonly db: number;
  readonly key: string;
  readonly type: TypeName;
  /** When it expires, in milliseconds since 1970. */
  readonly deadline: number | undefined;
}

/** Some of what a key has. Its parts come one after another. */
export interface KeyPart extends KeyHead {
  /** Of a hash fields and values in turn, of a sorted set members and scores; of a string one. */
  readonly elements: readonly string[];
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

/** What has no form here, and was passed. */
export interface LeftOut {
  /** What it is: a stream, say. */
  readonly leftOut: string;
  /** Its key or its name, if it has one. */
  readonly name?: string;
  readonly db?: number;
}

const PART_ELEMENTS = 256;
const PART_BYTES = 64 * 1024;

const isPaired = ({ type }: KeyHead): boolean => type === "hash" || type === "zset";

/** Makes parts of elements. A part is given when it is known whether it is the last one. */
export class PartCutter {
  readonly #head: KeyHead;
  readonly #isPaired: boolean;
  #elements: string[] = [];
  #bytes = 0;
  #isFirst: boolean = true;

  constructor(head: KeyHead) {
    this.#head = head;
    this.#isPaired = isPaired(head);
  }

  /** An element is without the one that belongs to it. */
  get isHalf(): boolean {
    return this.#isPaired && this.#elements.length % 2 === 1;
  }

  /** Gives the part that is before it, if that is full. */
  add(element: string): KeyPart | undefined {
    const isFull = this.#elements.length >= PART_ELEMENTS || this.#bytes >= PART_BYTES;
    const part = isFull && !this.isHalf ? this.#part(false) : undefined;
    this.#elements.push(element);
    this.#bytes += element.length;
    return part;
  }

  /** The last part; none of a key that has nothing. */
  end(): KeyPart | undefined {
    return this.#elements.length > 0 ? this.#part(true) : undefined;
  }

  #part(isLast: boolean): KeyPart {
    const part = { ...this.#head, elements: this.#elements, isFirst: this.#isFirst, isLast };
    this.#isFirst = false;
    this.#elements = [];
    this.#bytes = 0;
    return part;
  }
}

/** All parts of a key. */
export function* partsOf(head: KeyHead, elements: Iterable<string>): Generator<KeyPart, void> {
  const cutter = new PartCutter(head);
  for (const element of elements) {
    const part = cutter.add(element);
    if (part) yield part;
  }
  const part = cutter.end();
  if (part) yield part;
}

/** What a value has, as `KeyPart` has it. */
export function* elementsOf(value: Value): Generator<string, void> {
  if (typeof value === "string") yield value;
  else
    switch (value.type) {
      case "string":
        yield value.slice(0);
        break;
      case "list":
        yield* value.range(0, value.length);
        break;
      case "set":
        yield* value.members.keys();
        break;
      case "hash":
        for (const entry of value.fields.entries()) yield* entry;
        break;
      case "zset":
        for (const [member, score] of value.scores.entries()) yield* [member, formatFloat64(score)];
    }
}

const COMMANDS: Readonly<Record<TypeName, string>> = {
  string: "SET",
  list: "RPUSH",
  set: "SADD",
  hash: "HSET",
  zset: "ZADD",
};

/**
 * Writes the requests that make a part, in the database that is selected. What is set as a string is replaced in any case.
 * @param replaces what is there is deleted first
 * @returns how many there are
 */
export function writePart(part: KeyPart, requests: Reply, replaces: boolean): number {
  const { key, type, elements, deadline, isFirst, isLast } = part;
  let count = 1;
  if (isFirst && replaces && type !== "string") {
    requests.bulks(["DEL", key]);
    count += 1;
  }
  requests.array(2 + elements.length);
  requests.bulk(COMMANDS[type]);
  requests.bulk(key);
  if (type === "zset")
    for (let i = 0; i < elements.length; i += 2) {
      requests.bulk(elements[i + 1] as string);
      requests.bulk(elements[i] as string);
    }
  else for (const element of elements) requests.bulk(element);
  if (isLast && deadline !== undefined) {
    requests.bulks(["PEXPIREAT", key, String(deadline)]);
    count += 1;
  }
  return count;
}
