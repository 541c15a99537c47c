/**
 * Where something stands in a decoded value, and expressions that say where to look: a small part of JSONPath (RFC 9535).
 *
 * Values are what codecs give: plain data, also deep, and perhaps out of a file that somebody spoiled. So nothing here calls
 * itself: each walk keeps a stack of its own, and ends with an error at a depth or number of values that no honest one has.
 *
 * Theory of operation. An expression is a list of segments, and is matched as an automaton: for each value of the walk there is the
 * set of segments that may come next, as bits of a number. A child moves every segment that it fits on by one; a segment after `..`
 * also stays. What has nothing left to come is selected; where the set is empty nobody looks. So each value is met once, is selected
 * once however many ways lead to it, and what was not asked for is not touched.
 */

import { TidemarkError } from "../core/error.ts";

/**
 * One step down: the name of a field, or an index. Of a Map a text or whole number is the key itself, and any other key is given as
 * it is; members of a Set are numbered in their order, as items of a list are.
 */
export type Step = string | number | { readonly key: unknown };

/** From a value down to another one in it; empty for the value itself. */
export type Path = readonly Step[];

/** A value, and where it stands. */
export interface Found {
  readonly path: Path;
  readonly value: unknown;
}

/** What can be said of values that have something in them; bytes and dates, like numbers, have nothing. */
export type Shape = "leaf" | "list" | "set" | "map" | "object" | "error";

/** What no codec gives that anybody wrote: see `endless`. */
export const DEPTH_MAX = 100_000;
export const VALUES_MAX: number = 2 ** 27;
const EXPRESSION_MAX = 1_000;
/** One bit each, and one for the end. */
const SEGMENTS_MAX = 30;
/** Without quotes. */
const NAME = /^[\p{L}_$][\p{L}\p{M}\p{N}_$-]*/u;

export function shapeOf(value: unknown): Shape {
  if (typeof value !== "object" || value === null) return "leaf";
  if (Array.isArray(value)) return "list";
  if (value instanceof Map) return "map";
  if (value instanceof Set) return "set";
  if (value instanceof Error) return "error";
  return isDatum(value) ? "leaf" : "object";
}

const tagOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1);
const DATA: ReadonlySet<string> = new Set(["Date", "RegExp", "ArrayBuffer"]);

/** An object that is one value, with nothing in it to go to. */
function isDatum(value: object): boolean {
  return ArrayBuffer.isView(value) || DATA.has(tagOf(value));
}

/** A text that two such objects share if they are the same value, and no others. */
export function datumText(value: object): string | undefined {
  const tag = tagOf(value);
  if (ArrayBuffer.isView(value) || tag === "ArrayBuffer") return `${tag} ${latin1(bytesIn(value))}`;
  if (tag === "Date") return `Date ${(value as { getTime(): number }).getTime()}`;
  return tag === "RegExp" ? `RegExp ${value}` : undefined;
}

function bytesIn(value: object): Uint8Array {
  if (!ArrayBuffer.isView(value)) return new Uint8Array(value as ArrayBuffer);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  // An argument list has a limit.
  for (let at = 0; at < bytes.length; at += 4096)
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

/** What an object or an error is made of. */
export function fieldsOf(value: object): Readonly<Record<string, unknown>> {
  if (!(value instanceof Error)) return value as Readonly<Record<string, unknown>>;
  const { name, message } = value;
  return { name, message, ...(Object.hasOwn(value, "cause") ? { cause: value.cause } : {}) };
}

/** The step to a key of a Map. */
export function stepOfKey(key: unknown): Step {
  return typeof key === "string" || Number.isSafeInteger(key) ? (key as string | number) : { key };
}

/** What a value has in it, in its order. */
function* childrenOf(value: object, shape: Shape): Generator<[Step, unknown]> {
  if (shape === "list") {
    const list = value as readonly unknown[];
    for (let i = 0; i < list.length; i += 1) yield [i, list[i]];
  } else if (shape === "set") {
    let i = 0;
    for (const member of value as ReadonlySet<unknown>) yield [i++, member];
  } else if (shape === "map") {
    for (const [key, one] of value as ReadonlyMap<unknown, unknown>) yield [stepOfKey(key), one];
  } else {
    const fields = fieldsOf(value);
    for (const key of Object.keys(fields)) yield [key, fields[key]];
  }
}

/** How many values are numbered in it: a negative index counts from there. */
function lengthOf(value: object, shape: Shape): number {
  if (shape === "list") return (value as readonly unknown[]).length;
  return shape === "set" ? (value as ReadonlySet<unknown>).size : 0;
}

/**
 * A path as an expression that leads there and nowhere else: `$.orders[3]['unit price']`. A key of a Map that is neither a text nor a
 * whole number has no such form and becomes `[?]`.
 */
export function formatPath(path: Path): string {
  let text = "$";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (typeof step === "object") text += "[?]";
    else if (NAME.exec(step)?.[0] === step) text += `.${step}`;
    else text += `['${step.replaceAll(/[\\']/g, "\\$&").replaceAll(/\p{C}/gu, escaped)}']`;
  }
  return text;
}

function escaped(character: string): string {
  let text = "";
  for (let i = 0; i < character.length; i += 1)
    text += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return text;
}

/** With neither name nor index it fits everything. */
interface Segment {
  /** After `..`: at any depth. */
  readonly deep: boolean;
  readonly name?: string;
  readonly index?: number;
}

/**
 * A parsed expression:
 *
 * | | selects |
 * |---|---|
 * | `$` | the value itself |
 * | `.name`, `['any name']` | the field of that name, or what a Map has for that text |
 * | `[3]`, `[-1]` | that item of a list or member of a Set, from 0, or from the end; or what a Map has for that number |
 * | `.*`, `[*]` | all that is in it |
 * | `..name`, `..[3]`, `..*` | the same at any depth |
 *
 * In quotes, single or double, `\` goes before a quote, a `\`, or a `u` with four hexadecimal digits. There are no slices `[1:3]`, lists
 * `[1,2]` or filters `[?…]`.
 *
 * @example
 * ```ts
 * import { parsePath } from "tidemark";
 * const state = { orders: [{ total: 7 }, { total: 9 }] };
 * const totals = [...parsePath("$.orders[*].total").select(state)].map(({ value }) => value);
 * if (String(totals) !== "7,9") throw new Error("both are found");
 * ```
 */
export class PathExpression {
  readonly text: string;
  readonly #segments: readonly Segment[];
  /** Those that have to look at everything. */
  readonly #broad: number;

  /** @internal */
  constructor(text: string, segments: readonly Segment[]) {
    this.text = text;
    this.#segments = segments;
    this.#broad = segments.reduce(
      (bits, { deep, name, index }, i) =>
        deep || (name === undefined && index === undefined) ? bits | (1 << i) : bits,
      0,
    );
  }

  /** True for `$`: the value itself and nothing in it. */
  get isWhole(): boolean {
    return this.#segments.length === 0;
  }

  /**
   * What it selects, in the order in which it stands in the value.
   * @throws TidemarkError `BAD_MESSAGE` if the value is cyclic, or nested deeper than 100,000
   */
  select(value: unknown): Generator<Found> {
    return this.#walk(value, 1, []);
  }

  /** Whether it selects an item of a list, or may select something in it: then the item is worth decoding. */
  reaches(index: number, length: number): boolean {
    return this.#next(1, index, length) !== 0;
  }

  /** As `select` of a list with so many items, but only what it selects in and with this one. */
  selectItem(item: unknown, index: number, length: number): Generator<Found> {
    return this.#walk(item, this.#next(1, index, length), [index]);
  }

  *#walk(root: unknown, first: number, at: Path): Generator<Found> {
    const end = 1 << this.#segments.length;
    const path: Step[] = [...at];
    const open: { readonly children: Iterator<[Step, unknown]>; bits: number; length: number }[] =
      [];
    let [value, bits] = [root, first];
    for (let met = 0; ; met += 1) {
      if (met > VALUES_MAX || open.length > DEPTH_MAX) throw endless();
      if ((bits & end) !== 0) yield { path: [...path], value };
      bits &= ~end;
      const shape = bits === 0 ? "leaf" : shapeOf(value);
      if (shape !== "leaf") {
        const length = lengthOf(value as object, shape);
        open.push({ children: this.#wanted(value as object, shape, bits, length), bits, length });
      } else if (open.length > 0) path.pop();
      for (;;) {
        const frame = open.at(-1);
        if (!frame) return;
        const { done, value: child } = frame.children.next();
        if (done) {
          open.pop();
          if (open.length > 0) path.pop();
          continue;
        }
        bits = this.#next(frame.bits, child[0], frame.length);
        if (bits === 0) continue;
        path.push(child[0]);
        value = child[1];
        break;
      }
    }
  }

  /** The children that the segments could fit; of a large value only those that are named. */
  #wanted(value: object, shape: Shape, bits: number, length: number): Iterator<[Step, unknown]> {
    if ((bits & this.#broad) !== 0) return childrenOf(value, shape);
    // There are several only from a broad one on that stays.
    const { name, index } = this.#segments[31 - Math.clz32(bits)] as Segment;
    const found: [Step, unknown][] = [];
    if (shape === "map") {
      const key = name ?? (index as number);
      const map = value as ReadonlyMap<unknown, unknown>;
      if (map.has(key)) found.push([key, map.get(key)]);
    } else if (shape === "list" && index !== undefined) {
      const at = index < 0 ? index + length : index;
      if (at >= 0 && at < length) found.push([at, (value as readonly unknown[])[at]]);
    } else if (shape === "set") return childrenOf(value, shape);
    else if (name !== undefined && shape !== "list") {
      const fields = fieldsOf(value);
      if (Object.hasOwn(fields, name)) found.push([name, fields[name]]);
    }
    return found.values();
  }

  /** What may come after that step. */
  #next(bits: number, step: Step, length: number): number {
    let next = 0;
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const i = 31 - Math.clz32(rest & -rest);
      const segment = this.#segments[i];
      if (!segment) continue;
      const { deep, name, index } = segment;
      if (deep) next |= 1 << i;
      const wanted =
        name ?? (index !== undefined && index < 0 && length > 0 ? index + length : index);
      if (wanted === undefined || wanted === step) next |= 1 << (i + 1);
    }
    return next;
  }
}

/**
 * Reads an expression; see `PathExpression`.
 * @throws TidemarkError `BAD_OPTION` that says at which character it is wrong
 */
export function parsePath(text: string): PathExpression {
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  const bad = (at: number, reason: string): TidemarkError =>
    new TidemarkError("BAD_OPTION", `path ${shown} is wrong at character ${at + 1}: ${reason}`);
  if (!text.startsWith("$")) throw bad(0, "it begins with $, for the whole value: $.balance");
  if (text.length > EXPRESSION_MAX)
    throw bad(EXPRESSION_MAX, `it may have ${EXPRESSION_MAX} characters`);
  const segments: Segment[] = [];
  for (let at = 1; at < text.length; ) {
    if (segments.length === SEGMENTS_MAX) throw bad(at, `it may have ${SEGMENTS_MAX} parts`);
    const deep = text.startsWith("..", at);
    if (deep) at += 2;
    else if (text[at] === ".") at += 1;
    else if (text[at] !== "[") throw bad(at, 'here comes ".name" or "[…]"');
    if (text[at] === "[") {
      if (!deep && text[at - 1] === ".")
        throw bad(at, 'a name comes here; write "[…]" without the dot');
      const inside = bracket(text, at + 1, bad);
      segments.push({ deep, ...inside.segment });
      at = inside.end;
    } else if (text[at] === "*") {
      segments.push({ deep });
      at += 1;
    } else {
      const name = NAME.exec(text.slice(at))?.[0];
      if (name === undefined)
        throw bad(at, "a name comes here, or \"*\"; one with other characters goes into ['…']");
      segments.push({ deep, name });
      at += name.length;
    }
  }
  return new PathExpression(text, segments);
}

/** What stands between brackets, and where it goes on behind them. */
function bracket(
  text: string,
  start: number,
  bad: (at: number, reason: string) => TidemarkError,
): { readonly segment: Omit<Segment, "deep">; readonly end: number } {
  const closed = (at: number): number => {
    if (text[at] === "]") return at + 1;
    throw bad(at, 'here comes "]"');
  };
  const quote = text[start];
  if (quote === "*") return { segment: {}, end: closed(start + 1) };
  if (quote !== "'" && quote !== '"') {
    const digits = /^-?[0-9]+/.exec(text.slice(start))?.[0];
    const index = Number(digits);
    if (digits === undefined) throw bad(start, "here comes an index, a name in quotes, or *");
    if (!Number.isSafeInteger(index)) throw bad(start, "that is no index: it is too large");
    // Not -0, which is another value.
    return { segment: { index: index + 0 }, end: closed(start + digits.length) };
  }
  let name = "";
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text[at] as string;
    if (character === quote) return { segment: { name }, end: closed(at + 1) };
    if (character !== "\\") {
      name += character;
      continue;
    }
    at += 1;
    const code = /^u([0-9a-fA-F]{4})/.exec(text.slice(at))?.[1];
    if (code !== undefined) {
      name += String.fromCharCode(Number.parseInt(code, 16));
      at += 4;
    } else if (/^[\\'"]/.test(text.slice(at))) name += text[at];
    else throw bad(at, "after \\ comes a quote, a \\, or u and four hexadecimal digits");
  }
  throw bad(text.length, `here comes ${quote}: a name is not closed`);
}

/** A path, from its end: what many values share of theirs is there once. */
export interface Trail {
  readonly before: Trail | undefined;
  readonly step: Step;
}

/** The path that a trail is of, behind another one. */
export function pathOf(trail: Trail | undefined, at: Path = []): Path {
  const steps: Step[] = [];
  for (let rest = trail; rest; rest = rest.before) steps.push(rest.step);
  return [...at, ...steps.reverse()];
}

/**
 * Every value in a value, the value itself first, in the order in which they stand in it.
 * @throws TidemarkError `BAD_MESSAGE` as `select`
 */
export function* everyValue(
  root: unknown,
): Generator<{ readonly trail: Trail | undefined; readonly value: unknown }> {
  const open: {
    readonly trail: Trail | undefined;
    readonly children: Iterator<[Step, unknown]>;
  }[] = [];
  let [value, trail]: [unknown, Trail | undefined] = [root, undefined];
  for (let met = 0; ; met += 1) {
    if (met > VALUES_MAX || open.length > DEPTH_MAX) throw endless();
    yield { trail, value };
    const shape = shapeOf(value);
    if (shape !== "leaf") open.push({ trail, children: childrenOf(value as object, shape) });
    let child: IteratorResult<[Step, unknown]> | undefined;
    while (open.length > 0) {
      child = open.at(-1)?.children.next();
      if (!child?.done) break;
      open.pop();
    }
    const frame = open.at(-1);
    if (!frame || !child || child.done) return;
    trail = { before: frame.trail, step: child.value[0] };
    value = child.value[1];
  }
}

/** Of a value that no codec gives for so many bytes as there can be. */
export function endless(): TidemarkError {
  return new TidemarkError(
    "BAD_MESSAGE",
    `a value is cyclic, nested deeper than ${DEPTH_MAX}, or has more than ${VALUES_MAX} values in it`,
  );
}
