/**
 * Runs a whole system in one thread, in virtual time: the shipping `Process` of each participant, over a network, stores
 * and clocks that one seed decides, down to the byte. The same seed and the same calls give the same trace.
 *
 * Assumptions. Applications are deterministic, as `Application` asks. Nothing else is: frames are late, lost, repeated,
 * overtaken or held; connections break; processes die and come back; clocks are off; stores fail.
 *
 * Theory of operation. All that is to happen stands on an agenda, in order of virtual time. Whatever happens to a process is one
 * input; its effects are performed at once and in order, which is a driver's duty, and put new things on the agenda. Each random choice
 * is taken from one stream when it is needed, so no choice depends on anything but what happened before. What the simulation
 * judges by it does not ask the machines for: witnesses between processes and applications write down every message.
 *
 * After Zhou, Xu, Shraer et al. 2021, "FoundationDB", §4, and Killian et al. 2007, "Life, Death, and the
 * Critical Transition", for the healing phase.
 */

import { emptyChannelHash, foldChannelHash, formatChannelHash } from "../core/channel-hash.ts";
import { type ErrorCode, TidemarkError, textOf } from "../core/error.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import { copyOf, joinBytes, readRecords } from "../core/record.ts";
import { sha256 } from "../core/sha256.ts";
import { Topology } from "../core/topology.ts";
import type { ChannelOrder } from "../link/link.ts";
import { FrozenState, UNASKED } from "../process/application.ts";
import { type Codec, jsonCodec } from "../process/codec.ts";
import { Journal, replayRecord } from "../process/journal.ts";
import {
  Process,
  type ProcessEffect,
  type ProcessInput,
  type RestoredPiece,
} from "../process/process.ts";
import type { ProcessImage } from "../process/process-image.ts";
import {
  MANIFEST_FORMAT,
  type Manifest,
  type PartReference,
  type PieceRecord,
} from "../snapshot/manifest.ts";
import { verifySnapshot } from "../snapshot/verify.ts";
import { Recorder, type RecorderOptions, type Recording } from "../trace/recorder.ts";
import { Agenda } from "./agenda.ts";
import { checkKeys, checkMs, checkNumber, refuse, told } from "./check.ts";
import { checkFaults, type Faults, NO_FAULTS } from "./faults.ts";
import { OrderLogs } from "./order-logs.ts";
import { type SeenSnapshot, seeSnapshot, stateOf } from "./seen.ts";
import { SimulatedLog } from "./simulated-log.ts";
import { copyOfData } from "./values.ts";
import {
  type Cut,
  type Happening,
  inFlightBetween,
  MessageLog,
  restOf,
  sameBytes,
  Violation,
  Witness,
} from "./witness.ts";
import type { View, World } from "./world.ts";
import { checkApplication, checkWorld } from "./world-check.ts";

/** How a world is simulated. */
export interface SimulationOptions<Reply = never> {
  readonly seed: number | string;
  /** @default NO_FAULTS */
  readonly faults?: Faults;
  /** Bytes on the way on one channel, as for `startProcess`. @default 1 MiB */
  readonly windowBytes?: number;
  /** How long a process may be away before snapshots no longer wait for it. @default 1000 */
  readonly lostAfterMs?: number;
  /** How long a snapshot may take. @default 5000 */
  readonly timeoutMs?: number;
  /** Hears of everything that happens, in order. */
  readonly watch?: (event: SimulationEvent) => void;
  /** What is recorded of each process, for `recordings`. @default nothing */
  readonly record?: RecorderOptions;
  /** Hears what applications say that nobody asked for, when it is safe: as `onUnasked` of a running process. */
  readonly onUnasked?: (process: ProcessId, reply: Reply) => void;
}

/** One thing that happened. */
export interface SimulationEvent {
  /** Virtual time. */
  readonly nowMs: number;
  readonly process: ProcessId;
  readonly happening:
    | Happening<unknown, unknown, unknown>
    | { readonly type: "up" | "crash" | "restart"; readonly peer?: ProcessId }
    | { readonly type: "down"; readonly peer: ProcessId; readonly reason: string }
    | { readonly type: "record"; readonly snapshot: SnapshotId }
    | { readonly type: "complete"; readonly snapshot: SnapshotId }
    | { readonly type: "abandoned"; readonly snapshot: SnapshotId; readonly reason: string };
}

/** An epoch that began from a snapshot. */
export interface Restored {
  readonly epoch: number;
  readonly snapshot: SnapshotId;
  /** The epoch in which that was taken. */
  readonly of: number;
}

/** What a restarted process begins with; in a world that logs inputs, `log`: all that it knew. */
export type ComesBackWith = "nothing" | "snapshot" | "log";

const MESSAGE_FRAME_BYTES = 16_384;
const LIMIT_BYTES = 64 * 1024 * 1024;
/** Virtual time 0, for the clocks of processes: the first day of 2026. */
const EPOCH_MS = 1_767_225_600_000;
/** What a network of a given capacity lets wait; beyond, it takes nothing. */
const BACKLOG_MS = 200;
/** So much later a broken connection is tried again. */
const RECONNECT_MS = 20;
const SLAB_BYTES = 32_768;
/** What a frame is written over with once it was delivered: it was only lent. */
const POISON = 0xee;
/** What may befall a system without a mistake of the machines. */
const EXPECTED: ReadonlySet<ErrorCode> = new Set(["PEER_RESTARTED", "CAPTURE_THREW"]);

const NOTHING = new MessageLog();
const COMES_BACK_WITH: ReadonlySet<ComesBackWith> = new Set(["nothing", "snapshot", "log"]);
/** After so many inputs it is kept how a process is. */
const KEPT_EVERY = 64;
/** Of requests; answers stand in one list. */
const INDEX_MAX = 999_999;
const OPTIONS: readonly (keyof SimulationOptions)[] = [
  ...(["seed", "faults", "windowBytes", "lostAfterMs", "timeoutMs"] as const),
  ...(["watch", "record", "onUnasked"] as const),
];

/** One way between two processes. */
interface Way {
  readonly from: ProcessId;
  readonly to: ProcessId;
  /** Frames wait until a release. */
  held: boolean;
  /** Partitioned: nothing passes. */
  blocked: boolean;
  /** Nothing arrives before. */
  cloggedUntilMs: number;
  /** When the frame before has left, as far as capacity goes; when it arrives. */
  busyUntilMs: number;
  lastMs: number;
  readonly waiting: { readonly connection: number; readonly frame: Uint8Array }[];
}

/** The connection between two processes; each end notices for itself when it comes and goes. */
interface Pair {
  readonly ends: readonly [ProcessId, ProcessId];
  readonly ways: readonly [Way, Way];
  /** The newest connection, up or not. */
  connection: number;
  down: boolean;
  /** The connection that each end has, and when it is to have it. */
  readonly has: Map<ProcessId, number>;
  readonly hasAtMs: Map<ProcessId, number>;
}

/** One life of a process. */
interface Life<M, State, Request, Reply> {
  readonly id: ProcessId;
  readonly index: number;
  readonly incarnation: number;
  readonly epoch: number;
  readonly process: Process<M, State, Request, Reply>;
  readonly witness: Witness<M, State, Request, Reply>;
  /** In a world that logs inputs. */
  readonly logged: Logged<M, State, Request, Reply> | undefined;
  /** Of its clock: where it stood at virtual time 0, and how fast it goes. */
  readonly startMs: number;
  readonly rate: number;
  alive: boolean;
  /** How many things it still does before it dies. */
  dies: number;
  /** It came back with its log. */
  readonly recovered: boolean;
  wake: number;
  readonly timers: Map<string, number>;
  /** Of logs that give groups their order: those that it has lost, until it has them again. */
  readonly lostLogs: Set<string>;
  /** Pieces that are being stored; false when they are no longer wanted. */
  readonly storing: Map<SnapshotId, boolean>;
  /** Where it was when it recorded. */
  readonly cuts: Map<SnapshotId, Cut>;
}

/** The inputs of one life, on a log. */
interface Logged<M, State, Request, Reply> {
  readonly log: SimulatedLog;
  readonly journal: Journal<M, State, Request, Reply>;
  /** The log is being flushed. */
  settling: boolean;
  /** It has been kept how it was at that many records. */
  keptAt: number;
}

/** What a life begins with, if not with nothing. */
interface Beginning<State> {
  readonly state?: State;
  readonly epoch?: number;
  readonly from?: RestoredPiece | ProcessImage;
  readonly log?: SimulatedLog;
  readonly was?: { readonly startMs: number; readonly rate: number; readonly dies: number };
}

/** A snapshot that was begun. */
interface Begun {
  readonly id: SnapshotId;
  readonly initiator: ProcessId;
  readonly life: number;
  readonly atMs: number;
  /** Nothing stands in its way. */
  readonly mustComplete: boolean;
  settled: number;
  reason: string | undefined;
  manifest: Manifest | undefined;
}

/** Copies of many small frames stand together in one buffer: to make a buffer costs more than to fill it. */
class Slab {
  #bytes = new Uint8Array(0);
  #used = 0;

  copy(frame: Uint8Array): Uint8Array {
    if (this.#used + frame.length > this.#bytes.length) {
      this.#bytes = new Uint8Array(Math.max(SLAB_BYTES, frame.length));
      this.#used = 0;
    }
    const copy = this.#bytes.subarray(this.#used, this.#used + frame.length);
    this.#used += frame.length;
    copy.set(frame);
    return copy;
  }
}

/** Lends one frame at a time: the next one stands in the same place, as in the buffer of a socket. */
class Lender {
  #bytes = new Uint8Array(SLAB_BYTES);
  view: DataView = new DataView(this.#bytes.buffer);

  lend(frame: Uint8Array): Uint8Array {
    if (frame.length > this.#bytes.length) {
      this.#bytes = new Uint8Array(frame.length * 2);
      this.view = new DataView(this.#bytes.buffer);
    }
    this.#bytes.set(frame);
    return this.#bytes.subarray(0, frame.length);
  }
}

/** A part in the simulated store. */
interface Part {
  bytes: Uint8Array;
  flushed: boolean;
}

/** See the head of the file. */
export class Simulation<M = unknown, State = unknown, Request = never, Reply = never> {
  readonly world: World<M, State, Request, Reply>;
  readonly random: Random;
  readonly topology: Topology;
  readonly #order: ChannelOrder;
  readonly #faults: Faults;
  readonly #options: Required<Omit<SimulationOptions, "watch" | "record" | "onUnasked" | "faults">>;
  readonly #watch: SimulationOptions["watch"];
  readonly #onUnasked: SimulationOptions<Reply>["onUnasked"];
  readonly #messageCodec: Codec<M>;
  readonly #stateCodec: Codec<unknown>;
  readonly #requestCodec: Codec<Request>;
  readonly #recorders = new Map<ProcessId, Recorder>();
  readonly #agenda = new Agenda();
  readonly #lives = new Map<ProcessId, Life<M, State, Request, Reply>>();
  readonly #pairs = new Map<ProcessId, Map<ProcessId, Pair>>();
  readonly #allPairs: Pair[] = [];
  readonly #orderLogs = new OrderLogs();
  readonly #parts = new Map<string, Part>();
  readonly #counts = new Map<ProcessId, number>();
  readonly #begun: Begun[] = [];
  /** By piece: a process that comes back may record the same snapshot once more. */
  readonly #cuts = new Map<string, Cut>();
  readonly #seen: SeenSnapshot<M, State>[] = [];
  /** How each process decodes its state of the newest snapshot that is complete. */
  readonly #newest = new Map<ProcessId, () => State>();
  /** The newest that is complete. */
  #manifest: Manifest | undefined;
  /** The newest epoch, and the snapshot that it began from. */
  #restored: { readonly epoch: number; readonly manifest: Manifest } | undefined;
  readonly #restores: Restored[] = [];
  readonly #replies: (Reply | undefined)[] = [];
  readonly #asked = new Map<number, number>();
  /** Tokens of snapshots that were begun before the world healed. */
  readonly #early = new Set<number>();
  /** Tokens of those that were asked for since and are not begun, with who was asked: that waits for its log. */
  readonly #wanted = new Map<number, Life<M, State, Request, Reply>>();
  readonly #hash = emptyChannelHash();
  readonly #scratch = new DataView(new ArrayBuffer(32));
  readonly #sent = new Slab();
  readonly #lent = new Lender();
  /** When the world healed: how many messages had been sent, by channel. */
  readonly #sentByThen = new Map<string, number>();
  #nowMs = 0;
  #faulty: boolean = true;
  #arrivedMs = 0;
  #numbers = 0;
  #events = 0;

  /** @throws TidemarkError `BAD_OPTION`; `BAD_ID`, `UNKNOWN_PROCESS` of the world */
  constructor(world: World<M, State, Request, Reply>, options: SimulationOptions<Reply>) {
    checkOptions(options);
    checkWorld(world);
    const { seed, windowBytes = 1024 * 1024, lostAfterMs = 1000, timeoutMs = 5000 } = options;
    this.world = world;
    this.random = new Random(`simulation ${seed}`);
    this.topology = new Topology(world.processes, world.channels ?? "mesh");
    this.#order = world.order ?? "fifo";
    this.#faults = options.faults ?? NO_FAULTS;
    this.#options = { seed, windowBytes, lostAfterMs, timeoutMs };
    this.#watch = options.watch;
    this.#onUnasked = options.onUnasked;
    this.#messageCodec = world.messageCodec ?? jsonCodec<M>();
    this.#stateCodec = world.stateCodec ?? jsonCodec<unknown>();
    this.#requestCodec = world.requestCodec ?? jsonCodec<Request>();
    if (options.record)
      for (const id of this.topology.processes)
        this.#recorders.set(id, new Recorder(id, options.record));
    for (const id of this.topology.processes) this.#begin(id);
  }

  /** The later epochs, each with the snapshot that the system was restored to. */
  get restores(): readonly Restored[] {
    return this.#restores;
  }

  /** The epoch that a process is in, or was in when it died. */
  epochOf(id: ProcessId): number {
    return this.#life(id).epoch;
  }

  /** Virtual time since the beginning, in milliseconds. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** When the next thing happens; Infinity if nothing will. */
  get nextMs(): number {
    return this.#agenda.nextMs;
  }

  /** By when all frames that are on their way will have arrived. */
  get arrivedMs(): number {
    return this.#arrivedMs;
  }

  /** How many things have happened. */
  get events(): number {
    return this.#events;
  }

  /** Over everything that ever went into a process, and when: the same for the same seed, on every machine. */
  get traceHash(): string {
    return formatChannelHash(this.#hash);
  }

  /** What each process did, if that is recorded: `traceLines` makes a trace of it. */
  get recordings(): readonly Recording[] {
    return [...this.#recorders.values()].map((one) => one.recording());
  }

  /** Snapshots that were abandoned, with their reasons. */
  get abandoned(): readonly { readonly id: SnapshotId; readonly reason: string }[] {
    return this.#begun.flatMap(({ id, reason }) => (reason === undefined ? [] : [{ id, reason }]));
  }

  // Time.

  /** Lets the next thing happen. False if nothing is to happen any more. */
  step(): boolean {
    const next = this.#agenda.take();
    if (!next) return false;
    if (next.atMs > this.#nowMs) this.#nowMs = next.atMs;
    this.#events += 1;
    next.act();
    return true;
  }

  /**
   * Lets everything happen that is due within so many virtual milliseconds.
   * @throws TidemarkError `BAD_OPTION`
   */
  runFor(ms: number): void {
    checkMs("runFor", ms);
    const untilMs = this.#nowMs + ms;
    while (this.#agenda.nextMs <= untilMs) this.step();
    this.#nowMs = untilMs;
  }

  /**
   * Lets things happen until that holds; false if it does not within so many virtual milliseconds.
   * @throws TidemarkError `BAD_OPTION`
   */
  runUntil(holds: () => boolean, withinMs: number): boolean {
    checkMs("runUntil", withinMs);
    const untilMs = this.#nowMs + withinMs;
    while (!holds()) {
      if (this.#agenda.nextMs > untilMs) return false;
      this.step();
    }
    return true;
  }

  /**
   * Does that after so many virtual milliseconds.
   * @throws TidemarkError `BAD_OPTION`
   */
  after(ms: number, act: () => void): void {
    checkMs("after", ms);
    this.#agenda.add(this.#nowMs + ms, act);
  }

  // What the outside does.

  /**
   * Asks a process; the answer appears in the view under `index`. Lost if the process is down. The application gets a
   * copy of the request: what it does to it changes nothing elsewhere.
   * @throws TidemarkError `BAD_OPTION`, `UNKNOWN_PROCESS`
   */
  request(of: ProcessId, request: Request, index: number): void {
    const life = this.#life(of);
    if (!Number.isInteger(index)) refuse(`index must be a whole number, not ${told(index)}`);
    checkNumber("index", index, 0, INDEX_MAX);
    this.#numbers += 1;
    const id = this.#numbers;
    this.#asked.set(id, index);
    this.#step(life, { type: "request", id, request: copyOfData(request), nowMs: 0 });
  }

  /** Begins a snapshot. Nothing happens if the process is down. */
  snapshot(by: ProcessId): void {
    const life = this.#life(by);
    this.#numbers += 1;
    if (this.#faulty) this.#early.add(this.#numbers);
    else this.#wanted.set(this.#numbers, life);
    const { timeoutMs } = this.#options;
    this.#step(life, { type: "snapshot", token: this.#numbers, timeoutMs, nowMs: 0 });
  }

  // Faults, by their verbs.

  /** No frame passes from the one group to the other, nor, unless it is one-way, back. Connections break in a while. */
  partition(
    from: readonly ProcessId[],
    to: readonly ProcessId[],
    { oneWay = false }: { readonly oneWay?: boolean } = {},
  ): void {
    // All or none: that there are such pairs is known before the first is parted.
    for (const a of from) for (const b of to) this.#pair(a, b);
    for (const a of from)
      for (const b of to) {
        this.#way(a, b).blocked = true;
        if (!oneWay) this.#way(b, a).blocked = true;
        const pair = this.#pair(a, b);
        this.after(this.random.below(20), () => {
          if (pair.ways.some(({ blocked }) => blocked)) this.#disconnect(pair);
        });
      }
  }

  /** Ends all partitions. */
  repair(): void {
    for (const pair of this.#allPairs)
      for (const way of pair.ways) {
        way.blocked = false;
        if (!way.held) this.#letGo(way);
      }
  }

  /** Breaks the connection of two processes; it comes back by itself. */
  cut(a: ProcessId, b: ProcessId): void {
    this.#disconnect(this.#pair(a, b));
  }

  /** Frames from the one to the other wait until `release`. */
  hold(from: ProcessId, to: ProcessId): void {
    this.#way(from, to).held = true;
  }

  /** Lets go what waits, in order. */
  release(from: ProcessId, to: ProcessId): void {
    const way = this.#way(from, to);
    way.held = false;
    if (!way.blocked) this.#letGo(way);
  }

  /** What is sent from the one to the other arrives no earlier than so many milliseconds from now. */
  clog(from: ProcessId, to: ProcessId, ms: number): void {
    checkMs("clog", ms);
    const way = this.#way(from, to);
    way.cloggedUntilMs = Math.max(way.cloggedUntilMs, this.#nowMs + ms);
  }

  /**
   * A process dies: its state is lost, and what its store had not flushed. No change if it is down.
   *
   * @param things it does that many first, and dies between two of them. @default 0
   */
  crash(id: ProcessId, things: number = 0): void {
    const life = this.#life(id);
    if (!life.alive) return;
    if (things > 0) {
      life.dies = things;
      return;
    }
    this.#tell(life, { type: "crash" });
    life.alive = false;
    if (!life.logged) this.#recorders.get(id)?.ended("crash");
    for (const [name, part] of this.#parts) {
      if (part.flushed || !name.startsWith(`${id} `)) continue;
      if (this.#happens(this.#faults.torn))
        part.bytes = part.bytes.subarray(0, this.random.below(part.bytes.length + 1));
      else this.#parts.delete(name);
    }
    for (const pair of this.#pairs.get(id)?.values() ?? []) {
      pair.has.delete(id);
      this.#disconnect(pair);
    }
  }

  /**
   * A process that is down comes back: without its state, with that of the newest snapshot, or with what it has logged. No change if it
   * is up. One that logs inputs comes back with its log, whatever is said.
   */
  restart(id: ProcessId, comesBackWith: ComesBackWith = "nothing"): void {
    if (!COMES_BACK_WITH.has(comesBackWith))
      refuse(
        `a process comes back with "nothing", "snapshot" or "log", not ${told(comesBackWith)}`,
      );
    const was = this.#life(id);
    if (was.alive) return;
    this.#tell(was, { type: "restart" });
    if (this.world.logsInputs) this.#recover(was);
    else {
      const state = comesBackWith === "snapshot" ? this.#newest.get(id)?.() : undefined;
      this.#begin(id, state === undefined ? {} : { state });
    }
  }

  /**
   * Restores the whole system to the newest snapshot, in a new epoch. That process goes there now, or when it is back; the others when
   * they hear of it. Nothing happens before there is a snapshot.
   */
  restore(by: ProcessId): void {
    const manifest = this.#manifest;
    if (!manifest) return;
    const epoch = 1 + (this.#restored?.epoch ?? 1);
    this.#restored = { epoch, manifest };
    this.#restores.push({ epoch, snapshot: manifest.id, of: manifest.epoch });
    const life = this.#life(by);
    if (life.alive) this.#advance(life);
  }

  /** No more faults: partitions, holds and clogs end, and who is down comes back. */
  heal(): void {
    this.#faulty = false;
    this.repair();
    for (const { ways } of this.#allPairs)
      for (const way of ways) {
        way.cloggedUntilMs = 0;
        this.release(way.from, way.to);
      }
    for (const id of this.topology.processes) {
      this.#life(id).dies = 0;
      this.restart(id);
    }
    for (const { from, to } of this.topology.channels())
      this.#sentByThen.set(`${from} ${to}`, this.#sentTo(from, to).length);
  }

  // What can be seen.

  /** The world at this moment. Good until the next thing happens. */
  get view(): View<M, State, Reply> {
    const alive = [...this.#lives.values()].filter((life) => life.alive);
    const inFlight = (from: ProcessId, to: ProcessId): readonly M[] =>
      this.#inFlight(from, to).map((bytes) => this.#messageCodec.decode(copyOf(bytes)));
    return {
      nowMs: this.#nowMs,
      up: alive.map(({ id }) => id),
      state: (id) => {
        const life = this.#life(id);
        return life.alive ? life.witness.look() : undefined;
      },
      inFlight,
      allInFlight: () => this.topology.channels().flatMap(({ from, to }) => inFlight(from, to)),
      replies: this.#replies,
      snapshots: this.#seen,
    };
  }

  /**
   * Why the world has not come to rest, in a sentence; `undefined` if every snapshot is settled and all messages have
   * arrived that had been sent when it healed.
   */
  unrest(): string | undefined {
    for (const life of this.#wanted.values())
      if (life.alive && this.#life(life.id) === life)
        return `a snapshot of ${life.id} has not begun`;
    for (const { id, settled, initiator, life } of this.#begun)
      if (
        settled === 0 &&
        this.#life(initiator).incarnation === life &&
        this.#isOpen(initiator, id)
      )
        return `snapshot ${id} is not settled`;
    for (const { from, to } of this.topology.channels()) {
      const late =
        (this.#sentByThen.get(`${from} ${to}`) ?? 0) - this.#receivedFrom(from, to).length;
      if (late > 0) return `${late} messages from ${from} to ${to} have not arrived`;
    }
    return undefined;
  }

  #isOpen(initiator: ProcessId, snapshot: SnapshotId): boolean {
    const { recovered, process } = this.#life(initiator);
    return !recovered || process.state.collections.collections.has(snapshot);
  }

  /**
   * Judges what can only be judged at the end: what came out of each channel is the beginning of what was sent, every
   * snapshot was settled once, those that nothing stood in the way of are complete, and nothing is left of any.
   * @throws Violation
   */
  judge(): void {
    for (const { id, initiator, life, settled, reason, manifest, mustComplete } of this.#begun) {
      const same = this.#life(initiator).incarnation === life;
      // Whoever comes back with its log knows that it has settled it; that need not have been seen.
      if (same && settled !== 1 && !(this.#life(initiator).recovered && settled === 0))
        throw new Violation("settled", `${id} was settled ${settled} times at its initiator`);
      if (same && settled === 1 && (reason === undefined) !== (manifest !== undefined))
        throw new Violation("settled", `${id}: ${reason ?? "complete, without a manifest"}`);
      if (mustComplete && !manifest)
        throw new Violation("liveness", `${id} had to complete, but: ${reason ?? "did not"}`);
      if (manifest) this.#mustBeWhole(manifest);
    }
    for (const { from, to } of this.topology.channels()) this.#judgeChannel(from, to);
    for (const { process, id, alive } of this.#lives.values()) {
      if (!alive) continue;
      const [late] = process.explain().snapshots;
      if (late) throw new Violation("rest", `${id} still waits for ${late.waitsFor.join(", ")}`);
      const [kept] = process.state.shares;
      if (kept) throw new Violation("rest", `${id} still keeps its share of ${kept.snapshot}`);
    }
  }

  // Processes.

  #begin(id: ProcessId, beginning: Beginning<State> = {}): Life<M, State, Request, Reply> {
    const { random, world, topology } = this;
    const { state, from, epoch = 1, was } = beginning;
    const image = from && "peers" in from ? from : undefined;
    const faults = this.#faults;
    const { windowBytes, lostAfterMs } = this.#options;
    const application = orViolation("application", `application(${told(id)}) threw`, () =>
      world.application(id),
    );
    checkApplication(id, application);
    const incarnation = image?.incarnation ?? 1 + random.below(2 ** 32 - 1);
    const witness = new Witness<M, State, Request, Reply>({
      process: id,
      life: incarnation,
      application,
      messageCodec: this.#messageCodec,
      stateCodec: this.#stateCodec,
      beforeCapture: () => {
        if (this.#happens(faults.captureThrows)) throw new Error("a simulated failure");
      },
      happens: this.#watch && ((happening) => this.#tell(life, happening)),
    });
    if (state !== undefined)
      orViolation("application", `restore of ${id} threw`, () => witness.restore(state as State));
    const process = new Process<M, State, Request, Reply>({
      self: id,
      topology,
      application: witness,
      messageCodec: witness.messageCodec,
      stateCodec: this.#stateCodec,
      seed: random.bits(),
      incarnation,
      epoch,
      reliable: faults.reliable,
      order: world.order,
      algorithm: world.algorithm,
      maxFrameBytes: MESSAGE_FRAME_BYTES * 64,
      receive: "auto",
      windowBytes,
      limitBytes: LIMIT_BYTES,
      lostAfterMs,
      lastCount: this.#counts.get(id) ?? 0,
      from,
      observer: this.#recorders.get(id),
    });
    const log = beginning.log ?? new SimulatedLog();
    const journal = world.logsInputs && new Journal(process, this.#requestCodec, log);
    const life: Life<M, State, Request, Reply> = {
      id,
      index: topology.processes.indexOf(id),
      incarnation,
      epoch,
      witness,
      process,
      logged: journal ? { log, journal, settling: false, keptAt: 0 } : undefined,
      startMs: was?.startMs ?? EPOCH_MS + (random.fraction() * 2 - 1) * faults.skewMs,
      rate: was?.rate ?? 1 + (random.fraction() * 2 - 1) * faults.drift,
      alive: true,
      dies: was?.dies ?? 0,
      recovered: image !== undefined,
      wake: 0,
      timers: new Map(),
      lostLogs: new Set(),
      storing: new Map(),
      cuts: new Map(),
    };
    if (!image)
      this.#soon(0, () => {
        this.#step(life, { type: "start", nowMs: 0 });
        this.#openLogs(life);
      });
    for (const other of this.#lives.keys()) {
      if (other === id || this.#pairs.get(id)?.has(other)) continue;
      this.#introduce(id, other);
    }
    this.#lives.set(id, life);
    for (const pair of this.#pairs.get(id)?.values() ?? [])
      this.#soon(RECONNECT_MS, () => this.#connect(pair));
    return life;
  }

  /** Of a world that logs inputs: it goes on from its log, unless the system has gone to a later epoch meanwhile. */
  #recover(was: Life<M, State, Request, Reply>): void {
    const { id, logged, epoch } = was;
    if (this.#restored && epoch < this.#restored.epoch) {
      this.#goOnFrom(was, this.#restored);
      return;
    }
    const kept = logged?.log.kept;
    if (!logged || !kept) {
      // It died before it had done anything.
      if (this.#restored) this.#goOnFrom(was, this.#restored);
      else this.#begin(id);
      return;
    }
    const { log } = logged;
    const before = was.process.image;
    const lost = log.crash(this.random);
    const { image, slices, sliced, marks } = kept;
    const values = slices.map((slice) => this.#stateCodec.decode(copyOf(slice)));
    const state = (sliced ? values : values[0]) as State;
    const life = this.#begin(id, { state, from: image, epoch, log, was });
    for (const [peer, { peerLife, sent, received }] of marks) {
      const stretch = was.witness.stretchOf(peer, peerLife);
      life.witness.begin(
        peer,
        peerLife,
        stretch.sent.slice(0, sent),
        stretch.received.slice(0, received),
      );
    }
    // What it did since then it does once more, as far as it is in the log.
    if (kept.recorded) this.#recorders.get(id)?.rewind(kept.recorded);
    for (const record of log.rest())
      orViolation("replay", id, () => replayRecord(life.process, this.#requestCodec, record));
    life.witness.cuts.length = 0;
    if (lost === 0) mustBeSame(id, before, life.process.image);
    for (const { peer, channel } of life.process.state.links)
      if (channel.peerIncarnation !== 0) life.witness.met(peer, channel.peerIncarnation);
    this.#step(life, { type: "recover", nowMs: 0 });
    this.#openLogs(life);
    for (const snapshot of life.process.committing) {
      const written = this.#begun.some((one) => one.id === snapshot && one.manifest);
      const failed = written ? {} : { failed: `${id} died before its manifest was written` };
      this.#step(life, { type: "committed", snapshot, ...failed, nowMs: 0 });
    }
  }

  /** A process goes to the newest epoch: it ends as it is, and another life of it goes on from its piece. */
  #advance(was: Life<M, State, Request, Reply>): void {
    const restored = this.#restored;
    if (!restored || was.epoch >= restored.epoch) return;
    was.alive = false;
    for (const pair of this.#pairs.get(was.id)?.values() ?? []) {
      pair.has.delete(was.id);
      this.#disconnect(pair);
    }
    this.#goOnFrom(was, restored);
  }

  #goOnFrom(
    was: Life<M, State, Request, Reply>,
    { epoch, manifest }: { readonly epoch: number; readonly manifest: Manifest },
  ): void {
    const { id } = was;
    const { pieces } = manifest;
    const read = (name: string): Uint8Array => this.#partOf(pieces, name) as Uint8Array;
    const piece = pieces.find((one) => one.process === id) as PieceRecord;
    const inFlight = (part: PartReference | undefined): Uint8Array =>
      part ? copyOf(read(part.sha256)) : new Uint8Array(0);
    const incoming = piece.incoming.map(({ from, received, hash, part }) => ({
      ...{ from, received, hash, messages: inFlight(part) },
    }));
    const { outgoing, timers = [] } = piece;
    const state = stateOf<State>(piece.state, read, this.#stateCodec);
    const life = this.#begin(id, { state, epoch, from: { incoming, outgoing, timers }, was });
    for (const { to } of outgoing) {
      // What was sent by when the world healed is undone.
      this.#sentByThen.delete(`${id} ${to}`);
      const other = pieces
        .find((one) => one.process === to)
        ?.incoming.find((one) => one.from === id);
      life.witness.begin(to, 0, readRecords(inFlight(other?.part)), []);
    }
  }

  #life(id: ProcessId): Life<M, State, Request, Reply> {
    const life = this.#lives.get(id);
    if (life) return life;
    throw new TidemarkError("UNKNOWN_PROCESS", `there is no ${id} in this world`);
  }

  #tell(life: Life<M, State, Request, Reply>, happening: SimulationEvent["happening"]): void {
    this.#watch?.({ nowMs: this.#nowMs, process: life.id, happening });
  }

  /** Gives a process an input, at its own time, and performs the effects. */
  #step(life: Life<M, State, Request, Reply>, input: ProcessInput<Request>): void {
    if (!life.alive) return;
    (input as { nowMs: number }).nowMs = life.startMs + this.#nowMs * life.rate;
    this.#trace(life.index, input);
    const { logged } = life;
    if (logged) {
      this.#performAll(life, logged.journal.step(input));
      if (input.type === "start" || logged.log.length - logged.keptAt >= KEPT_EVERY)
        this.#keep(life, logged);
      this.#settleSoon(life, logged);
      return;
    }
    for (const effect of life.process.step(input)) this.#perform(life, effect);
    life.witness.cuts.length = 0;
  }

  /** It may die between any two of them. */
  #performAll(
    life: Life<M, State, Request, Reply>,
    effects: readonly ProcessEffect<M, Reply>[],
  ): void {
    for (const effect of effects) {
      if (!life.alive) return;
      this.#perform(life, effect);
      if (life.dies === 0) continue;
      life.dies -= 1;
      if (life.dies === 0) this.crash(life.id);
    }
  }

  /** The log is flushed, with all that has been appended until it begins; and what waited for that happens. */
  #settleSoon(
    life: Life<M, State, Request, Reply>,
    logged: Logged<M, State, Request, Reply>,
  ): void {
    const { log, journal } = logged;
    if (logged.settling || !journal.waits || !life.alive) return;
    logged.settling = true;
    const upTo = log.length;
    this.#soon(this.#faults.syncMs / 4, () => {
      logged.settling = false;
      if (!life.alive) return;
      log.settle(upTo);
      this.#performAll(life, journal.settled(upTo));
      this.#settleSoon(life, logged);
    });
  }

  /** Keeps all that it knows. */
  #keep(life: Life<M, State, Request, Reply>, logged: Logged<M, State, Request, Reply>): void {
    const { log } = logged;
    const { slices, sliced } = life.witness.keep();
    const marks = new Map(
      [...life.witness.stretches].map(([peer, { peerLife, sent, received }]) => [
        peer,
        { peerLife, sent: sent.length, received: received.length },
      ]),
    );
    const { image } = life.process;
    const recorded = this.#recorders.get(life.id)?.mark();
    const kept = { image, slices, sliced, marks, records: log.length, recorded };
    logged.keptAt = log.length;
    // The first is there before anything else happens; nothing is shown of what came before another until it is there.
    if (log.kept === undefined) log.keep(kept);
    else
      this.#soon(this.#faults.syncMs, () => {
        if (life.alive) log.keep(kept);
      });
  }

  #trace(index: number, input: ProcessInput<Request>): void {
    const scratch = this.#scratch;
    scratch.setFloat64(0, input.nowMs, true);
    scratch.setInt32(8, index, true);
    // The first and the third letter tell all inputs apart, but for few.
    scratch.setInt32(12, input.type.charCodeAt(0) * 256 + input.type.charCodeAt(2), true);
    foldChannelHash(this.#hash, scratch, 0, 16);
    if (input.type !== "frame") return;
    const { length } = input.frame;
    foldChannelHash(this.#hash, this.#lent.view, 0, length - (length % 4));
  }

  #soon(mostMs: number, act: () => void): void {
    this.#agenda.add(this.#nowMs + this.random.fraction() * mostMs, act);
  }

  /** True with that probability, while there are faults. */
  #happens(probability: number): boolean {
    return this.#faulty && probability > 0 && this.random.chance(probability);
  }

  #perform(life: Life<M, State, Request, Reply>, effect: ProcessEffect<M, Reply>): void {
    switch (effect.type) {
      case "frame":
        if (!this.#send(life, effect.to, effect.frame))
          this.#soon(0, () => this.#step(life, { type: "dropped", peer: effect.to, nowMs: 0 }));
        break;
      case "timer": {
        this.#numbers += 1;
        const token = this.#numbers;
        const { name } = effect;
        life.timers.set(name, token);
        this.#agenda.add(this.#nowMs + effect.afterMs / life.rate, () => {
          if (life.timers.get(name) === token) this.#step(life, { type: "timer", name, nowMs: 0 });
        });
        break;
      }
      case "wake": {
        this.#numbers += 1;
        const token = this.#numbers;
        life.wake = token;
        // A driver's clock has passed the time when it says so: never a tick too early.
        const atMs = (effect.atMs - life.startMs) / life.rate + 0.001;
        this.#agenda.add(Math.max(this.#nowMs, atMs), () => {
          if (life.wake === token) this.#step(life, { type: "tick", nowMs: 0 });
        });
        break;
      }
      case "reply": {
        if (effect.id === UNASKED) this.#onUnasked?.(life.id, effect.reply);
        const index = this.#asked.get(effect.id);
        this.#asked.delete(effect.id);
        if (index !== undefined) this.#replies[index] = effect.reply;
        break;
      }
      case "snapshot-started":
        this.#started(life, effect.snapshot, effect.token);
        break;
      case "snapshot-refused":
        this.#wanted.delete(effect.token);
        if (!this.#faulty && !effect.error.message.includes("no path of channels"))
          throw new Violation("liveness", `healed, but ${effect.error.message}`);
        break;
      case "recorded": {
        const cut = life.witness.cuts.shift();
        if (!cut) throw new Violation("state", `${effect.snapshot} was recorded without capture`);
        life.cuts.set(effect.snapshot, cut);
        this.#tell(life, { type: "record", snapshot: effect.snapshot });
        break;
      }
      case "piece":
        this.#storePiece(life, effect);
        break;
      case "commit":
        this.#soon(this.#faults.syncMs, () => this.#commit(life, effect));
        break;
      case "settled":
        this.#settled(life, effect.snapshot, effect.reason);
        break;
      case "problem":
        if (!EXPECTED.has(effect.error.code)) throw new Violation("problem", effect.error.message);
        break;
      case "failed":
        throw new Violation("application", effect.error.message);
      case "order-log-write":
        this.#writeLog(life, effect.log, effect.text);
        break;
      case "received":
      case "cut":
        break;
    }
  }

  // Logs that give groups their order.

  #openLogs(life: Life<M, State, Request, Reply>): void {
    for (const log of Object.keys(life.process.orderLogs))
      this.#soon(RECONNECT_MS, () => this.#openLog(life, log));
  }

  #openLog(life: Life<M, State, Request, Reply>, log: string): void {
    life.lostLogs.delete(log);
    this.#step(life, { type: "order-log-open", log, epoch: life.epoch, nowMs: 0 });
    this.#readLog(life, log);
  }

  /** Some of what is there, and the rest later. */
  #readLog(life: Life<M, State, Request, Reply>, log: string): void {
    for (let many = this.random.between(1, 4); life.alive && !life.lostLogs.has(log); many -= 1) {
      const { epoch, position } = life.process.orderLogs[log] ?? { epoch: 0, position: 0 };
      const next = epoch === life.epoch && this.#orderLogs.next(log, epoch, position);
      if (!next) return;
      if (many === 0) {
        this.#soon(this.#faults.delayMs[1], () => this.#readLog(life, log));
        return;
      }
      this.#step(life, { type: "order-log-read", log, ...next, nowMs: 0 });
    }
  }

  /** It may come late, twice, or not at all: then the log is lost with it, and comes back. */
  #writeLog(life: Life<M, State, Request, Reply>, log: string, text: string): void {
    const { delayMs, loss, refuse, repeat, troubleMs } = this.#faults;
    if (life.lostLogs.has(log)) return;
    if (this.#happens(Math.max(loss, refuse))) {
      life.lostLogs.add(log);
      this.#soon(troubleMs, () => this.#openLog(life, log));
      return;
    }
    const arrive = (): void => {
      this.#orderLogs.append(log, life.epoch, text);
      for (const reader of this.#lives.values())
        if (reader.epoch === life.epoch) this.#soon(delayMs[1], () => this.#readLog(reader, log));
    };
    this.#soon(delayMs[1], arrive);
    if (this.#happens(repeat)) this.#soon(delayMs[1] * 4, arrive);
  }

  // The network.

  #introduce(a: ProcessId, b: ProcessId): void {
    const way = (from: ProcessId, to: ProcessId): Way => ({
      from,
      to,
      held: false,
      blocked: false,
      cloggedUntilMs: 0,
      busyUntilMs: 0,
      lastMs: 0,
      waiting: [],
    });
    const pair: Pair = {
      ends: [a, b],
      ways: [way(a, b), way(b, a)],
      connection: 0,
      down: true,
      has: new Map(),
      hasAtMs: new Map(),
    };
    this.#allPairs.push(pair);
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const pairs = this.#pairs.get(self) ?? new Map<ProcessId, Pair>();
      this.#pairs.set(self, pairs.set(peer, pair));
    }
  }

  #pair(a: ProcessId, b: ProcessId): Pair {
    const pair = this.#pairs.get(a)?.get(b);
    if (pair) return pair;
    throw new TidemarkError("UNKNOWN_PROCESS", `${a} and ${b} are not two processes of this world`);
  }

  #way(from: ProcessId, to: ProcessId): Way {
    const { ends, ways } = this.#pair(from, to);
    return ends[0] === from ? ways[0] : ways[1];
  }

  /** False: the network did not take it. */
  #send(life: Life<M, State, Request, Reply>, to: ProcessId, frame: Uint8Array): boolean {
    const pair = this.#pair(life.id, to);
    const connection = pair.has.get(life.id);
    const faults = this.#faults;
    if (connection === undefined || this.#happens(faults.refuse)) return false;
    const way = pair.ends[0] === life.id ? pair.ways[0] : pair.ways[1];
    if (way.busyUntilMs > this.#nowMs + BACKLOG_MS) return false;
    // As over a network: what the sender does with its bytes later makes no difference.
    const sent = this.#sent.copy(frame);
    if (!faults.reliable && (way.blocked || this.#happens(faults.loss))) return true;
    this.#carry(pair, way, connection, sent);
    if (this.#happens(faults.repeat)) this.#carry(pair, way, connection, sent, 4);
    return true;
  }

  #carry(pair: Pair, way: Way, connection: number, frame: Uint8Array, slower = 1): void {
    if (way.held || way.blocked) {
      way.waiting.push({ connection, frame });
      return;
    }
    const { reliable, delayMs, capacity } = this.#faults;
    const [least, most] = delayMs;
    let atMs = this.#nowMs;
    if (capacity > 0 && this.#faulty) {
      way.busyUntilMs = Math.max(way.busyUntilMs, atMs) + frame.length / capacity;
      atMs = way.busyUntilMs;
    }
    atMs += (least + this.random.fraction() * (most - least)) * slower;
    atMs = Math.max(atMs, way.cloggedUntilMs);
    if (reliable) {
      atMs = Math.max(atMs, way.lastMs, pair.hasAtMs.get(way.to) ?? 0);
      if (slower === 1) way.lastMs = atMs;
    }
    this.#arrivedMs = Math.max(this.#arrivedMs, atMs);
    this.#agenda.add(atMs, () => this.#deliver(pair, way, connection, frame));
  }

  #deliver(pair: Pair, way: Way, connection: number, frame: Uint8Array): void {
    const life = this.#life(way.to);
    const has = pair.has.get(way.to);
    // What is still on its way from an earlier connection may come in, if the network promises nothing.
    if (has === undefined || (this.#faults.reliable && has !== connection)) return;
    if (way.held || way.blocked) {
      if (way.held || this.#faults.reliable) way.waiting.push({ connection, frame });
      return;
    }
    const lent = this.#lent.lend(frame);
    this.#step(life, { type: "frame", from: way.from, frame: lent, nowMs: 0 });
    lent.fill(POISON);
  }

  #letGo(way: Way): void {
    const pair = this.#pair(way.from, way.to);
    for (const { connection, frame } of way.waiting.splice(0))
      this.#carry(pair, way, connection, frame);
  }

  #connect(pair: Pair): void {
    const [a, b] = pair.ends.map((id) => this.#life(id)) as [
      Life<M, State, Request, Reply>,
      Life<M, State, Request, Reply>,
    ];
    if (!a.alive || !b.alive || !pair.down) return;
    if (a.epoch !== b.epoch) {
      const behind = a.epoch < b.epoch ? a : b;
      this.#soon(RECONNECT_MS, () => {
        if (behind.alive) this.#advance(behind);
        this.#connect(pair);
      });
      return;
    }
    if (pair.ways.some(({ blocked }) => blocked)) {
      this.#soon(RECONNECT_MS, () => this.#connect(pair));
      return;
    }
    pair.down = false;
    pair.connection += 1;
    for (const way of pair.ways) {
      way.waiting.length = 0;
      way.lastMs = 0;
    }
    const { connection } = pair;
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const atMs = this.#nowMs + this.random.fraction() * 8;
      pair.hasAtMs.set(self.id, atMs);
      this.#agenda.add(atMs, () => {
        if (pair.connection !== connection || pair.down || !self.alive) return;
        this.#leave(pair, self);
        pair.has.set(self.id, connection);
        self.witness.met(peer.id, peer.incarnation);
        this.#tell(self, { type: "up", peer: peer.id });
        const { incarnation } = peer;
        this.#step(self, { type: "peer-up", peer: peer.id, incarnation, nowMs: 0 });
      });
    }
  }

  #leave(pair: Pair, life: Life<M, State, Request, Reply>): void {
    const peer = (pair.ends[0] === life.id ? pair.ends[1] : pair.ends[0]) as ProcessId;
    if (!pair.has.delete(life.id)) return;
    const reason = "the connection broke";
    this.#tell(life, { type: "down", peer, reason });
    this.#step(life, { type: "peer-down", peer, reason, nowMs: 0 });
  }

  /** Breaks the connection, if there is one; each end hears of it when it does. It comes back in a while. */
  #disconnect(pair: Pair): void {
    if (!pair.down) {
      pair.down = true;
      pair.connection += 1;
      const { connection } = pair;
      for (const id of pair.ends) {
        const life = this.#life(id);
        this.#soon(6, () => {
          if (pair.connection === connection) this.#leave(pair, life);
        });
      }
    }
    this.#soon(Math.max(RECONNECT_MS, this.#faulty ? this.#faults.troubleMs : 0), () =>
      this.#connect(pair),
    );
  }

  // Snapshots and the store.

  #started(life: Life<M, State, Request, Reply>, id: SnapshotId, token: number): void {
    this.#wanted.delete(token);
    this.#begun.push({
      id,
      initiator: life.id,
      life: life.incarnation,
      atMs: this.#nowMs,
      mustComplete: !this.#early.has(token),
      settled: 0,
      reason: undefined,
      manifest: undefined,
    });
    if (this.#happens(this.#faults.givesUp))
      this.#soon(20, () => {
        const reason = "the caller gave up";
        this.#step(life, { type: "abandon", snapshot: id, reason, nowMs: 0 });
      });
  }

  #noteCount(snapshot: SnapshotId): void {
    const { initiator, count } = parseSnapshotId(snapshot);
    this.#counts.set(initiator, Math.max(count, this.#counts.get(initiator) ?? 0));
  }

  /** Written, and not flushed. */
  #put(by: ProcessId, bytes: Uint8Array): PartReference {
    const name = sha256(bytes);
    const key = `${by} ${name}`;
    if (!this.#parts.get(key)?.flushed)
      this.#parts.set(key, { bytes: copyOf(bytes), flushed: false });
    return { sha256: name, bytes: bytes.length };
  }

  #storePiece(
    life: Life<M, State, Request, Reply>,
    effect: Extract<ProcessEffect<M, Reply>, { type: "piece" }>,
  ): void {
    const { snapshot, state, recorded, recordedAtMs, recordingMs } = effect;
    const { syncMs, storeFails } = this.#faults;
    const parts: PartReference[] = [];
    const cut = life.cuts.get(snapshot);
    if (cut) this.#cuts.set(nameOfPiece(life.id, snapshot, recordedAtMs), cut);
    life.storing.set(snapshot, true);
    this.#noteCount(snapshot);
    const end = (): boolean => {
      const wanted = life.alive && life.storing.get(snapshot) === true;
      life.storing.delete(snapshot);
      if (state instanceof FrozenState) state.release();
      return wanted;
    };
    const flush = (piece: PieceRecord): void => {
      if (!end()) return;
      if (this.#happens(storeFails)) {
        const reason = `${life.id} could not store its piece`;
        this.#step(life, { type: "store-failed", snapshot, reason, nowMs: 0 });
        return;
      }
      for (const { sha256: name } of partsOfPiece(piece)) {
        const part = this.#parts.get(`${life.id} ${name}`);
        if (part) part.flushed = true;
      }
      this.#step(life, { type: "stored", piece, nowMs: 0 });
    };
    const write = (): void => {
      if (!life.alive || !life.storing.get(snapshot)) {
        end();
        return;
      }
      if (state instanceof FrozenState) {
        const slice = orViolation("application", `a slice of the state of ${life.id}`, () => {
          const next = state.next();
          return next === undefined ? undefined : this.#stateCodec.encode(next);
        });
        if (slice !== undefined) {
          parts.push(this.#put(life.id, slice));
          this.#soon(syncMs / 4, write);
          return;
        }
      } else parts.push(this.#put(life.id, state));
      const piece: PieceRecord = {
        snapshot,
        process: life.id,
        epoch: life.epoch,
        state: {
          encoding: this.#stateCodec.name,
          sliced: state instanceof FrozenState,
          parts,
        },
        messageEncoding: this.#messageCodec.name,
        incoming: recorded.incoming.map(({ from, received, hash, inFlight, messages }) => {
          const part = inFlight === 0 ? {} : { part: this.#put(life.id, joinBytes(messages)) };
          return { from, received, hash, inFlight, ...part };
        }),
        outgoing: recorded.outgoing,
        ...(effect.timers.length > 0 && { timers: effect.timers }),
        timing: { recordedAtMs, recordingMs, captureMs: 0 },
      };
      this.#soon(syncMs, () => flush(piece));
    };
    this.#soon(syncMs, write);
  }

  #commit(
    life: Life<M, State, Request, Reply>,
    effect: Extract<ProcessEffect<M, Reply>, { type: "commit" }>,
  ): void {
    if (!life.alive) return;
    const { snapshot, startedAtMs, cutMs, pieces } = effect;
    if (this.#happens(this.#faults.storeFails)) {
      const failed = "its manifest could not be written";
      this.#step(life, { type: "committed", snapshot, failed, nowMs: 0 });
      return;
    }
    const manifest: Manifest = {
      format: MANIFEST_FORMAT,
      id: snapshot,
      system: "simulation",
      epoch: life.epoch,
      initiator: life.id,
      startedAtMs,
      cutMs,
      processes: this.topology.processes,
      channels: this.topology.channels(),
      pieces,
    };
    const begun = this.#begun.find(
      ({ id, life: incarnation }) => id === snapshot && incarnation === life.incarnation,
    );
    if (!begun) throw new Violation("settled", `${snapshot} was committed, and not begun`);
    if (this.#begun.some((one) => one.id === snapshot && one.manifest))
      throw new Violation("settled", `${snapshot} was written twice`);
    begun.manifest = manifest;
    this.#manifest = manifest;
    this.#judgeSnapshot(manifest);
    this.#tell(life, { type: "complete", snapshot });
    this.#step(life, { type: "committed", snapshot, nowMs: 0 });
  }

  #settled(
    life: Life<M, State, Request, Reply>,
    snapshot: SnapshotId,
    reason: string | undefined,
  ): void {
    const begun = this.#begun.find(
      ({ id, life: incarnation }) => id === snapshot && incarnation === life.incarnation,
    );
    if (begun) {
      begun.settled += 1;
      begun.reason = reason;
      if (reason !== undefined) this.#tell(life, { type: "abandoned", snapshot, reason });
    }
    if (life.storing.has(snapshot) && reason !== undefined) life.storing.set(snapshot, false);
  }

  // Verdicts.

  /** By what the witnesses wrote down, and by its certificate. */
  #judgeSnapshot(manifest: Manifest): void {
    const { id, pieces } = manifest;
    const found: Violation[] = [];
    const judge = (act: () => void): void => {
      try {
        act();
      } catch (thrown) {
        if (!(thrown instanceof Violation)) throw thrown;
        found.push(thrown);
      }
    };
    judge(() => this.#judgeCut(manifest));
    judge(() => {
      const verdict = verifySnapshot(JSON.parse(JSON.stringify(manifest)), (part) =>
        this.#partOf(pieces, part.sha256),
      );
      if (!verdict.consistent)
        throw new Violation("certificate", `${verdict.place}: ${verdict.reason}`);
    });
    if (found.length > 0)
      throw new Violation(
        found.map(({ check }) => check).join(" + "),
        `${id}: ${found.map(({ message }) => message).join("; ")}`,
      );
    this.#see(manifest);
  }

  #judgeCut({ id, pieces }: Manifest): void {
    const cuts = new Map<ProcessId, Cut>();
    for (const { process, state, timing } of pieces) {
      const cut = this.#cuts.get(nameOfPiece(process, id, timing.recordedAtMs));
      if (!cut) throw new Violation("state", `nobody captured the state of ${process}`);
      const [part] = state.parts;
      if (cut.state && part && !sameBytes(cut.state, this.#partOf(pieces, part.sha256)))
        throw new Violation("state", `that of ${process} is not what was captured`);
      cuts.set(process, cut);
    }
    for (const { process, incoming } of pieces)
      for (const { from, part } of incoming) {
        const ends = [cuts.get(from) as Cut, cuts.get(process) as Cut] as const;
        const expected = inFlightBetween(...ends, this.#order);
        const bytes = part && this.#partOf(pieces, part.sha256);
        const recorded = bytes ? readRecords(bytes) : [];
        const place = `${from} → ${process}`;
        if (recorded.length !== expected.length)
          throw new Violation(
            "channel",
            `${place}: ${recorded.length} messages are recorded, ${expected.length} were in flight`,
          );
        restOf(expected, recorded, this.#order, "channel", place);
      }
  }

  #partOf(pieces: readonly PieceRecord[], name: string): Uint8Array | undefined {
    for (const { process } of pieces) {
      const part = this.#parts.get(`${process} ${name}`);
      if (part?.flushed) return part.bytes;
    }
    return undefined;
  }

  /** Whatever has crashed since, what is listed is there. */
  #mustBeWhole({ id, pieces }: Manifest): void {
    for (const piece of pieces)
      for (const { sha256: name, bytes } of partsOfPiece(piece)) {
        const part = this.#parts.get(`${piece.process} ${name}`);
        if (part?.bytes.length !== bytes)
          throw new Violation("store", `${id}: a part of ${piece.process} is not whole`);
      }
  }

  #see({ id, pieces }: Manifest): void {
    const read = (name: string): Uint8Array => this.#partOf(pieces, name) as Uint8Array;
    const codecs = { messageCodec: this.#messageCodec, stateCodec: this.#stateCodec };
    const seen = orViolation("codec", `${id} cannot be decoded`, () =>
      seeSnapshot<M, State>(id, pieces, read, codecs),
    );
    this.#seen.push(seen);
    for (const { process, state } of pieces)
      this.#newest.set(process, () => stateOf<State>(state, read, this.#stateCodec));
  }

  /** Sent by this life of the one to this life of the other. */
  #sentTo(from: ProcessId, to: ProcessId): MessageLog {
    const [sender, receiver] = [this.#life(from), this.#life(to)];
    const out = sender.witness.stretches.get(to);
    if (!out || !sender.alive || !receiver.alive) return NOTHING;
    return out.peerLife === 0 || out.peerLife === receiver.incarnation ? out.sent : NOTHING;
  }

  /** Those of them that have been received. */
  #receivedFrom(from: ProcessId, to: ProcessId): MessageLog {
    const [sender, receiver] = [this.#life(from), this.#life(to)];
    const into = receiver.witness.stretches.get(from);
    if (!into || !sender.alive || !receiver.alive) return NOTHING;
    return into.peerLife === sender.incarnation ? into.received : NOTHING;
  }

  #inFlight(from: ProcessId, to: ProcessId): readonly Uint8Array[] {
    const [sent, received] = [this.#sentTo(from, to), this.#receivedFrom(from, to)];
    // It may be looked at after every event: what came out of a FIFO channel is compared in the end.
    if (this.#order === "fifo") return sent.slice(received.length);
    const place = `${from} → ${to}`;
    return restOf(sent.slice(0), received.slice(0), this.#order, "channel", place);
  }

  #judgeChannel(from: ProcessId, to: ProcessId): void {
    const [sender, receiver] = [this.#life(from), this.#life(to)];
    const out = sender.witness.stretches.get(to);
    const into = receiver.witness.stretches.get(from);
    if (into?.peerLife !== sender.incarnation || !into) return;
    const sent = out?.peerLife === receiver.incarnation ? out.sent : NOTHING;
    const place = `${from} → ${to}`;
    restOf(sent.slice(0), into.received.slice(0), this.#order, "channel", place);
  }
}

/** @throws Violation if a replay led somewhere else */
function mustBeSame(id: ProcessId, before: ProcessImage, after: ProcessImage): void {
  const [one, other] = [before, after].map((image) => JSON.stringify(image, asJson));
  if (one !== other) throw new Violation("replay", `${id} is not as it was: ${one}\n${other}`);
}

/** Of bytes, in their order. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) | 0;
  return sum;
}

/** With what JSON does not have; and without what it does not matter for: the order in a map, and the states of snapshots. */
function asJson(key: string, value: unknown): unknown {
  if (key === "shares") return (value as ProcessImage["shares"]).map(({ snapshot }) => snapshot);
  if (value instanceof Map) return [...value];
  if (value instanceof Set) return [...value];
  if (value instanceof Uint8Array) return `${value.length} bytes, ${sumOf(value)}`;
  return value === Number.POSITIVE_INFINITY ? "never" : value;
}

/** What the world's own code does, or what is wrong if it throws. */
function orViolation<T>(check: string, what: string, act: () => T): T {
  try {
    return act();
  } catch (thrown) {
    throw new Violation(check, `${what}: ${textOf(thrown)}`);
  }
}

function checkOptions<Reply>(options: SimulationOptions<Reply>): void {
  checkKeys("the options of a simulation", options, OPTIONS);
  const { seed, faults, lostAfterMs, timeoutMs, watch, onUnasked } = options;
  checkSeed(seed);
  if (faults !== undefined) checkFaults(faults);
  if (lostAfterMs !== undefined) checkMs("lostAfterMs", lostAfterMs);
  if (timeoutMs !== undefined) checkMs("timeoutMs", timeoutMs);
  for (const [key, hears] of Object.entries({ watch, onUnasked }))
    if (hears !== undefined && typeof hears !== "function") refuse(`${key} must be a function`);
}

/** @throws TidemarkError `BAD_OPTION` */
export function checkSeed(seed: unknown): void {
  if (typeof seed !== "string" && !Number.isFinite(seed))
    refuse(`seed must be a number or a text, not ${told(seed)}`);
}

/** No two lives of a process record at the same time. */
const nameOfPiece = (process: ProcessId, snapshot: SnapshotId, recordedAtMs: number): string =>
  `${process} ${snapshot} ${recordedAtMs}`;

function* partsOfPiece({ state, incoming }: PieceRecord): Generator<PartReference> {
  yield* state.parts;
  for (const { part } of incoming) if (part) yield part;
}
