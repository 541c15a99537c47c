/**
 * What replicas tell each other of keys that converge, written down where they say it and where they hear it; and what all of it means:
 * from effects, stamps and contexts alone, as the head of src/kv/convergence.ts has it, without ever folding any.
 */

import { joinBytes } from "../../../src/core/record.ts";
import type { Effect, ElementValue, Plane } from "../../../src/kv/convergence.ts";
import { SliceReader } from "../../../src/kv/keyspace.ts";
import { readLatin1 } from "../../../src/kv/latin1.ts";
import { CONVERGING, type ConvergingLevel } from "../../../src/kv/namespaces.ts";
import type { ReplicaState } from "../../../src/kv/replica.ts";
import type { Value } from "../../../src/kv/value.ts";

/** A message as it was told. */
export interface Told {
  /** By the number of a replica. */
  readonly from: number;
  /** Its last time. */
  readonly last: number;
  /** By replica: up to when its own had been told. */
  readonly context: readonly number[];
  /** All of it. */
  readonly text: string;
}

/** What is in a message. */
interface Message {
  readonly time: number;
  readonly context: readonly number[];
  readonly effects: readonly (Effect & { readonly at: number })[];
}

/** By replica, and its last time: what it has told, and whether somebody else has heard it. */
export type Tellings = readonly Map<number, { readonly text: string; isHeard: boolean }>[];

/** With what each message begins. */
const HEAD = /^\{"time":(\d+),"times":(\d+),"context":\[([\d,]+)\]/;
const LENGTH_BYTES = 4;

/** The side of a state that is of that order. */
function sideOf([head]: ReplicaState, level: ConvergingLevel) {
  return head.sides?.find((side) => side.level === level);
}

/** By replica: up to when it has been told. */
export const seenIn = (state: ReplicaState, level: ConvergingLevel): readonly number[] =>
  sideOf(state, level)?.head.seen ?? [];

/** Puts messages together as they come in pieces, beside a replica. */
export class Listener {
  readonly #level: ConvergingLevel;
  readonly #rests: Uint8Array[];
  readonly #self: number;
  readonly #told: (told: Told) => void;
  #seen: readonly number[];

  constructor(level: ConvergingLevel, self: number, members: number, told: (told: Told) => void) {
    this.#level = level;
    this.#self = self;
    this.#told = told;
    this.#seen = new Array<number>(members).fill(0);
    this.#rests = this.#seen.map(() => new Uint8Array(0));
  }

  /** By replica: up to when it has been told. */
  get seen(): readonly number[] {
    return this.#seen;
  }

  restore(state: ReplicaState): void {
    this.#seen = [...seenIn(state, this.#level)];
    for (const [i, rest] of (sideOf(state, this.#level)?.others ?? []).entries())
      this.#rests[i] = Uint8Array.from(rest);
    this.#rests[this.#self] = new Uint8Array(0);
  }

  piece(from: number, piece: Uint8Array): void {
    const bytes = joinBytes([this.#rests[from] as Uint8Array, piece]);
    this.#rests[from] = bytes;
    if (bytes.length < LENGTH_BYTES) return;
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (bytes.length < LENGTH_BYTES + length) return;
    this.#rests[from] = new Uint8Array(0);
    const text = readLatin1(bytes, LENGTH_BYTES, bytes.length);
    const head = HEAD.exec(text)?.slice(1).join() ?? "";
    const [time = 0, times = 0, ...context] = head.split(",").map(Number);
    const last = time + times - 1;
    this.#seen = this.#seen.map((at, i) => (i === from ? last : at));
    this.#told({ from, last, context, text });
  }
}

/** An effect, with all that is known of it. */
interface Stamped extends Effect {
  readonly time: number;
  readonly origin: number;
  readonly context: readonly number[];
}

const hasSeen = (one: Stamped, other: Stamped): boolean =>
  other.time <= (one.origin === other.origin ? one.time - 1 : (one.context[other.origin] ?? 0));

const isLater = (one: Stamped, other: Stamped): boolean =>
  one.time > other.time || (one.time === other.time && one.origin > other.origin);

function undoes(one: Stamped, other: Stamped): boolean {
  if (!hasSeen(one, other)) return false;
  if (one.kind === "flush") return true;
  if (one.key !== other.key) return false;
  // What is of another type was hidden from who wrote.
  if (one.plane !== "d" && other.plane !== "d" && one.plane !== other.plane) return true;
  if (one.kind === "add") return false;
  if (one.kind === "clear" || one.plane === "s") return true;
  return one.plane === other.plane && one.name === other.name;
}

/** A key: its type, its elements by name, and its deadline. */
export type Content = readonly [Plane, readonly (readonly [string, ElementValue])[], number | null];

/** Whoever writes a string writes the deadline of the key, too. */
function deadlineOf({ key, plane, kind, deadline = null }: Effect): readonly Effect[] {
  if (plane !== "s" || (kind !== "put" && kind !== "cut")) return [];
  return [{ key, plane: "d", name: "", kind: "put", value: kind === "put" ? deadline : null }];
}

/** What there is by all that was told, up to these times. */
export function meaningOf(
  tellings: Tellings,
  seen: readonly number[],
): ReadonlyMap<string, Content> {
  const known = tellings.flatMap((own, origin) =>
    [...own].flatMap(([last, { text }]): Stamped[] => {
      if (last > (seen[origin] ?? 0)) return [];
      const { time, context, effects } = JSON.parse(text) as Message;
      return effects.flatMap((effect) =>
        [effect, ...deadlineOf(effect)].map((one) => {
          return { ...one, time: time + effect.at, origin, context };
        }),
      );
    }),
  );
  const byKey = new Map<string, Stamped[]>();
  for (const one of known) byKey.set(one.key, [...(byKey.get(one.key) ?? []), one]);
  const flushes = known.filter(({ kind }) => kind === "flush");
  const contents = new Map<string, Content>();
  for (const [key, all] of byKey) {
    const left = all.filter(
      (one) =>
        one.kind !== "clear" &&
        one.kind !== "flush" &&
        ![...all, ...flushes].some((other) => undoes(other, one)),
    );
    const content = contentOf(left.sort((a, b) => (isLater(a, b) ? 1 : -1)));
    if (content) contents.set(key, content);
  }
  return contents;
}

/** @param left in the order of stamps */
function contentOf(left: readonly Stamped[]): Content | undefined {
  let plane: Plane | undefined;
  for (const one of left) {
    if (one.plane === "d" || one.kind === "cut") continue;
    if (elementOf(left, one.plane, one.name) !== undefined) plane = one.plane;
  }
  if (plane === undefined) return undefined;
  const names = new Set(left.flatMap((one) => (one.plane === plane ? [one.name] : [])));
  const elements = [...names].sort().flatMap((name): (readonly [string, ElementValue])[] => {
    const value = elementOf(left, plane, name);
    return value === undefined ? [] : [[name, value]];
  });
  let deadline: number | null = null;
  for (const one of left) if (one.plane === "d") deadline = (one.value ?? null) as number | null;
  return [plane, elements, deadline];
}

function elementOf(left: readonly Stamped[], plane: Plane, name: string): ElementValue | undefined {
  const own = left.filter((one) => one.plane === plane && one.name === name);
  let value: ElementValue | undefined;
  for (const one of own) {
    if (one.kind === "put") value = one.value ?? null;
    else if (one.kind === "cut" && plane === "s") value = undefined;
  }
  for (const { kind, value: by } of own) {
    if (kind !== "add") continue;
    if (plane === "z") value = Number(value ?? 0) + Number(by);
    else if (/^-?\d+$/.test(String(value ?? 0)))
      value = String(BigInt.asIntN(64, BigInt(String(value ?? 0)) + BigInt(String(by))));
  }
  return value;
}

/** What a state has of such keys. */
export function contentsIn(
  [, ...images]: ReplicaState,
  isKey: (key: string) => boolean,
): ReadonlyMap<string, Content> {
  const contents = new Map<string, Content>();
  const reader = new SliceReader(0, (db, key, value, deadline) => {
    if (db === 0 && isKey(key)) contents.set(key, [...elementsIn(value), deadline]);
  });
  for (const image of images) if ("db" in image) reader.read(image);
  reader.end();
  return contents;
}

function elementsIn(value: Value): readonly [Plane, readonly (readonly [string, ElementValue])[]] {
  const sorted = <T extends ElementValue>(all: Iterable<readonly [string, T]>) =>
    [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  if (typeof value === "string") return ["s", [["", value]]];
  switch (value.type) {
    case "string":
      return ["s", [["", value.slice(0)]]];
    case "hash":
      return ["h", sorted(value.fields.entries())];
    case "set":
      return ["m", sorted(value.list().map((name) => [name, true as const] as const))];
    case "zset":
      return ["z", sorted(value.scores.entries())];
    case "list":
      throw new Error("lists do not converge");
  }
}

/**
 * A state as one text, the same for all who have been told the same, however it lies in memory. How many effects they have heard since they
 * said something, which keys they are to clear, and what their servers have asked, is their own.
 */
export function commonText(state: ReplicaState): string {
  const [{ sides = [], ...head }, ...slices] = state;
  const sorted = <T>(all: readonly T[]): readonly string[] =>
    all.map((one) => JSON.stringify(one)).sort();
  return JSON.stringify([
    { ...head, origins: [] },
    CONVERGING.map((level) => {
      const head = sideOf(state, level)?.head;
      const { heard: _, left: __, early = [], ...rest } = head ?? { heard: 0, left: [] };
      const kept = slices.flatMap((one) => ("kept" in one && one.level === level ? one.kept : []));
      return {
        ...rest,
        early: sorted(early),
        kept: sorted(kept.map(([key, isMixed, elements]) => [key, isMixed, sorted(elements)])),
      };
    }),
    sides.length,
    sorted([...contentsIn(state, () => true)]),
  ]);
}
