/** Values that have nothing in them to open, as a text; and short forms of those that have. */

import { fieldsOf, shapeOf, stepOfKey } from "../../src/snapshot/value-path.ts";

const BYTES_SHOWN = 32;
const ITEMS_SHOWN = 4;
const DEPTH_SHOWN = 2;

/** A value that is a leaf. */
export function leafText(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (ArrayBuffer.isView(value)) return bytesText(value);
  return String(value);
}

function bytesText(value: ArrayBufferView): string {
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const shown = [...bytes.subarray(0, BYTES_SHOWN)].map((byte) =>
    byte.toString(16).padStart(2, "0"),
  );
  const more = bytes.length > BYTES_SHOWN ? " …" : "";
  const many = bytes.length === 1 ? "1 byte" : `${bytes.length} bytes`;
  return bytes.length === 0 ? "0 bytes" : `${many}: ${shown.join(" ")}${more}`;
}

/** What is in a value: with the name of each, as it stands in a path. */
export function childrenOf(value: unknown): readonly (readonly [name: string, child: unknown])[] {
  switch (shapeOf(value)) {
    case "leaf":
      return [];
    case "list":
    case "set":
      return [...(value as Iterable<unknown>)].map((one, i) => [String(i), one]);
    case "map":
      return [...(value as Map<unknown, unknown>)].map(([key, one]) => [nameOfKey(key), one]);
    default:
      return Object.entries(fieldsOf(value as object));
  }
}

function nameOfKey(key: unknown): string {
  const step = stepOfKey(key);
  return typeof step === "object" ? shortText(step.key) : String(step);
}

/** In one line, of which the end is left out if it is long. */
export function shortText(value: unknown, charactersMax = 120): string {
  const text = lineOf(value, DEPTH_SHOWN);
  return text.length > charactersMax ? `${text.slice(0, charactersMax - 1)}…` : text;
}

function lineOf(value: unknown, depth: number): string {
  const shape = shapeOf(value);
  if (shape === "leaf") return leafText(value);
  const [open, close] =
    shape === "list" ? ["[", "]"] : shape === "set" ? ["Set {", "}"] : ["{", "}"];
  const all = childrenOf(value);
  if (all.length === 0) return open + close;
  if (depth === 0) return `${open} … ${close}`;
  const isNamed = shape !== "list" && shape !== "set";
  const shown = all
    .slice(0, depth === DEPTH_SHOWN ? 2 * ITEMS_SHOWN : ITEMS_SHOWN)
    .map(([name, child]) => (isNamed ? `${name}: ` : "") + lineOf(child, depth - 1));
  const more = all.length > shown.length ? `, … ${all.length - shown.length} more` : "";
  return isNamed
    ? `${open} ${shown.join(", ")}${more} ${close}`
    : `${open}${shown.join(", ")}${more}${close}`;
}
