/**
 * Gives an application groups: `turn.multicast`, and `deliver`. It stands between a process and the application, and is an
 * application itself: packets of the groups are messages on its channels, and the machines of the groups are a part of its state.
 *
 * So a snapshot has all of a group that there is without knowing of groups: what is held back, counted and ordered is in the states of
 * processes, and packets under way are in those of channels. Whoever goes on from one delivers what was not delivered then, and
 * nothing twice.
 *
 * What an application multicasts in a turn leaves when the turn ends, as one packet for each run of messages of one level.
 *
 * A process that starts without its state is no member any more, whatever its name: its packets are of another *life* (multicast/group.ts).
 */

import { type ErrorCode, isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { ProcessObserver } from "../core/observer.ts";
import { ORDER_LEVELS, type OrderLevel } from "../core/order-level.ts";
import type { Random } from "../core/random.ts";
import {
  copyOf,
  forEachRecord,
  joinBytes,
  readRecords,
  recordBytes,
  writeRecords,
} from "../core/record.ts";
import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";
import { describeStall, type GroupExplanation } from "../multicast/explanation.ts";
import {
  Group,
  type GroupEffect,
  type GroupInput,
  type GroupMeasures,
  type GroupState,
  type TotalOrderEngine,
  undeliveredIn,
} from "../multicast/group.ts";
import {
  ALL,
  type Draft,
  decodePacket,
  GROUPS_MAX,
  groupOf,
  MEMBERS_MAX,
  messagesOf,
} from "../multicast/packet.ts";
import {
  type Application,
  FrozenState,
  type PeerChange,
  type Renamed,
  type Turn,
} from "./application.ts";
import type { Codec } from "./codec.ts";
import type { Declarations } from "./declarations.ts";

/** One group; the same at all its members. */
export interface GroupSetup {
  readonly members: readonly ProcessId[];
  /**
   * How total order comes about: the first member gives it, all agree, or it stands in a log beside the processes (`orderLog` of
   * `startProcess`), so that it goes on whoever dies. @default "sequencer"
   */
  readonly total?: TotalOrderEngine;
  /** Whether what a member delivers that then dies is delivered by all that go on; with a log always. @default false */
  readonly uniform?: boolean;
}

/** What comes out of a group. */
export interface Delivery<M> {
  /** Who multicast it; may be this process. */
  readonly from: ProcessId;
  readonly message: M;
  readonly order: OrderLevel;
  /** What brought it. */
  readonly packet: DeliveredPacket;
}

/** Messages that one member multicast in one turn, with one order. */
export interface DeliveredPacket {
  /** Among the packets of that member, from 1. */
  readonly number: number;
  /**
   * For each member, in ascending order of their ids, its last causal packet that happened before this one; 0 for none, and for the
   * member that it is of.
   */
  readonly stamp: readonly number[];
  /** When it came here; it was held back since then. */
  readonly sinceMs: number;
}

/** What an application with groups can do during a turn. */
export interface GroupTurn<M, Reply = never> extends Turn<M, Reply> {
  /**
   * Sends a message to all members of a group, this process among them. False: it is sent, but so much is under way that it would be good
   * to stop until `groupWritable`.
   *
   * @param options.order what is promised of it; see docs/learn/multicast.md. @default "fifo"
   * @throws TidemarkError `UNKNOWN_GROUP`, `CHANNEL_FULL`, `MESSAGE_TOO_LARGE`, `BAD_MESSAGE`, `BAD_OPTION`
   */
  multicast(group: string, message: M, options?: { readonly order?: OrderLevel }): boolean;
  /**
   * Sends a message to another process, or to several.
   *
   * Without options by the channel to it, in no order with what groups deliver. With a group, as a message of that group that one member
   * gets, by `receive`: in order with what is multicast there, and with the promises of its level, even if the sender dies. Then it costs
   * what a multicast costs, for all keep it until all have it; and to oneself is allowed.
   *
   * @param options.order what is promised of it. @default "causal"
   * @throws TidemarkError `UNKNOWN_PROCESS`, `NO_CHANNEL`, `CHANNEL_FULL`, `MESSAGE_TOO_LARGE`, `BAD_MESSAGE`; with a group also
   *   `UNKNOWN_GROUP`, `BAD_OPTION`
   */
  send(to: ProcessId | readonly ProcessId[], message: M, options?: SendOptions): boolean;
}

/** A way for a message to one process: see `GroupTurn.send`. */
export interface SendOptions {
  readonly group: string;
  readonly order?: OrderLevel;
}

/** An application that is in groups: as `Application`, with what groups bring. */
export interface GroupApplication<M, State = unknown, Request = never, Reply = never>
  extends Declarations<M> {
  start?(turn: GroupTurn<M, Reply>): void;
  resume?(turn: GroupTurn<M, Reply>): void;
  receive?(from: ProcessId, message: M, turn: GroupTurn<M, Reply>): void;
  /** A message of a group: once, and in the order that was asked for. */
  deliver?(group: string, delivery: Delivery<M>, turn: GroupTurn<M, Reply>): void;
  request?(id: number, request: Request, turn: GroupTurn<M, Reply>): void;
  timer?(name: string, turn: GroupTurn<M, Reply>): void;
  writable?(to: ProcessId, turn: GroupTurn<M, Reply>): void;
  /** `multicast` gave false for that group, and now there is room again. */
  groupWritable?(group: string, turn: GroupTurn<M, Reply>): void;
  peer?(id: ProcessId, change: PeerChange, turn: GroupTurn<M, Reply>): void;
  capture(): State | FrozenState;
  /** As of `Application`. */
  values?(): Readonly<Record<string, unknown>> | undefined;
  restore(state: State, renamed?: Renamed): void;
}

/** What `Grouped` needs to know. */
export interface GroupedOptions<M, State, Request, Reply> {
  readonly self: ProcessId;
  readonly application: GroupApplication<M, State, Request, Reply>;
  /** By name. */
  readonly groups: Readonly<Record<string, GroupSetup>>;
  readonly messageCodec: Codec<M>;
  /** Bytes of own packets under way in one group before `multicast` gives false. @default 1 MiB */
  readonly windowBytes?: number;
  /** Bytes of own packets under way in one group before it throws. @default 16 MiB */
  readonly limitBytes?: number;
  /** Of the largest message; it must fit a frame of the transport. @default 8 KiB, which fits any */
  readonly maxMessageBytes?: number;
  /**
   * How long a packet may be missing, which others have, before all are asked for it, in milliseconds. Then twice as long each time.
   * @default 200
   */
  readonly askAfterMs?: number;
  /** Hears of what a peer sent that cannot be. */
  readonly onIrregular?: (reason: string) => void;
  /** Hears, once, of a group that does not go on, and whom it waits for; and, once, when it goes on again. */
  readonly onStalled?: (stall: GroupStall) => void;
  /** How long something may wait, or no room be, until `onStalled` hears of it, in milliseconds. @default 5000 */
  readonly stalledAfterMs?: number;
  /** Hears of all that is multicast and delivered here, in that order: as lines of JSON, a history that can be checked. */
  readonly onEvent?: (event: GroupEvent) => void;
}

/** A group in which something has waited for long. */
export interface GroupStall {
  readonly group: string;
  /** The members that it waits for in the end, ascending. */
  readonly members: readonly ProcessId[];
  /** Since when the oldest waits. */
  readonly sinceMs: number;
  /** It was so, and the group goes on. */
  readonly over: boolean;
  /** `GROUP_STALLED`: what waits the longest, and for what. As it was, if it is over. */
  readonly problem: TidemarkError;
}

/**
 * What happens in a group: a line of docs/internals/history-format.md. `message` names a message: who sent it, in which packet, and
 * which one of that.
 */
export type GroupEvent = { readonly process: ProcessId; readonly group: string } & (
  | {
      readonly type: "multicast";
      readonly message: string;
      readonly order: OrderLevel;
      /** If it is for one member alone. */
      readonly to?: ProcessId;
    }
  | { readonly type: "deliver"; readonly message: string; readonly from: ProcessId }
);

/** The state of an application and of its groups; of one that freezes its state, all slices. */
export type GroupedState<State> =
  | { readonly groups: Uint8Array; readonly state: State }
  | readonly GroupedSlice[];

/** The first slice has the groups, the others are the application's. */
export type GroupedSlice = { readonly groups: Uint8Array } | { readonly slice: unknown };

/** A message of a group that a member has yet to deliver. */
export interface MessageInGroup<M> {
  readonly group: string;
  readonly from: ProcessId;
  readonly to: ProcessId;
  readonly message: M;
}

/** A group in a captured state. */
interface SavedGroup {
  readonly name: string;
  readonly total: TotalOrderEngine;
  readonly state: GroupState;
  readonly congested: boolean;
}

/** All that is captured beside the application. */
interface Saved {
  readonly groups: readonly SavedGroup[];
  readonly full: readonly ProcessId[];
  readonly wakeAtMs: number;
}

const NOTHING_SAVED: Saved = { groups: [], full: [], wakeAtMs: Number.POSITIVE_INFINITY };

interface Named {
  readonly name: string;
  readonly members: readonly ProcessId[];
  readonly machine: Group;
  /** What is to be multicast at the end of the turn, in this order; the last one is open. */
  drafts: Draft[];
  draftBytes: number;
  congested: boolean;
  /** As it was told. */
  stall: GroupStall | undefined;
}

type Sent = Extract<GroupEffect, { type: "send" }>;
type Delivered = Extract<GroupEffect, { type: "deliver" }>;

const TIMER = "\u0000groups";
/** No packet is of this kind: what follows is a message from one process to another. */
const DIRECT = 255;
const TO_ALL: readonly number[] = [ALL];
const TELL_AFTER_MS = 20;
const ASK_AFTER_MS = 200;
const STALLED_AFTER_MS = 5_000;
const WINDOW_BYTES = 1024 * 1024;
const LIMIT_BYTES = 16 * WINDOW_BYTES;
const MESSAGE_BYTES = 8 * 1024;
const LEVELS: ReadonlySet<string> = new Set(Object.keys(ORDER_LEVELS));

/**
 * An application in groups, for `startProcess` and for worlds; see the head of the file. All processes of a system must have the same
 * `groups`, and channels between all members of each.
 *
 * @example
 * ```ts
 * import { Grouped, groupedCodecs, jsonCodec, MemoryNetwork, memoryStore, startProcess } from "tidemark";
 *
 * const ids = ["ann", "bob"];
 * const heard = new Map<string, string[]>();
 * const codecs = { messageCodec: jsonCodec<string>(), stateCodec: jsonCodec<unknown>() };
 * const network = new MemoryNetwork();
 * const running = await Promise.all(
 *   ids.map((id) => {
 *     const lines: string[] = [];
 *     heard.set(id, lines);
 *     const application = new Grouped<string, string[], string, null>({
 *       self: id,
 *       groups: { chat: { members: ids, total: "agreed" } },
 *       messageCodec: codecs.messageCodec,
 *       application: {
 *         request: (request, line, turn) => {
 *           turn.multicast("chat", line, { order: "total" });
 *           turn.reply(request, null);
 *         },
 *         deliver: (_group, { from, message }) => void lines.push(`${from}: ${message}`),
 *         capture: () => lines,
 *         restore: (state) => void lines.splice(0, lines.length, ...state),
 *       },
 *     });
 *     return startProcess({
 *       ...{ id, processes: ids, application, ...groupedCodecs<string, string[]>(codecs) },
 *       ...{ transport: network.transport(), store: memoryStore() },
 *     });
 *   }),
 * );
 * await Promise.all(running.map((one) => one.request(`hello from ${one.id}`)));
 * while ([...heard.values()].some((lines) => lines.length < 2)) await new Promise((done) => setTimeout(done, 5));
 * if (String(heard.get("ann")) !== String(heard.get("bob"))) throw new Error("both hear the same, in one order");
 * await Promise.all(running.map((one) => one.stop()));
 * ```
 */
export class Grouped<M, State, Request, Reply>
  implements Application<Uint8Array, GroupedState<State>, Request, Reply>
{
  readonly #options: GroupedOptions<M, State, Request, Reply>;
  readonly #groups = new Map<string, Named>();
  /** By the number in packets. */
  readonly #byNumber: (Named | undefined)[] = [];
  readonly #turn: GroupedTurn<M, Reply>;
  /** There if the application takes requests. */
  readonly request?: (id: number, request: Request, turn: Turn<Uint8Array, Reply>) => void;
  /** To whom something was not sent, for there was no room. */
  readonly #full = new Set<ProcessId>();
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #restored: Saved = NOTHING_SAVED;

  /** @throws TidemarkError `BAD_OPTION` */
  constructor(options: GroupedOptions<M, State, Request, Reply>) {
    this.#options = options;
    check(options);
    const { application } = options;
    if (application.request)
      this.request = (id, request, turn) =>
        this.#run(turn, (own) => application.request?.(id, request, own));
    this.#turn = new GroupedTurn<M, Reply>({
      send: (to, message, options, turn) =>
        options ? this.#sendInGroup(to, message, options) : turn.send(to, this.#direct(message)),
      multicast: (group, message, order) => this.#put(group, message, order, TO_ALL),
    });
  }

  /** What it was given. */
  get application(): GroupApplication<M, State, Request, Reply> {
    return this.#options.application;
  }

  /**
   * The message that came from one process to another by the channel between them; `undefined` if it is what members of a group send
   * each other. Changes nothing.
   * @throws whatever the codec does
   */
  readDirect(bytes: Uint8Array): { readonly message: M } | undefined {
    if (bytes[0] !== DIRECT) return undefined;
    return { message: this.#options.messageCodec.decode(copyOf(bytes.subarray(1))) };
  }

  /**
   * All messages of groups that members have yet to deliver, each once for each of these members: on its way, held back or kept by
   * others. Told from the states of all processes at one consistent cut; what the channels hold are copies. Changes nothing.
   *
   * @returns also why something is not known, if it is not
   */
  static undelivered<M>(all: ReadonlyMap<ProcessId, Grouped<M, unknown, never, never>>): {
    readonly messages: readonly MessageInGroup<M>[];
    readonly problems: readonly string[];
  } {
    const messages: MessageInGroup<M>[] = [];
    const problems: string[] = [];
    const names = new Set([...all.values()].flatMap((one) => [...one.#groups.keys()]));
    for (const group of [...names].sort()) {
      const states = new Map<ProcessId, GroupState>();
      for (const [id, one] of all) {
        const named = one.#groups.get(group);
        if (named) states.set(id, named.machine.state);
      }
      const found = undeliveredIn(states);
      problems.push(...found.problems.map((reason) => `group ${JSON.stringify(group)}: ${reason}`));
      for (const { from, to, body } of found.packets)
        for (const record of readRecords(body))
          try {
            const receiver = all.get(to) as Grouped<M, unknown, never, never>;
            const message = receiver.#options.messageCodec.decode(copyOf(record));
            messages.push({ group, from, to, message });
          } catch (thrown) {
            problems.push(
              `group ${JSON.stringify(group)}: a message of ${from} cannot be decoded: ${textOf(thrown)}`,
            );
          }
    }
    return { messages, problems };
  }

  /** What waits in that group, and for what; `describeGroup` says it in sentences. `undefined` of a group that this process is not in. */
  explain(group: string): GroupExplanation | undefined {
    return this.#groups.get(group)?.machine.explain();
  }

  measureGroups(): Readonly<Record<string, GroupMeasures>> {
    return Object.fromEntries(
      [...this.#groups].map(([name, { machine }]) => [name, machine.measures]),
    );
  }

  explainGroups(): Readonly<Record<string, GroupExplanation>> {
    return Object.fromEntries(
      [...this.#groups].map(([name, { machine }]) => [name, machine.explain()]),
    );
  }

  start(turn: Turn<Uint8Array, Reply>): void {
    // A life of its own, unless it goes on with the state of one.
    const life = 1 + turn.random.below(2 ** 32 - 1);
    this.#begin(life);
    this.#forgetTimes();
    for (const { name, members } of this.#groups.values())
      for (const id of members)
        if (id !== turn.self && !turn.peers.includes(id))
          throw new TidemarkError(
            "NO_CHANNEL",
            `group ${JSON.stringify(name)}: there is no channel from ${turn.self} to ${id}, which is a member`,
          );
    this.#stepStart(turn);
    this.#run(turn, (own) => this.#options.application.start?.(own));
  }

  resume(turn: Turn<Uint8Array, Reply>): void {
    this.#forgetTimes();
    this.#stepStart(turn);
    this.#run(turn, (own) => this.#options.application.resume?.(own));
  }

  /** Of another time, and other connections, than the state was captured in. */
  #forgetTimes(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    this.#full.clear();
  }

  #stepStart(turn: Turn<Uint8Array, Reply>): void {
    for (const one of this.#groups.values())
      this.#step(one, { type: "start", nowMs: turn.nowMs }, turn);
  }

  #begin(life: number): void {
    const { self, groups, windowBytes = WINDOW_BYTES } = this.#options;
    const { onStalled, stalledAfterMs = STALLED_AFTER_MS } = this.#options;
    const { askAfterMs = ASK_AFTER_MS } = this.#options;
    this.#groups.clear();
    this.#byNumber.length = 0;
    const restored = this.#restored;
    this.#wakeAtMs = restored.wakeAtMs;
    this.#full.clear();
    for (const id of restored.full) this.#full.add(id);
    const names = Object.keys(groups).sort();
    for (const [number, name] of names.entries()) {
      const { members, total = "sequencer", uniform = false } = groups[name] as GroupSetup;
      if (!members.includes(self)) continue;
      const sorted = [...members].sort();
      const saved = restored.groups.find((one) => one.name === name);
      const machine = new Group(
        {
          ...{ self, members: sorted, total, uniform, windowBytes, life, group: number },
          ...{ tellAfterMs: TELL_AFTER_MS, askAfterMs },
          ...(onStalled ? { stalledAfterMs } : {}),
        },
        saved?.state,
      );
      const named = {
        name,
        members: sorted,
        machine,
        drafts: [],
        draftBytes: 0,
        congested: saved?.congested ?? false,
        stall: undefined,
      };
      this.#groups.set(name, named);
      this.#byNumber[number] = named;
    }
  }

  receive(from: ProcessId, bytes: Uint8Array, turn: Turn<Uint8Array, Reply>): void {
    const { self } = this.#options;
    if (bytes[0] === DIRECT) {
      this.#receive(from, bytes.subarray(1), turn);
      return;
    }
    const group = this.#byNumber[groupOf(bytes)];
    if (!group) {
      this.#irregular(`a packet of ${from}: it is of no group that ${self} is in`);
      return;
    }
    this.#step(group, { type: "packet", from, bytes, nowMs: turn.nowMs }, turn);
    this.#run(turn);
  }

  /** A message from one process to another, in bytes that are lent. */
  #receive(from: ProcessId, content: Uint8Array, turn: Turn<Uint8Array, Reply>): void {
    const { application, messageCodec } = this.#options;
    let message: M;
    try {
      message = messageCodec.decode(messageCodec.bytes === "lent" ? content : copyOf(content));
    } catch (thrown) {
      this.#unreadable(from, thrown);
      return;
    }
    this.#run(turn, (own) => application.receive?.(from, message, own));
  }

  timer(name: string, turn: Turn<Uint8Array, Reply>): void {
    if (name !== TIMER) {
      this.#run(turn, (own) => this.#options.application.timer?.(name, own));
      return;
    }
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    for (const one of this.#groups.values())
      this.#step(one, { type: "tick", nowMs: turn.nowMs }, turn);
    this.#run(turn);
  }

  orderLogs(): Readonly<Record<string, { readonly epoch: number; readonly position: number }>> {
    const read = [...this.#groups].map(([name, { machine }]) => [name, machine.logRead]);
    return Object.fromEntries(read.filter(([, one]) => one !== undefined));
  }

  orderLogOpen(log: string, epoch: number, turn: Turn<Uint8Array, Reply>): void {
    this.#stepLog(log, { type: "log-open", epoch, nowMs: turn.nowMs }, turn);
  }

  orderLogRead(log: string, position: number, text: string, turn: Turn<Uint8Array, Reply>): void {
    this.#stepLog(log, { type: "log-read", position, text, nowMs: turn.nowMs }, turn);
  }

  #stepLog(log: string, input: GroupInput, turn: Turn<Uint8Array, Reply>): void {
    const group = this.#groups.get(log);
    if (!group) return;
    this.#step(group, input, turn);
    this.#run(turn);
  }

  writable(to: ProcessId, turn: Turn<Uint8Array, Reply>): void {
    if (this.#full.delete(to)) this.#stepAll(to, "back", turn);
    this.#run(turn, (own) => this.#options.application.writable?.(to, own));
  }

  peer(id: ProcessId, change: PeerChange, turn: Turn<Uint8Array, Reply>): void {
    this.#stepAll(id, change === "back" ? "back" : "lost", turn);
    this.#run(turn, (own) => this.#options.application.peer?.(id, change, own));
  }

  values(): Readonly<Record<string, unknown>> | undefined {
    return this.#options.application.values?.();
  }

  capture(): GroupedState<State> | FrozenState {
    const groups = encodeGroups({
      groups: [...this.#groups.values()].map(({ name, machine, congested }) => ({
        ...{ name, total: machine.total, state: machine.state, congested },
      })),
      full: [...this.#full],
      wakeAtMs: this.#wakeAtMs,
    });
    const captured = this.#options.application.capture();
    if (!(captured instanceof FrozenState)) return { groups, state: captured };
    let begun = false;
    return new FrozenState(
      () => {
        if (!begun) {
          begun = true;
          return { groups };
        }
        const slice = captured.next();
        return slice === undefined ? undefined : { slice };
      },
      () => captured.release(),
    );
  }

  restore(state: GroupedState<State>, renamed?: Renamed): void {
    const { application } = this.#options;
    if (isWhole(state)) {
      this.#adopt(rename(decodeGroups(state.groups), renamed));
      application.restore(state.state, renamed);
      return;
    }
    const [first, ...rest] = state;
    if (first && "groups" in first) this.#adopt(rename(decodeGroups(first.groups), renamed));
    const slices = rest.flatMap((one) => ("slice" in one ? [one.slice] : []));
    application.restore(slices as State, renamed);
  }

  /** @throws TidemarkError `BAD_OPTION` if the groups are not those of the state */
  #adopt(saved: Saved): void {
    for (const { name, total, state } of saved.groups) {
      const { members = [], total: given = "sequencer" } = this.#options.groups[name] ?? {};
      if (given === total && String([...members].sort()) === String(state.members)) continue;
      throw new TidemarkError(
        "BAD_OPTION",
        `group ${JSON.stringify(name)}: in the state it has the members ${state.members.join(", ")} and total "${total}"`,
      );
    }
    this.#restored = saved;
    this.#begin(0);
  }

  // Within a turn.

  /** Lets the application have its turn, and then whatever that leads to, until nothing is left to be multicast. */
  #run(turn: Turn<Uint8Array, Reply>, act?: (own: GroupTurn<M, Reply>) => void): void {
    act?.(this.#turn.of(turn));
    for (let more = true; more; ) {
      more = false;
      for (const group of this.#groups.values()) {
        const { drafts } = group;
        if (drafts.length === 0) continue;
        more = true;
        group.drafts = [];
        drafts.at(-1)?.close();
        for (const draft of drafts) {
          group.draftBytes -= draft.bytes;
          if (!turn.replays) this.#tellOfSending(group, draft);
          if (turn.observer) this.#observeSending(turn.observer, group, draft);
          this.#step(group, { type: "multicast", draft, nowMs: turn.nowMs }, turn);
        }
      }
    }
    this.#relieve(turn, act !== undefined);
    this.#wake(turn);
  }

  /**
   * Tells of room that there is again: not in the turn in which the application was told to stop, or it would never end.
   */
  #relieve(turn: Turn<Uint8Array, Reply>, later: boolean): void {
    const { application } = this.#options;
    const relieved = [...this.#groups.values()].filter(
      ({ congested, machine }) => congested && machine.room,
    );
    if (relieved.length === 0) return;
    if (later) {
      this.#wakeAtMs = turn.nowMs;
      turn.setTimer(TIMER, 0);
      return;
    }
    for (const group of relieved) group.congested = false;
    this.#run(turn, (own) => {
      for (const { name } of relieved) application.groupWritable?.(name, own);
    });
  }

  #tellOfSending({ name, machine, members }: Named, { level: order, to, count }: Draft): void {
    const { self, onEvent } = this.#options;
    if (!onEvent) return;
    for (let i = 1; i <= count; i += 1)
      onEvent({
        ...{ process: self, group: name, type: "multicast", order },
        message: `${self}/${machine.sent + 1}.${i}`,
        ...(to === ALL ? {} : { to: members[to] as ProcessId }),
      });
  }

  #observeSending(
    observer: ProcessObserver,
    { name, machine, members }: Named,
    { level, to, count }: Draft,
  ): void {
    const { self } = this.#options;
    const packet = { group: name, from: self, life: machine.lifeOf(self), count };
    const one = to === ALL ? undefined : members[to];
    observer.multicast({ ...packet, number: machine.sent + 1 }, level, one);
  }

  /** Something has happened to a member, in all groups that it is in. */
  #stepAll(member: ProcessId, type: "lost" | "back", turn: Turn<Uint8Array, Reply>): void {
    for (const one of this.#groups.values())
      if (one.members.includes(member)) this.#step(one, { type, member, nowMs: turn.nowMs }, turn);
  }

  #step(group: Named, input: GroupInput, turn: Turn<Uint8Array, Reply>): void {
    for (const effect of group.machine.step(input)) this.#perform(group, effect, turn);
  }

  #perform(group: Named, effect: GroupEffect, turn: Turn<Uint8Array, Reply>): void {
    const { self, onStalled } = this.#options;
    if (effect.type === "send") this.#send(effect, turn);
    else if (effect.type === "irregular") this.#irregular(effect.reason);
    else if (effect.type === "log-foreign")
      throw new TidemarkError(
        "ORDER_LOG_FAILED",
        `group ${JSON.stringify(group.name)}: its log has the order of another system, or of a ${self} that had another state: ` +
          "give each system a log of its own (another prefix), and a process that comes back its input log; " +
          "or remove the log when all are stopped",
      );
    else if (effect.type === "log-write") turn.writeOrderLog?.(group.name, effect.text);
    else if (effect.type === "stalled") {
      const { members, sinceMs } = effect.stall;
      const text = `group ${group.name} does not go on at ${self}: ${describeStall(effect.stall, turn.nowMs)}`;
      const problem = new TidemarkError("GROUP_STALLED", text);
      group.stall = { group: group.name, members, sinceMs, over: false, problem };
      if (!turn.replays) onStalled?.(group.stall);
    } else if (effect.type === "resumed") {
      if (group.stall && !turn.replays) onStalled?.({ ...group.stall, over: true });
      group.stall = undefined;
    } else this.#deliver(group, effect, this.#turn.of(turn));
  }

  /** What a channel does not take is as if lost, and asked for once there is room. */
  #send({ to, bytes }: Sent, turn: Turn<Uint8Array, Reply>): void {
    const isSent = (ids: readonly ProcessId[]): boolean => {
      try {
        turn.send(ids, bytes);
        return true;
      } catch (thrown) {
        if (!isTidemarkError(thrown, "CHANNEL_FULL")) throw thrown;
        return false;
      }
    };
    if (isSent(to)) return;
    // Some may get it twice, which changes nothing.
    for (const id of to) if (!isSent([id])) this.#full.add(id);
  }

  #deliver({ name, machine }: Named, delivered: Delivered, turn: GroupTurn<M, Reply>): void {
    const { self, application, messageCodec, onEvent } = this.#options;
    const { from, alone, level: order, number, count, body, stamp, sinceMs } = delivered;
    if (turn.observer) {
      const observed = { group: name, from, life: machine.lifeOf(from), number, count };
      const heldMs = Math.max(0, turn.nowMs - sinceMs);
      turn.observer.delivered(observed, { body, codec: messageCodec }, heldMs);
    }
    const packet: DeliveredPacket = { number, stamp, sinceMs };
    // Nobody writes to it any more, but the group sends it again if it must.
    const isLent = messageCodec.bytes === "lent";
    let i = 0;
    forEachRecord(body, (content) => {
      i += 1;
      if (onEvent && !turn.replays) {
        const message = `${from}/${number}.${i}`;
        onEvent({ process: self, group: name, type: "deliver", message, from });
      }
      if (alone ? !application.receive : !application.deliver) return;
      let message: M;
      try {
        message = messageCodec.decode(isLent ? content : copyOf(content));
      } catch (thrown) {
        this.#unreadable(from, thrown);
        return;
      }
      if (alone) application.receive?.(from, message, turn);
      else application.deliver?.(name, { from, message, order, packet }, turn);
    });
  }

  #wake(turn: Turn<Uint8Array, Reply>): void {
    let atMs = Number.POSITIVE_INFINITY;
    for (const { machine } of this.#groups.values()) atMs = Math.min(atMs, machine.deadlineMs);
    if (atMs >= this.#wakeAtMs) return;
    this.#wakeAtMs = atMs;
    turn.setTimer(TIMER, Math.max(0, atMs - turn.nowMs));
  }

  #irregular(reason: string): void {
    this.#options.onIrregular?.(reason);
  }

  #unreadable(from: ProcessId, thrown: unknown): void {
    this.#irregular(`a message of ${from} cannot be decoded: ${textOf(thrown)}`);
  }

  #encode(message: M): Uint8Array {
    const { messageCodec, maxMessageBytes = MESSAGE_BYTES } = this.#options;
    let content: Uint8Array;
    try {
      content = messageCodec.encode(message);
    } catch (thrown) {
      const reason = `${messageCodec.name} cannot encode it: ${textOf(thrown)}`;
      throw new TidemarkError("BAD_MESSAGE", `a message cannot be sent: ${reason}`, {
        cause: thrown,
      });
    }
    if (content.length > maxMessageBytes)
      throw new TidemarkError(
        "MESSAGE_TOO_LARGE",
        `a message of ${content.length} bytes: ${maxMessageBytes} are the most in a system with groups`,
      );
    return content;
  }

  #direct(message: M): Uint8Array {
    return joinBytes([new Uint8Array([DIRECT]), this.#encode(message)]);
  }

  #sendInGroup(
    to: ProcessId | readonly ProcessId[],
    message: M,
    { group: name, order = "causal" }: SendOptions,
  ): boolean {
    const { members } = this.#group(name);
    const indexes = (typeof to === "string" ? [to] : to).map((id) => {
      const index = members.indexOf(id);
      if (index >= 0) return index;
      throw refusal("UNKNOWN_PROCESS", name, `${id} is none of its members, ${members.join(", ")}`);
    });
    return this.#put(name, message, order, indexes);
  }

  #group(name: string): Named {
    const group = this.#groups.get(name);
    if (group) return group;
    const names = [...this.#groups.keys()].join(", ") || "no group";
    throw refusal("UNKNOWN_GROUP", name, `${this.#options.self} is in ${names}`);
  }

  /** To all of these or to none. */
  #put(name: string, message: M, order: OrderLevel, to: readonly number[]): boolean {
    const { limitBytes = LIMIT_BYTES, windowBytes = WINDOW_BYTES } = this.#options;
    const group = this.#group(name);
    if (!LEVELS.has(order))
      throw refusal(
        "BAD_OPTION",
        name,
        `there is no order ${JSON.stringify(order)}: use ${[...LEVELS].join(", ")}`,
      );
    const content = this.#encode(message);
    const bytes = recordBytes(content.length) * to.length;
    const under = group.machine.underWayBytes + group.draftBytes;
    if (under + bytes > limitBytes)
      throw refusal(
        "CHANNEL_FULL",
        name,
        `${under} bytes are not with all members yet; the limit is ${limitBytes}: stop when multicast gives false, until groupWritable`,
      );
    group.draftBytes += bytes;
    for (const one of to) append(group, order, one, content);
    if (under + bytes < windowBytes) return true;
    group.congested = true;
    return false;
  }
}

/**
 * Members are known by their place among the names, in ascending order, which must stay.
 * @throws TidemarkError `BAD_OPTION`
 */
function rename(saved: Saved, renamed: Renamed | undefined): Saved {
  if (!renamed) return saved;
  const nameOf = (was: ProcessId): ProcessId => renamed.get(was) ?? was;
  return {
    ...saved,
    full: saved.full.map(nameOf),
    groups: saved.groups.map(({ state, ...group }) => {
      const members = state.members.map(nameOf);
      if (String(members) !== String([...members].sort()))
        throw new TidemarkError(
          "BAD_OPTION",
          `group ${JSON.stringify(group.name)}: with their new names, ${members.join(", ")}, members must have the same order as before`,
        );
      return { ...group, state: { ...state, members } };
    }),
  };
}

const isWhole = <State>(
  state: GroupedState<State>,
): state is { readonly groups: Uint8Array; readonly state: State } => !Array.isArray(state);

interface GroupedActions<M, Reply> {
  send(
    to: ProcessId | readonly ProcessId[],
    message: M,
    options: SendOptions | undefined,
    turn: Turn<Uint8Array, Reply>,
  ): boolean;
  multicast(group: string, message: M, order: OrderLevel): boolean;
}

/** The turn that the application gets: the process' own, and groups. */
class GroupedTurn<M, Reply> implements GroupTurn<M, Reply> {
  readonly #actions: GroupedActions<M, Reply>;
  #turn!: Turn<Uint8Array, Reply>;

  constructor(actions: GroupedActions<M, Reply>) {
    this.#actions = actions;
  }

  of(turn: Turn<Uint8Array, Reply>): this {
    this.#turn = turn;
    return this;
  }

  get self(): ProcessId {
    return this.#turn.self;
  }

  get nowMs(): number {
    return this.#turn.nowMs;
  }

  get random(): Random {
    return this.#turn.random;
  }

  get replays(): boolean {
    return this.#turn.replays;
  }

  get peers(): readonly ProcessId[] {
    return this.#turn.peers;
  }

  get observer(): ProcessObserver | undefined {
    return this.#turn.observer;
  }

  writeOrderLog(log: string, text: string): void {
    this.#turn.writeOrderLog?.(log, text);
  }

  send(to: ProcessId | readonly ProcessId[], message: M, options?: SendOptions): boolean {
    return this.#actions.send(to, message, options, this.#turn);
  }

  multicast(
    group: string,
    message: M,
    { order = "fifo" }: { readonly order?: OrderLevel } = {},
  ): boolean {
    return this.#actions.multicast(group, message, order);
  }

  reply(request: number, reply: Reply): void {
    this.#turn.reply(request, reply);
  }

  setTimer(name: string, afterMs: number): void {
    this.#turn.setTimer(name, afterMs);
  }
}

const refusal = (code: ErrorCode, group: string, reason: string): TidemarkError =>
  new TidemarkError(code, `nothing was multicast to ${group}: ${reason}`);

/** Into the last draft if it is of that level, for the same, and has room; or into a new one. */
function append(
  { drafts, machine }: Named,
  level: OrderLevel,
  to: number,
  content: Uint8Array,
): void {
  let draft = drafts.at(-1);
  if (draft?.level !== level || draft.to !== to || !draft.fits(content.length)) {
    draft?.close();
    draft = machine.draft(level, to);
    drafts.push(draft);
  }
  draft.append(content);
}

function check<M, State, Request, Reply>(options: GroupedOptions<M, State, Request, Reply>): void {
  const bad = (what: string, reason: string): never => {
    throw new TidemarkError("BAD_OPTION", `${what} ${reason}`);
  };
  const { groups, windowBytes = WINDOW_BYTES, limitBytes = LIMIT_BYTES } = options;
  const { maxMessageBytes = MESSAGE_BYTES, stalledAfterMs = STALLED_AFTER_MS } = options;
  const { askAfterMs = ASK_AFTER_MS } = options;
  const numbers = { windowBytes, limitBytes, maxMessageBytes, askAfterMs, stalledAfterMs };
  for (const [name, value] of Object.entries(numbers))
    if (!Number.isSafeInteger(value) || value < 1)
      bad(name, `must be a whole number from 1, not ${value}`);
  if (limitBytes < windowBytes)
    bad("limitBytes", `is ${limitBytes}, less than windowBytes, ${windowBytes}`);
  if (Object.keys(groups).length > GROUPS_MAX) bad("groups", `are more than ${GROUPS_MAX}`);
  for (const [name, setup] of Object.entries(groups)) {
    const group = `group ${JSON.stringify(name)}:`;
    if (name === "") bad(group, "a name has a character at least");
    const { total = "sequencer", uniform = false } = setup ?? {};
    const members: unknown = setup?.members;
    if (!Array.isArray(members)) throw bad(group, "members must be a list of processes");
    if (members.length === 0 || members.length > MEMBERS_MAX)
      bad(group, `it has ${members.length} members, not 1 to ${MEMBERS_MAX}`);
    if (new Set(members).size < members.length) bad(group, "a member is named twice");
    if (!["sequencer", "agreed", "log"].includes(total))
      bad(group, `total is ${JSON.stringify(total)}: use "sequencer", "agreed" or "log"`);
    if (typeof uniform !== "boolean") bad(group, "uniform must be true or false");
  }
}

// States as bytes.

const WHOLE = 0;
const GROUPS = 1;
const SLICE = 2;

/**
 * What the process of an application with groups encodes by.
 * @param codecs what the application alone would encode by
 */
export function groupedCodecs<M, State>(codecs: {
  readonly messageCodec: Codec<M>;
  readonly stateCodec: Codec<unknown>;
}): {
  readonly messageCodec: Codec<Uint8Array>;
  readonly stateCodec: Codec<GroupedState<State>>;
} {
  const messageCodec: Codec<Uint8Array> = {
    name: ENCODINGS.message + codecs.messageCodec.name,
    bytes: "lent",
    carries: "packets",
    encode: (bytes) => bytes,
    decode: (bytes) => bytes,
  };
  return { messageCodec, stateCodec: groupedStateCodec(codecs.stateCodec) };
}

/** Different, for a codec is found by its name. */
const ENCODINGS = { state: "groups of ", message: "packets of " } as const;

/**
 * For people and tools, who have only the name of an encoding: of states, or of messages on channels, of an application with groups.
 * `undefined` if the name is of no such one, or `find` knows no codec of the application's own encoding.
 *
 * @param messages of a state: the encoding of messages on channels, by which the packets in it are shown
 */
export function shownCodec(
  use: "state" | "message",
  name: string,
  find: (inner: string) => Codec<unknown> | undefined,
  messages: string,
): Codec<unknown> | undefined {
  const inside = (prefix: string, encoding: string): Codec<unknown> | undefined =>
    encoding.startsWith(prefix) ? find(encoding.slice(prefix.length)) : undefined;
  const inner = inside(ENCODINGS[use], name);
  if (!inner) return undefined;
  const held = inside(ENCODINGS.message, messages);
  const decode = (bytes: Uint8Array): unknown => {
    if (use === "message") return shownMessage(bytes, inner);
    const state = decodeState(bytes, inner) as { readonly groups?: Uint8Array };
    if (!state.groups) return state;
    return { ...state, groups: decodeGroups(state.groups, held && shownPackets(held)).groups };
  };
  return { name, encode: (value) => inner.encode(value), decode };
}

/** What is held back or kept in a state, as it is shown of a channel; or as bytes, if it is something else. */
function shownPackets(inner: Codec<unknown>): (bytes: Uint8Array) => unknown {
  const shown = new Map<Uint8Array, unknown>();
  return (bytes) => {
    if (shown.has(bytes)) return shown.get(bytes);
    let value: unknown = bytes;
    try {
      value = shownMessage(bytes, inner);
    } catch {
      // Then somebody else has to know what it is.
    }
    shown.set(bytes, value);
    return value;
  };
}

/** A message from one process to another, or what members of a group send each other. */
function shownMessage(bytes: Uint8Array, inner: Codec<unknown>): unknown {
  if (bytes[0] === DIRECT) return { message: inner.decode(copyOf(bytes.subarray(1))) };
  const read = decodePacket(bytes, MEMBERS_MAX);
  if (typeof read === "string") throw new SyntaxError(read);
  const group = groupOf(bytes);
  if (!("number" in read)) return { group, ...read };
  const { count, entries, ...packet } = read;
  if (count === 0) return { group, ...packet, entries };
  const messages = readRecords(messagesOf(bytes)).map((record) => inner.decode(copyOf(record)));
  return { group, ...packet, messages };
}

/** A tag, the states of the groups as a record if there are some, and the application's own. */
function groupedStateCodec<State>(inner: Codec<unknown>): Codec<GroupedState<State>> {
  return {
    name: ENCODINGS.state + inner.name,
    encode: (value) => {
      const state = value as
        | GroupedSlice
        | { readonly groups: Uint8Array; readonly state: unknown };
      if ("slice" in state) return joinBytes([new Uint8Array([SLICE]), inner.encode(state.slice)]);
      const groups = writeRecords([state.groups]);
      if (!("state" in state)) return joinBytes([new Uint8Array([GROUPS]), groups]);
      return joinBytes([new Uint8Array([WHOLE]), groups, inner.encode(state.state)]);
    },
    decode: (bytes) => decodeState(bytes, inner) as GroupedState<State>,
  };
}

function decodeState(bytes: Uint8Array, inner: Codec<unknown>): unknown {
  const rest = bytes.subarray(1);
  if (bytes[0] === SLICE) return { slice: inner.decode(copyOf(rest)) };
  const length = new DataView(rest.buffer, rest.byteOffset, rest.byteLength).getUint32(0, true);
  const groups = copyOf(rest.subarray(4, 4 + length));
  if (bytes[0] === GROUPS) return { groups };
  return { groups, state: inner.decode(copyOf(rest.subarray(recordBytes(length)))) };
}

/**
 * A record of JSON, with what JSON does not have in objects of one field; behind it, a record each, the bytes that it refers to by
 * number. What a group keeps and also holds back is there once.
 */
function encodeGroups(saved: Saved): Uint8Array {
  const numbers = new Map<Uint8Array, number>();
  const json = JSON.stringify(saved, (_key, value: unknown) => {
    if (value instanceof Map) return { map: [...value] };
    if (value instanceof Uint8Array) {
      const number = numbers.get(value) ?? numbers.size;
      numbers.set(value, number);
      return { bytes: number };
    }
    return value === Number.POSITIVE_INFINITY ? { never: true } : value;
  });
  return writeRecords([encodeUtf8(json), ...numbers.keys()]);
}

/**
 * The bytes in it are those given, and must not change.
 * @param shown what stands for bytes; not for a machine, which wants these
 */
function decodeGroups(
  bytes: Uint8Array,
  shown: (run: Uint8Array) => unknown = (run) => run,
): Saved {
  try {
    const [json, ...runs] = readRecords(bytes);
    const text = decodeUtf8(json ?? new Uint8Array(0)) ?? "";
    const saved = JSON.parse(text, (_key, value: unknown) => {
      if (typeof value !== "object" || !value || Array.isArray(value)) return value;
      if ("map" in value) return new Map(value.map as [unknown, unknown][]);
      if ("bytes" in value && typeof value.bytes === "number") {
        const run = runs[value.bytes];
        return run && shown(run);
      }
      return "never" in value ? Number.POSITIVE_INFINITY : value;
    }) as Saved;
    const isState = ({ state: { members, origins, have } }: SavedGroup): boolean =>
      origins.length === members.length && have.length === members.length;
    if (!saved.groups.every(isState)) throw new SyntaxError("a group is not whole");
    return saved;
  } catch (cause) {
    const what = `the ${bytes.length} bytes of the groups in a state`;
    throw new TidemarkError("BAD_MESSAGE", `${what} cannot be decoded: ${textOf(cause)}`, {
      cause,
    });
  }
}
