/**
 * The value behind `ZADD`: members with scores. A table has the score of each member; beside it they lie in order, by score and then by
 * member, in blocks that are sorted arrays. A block is found by halving, its place by adding up the sizes before it, which are kept as far
 * as they are right; a change moves what is in one block, and while a snapshot is taken copies it.
 */

import { type Item, type ItemReader, PART } from "../items.ts";
import type { Aggregate } from "../value.ts";
import { Table } from "./table.ts";

/** Beyond it, a block is split. */
const BLOCK_ENTRIES = 512;
/** Redis' `zset-max-listpack-entries` and `-value`. */
const [SMALL_ENTRIES, SMALL_BYTES] = [128, 64];
const ENTRY_BYTES = 96;
/** Small ones of Redis have none; it is gone when this is added. */
const NO_NEGATIVE_ZERO = 0;
/** How it is stored: not every codec keeps it. */
const NEGATIVE_ZERO = "-0";

interface Block {
  readonly version: number;
  readonly members: string[];
  readonly scores: number[];
}

export type Entry = readonly [member: string, score: number];

/** A place between entries: everything before it is less. */
export type Before = (score: number, member: string) => boolean;

/** See the head of the file. There are no empty blocks. */
export class SortedSet implements Aggregate {
  readonly type = "zset";
  readonly scores: Table<number>;
  readonly #blocks: Block[];
  /** How many entries are before a block; so many of these are right. */
  readonly #before: number[] = [0];
  #counted = 1;
  /** Once large, always large: as in Redis. */
  #isLarge: boolean;

  constructor(
    version: number,
    scores: Table<number> = new Table(version),
    blocks: Block[] = [],
    isLarge: boolean = false,
  ) {
    this.scores = scores;
    this.#blocks = blocks;
    this.#isLarge = isLarge;
  }

  get version(): number {
    return this.scores.version;
  }

  get encoding(): string {
    return this.#isLarge ? "skiplist" : "listpack";
  }

  get size(): number {
    return this.scores.size;
  }

  get memoryBytes(): number {
    return this.size * ENTRY_BYTES;
  }

  score(member: string): number | undefined {
    return this.scores.get(member);
  }

  /** True if the member is new. */
  set(member: string, given: number): boolean {
    const old = this.scores.get(member);
    if (old === given) return false;
    this.#isLarge ||=
      old === undefined && (this.size >= SMALL_ENTRIES || member.length > SMALL_BYTES);
    const score = this.#isLarge ? given : given + NO_NEGATIVE_ZERO;
    if (old !== undefined) this.#take(old, member);
    this.scores.set(member, score);
    this.#put(score, member);
    return old === undefined;
  }

  /** True if it was there. */
  delete(member: string): boolean {
    const score = this.scores.get(member);
    if (score === undefined) return false;
    this.scores.delete(member);
    this.#take(score, member);
    return true;
  }

  /** How many are before a place. */
  countBefore(before: Before): number {
    const index = this.#blockOf(before);
    const count = this.#countTo(index);
    const block = this.#blocks[index];
    return block ? count + placeIn(block, before) : count;
  }

  /** How many are before a member that is there. */
  rank(member: string): number {
    const score = this.scores.get(member) as number;
    return this.countBefore((s, m) => isLess(s, m, score, member));
  }

  /** The entries from one rank up to before another. */
  range(start: number, end: number): Entry[] {
    const found: Entry[] = [];
    const blocks = this.#blocks;
    this.#countTo(blocks.length);
    let [first, beyond] = [0, blocks.length];
    while (first < beyond) {
      const middle = (first + beyond) >> 1;
      if ((this.#before[middle + 1] as number) <= start) first = middle + 1;
      else beyond = middle;
    }
    for (let index = first; index < blocks.length; index += 1) {
      const at = this.#before[index] as number;
      if (at >= end) break;
      const { members, scores } = blocks[index] as Block;
      const from = Math.max(0, start - at);
      const to = Math.min(members.length, end - at);
      for (let i = from; i < to; i += 1) found.push([members[i] as string, scores[i] as number]);
    }
    return found;
  }

  clone(version: number): SortedSet {
    return new SortedSet(version, this.scores.clone(version), [...this.#blocks], this.#isLarge);
  }

  get elements(): number {
    return this.size;
  }

  /** In order, so that nobody has to sort them again. */
  *items(): Generator<Item> {
    yield Number(this.#isLarge);
    yield this.scores.parts;
    let isFirst = true;
    for (const { members, scores } of this.#blocks) {
      if (!isFirst) yield PART;
      isFirst = false;
      for (let i = 0; i < members.length; i += 1) {
        const score = scores[i] as number;
        yield members[i] as string;
        yield Object.is(score, -0) ? NEGATIVE_ZERO : score;
      }
    }
  }

  static decode(items: ItemReader, version: number): SortedSet {
    const isLarge = items.next() === 1;
    const table = Table.empty<number>(items.next() as number, version);
    const blocks: Block[] = [];
    let block: Block | undefined;
    for (let item = items.next(); item !== undefined; item = items.next()) {
      if (item === PART) {
        block = undefined;
        continue;
      }
      if (!block) {
        block = { version, members: [], scores: [] };
        blocks.push(block);
      }
      const score = items.next();
      const number = score === NEGATIVE_ZERO ? -0 : (score as number);
      table.load(item as string, number);
      block.members.push(item as string);
      block.scores.push(number);
    }
    return new SortedSet(version, table, blocks, isLarge);
  }

  /** One that has these, each member once. */
  static of(entries: readonly Entry[], version: number): SortedSet {
    const isLarge =
      entries.length > SMALL_ENTRIES || entries.some(([member]) => member.length > SMALL_BYTES);
    const all = isLarge
      ? entries
      : entries.map(([member, score]): Entry => [member, score + NO_NEGATIVE_ZERO]);
    const table = new Table<number>(version);
    for (const [member, score] of all) table.set(member, score);
    return new SortedSet(version, table, blocksOf(all, version), isLarge);
  }

  #put(score: number, member: string): void {
    const before: Before = (s, m) => isLess(s, m, score, member);
    const blocks = this.#blocks;
    if (blocks.length === 0) blocks.push({ version: this.version, members: [], scores: [] });
    const index = Math.min(this.#blockOf(before), blocks.length - 1);
    const block = this.#own(index);
    this.#counted = Math.min(this.#counted, index + 1);
    const at = placeIn(block, before);
    block.members.splice(at, 0, member);
    block.scores.splice(at, 0, score);
    if (block.members.length <= BLOCK_ENTRIES) return;
    // What comes in ascending order fills its blocks.
    const isLast = index === blocks.length - 1 && at === BLOCK_ENTRIES;
    const half = isLast ? BLOCK_ENTRIES : BLOCK_ENTRIES / 2;
    const members = block.members.splice(half);
    const scores = block.scores.splice(half);
    blocks.splice(index + 1, 0, { version: this.version, members, scores });
  }

  #take(score: number, member: string): void {
    const before: Before = (s, m) => isLess(s, m, score, member);
    const index = this.#blockOf(before);
    const block = this.#own(index);
    this.#counted = Math.min(this.#counted, index + 1);
    const at = placeIn(block, before);
    block.members.splice(at, 1);
    block.scores.splice(at, 1);
    if (block.members.length === 0) this.#blocks.splice(index, 1);
  }

  /** The first block that has something which is not before the place. */
  #blockOf(before: Before): number {
    let [low, high] = [0, this.#blocks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { members, scores } = this.#blocks[middle] as Block;
      const last = members.length - 1;
      if (before(scores[last] as number, members[last] as string)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** How many are before a block, or behind the last one. */
  #countTo(index: number): number {
    for (; this.#counted <= index; this.#counted += 1) {
      const { members } = this.#blocks[this.#counted - 1] as Block;
      this.#before[this.#counted] = (this.#before[this.#counted - 1] as number) + members.length;
    }
    return this.#before[index] as number;
  }

  #own(index: number): Block {
    const block = this.#blocks[index] as Block;
    if (block.version === this.version) return block;
    const own = {
      version: this.version,
      members: [...block.members],
      scores: [...block.scores],
    };
    this.#blocks[index] = own;
    return own;
  }
}

function blocksOf(entries: readonly Entry[], version: number): Block[] {
  const isSorted = entries.every(
    (entry, i) => i === 0 || inOrder(entries[i - 1] as Entry, entry) < 0,
  );
  const sorted = isSorted ? entries : [...entries].sort(inOrder);
  const blocks: Block[] = [];
  for (let at = 0; at < sorted.length; at += BLOCK_ENTRIES) {
    const some = sorted.slice(at, at + BLOCK_ENTRIES);
    blocks.push({
      version,
      members: some.map(([member]) => member),
      scores: some.map(([, score]) => score),
    });
  }
  return blocks;
}

/** As `sort` needs it, of entries that differ. */
export function inOrder([a, x]: Entry, [b, y]: Entry): number {
  return isLess(x, a, y, b) ? -1 : 1;
}

function placeIn({ members, scores }: Block, before: Before): number {
  let [low, high] = [0, members.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(scores[middle] as number, members[middle] as string)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isLess(score: number, member: string, otherScore: number, otherMember: string): boolean {
  return score < otherScore || (score === otherScore && member < otherMember);
}
