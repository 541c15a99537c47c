/**
 * What comes of a lab: the shipping machines, `Process` around `Grouped`, driven in virtual time. Nothing of order, of holding back or of
 * snapshots is done here; this is only a network that takes as long as somebody has drawn.
 *
 * Assumptions. No process dies, and no frame is lost. A lab is in right form (`readLab`).
 *
 * Theory of operation. Before time 0 the processes are connected, by a network that takes no time. From then on a frame takes the delay of
 * the message that it carries to that process, if that is on its way for the first time; a marker that of its snapshot; all else
 * `delayMs`. On channels in FIFO order no frame overtakes another one, as on a stream of TCP. What a turn sends to one peer is one frame:
 * so a place that the sequencer gives to its own message travels with it. Groups ask for nothing that is late, whatever is drawn.
 * The same lab gives the same run; so what a process was like at some time is found by running up to then.
 */

import type { ProcessId, SnapshotId } from "../../src/core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../../src/core/order-level.ts";
import { copyOf, joinBytes, readRecords } from "../../src/core/record.ts";
import { sha256 } from "../../src/core/sha256.ts";
import { Topology } from "../../src/core/topology.ts";
import { parseFrame } from "../../src/link/frame.ts";
import { describeGroup, type GroupExplanation } from "../../src/multicast/explanation.ts";
import type { GroupState } from "../../src/multicast/group.ts";
import { decodePacket, type Packet, type Word } from "../../src/multicast/packet.ts";
import { FrozenState } from "../../src/process/application.ts";
import { jsonCodec } from "../../src/process/codec.ts";
import {
  type Delivery,
  type GroupApplication,
  Grouped,
  type GroupedState,
  type GroupTurn,
  groupedCodecs,
  shownCodec,
} from "../../src/process/grouped.ts";
import { Process, type ProcessEffect, type ProcessInput } from "../../src/process/process.ts";
import {
  decodeMarker,
  KIND_COLOURED,
  KIND_MARKER,
  KIND_MESSAGES,
  STREAM_CHANNEL,
} from "../../src/process/wire.ts";
import { Agenda } from "../../src/sim/agenda.ts";
import type { PieceRecord } from "../../src/snapshot/manifest.ts";
import type { HistoryLine } from "../../src/trace/history.ts";
import { delayTo, type Lab, type LabMessage, markerDelay } from "./lab.ts";

/** What a frame is there for. */
export type FrameKind = "message" | "order" | "proposal" | "marker" | "word" | "control";

/** One frame on its way. */
export interface RunFrame {
  readonly from: ProcessId;
  readonly to: ProcessId;
  readonly kind: FrameKind;
  readonly sentMs: number;
  readonly arrivesMs: number;
  /** When it would have come if it need not wait behind another one on its channel. */
  readonly wantedMs: number;
  /** Places in a total order that it tells: `#1` by the sequencer, `1?` proposed, `=1` agreed. */
  readonly mark?: string;
  /** The message of the lab in it. */
  readonly message?: string;
  /** The snapshot whose marker it is, by its place in the lab. */
  readonly snapshot?: number;
  /** All that is in it, in words. */
  readonly says: readonly string[];
}

type FrameContent = Omit<RunFrame, "sentMs" | "arrivesMs" | "wantedMs">;

/** What became of a message at one process. */
export interface RunDelivery {
  readonly message: string;
  readonly at: ProcessId;
  /** When it came there; as it was sent, at its sender. */
  readonly receivedMs: number;
  readonly deliveredMs: number;
  /** The stamp that its packet brought, by the machine: a number for each member, in ascending order of their ids. */
  readonly stamp: readonly number[] | undefined;
}

/** A message as it left. */
export interface RunSend {
  readonly message: string;
  readonly atMs: number;
  /** Of its packet in the sequence of its sender; undefined if it went beside the group. */
  readonly number: number | undefined;
}

/** Something that a process did with a message, in the order in which it did it. */
export interface RunEvent {
  readonly process: ProcessId;
  readonly type: "multicast" | "deliver";
  readonly message: string;
  readonly atMs: number;
}

/** A snapshot as it came to be. */
export interface RunSnapshot {
  readonly id: SnapshotId | undefined;
  /** When each process recorded its state. */
  readonly recorded: ReadonlyMap<ProcessId, number>;
  /** When all of it was known to be recorded. */
  readonly cutMs: number | undefined;
  readonly pieces: ReadonlyMap<ProcessId, SnapshotPiece>;
  /** Why there is none. */
  readonly problem: string | undefined;
}

/** A record on a channel. */
interface Described {
  readonly kind: FrameKind;
  readonly says: string;
  readonly mark?: string;
  /** The message of the lab that it is. */
  readonly message?: string;
}

/** What a process recorded. */
export interface SnapshotPiece {
  readonly delivered: readonly string[];
  readonly sent: readonly string[];
  readonly held: readonly string[];
  readonly channels: readonly {
    readonly from: ProcessId;
    /** Messages of the lab that were in flight on it; and what members of the group told each other. */
    readonly messages: readonly string[];
    readonly words: readonly string[];
  }[];
}

/** See the head of the file. */
export interface Run {
  readonly sends: ReadonlyMap<string, RunSend>;
  /** In the order in which they happened. */
  readonly deliveries: readonly RunDelivery[];
  readonly events: readonly RunEvent[];
  readonly frames: readonly RunFrame[];
  readonly snapshots: readonly RunSnapshot[];
  /** When the last of all that is drawn happened. */
  readonly endMs: number;
  /** What must not be. */
  readonly problems: readonly string[];
}

/** What one process is like at some time, by its machines. */
export interface Look {
  readonly process: ProcessId;
  readonly delivered: readonly string[];
  readonly explanation: GroupExplanation;
  readonly group: GroupState;
  /** Messages that have come and are not delivered, and why. */
  readonly held: readonly { readonly message: string; readonly why: string }[];
  /** Of snapshots that are being recorded here. */
  readonly recordings: readonly {
    readonly snapshot: number;
    readonly channels: readonly {
      readonly from: ProcessId;
      readonly isClosed: boolean;
      readonly messages: readonly string[];
      readonly words: readonly string[];
    }[];
  }[];
}

type State = { readonly sent: readonly string[]; readonly delivered: readonly string[] };
type LabProcess = Process<Uint8Array, GroupedState<State>, LabMessage, never>;
type Effect = ProcessEffect<Uint8Array, never>;
type Input = ProcessInput<LabMessage>;

const GROUP = "lab";
/** When time 0 is, for the machines; and when they are connected. */
const BASE_MS = 1_767_225_600_000;
const CONNECTED_MS = BASE_MS - 10_000;
/** Longer than anything here takes. */
const NEVER_MS = 2 ** 40;
/** Timers that are due later than that after the last event bring nothing that is drawn. */
const QUIET_MS = 200;
const STEPS_MAX = 200_000;
const WINDOW_BYTES = 2 ** 30;
const MESSAGE_CODEC = jsonCodec<string>();
const STATE_CODEC = jsonCodec<unknown>();
const CODECS = groupedCodecs<string, State>({
  messageCodec: MESSAGE_CODEC,
  stateCodec: STATE_CODEC,
});
/** By which people read states: the machines of the group as they are, and what the application has. */
const SHOWN = shownCodec("state", CODECS.stateCodec.name, () => STATE_CODEC, "");

/** What a process of a lab does: it sends what it is told to, and writes down what it gets. */
class Member implements GroupApplication<string, State, LabMessage> {
  readonly #others: readonly ProcessId[];
  readonly #onDelivery: (message: string, stamp: readonly number[] | undefined) => void;
  #sent: readonly string[] = [];
  #delivered: readonly string[] = [];

  constructor(
    others: readonly ProcessId[],
    onDelivery: (message: string, stamp: readonly number[] | undefined) => void,
  ) {
    this.#others = others;
    this.#onDelivery = onDelivery;
  }

  request(_id: number, { name, to, order }: LabMessage, turn: GroupTurn<string>): void {
    this.#sent = [...this.#sent, name];
    if (order !== "none") {
      if (to === undefined) turn.multicast(GROUP, name, { order });
      else turn.send(to, name, { group: GROUP, order });
      return;
    }
    turn.send(to ?? this.#others, name);
    if (to === undefined) this.#take(name, undefined);
  }

  receive(_from: ProcessId, name: string): void {
    this.#take(name, undefined);
  }

  deliver(_group: string, { message, packet }: Delivery<string>): void {
    this.#take(message, packet.stamp);
  }

  #take(name: string, stamp: readonly number[] | undefined): void {
    this.#delivered = [...this.#delivered, name];
    this.#onDelivery(name, stamp);
  }

  capture(): State {
    return { sent: this.#sent, delivered: this.#delivered };
  }

  restore({ sent, delivered }: State): void {
    this.#sent = sent;
    this.#delivered = delivered;
  }
}

interface Driven {
  readonly id: ProcessId;
  readonly process: LabProcess;
  readonly grouped: Grouped<string, State, LabMessage, never>;
  readonly incarnation: number;
  /** The last one of each that was asked for: a timer by its name, `tick` by none. */
  readonly due: Map<string, number>;
}

/** A snapshot as far as it has come. */
interface Cutting extends RunSnapshot {
  id: SnapshotId | undefined;
  readonly recorded: Map<ProcessId, number>;
  cutMs: number | undefined;
  readonly pieces: Map<ProcessId, SnapshotPiece>;
  problem: string | undefined;
}

/** All of a lab, and how far it has come. */
class Driver {
  readonly #lab: Lab;
  /** As the group has them. */
  readonly #members: readonly ProcessId[];
  readonly #driven = new Map<ProcessId, Driven>();
  readonly #agenda = new Agenda();
  /** Frames and what is to be sent: as long as there is one, something is still to come. */
  #expected = 0;
  #nowMs = CONNECTED_MS;
  #steps = 0;
  #requests = 0;
  /** When the last frame on each channel arrives. */
  readonly #lastMs = new Map<string, number>();
  /** By whom and as which packet: the message of the lab. */
  readonly #packets = new Map<string, string>();
  readonly #places = new Map<string, number>();
  readonly #received = new Map<string, number>();
  readonly #sends = new Map<string, RunSend>();
  readonly #deliveries: RunDelivery[] = [];
  readonly #events: RunEvent[] = [];
  readonly #frames: RunFrame[] = [];
  readonly #problems: string[] = [];
  readonly #snapshots: Cutting[];
  #sending: LabMessage | undefined;

  constructor(lab: Lab) {
    this.#lab = lab;
    this.#members = [...lab.processes].sort();
    this.#snapshots = lab.snapshots.map(() => ({
      ...{ id: undefined, cutMs: undefined, problem: undefined },
      ...{ recorded: new Map(), pieces: new Map() },
    }));
    const topology = new Topology(this.#members);
    for (const id of this.#members) this.#driven.set(id, this.#make(id, topology));
    this.#connect();
    for (const message of lab.messages)
      this.#plan(message.from, message.atMs, () => this.#send(message));
    for (const [index, { at, atMs }] of lab.snapshots.entries())
      this.#plan(at, atMs, () => {
        this.#step(at, { type: "snapshot", token: index, timeoutMs: NEVER_MS, nowMs: this.#nowMs });
      });
  }

  #make(self: ProcessId, topology: Topology): Driven {
    const { total, channels } = this.#lab;
    const incarnation = 1 + this.#members.indexOf(self);
    const others = this.#members.filter((id) => id !== self);
    const application = new Member(others, (name, stamp) => this.#delivered(self, name, stamp));
    const grouped = new Grouped<string, State, LabMessage, never>({
      ...{ self, application, messageCodec: MESSAGE_CODEC, askAfterMs: NEVER_MS },
      groups: { [GROUP]: { members: this.#members, total } },
      onEvent: (event) => {
        if (event.type !== "multicast" || !this.#sending) return;
        const packet = event.message.slice(0, event.message.lastIndexOf("."));
        this.#packets.set(packet, this.#sending.name);
        this.#sent(this.#sending.name, Number(packet.slice(packet.indexOf("/") + 1)));
      },
      onIrregular: (reason) => void this.#problems.push(`${self}: ${reason}`),
    });
    const process: LabProcess = new Process({
      ...{ self, topology, application: grouped, ...CODECS },
      ...{ seed: self, incarnation, epoch: 1, reliable: true, order: channels },
      ...{ maxFrameBytes: 2 ** 20, receive: "auto", lastCount: 0 },
      ...{ windowBytes: WINDOW_BYTES, limitBytes: WINDOW_BYTES, lostAfterMs: NEVER_MS },
    });
    return { id: self, process, grouped, incarnation, due: new Map() };
  }

  #connect(): void {
    for (const { id } of this.#driven.values())
      this.#step(id, { type: "start", nowMs: this.#nowMs });
    for (const { id } of this.#driven.values())
      for (const { id: peer, incarnation } of this.#driven.values())
        if (peer !== id) this.#step(id, { type: "peer-up", peer, incarnation, nowMs: this.#nowMs });
    this.advance(-1);
    if (this.#expected > 0) this.#problems.push("the processes were not connected in time");
  }

  #plan(of: ProcessId, atMs: number, act: () => void): void {
    this.#expected += 1;
    this.#agenda.add(BASE_MS + atMs, () => {
      this.#expected -= 1;
      if (this.#driven.has(of)) act();
    });
  }

  /** What happens up to that time, the time itself included; or until nothing is left to happen. */
  advance(untilMs: number): void {
    for (;;) {
      const { nextMs } = this.#agenda;
      if (nextMs > BASE_MS + untilMs) return;
      if (this.#expected === 0 && nextMs > this.#nowMs + QUIET_MS) return;
      this.#steps += 1;
      if (this.#steps > STEPS_MAX) {
        this.#problems.push(`the run was ended after ${STEPS_MAX} steps`);
        return;
      }
      this.#nowMs = Math.max(this.#nowMs, nextMs);
      this.#agenda.take()?.act();
    }
  }

  get #labMs(): number {
    return this.#nowMs - BASE_MS;
  }

  #send(message: LabMessage): void {
    this.#sending = message;
    if (message.order === "none") this.#sent(message.name, undefined);
    this.#requests += 1;
    const id = this.#requests;
    this.#step(message.from, { type: "request", id, request: message, nowMs: this.#nowMs });
    this.#sending = undefined;
  }

  /** It leaves: before anybody delivers it. */
  #sent(message: string, number: number | undefined): void {
    const { from: process = "" } = this.#sending ?? {};
    this.#received.set(`${process} ${message}`, this.#labMs);
    this.#sends.set(message, { message, atMs: this.#labMs, number });
    this.#events.push({ process, type: "multicast", message, atMs: this.#labMs });
  }

  #delivered(at: ProcessId, message: string, stamp: readonly number[] | undefined): void {
    const receivedMs = this.#received.get(`${at} ${message}`) ?? this.#labMs;
    this.#deliveries.push({ message, at, receivedMs, deliveredMs: this.#labMs, stamp });
    this.#events.push({ process: at, type: "deliver", message, atMs: this.#labMs });
  }

  #step(id: ProcessId, input: Input): void {
    const inputs = [input];
    const driven = this.#driven.get(id) as Driven;
    for (let next = inputs.shift(); next; next = inputs.shift())
      for (const effect of driven.process.step(next)) {
        const answer = this.#perform(driven, effect);
        if (answer) inputs.push(answer);
      }
  }

  /** Gives the input that it leads to at once, if it does. */
  #perform(driven: Driven, effect: Effect): Input | undefined {
    const { id } = driven;
    switch (effect.type) {
      case "frame":
        this.#carry(driven, effect.to, copyOf(effect.frame));
        break;
      case "timer":
        this.#later(driven, effect.name, this.#nowMs + effect.afterMs, (nowMs) => ({
          ...{ type: "timer", name: effect.name, nowMs },
        }));
        break;
      case "wake":
        this.#later(driven, "\u0000tick", effect.atMs, (nowMs) => ({ type: "tick", nowMs }));
        break;
      case "snapshot-started": {
        const one = this.#snapshots[effect.token];
        if (one) one.id = effect.snapshot;
        break;
      }
      case "snapshot-refused": {
        const one = this.#snapshots[effect.token];
        if (one) one.problem = effect.error.message;
        break;
      }
      case "recorded":
        this.#snapshotOf(effect.snapshot)?.recorded.set(id, this.#labMs);
        break;
      case "cut": {
        const one = this.#snapshotOf(effect.snapshot);
        if (one) one.cutMs = this.#labMs;
        break;
      }
      case "piece":
        return { type: "stored", piece: this.#store(driven, effect), nowMs: this.#nowMs };
      case "commit":
        return { type: "committed", snapshot: effect.snapshot, nowMs: this.#nowMs };
      case "settled":
        if (effect.reason !== undefined) {
          const one = this.#snapshotOf(effect.snapshot);
          if (one) one.problem ??= effect.reason;
        }
        break;
      case "problem":
      case "failed":
        this.#problems.push(`${id}: ${effect.error.message}`);
        break;
      case "reply":
      case "received":
      case "order-log-write":
        break;
    }
    return undefined;
  }

  /** `recorded` may come before the token is answered: then it is the one that begins now. */
  #snapshotOf(id: SnapshotId): Cutting | undefined {
    const known = this.#snapshots.find((one) => one.id === id);
    if (known) return known;
    const initiator = id.slice(0, id.lastIndexOf("/"));
    const index = this.#lab.snapshots.findIndex(
      ({ at }, i) => at === initiator && this.#snapshots[i]?.id === undefined,
    );
    const one = this.#snapshots[index];
    if (one) one.id = id;
    return one;
  }

  #later(driven: Driven, name: string, atMs: number, input: (nowMs: number) => Input): void {
    driven.due.set(name, atMs);
    if (atMs >= BASE_MS + NEVER_MS / 2) return;
    this.#agenda.add(Math.max(atMs, this.#nowMs), () => {
      if (driven.due.get(name) !== atMs) return;
      driven.due.delete(name);
      this.#step(driven.id, input(this.#nowMs));
    });
  }

  #carry({ id: from }: Driven, to: ProcessId, bytes: Uint8Array): void {
    const frame = this.#read(from, to, bytes);
    const channel = `${from} ${to}`;
    const wantedMs = this.#nowMs + (this.#labMs < 0 ? 0 : this.#delayOf(frame));
    let arrivesMs = wantedMs;
    if (this.#lab.channels === "fifo")
      arrivesMs = Math.max(arrivesMs, this.#lastMs.get(channel) ?? 0);
    this.#lastMs.set(channel, arrivesMs);
    if (this.#labMs >= 0)
      this.#frames.push({
        ...{ ...frame, sentMs: this.#labMs },
        ...{ arrivesMs: arrivesMs - BASE_MS, wantedMs: wantedMs - BASE_MS },
      });
    this.#expected += 1;
    this.#agenda.add(arrivesMs, () => {
      this.#expected -= 1;
      if (frame.message !== undefined && !this.#received.has(`${to} ${frame.message}`))
        this.#received.set(`${to} ${frame.message}`, this.#labMs);
      this.#step(to, { type: "frame", from, frame: bytes, nowMs: this.#nowMs });
    });
  }

  #delayOf({ from, to, message, snapshot }: FrameContent): number {
    const { messages, snapshots, delayMs } = this.#lab;
    const one = messages.find(({ name }) => name === message);
    if (one) return delayTo(this.#lab, one, to);
    const cut = snapshots[snapshot ?? -1];
    return cut ? markerDelay(this.#lab, cut, from, to) : delayMs;
  }

  /** What is in a frame. */
  #read(from: ProcessId, to: ProcessId, bytes: Uint8Array): FrameContent {
    const parsed = parseFrame(bytes);
    const batch = typeof parsed === "string" ? undefined : parsed.batch;
    if (typeof parsed === "string" || !batch)
      return { from, to, kind: "control", says: ["an acknowledgement of the channel"] };
    const { kind, body } = batch;
    if (parsed.stream === STREAM_CHANNEL && kind === KIND_MARKER) {
      const [first] = readRecords(body).map((record) => decodeMarker(record)?.snapshot);
      const snapshot = first && this.#indexOf(first);
      return {
        ...{ from, to, kind: "marker", says: [`a marker of ${first}`] },
        ...(snapshot === undefined ? {} : { snapshot }),
      };
    }
    if (kind !== KIND_MESSAGES && kind !== KIND_COLOURED)
      return { from, to, kind: "control", says: ["words about a snapshot"] };
    const records = readRecords(body).slice(kind === KIND_COLOURED ? 1 : 0);
    const read = records.map((record) => this.#describe(from, to, record));
    const rank: readonly FrameKind[] = ["message", "order", "proposal", "word"];
    const most = rank.find((one) => read.some((record) => record.kind === one)) ?? "word";
    const message = read.find((record) => record.message !== undefined)?.message;
    const mark = read.flatMap((record) => record.mark ?? []).join(" ");
    return {
      ...{ from, to, kind: most, says: read.map(({ says }) => says) },
      ...(message === undefined ? {} : { message }),
      ...(mark === "" ? {} : { mark }),
    };
  }

  #indexOf(id: SnapshotId): number | undefined {
    const one = this.#snapshotOf(id);
    return one && this.#snapshots.indexOf(one);
  }

  /** A message beside the group, or what members of a group tell each other. */
  #describe(from: ProcessId, to: ProcessId, record: Uint8Array): Described {
    const direct = this.#driven.get(from)?.grouped.readDirect(record);
    if (direct) return { kind: "message", says: direct.message, message: direct.message };
    const packet = decodePacket(record, this.#members.length);
    if (typeof packet === "string") return { kind: "word", says: packet };
    return "number" in packet ? this.#describePacket(packet) : this.#describeWord(to, packet);
  }

  #describePacket({ kind, origin, number, entries }: Packet): Described {
    const from = this.#memberAt(origin);
    if (kind === "orders") {
      const places = entries.map(([of, which]) => this.#nameOf(this.#memberAt(of), which));
      const numbers = entries.map(([of, which]) => this.#placeOf(`${of}/${which}`));
      const says = places.map((name, i) => `${name} is #${numbers[i]} of all`).join(", ");
      return { kind: "order", says, mark: numbers.map((place) => `#${place}`).join(" ") };
    }
    if (kind === "finals") {
      const places = entries.map(([which, place]) => `${this.#nameOf(from, which)} at ${place}`);
      const mark = entries.map(([, place]) => `=${place}`).join(" ");
      return { kind: "order", says: `agreed: ${places.join(", ")}`, mark };
    }
    const message = this.#packets.get(`${from}/${number}`);
    return {
      kind: "message",
      says: this.#nameOf(from, number),
      ...(message === undefined ? {} : { message }),
    };
  }

  /** Proposals go to whoever sent the packets, and say only their numbers. */
  #describeWord(to: ProcessId, { kind, entries }: Word): Described {
    if (kind === "proposals") {
      const places = entries.map(([which, place]) => `${this.#nameOf(to, which)} at ${place}`);
      const mark = entries.map(([, place]) => `${place}?`).join(" ");
      return { kind: "proposal", says: `proposes ${places.join(", ")}`, mark };
    }
    const what = entries.map(([of, number]) => `${this.#memberAt(of)}:${number}`).join(" ");
    return { kind: "word", says: `${kind === "have" ? "has" : "asks for"} ${what}` };
  }

  /** The sequencer tells an order, no numbers: they are counted here. The same word goes to each, and is counted once. */
  #placeOf(packet: string): number {
    const known = this.#places.get(packet) ?? this.#places.size + 1;
    this.#places.set(packet, known);
    return known;
  }

  #memberAt(index: number): ProcessId {
    return this.#members[index] as ProcessId;
  }

  #nameOf(from: ProcessId, number: number): string {
    return this.#packets.get(`${from}/${number}`) ?? `packet ${number} of ${from}`;
  }

  #store(
    { id }: Driven,
    { snapshot, state, recorded, recordedAtMs }: Extract<Effect, { type: "piece" }>,
  ): PieceRecord {
    // The application here captures no frozen state.
    const captured = state instanceof FrozenState ? new Uint8Array(0) : state;
    const part = (bytes: Uint8Array) => ({ sha256: sha256(bytes), bytes: bytes.length });
    const seen = seeState(captured);
    this.#snapshotOf(snapshot)?.pieces.set(id, {
      ...seen.state,
      held: heldNumbers(seen.groups[0]?.state).map((key) => this.#packets.get(key) ?? key),
      channels: recorded.incoming.map(({ from, messages }) => ({
        from,
        ...this.#inFlight(from, id, messages),
      })),
    });
    return {
      ...{ snapshot, process: id, epoch: 1, messageEncoding: CODECS.messageCodec.name },
      state: { encoding: CODECS.stateCodec.name, sliced: false, parts: [part(captured)] },
      incoming: recorded.incoming.map(({ from, received, hash, inFlight, messages }) => ({
        ...{ from, received, hash, inFlight },
        ...(inFlight === 0 ? {} : { part: part(joinBytes(messages)) }),
      })),
      outgoing: recorded.outgoing,
      timing: { recordedAtMs, recordingMs: 0, captureMs: 0 },
    };
  }

  #inFlight(
    from: ProcessId,
    to: ProcessId,
    runs: readonly Uint8Array[],
  ): { readonly messages: readonly string[]; readonly words: readonly string[] } {
    const read = runs
      .flatMap((run) => readRecords(run))
      .map((record) => this.#describe(from, to, record));
    const messages = read.flatMap(({ message }) => (message === undefined ? [] : [message]));
    const words = read.flatMap(({ message, says }) => (message === undefined ? [says] : []));
    return { messages, words };
  }

  /** What all are like now. */
  look(): readonly Look[] {
    return [...this.#driven.values()].map(({ id, process, grouped }) => {
      const captured = CODECS.stateCodec.encode(grouped.capture() as GroupedState<State>);
      const { state, groups } = seeState(captured);
      const group = groups[0]?.state as GroupState;
      const explanation = grouped.explain(GROUP) as GroupExplanation;
      const recordings = this.#snapshots.flatMap((one, snapshot) => {
        const so = one.id && process.recorded(one.id);
        if (!so) return [];
        const channels = so.incoming.map(({ from, closed, messages }) => ({
          ...{ from, isClosed: closed, ...this.#inFlight(from, id, messages) },
        }));
        return [{ snapshot, channels }];
      });
      return {
        ...{ process: id, delivered: state.delivered, explanation, group, recordings },
        held: this.#heldAt(group, explanation),
      };
    });
  }

  #heldAt({ members, origins }: GroupState, explanation: GroupExplanation): Look["held"] {
    const alone = { ...explanation, unstable: undefined, held: [], gaps: [] };
    const why = (part: Partial<GroupExplanation>): string =>
      describeGroup({ ...alone, ...part } as GroupExplanation, this.#nowMs).join("; ");
    const held = explanation.held.flatMap((one) => {
      const message = this.#packets.get(`${one.from}/${one.number}`);
      return message === undefined ? [] : [{ message, why: why({ held: [one] }) }];
    });
    const early = explanation.gaps.flatMap((gap) => {
      const numbers = origins[members.indexOf(gap.from)]?.early.keys() ?? [];
      return [...numbers].flatMap((number) => {
        const message = this.#packets.get(`${gap.from}/${number}`);
        return message === undefined ? [] : [{ message, why: why({ gaps: [gap] }) }];
      });
    });
    return [...held, ...early];
  }

  /** Time has come to that, though nothing happens. */
  arrive(atMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, BASE_MS + atMs);
  }

  result(): Run {
    const drawn = this.#frames.filter(({ kind }) => kind !== "word" && kind !== "control");
    const times = [
      ...drawn.map(({ arrivesMs }) => arrivesMs),
      ...this.#events.map(({ atMs }) => atMs),
      ...this.#snapshots.flatMap(({ recorded, cutMs = 0 }) => [...recorded.values(), cutMs]),
      ...this.#lab.snapshots.map(({ atMs }) => atMs),
    ];
    return {
      ...{ sends: this.#sends, deliveries: this.#deliveries, events: this.#events },
      ...{ frames: this.#frames, snapshots: this.#snapshots, problems: this.#problems },
      endMs: Math.max(0, ...times),
    };
  }
}

interface SeenState {
  readonly state: State;
  readonly groups: readonly { readonly state: GroupState }[];
}

function seeState(captured: Uint8Array): SeenState {
  return SHOWN?.decode(captured) as SeenState;
}

/** The packets with messages that are held back in a state, as `origin/number`. */
function heldNumbers(group: GroupState | undefined): readonly string[] {
  if (!group) return [];
  return group.origins.flatMap(({ early, unsafe, waiting, line, loose }, index) =>
    [
      ...[...unsafe, ...waiting, ...line, ...loose.values()].map(({ number }) => number),
      ...early.keys(),
    ].map((number) => `${group.members[index]}/${number}`),
  );
}

/** Runs a lab to its end. */
export function runLab(lab: Lab): Run {
  const driver = new Driver(lab);
  driver.advance(NEVER_MS);
  return driver.result();
}

/** What all processes of a lab are like at that time, and what has happened by then. */
export function lookAt(lab: Lab, atMs: number): readonly Look[] {
  const driver = new Driver(lab);
  driver.advance(atMs);
  driver.arrive(atMs);
  return driver.look();
}

/**
 * What happened, as a history that can be judged.
 * @param beside whether messages that went beside the group count as messages of it, without an order
 */
export function historyOf(lab: Lab, run: Run, beside: boolean): readonly HistoryLine[] {
  const messages = new Map(lab.messages.map((one) => [one.name, one]));
  const lines: HistoryLine[] = [
    { type: "group", group: GROUP, members: [...lab.processes].sort() },
  ];
  for (const { process, type, message } of run.events) {
    const { order = "none", to } = messages.get(message) ?? {};
    if (order === "none" && !beside) continue;
    if (type === "deliver") lines.push({ type, process, group: GROUP, message });
    else {
      const level = order === "none" || !Object.hasOwn(ORDER_LEVELS, order) ? "reliable" : order;
      const one = to === undefined ? {} : { to };
      lines.push({ type, process, group: GROUP, message, order: level as OrderLevel, ...one });
    }
  }
  return lines;
}
