/**
 * One member's share in a group: reliable multicast, with the order that each message asks for.
 *
 * Assumptions. The view is fixed: everybody knows the members, and only members send. A channel joins each two members; it
 * brings what was sent on it while both live, each record once or more often, early or late; or not, if it was full, and `back`
 * tells when it is not any more. A member that is not lost for ever comes back with its state. Whoever drives this says who is
 * *lost*, rightly or not.
 *
 * Theory of operation. All that a member multicasts stands in one sequence of packets, whatever their levels, and everybody
 * takes the packets of an *origin* in that sequence.
 * - *Reliable* (Hadzilacos and Toueg 1994, §3.1; lazily, as in Cachin, Guerraoui and Rodrigues 2011, §3.3.4). A packet goes
 *   to all. Everybody keeps it until it is *stable*: until all say that they have it. If an origin is lost, whoever has
 *   packets of it that are not stable sends them on at once. What is missing all the same, by what others say they have, is
 *   asked for. So what one correct member has, all come to have.
 * - *Uniform* (ibid., §3.4.4). Nothing is done with a packet before a majority has it: even of those who then die.
 * - *FIFO*. Packets of an origin that ask for it are delivered one behind the other.
 * - *Causal* (Birman, Schiper and Stephenson 1991, §5.1, with numbers of packets instead of counts). Each member knows, for
 *   each origin, the last causal packet that happened before now: that is its *stamp*. Every packet brings that of its origin,
 *   whatever its level, for what happens before may go through any of them; only what changed since the packet before is sent.
 *   A causal packet waits until all that is in its stamp is delivered. A group without causal messages has no stamps.
 * - *Total*: total-order.ts, log-order.ts. The combined levels wait for all that their parts wait for.
 * - A message *for one member* goes the way of all others, and has its place in their orders; only that member hands it on. So it
 *   needs nothing of its own, and comes even if only another one had it when its sender died. It costs what a multicast costs.
 *
 * Bounds. `room` is false while more of the own packets than a window is unstable, or is not delivered here for it waits for its place
 * in a total order; who heeds it has no more than that under way. A member keeps up to four windows of each origin, and as much as the
 * positions can be that it gives: what goes beyond is dropped as if lost, and asked for later. Whoever answers that says first what it
 * knows to be stable: a member that has not heard it from all, for one of them is gone or cannot reach it, would have no room for what its
 * origin has room for.
 *
 * What is not promised. While a member is gone whose word total order needs (the sequencer; any, if places are agreed), packets
 * that ask for total order wait, and those in FIFO order behind them; if places are agreed, perhaps at one and not at another. Nothing
 * becomes stable without it either, so there is no more room after a window. `explain` names it; and unasked, if somebody wants to
 * know, once it lasts for `stalledAfterMs`.
 */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import { ORDER_LEVELS, type OrderLevel, type OrderPromise } from "../core/order-level.ts";
import { copyOf } from "../core/record.ts";
import { Slab } from "../core/slab.ts";
import type { Gap, GroupExplanation, HeldPacket, Stall, Unstable } from "./explanation.ts";
import { LogOrder, type LogOrderState } from "./log-order.ts";
import {
  ALL,
  Draft,
  decodePacket,
  type Entry,
  encodePositions,
  encodeWord,
  MEMBERS_MAX,
  messagesOf,
  type Packet,
  type Word,
} from "./packet.ts";
import {
  Agreement,
  type AgreementState,
  ENTRIES_MAX,
  type Place,
  Sequencer,
  type SequencerState,
  type TotalOrder,
} from "./total-order.ts";

/** How total order comes about: one member gives it, all agree, or it stands in a log beside them. */
export type TotalOrderEngine = "sequencer" | "agreed" | "log";

/** How a group is set up; the same at every member. */
export interface GroupOptions {
  readonly self: ProcessId;
  /** In ascending order. */
  readonly members: readonly ProcessId[];
  /** How total order comes about. With `sequencer` the first member gives it; with `log` a log that is no member. */
  readonly total: TotalOrderEngine;
  /** Whether what is delivered by a member that dies is delivered by all; a group with a log is so in any case. */
  readonly uniform: boolean;
  /** Bytes of own packets that may be unstable before there is no more room. */
  readonly windowBytes: number;
  /** This life of this member; another one after a start without its state. A 32-bit number from 1. */
  readonly life: number;
  /** Among the groups of these processes, from 0 to 255. */
  readonly group: number;
  /** How long others may wait to hear what one has, in milliseconds. */
  readonly tellAfterMs: number;
  /** How long a gap may stay before what is missing is asked for, in milliseconds. */
  readonly askAfterMs: number;
  /** How long something may wait until that is told, in milliseconds. @default never */
  readonly stalledAfterMs?: number;
}

/** What happens to a member. */
export type GroupInput = { readonly nowMs: number } & (
  | {
      readonly type: "multicast";
      /** Its bytes are the group's from now on. */
      readonly draft: Draft;
    }
  /** A record of a member has come, a packet or a word. */
  | { readonly type: "packet"; readonly from: ProcessId; readonly bytes: Uint8Array }
  /** A member is taken for lost; or it is there again. */
  | { readonly type: "lost" | "back"; readonly member: ProcessId }
  /** Tells the others of this life, before anything else. */
  | { readonly type: "start" }
  /** The log of that epoch is there, for the first time or again. */
  | { readonly type: "log-open"; readonly epoch: number }
  /** A text of the log, at its position. */
  | { readonly type: "log-read"; readonly position: number; readonly text: string }
  | { readonly type: "tick" }
);

/** What the driver must do, in order. The bytes do not change until the next step. */
export type GroupEffect =
  | { readonly type: "send"; readonly to: readonly ProcessId[]; readonly bytes: Uint8Array }
  | {
      readonly type: "deliver";
      readonly from: ProcessId;
      /** Whether it is for this member alone. */
      readonly alone: boolean;
      readonly level: OrderLevel;
      /** In the sequence of its origin. */
      readonly number: number;
      readonly count: number;
      readonly body: Uint8Array;
      /** By index of the member: the last causal packet that happened before it; 0 for none, and for its origin. */
      readonly stamp: readonly number[];
      /** When it came here. */
      readonly sinceMs: number;
    }
  /** Something has waited for `stalledAfterMs`, for the first time; and nothing does any more. */
  | { readonly type: "stalled"; readonly stall: Stall }
  | { readonly type: "resumed" }
  /** To be written to the log. */
  | { readonly type: "log-write"; readonly text: string }
  /** The log has the order of a group that this one is none of; nothing that is read there counts here. */
  | { readonly type: "log-foreign" }
  /** What a peer sent is not well formed, or cannot be. */
  | { readonly type: "irregular"; readonly reason: string };

/** A packet that has come and is not delivered. */
interface Held extends Place {
  readonly kind: Packet["kind"];
  /** Whom its messages are for, or `ALL`. */
  readonly to: number;
  readonly count: number;
  /** The packet. */
  readonly bytes: Uint8Array;
  readonly entries: readonly Entry[];
  /** Of the other origins; and the last causal packet of its own, itself if it is one. */
  readonly stamp: readonly number[];
  readonly own: number;
  /** When it came here. */
  readonly atMs: number;
}

/** What a member knows of one origin. */
interface Origin {
  /** Its life; 0 until it is known. And whether another one was met. */
  life: number;
  replaced: boolean;
  /** All packets up to that number have come. */
  received: number;
  /** The stamp of that packet, and the last causal one until then. */
  stamp: readonly number[];
  own: number;
  /** Beyond a gap, by number; and since when there has been one. */
  readonly early: Map<number, Uint8Array>;
  earlyBytes: number;
  gapSinceMs: number;
  /** How often it was asked for, lately. */
  asked: number;
  /** Since when the packet behind `received` is known to be missing; and how often it was asked for. */
  missingSinceMs: number;
  wanted: number;
  /** Of a uniform group: not known to be with a majority. In sequence. */
  readonly unsafe: Held[];
  /** Not accepted: something that they depend on is not. In sequence. */
  readonly waiting: Held[];
  /** All packets up to that number are accepted, if they ask for an order. */
  accepted: number;
  /** Accepted and not delivered: those in FIFO order, in sequence; the others, by number. */
  readonly line: Held[];
  readonly loose: Map<number, Held>;
  /** The last causal packet that was delivered. */
  delivered: number;
  /** Of the packets with messages that are here and not delivered. */
  heldBytes: number;
  /** Not stable, in sequence; the first is number `keptFrom`. */
  readonly kept: Uint8Array[];
  keptFrom: number;
  keptBytes: number;
  /** All packets up to that number were sent on when it was lost, or need not be. */
  relayed: number;
  lost: boolean;
}

/** Plain data: the hold-back queues, counters and stamps, and the state of the total order. */
export interface GroupState {
  readonly members: readonly ProcessId[];
  /** The last causal packet of each origin that happened before now. */
  readonly stamp: number[];
  readonly origins: readonly Origin[];
  /** By member, and by origin: what it is known to have. */
  readonly have: readonly number[][];
  /** What has come since this member last told what it has; and when it is to tell. */
  untoldBytes: number;
  tellAtMs: number;
  /** Since when none of the own packets that are not stable has become so. */
  unstableSinceMs: number;
  /** When to look whether anything has waited for long; and whether it was told that something has. */
  watchAtMs: number;
  stalled: boolean;
  readonly order: SequencerState | AgreementState | LogOrderState;
}

/** What waits, and since when: a packet, a gap of an origin, or own packets. */
interface Waits {
  readonly sinceMs: number;
  readonly held?: Held;
  readonly gap?: number;
}

/** What a member counts and holds, for those who watch it over time. */
export interface GroupMeasures {
  /** Messages delivered here since this object was made, by their level. */
  readonly delivered: Readonly<Partial<Record<OrderLevel, number>>>;
  /** Messages that are here and not delivered, by their level. */
  readonly held: Readonly<Partial<Record<OrderLevel, number>>>;
  /** Bytes of own packets that not all members have. */
  readonly unstableBytes: number;
  /** Origins of whom a packet is missing; and since when the oldest of these gaps is there. */
  readonly gaps: number;
  readonly gapSinceMs?: number;
}

const NONE: readonly Place[] = [];
/** What goes so many windows beyond is dropped. */
const BEYOND = 4;
/** The index of the member that gives the total order. */
const SEQUENCER = 0;
const ASKED_MOST = 8;
type Kind = Packet["kind"];
const isWith = (promise: OrderPromise): ((kind: Kind) => boolean) => {
  const kinds = new Set<Kind>(
    Object.entries(ORDER_LEVELS)
      .filter(([, promises]) => promises.includes(promise))
      .map(([level]) => level as OrderLevel),
  );
  return (kind) => kinds.has(kind);
};
const isFifo = isWith("FIFO order");
const isCausal = isWith("causal order");
const isTotal = isWith("total order");

/** See the head of the file. */
export class Group implements Machine<GroupInput, GroupEffect, GroupState> {
  readonly state: GroupState;
  readonly #options: GroupOptions;
  readonly #self: number;
  readonly #others: readonly ProcessId[];
  readonly #order: TotalOrder;
  /** The same, if it is by a log. */
  readonly #log: LogOrder | undefined;
  readonly #uniform: boolean;
  /** Of each origin where its packets are kept: they become stable one behind the other. */
  readonly #slabs: readonly Slab[];
  /** Stable, and not known to be delivered: then their bytes may be written anew. And whether some are new among them. */
  #hasForgotten: boolean = false;
  #forgotten: { readonly origin: number; readonly number: number; readonly bytes: Uint8Array }[] =
    [];
  #effects: GroupEffect[] = [];
  #nowMs = 0;
  /** Of no turn, so no part of the state. */
  readonly #delivered: Partial<Record<OrderLevel, number>> = {};

  /**
   * @param state of a member as it was; it is taken over
   * @throws TidemarkError `BAD_OPTION`
   */
  constructor(options: GroupOptions, state?: GroupState) {
    const { self, members, total, uniform } = options;
    this.#options = options;
    this.#uniform = uniform || total === "log";
    this.#self = members.indexOf(self);
    if (this.#self < 0 || members.length > MEMBERS_MAX)
      throw new TidemarkError("BAD_OPTION", `${self} is not one of up to ${MEMBERS_MAX} members`);
    this.#others = members.filter((id) => id !== self);
    this.#slabs = members.map(() => new Slab());
    const zeros = (): number[] => members.map(() => 0);
    const order = this.#orderOf(state);
    this.#order = order;
    this.#log = order instanceof LogOrder ? order : undefined;
    this.state = state ?? {
      members,
      stamp: zeros(),
      origins: members.map((id) => ({
        life: id === self ? options.life : 0,
        replaced: false,
        received: 0,
        stamp: zeros(),
        own: 0,
        early: new Map(),
        earlyBytes: 0,
        gapSinceMs: Number.POSITIVE_INFINITY,
        asked: 0,
        missingSinceMs: Number.POSITIVE_INFINITY,
        wanted: 0,
        unsafe: [],
        waiting: [],
        accepted: 0,
        line: [],
        loose: new Map(),
        delivered: 0,
        heldBytes: 0,
        kept: [],
        keptFrom: 1,
        keptBytes: 0,
        relayed: 0,
        lost: false,
      })),
      have: members.map(zeros),
      untoldBytes: 0,
      tellAtMs: Number.POSITIVE_INFINITY,
      unstableSinceMs: 0,
      watchAtMs: Number.POSITIVE_INFINITY,
      stalled: false,
      order: order.state,
    };
  }

  #orderOf(state: GroupState | undefined): Sequencer | Agreement | LogOrder {
    const { members, total, life } = this.#options;
    const order = state?.order;
    if (total === "sequencer")
      return new Sequencer(this.#self, SEQUENCER, order as SequencerState | undefined);
    if (total === "agreed")
      return new Agreement(this.#self, members.length, order as AgreementState | undefined);
    const own = state?.origins[this.#self]?.life ?? life;
    return new LogOrder(this.#self, members, own, order as LogOrderState | undefined);
  }

  /** Up to where it has read the log, and of which epoch; `undefined` if it has none. */
  get logRead(): { readonly epoch: number; readonly position: number } | undefined {
    if (!this.#log) return undefined;
    const { epoch, position } = this.#log.state;
    return { epoch, position };
  }

  /** Whether more should be multicast now. */
  get room(): boolean {
    return this.underWayBytes < this.#options.windowBytes && !this.#log?.isAhead;
  }

  get total(): GroupOptions["total"] {
    return this.#options.total;
  }

  /** How many own packets there have been. */
  get sent(): number {
    return this.#origin(this.#self).received;
  }

  /** Which life of a member it knows; 0 if none yet. */
  lifeOf(member: ProcessId): number {
    return this.state.origins[this.state.members.indexOf(member)]?.life ?? 0;
  }

  /** Bytes of own packets that not all members have, as far as is known, or that are not delivered here. */
  get underWayBytes(): number {
    const { keptBytes, heldBytes } = this.#origin(this.#self);
    return Math.max(keptBytes, heldBytes);
  }

  /** What is to be multicast is put into it, and given to `step`; only the last one may be open. */
  draft(level: OrderLevel, to: number = ALL): Draft {
    return new Draft(level, to, this.state.members.length, this.#slab(this.#self));
  }

  /** When `tick` is wanted; Infinity if not at all. */
  get deadlineMs(): number {
    const { origins, tellAtMs, watchAtMs } = this.state;
    const known = Math.min(tellAtMs, watchAtMs);
    return origins.reduce((least, origin) => Math.min(least, this.#askAtMs(origin)), known);
  }

  step(input: GroupInput): readonly GroupEffect[] {
    this.#release();
    this.#effects = [];
    this.#nowMs = input.nowMs;
    switch (input.type) {
      case "multicast":
        this.#multicast(input.draft);
        break;
      case "packet":
        this.#come(input.from, input.bytes);
        break;
      case "lost":
        this.#lose(this.state.members.indexOf(input.member));
        break;
      case "back": {
        const origin = this.state.origins[this.state.members.indexOf(input.member)];
        if (origin && !origin.replaced) origin.lost = false;
        // Whoever is back may have what nobody else had, or not have heard all that was told.
        for (const one of this.state.origins) one.asked = 0;
        this.#soon(0);
        break;
      }
      case "start":
        // Who was lost in another life may be there.
        for (const origin of this.state.origins)
          Object.assign(origin, { lost: origin.replaced, asked: 0 });
        this.#log?.start(({ origin, number }) => number <= this.#origin(origin).received);
        this.#soon(this.#options.windowBytes);
        // Nobody could be told between two lives.
        this.state.stalled = false;
        this.state.watchAtMs = Number.POSITIVE_INFINITY;
        this.#watchSoon();
        break;
      case "log-open":
        this.#log?.open(input.epoch);
        break;
      case "log-read": {
        const wrong = this.#log?.read(input.position, input.text);
        if (wrong)
          this.#effects.push({
            type: "irregular",
            reason: `text ${input.position} of the log: ${wrong}`,
          });
        if (this.#log?.state.isForeign) this.#effects.push({ type: "log-foreign" });
        break;
      }
      case "tick":
        this.#ask();
        break;
    }
    this.#progress();
    this.#write();
    this.#tell();
    this.#watch();
    return this.#effects;
  }

  /** Without a look into what waits for what, as `explain` takes it. */
  get measures(): GroupMeasures {
    const held: Partial<Record<OrderLevel, number>> = {};
    let gaps = 0;
    let gapSinceMs = Number.POSITIVE_INFINITY;
    for (const origin of this.state.origins) {
      for (const { kind, count } of heldAt(origin))
        if (kind in ORDER_LEVELS)
          held[kind as OrderLevel] = (held[kind as OrderLevel] ?? 0) + count;
      if (origin.missingSinceMs === Number.POSITIVE_INFINITY) continue;
      gaps += 1;
      gapSinceMs = Math.min(gapSinceMs, origin.missingSinceMs);
    }
    const { keptBytes: unstableBytes } = this.#origin(this.#self);
    const known = { delivered: { ...this.#delivered }, held, unstableBytes, gaps };
    return gaps > 0 ? { ...known, gapSinceMs } : known;
  }

  /** What waits, and for what. */
  explain(): GroupExplanation {
    const { origins } = this.state;
    const held = origins.flatMap((origin) => heldAt(origin).map((one) => this.#explainHeld(one)));
    const gaps = origins.flatMap((_, index) => this.#explainGap(index) ?? []);
    return this.#explanation(held, gaps, this.#explainUnstable());
  }

  #explanation(
    held: readonly HeldPacket[],
    gaps: readonly Gap[],
    unstable: Unstable | undefined,
  ): GroupExplanation {
    const { members, origins } = this.state;
    const [first] = members;
    const { self, total } = this.#options;
    return {
      self,
      ...(total === "sequencer" && first !== undefined ? { sequencer: first } : {}),
      lost: members.filter((_, index) => this.#origin(index).lost),
      replaced: members.filter((_, index) => origins[index]?.replaced),
      held,
      gaps,
      ...(unstable ? { unstable } : {}),
      isUntold: this.state.tellAtMs < Number.POSITIVE_INFINITY,
    };
  }

  #explainHeld(one: Held): HeldPacket {
    const { members, have } = this.state;
    const { origin: index, number, kind, count, atMs } = one;
    const { unsafe, waiting, line, accepted } = this.#origin(index);
    const told = (
      waitsFor: HeldPacket["waitsFor"],
      places: readonly (Place | undefined)[],
      missing: readonly number[],
    ): HeldPacket => ({
      ...{ from: this.#name(index), number, kind, messages: count, sinceMs: atMs, waitsFor },
      packets: places.flatMap((place) =>
        place
          ? {
              from: this.#name(place.origin),
              number: place.number,
              here: place.number <= this.#origin(place.origin).received,
            }
          : [],
      ),
      members: missing.map((member) => this.#name(member)),
    });
    if (this.#uniform && (unsafe[0]?.number ?? Number.POSITIVE_INFINITY) <= number) {
      const missing = members.map((_, member) => member);
      return told(
        "majority",
        [],
        missing.filter((member) => (have[member]?.[index] ?? 0) < number),
      );
    }
    if (number > accepted) {
      const [before] = waiting[0] === one ? [] : waiting;
      return told("packets", [before, ...this.#missing(one, "accepted")], []);
    }
    const [before] = isFifo(kind) && line[0] !== one ? line : [];
    const word = isTotal(kind) ? this.#order.waitsFor(one) : undefined;
    const missing = word?.members ?? [];
    return told(
      missing.length > 0 ? "word" : "packets",
      [before, word?.before, ...this.#missing(one, "delivered")],
      missing,
    );
  }

  #explainGap(index: number): Gap | undefined {
    const { members, have } = this.state;
    const { missingSinceMs, received, early, wanted } = this.#origin(index);
    if (missingSinceMs === Number.POSITIVE_INFINITY) return undefined;
    const first = received + 1;
    let last = first;
    for (const has of have) last = Math.max(last, has[index] ?? 0);
    for (const number of early.keys()) if (number > first) last = Math.min(last, number - 1);
    const at = members.filter((_, member) => (have[member]?.[index] ?? 0) >= first);
    return {
      ...{ from: this.#name(index), first, last, early: early.size, at },
      ...{ sinceMs: missingSinceMs, asked: wanted },
    };
  }

  #explainUnstable(): Unstable | undefined {
    const { members, have, unstableSinceMs } = this.state;
    const { kept, keptFrom, keptBytes } = this.#origin(this.#self);
    if (kept.length === 0) return undefined;
    const by = members.flatMap((member, index) => {
      const first = Math.max(keptFrom, (have[index]?.[this.#self] ?? 0) + 1);
      let bytes = 0;
      for (let i = first - keptFrom; i < kept.length; i += 1) bytes += kept[i]?.length ?? 0;
      return bytes > 0 ? { member, first, bytes } : [];
    });
    return { bytes: keptBytes, room: this.room, sinceMs: unstableSinceMs, by };
  }

  #name(index: number): ProcessId {
    return this.state.members[index] as ProcessId;
  }

  #slab(index: number): Slab {
    return this.#slabs[index] as Slab;
  }

  #origin(index: number): Origin {
    return this.state.origins[index] as Origin;
  }

  // What is sent.

  #multicast(draft: Draft): void {
    const heading = this.#heading(draft.level, draft.to);
    const bytes = draft.seal(heading, this.#options.group);
    this.#send({ ...heading, count: draft.count, entries: [] }, bytes);
  }

  #position(kind: "orders" | "finals", entries: readonly Entry[]): void {
    const heading = this.#heading(kind, ALL);
    const bytes = encodePositions(heading, entries, this.#options.group);
    this.#send({ ...heading, count: 0, entries }, bytes);
  }

  /** Of the next packet. */
  #heading(kind: Kind, to: number): Omit<Packet, "count" | "entries"> {
    const { received, life, stamp } = this.#origin(this.#self);
    const changes: Entry[] = [];
    this.state.stamp.forEach((number, of) => {
      // The own one is in the sequence itself.
      if (of !== this.#self && number !== stamp[of]) changes.push([of, number]);
    });
    return { kind, origin: this.#self, life, number: received + 1, changes, to };
  }

  #send(packet: Packet, bytes: Uint8Array): void {
    if (isTotal(packet.kind)) this.#order.sent(packet.number);
    if (this.#origin(this.#self).kept.length === 0) this.state.unstableSinceMs = this.#nowMs;
    if (this.#others.length > 0) this.#effects.push({ type: "send", to: this.#others, bytes });
    this.#take(packet, bytes);
  }

  #word(to: readonly ProcessId[], kind: Word["kind"], entries: readonly Entry[]): void {
    if (to.length === 0) return;
    const { life } = this.#origin(this.#self);
    for (let at = 0; at < entries.length; at += ENTRIES_MAX) {
      const some = entries.slice(at, at + ENTRIES_MAX);
      const word = { kind, origin: this.#self, life, entries: some };
      this.#effects.push({ type: "send", to, bytes: encodeWord(word, this.#options.group) });
    }
  }

  // What comes.

  #come(from: ProcessId, bytes: Uint8Array): void {
    const { members } = this.state;
    const sender = members.indexOf(from);
    const read = decodePacket(bytes, members.length);
    if (sender < 0) this.#irregular(from, "it is not a member");
    else if (typeof read === "string") this.#irregular(from, read);
    else if (read.origin === this.#self) return;
    else if (!this.#isAlive(read)) return;
    else if ("number" in read) this.#arrive(read, bytes);
    else if (read.origin === sender) this.#hear(sender, read);
    else this.#irregular(from, "it speaks for another");
  }

  /** A member that comes back without its state is another one, and none of the group. */
  #isAlive({ origin: index, life }: Packet | Word): boolean {
    const origin = this.#origin(index);
    if (origin.life === 0) origin.life = life;
    if (origin.life === life) return true;
    if (!origin.replaced) {
      origin.replaced = true;
      this.#lose(index);
    }
    return false;
  }

  #irregular(from: ProcessId, reason: string): void {
    this.#effects.push({ type: "irregular", reason: `a packet of ${from}: ${reason}` });
  }

  #arrive(packet: Packet, bytes: Uint8Array): void {
    const origin = this.#origin(packet.origin);
    const most = this.#mostBytes(packet.origin);
    if (packet.number <= origin.received || origin.early.has(packet.number)) {
      // Had already; whoever sent it does not know that.
      this.#soon(0);
      return;
    }
    // Whether it is kept or not: there is one of that number.
    const has = this.state.have[packet.origin] as number[];
    has[packet.origin] = Math.max(packet.number, has[packet.origin] ?? 0);
    const isNext = packet.number === origin.received + 1;
    // What waits for a gap must not keep out what fills it.
    if (origin.keptBytes + (isNext ? 0 : origin.earlyBytes) > most) {
      this.#noteGap(origin);
      return;
    }
    if (!isNext) {
      origin.early.set(packet.number, copyOf(bytes));
      origin.earlyBytes += bytes.length;
      this.#noteGap(origin);
      return;
    }
    const kept = this.#slab(packet.origin).copy(bytes);
    this.#take(this.#read(kept), kept);
    for (;;) {
      const early = origin.early.get(origin.received + 1);
      if (!early) break;
      origin.early.delete(origin.received + 1);
      origin.earlyBytes -= early.length;
      this.#take(this.#read(early), early);
    }
    if (origin.gapSinceMs === Number.POSITIVE_INFINITY) return;
    origin.gapSinceMs = Number.POSITIVE_INFINITY;
    origin.missingSinceMs = Number.POSITIVE_INFINITY;
    if (origin.early.size > 0 || this.#isBehind(packet.origin)) this.#noteGap(origin);
  }

  /**
   * What is kept of an origin that heeds `room` is less. Positions have no room to heed, but what they are of has: packets of its own, or,
   * if it is the sequencer, of all members, each of which may take as much again and a stamp.
   */
  #mostBytes(index: number): number {
    const { members, total, windowBytes } = this.#options;
    const bySequencer = total === "sequencer" && index === SEQUENCER ? members.length : 0;
    const placed = total === "agreed" ? 1 : bySequencer;
    return windowBytes * (BEYOND + 2 * placed);
  }

  /** Something is missing that there is; it may be on its way. */
  #noteGap(origin: Origin): void {
    origin.gapSinceMs = Math.min(origin.gapSinceMs, this.#nowMs);
    origin.asked = 0;
    if (origin.missingSinceMs < Number.POSITIVE_INFINITY) return;
    origin.missingSinceMs = this.#nowMs;
    origin.wanted = 0;
    this.#watchSoon();
  }

  /** Somebody has more of that origin. */
  #isBehind(index: number): boolean {
    const { received } = this.#origin(index);
    return this.state.have.some((has) => (has[index] ?? 0) > received);
  }

  #read(bytes: Uint8Array): Packet {
    return decodePacket(bytes, this.state.members.length) as Packet;
  }

  /** The next packet of its origin. */
  #take(packet: Packet, bytes: Uint8Array): void {
    const { have, members } = this.state;
    const { origin: index, number } = packet;
    const origin = this.#origin(index);
    origin.received = number;
    (have[this.#self] as number[])[index] = number;
    if (members.length > 1) {
      origin.kept.push(bytes);
      origin.keptBytes += bytes.length;
      this.#soon(bytes.length);
    } else {
      this.#forgotten.push({ origin: index, number, bytes });
      this.#hasForgotten = true;
    }
    this.#watchSoon();
    if (packet.changes.length > 0) {
      const stamp = [...origin.stamp];
      for (const [of, last] of packet.changes) stamp[of] = last;
      origin.stamp = stamp;
    }
    if (isCausal(packet.kind)) {
      origin.own = number;
      // What is sent after it depends on it, even if it is held back here.
      if (index === this.#self) this.state.stamp[index] = number;
    }
    const { kind, to, count, entries } = packet;
    const { stamp, own } = origin;
    const held = {
      origin: index,
      number,
      kind,
      to,
      count,
      bytes,
      entries,
      stamp,
      own,
      atMs: this.#nowMs,
    };
    if (entries.length === 0) origin.heldBytes += bytes.length;
    if (this.#uniform) origin.unsafe.push(held);
    else this.#admit(held);
  }

  /** It may be done with what its kind asks for. */
  #admit(held: Held): void {
    const { kind, origin, entries } = held;
    if (kind === "orders" || kind === "finals") {
      // The other way's would be read as something else.
      const spoken = this.#options.total === "sequencer" ? "orders" : "finals";
      if (kind === spoken) this.#order.learned(origin, entries);
    } else if (kind === "reliable") this.#deliver(held);
    else this.#origin(origin).waiting.push(held);
  }

  #hear(sender: number, { kind, entries }: Word): void {
    const { members, have } = this.state;
    if (kind === "proposals") this.#order.proposed(sender, entries);
    else if (entries.some(([of]) => of >= members.length + (this.#log && kind === "have" ? 1 : 0)))
      this.#irregular(members[sender] as ProcessId, "it speaks of a member that there is not");
    else if (kind === "want")
      for (const [of, number] of new Map(entries)) {
        const to = [members[sender] as ProcessId];
        const stable = this.#stable(of);
        if (stable > 0) this.#word(to, "stable", [[of, stable]]);
        this.#sendAgain(of, number, to, this.#answerBytes);
      }
    else if (kind === "stable")
      for (const [of, number] of entries) {
        // Told to a life of this member before this one.
        if (number > this.#origin(of).received) continue;
        for (const has of have) has[of] = Math.max(number, has[of] ?? 0);
        this.#forget(of);
      }
    else {
      const has = have[sender] as number[];
      for (const [of, number] of entries) {
        if (of === members.length) {
          this.#log?.heard(sender, number);
          continue;
        }
        const origin = this.#origin(of);
        if (of === this.#self && (origin.replaced || number > origin.received)) {
          // Of a life before this one, which began without its state.
          Object.assign(origin, { replaced: true, lost: true });
          continue;
        }
        if (number > (has[of] ?? 0)) {
          has[of] = number;
          this.#forget(of);
        }
        if (number > origin.received && origin.gapSinceMs === Number.POSITIVE_INFINITY)
          this.#noteGap(origin);
      }
    }
  }

  /** All are known to have the packets of that origin up to that number. */
  #stable(index: number): number {
    let stable = this.#origin(index).received;
    for (const has of this.state.have) stable = Math.min(stable, has[index] ?? 0);
    return stable;
  }

  /** What is stable need not be kept. */
  #forget(index: number): void {
    const origin = this.#origin(index);
    const stable = this.#stable(index);
    const many = stable - origin.keptFrom + 1;
    if (many <= 0) return;
    for (const [i, bytes] of origin.kept.splice(0, many).entries()) {
      origin.keptBytes -= bytes.length;
      this.#forgotten.push({ origin: index, number: origin.keptFrom + i, bytes });
    }
    this.#hasForgotten = true;
    origin.keptFrom = stable + 1;
    if (index === this.#self) this.state.unstableSinceMs = this.#nowMs;
  }

  /** Between two steps: nobody looks at what was delivered in the last one any more. */
  #release(): void {
    if (!this.#hasForgotten) return;
    this.#hasForgotten = false;
    const firstHeld = this.state.origins.map(firstHeldAt);
    this.#forgotten = this.#forgotten.filter(({ origin, number, bytes }) => {
      if (number >= (firstHeld[origin] as number)) return true;
      this.#slabs[origin]?.release(bytes);
      return false;
    });
  }

  // Loss, gaps, and what others must know.

  #lose(index: number): void {
    const origin = this.state.origins[index];
    if (!origin || index === this.#self) return;
    origin.lost = true;
    const { members } = this.state;
    const to = this.#others.filter((id) => id !== members[index]);
    if (to.length > 0) this.#sendAgain(index, origin.relayed + 1, to);
    // Once is enough: a channel loses nothing, and one that is not read must not fill up.
    origin.relayed = origin.received;
  }

  /** From that packet on, one at least. */
  #sendAgain(
    index: number,
    from: number,
    to: readonly ProcessId[],
    most: number = Number.POSITIVE_INFINITY,
  ): void {
    const { kept, keptFrom } = this.#origin(index);
    let sent = 0;
    for (let at = Math.max(0, from - keptFrom); at < kept.length && sent < most; at += 1) {
      const bytes = kept[at] as Uint8Array;
      sent += bytes.length;
      this.#effects.push({ type: "send", to, bytes });
    }
  }

  /**
   * Of one answer. What is missing may be late and no more, the later the more is under way, so answers must not become much of that;
   * whoever lacks more asks again.
   */
  get #answerBytes(): number {
    return this.#options.windowBytes / 16;
  }

  /** Twice as late each time; and no more if nobody has it, which can be if the origin is gone. */
  #askAtMs({ gapSinceMs, asked, lost }: Origin): number {
    if (asked >= ASKED_MOST && lost) return Number.POSITIVE_INFINITY;
    return gapSinceMs + this.#options.askAfterMs * 2 ** Math.min(asked, ASKED_MOST);
  }

  /** Asks for what is missing, one that is known to have it if there is one; each time another. */
  #ask(): void {
    const { origins } = this.state;
    origins.forEach((origin, index) => {
      if (this.#askAtMs(origin) > this.#nowMs) return;
      origin.gapSinceMs = this.#nowMs;
      origin.asked += 1;
      origin.wanted += 1;
      const first = origin.received + 1;
      this.#word(this.#whomToAsk(index, first, origin.asked), "want", [[index, first]]);
    });
  }

  #whomToAsk(index: number, number: number, round: number): readonly ProcessId[] {
    const { members, origins, have } = this.state;
    const owners = members.filter(
      (_, at) => at !== this.#self && !origins[at]?.lost && (have[at]?.[index] ?? 0) >= number,
    );
    const one = owners[round % owners.length];
    return one === undefined ? this.#others : [one];
  }

  #soon(bytes: number): void {
    const { state } = this;
    const { tellAfterMs, windowBytes } = this.#options;
    state.untoldBytes += bytes;
    const atMs =
      this.#uniform || state.untoldBytes * 4 >= windowBytes
        ? this.#nowMs
        : this.#nowMs + tellAfterMs;
    state.tellAtMs = Math.min(state.tellAtMs, atMs);
  }

  #write(): void {
    if (!this.#log) return;
    for (const text of this.#log.takeTexts((member) => this.#origin(member).lost))
      this.#effects.push({ type: "log-write", text });
    if (this.#log.isUntold) this.#soon(0);
  }

  /** What one has, once it is time. */
  #tell(): void {
    const { state } = this;
    if (state.tellAtMs > this.#nowMs) return;
    const has = state.have[this.#self] as number[];
    const entries = has.map((number, of): Entry => [of, number]);
    // Behind those of the origins, what was delivered in the order of the log.
    if (this.#log) {
      entries.push([has.length, this.#log.state.count]);
      this.#log.state.told = this.#log.state.count;
    }
    this.#word(this.#others, "have", entries);
    state.untoldBytes = 0;
    state.tellAtMs = Number.POSITIVE_INFINITY;
    for (const index of state.origins.keys()) this.#forget(index);
  }

  // What waits for long.

  /** One look for all that comes until then: what is young then is looked at again. */
  #watchSoon(): void {
    const { stalledAfterMs = Number.POSITIVE_INFINITY } = this.#options;
    const { state } = this;
    state.watchAtMs = Math.min(state.watchAtMs, this.#nowMs + stalledAfterMs);
  }

  #watch(): void {
    const { state } = this;
    if (!state.stalled && state.watchAtMs > this.#nowMs) return;
    const { stalledAfterMs = Number.POSITIVE_INFINITY, askAfterMs } = this.#options;
    if ((this.#nowMs - state.watchAtMs) * 2 > stalledAfterMs) {
      // It was this member that stood still: what came meanwhile has its turn first.
      state.watchAtMs = this.#nowMs + askAfterMs;
      return;
    }
    const oldest = this.#oldest();
    const dueMs = oldest.sinceMs + stalledAfterMs;
    const stalled = dueMs <= this.#nowMs;
    // While something is stalled, each step looks whether it still is.
    state.watchAtMs = stalled ? Number.POSITIVE_INFINITY : dueMs;
    if (stalled === state.stalled) return;
    state.stalled = stalled;
    if (stalled) this.#effects.push({ type: "stalled", stall: this.#explainStall(oldest) });
    else this.#effects.push({ type: "resumed" });
  }

  /** What has waited for the longest time: never, if nothing does. */
  #oldest(): Waits {
    let oldest: Waits = { sinceMs: Number.POSITIVE_INFINITY };
    const note = (waits: Waits): void => {
      if (waits.sinceMs < oldest.sinceMs) oldest = waits;
    };
    this.state.origins.forEach(({ unsafe, waiting, line, loose, missingSinceMs }, gap) => {
      for (const held of [unsafe[0], waiting[0], line[0], loose.values().next().value])
        if (held) note({ sinceMs: held.atMs, held });
      note({ sinceMs: missingSinceMs, gap });
    });
    if (!this.room) note({ sinceMs: this.state.unstableSinceMs });
    return oldest;
  }

  #explainStall({ sinceMs, held, gap }: Waits): Stall {
    const stall = (members: readonly ProcessId[], explanation: GroupExplanation): Stall => ({
      ...{ sinceMs, members: [...new Set(members)].sort(), explanation },
    });
    if (held) {
      const one = this.#explainHeld(held);
      return stall(this.#blamed(one), this.#explanation([one], [], undefined));
    }
    const missing = gap === undefined ? undefined : this.#explainGap(gap);
    if (missing)
      return stall(
        this.#bringers(missing.from, missing.first),
        this.#explanation([], [missing], undefined),
      );
    const unstable = this.#explainUnstable();
    if (!unstable) return stall([], this.#explanation([], [], undefined));
    // Who has the oldest holds nobody up, and will say the rest soon.
    const by = unstable.by.filter(({ first }) => first === this.#origin(this.#self).keptFrom);
    const late = by.map(({ member }) => member);
    return stall(late, this.#explanation([], [], { ...unstable, by }));
  }

  /** The members that a packet waits for in the end, through those that wait themselves. */
  #blamed(first: HeldPacket): readonly ProcessId[] {
    const { members } = this.state;
    const blamed: ProcessId[] = [];
    const seen = new Set<Held>();
    const waiting = [first];
    for (let one = waiting.pop(); one; one = waiting.pop()) {
      blamed.push(...one.members);
      for (const { from, number, here } of one.packets) {
        if (!here) blamed.push(...this.#bringers(from, number));
        const origin = this.#origin(members.indexOf(from));
        const held = here ? heldAt(origin).find((other) => other.number === number) : undefined;
        if (!held || seen.has(held)) continue;
        seen.add(held);
        waiting.push(this.#explainHeld(held));
      }
    }
    return blamed;
  }

  /** Who may bring a packet: its origin; if that is lost, who is known to have it. */
  #bringers(from: ProcessId, number: number): readonly ProcessId[] {
    const { members, have } = this.state;
    const index = members.indexOf(from);
    if (!this.#origin(index).lost) return [from];
    const others = members.filter(
      (id, member) => id !== from && (have[member]?.[index] ?? 0) >= number,
    );
    return others.length > 0 ? others : [from];
  }

  // What can be delivered.

  #progress(): void {
    for (let again = true; again; ) {
      again = false;
      for (const origin of this.state.origins) {
        while (this.#admitNext(origin)) again = true;
        while (this.#acceptNext(origin)) again = true;
        while (this.#deliverNext(origin)) again = true;
      }
      while (this.#deliverLoose()) again = true;
      const { packet, proposals } = this.#order.take();
      for (const { to, entries } of proposals)
        this.#word([this.state.members[to] as ProcessId], "proposals", entries);
      if (!packet) continue;
      this.#position(packet.kind, packet.entries);
      again = true;
    }
  }

  /** Of a uniform group: a majority has it. */
  #admitNext({ unsafe }: Origin): boolean {
    const [first] = unsafe;
    if (!first) return false;
    const { have, members } = this.state;
    const owners = have.filter((has) => (has[first.origin] ?? 0) >= first.number);
    if (owners.length * 2 <= members.length) return false;
    unsafe.shift();
    this.#admit(first);
    return true;
  }

  #acceptNext(origin: Origin): boolean {
    const [first] = origin.waiting;
    if (!first || this.#missing(first, "accepted").length > 0) return false;
    origin.waiting.shift();
    origin.accepted = first.number;
    if (isFifo(first.kind)) origin.line.push(first);
    else origin.loose.set(first.number, first);
    if (isTotal(first.kind)) this.#order.accepted(first);
    return true;
  }

  #deliverNext(origin: Origin): boolean {
    const [first] = origin.line;
    if (!first) return false;
    if (isTotal(first.kind)) {
      const { next } = this.#order;
      if (next?.origin !== first.origin || next.number !== first.number) return false;
    }
    if (this.#missing(first, "delivered").length > 0) return false;
    origin.line.shift();
    if (isTotal(first.kind)) this.#order.delivered();
    this.#deliver(first);
    return true;
  }

  /** Total order without FIFO order. */
  #deliverLoose(): boolean {
    const { next } = this.#order;
    const loose = next && this.#origin(next.origin).loose;
    const held = next && loose?.get(next.number);
    if (!held) return false;
    loose?.delete(held.number);
    this.#order.delivered();
    this.#deliver(held);
    return true;
  }

  /** What happened before a causal packet, and is not there yet. Those of its own origin stand before it in the line. */
  #missing({ kind, origin, stamp }: Held, there: "accepted" | "delivered"): readonly Place[] {
    if (!isCausal(kind)) return NONE;
    const missing: Place[] = [];
    stamp.forEach((number, of) => {
      if (of !== origin && number > this.#origin(of)[there]) missing.push({ origin: of, number });
    });
    return missing;
  }

  #deliver(held: Held): void {
    const { origin, number, kind, to, count, bytes, stamp, own, atMs: sinceMs } = held;
    const { stamp: now, members } = this.state;
    stamp.forEach((last, of) => {
      if (last > (now[of] ?? 0)) now[of] = last;
    });
    if (own > (now[origin] ?? 0)) now[origin] = own;
    this.#origin(origin).heldBytes -= bytes.length;
    if (isCausal(kind)) this.#origin(origin).delivered = number;
    if (to !== ALL && to !== this.#self) return;
    const from = members[origin] as ProcessId;
    const level = kind as OrderLevel;
    const alone = to !== ALL;
    const body = messagesOf(bytes);
    this.#delivered[level] = (this.#delivered[level] ?? 0) + count;
    const delivered = { from, alone, level, number, count, body, stamp, sinceMs };
    this.#effects.push({ type: "deliver", ...delivered });
  }
}

/** The first packet of an origin that is here and not delivered. */
function firstHeldAt({ unsafe, waiting, line, loose }: Origin): number {
  const [first = Number.POSITIVE_INFINITY] = loose.keys();
  let least = first;
  for (const [held] of [unsafe, waiting, line]) if (held) least = Math.min(least, held.number);
  return least;
}

/** All packets of an origin that are here and not delivered. */
function heldAt({ unsafe, waiting, line, loose }: Origin): readonly Held[] {
  return [...unsafe, ...waiting, ...line, ...loose.values()];
}

/** A packet with messages that a member has yet to deliver. */
interface Undelivered {
  readonly from: ProcessId;
  readonly to: ProcessId;
  /** Its messages, as records. */
  readonly body: Uint8Array;
}

/**
 * What members have yet to deliver, by the states of all of them at one consistent cut: each packet once for each member that it is for.
 *
 * What a member has not taken is not stable, so its origin keeps it; what it has taken and not delivered is held back. So it makes no
 * difference which copies are on their way. Of an origin that began again without its state nothing is known.
 */
export function undeliveredIn(states: ReadonlyMap<ProcessId, GroupState>): {
  readonly packets: readonly Undelivered[];
  readonly problems: readonly string[];
} {
  const packets: Undelivered[] = [];
  const problems: string[] = [];
  for (const [to, { members, origins }] of states) {
    const self = members.indexOf(to);
    origins.forEach((origin, index) => {
      const from = members[index] as ProcessId;
      const own = states.get(from)?.origins[index];
      const add = (bytes: Uint8Array): void => {
        const read = decodePacket(bytes, members.length);
        if (typeof read === "string" || !("number" in read) || read.entries.length > 0) return;
        if (read.to !== ALL && read.to !== self) return;
        packets.push({ from, to, body: messagesOf(bytes) });
      };
      for (const { bytes } of heldAt(origin)) add(bytes);
      if (!own) problems.push(`the state of ${from}, which is a member, is not there`);
      else if (origin.replaced || (origin.life !== 0 && origin.life !== own.life))
        problems.push(`${from} began again without its state; ${to} knows it from before`);
      else if (own.keptFrom > origin.received + 1)
        problems.push(`${from} does not keep what ${to} lacks`);
      else for (const bytes of own.kept.slice(origin.received + 1 - own.keptFrom)) add(bytes);
    });
  }
  return { packets, problems };
}
