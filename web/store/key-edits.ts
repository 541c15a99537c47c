/**
 * What changes a key, as requests, and what undoes it.
 *
 * Assumptions. Others write the same keys meanwhile. A key in total order is changed in a transaction that does nothing if what was looked at
 * is not so any more: neither a change nor its undoing takes away what somebody else has written. Keys that converge are in no
 * transaction; there the last writer wins, as it does for everybody.
 */

import type { TypeName } from "../../src/kv/value.ts";
import { shown } from "./bytes.ts";
import type { Seen, Words } from "./store-client.ts";

/** See the head of the file. */
export interface KeyEdit {
  readonly requests: readonly Words[];
  readonly seen: readonly Seen[];
  /** What was done, for people. */
  readonly text: string;
  readonly undo?: KeyEdit;
}

/** A key that is looked at. */
export interface KeyHead {
  readonly key: string;
  readonly type: TypeName;
  /** When it expires, in milliseconds since 1970; undefined: never. */
  readonly deadlineMs: number | undefined;
  /** Bytes of a string, or elements. */
  readonly length: number;
}

const bulk = (text: string): Seen["reply"] => ({ type: "bulk", text });
const integer = (value: number): Seen["reply"] => ({ type: "integer", text: String(value) });
const nothing: Seen["reply"] = { type: "null" };

const named = (key: string): string => {
  const text = shown(key);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
};

/** What reads one element, as it is to be seen again. */
function reads(key: string, type: TypeName, element: string): Words {
  switch (type) {
    case "string":
      return ["GET", key];
    case "hash":
      return ["HGET", key, element];
    case "set":
      return ["SISMEMBER", key, element];
    case "zset":
      return ["ZSCORE", key, element];
    case "list":
      return ["LINDEX", key, element];
  }
}

function writes(key: string, type: TypeName, element: string, value: string): Words {
  switch (type) {
    case "string":
      return ["SET", key, value, "KEEPTTL"];
    case "hash":
      return ["HSET", key, element, value];
    case "set":
      return ["SADD", key, element];
    case "zset":
      return ["ZADD", key, value, element];
    case "list":
      return ["LSET", key, element, value];
  }
}

const REMOVES = { hash: "HDEL", set: "SREM", zset: "ZREM" } as const;

/** How a read of an element is answered that has that value; undefined: there is none. */
function answerOf(type: TypeName, value: string | undefined): Seen["reply"] {
  if (type === "set") return integer(value === undefined ? 0 : 1);
  if (value === undefined) return nothing;
  return type === "zset" ? { type: "double", text: value } : bulk(value);
}

/** A key that goes with its last element has its deadline again when that comes back. */
const deadlineAgain = ({ key, deadlineMs, length }: KeyHead): readonly Words[] =>
  length === 1 && deadlineMs !== undefined ? [["PEXPIREAT", key, String(deadlineMs)]] : [];

/**
 * The value of a string, of a field, of an index, or the score of a member.
 * @param element a field, a member or an index; of a string nothing
 * @param before undefined: it is new
 */
export function setElement(
  head: KeyHead,
  element: string,
  before: string | undefined,
  value: string,
): KeyEdit {
  const { key, type } = head;
  const read = reads(key, type, element);
  const write = writes(key, type, element, value);
  const isElement = type !== "string";
  const what = isElement ? `${named(element)} of ${named(key)}` : named(key);
  const back = before === undefined ? undefined : writes(key, type, element, before);
  const undo: KeyEdit = {
    requests: back ? [back] : [[type in REMOVES ? REMOVES[type as "hash"] : "DEL", key, element]],
    seen: [{ request: read, reply: answerOf(type, value) }],
    text: `${what} is as it was`,
  };
  return {
    requests: [write],
    seen: [{ request: read, reply: answerOf(type, before) }],
    text: before === undefined ? `${what} was added` : `${what} was changed`,
    undo,
  };
}

/** Of a hash, a set or a sorted set. @param value of a field; the score of a member */
export function removeElement(head: KeyHead, element: string, value: string): KeyEdit {
  const { key, type } = head;
  const read = reads(key, type, element);
  return {
    requests: [[REMOVES[type as keyof typeof REMOVES], key, element]],
    seen: [{ request: read, reply: answerOf(type, value) }],
    text: `${named(element)} of ${named(key)} was deleted`,
    undo: {
      requests: [writes(key, type, element, value), ...deadlineAgain(head)],
      seen: [{ request: read, reply: answerOf(type, undefined) }],
      text: `${named(element)} of ${named(key)} is back`,
    },
  };
}

/** At one end of a list. */
export function pushElement(head: KeyHead, end: "first" | "last", value: string): KeyEdit {
  const { key, length } = head;
  const isFirst = end === "first";
  return {
    requests: [[isFirst ? "LPUSH" : "RPUSH", key, value]],
    seen: [],
    text: `an element of ${named(key)} was added`,
    undo: {
      requests: [[isFirst ? "LPOP" : "RPOP", key]],
      seen: [
        { request: ["LLEN", key], reply: integer(length + 1) },
        { request: ["LINDEX", key, isFirst ? "0" : "-1"], reply: bulk(value) },
      ],
      text: `${named(key)} is as it was`,
    },
  };
}

/**
 * An element of a list: it becomes what no other one is, and that is deleted.
 * @param before the element in front of it, if it is not the first
 * @param mark what no element is
 */
export function removeAt(
  head: KeyHead,
  index: number,
  value: string,
  before: string | undefined,
  mark: string,
): KeyEdit {
  const { key, length } = head;
  const at = String(index);
  const isLast = index === length - 1;
  const again: readonly Words[] =
    before === undefined || isLast
      ? [[isLast ? "RPUSH" : "LPUSH", key, value], ...deadlineAgain(head)]
      : [
          ["LSET", key, String(index - 1), mark],
          ["LINSERT", key, "AFTER", mark, value],
          ["LSET", key, String(index - 1), before],
        ];
  const ahead =
    before === undefined
      ? []
      : [{ request: ["LINDEX", key, String(index - 1)], reply: bulk(before) }];
  return {
    requests: [
      ["LSET", key, at, mark],
      ["LREM", key, "1", mark],
    ],
    seen: [{ request: ["LINDEX", key, at], reply: bulk(value) }],
    text: `element ${at} of ${named(key)} was deleted`,
    undo: {
      requests: again,
      seen: [{ request: ["LLEN", key], reply: integer(length - 1) }, ...ahead],
      text: `element ${at} of ${named(key)} is back`,
    },
  };
}

/** @param deadlineMs undefined: never */
export function expire(head: KeyHead, deadlineMs: number | undefined): KeyEdit {
  const { key } = head;
  const words = (at: number | undefined): Words =>
    at === undefined ? ["PERSIST", key] : ["PEXPIREAT", key, String(at)];
  const seen = (at: number | undefined): readonly Seen[] => [
    { request: ["PEXPIRETIME", key], reply: integer(at ?? -1) },
  ];
  return {
    requests: [words(deadlineMs)],
    seen: seen(head.deadlineMs),
    text:
      deadlineMs === undefined
        ? `${named(key)} does not expire`
        : `${named(key)} expires at another time`,
    undo: {
      requests: [words(head.deadlineMs)],
      seen: seen(deadlineMs),
      text: `${named(key)} expires as before`,
    },
  };
}

export function rename(key: string, to: string): KeyEdit {
  const isFree = (one: string): Seen => ({ request: ["EXISTS", one], reply: integer(0) });
  return {
    requests: [["RENAME", key, to]],
    seen: [isFree(to)],
    text: `${named(key)} is named ${named(to)}`,
    undo: {
      requests: [["RENAME", to, key]],
      seen: [isFree(key)],
      text: `${named(key)} has its name again`,
    },
  };
}

/** All of a value, as `WHOLE` reads it. */
export interface WholeKey {
  readonly head: KeyHead;
  /** Of a hash fields and values in turn, of a sorted set members and scores. */
  readonly elements: readonly string[];
}

/** What reads all of a value. */
export const WHOLE: Readonly<Record<TypeName, (key: string) => Words>> = {
  string: (key) => ["GET", key],
  list: (key) => ["LRANGE", key, "0", "-1"],
  set: (key) => ["SMEMBERS", key],
  hash: (key) => ["HGETALL", key],
  zset: (key) => ["ZRANGE", key, "0", "-1", "WITHSCORES"],
};

/** What makes a key. */
function makes({ head, elements }: WholeKey): readonly Words[] {
  const { key, type, deadlineMs } = head;
  const deadline: readonly Words[] =
    deadlineMs === undefined ? [] : [["PEXPIREAT", key, String(deadlineMs)]];
  const pairs = (): readonly string[] =>
    elements.flatMap((member, i) => (i % 2 === 0 ? [elements[i + 1] ?? "", member] : []));
  const first: Readonly<Record<TypeName, () => Words>> = {
    string: () => ["SET", key, elements[0] ?? ""],
    list: () => ["RPUSH", key, ...elements],
    set: () => ["SADD", key, ...elements],
    hash: () => ["HSET", key, ...elements],
    zset: () => ["ZADD", key, ...pairs()],
  };
  return [first[type](), ...deadline];
}

const isAbsent = (key: string): Seen => ({ request: ["EXISTS", key], reply: integer(0) });

/** How `WHOLE` is answered, in RESP3, if there is one element. */
function wholeAnswer({ head: { type }, elements }: WholeKey): Seen["reply"] {
  const items = elements.map(bulk);
  switch (type) {
    case "string":
      return bulk(elements[0] ?? "");
    case "list":
      return { type: "array", items };
    case "set":
      return { type: "set", items };
    case "hash":
      return { type: "map", items };
    case "zset": {
      const [member = "", score = ""] = elements;
      const pair = [bulk(member), { type: "double", text: score }] as const;
      return { type: "array", items: [{ type: "array", items: pair }] };
    }
  }
}

/** A key that there is not yet, with one element. */
export function addKey(whole: WholeKey): KeyEdit {
  const { key, type } = whole.head;
  return {
    requests: makes(whole),
    seen: [isAbsent(key)],
    text: `${named(key)} was added`,
    undo: {
      requests: [["DEL", key]],
      seen: [{ request: WHOLE[type](key), reply: wholeAnswer(whole) }],
      text: `${named(key)} is gone`,
    },
  };
}

/** @param whole what it had, if that is to come back */
export function removeKey(
  key: string,
  whole: WholeKey | undefined,
  seen: readonly Seen[],
): KeyEdit {
  return {
    requests: [["DEL", key]],
    seen,
    text: `${named(key)} was deleted`,
    ...(whole && {
      undo: { requests: makes(whole), seen: [isAbsent(key)], text: `${named(key)} is back` },
    }),
  };
}
