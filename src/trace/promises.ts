/**
 * Which promises of reliable and ordered multicast a history keeps. It stands outside the machines: it knows what was multicast and
 * what was delivered, and nothing of how.
 *
 * The definitions are those of Hadzilacos and Toueg, "A Modular Approach to Fault-Tolerant Broadcasts and Related Problems", 1994,
 * TR 94-1425, §3.1 to §3.8, in their form for groups (local order: between messages of one group). Causal order is that of
 * Birman, Schiper and Stephenson, "Lightweight Causal and Atomic Group Multicast", 1991. A process is correct if it does not crash.
 *
 * Theory of operation. No two messages are compared unless they are neighbours.
 * - FIFO order: if each delivery has the sender's message just before it behind it, it has all of them behind it.
 * - Causal order: the messages of a sender that happened before a multicast are its first so many. So for each sender it is enough
 *   to look at the first message that has not been delivered yet, until something is wrong.
 * - Total order: two processes agree on all pairs of messages exactly if they agree on all neighbours, among those that both delivered.
 */

import { TidemarkError } from "../core/error.ts";
import { ORDER_LEVELS, type OrderLevel, type OrderPromise } from "../core/order-level.ts";
import { countBefore, type Linear, linearize, shortestChain } from "./happens-before.ts";
import type { EventPlace, History, NumberedEvent } from "./history.ts";
import type { MessageId } from "./permute.ts";

/** What is promised of a group, by the names of Hadzilacos and Toueg. */
export type PromiseName = "validity" | "agreement" | "integrity" | OrderPromise;

/** How to judge a history. */
export interface CheckOptions {
  /** Judge all messages by this level. @default what each message asked for */
  readonly order?: OrderLevel;
  /** Also of processes that crash (§3.8): agreement, integrity and order hold of what they did before. @default false */
  readonly uniform?: boolean;
}

/** Why a promise does not hold. */
export interface Witness {
  /** As few events as show it, in an order in which they can have happened, if there is one. */
  readonly events: readonly NumberedEvent[];
  /** Which of them must not be where it is. */
  readonly wrong?: number;
  /** Or the delivery that must be there and is not. */
  readonly missing?: Omission;
}

/** A delivery that there is not. */
export interface Omission {
  readonly process: string;
  readonly group: string;
  readonly message: MessageId;
}

/** What has come of one promise. */
export type Verdict = {
  readonly promise: PromiseName;
  /** Whether processes that crash were held to it. */
  readonly uniform: boolean;
} & (
  | {
      readonly holds: true;
      /** How many messages (validity and agreement) or deliveries it was judged of. */
      readonly judged: number;
    }
  | { readonly holds: false; readonly reason: string; readonly witness: Witness }
  /** It could not be judged. */
  | { readonly holds: null; readonly reason: string }
);

type Finding = { readonly reason: string; readonly witness: Witness | null } | number;

/**
 * Judges every promise that some message of the history includes. Of a promise that does not hold the witness is smallest: for
 * causal order, of the first wrong delivery of a process the shortest chain that leads to it.
 *
 * Takes time in proportion to the events × the processes that multicast (causal order) or deliver (total order), and about 100 bytes
 * an event.
 *
 * @throws TidemarkError `BAD_OPTION` for a level that there is not
 *
 * @example
 * ```ts
 * import { checkHistory, parseHistory } from "tidemark/trace";
 * // Two members deliver two messages in different orders. Nobody promised more than FIFO.
 * const history = parseHistory(`
 *   {"process":"p","type":"multicast","group":"g","message":"a","order":"fifo"}
 *   {"process":"q","type":"multicast","group":"g","message":"b","order":"fifo"}
 *   {"process":"p","type":"deliver","group":"g","message":"a"}
 *   {"process":"p","type":"deliver","group":"g","message":"b"}
 *   {"process":"q","type":"deliver","group":"g","message":"b"}
 *   {"process":"q","type":"deliver","group":"g","message":"a"}`);
 * const all = checkHistory(history).every(({ holds }) => holds);
 * const total = checkHistory(history, { order: "total" }).find(({ promise }) => promise === "total order");
 * if (!all || total?.holds !== false) throw new Error("each keeps what it was asked for");
 * ```
 */
export function checkHistory(history: History, options: CheckOptions = {}): Verdict[] {
  const { order } = options;
  if (order !== undefined && !Object.hasOwn(ORDER_LEVELS, order))
    throw new TidemarkError(
      "BAD_OPTION",
      `order is one of ${Object.keys(ORDER_LEVELS).join(", ")}, not ${JSON.stringify(order)}`,
    );
  return new Judge(history, options).verdicts();
}

/** How many senders are counted at a time for causal order: 4 bytes each and message. */
const SENDERS_AT_A_TIME = 32;
const NEVER = 2 ** 31 - 1;

class Judge {
  readonly #history: History;
  readonly #order: OrderLevel | undefined;
  readonly #uniform: boolean;
  readonly #linear: Linear;
  /** Of whom the promises are judged: the correct processes, or all. */
  readonly #judged: readonly number[];
  /** In which round `#firstDeliveries` has last met a message. */
  readonly #met: Int32Array;
  #round = 0;

  constructor(history: History, { order, uniform = false }: CheckOptions) {
    history.settle();
    this.#history = history;
    this.#order = order;
    this.#uniform = uniform;
    this.#linear = linearize(history);
    this.#met = new Int32Array(history.messages.length);
    const all = history.processes.map((_, process) => process);
    this.#judged = uniform ? all : all.filter((process) => history.isCorrect(process));
  }

  verdicts(): Verdict[] {
    const promised = new Set<PromiseName>(["validity", "agreement", "integrity"]);
    const levels = this.#order ? [this.#order] : new Set(this.#history.messages.levels);
    for (const level of levels) for (const promise of ORDER_LEVELS[level]) promised.add(promise);
    const judges: Readonly<Record<PromiseName, () => Finding>> = {
      validity: () => this.#validity(),
      agreement: () => this.#agreement(),
      integrity: () => this.#integrity(),
      "FIFO order": () => this.#fifo(),
      "causal order": () => this.#causal(),
      "total order": () => this.#total(),
    };
    return Object.entries(judges)
      .filter(([promise]) => promised.has(promise as PromiseName))
      .map(([name, judge]): Verdict => {
        const promise = name as PromiseName;
        const finding = judge();
        // Of validity there is no uniform form: what a process that crashes has multicast may be lost.
        const common = { promise, uniform: this.#uniform && promise !== "validity" };
        if (typeof finding === "number") return { ...common, holds: true, judged: finding };
        const { reason, witness } = finding;
        return witness
          ? { ...common, holds: false, reason, witness }
          : { ...common, holds: null, reason };
      });
  }

  /**
   * §3.1: a correct process that multicasts m delivers m. If it is no member, some correct member does; if m is for one member, that
   * one does.
   */
  #validity(): Finding {
    if (!this.#history.complete) return CUT_OFF;
    const { messages, processes } = this.#history;
    const bySender = new Uint8Array(messages.length);
    const byCorrect = new Uint8Array(messages.length);
    for (const p of processes.keys()) {
      const correct = this.#history.isCorrect(p);
      this.#firstDeliveries(p, (m) => {
        if (messages.senders.at(m) === p) bySender[m] = 1;
        if (correct && this.#history.isFor(m, p)) byCorrect[m] = 1;
      });
    }
    let judged = 0;
    for (let m = 0; m < messages.length; m += 1) {
      const [group, sender] = [messages.groups.at(m), messages.senders.at(m)];
      if (group < 0 || sender < 0 || !this.#history.isCorrect(sender)) continue;
      judged += 1;
      const members = this.#history.members(group);
      const delivers = members.has(sender) && this.#history.isFor(m, sender);
      if ((delivers ? bySender : byCorrect)[m] === 1) continue;
      const missing = delivers
        ? sender
        : [...members].find(
            (member) => this.#history.isCorrect(member) && this.#history.isFor(m, member),
          );
      if (missing === undefined) continue;
      const never =
        missing === sender
          ? "never delivers it"
          : messages.receivers.at(m) < 0
            ? "no correct member of the group delivers it"
            : `${this.#process(missing)}, which it is for and which is correct, never delivers it`;
      return {
        reason: `${this.#process(sender)} is correct and multicasts ${this.#message(m)}, but ${never}`,
        witness: this.#witness([this.#source(m)], { missing: [missing, m] }),
      };
    }
    return judged;
  }

  /** §3.1: if a correct member delivers m, all correct members do. Uniform (§3.8): if any member does. */
  #agreement(): Finding {
    if (!this.#history.complete) return CUT_OFF;
    const { messages } = this.#history;
    /** How many correct members deliver it; and, plus 1, a member for whose sake all of them must. */
    const count = new Int32Array(messages.length);
    const witnessed = new Int32Array(messages.length);
    for (const p of this.#judged) {
      const one = this.#history.isCorrect(p) ? 1 : 0;
      this.#firstDeliveries(p, (m) => {
        count[m] = (count[m] as number) + one;
        if (witnessed[m] === 0) witnessed[m] = p + 1;
      });
    }
    const correctMembers = this.#history.groups.map((_, group) =>
      [...this.#history.members(group)].filter((member) => this.#history.isCorrect(member)),
    );
    let judged = 0;
    for (let m = 0; m < messages.length; m += 1) {
      const p = (witnessed[m] as number) - 1;
      // What is for one member is delivered by that one, or by none.
      if (p < 0 || messages.receivers.at(m) >= 0) continue;
      judged += 1;
      const members = correctMembers[messages.groups.at(m)] as number[];
      if (count[m] === members.length) continue;
      const missing = members.find((member) => !this.#delivery(member, m)) as number;
      const crashes = this.#history.isCorrect(p) ? "" : " and crashes";
      return {
        reason:
          `${this.#process(p)} delivers ${this.#message(m)}${crashes}, ` +
          `but ${this.#process(missing)}, which is correct, never does`,
        witness: this.#witness([this.#source(m), this.#delivery(p, m)], {
          missing: [missing, m],
          crash: p,
        }),
      };
    }
    return judged;
  }

  /** §3.1: m is delivered at most once, by members, and only after its sender has multicast it. */
  #integrity(): Finding {
    const { messages } = this.#history;
    const { circle } = this.#linear;
    if (circle) {
      const [arrival] = circle as [EventPlace, ...EventPlace[]];
      const m = this.#messageOf(arrival);
      const how =
        messages.groups.at(m) < 0
          ? `receives ${messages.names[m]} before it is sent`
          : `delivers ${this.#message(m)} before it is multicast`;
      const round = circle.length > 2 ? `, for ${circle.length} events go round in a circle` : "";
      return {
        reason: `${this.#process(arrival.process)} ${how}${round}`,
        witness: this.#witness([...circle], { wrong: arrival }),
      };
    }
    let judged = 0;
    for (const p of this.#judged) {
      const timeline = this.#history.timeline(p);
      this.#round += 1;
      for (let position = 0; position < timeline.length; position += 1) {
        if (!timeline.isDelivery(position)) continue;
        judged += 1;
        const m = timeline.message(position);
        const again = this.#met[m] === this.#round;
        const what = again ? "a second time" : this.#flawOf(p, position);
        this.#met[m] = this.#round;
        if (what === undefined) continue;
        const wrong = { process: p, position };
        return {
          reason: `${this.#process(p)} delivers ${this.#message(m)}${again ? "" : ","} ${what}`,
          witness: this.#witness(
            [this.#source(m), again ? this.#delivery(p, m) : undefined, wrong],
            { wrong },
          ),
        };
      }
    }
    return judged;
  }

  /** What is wrong with a delivery by itself. */
  #flawOf(p: number, position: number): string | undefined {
    const { messages } = this.#history;
    const timeline = this.#history.timeline(p);
    const m = timeline.message(position);
    const sender = messages.senders.at(m);
    const claim = timeline.claims.at(position);
    if (sender < 0) return this.#history.late ? undefined : "which nobody has multicast";
    if (claim >= 0 && claim !== sender)
      return `held to be from ${this.#process(claim)}, but it was multicast by ${this.#process(sender)}`;
    if (!this.#history.members(messages.groups.at(m)).has(p))
      return "but is no member of the group";
    if (this.#history.isFor(m, p)) return undefined;
    return `which is for ${this.#process(messages.receivers.at(m))} alone`;
  }

  /** §3.2: what a process multicast first is delivered first; nothing is delivered without what came before it. */
  #fifo(): Finding {
    if (this.#history.late) return LATE;
    const { timelines, messages } = this.#history;
    const included = this.#included("FIFO order");
    /** Of each message the one of the same sender and group just before it, of those that p is to deliver. */
    const previousFor = this.#forEach((p) => {
      const previous = new Int32Array(messages.length).fill(-1);
      const last = new Int32Array(this.#history.groups.length);
      for (const timeline of timelines) {
        last.fill(-1);
        for (let position = 0; position < timeline.length; position += 1) {
          const m = timeline.message(position);
          if (!timeline.isMulticast(position) || included[m] === 0) continue;
          previous[m] = last[messages.groups.at(m)] as number;
          if (this.#history.isFor(m, p)) last[messages.groups.at(m)] = m;
        }
      }
      return previous;
    });
    let judged = 0;
    for (const p of this.#judged) {
      const previous = previousFor(p);
      let wrong: EventPlace | undefined;
      this.#firstDeliveries(p, (m, position) => {
        if (included[m] === 0) return true;
        judged += 1;
        const before = previous[m] as number;
        if (before < 0 || this.#met[before] === this.#round) return true;
        wrong = { process: p, position };
        return false;
      });
      if (!wrong) continue;
      const later = this.#messageOf(wrong);
      const earlier = previous[later] as number;
      const sender = this.#process(messages.senders.at(later));
      return {
        reason:
          `${sender} multicasts ${this.#message(earlier)} before ${messages.names[later]}, ` +
          `but ${this.#overtaken(p, earlier, later)}`,
        witness: this.#witness(
          [this.#source(earlier), this.#source(later), wrong, this.#delivery(p, earlier)],
          { wrong },
        ),
      };
    }
    return judged;
  }

  /** §3.3: if the multicast of m happened before that of m′, nobody delivers m′ without m behind it. */
  #causal(): Finding {
    if (this.#history.late) return LATE;
    const { turns } = this.#linear;
    if (!turns)
      return {
        reason:
          "some events happened before themselves, so there is no causal order: see integrity",
        witness: null,
      };
    const included = this.#included("causal order");
    const senders = this.#senders(included);
    /** Of each process its first wrong delivery. */
    const wrong = new Map<number, number>();
    let judged = 0;
    for (let first = 0; first < senders.length; first += SENDERS_AT_A_TIME) {
      const some = senders.slice(first, first + SENDERS_AT_A_TIME);
      const check = this.#causalCheck(turns, included, some);
      judged = 0;
      for (const p of this.#judged) {
        const { position, deliveries } = check(p);
        judged += deliveries;
        if (position >= 0) wrong.set(p, Math.min(position, wrong.get(p) ?? NEVER));
      }
    }
    let shortest: { chain: EventPlace[]; wrong: EventPlace } | undefined;
    for (const [process, position] of wrong) {
      const found = this.#causalChain({ process, position }, included);
      if (!shortest || found.length < shortest.chain.length)
        shortest = { chain: found, wrong: { process, position } };
    }
    if (!shortest) return judged;
    const { chain } = shortest;
    const earlier = this.#messageOf(chain[0] as EventPlace);
    const later = this.#messageOf(shortest.wrong);
    const p = shortest.wrong.process;
    return {
      reason:
        `the multicast of ${this.#message(earlier)} happened before that of ` +
        `${this.#history.messages.names[later]}, but ${this.#overtaken(p, earlier, later)}`,
      witness: this.#witness([...chain, shortest.wrong, this.#delivery(p, earlier)], {
        wrong: shortest.wrong,
      }),
    };
  }

  /** Makes what looks for the first delivery of a process that lacks a message of one of these senders. */
  #causalCheck(
    turns: Int32Array,
    included: Uint8Array,
    senders: readonly number[],
  ): (p: number) => { position: number; deliveries: number } {
    const { timelines, messages, groups } = this.#history;
    const { values, width } = countBefore(this.#history, turns, senders);
    /** Which of its sender's multicasts a message is. */
    const ordinal = new Int32Array(messages.length);
    const column = new Int32Array(timelines.length).fill(-1);
    for (const [i, sender] of senders.entries()) column[sender] = i;
    const chainsFor = this.#forEach((p) => {
      /** Of a message the next one of the same sender and group, of those that are judged and that p is to deliver. */
      const next = new Int32Array(messages.length).fill(-1);
      /** For group `g` and the `i`-th sender at `g * width + i`: the first such message. */
      const first = new Int32Array(groups.length * width).fill(-1);
      const last = new Int32Array(groups.length);
      for (const [i, sender] of senders.entries()) {
        last.fill(-1);
        const timeline = this.#history.timeline(sender);
        let count = 0;
        for (let position = 0; position < timeline.length; position += 1) {
          if (!timeline.isMulticast(position)) continue;
          const m = timeline.message(position);
          ordinal[m] = count++;
          if (included[m] === 0 || !this.#history.isFor(m, p)) continue;
          const group = messages.groups.at(m);
          const before = last[group] as number;
          if (before < 0) first[group * width + i] = m;
          else next[before] = m;
          last[group] = m;
        }
      }
      return { first, next };
    });
    const due = new Int32Array(groups.length * width);
    return (p) => {
      const { first, next } = chainsFor(p);
      for (const [i, m] of first.entries()) due[i] = m < 0 ? NEVER : (ordinal[m] as number);
      let wrong = -1;
      let deliveries = 0;
      this.#firstDeliveries(p, (m, position) => {
        if (included[m] === 0) return true;
        deliveries += 1;
        const [base, its] = [messages.groups.at(m) * width, m * width];
        for (let i = 0; i < width; i += 1) {
          if ((due[base + i] as number) >= (values[its + i] as number)) continue;
          wrong = position;
          return false;
        }
        const from = column[messages.senders.at(m)] as number;
        if (from >= 0 && this.#history.isFor(m, p)) {
          const after = next[m] as number;
          due[base + from] = after < 0 ? NEVER : (ordinal[after] as number);
        }
        return true;
      });
      return { position: wrong, deliveries };
    };
  }

  /** The shortest way on which the multicast of a message that is not delivered by then happened before that of the one that is. */
  #causalChain(wrong: EventPlace, included: Uint8Array): EventPlace[] {
    const later = this.#messageOf(wrong);
    const { messages } = this.#history;
    const group = messages.groups.at(later);
    const round = this.#firstDeliveries(wrong.process, (_, position) => position < wrong.position);
    const chain = shortestChain(
      this.#history,
      this.#source(later) as EventPlace,
      (m) =>
        included[m] === 1 &&
        messages.groups.at(m) === group &&
        this.#history.isFor(m, wrong.process) &&
        this.#met[m] !== round,
    );
    if (!chain) throw new Error("a wrong delivery lacks no message");
    return chain;
  }

  /** §3.4: two processes that both deliver m and m′ deliver them in the same order. */
  #total(): Finding {
    const { messages, groups } = this.#history;
    const included = this.#included("total order");
    let judged = 0;
    const deliveries = this.#judged.map((p) => {
      const list = new Int32Array(this.#history.timeline(p).length);
      let length = 0;
      this.#firstDeliveries(p, (m) => {
        if (included[m] === 1) list[length++] = m;
      });
      judged += length;
      return list.subarray(0, length);
    });
    const rank = new Int32Array(messages.length);
    const last = new Int32Array(groups.length);
    for (const [i, p] of this.#judged.entries()) {
      rank.fill(-1);
      for (const [at, m] of (deliveries[i] as Int32Array).entries()) rank[m] = at;
      for (let j = i + 1; j < this.#judged.length; j += 1) {
        last.fill(-1);
        for (const m of deliveries[j] as Int32Array) {
          const at = rank[m] as number;
          if (at < 0) continue;
          const group = messages.groups.at(m);
          const before = last[group] as number;
          if (at < before) {
            const other = (deliveries[i] as Int32Array)[before] as number;
            return this.#disagreement([p, this.#judged[j] as number], [m, other]);
          }
          last[group] = at;
        }
      }
    }
    return judged;
  }

  /** The first process delivers the first message first. */
  #disagreement([p, q]: readonly [number, number], [a, b]: readonly [number, number]): Finding {
    const name = (m: number): MessageId => this.#history.messages.names[m] as MessageId;
    const wrong = this.#delivery(q, a) as EventPlace;
    return {
      reason:
        `${this.#process(p)} delivers ${this.#message(a)} before ${name(b)}, ` +
        `but ${this.#process(q)} delivers ${name(b)} before ${name(a)}`,
      witness: this.#witness(
        [
          ...[this.#source(a), this.#source(b), this.#delivery(p, a), this.#delivery(p, b)],
          ...[this.#delivery(q, b), wrong],
        ],
        { wrong },
      ),
    };
  }

  /**
   * Goes through the deliveries of messages of a process' groups, without those that are not the first of their message, as
   * long as `visit` does not give false. Gives the number of the round: by it `#met` knows what has come, also meanwhile.
   */
  #firstDeliveries(process: number, visit: (message: number, position: number) => unknown): number {
    const timeline = this.#history.timeline(process);
    const { groups } = this.#history.messages;
    const round = ++this.#round;
    let [group, member] = [-1, false];
    for (let position = 0; position < timeline.length; position += 1) {
      if (!timeline.isDelivery(position)) continue;
      const m = timeline.message(position);
      if (groups.at(m) !== group) {
        group = groups.at(m);
        member = this.#history.members(group).has(process);
      }
      if (!member || this.#met[m] === round) continue;
      if (visit(m, position) === false) break;
      this.#met[m] = round;
    }
    return round;
  }

  /** What `make` makes for a process: the same for all, unless some messages are for one of them. */
  #forEach<T>(make: (process: number) => T): (process: number) => T {
    if (this.#history.addressed) return make;
    let made: T | undefined;
    return (process) => (made ??= make(process));
  }

  /** Which messages are judged by a promise: 1 at each that has been multicast at a level that includes it. */
  #included(promise: OrderPromise): Uint8Array {
    const { messages } = this.#history;
    const included = new Uint8Array(messages.length);
    for (let m = 0; m < messages.length; m += 1) {
      if (messages.groups.at(m) < 0 || messages.positions.at(m) < 0) continue;
      const level = this.#order ?? (messages.levels[m] as OrderLevel);
      if (ORDER_LEVELS[level].includes(promise)) included[m] = 1;
    }
    return included;
  }

  #senders(included: Uint8Array): number[] {
    const senders = new Set<number>();
    for (const [m, one] of included.entries())
      if (one === 1) senders.add(this.#history.messages.senders.at(m));
    return [...senders];
  }

  #messageOf({ process, position }: EventPlace): number {
    return this.#history.timeline(process).message(position);
  }

  /** The multicast of a message; nothing if there is none. */
  #source(m: number): EventPlace | undefined {
    const { senders, positions } = this.#history.messages;
    return positions.at(m) < 0 ? undefined : { process: senders.at(m), position: positions.at(m) };
  }

  /** The first delivery of a message by a process; nothing if there is none. */
  #delivery(process: number, message: number): EventPlace | undefined {
    const timeline = this.#history.timeline(process);
    for (let position = 0; position < timeline.length; position += 1)
      if (timeline.isDelivery(position) && timeline.message(position) === message)
        return { process, position };
    return undefined;
  }

  /** What is to be shown: whatever there is of these events. */
  #witness(
    places: readonly (EventPlace | undefined)[],
    {
      wrong,
      missing,
      crash,
    }: {
      wrong?: EventPlace;
      missing?: readonly [process: number, message: number];
      crash?: number;
    },
  ): Witness {
    const sorted = this.#inOrder(places.filter((place) => place !== undefined));
    const events = sorted.map((place) => this.#history.event(place));
    if (crash !== undefined && !this.#history.isCorrect(crash))
      events.push(this.#history.crash(crash));
    if (missing) {
      const [process, m] = missing;
      const { groups, names } = this.#history.messages;
      const group = this.#history.groups[groups.at(m)] as string;
      const message = names[m] as MessageId;
      return { events, missing: { process: this.#process(process), group, message } };
    }
    const at = sorted.findIndex(
      ({ process, position }) => process === wrong?.process && position === wrong.position,
    );
    return { events, wrong: at };
  }

  /** In an order in which they can have happened: that of their lines if it is one; as they are if there is none. */
  #inOrder(places: readonly EventPlace[]): readonly EventPlace[] {
    const { timelines } = this.#history;
    const { turns } = this.#linear;
    if (!turns) return places;
    const lineOf = ({ process, position }: EventPlace): number =>
      this.#history.timeline(process).lines.at(position);
    if (this.#linesAgree()) return places.toSorted((a, b) => lineOf(a) - lineOf(b));
    const sorted: EventPlace[] = [];
    const next = new Int32Array(timelines.length);
    for (const process of turns) {
      const position = next[process] as number;
      next[process] = position + 1;
      const found = places.find((one) => one.process === process && one.position === position);
      if (found) sorted.push(found);
    }
    return sorted;
  }

  /** True if nothing arrives in a line before the one in which it was multicast or sent. */
  #linesAgree(): boolean {
    const { timelines, messages } = this.#history;
    return timelines.every((timeline) => {
      for (let i = 0; i < timeline.length; i += 1) {
        const m = timeline.message(i);
        const position = messages.positions.at(m);
        if (!timeline.isArrival(i) || position < 0) continue;
        const source = this.#history.timeline(messages.senders.at(m));
        if (source.lines.at(position) > timeline.lines.at(i)) return false;
      }
      return true;
    });
  }

  #process(index: number): string {
    return this.#history.processes[index] as string;
  }

  /** A message, and of which group it is if there are several. */
  #message(m: number): string {
    const { groups, messages } = this.#history;
    const name = `${messages.names[m]}`;
    return groups.length > 1 ? `${name} of ${groups[messages.groups.at(m)]}` : name;
  }

  #overtaken(p: number, earlier: number, later: number): string {
    const { names } = this.#history.messages;
    const how = this.#delivery(p, earlier)
      ? `before ${names[earlier]}`
      : `without ${names[earlier]}`;
    return `${this.#process(p)} delivers ${names[later]} ${how}`;
  }
}

const LATE: Finding = {
  reason: "the history does not go back to the beginning, and what is missing may have been before",
  witness: null,
};
const CUT_OFF: Finding = {
  reason: "the history was cut off, and what is missing may still have come",
  witness: null,
};
