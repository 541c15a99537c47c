/**
 * Every schedule of a small group: each order in which members multicast and packets arrive, channels being FIFO.
 *
 * A state is one local state for each member and what is under way each way, all as numbers. Every step leads one step further
 * from the beginning, so only the states that are equally far need to be told apart: they are looked at layer by layer.
 *
 * *Reduced*, not every state is looked at, and still all that can come of it in the end is found, which is all that is judged: logs only
 * grow. What a member does commutes with what others do, for a packet is put at the back of a channel and taken from its front. So it
 * is enough to go on with some of the steps that can be taken, if whatever can happen without them commutes with each of them: a
 * stubborn set (Valmari 1991, *Stubborn Sets for Reduced State Space Generation*; persistent in Godefroid 1996, *Partial-Order
 * Methods for the Verification of Concurrent Systems*, ch. 4). Every run comes to an end, so no step is put off for ever, which is what
 * the proviso for cycles in Clarke, Grumberg and Peled 1999, *Model Checking*, ch. 10, is for. The first that there is of these:
 * 1. If all is in a total order that is agreed, at a member that has multicast all of its messages and accepted those of others, *any one*
 *    packet. Only proposals and places come to it any more. Its clock is in no proposal; its own packets get their places in their
 *    sequence, for proposals of a member come in that sequence; and whatever comes first, it delivers in the order of the places,
 *    for no place is less than what it proposed.
 * 2. In such a group, at a member that has multicast all of its messages, an *agreed place* not beyond its clock, alone. It changes
 *    no clock, has nothing said, and stands before all that will be accepted.
 * 3. All that some members can do, if nothing can come to them from others that is not there: on each channel from another
 *    something is under way, or all has come that ever will. The fewest such steps.
 *
 * And states are taken for one that differ only in what nobody will ask for: packets kept for those who lack them, for nothing is
 * lost; and stamps of what an origin says after its last message.
 *
 * Rule 3 rests on how much members say: to each other one its messages, a place for each of them that is in an agreed order, and a proposal
 * for each such one of the other's; the sequencer, a place for each. Less does no harm. More is an error: a channel that is taken
 * for done is empty, so whoever would still say something there can do so, whatever the others do first, and it is found by the
 * same argument on a shorter rest of the run. Two places in one packet, which would spoil rule 1, are an error as well.
 */

import { ORDER_LEVELS, type OrderLevel } from "../../../src/core/order-level.ts";
import { readRecords } from "../../../src/core/record.ts";
import { decodeUtf8 } from "../../../src/core/utf8.ts";
import {
  Group,
  type GroupInput,
  type GroupOptions,
  type GroupState,
} from "../../../src/multicast/group.ts";
import { decodePacket, encodePositions } from "../../../src/multicast/packet.ts";
import type { AgreementState } from "../../../src/multicast/total-order.ts";
import { Queues } from "../../../src/sim/queues.ts";
import { StateTable } from "../../../src/sim/state-table.ts";
import { draftOf } from "./drafts.ts";

/** What one member saw, in its order: `+m` it multicast, `m` it delivered. */
export type Log = readonly string[];

export interface AllSchedules {
  readonly states: number;
  readonly transitions: number;
  /** All that can come of it in the end: the log of each member. */
  readonly ends: ReadonlySet<string>;
  /** The same, with the clocks of an agreed order: they tell much of the way there. */
  readonly clocks: ReadonlySet<string>;
}

export interface ScheduleOptions {
  /** See the head of the file. @default false */
  readonly reduced?: boolean;
  /** Hears how far it is, after each layer. */
  readonly progress?: (states: number) => void;
}

/** A member, as far as it has come. */
interface Local extends Came {
  readonly state: GroupState;
}

interface Came {
  readonly log: Log;
  /** Messages that it is still to multicast. */
  readonly toSend: number;
  /** Messages and places that are still to come from each member. */
  readonly toCome: readonly number[];
}

/** What is asked of a local state again and again. */
interface Brief extends Came {
  /** Of an agreed order. */
  readonly clock: number | undefined;
  /** Rules 1 and 2: packets are taken alone whose places are not beyond that; -1 if none are. */
  readonly alone: number;
}

/** The local states of a member, by number. */
interface Locals {
  /** Of which parts each consists. */
  readonly table: StateTable;
  readonly briefs: Brief[];
  /** By local state and what happens in it: where that leads, and what is said then. */
  readonly steps: StateTable;
  readonly leadTo: number[];
  readonly saying: number[];
}

interface Send {
  readonly to: number;
  readonly packet: number;
}

interface Step {
  readonly to: number;
  readonly sends: readonly Send[];
}

interface Packet {
  readonly bytes: Uint8Array;
  /** Messages, or places. */
  readonly count: number;
  /** That is agreed in it; of anything else, Infinity. */
  readonly place: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const BOUNDS = {
  windowBytes: 2 ** 40,
  tellAfterMs: NEVER,
  askAfterMs: 2 ** 40,
  life: 1,
  group: 0,
};
const isOrdered = (level: OrderLevel): boolean => ORDER_LEVELS[level].includes("total order");
/** Of a local state: what its row has beside a part for each origin. */
const PARTS = 5;

/** Plain values, each kept once. */
class Values<T> {
  readonly all: T[] = [];
  readonly #numbers = new Map<string, number>();

  of(value: T): number {
    const key = textOf(value);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.all.length);
    return this.all.push(value) - 1;
  }
}

/** Tells values of one kind apart: objects by what they have, without its names. */
function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Uint8Array) return String.fromCharCode(...value);
  let text = "";
  if (Array.isArray(value)) for (const one of value) text += `${textOf(one)},`;
  else if (value instanceof Map)
    for (const [key, one] of value) text += `${String(key)}:${textOf(one)},`;
  else for (const key in value) text += `${textOf((value as Record<string, unknown>)[key])},`;
  return Array.isArray(value) ? `[${text}]` : `{${text}}`;
}

/** A copy, but for bytes, which do not change. */
function again<T>(value: T): T {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(again) as T;
  if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, again(one)])) as T;
  const copy: Record<string, unknown> = {};
  for (const key in value) copy[key] = again(value[key]);
  return copy as T;
}

function bitsIn(mask: number): number {
  let bits = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) bits += 1;
  return bits;
}

/** The levels of what each member multicasts, in turn; one list a member, of up to five. */
export function allSchedules(
  levels: readonly (readonly OrderLevel[])[],
  total: "sequencer" | "agreed",
  options: ScheduleOptions = {},
): AllSchedules {
  return new Schedules(levels, total, options).all();
}

/** The global states, one at hand. */
class Schedules {
  readonly #members: Members;
  readonly #count: number;
  readonly #reduced: boolean;
  readonly #progress: ScheduleOptions["progress"];
  readonly #queues = new Queues();
  /** The state at hand: local states, and then the queues, by receiver and sender. */
  readonly #now: Int32Array;

  constructor(
    levels: readonly (readonly OrderLevel[])[],
    total: "sequencer" | "agreed",
    { reduced = false, progress }: ScheduleOptions,
  ) {
    this.#members = new Members(levels, total, reduced);
    this.#count = levels.length;
    this.#reduced = reduced;
    this.#progress = progress;
    this.#now = new Int32Array(this.#count * this.#count);
  }

  all(): AllSchedules {
    const now = this.#now;
    const count = this.#count;
    const next = new Int32Array(now.length);
    const ends = new Set<string>();
    const clocks = new Set<string>();
    let [states, transitions] = [0, 0];
    for (let at = 0; at < count; at += 1) now[at] = this.#members.first(at);
    let layer = new StateTable(now.length);
    layer.add(now, -1);
    while (layer.size > 0) {
      const further = new StateTable(now.length);
      for (let number = 0; number < layer.size; number += 1) {
        layer.read(number, now);
        const steps = this.#steps();
        if (steps === 0) {
          const last = [...now.subarray(0, count)].map((_, at) => this.#brief(at));
          ends.add(JSON.stringify(last.map(({ log }) => log)));
          clocks.add(JSON.stringify(last.map(({ log, clock }) => [...log, clock])));
        }
        for (let at = 0; at < count; at += 1)
          for (let from = 0; from < count; from += 1) {
            if ((steps & this.#bit(at, from)) === 0) continue;
            transitions += 1;
            next.set(now);
            this.#take(at, from, next);
            further.add(next, -1);
          }
      }
      states += layer.size;
      this.#progress?.(states);
      layer = further;
    }
    return { states, transitions, ends, clocks };
  }

  /** Of a step of that member: it receives what is next from the other; from itself, it multicasts. */
  #bit(at: number, from: number): number {
    return 1 << (at * this.#count + from);
  }

  /** In a row, where the queue to that member is. */
  #way(at: number, from: number): number {
    return this.#count + at * (this.#count - 1) + (from < at ? from : from - 1);
  }

  #queue(at: number, from: number): number {
    return this.#now[this.#way(at, from)] as number;
  }

  #brief(at: number): Brief {
    return this.#members.brief(at, this.#now[at] as number);
  }

  #take(at: number, from: number, next: Int32Array): void {
    let packet = -1;
    if (at !== from) {
      const way = this.#way(at, from);
      const queue = next[way] as number;
      packet = this.#queues.frames(queue)[0] as number;
      next[way] = this.#queues.without(queue, 0);
    }
    const { to, sends } = this.#members.step(at, next[at] as number, from, packet);
    next[at] = to;
    for (const send of sends) {
      const way = this.#way(send.to, at);
      next[way] = this.#queues.longer(next[way] as number, send.packet);
    }
  }

  /** The steps that it is enough to take. */
  #steps(): number {
    const alone = this.#reduced ? this.#alone() : 0;
    if (alone !== 0) return alone;
    const everybody = (1 << this.#count) - 1;
    let least = this.#stepsOf(everybody);
    if (!this.#reduced) return least;
    for (let at = 0; at < this.#count; at += 1) {
      const some = this.#stepsOf(this.#withWhoCounts(1 << at));
      if (some !== 0 && bitsIn(some) < bitsIn(least)) least = some;
    }
    return least;
  }

  /** Rules 1 and 2. */
  #alone(): number {
    for (let at = 0; at < this.#count; at += 1) {
      const brief = this.#brief(at);
      if (brief.alone < 0) continue;
      for (let from = 0; from < this.#count; from += 1) {
        if (from === at || this.#queue(at, from) === 0) continue;
        const [packet] = this.#queues.frames(this.#queue(at, from));
        if (this.#members.place(packet as number) <= brief.alone) return this.#bit(at, from);
      }
    }
    return 0;
  }

  /** Rule 3: those members, and who can bring them what is not there. */
  #withWhoCounts(some: number): number {
    let members = some;
    for (let before = 0; before !== members; ) {
      before = members;
      for (let at = 0; at < this.#count; at += 1) {
        if ((members & (1 << at)) === 0) continue;
        const { toCome } = this.#brief(at);
        for (let from = 0; from < this.#count; from += 1)
          if (from !== at && this.#queue(at, from) === 0 && (toCome[from] as number) > 0)
            members |= 1 << from;
      }
    }
    return members;
  }

  /** All that those members can do. */
  #stepsOf(members: number): number {
    let steps = 0;
    for (let at = 0; at < this.#count; at += 1) {
      if ((members & (1 << at)) === 0) continue;
      if (this.#brief(at).toSend > 0) steps |= this.#bit(at, at);
      for (let from = 0; from < this.#count; from += 1)
        if (from !== at && this.#queue(at, from) !== 0) steps |= this.#bit(at, from);
    }
    return steps;
  }
}

/** The machines that ship, asked once for each step of each of their states. */
class Members {
  readonly #ids: readonly string[];
  readonly #levels: readonly (readonly OrderLevel[])[];
  readonly #total: "sequencer" | "agreed";
  readonly #reduced: boolean;
  /** All in a total order that is agreed, so that rules 1 and 2 are true. */
  readonly #agreed: boolean;
  /** What local states are made of: many have the same. */
  readonly #parts = new Values<unknown>();
  readonly #packets = new Values<Packet>();
  readonly #sends = new Values<readonly Send[]>();
  readonly #locals: readonly Locals[];
  readonly #asked = new Int32Array(2);

  constructor(
    levels: readonly (readonly OrderLevel[])[],
    total: "sequencer" | "agreed",
    reduced: boolean,
  ) {
    this.#ids = levels.map((_, i) => `p${i + 1}`);
    this.#levels = levels;
    this.#total = total;
    this.#reduced = reduced;
    this.#agreed = total === "agreed" && levels.flat().every(isOrdered);
    this.#locals = levels.map(() => ({
      table: new StateTable(levels.length + PARTS),
      briefs: [],
      steps: new StateTable(2),
      leadTo: [],
      saying: [],
    }));
  }

  first(at: number): number {
    const toSend = this.#levels[at]?.length ?? 0;
    const toCome = this.#levels.map((_, from) => (from === at ? 0 : this.#most(from, at)));
    return this.#note(at, { state: new Group(this.#optionsOf(at)).state, log: [], toSend, toCome });
  }

  brief(at: number, local: number): Brief {
    return this.#localsOf(at).briefs[local] as Brief;
  }

  /** That is agreed in it; Infinity if none is. */
  place(packet: number): number {
    return (this.#packets.all[packet] as Packet).place;
  }

  /** What comes of it when a member receives a packet, or multicasts, which is packet -1 of itself. */
  step(at: number, local: number, from: number, packet: number): Step {
    const { steps, leadTo, saying } = this.#localsOf(at);
    this.#asked[0] = local;
    this.#asked[1] = packet * this.#ids.length + from;
    const added = steps.add(this.#asked, -1);
    const number = added < 0 ? -added - 1 : added;
    if (added >= 0) {
      const { to, sends } = this.#perform(at, local, from, packet);
      leadTo.push(to);
      saying.push(this.#sends.of(sends));
    }
    const sends = this.#sends.all[saying[number] as number] as readonly Send[];
    return { to: leadTo[number] as number, sends };
  }

  #perform(at: number, local: number, from: number, packet: number): Step {
    const before = this.#read(at, local);
    const { state } = before;
    const group = new Group(this.#optionsOf(at), state);
    const log = [...before.log];
    let { toSend } = before;
    const toCome = [...before.toCome];
    let input: GroupInput;
    if (packet < 0) {
      const levels = this.#levels[at] as readonly OrderLevel[];
      const number = levels.length - toSend;
      const message = `${this.#ids[at]}.${number + 1}`;
      log.push(`+${message}`);
      toSend -= 1;
      const draft = draftOf(levels[number] as OrderLevel, this.#ids.length, [message]);
      input = { type: "multicast", draft, nowMs: 0 };
    } else {
      const { bytes, count } = this.#packets.all[packet] as Packet;
      toCome[from] = (toCome[from] as number) - count;
      if (this.#reduced && (toCome[from] as number) < 0)
        throw new Error(`${this.#ids[from]} says more to ${this.#ids[at]} than there is`);
      input = { type: "packet", from: this.#ids[from] as string, bytes, nowMs: 0 };
    }
    const sends: Send[] = [];
    for (const effect of group.step(input)) {
      if (effect.type === "irregular") throw new Error(effect.reason);
      if (effect.type === "deliver")
        for (const record of readRecords(effect.body)) log.push(decodeUtf8(record) as string);
      else if (effect.type === "send") {
        const number = this.#packet(effect.bytes, toSend);
        for (const to of effect.to) sends.push({ to: this.#ids.indexOf(to), packet: number });
      }
    }
    const after = { state, log, toSend, toCome };
    if (this.#reduced) this.#forget(at, after);
    return { to: this.#note(at, after), sends };
  }

  #packet(bytes: Uint8Array, toSend: number): number {
    const packet = decodePacket(bytes, this.#ids.length);
    if (typeof packet === "string") throw new Error(packet);
    const { kind, entries } = packet;
    if (this.#reduced && this.#agreed && entries.length > 1)
      throw new Error(`there is more than one place in ${kind}`);
    const isLate = this.#reduced && "number" in packet && toSend === 0 && entries.length > 0;
    return this.#packets.of({
      bytes: isLate ? encodePositions({ ...packet, changes: [] }, entries, BOUNDS.group) : bytes,
      count: entries.length || 1,
      place: kind === "finals" ? Math.max(...entries.map(([, place]) => place)) : NEVER,
    });
  }

  /** How much that member says to the other in all. */
  #most(from: number, to: number): number {
    const ordered = this.#levels.map((own) => own.filter(isOrdered).length);
    const own = this.#levels[from]?.length ?? 0;
    if (this.#total === "agreed") return own + (ordered[from] as number) + (ordered[to] as number);
    return from === 0 ? own + ordered.reduce((sum, many) => sum + many, 0) : own;
  }

  #optionsOf(at: number): GroupOptions {
    const members = this.#ids;
    const self = members[at] as string;
    return { self, members, total: this.#total, uniform: false, ...BOUNDS };
  }

  #localsOf(at: number): Locals {
    return this.#locals[at] as Locals;
  }

  /** It has multicast and accepted all that there is, if all is in a total order. */
  #isSettled(at: number, { state: { origins }, log, toSend }: Local): boolean {
    const held = origins.reduce((sum, { line, loose }) => sum + line.length + loose.size, 0);
    const sent = (this.#levels[at]?.length ?? 0) - toSend;
    return toSend === 0 && held + log.length - sent === this.#levels.flat().length;
  }

  /** What nobody will ask for: see the head of the file. */
  #forget(at: number, { state, toSend }: Local): void {
    const { origins, stamp } = state;
    for (const origin of origins) {
      origin.kept.length = 0;
      origin.keptFrom = origin.received + 1;
      origin.keptBytes = 0;
    }
    if (toSend > 0) return;
    stamp.fill(0);
    Object.assign(origins[at] as object, { stamp: [...stamp] });
  }

  #note(at: number, local: Local): number {
    const { origins, order, ...rest } = local.state;
    const { table, briefs } = this.#localsOf(at);
    const { log, toSend, toCome } = local;
    const parts = [...origins, order, rest, log, toCome].map((part) => this.#parts.of(part));
    const added = table.add(Int32Array.of(...parts, toSend), -1);
    if (added < 0) return -added - 1;
    const { clock } = order as Partial<AgreementState>;
    const isSettled = this.#isSettled(at, local);
    const alone = toSend > 0 || !this.#agreed ? -1 : isSettled ? NEVER : (clock ?? -1);
    // Many have the same: those that are kept.
    const [ownLog, ownToCome] = parts.slice(-2).map((part) => this.#parts.all[part]);
    briefs.push({ clock, log: ownLog as Log, toSend, toCome: ownToCome as number[], alone });
    return added;
  }

  /** A copy of it: it goes on as the member would have. */
  #read(at: number, local: number): Local {
    const count = this.#ids.length;
    const row = new Int32Array(count + PARTS);
    this.#localsOf(at).table.read(local, row);
    const parts = [...row.subarray(0, count + 2)].map((part) => again(this.#parts.all[part]));
    const [order, rest] = parts.slice(count) as [
      GroupState["order"],
      Omit<GroupState, "order" | "origins">,
    ];
    const origins = parts.slice(0, count) as GroupState["origins"][number][];
    return { ...this.brief(at, local), state: { ...rest, origins, order } };
  }
}
