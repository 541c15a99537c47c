/** Replies as redis-cli shows them to people, line by line; but that text which is UTF-8 is shown as such. */

import type { TypedReply } from "../../src/kv/reply-reader.ts";
import { byteSize } from "../parts/words.ts";
import { shown } from "./bytes.ts";

export interface ReplyLine {
  readonly text: string;
  readonly isError: boolean;
}

/** How redis-cli divides a number from its element, by the type of the list. */
const SIGNS = { array: ")", push: ")", map: "#", set: "~" } as const;
const EMPTY = { array: "array", push: "push", map: "hash", set: "set" } as const;

/** What is longer is cut: nobody reads it here, and a browser that lays it out stands still. */
const TEXT_BYTES_MAX = 16_384;

/** A text in quotes. */
function inQuotes(bytes: string): string {
  const text = shown(bytes.slice(0, TEXT_BYTES_MAX)).replaceAll('"', '\\"');
  return bytes.length <= TEXT_BYTES_MAX
    ? `"${text}"`
    : `"${text}… (${byteSize(bytes.length)} in all)`;
}

/** At most so many lines, and how many there are. */
export function replyLines(
  reply: TypedReply,
  most: number,
): { readonly lines: readonly ReplyLine[]; readonly count: number } {
  const lines: ReplyLine[] = [];
  let count = 0;
  const add = (text: string, isError: boolean): void => {
    count += 1;
    if (lines.length < most) lines.push({ text, isError });
  };
  /** @param before what the first line begins with @param indent what the others do */
  const write = (one: TypedReply, before: string, indent: string): void => {
    if (!("items" in one)) {
      const [first = "", ...more] = leaf(one).split("\n");
      add(before + first, one.type === "error");
      for (const line of more) add(line, false);
      return;
    }
    const { type, items } = one;
    const isMap = type === "map";
    const many = sizeOf(one);
    if (many === 0) add(`${before}(empty ${EMPTY[type]})`, false);
    const digits = String(many).length;
    const inner = indent + " ".repeat(digits + 2);
    for (let i = 0; i < many; i += 1) {
      const number = `${String(i + 1).padStart(digits)}${SIGNS[type]} `;
      const start = (i === 0 ? before : indent) + number;
      if (isMap) {
        const key = items[2 * i] as TypedReply;
        const name = "items" in key ? "(list)" : leaf(key);
        const value = items[2 * i + 1] as TypedReply;
        const isLong = hasLines(value);
        if (isLong) add(`${start}${name} => `, false);
        write(value, isLong ? inner : `${start}${name} => `, inner);
      } else write(items[i] as TypedReply, start, inner);
    }
  };
  write(reply, "", "");
  return { lines, count };
}

/** Of a list its elements, of a map its pairs. */
function sizeOf(reply: TypedReply): number {
  if (!("items" in reply)) return 0;
  return reply.type === "map" ? reply.items.length / 2 : reply.items.length;
}

/** It takes more than one line. */
const hasLines = (reply: TypedReply): boolean =>
  "items" in reply && (sizeOf(reply) > 1 || reply.items.some(hasLines));

function leaf(reply: Exclude<TypedReply, { readonly items: unknown }>): string {
  switch (reply.type) {
    case "null":
      return "(nil)";
    case "error":
      return `(error) ${shown(reply.text)}`;
    case "integer":
      return `(integer) ${reply.text}`;
    case "double":
      return `(double) ${reply.text}`;
    case "boolean":
      return `(${reply.text})`;
    case "bulk":
      return inQuotes(reply.text);
    case "verbatim":
      // It is meant to be read as it is: all but its line ends.
      return reply.text.split(/\r?\n/).map(shown).join("\n");
    default:
      return shown(reply.text);
  }
}
