/** Decoded values as people and programs read them. */

import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import { TidemarkError, textOf } from "../core/error.ts";
import { grouped, printable } from "./terminal.ts";

/** So much is shown of a long value, unless all is wanted. */
const ITEMS_SHOWN = 20;
const CHARACTERS_SHOWN = 500;
/** And of one that must fit a line. */
const LINE_ITEMS = 6;
const LINE_TEXT = 60;
const LINE_MAX = 100;
/** What is shown before the place that matters. */
const CONTEXT = 20;
const BYTES_SHOWN = 8;

/** As a literal, in lines, so that no text in it can drive a terminal. */
export function readable(value: unknown, all: boolean): string {
  return inspect(value, {
    depth: all ? Number.POSITIVE_INFINITY : 5,
    maxArrayLength: all ? Number.POSITIVE_INFINITY : ITEMS_SHOWN,
    maxStringLength: all ? Number.POSITIVE_INFINITY : CHARACTERS_SHOWN,
    breakLength: 100,
  }).replaceAll(/[^\P{C}\n]/gu, "?");
}

/** As a literal, in one line of about a hundred characters at most. */
export function literal(value: unknown): string {
  if (typeof value === "string") return shortened(value, 0);
  if (value instanceof Error) return printable(`[${value.name}: ${value.message}]`);
  const text = printable(
    inspect(value, {
      depth: 3,
      maxArrayLength: LINE_ITEMS,
      maxStringLength: LINE_TEXT,
      breakLength: Number.POSITIVE_INFINITY,
    }),
  );
  return text.length > LINE_MAX ? `${text.slice(0, LINE_MAX - 1)}…` : text;
}

/** A path, of which the middle is left out if it is very long. */
export function shownPath(path: string): string {
  const text = printable(path);
  return text.length > 2 * LINE_MAX ? `${text.slice(0, LINE_MAX)}…${text.slice(-LINE_MAX)}` : text;
}

/** A text as a literal; of a long one, what is around a place. */
export function shortened(text: string, at: number): string {
  const start = text.length <= LINE_TEXT || at <= CONTEXT ? 0 : at - CONTEXT;
  const shown = text.slice(start, start + LINE_TEXT);
  const more = start + shown.length < text.length;
  const size = more || start > 0 ? ` (${grouped(text.length)} characters)` : "";
  const cut = `${start > 0 ? "…" : ""}${printable(inspect(shown))}${more ? "…" : ""}`;
  return cut + size;
}

/** Two values, of which long texts and bytes are shown from where they begin to differ. */
export function literals(before: unknown, after: unknown): readonly [string, string] {
  if (typeof before === "string" && typeof after === "string") {
    const at = firstDifference(before, after);
    return [shortened(before, at), shortened(after, at)];
  }
  if (before instanceof Uint8Array && after instanceof Uint8Array) {
    const at = firstDifference(before, after);
    return [bytesFrom(before, at), bytesFrom(after, at)];
  }
  return [literal(before), literal(after)];
}

function firstDifference<T>(before: ArrayLike<T>, after: ArrayLike<T>): number {
  const shorter = Math.min(before.length, after.length);
  let at = 0;
  while (at < shorter && before[at] === after[at]) at += 1;
  return at;
}

function bytesFrom(bytes: Uint8Array, at: number): string {
  const shown = Buffer.from(bytes.subarray(at, at + BYTES_SHOWN)).toString("hex");
  const more = at + BYTES_SHOWN < bytes.length ? "…" : "";
  return `${grouped(bytes.length)} bytes, from ${at}: ${shown.replaceAll(/..(?=.)/g, "$& ")}${more}`;
}

export const indented = (text: string, by: string): string => by + text.replaceAll("\n", `\n${by}`);

/**
 * A line of JSON in which everything has a form.
 * @throws TidemarkError `BAD_MESSAGE` if a value is nested too deep for that
 */
export function jsonLine(value: unknown): string {
  try {
    return JSON.stringify(value, toJson);
  } catch (cause) {
    throw new TidemarkError("BAD_MESSAGE", `a value has no form in JSON: ${textOf(cause)}`, {
      cause,
    });
  }
}

/** Keeps what JSON has no form for. `this` holds the value as it was before `toJSON`. */
function toJson(this: unknown, key: string, given: unknown): unknown {
  const value = (this as Readonly<Record<string, unknown>>)[key];
  if (typeof value === "bigint") return { $bigint: String(value) };
  if (typeof value === "number" && !Number.isFinite(value)) return { $number: String(value) };
  if (value === undefined) return { $undefined: true };
  if (value instanceof Date) return { $date: String(given) };
  if (value instanceof Set) return { $set: [...value] };
  if (value instanceof Map) return { $map: [...value] };
  if (value instanceof Error) return { $error: `${value.name}: ${value.message}` };
  if (ArrayBuffer.isView(value))
    return {
      $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"),
    };
  return given;
}
