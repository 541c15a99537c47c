/**
 * What commands do to keys that converge (convergence.ts). A command is done as everywhere, to know what it answers and what it makes of
 * the elements that it names, and taken back; what it does to each of them is what all replicas are told.
 */

import type { KnownCommand } from "./command.ts";
import {
  type Effect,
  type ElementValue,
  elementOf,
  type Plane,
  writeElement,
} from "./convergence.ts";
import type { Database } from "./keyspace.ts";
import { parseFloat64, parseInteger } from "./numbers.ts";
import type { Value } from "./value.ts";

/** How a command is told. */
export interface Meaning {
  /**
   * `put`, `cut` and `add`: of the elements that it names. `deadline`: of the deadline, or, if that is over, of the key. What is `put` is
   * what the command has made of it.
   */
  readonly does: "put" | "cut" | "add" | "deadline";
  readonly plane: Plane;
  /** The elements that it names; absent: the key is one, or is meant whole. */
  readonly names?: (args: readonly string[]) => readonly string[];
  /** What it adds. */
  readonly by?: (args: readonly string[]) => string | undefined;
  /** A word among those of the command that has no meaning here. */
  readonly refuses?: (args: readonly string[]) => string | undefined;
}

const everySecond = (args: readonly string[], from: number): readonly string[] =>
  args.filter((_, i) => i >= from && (i - from) % 2 === 0);

/** The first word of these from there on. */
const wordOf =
  (from: number, ...words: readonly string[]) =>
  (args: readonly string[]): string | undefined =>
    args.map((word) => word.toUpperCase()).find((word, i) => i >= from && words.includes(word));

const ADD_OPTIONS: readonly string[] = ["NX", "XX", "GT", "LT", "CH", "INCR"];

/** Where scores begin. */
function scoresFrom(args: readonly string[]): number {
  let at = 2;
  while (ADD_OPTIONS.includes(args[at]?.toUpperCase() ?? "")) at += 1;
  return at;
}

const isSum = (args: readonly string[]): boolean =>
  args.slice(2, scoresFrom(args)).some((word) => word.toUpperCase() === "INCR");

const negative = (text: string | undefined): string | undefined => {
  const number = parseInteger(text ?? "");
  return number === undefined ? undefined : String(-BigInt(number));
};

const endless = (text: string | undefined): string | undefined =>
  Number.isFinite(parseFloat64(text ?? "") ?? 0) ? undefined : `an increment of ${text}`;

const WRITE: Meaning = { does: "put", plane: "s" };
const REMOVE: Meaning = { does: "cut", plane: "s" };
const EXPIRE: Meaning = {
  ...{ does: "deadline", plane: "d" },
  refuses: wordOf(3, "NX", "XX", "GT", "LT"),
};
const fields = (args: readonly string[]): readonly string[] => everySecond(args, 2);
const rest = (args: readonly string[]): readonly string[] => args.slice(2);
const second = (args: readonly string[]): readonly string[] => args.slice(2, 3);
const third = (args: readonly string[]): readonly string[] => args.slice(3, 4);

const scored = (args: readonly string[]): readonly string[] =>
  everySecond(args, scoresFrom(args) + 1);

const MEANINGS: Readonly<Record<string, Meaning>> = {
  set: { ...WRITE, refuses: wordOf(3, "NX", "XX") },
  setex: WRITE,
  psetex: WRITE,
  getset: WRITE,
  mset: WRITE,
  incr: { does: "add", plane: "s", by: () => "1" },
  decr: { does: "add", plane: "s", by: () => "-1" },
  incrby: { does: "add", plane: "s", by: (args) => args[2] },
  decrby: { does: "add", plane: "s", by: (args) => negative(args[2]) },
  del: REMOVE,
  unlink: REMOVE,
  getdel: REMOVE,
  expire: EXPIRE,
  pexpire: EXPIRE,
  expireat: EXPIRE,
  pexpireat: EXPIRE,
  persist: { does: "deadline", plane: "d" },
  getex: { does: "deadline", plane: "d" },
  hset: { does: "put", plane: "h", names: fields },
  hmset: { does: "put", plane: "h", names: fields },
  hdel: { does: "cut", plane: "h", names: rest },
  hincrby: { does: "add", plane: "h", names: second, by: (args) => args[3] },
  sadd: { does: "put", plane: "m", names: rest },
  srem: { does: "cut", plane: "m", names: rest },
  zadd: {
    ...{ does: "put", plane: "z" },
    names: scored,
    refuses(args) {
      const from = scoresFrom(args);
      const word = wordOf(2, "NX", "XX", "GT", "LT")(args.slice(0, from));
      return word ?? (isSum(args) ? endless(args[from]) : undefined);
    },
  },
  zincrby: {
    ...{ does: "add", plane: "z", names: third, by: (args) => args[2] },
    refuses: (args) => endless(args[2]),
  },
  zrem: { does: "cut", plane: "z", names: rest },
};

const ADD_SCORE: Meaning = {
  ...{ does: "add", plane: "z", names: scored },
  by: (args) => args[scoresFrom(args)],
};

/** Absent: the command has none. */
export function meaningOf({ name }: KnownCommand, args: readonly string[]): Meaning | undefined {
  return name === "zadd" && isSum(args) ? ADD_SCORE : MEANINGS[name];
}

/** A key as it was before a command, as far as that may change it. */
export class Before {
  readonly key: string;
  readonly #meaning: Meaning;
  readonly #value: Value | undefined;
  readonly #deadline: number | undefined;
  readonly #elements = new Map<string, ElementValue | undefined>();

  constructor(db: Database, key: string, meaning: Meaning, args: readonly string[]) {
    this.key = key;
    this.#meaning = meaning;
    this.#value = db.get(key);
    this.#deadline = this.#value === undefined ? undefined : db.deadline(key);
    for (const name of meaning.names?.(args) ?? [""])
      this.#elements.set(name, elementOf(this.#value, meaning.plane, name));
  }

  get isThere(): boolean {
    return this.#value !== undefined;
  }

  /** What the command has done. */
  effects(db: Database, { name: command }: KnownCommand, args: readonly string[]): Effect[] {
    const { key } = this;
    const { does, plane, by } = this.#meaning;
    const now = db.get(key);
    const deadline = now === undefined ? undefined : db.deadline(key);
    if (does === "deadline") {
      if (!this.isThere) return [];
      if (now === undefined) return [{ key, plane: "s", name: "", kind: "cut" }];
      const isWritten = command.includes("expire") || deadline !== this.#deadline;
      return isWritten ? [{ key, plane, name: "", kind: "put", value: deadline ?? null }] : [];
    }
    return [...this.#elements].flatMap(([name, was]): Effect[] => {
      if (does === "cut") {
        const isThere = plane === "s" ? this.isThere : was !== undefined;
        return isThere ? [{ key, plane, name, kind: "cut" }] : [];
      }
      if (does === "add") {
        const text = by?.(args) ?? "0";
        const value = plane === "z" ? (parseFloat64(text) ?? 0) : text;
        return [{ key, plane, name, kind: "add", value }];
      }
      const value = elementOf(now, plane, name) ?? null;
      if (plane === "z") return [{ key, plane, name, kind: "put", value: (value as number) + 0 }];
      if (plane !== "s") return [{ key, plane, name, kind: "put", value }];
      return [{ key, plane, name, kind: "put", value, deadline: deadline ?? null }];
    });
  }

  /** Makes it so again. */
  takeBack(db: Database): void {
    const { key } = this;
    const value = this.#value;
    if (value === undefined) {
      db.delete(key);
      return;
    }
    if (db.get(key) !== value) db.replace(key, value);
    if (db.deadline(key) !== this.#deadline) db.setDeadline(key, this.#deadline);
    if (typeof value === "string" || value.type === "string" || value.type === "list") return;
    for (const [name, was] of this.#elements)
      if (elementOf(db.get(key), this.#meaning.plane, name) !== was)
        writeElement(db.change(key) as typeof value, name, was);
  }
}
