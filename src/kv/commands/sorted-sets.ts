/** Commands of sorted sets. */

import { floatIn, indexIn, rangeIn, timeoutIn } from "../arguments.ts";
import {
  asType,
  type Call,
  type Command,
  numbered,
  Refusal,
  SYNTAX,
  WRONG_TYPE,
} from "../command.ts";
import { formatFloat64, parseAnyFloat64 } from "../numbers.ts";
import type { Reply } from "../reply.ts";
import type { SetValue } from "../values/set-value.ts";
import { type Before, type Entry, inOrder, SortedSet } from "../values/sorted-set.ts";
import { chanceCount, chosenByChance } from "./chance.ts";
import { scanTable } from "./keys.ts";

const look = (call: Call, key: string): SortedSet | undefined =>
  asType<SortedSet>(call.db.get(key), "zset");
const toChange = (call: Call, key: string): SortedSet | undefined =>
  asType<SortedSet>(call.db.change(key), "zset");

function made(call: Call, key: string): SortedSet {
  const there = toChange(call, key);
  if (there) return there;
  const set = new SortedSet(call.keyspace.version);
  call.db.put(key, set);
  return set;
}

function dropEmpty(call: Call, key: string, set: SortedSet): void {
  if (set.size > 0) return;
  call.db.delete(key);
  call.changed("g", "del", key);
}

// Adding.

interface AddOptions {
  nx: boolean;
  xx: boolean;
  gt: boolean;
  lt: boolean;
  ch: boolean;
  incr: boolean;
}

function addOptions(args: readonly string[]): readonly [AddOptions, number] {
  const options = { nx: false, xx: false, gt: false, lt: false, ch: false, incr: false };
  let at = 2;
  for (; at < args.length; at += 1) {
    const word = (args[at] as string).toLowerCase();
    if (!Object.hasOwn(options, word)) break;
    options[word as keyof AddOptions] = true;
  }
  return [options, at];
}

function add(call: Call, args: readonly string[]): void {
  const [options, from] = addOptions(args);
  const pairs = args.length - from;
  if (pairs === 0 || pairs % 2 !== 0) throw new Refusal(SYNTAX);
  const { nx, xx, gt, lt, ch, incr } = options;
  if (nx && xx) throw new Refusal("ERR XX and NX options at the same time are not compatible");
  if ((gt && nx) || (lt && nx) || (gt && lt))
    throw new Refusal("ERR GT, LT, and/or NX options at the same time are not compatible");
  if (incr && pairs > 2)
    throw new Refusal("ERR INCR option supports a single increment-element pair");
  const scores: number[] = [];
  for (let i = from; i < args.length; i += 2) scores.push(floatIn(args[i]));
  addAll(call, args, from, scores, options, ch);
}

function addAll(
  call: Call,
  args: readonly string[],
  from: number,
  scores: readonly number[],
  { nx, xx, gt, lt, incr }: AddOptions,
  ch: boolean,
): void {
  const key = args[1] as string;
  const there = look(call, key);
  if (!there && xx) {
    if (incr) call.reply.null();
    else call.reply.integer(0);
    return;
  }
  let [added, updated] = [0, 0];
  let result: number | undefined;
  const wanted: Entry[] = [];
  // A member may be named twice.
  const given = new Map<string, number>();
  for (const [i, number] of scores.entries()) {
    const member = args[from + 2 * i + 1] as string;
    const old = given.get(member) ?? there?.score(member);
    const score = incr && old !== undefined ? old + number : number;
    if (Number.isNaN(score)) throw new Refusal("ERR resulting score is not a number (NaN)");
    if (old === undefined ? xx : nx || (gt && score <= old) || (lt && score >= old)) continue;
    if (old === undefined) added += 1;
    else if (old !== score) updated += 1;
    result = score;
    given.set(member, score);
    if (old !== score) wanted.push([member, score]);
  }
  if (wanted.length > 0) {
    const set = made(call, key);
    for (const [member, score] of wanted) set.set(member, score);
    call.changed("z", incr ? "zincr" : "zadd", key);
  }
  if (!incr) call.reply.integer(ch ? added + updated : added);
  else if (result === undefined) call.reply.null();
  else call.reply.double(result);
}

function incrementBy(call: Call, args: readonly string[]): void {
  const by = floatIn(args[2]);
  const options = { nx: false, xx: false, gt: false, lt: false, ch: false, incr: true };
  addAll(call, args, 2, [by], options, false);
}

function remove(call: Call, args: readonly string[]): void {
  const key = args[1] as string;
  const set = toChange(call, key);
  let removed = 0;
  if (set) for (const member of args.slice(2)) if (set.delete(member)) removed += 1;
  if (set && removed > 0) {
    call.changed("z", "zrem", key);
    dropEmpty(call, key, set);
  }
  call.reply.integer(removed);
}

// Ranges.

/** From one rank up to before another, given the size. */
type Range = (set: SortedSet) => readonly [start: number, end: number];

function byRank(first: string | undefined, last: string | undefined): Range {
  const [start, stop] = [indexIn(first), indexIn(last)];
  return ({ size }) => {
    const from = start < 0 ? Math.max(0, size + start) : start;
    const to = Math.min(size, (stop < 0 ? size + stop : stop) + 1);
    return [from, Math.max(from, to)];
  };
}

interface ScoreBound {
  readonly score: number;
  readonly isOpen: boolean;
}

function scoreBound(text = ""): ScoreBound {
  const isOpen = text.startsWith("(");
  // It is read by C: up to a zero byte, and nothing is 0.
  const [bound = ""] = (isOpen ? text.slice(1) : text).split("\0", 1);
  const score = bound === "" ? 0 : parseAnyFloat64(bound.replace(/^[ \t-\r]+/, ""));
  if (score === undefined) throw new Refusal("ERR min or max is not a float");
  return { score, isOpen };
}

function byScore(least: string | undefined, most: string | undefined): Range {
  const [min, max] = [scoreBound(least), scoreBound(most)];
  const beforeMin: Before = (score) => (min.isOpen ? score <= min.score : score < min.score);
  const beforeMax: Before = (score) => (max.isOpen ? score < max.score : score <= max.score);
  return (set) => {
    const from = set.countBefore(beforeMin);
    return [from, Math.max(from, set.countBefore(beforeMax))];
  };
}

type LexBound = { readonly text: string; readonly isOpen: boolean } | "-" | "+";

function lexBound(text: string | undefined): LexBound {
  if (text === "-" || text === "+") return text;
  if (text === undefined || !/^[[(]/.test(text))
    throw new Refusal("ERR min or max not valid string range item");
  return { text: text.slice(1), isOpen: text.startsWith("(") };
}

function byLex(least: string | undefined, most: string | undefined): Range {
  const [min, max] = [lexBound(least), lexBound(most)];
  const beforeMin: Before = (_, member) =>
    typeof min === "string" ? min === "+" : min.isOpen ? member <= min.text : member < min.text;
  const beforeMax: Before = (_, member) =>
    typeof max === "string" ? max === "+" : max.isOpen ? member < max.text : member <= max.text;
  return (set) => {
    const from = set.countBefore(beforeMin);
    return [from, Math.max(from, set.countBefore(beforeMax))];
  };
}

interface RangeRequest {
  readonly range: Range;
  readonly isReverse: boolean;
  readonly limit: readonly [offset: number, count: number] | undefined;
  readonly withScores: boolean;
}

function entriesOf(
  set: SortedSet | undefined,
  { range, isReverse, limit }: Omit<RangeRequest, "withScores">,
): Entry[] {
  if (!set) return [];
  let [from, to] = range(set);
  if (limit) {
    const [offset, count] = limit;
    if (offset < 0) return [];
    const many = count < 0 ? Number.POSITIVE_INFINITY : count;
    if (isReverse) [from, to] = [Math.max(from, to - offset - many), to - offset];
    else [from, to] = [from + offset, Math.min(to, from + offset + many)];
  }
  const found = from < to ? set.range(from, to) : [];
  return isReverse ? found.reverse() : found;
}

function replyEntries(reply: Reply, entries: readonly Entry[], withScores: boolean): void {
  if (!withScores) {
    reply.bulks(entries.map(([member]) => member));
    return;
  }
  reply.array(reply.resp3 ? entries.length : 2 * entries.length);
  for (const [member, score] of entries) {
    if (reply.resp3) reply.array(2);
    reply.bulk(member);
    reply.double(score);
  }
}

type Order = "rank" | "score" | "lex";

const RANGES = { rank: byRank, score: byScore, lex: byLex } as const;

/** @param at where the bounds are */
function rangeRequest(
  args: readonly string[],
  at: number,
  fixed: { readonly order?: Order; readonly isReverse?: boolean; readonly stores?: boolean },
): RangeRequest {
  let order = fixed.order;
  let isReverse = fixed.isReverse ?? false;
  let withScores = false;
  let limit: [number, number] | undefined;
  const isOpen = fixed.order === undefined;
  for (let i = at + 2; i < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    if (word === "WITHSCORES" && !fixed.stores) withScores = true;
    else if (word === "LIMIT" && i + 2 < args.length) {
      limit = [indexIn(args[i + 1]), indexIn(args[i + 2])];
      i += 2;
    } else if (isOpen && !isReverse && word === "REV") isReverse = true;
    else if (order === undefined && word === "BYSCORE") order = "score";
    else if (order === undefined && word === "BYLEX") order = "lex";
    else throw new Refusal(SYNTAX);
  }
  order ??= "rank";
  if (order === "rank" && limit?.[1] === -1) limit = undefined;
  if (limit && order === "rank")
    throw new Refusal(
      "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
    );
  if (withScores && order === "lex")
    throw new Refusal("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
  const [first, last] = [args[at], args[at + 1]];
  if (order !== "rank")
    return {
      range: isReverse ? RANGES[order](last, first) : RANGES[order](first, last),
      ...{ isReverse, limit, withScores },
    };
  const plain = byRank(first, last);
  const range: Range = (set) => {
    const [from, to] = plain(set);
    return isReverse ? [set.size - to, set.size - from] : [from, to];
  };
  return { range, isReverse, limit, withScores };
}

function rangeOf(order: Order | undefined, isReverse: boolean) {
  const fixed = order === undefined ? {} : { order, isReverse };
  return (call: Call, args: readonly string[]): void => {
    const request = rangeRequest(args, 2, fixed);
    const set = look(call, args[1] as string);
    replyEntries(call.reply, entriesOf(set, request), request.withScores);
  };
}

function store(call: Call, key: string, entries: readonly Entry[], event: string): void {
  if (entries.length > 0) {
    call.db.replace(key, SortedSet.of(entries, call.keyspace.version));
    call.changed("z", event, key);
  } else if (call.db.delete(key)) call.changed("g", "del", key);
  call.reply.integer(entries.length);
}

function rangeStore(call: Call, args: readonly string[]): void {
  const request = rangeRequest(args, 3, { stores: true });
  const entries = entriesOf(look(call, args[2] as string), request);
  store(call, args[1] as string, entries, "zrangestore");
}

function count(range: (first?: string, last?: string) => Range) {
  return (call: Call, args: readonly string[]): void => {
    const wanted = range(args[2], args[3]);
    const set = look(call, args[1] as string);
    const [from, to] = set ? wanted(set) : [0, 0];
    call.reply.integer(to - from);
  };
}

function removeRange(range: (first?: string, last?: string) => Range, event: string) {
  return (call: Call, args: readonly string[]): void => {
    const wanted = range(args[2], args[3]);
    const key = args[1] as string;
    const set = toChange(call, key);
    const [from, to] = set ? wanted(set) : [0, 0];
    const entries = set?.range(from, to) ?? [];
    for (const [member] of entries) set?.delete(member);
    if (set && entries.length > 0) {
      call.changed("z", event, key);
      dropEmpty(call, key, set);
    }
    call.reply.integer(entries.length);
  };
}

function rank(isReverse: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const set = look(call, args[1] as string);
    const member = args[2] as string;
    if (set?.score(member) === undefined) call.reply.null();
    else call.reply.integer(isReverse ? set.size - 1 - set.rank(member) : set.rank(member));
  };
}

function score(call: Call, args: readonly string[]): void {
  const found = look(call, args[1] as string)?.score(args[2] as string);
  if (found === undefined) call.reply.null();
  else call.reply.double(found);
}

function scores(call: Call, args: readonly string[]): void {
  const set = look(call, args[1] as string);
  call.reply.array(args.length - 2);
  for (const member of args.slice(2)) {
    const found = set?.score(member);
    if (found === undefined) call.reply.null();
    else call.reply.double(found);
  }
}

// Taking from the ends.

function take(call: Call, key: string, set: SortedSet, count: number, fromMin: boolean): Entry[] {
  const { size } = set;
  const entries = fromMin
    ? set.range(0, Math.min(count, size))
    : set.range(Math.max(0, size - count), size).reverse();
  for (const [member] of entries) set.delete(member);
  call.changed("z", fromMin ? "zpopmin" : "zpopmax", key);
  dropEmpty(call, key, set);
  return entries;
}

function pop(fromMin: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const [, key = "", given] = args;
    if (args.length > 3) throw new Refusal(SYNTAX);
    const wanted =
      given === undefined
        ? 1
        : rangeIn(given, 0, 2 ** 63, "ERR value is out of range, must be positive");
    const set = toChange(call, key);
    const entries = set && wanted > 0 ? take(call, key, set, wanted, fromMin) : [];
    if (given !== undefined) replyEntries(call.reply, entries, true);
    else {
      call.reply.array(2 * entries.length);
      for (const [member, value] of entries) {
        call.reply.bulk(member);
        call.reply.double(value);
      }
    }
  };
}

interface PopRequest {
  readonly keys: readonly string[];
  readonly fromMin: boolean;
  readonly count: number;
}

function multiPopRequest(args: readonly string[], at: number): PopRequest {
  const many = rangeIn(args[at], 1, 2 ** 63, "ERR numkeys should be greater than 0");
  const end = at + 1 + many;
  if (end >= args.length) throw new Refusal(SYNTAX);
  const word = args[end]?.toUpperCase();
  if (word !== "MIN" && word !== "MAX") throw new Refusal(SYNTAX);
  let wanted: number | undefined;
  for (let i = end + 1; i < args.length; i += 2) {
    if (
      (args[i] as string).toUpperCase() !== "COUNT" ||
      wanted !== undefined ||
      i + 1 >= args.length
    )
      throw new Refusal(SYNTAX);
    wanted = rangeIn(args[i + 1], 1, 2 ** 63, "ERR count should be greater than 0");
  }
  return { keys: args.slice(at + 1, end), fromMin: word === "MIN", count: wanted ?? 1 };
}

function multiPops(call: Call, { keys, fromMin, count: wanted }: PopRequest): boolean {
  for (const key of keys) {
    const set = toChange(call, key);
    if (!set) continue;
    const entries = take(call, key, set, wanted, fromMin);
    call.reply.array(2);
    call.reply.bulk(key);
    call.reply.array(entries.length);
    for (const [member, value] of entries) {
      call.reply.array(2);
      call.reply.bulk(member);
      call.reply.double(value);
    }
    return true;
  }
  return false;
}

/** `BZPOPMIN` and `BZPOPMAX`. */
function pops(call: Call, keys: readonly string[], fromMin: boolean): boolean {
  for (const key of keys) {
    const set = toChange(call, key);
    if (!set) continue;
    const [[member, value] = ["", 0]] = take(call, key, set, 1, fromMin);
    call.reply.array(3);
    call.reply.bulk(key);
    call.reply.bulk(member);
    call.reply.double(value);
    return true;
  }
  return false;
}

/** Something else may be there by now. */
function isSortedSet(call: Call, key: string): boolean {
  const value = call.db.get(key);
  return value !== undefined && typeof value !== "string" && value.type === "zset";
}

const noArray = (reply: Reply): void => reply.nullArray();

function orBlock(call: Call, isDone: boolean, keys: readonly string[], timeoutMs: number): void {
  if (isDone) return;
  if (call.canBlock) call.block(keys, timeoutMs);
  else call.reply.nullArray();
}

function blockingPop(fromMin: boolean): Pick<Command, "run" | "serve" | "timedOut"> {
  return {
    run(call, args) {
      const timeoutMs = timeoutIn(args.at(-1));
      const keys = args.slice(1, -1);
      orBlock(call, pops(call, keys, fromMin), keys, timeoutMs);
    },
    serve: (call, _args, key) => isSortedSet(call, key) && pops(call, [key], fromMin),
    timedOut: noArray,
  };
}

// Several sets.

/** What is combined. */
interface Source {
  readonly size: number;
  readonly weight: number;
  score(member: string): number | undefined;
  entries(): Iterable<Entry>;
}

const NO_ENTRIES: readonly Entry[] = [];

/** A set counts as one in which all scores are 1. */
function sourceOf(call: Call, key: string): Source {
  const weight = 1;
  const value = call.db.get(key);
  if (value === undefined)
    return { size: 0, weight, score: () => undefined, entries: () => NO_ENTRIES };
  if (typeof value === "string" || (value.type !== "zset" && value.type !== "set"))
    throw new Refusal(WRONG_TYPE);
  if (value.type === "zset") {
    const { size, scores } = value as SortedSet;
    return { size, weight, score: (m) => scores.get(m), entries: () => scores.entries() };
  }
  const { size, members } = value as SetValue;
  return {
    ...{ size, weight, score: (m) => (members.has(m) ? 1 : undefined) },
    *entries() {
      for (const member of members.keys()) yield [member, 1];
    },
  };
}

type Way = "union" | "inter" | "diff";
type Aggregated = (a: number, b: number) => number;

// As they are in Redis, where one may be NaN, or both zeros of two signs.
const AGGREGATES: Readonly<Record<string, Aggregated>> = {
  SUM: (a, b) => notNaN(a + b),
  MIN: (a, b) => (b < a ? b : a),
  MAX: (a, b) => (b > a ? b : a),
};
const SUM = AGGREGATES["SUM"] as Aggregated;

const notNaN = (value: number): number => (Number.isNaN(value) ? 0 : value);

function* differing([first, ...others]: readonly Source[]): Iterable<Entry> {
  for (const entry of first?.entries() ?? [])
    if (!others.some((one) => one.score(entry[0]) !== undefined)) yield entry;
}

/** Smaller ones come first: sums depend on that. */
const bySize = (sources: readonly Source[]): readonly Source[] =>
  [...sources].sort((a, b) => a.size - b.size);

function united(sources: readonly Source[], aggregate: Aggregated): Iterable<Entry> {
  const result = new Map<string, number>();
  for (const { weight, entries } of bySize(sources))
    for (const [member, value] of entries()) {
      const weighted = notNaN(value * weight);
      const old = result.get(member);
      result.set(member, old === undefined ? weighted : aggregate(old, weighted));
    }
  return result;
}

function* common(sources: readonly Source[], aggregate: Aggregated): Iterable<Entry> {
  const [first, ...others] = bySize(sources) as [Source, ...Source[]];
  for (const [member, value] of first.entries()) {
    let result = notNaN(value * first.weight);
    const isInAll = others.every(({ weight, score }) => {
      const other = score(member);
      if (other === undefined) return false;
      result = aggregate(result, other * weight);
      return true;
    });
    if (isInAll) yield [member, result];
  }
}

function combined(way: Way, sources: readonly Source[], aggregate: Aggregated): Entry[] {
  const all =
    way === "diff"
      ? differing(sources)
      : way === "union"
        ? united(sources, aggregate)
        : common(sources, aggregate);
  return [...all].sort(inOrder);
}

function combine(way: Way, stores: boolean) {
  return (call: Call, args: readonly string[]): void => {
    const at = stores ? 2 : 1;
    const name = (args[0] as string).toLowerCase();
    const many = indexIn(args[at]);
    if (many < 1) throw new Refusal(`ERR at least 1 input key is needed for '${name}' command`);
    const end = at + 1 + many;
    if (end > args.length) throw new Refusal(SYNTAX);
    const sources = args.slice(at + 1, end).map((key) => sourceOf(call, key));
    let weights: number[] = [];
    let aggregate = SUM;
    let withScores = false;
    for (let i = end; i < args.length; i += 1) {
      const word = (args[i] as string).toUpperCase();
      if (way !== "diff" && word === "WEIGHTS" && i + many < args.length) {
        weights = args
          .slice(i + 1, i + 1 + many)
          .map((weight) => floatIn(weight, "ERR weight value is not a float"));
        i += many;
      } else if (way !== "diff" && word === "AGGREGATE" && i + 1 < args.length) {
        i += 1;
        const how = (args[i] as string).toUpperCase();
        if (!Object.hasOwn(AGGREGATES, how)) throw new Refusal(SYNTAX);
        aggregate = AGGREGATES[how] as Aggregated;
      } else if (!stores && word === "WITHSCORES") withScores = true;
      else throw new Refusal(SYNTAX);
    }
    const weighted = sources.map((one, i) => ({ ...one, weight: weights[i] ?? 1 }));
    const entries = combined(way, weighted, aggregate);
    if (stores) store(call, args[1] as string, entries, name);
    else replyEntries(call.reply, entries, withScores);
  };
}

function intersectionCard(call: Call, args: readonly string[]): void {
  const many = indexIn(args[1]);
  if (many < 1) throw new Refusal("ERR at least 1 input key is needed for 'zintercard' command");
  const end = 2 + many;
  if (end > args.length) throw new Refusal(SYNTAX);
  let limit = 0;
  const sources = args.slice(2, end).map((key) => sourceOf(call, key));
  for (let i = end; i < args.length; i += 2) {
    if ((args[i] as string).toUpperCase() !== "LIMIT" || i + 1 >= args.length)
      throw new Refusal(SYNTAX);
    limit = rangeIn(args[i + 1], 0, 2 ** 64, "ERR LIMIT can't be negative");
  }
  let found = 0;
  for (const _ of common(sources, SUM)) {
    found += 1;
    if (found === limit) break;
  }
  call.reply.integer(found);
}

function random(call: Call, args: readonly string[]): void {
  const [, key = "", given, option] = args;
  const withScores = option?.toUpperCase() === "WITHSCORES";
  if (given === undefined) {
    const table = look(call, key)?.scores;
    call.reply.bulkOrNull(table?.random((limit) => call.random.below(limit)));
    return;
  }
  const isRight = args.length <= 4 && (option === undefined || withScores);
  const wanted = chanceCount(given, withScores && isRight);
  if (!isRight) throw new Refusal(SYNTAX);
  const table = look(call, key)?.scores;
  const members = table ? chosenByChance(table, wanted, call.random) : [];
  const entries = members.map((member): Entry => [member, table?.get(member) as number]);
  replyEntries(call.reply, entries, withScores);
}

/** Redis keeps whole numbers of small sets as such, and `ZSCAN` shows them so. */
function scannedScore(score: number, isSmall: boolean): string {
  const isWhole = isSmall && Number.isInteger(score) && Math.abs(score) <= 2 ** 62;
  return isWhole ? String(BigInt(score)) : formatFloat64(score);
}

function scan(call: Call, args: readonly string[]): void {
  let isSmall = false;
  const scoresOf = (key: string): SortedSet["scores"] | undefined => {
    const set = look(call, key);
    isSmall = set?.encoding === "listpack";
    return set?.scores;
  };
  const add = (found: string[], member: string, score: number): void => {
    found.push(member, scannedScore(score, isSmall));
  };
  scanTable(call, args, scoresOf, add, inOrder);
}

const KEY = [1, 1, 1] as const;
const READ = ["readonly"] as const;
const FAST_READ = ["readonly", "fast"] as const;
const WRITE = ["write"] as const;
const GROWING = ["write", "denyoom"] as const;
const FAST_WRITE = ["write", "fast"] as const;
const FAST_GROWING = ["write", "denyoom", "fast"] as const;
const BLOCKING = ["write", "noscript", "blocking", "fast"] as const;

const of = (
  name: string,
  arity: number,
  flags: Command["flags"],
  since: string,
  summary: string,
  rest: Pick<Command, "run"> & Partial<Command>,
): Command => ({ name, arity, flags, keys: KEY, group: "sorted-set", since, summary, ...rest });

export const sortedSetCommands: readonly Command[] = [
  of(
    "zadd",
    -4,
    FAST_GROWING,
    "1.2.0",
    "Add one or more members to a sorted set, or update its score if it already exists",
    { run: add },
  ),
  of("zincrby", 4, FAST_GROWING, "1.2.0", "Increment the score of a member in a sorted set", {
    run: incrementBy,
  }),
  of("zrem", -3, FAST_WRITE, "1.2.0", "Remove one or more members from a sorted set", {
    run: remove,
  }),
  of("zcard", 2, FAST_READ, "1.2.0", "Get the number of members in a sorted set", {
    run: (call, args) => call.reply.integer(look(call, args[1] as string)?.size ?? 0),
  }),
  of(
    "zscore",
    3,
    FAST_READ,
    "1.2.0",
    "Get the score associated with the given member in a sorted set",
    { run: score },
  ),
  of(
    "zmscore",
    -3,
    FAST_READ,
    "6.2.0",
    "Get the score associated with the given members in a sorted set",
    { run: scores },
  ),
  of("zrank", 3, FAST_READ, "2.0.0", "Determine the index of a member in a sorted set", {
    run: rank(false),
  }),
  of(
    "zrevrank",
    3,
    FAST_READ,
    "2.0.0",
    "Determine the index of a member in a sorted set, with scores ordered from high to low",
    { run: rank(true) },
  ),
  of(
    "zcount",
    4,
    FAST_READ,
    "2.0.0",
    "Count the members in a sorted set with scores within the given values",
    { run: count(byScore) },
  ),
  of(
    "zlexcount",
    4,
    FAST_READ,
    "2.8.9",
    "Count the number of members in a sorted set between a given lexicographical range",
    { run: count(byLex) },
  ),
  of("zrange", -4, READ, "1.2.0", "Return a range of members in a sorted set", {
    run: rangeOf(undefined, false),
  }),
  of(
    "zrevrange",
    -4,
    READ,
    "1.2.0",
    "Return a range of members in a sorted set, by index, with scores ordered from high to low",
    { run: rangeOf("rank", true) },
  ),
  of("zrangebyscore", -4, READ, "1.0.5", "Return a range of members in a sorted set, by score", {
    run: rangeOf("score", false),
  }),
  of(
    "zrevrangebyscore",
    -4,
    READ,
    "2.2.0",
    "Return a range of members in a sorted set, by score, with scores ordered from high to low",
    { run: rangeOf("score", true) },
  ),
  of(
    "zrangebylex",
    -4,
    READ,
    "2.8.9",
    "Return a range of members in a sorted set, by lexicographical range",
    { run: rangeOf("lex", false) },
  ),
  of(
    "zrevrangebylex",
    -4,
    READ,
    "2.8.9",
    "Return a range of members in a sorted set, by lexicographical range, ordered from higher to lower strings.",
    { run: rangeOf("lex", true) },
  ),
  of(
    "zrangestore",
    -5,
    GROWING,
    "6.2.0",
    "Store a range of members from sorted set into another key",
    { run: rangeStore, keys: [1, 2, 1] },
  ),
  of(
    "zremrangebyrank",
    4,
    WRITE,
    "2.0.0",
    "Remove all members in a sorted set within the given indexes",
    { run: removeRange(byRank, "zremrangebyrank") },
  ),
  of(
    "zremrangebyscore",
    4,
    WRITE,
    "1.2.0",
    "Remove all members in a sorted set within the given scores",
    { run: removeRange(byScore, "zremrangebyscore") },
  ),
  of(
    "zremrangebylex",
    4,
    WRITE,
    "2.8.9",
    "Remove all members in a sorted set between the given lexicographical range",
    { run: removeRange(byLex, "zremrangebylex") },
  ),
  of(
    "zpopmin",
    -2,
    FAST_WRITE,
    "5.0.0",
    "Remove and return members with the lowest scores in a sorted set",
    { run: pop(true) },
  ),
  of(
    "zpopmax",
    -2,
    FAST_WRITE,
    "5.0.0",
    "Remove and return members with the highest scores in a sorted set",
    { run: pop(false) },
  ),
  of("zmpop", -4, WRITE, "7.0.0", "Remove and return members with scores in a sorted set", {
    keys: numbered(1),
    run(call, args) {
      if (!multiPops(call, multiPopRequest(args, 1))) call.reply.nullArray();
    },
  }),
  of(
    "bzpopmin",
    -3,
    BLOCKING,
    "5.0.0",
    "Remove and return the member with the lowest score from one or more sorted sets, or block until one is available",
    {
      keys: [1, -2, 1],
      ...blockingPop(true),
    },
  ),
  of(
    "bzpopmax",
    -3,
    BLOCKING,
    "5.0.0",
    "Remove and return the member with the highest score from one or more sorted sets, or block until one is available",
    {
      keys: [1, -2, 1],
      ...blockingPop(false),
    },
  ),
  of(
    "bzmpop",
    -5,
    ["write", "blocking"],
    "7.0.0",
    "Remove and return members with scores in a sorted set or block until one is available",
    {
      keys: numbered(2),
      run(call, args) {
        const request = multiPopRequest(args, 2);
        const timeoutMs = timeoutIn(args[1]);
        orBlock(call, multiPops(call, request), request.keys, timeoutMs);
      },
      serve: (call, args, key) =>
        isSortedSet(call, key) && multiPops(call, { ...multiPopRequest(args, 2), keys: [key] }),
      timedOut: noArray,
    },
  ),
  of("zunion", -3, READ, "6.2.0", "Add multiple sorted sets", {
    run: combine("union", false),
    keys: numbered(1),
  }),
  of("zinter", -3, READ, "6.2.0", "Intersect multiple sorted sets", {
    run: combine("inter", false),
    keys: numbered(1),
  }),
  of("zdiff", -3, READ, "6.2.0", "Subtract multiple sorted sets", {
    run: combine("diff", false),
    keys: numbered(1),
  }),
  of(
    "zunionstore",
    -4,
    GROWING,
    "2.0.0",
    "Add multiple sorted sets and store the resulting sorted set in a new key",
    { run: combine("union", true), keys: numbered(2, 1) },
  ),
  of(
    "zinterstore",
    -4,
    GROWING,
    "2.0.0",
    "Intersect multiple sorted sets and store the resulting sorted set in a new key",
    { run: combine("inter", true), keys: numbered(2, 1) },
  ),
  of(
    "zdiffstore",
    -4,
    GROWING,
    "6.2.0",
    "Subtract multiple sorted sets and store the resulting sorted set in a new key",
    { run: combine("diff", true), keys: numbered(2, 1) },
  ),
  of(
    "zintercard",
    -3,
    READ,
    "7.0.0",
    "Intersect multiple sorted sets and return the cardinality of the result",
    { run: intersectionCard, keys: numbered(1) },
  ),
  of("zrandmember", -2, READ, "6.2.0", "Get one or multiple random elements from a sorted set", {
    run: random,
  }),
  of(
    "zscan",
    -3,
    READ,
    "2.8.0",
    "Incrementally iterate sorted sets elements and associated scores",
    { run: scan },
  ),
];
