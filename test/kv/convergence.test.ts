/** Keys that converge: whatever order messages come in, all have the same, and what the simple meaning of each type says. */

import { expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { commandTable } from "../../src/kv/commands.ts";
import { Namespaces } from "../../src/kv/namespaces.ts";
import { KIND, RecordWriter } from "../../src/kv/record.ts";
import { Replica, type ReplicaReply, type ReplicaState } from "../../src/kv/replica.ts";
import type { GroupTurn } from "../../src/process/grouped.ts";
import { seeds } from "../support/soak.ts";
import {
  bytesOf,
  contents,
  type Level,
  Replicas,
  type Spoil,
  slicesLater,
} from "./support/replicas.ts";

/** An operation as the meaning has it: no state, only who had seen what. */
interface Operation {
  readonly origin: number;
  readonly time: number;
  /** By replica: up to which time the origin had been told. */
  readonly seen: readonly number[];
  readonly kind: "put" | "add" | "cut" | "clear";
  readonly key: string;
  /** `d` is the deadline; the whole key, of a string. */
  readonly element: string;
  readonly value?: string | number | null;
}

/** The meaning of all types, from all operations that somebody has been told. */
class Meaning {
  readonly all = new Map<string, Operation[]>();

  add(operations: readonly Operation[]): void {
    for (const one of operations) this.all.set(one.key, [...(this.all.get(one.key) ?? []), one]);
  }

  static hasSeen(one: Operation, other: Operation): boolean {
    return (
      other.time <= (one.origin === other.origin ? one.time - 1 : (one.seen[other.origin] ?? 0))
    );
  }

  static covers(one: Operation, other: Operation): boolean {
    if (one.kind === "add" || one.key !== other.key || !Meaning.hasSeen(one, other)) return false;
    const isString = one.key.includes(":s");
    const isWhole = one.kind === "clear" || (isString && one.element === "");
    const isDel = one.kind === "cut" && one.element === "";
    return isWhole || isDel || one.element === other.element;
  }

  /** Of what one has been told: up to a time of each. */
  left(key: string, told: readonly number[]): readonly Operation[] {
    const known = (this.all.get(key) ?? []).filter((one) => one.time <= (told[one.origin] ?? 0));
    return known
      .filter((one) => !known.some((other) => Meaning.covers(other, one)))
      .sort((a, b) => a.time - b.time || a.origin - b.origin);
  }

  element(left: readonly Operation[], key: string, name: string): string | number | undefined {
    const own = left.filter(({ element, kind }) => element === name && kind !== "clear");
    let value: string | number | undefined;
    for (const one of own) {
      if (one.kind === "put") value = one.value ?? "";
      // Only of a string the last writer wins who deletes.
      else if (one.kind === "cut" && key.includes(":s")) value = undefined;
    }
    for (const one of own) {
      if (one.kind !== "add") continue;
      if (key.includes(":z")) value = Number(value ?? 0) + Number(one.value);
      else if (/^-?\d+$/.test(String(value ?? 0)))
        value = String(Number(value ?? 0) + Number(one.value));
    }
    return value;
  }

  names(left: readonly Operation[], key: string): readonly string[] {
    const names = new Set(left.map(({ element }) => element));
    names.delete("d");
    return [...names].filter((name) => this.element(left, key, name) !== undefined).sort();
  }

  deadline(left: readonly Operation[]): number | null {
    const last = left.findLast(({ element, kind }) => element === "d" && kind === "put");
    return Number(last?.value) || null;
  }

  /** As `contents` has it; undefined if the key is not there. */
  content(key: string, told: readonly number[]): unknown {
    const left = this.left(key, told);
    const names = this.names(left, key);
    if (names.length === 0) return undefined;
    const deadline = this.deadline(left);
    const of = (name: string): string | number | undefined => this.element(left, key, name);
    if (key.includes(":s")) return ["string", of(""), deadline];
    if (key.includes(":h"))
      return ["hash", Object.fromEntries(names.map((name) => [name, of(name)])), deadline];
    if (key.includes(":m")) return ["set", names, deadline];
    return ["zset", names.map((name) => `${name},${of(name)}`), deadline];
  }
}

interface Message {
  readonly time: number;
  readonly effects: readonly { readonly at: number; readonly key: string; readonly kind: string }[];
}

/** What is told in one piece, behind its length. */
const messageOf = (piece: Uint8Array): Message =>
  JSON.parse(Buffer.from(piece.subarray(4)).toString());

/** A history at some replicas, and its meaning. */
class History {
  readonly replicas: Replicas;
  readonly meaning = new Meaning();
  readonly random: Random;
  readonly level: Level;
  /** By replica, and then by sender: the last time that it has been told; and, by sender, of each message. */
  readonly told: number[][];
  readonly times: number[][];
  /** Keys may change their type; then only that all have the same is known. */
  readonly isMixed: boolean;
  /** Of some histories there is one key alone, of that type: so much befalls it at once. */
  readonly only: string | undefined;
  problem: string | undefined;

  constructor(many: number, level: Level, seed: string, isMixed: boolean = false, spoil?: Spoil) {
    this.level = level;
    this.replicas = new Replicas(many, level, spoil);
    this.random = new Random(seed);
    this.told = this.replicas.ids.map(() => this.replicas.ids.map(() => 0));
    this.times = this.replicas.ids.map(() => []);
    this.isMixed = isMixed;
    const isAlone = !isMixed && this.random.below(2) === 0;
    this.only = isAlone ? this.random.pick(["s", "h", "m", "z"]) : undefined;
  }

  key(type: string): string {
    return `${this.level}:${this.isMixed ? "" : type}${this.random.below(this.only ? 1 : 2)}`;
  }

  command(): readonly string[] {
    const { random } = this;
    const name = `e${random.below(3)}`;
    const [number, any] = [String(random.below(20) - 5), String(random.below(100))];
    const score = String((random.below(2000) - 1000) / 7);
    const deadline = String(5_000_000 + random.below(1000));
    const type = this.only ?? random.pick(["s", "h", "m", "z"]) ?? "s";
    if (this.isMixed && random.below(3) === 0) {
      const soon = String(this.replicas.nowMs + random.below(100));
      const others = [
        ["SET", this.key("s"), any, "KEEPTTL"],
        ["SETEX", this.key("s"), "1", any],
        ["GETSET", this.key("s"), any],
        ["GETDEL", this.key("s")],
        ["GETEX", this.key("s"), "PXAT", soon],
        ["GETEX", this.key("s"), "PERSIST"],
        ["MSET", this.key("s"), any, this.key("s"), number],
        ["DECRBY", this.key("s"), number],
        ["DECR", this.key("s")],
        ["DEL", this.key("s"), this.key("s")],
        ["PEXPIREAT", this.key("s"), soon],
        ["PEXPIRE", this.key("s"), number],
        ["HMSET", this.key("h"), name, any, "e0", number],
        ["ZADD", this.key("z"), "CH", "inf", name, score, "e1"],
        ["ZADD", this.key("z"), "INCR", score, name],
        ["SADD", this.key("m"), name, "e1", name],
        ["GET", this.key("s")],
      ];
      return random.pick(others) ?? [];
    }
    const commands = [
      ["SET", this.key("s"), random.below(8) === 0 ? "text" : any],
      ["SET", this.key("s"), any, "PXAT", deadline],
      ["INCRBY", this.key("s"), number],
      ["INCR", this.key("s")],
      ["HSET", this.key("h"), name, any],
      ["HINCRBY", this.key("h"), name, number],
      ["HDEL", this.key("h"), name],
      ["SADD", this.key("m"), name],
      ["SREM", this.key("m"), name],
      ["ZADD", this.key("z"), score, name],
      ["ZINCRBY", this.key("z"), score, name],
      ["ZREM", this.key("z"), name],
      ["DEL", this.key(type)],
      ["PEXPIREAT", this.key(type), deadline],
      ["PERSIST", this.key(type)],
    ];
    const { only } = this;
    if (!only) return random.pick(commands) ?? [];
    const key = this.key(only);
    const some = commands.filter(([, own]) => own === key);
    // Most of what can go wrong has to do with deadlines.
    return random.pick([...some, ["DEL", key], ["PEXPIREAT", key, deadline]]) ?? [];
  }

  /** What a command does, by the meaning alone. */
  operations(of: number, words: readonly string[], time: number): Operation[] {
    const [command = "", key = "", first = "", second = ""] = words;
    const told = [...(this.told[of] as number[])];
    // Its own commands before this one, of the same message.
    told[of] = time - 1;
    const left = this.meaning.left(key, told);
    const names = this.meaning.names(left, key);
    const isThere = names.length > 0;
    const op = (given: Omit<Operation, "origin" | "time" | "seen" | "key">): Operation => ({
      ...{ origin: of, time, seen: told, key },
      ...given,
    });
    const clear = isThere ? [] : [op({ kind: "clear", element: "" })];
    const isNumber = (name: string): boolean =>
      /^-?\d+$/.test(String(this.meaning.element(left, key, name) ?? "0"));
    switch (command) {
      case "SET":
        return [
          op({ kind: "put", element: "", value: first }),
          op({ kind: "put", element: "d", value: Number(words[4] ?? 0) || null }),
        ];
      case "INCR":
      case "INCRBY":
        return isNumber("")
          ? [...clear, op({ kind: "add", element: "", value: first || "1" })]
          : [];
      case "HSET":
        return [...clear, op({ kind: "put", element: first, value: second })];
      case "HINCRBY":
        return [...clear, op({ kind: "add", element: first, value: second })];
      case "SADD":
        return [...clear, op({ kind: "put", element: first, value: "" })];
      case "ZADD":
        return [...clear, op({ kind: "put", element: second, value: Number(first) })];
      case "ZINCRBY":
        return [...clear, op({ kind: "add", element: second, value: Number(first) })];
      case "HDEL":
      case "SREM":
      case "ZREM":
        return names.includes(first) ? [op({ kind: "cut", element: first })] : [];
      case "DEL":
        return isThere
          ? [op({ kind: "cut", element: "" }), op({ kind: "put", element: "d", value: null })]
          : [];
      case "PEXPIREAT":
        return isThere ? [op({ kind: "put", element: "d", value: Number(first) })] : [];
      default:
        return isThere && this.meaning.deadline(left) !== null
          ? [op({ kind: "put", element: "d", value: null })]
          : [];
    }
  }

  /** What a replica does beside its commands, behind them in the message: it takes away what keys that are gone there have left. */
  cleared(of: number, time: number, message: Message): Operation[] {
    const told = [...(this.told[of] as number[])];
    told[of] = time;
    return message.effects.flatMap(({ at, key, kind }): Operation[] => {
      if (message.time + at <= time) return [];
      const isLeft = this.meaning.deadline(this.meaning.left(key, told)) !== null;
      if (kind !== "clear" || !isLeft || this.meaning.content(key, told) !== undefined)
        this.problem ??= `p${of + 1} has done a ${kind} of ${key} that nobody asked for`;
      return [{ origin: of, time: time + 1, seen: told, key, kind: "clear", element: "" }];
    });
  }

  /** All keys go. */
  flushed(of: number, time: number): Operation[] {
    const seen = this.told[of] as number[];
    return [...this.meaning.all.keys()].map((key) => ({
      ...{ origin: of, time, seen: [...seen], key, kind: "clear", element: "" },
    }));
  }

  act(of: number): void {
    const isFlush = !this.isMixed && this.random.below(20) === 0;
    const requests = Array.from({ length: isFlush ? 0 : 1 + this.random.below(3) }, () =>
      this.command(),
    );
    const sent = this.replicas.sent[of] as readonly { readonly message: Uint8Array }[];
    const before = sent.length;
    let time = Math.max(...(this.told[of] as number[]));
    if (isFlush) {
      time += 1;
      this.meaning.add(this.flushed(of, time));
    } else if (!this.isMixed)
      for (const words of requests) {
        const operations = this.operations(of, words, time + 1);
        if (operations.length > 0) time += 1;
        this.meaning.add(operations);
      }
    if (isFlush) this.replicas.flush(of);
    else this.replicas.ask(of, ...requests);
    const post = sent[before];
    if (post === undefined) return;
    if (!this.isMixed) {
      const cleared = this.cleared(of, time, messageOf(post.message));
      if (cleared.length > 0) time += 1;
      this.meaning.add(cleared);
    }
    this.times[of]?.push(time);
    (this.told[of] as number[])[of] = time;
    if (this.random.below(4) === 0) this.check(of);
  }

  hear(to: number): void {
    const from = this.random.pick(this.replicas.ready(to));
    if (from === undefined) return;
    const number = this.replicas.given[to]?.[from] ?? 0;
    this.replicas.deliver(to, from);
    (this.told[to] as number[])[from] = this.times[from]?.[number] ?? 0;
    if (this.random.below(4) === 0) this.check(to);
  }

  /** What a replica shows is what it has been told means. */
  check(of: number): void {
    if (this.isMixed || this.problem !== undefined) return;
    const told = this.told[of] as number[];
    const keys = [...this.meaning.all.keys()].sort();
    const wanted = Object.fromEntries(
      keys.flatMap((key) => {
        const content = this.meaning.content(key, told);
        return content === undefined ? [] : [[key, content]];
      }),
    );
    const [has, wants] = [contents(this.replicas.all[of] as never, ""), wanted].map((one) =>
      JSON.stringify(one),
    );
    if (has !== wants) this.problem = `p${of + 1} has ${has}, not ${wants}`;
  }

  /** Time goes by; and with it keys, where that is seen. */
  elapse(of: number): void {
    const { replicas, random } = this;
    replicas.nowMs += random.below(5);
    if (random.below(20) === 0) replicas.sweep(of, [this.key("s"), this.key("s")]);
    if (random.below(50) === 0) replicas.flush(of);
  }

  /** All say how far they are, until nobody has any news. Gives how much is kept then: what they have said last, if all else is forgotten. */
  settle(): number {
    const { replicas, level } = this;
    for (let i = 0; i < 4; i += 1) {
      for (const of of replicas.ids.keys()) replicas.ask(of, ["SADD", `${level}:said`, "yes"]);
      replicas.deliverAll(([from = 0]) => from);
    }
    return Math.max(...replicas.all.map(({ unsettled }) => unsettled));
  }

  run(steps: number): this {
    const { replicas, random } = this;
    for (let i = 0; i < steps; i += 1) {
      const one = random.below(replicas.ids.length);
      if (random.below(3) === 0) this.act(one);
      else this.hear(one);
      if (this.isMixed) this.elapse(one);
      if (random.below(40) === 0) replicas.revive(one);
    }
    for (let isDone = false; !isDone; ) {
      isDone = true;
      for (const to of replicas.ids.keys())
        if (replicas.ready(to).length > 0) {
          isDone = false;
          this.hear(to);
        }
    }
    for (const of of replicas.ids.keys()) this.check(of);
    return this;
  }
}

const LEVELS: readonly Level[] = ["causal", "fifo"];

test.each(LEVELS)("in %s order, all come to the same, which is what the types mean", (level) => {
  for (const seed of seeds("kv-converge", 40, 5_000)) {
    const history = new History(2 + (seed % 4), level, `${level} ${seed}`).run(120);
    expect(history.problem, `seed ${seed}`).toBeUndefined();
    const [one, ...others] = history.replicas.all.map(bytesOf);
    for (const other of others) expect(other, `seed ${seed}`).toBe(one);
    expect(history.settle(), `seed ${seed}`).toBeLessThanOrEqual(history.replicas.ids.length);
  }
});

test.each(LEVELS)("in %s order, keys whose type changes come to the same", (level) => {
  for (const seed of seeds("kv-converge-types", 40, 5_000)) {
    const history = new History(2 + (seed % 3), level, `${level} types ${seed}`, true).run(120);
    const [one, ...others] = history.replicas.all.map(bytesOf);
    for (const other of others) expect(other, `seed ${seed}`).toBe(one);
  }
});

/** A mistake at one of the replicas, with what it hears. */
const told = (change: (told: Record<string, unknown>) => Record<string, unknown>): Spoil => {
  return (message, to) => {
    if (to !== 1) return [message];
    const text = Buffer.from(message.subarray(4)).toString();
    const bytes = Buffer.from(JSON.stringify(change(JSON.parse(text))));
    const head = Buffer.alloc(4);
    head.writeUInt32LE(bytes.length);
    return [Buffer.concat([head, bytes])];
  };
};
let count = 0;
const MISTAKES: Readonly<Record<string, Spoil>> = {
  "a message is lost": (message) => {
    count += 1;
    return count % 20 === 0 ? [] : [message];
  },
  "a message comes twice": (message) => {
    count += 1;
    return count % 20 === 0 ? [message, message] : [message];
  },
  "nothing was seen": told((one) => ({ ...one, context: [0, 0, 0] })),
  "all was seen": told((one) => ({ ...one, context: [1e9, 1e9, 1e9] })),
  "times are of the receiver": told((one) => ({ ...one, time: Number(one["time"]) + 3 })),
  "a deletion is not told": told((one) => ({
    ...one,
    effects: (one["effects"] as { kind: string }[]).filter(({ kind }) => kind !== "cut"),
  })),
  "a deadline is not told": told((one) => ({
    ...one,
    effects: (one["effects"] as object[]).map((effect) => ({ ...effect, deadline: undefined })),
  })),
};

test.each(Object.keys(MISTAKES))("it is found if %s", (name) => {
  const isWrong = (seed: number): boolean => {
    const level: Level = seed % 2 === 0 ? "causal" : "fifo";
    const history = new History(3, level, `${name} ${seed}`, false, MISTAKES[name]).run(60);
    const all = history.replicas.all.map((one) => JSON.stringify(contents(one, level)));
    return new Set(all).size > 1 || history.problem !== undefined;
  };
  expect([1, 2, 3, 4, 5, 6].some(isWrong)).toBe(true);
});

test.each(LEVELS)("in %s order, what concurrent writes make", (level) => {
  const both = (
    before: readonly (readonly string[])[],
    one: readonly string[],
    other: readonly string[],
  ): unknown => {
    const replicas = new Replicas(2, level);
    const k = (words: readonly string[]): readonly string[] =>
      words.map((word) => (word === "k" ? `${level}:k` : word));
    for (const words of before) replicas.ask(0, k(words));
    replicas.deliverAll(([from = 0]) => from);
    replicas.ask(0, k(one));
    replicas.ask(1, k(other));
    replicas.deliverAll(([from = 0]) => from);
    const [a, b] = replicas.all.map((replica) => contents(replica, level)[`${level}:k`]);
    expect(b).toEqual(a);
    return a;
  };
  // Of two writers with the same time, the one whose replica is later.
  expect(both([], ["SET", "k", "a"], ["SET", "k", "b"])).toEqual(["string", "b", null]);
  expect(both([["SET", "k", "a"]], ["DEL", "k"], ["SET", "k", "b"])).toEqual(["string", "b", null]);
  expect(both([["SET", "k", "a"]], ["SET", "k", "b"], ["DEL", "k"])).toBeUndefined();
  expect(both([["SET", "k", "5"]], ["INCR", "k"], ["INCRBY", "k", "10"])).toEqual([
    "string",
    "16",
    null,
  ]);
  expect(both([["SET", "k", "5"]], ["INCR", "k"], ["SET", "k", "100"])).toEqual([
    "string",
    "101",
    null,
  ]);
  expect(both([["SET", "k", "5"]], ["INCR", "k"], ["DEL", "k"])).toEqual(["string", "1", null]);
  expect(both([["SADD", "k", "x"]], ["SREM", "k", "x"], ["SADD", "k", "x"])).toEqual([
    "set",
    ["x"],
    null,
  ]);
  expect(both([["SADD", "k", "x", "y"]], ["DEL", "k"], ["SADD", "k", "x"])).toEqual([
    "set",
    ["x"],
    null,
  ]);
  expect(
    both([["HSET", "k", "f", "1"]], ["HSET", "k", "f", "2"], ["HINCRBY", "k", "f", "1"]),
  ).toEqual(["hash", { f: "3" }, null]);
  expect(both([["ZADD", "k", "1", "m"]], ["ZREM", "k", "m"], ["ZINCRBY", "k", "2", "m"])).toEqual([
    "zset",
    ["m,2"],
    null,
  ]);
  expect(both([], ["SET", "k", "a"], ["SADD", "k", "x"])).toEqual(["set", ["x"], null]);
  expect(both([["SET", "k", "a"]], ["PEXPIREAT", "k", "9000000"], ["SET", "k", "b"])).toEqual([
    "string",
    "b",
    null,
  ]);
  expect(both([["SET", "k", "a"]], ["SET", "k", "b"], ["PEXPIREAT", "k", "9000000"])).toEqual([
    "string",
    "b",
    9_000_000,
  ]);
});

test.each(LEVELS)("in %s order, who keeps a deadline has it, whoever else knows of it", (level) => {
  const key = `${level}:k`;
  const kept = ["string", "b", 9_000_000];
  // Nobody has heard of the deadline; or all have, and have said so.
  for (const isStable of [false, true]) {
    const replicas = new Replicas(2, level);
    replicas.ask(0, ["SET", key, "a", "PXAT", "9000000"]);
    if (isStable) {
      replicas.deliverAll(([from = 0]) => from);
      replicas.ask(1, ["SET", `${level}:other`, "1"]);
      replicas.deliverAll(([from = 0]) => from);
    }
    replicas.ask(0, ["SET", key, "b", "KEEPTTL"]);
    expect(contents(replicas.all[0] as Replica, level)[key]).toEqual(kept);
    replicas.deliverAll(([from = 0]) => from);
    for (const replica of replicas.all) expect(contents(replica, level)[key]).toEqual(kept);
  }
});

test.each(LEVELS)(
  "in %s order, the deadline of a key that was deleted does not come back with a later write",
  (level) => {
    const key = `${level}:k`;
    const shown = ["hash", { b: "1", c: "1" }, null];
    // The deletion comes before the write that has seen it, or, if order allows that, behind it.
    for (const late of level === "fifo" ? [false, true] : [false]) {
      const replicas = new Replicas(3, level);
      replicas.ask(0, ["HSET", key, "a", "1"]);
      replicas.deliverAll(([from = 0]) => from);
      replicas.ask(0, ["HSET", key, "b", "1"], ["PEXPIREAT", key, "9000000"]);
      // Each raises the time of what comes after it: the deletion is later than the deadline, and has not seen it.
      for (let i = 0; i < 3; i += 1) replicas.ask(1, ["SADD", `${level}:other`, `${i}`]);
      replicas.ask(1, ["DEL", key]);
      while (replicas.ready(1).includes(0)) replicas.deliver(1, 0);
      replicas.ask(1, ["HSET", key, "c", "1"]);
      expect(contents(replicas.all[1] as Replica, level)[key]).toEqual(shown);
      if (!late) while (replicas.ready(2).includes(1)) replicas.deliver(2, 1);
      replicas.deliverAll(([from = 0]) => from);
      for (const replica of replicas.all) expect(contents(replica, level)[key]).toEqual(shown);
    }
  },
);

test.each(LEVELS)(
  "in %s order, a deadline of a key that is gone is not forgotten where others still write to the key",
  (level) => {
    const replicas = new Replicas(3, level);
    const [key, other] = [`${level}:k`, `${level}:other`];
    replicas.ask(0, ["HSET", key, "a", "1"]);
    replicas.deliverAll(([from = 0]) => from);
    // The second one takes the key away, the third one gives it a deadline.
    replicas.flush(1);
    replicas.ask(2, ["PEXPIREAT", key, "9000000"]);
    replicas.deliver(0, 2);
    replicas.deliver(1, 2);
    for (const one of [0, 1]) replicas.ask(one, ["SADD", other, "said"]);
    replicas.deliver(1, 0);
    // The second one knows by now that all have the deadline; the first one does not know that the key is gone.
    replicas.ask(0, ["HSET", key, "b", "1"]);
    replicas.deliverAll(([from = 0]) => from);
    for (const replica of replicas.all)
      expect(contents(replica, level)[key]).toEqual(["hash", { b: "1" }, 9_000_000]);
  },
);

test("in fifo order, a deadline of a key that is gone shows the same with what comes early, whoever knows that all know of it", () => {
  const [key, other] = ["fifo:k", "fifo:other"];
  const fresh = ["hash", { b: "1", c: "1" }, null];
  // Which of the two the second one hears first: what is early, or how far the first one is.
  const shown = [0, 2].map((first) => {
    const replicas = new Replicas(4, "fifo");
    replicas.ask(0, ["HSET", key, "a", "1"]);
    replicas.deliverAll(([from = 0]) => from);
    replicas.ask(2, ["HDEL", key, "a"]);
    replicas.ask(3, ["PEXPIREAT", key, "9000000"]);
    replicas.deliverAll(([from = 0]) => from);
    for (const one of replicas.ids.keys()) replicas.ask(one, ["SADD", other, "said"]);
    for (const from of [2, 3]) replicas.deliver(1, from);
    // The last one begins the key anew, and the third one, which has been told so, goes on with that.
    replicas.ask(3, ["HSET", key, "b", "1"]);
    while (replicas.ready(2).includes(3)) replicas.deliver(2, 3);
    replicas.ask(2, ["HSET", key, "c", "1"]);
    expect(contents(replicas.all[2] as Replica, key)[key]).toEqual(fresh);
    for (const from of [first, 2 - first]) replicas.deliver(1, from);
    const early = contents(replicas.all[1] as Replica, key)[key];
    replicas.deliverAll(([from = 0]) => from);
    for (const replica of replicas.all) expect(contents(replica, key)[key]).toEqual(fresh);
    return early;
  });
  expect(shown[1]).toEqual(shown[0]);
});

test("in fifo order, a deadline goes with one that took its place, though that was taken away before it came", () => {
  const key = "fifo:k";
  const replicas = new Replicas(4, "fifo");
  replicas.ask(0, ["HSET", key, "a", "1"]);
  replicas.deliverAll(([from = 0]) => from);
  replicas.ask(0, ["PEXPIREAT", key, "9000000"]);
  for (const to of [1, 2]) replicas.deliver(to, 0);
  replicas.ask(1, ["PEXPIREAT", key, "8000000"]);
  // The last one has seen the second deadline, and not the first; the third one has seen the first, and hears of its end last.
  replicas.deliver(3, 1);
  replicas.flush(3);
  replicas.ask(2, ["HSET", key, "b", "1"]);
  replicas.deliver(2, 3);
  const content = (): unknown => contents(replicas.all[2] as Replica, key)[key];
  expect(content()).toEqual(["hash", { b: "1" }, 9_000_000]);
  replicas.deliver(2, 1);
  expect(content()).toEqual(["hash", { b: "1" }, null]);
  replicas.deliverAll(([from = 0]) => from);
  for (const replica of replicas.all)
    expect(contents(replica, key)[key]).toEqual(["hash", { b: "1" }, null]);
});

test.each(LEVELS)("in %s order, what keys that are gone have left is forgotten", (level) => {
  const replicas = new Replicas(3, level);
  for (let i = 0; i < 400; i += 1) {
    const key = `${level}:${i}`;
    replicas.ask(0, ["HSET", key, "a", "1"], ["PEXPIREAT", key, "9000000"], ["HDEL", key, "a"]);
  }
  replicas.deliverAll(([from = 0]) => from);
  // Only the first one has ever been asked for something; what the others know of it is what they say.
  const last = `${level}:last`;
  for (let i = 0; i < 300; i += 1) {
    replicas.ask(0, ["SET", last, "1"]);
    replicas.deliverAll(([from = 0]) => from);
  }
  for (const replica of replicas.all) {
    expect(contents(replica, level)).toEqual({ [last]: ["string", "1", null] });
    // The last write, and its deadline.
    expect(replica.unsettled).toBeLessThanOrEqual(2);
  }
  // As each key begins, and by one replica when it has gone.
  const told = replicas.sent.flat().flatMap(({ message }) => messageOf(message).effects);
  expect(told.filter(({ kind }) => kind === "clear").length).toBe(2 * 400);
});

test.each(LEVELS)(
  "in %s order, what is hidden goes with the next write, whoever knows that all know of it",
  (level) => {
    const replicas = new Replicas(3, level);
    const [key, other] = [`${level}:k`, `${level}:other`];
    replicas.ask(1, ["SET", key, "a"]);
    replicas.ask(2, ["HSET", key, "m", "1"]);
    replicas.deliver(2, 1);
    replicas.deliver(1, 2);
    for (const one of [1, 2]) replicas.ask(one, ["SADD", other, "said"]);
    for (const from of [1, 1, 2, 2]) replicas.deliver(0, from);
    // The first one knows by now that all have both; the last one does not.
    replicas.ask(0, ["SADD", other, "said"]);
    replicas.ask(2, ["HDEL", key, "m"]);
    replicas.deliverAll(([from = 0]) => from);
    const [one, ...others] = replicas.all.map(bytesOf);
    for (const bytes of others) expect(bytes).toBe(one);
    expect(contents(replicas.all[0] as Replica, level)).toEqual({
      [other]: ["set", ["said"], null],
    });
  },
);

test("events are told at all replicas", () => {
  const replicas = new Replicas(2, "causal");
  replicas.ask(0, ["SET", "causal:k", "1"], ["INCR", "causal:k"], ["DEL", "causal:k"]);
  replicas.deliverAll(([from = 0]) => from);
  const heard = ["set", "incrby", "del"].flatMap((event) => [
    `__keyspace@0__:causal:k ${event}`,
    `__keyevent@0__:${event} causal:k`,
  ]);
  expect(replicas.newsOf(0)).toEqual(heard);
  expect(replicas.newsOf(1)).toEqual(heard);
});

test("additions that nobody else has heard of cost the same, however many there are", () => {
  const replicas = new Replicas(2, "causal");
  const timeOf = (many: number): number => {
    const startMs = performance.now();
    for (let i = 0; i < many; i += 100)
      replicas.ask(0, ...Array.from({ length: 100 }, () => ["INCR", "causal:n"]));
    return performance.now() - startMs;
  };
  timeOf(1_000);
  const firstMs = timeOf(2_000);
  timeOf(6_000);
  expect(timeOf(2_000)).toBeLessThan(5 * firstMs + 100);
  expect(replicas.ask(0, ["GET", "causal:n"])).toEqual(["$11000"]);
});

test("a state that is frozen stays as it was, whatever is done before it is stored", () => {
  for (let seed = 1; seed <= 6; seed += 1) {
    const history = new History(3, "causal", `frozen ${seed}`, seed % 2 === 0).run(40);
    const later = history.replicas.all.map(slicesLater);
    const now = history.replicas.all.map((replica) => JSON.stringify(slicesLater(replica)()));
    history.run(40);
    expect(later.map((slices) => JSON.stringify(slices()))).toEqual(now);
  }
});

test("where there is no namespace in an order, nothing is told in it, though all keys are to go", () => {
  const namespaces = new Namespaces({ causal: ["causal:*"] });
  const replica = new Replica({
    self: "p1",
    table: commandTable,
    namespaces,
    replicas: ["p1", "p2"],
  });
  const groups: string[] = [];
  const turn = {
    ...{ nowMs: 1_000_000, replays: false, reply: () => {} },
    multicast: (group: string) => groups.push(group) > 0,
  } as unknown as GroupTurn<Uint8Array, ReplicaReply>;
  for (const level of [1, 2]) {
    const writer = new RecordWriter(7, (message) => replica.request(1, message, turn), level);
    writer.add(KIND.flush, 0, 0, new Uint8Array(0), 0, 0);
    writer.flush();
  }
  expect(groups).toEqual(["kv-causal"]);
});

test("a state of a store with other namespaces is refused", () => {
  const { all } = new Replicas(1, "causal");
  const [one] = all as [Replica];
  const state = slicesLater(one)() as unknown as ReplicaState;
  const bare = new Replica({ self: "p1", table: commandTable });
  expect(() => bare.restore(state)).toThrow("must be what they were");
  const namespaces = new Namespaces({ causal: ["causal:*"], fifo: ["fif:*"] });
  const other = new Replica({ self: "p1", table: commandTable, namespaces });
  expect(() => other.restore(state)).toThrow("must be what they were");
});
