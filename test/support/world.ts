/**
 * A small deterministic world: real processes in one thread, with virtual time, a network that loses, repeats, reorders and
 * is cut, stores that take their time, and processes that start again. One seed decides everything.
 *
 * It performs every effect of a process as a driver must, in order, before the next input. What it judges by it keeps by
 * itself: the diaries of the applications, the frames that it delivered, the snapshots that were settled.
 */

import { hash } from "node:crypto";
import { isTidemarkError, type TidemarkError } from "../../src/core/error.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { readRecords } from "../../src/core/record.ts";
import type { Topology } from "../../src/core/topology.ts";
import { parseFrame } from "../../src/link/frame.ts";
import { FrozenState } from "../../src/process/application.ts";
import { type Codec, jsonCodec } from "../../src/process/codec.ts";
import {
  Process,
  type ProcessEffect,
  type ProcessInput,
  type ProcessOptions,
} from "../../src/process/process.ts";
import {
  decodeControl,
  decodeMarker,
  KIND_CONTROL,
  KIND_MARKER,
  STREAM_CHANNEL,
} from "../../src/process/wire.ts";
import { Agenda } from "../../src/sim/agenda.ts";
import {
  MANIFEST_FORMAT,
  type Manifest,
  type PartReference,
  type PieceRecord,
} from "../../src/snapshot/manifest.ts";
import { checkManifest } from "../../src/snapshot/manifest-check.ts";
import type { Marker } from "../../src/snapshot/recordings.ts";
import { verifySnapshot } from "../../src/snapshot/verify.ts";
import { type Cut, Diary, inFlight, mustBegin, Violation } from "./history.ts";
import { type Pockets, Purse, type Transfer } from "./purse.ts";

/** How bad the world is, until it heals. */
export interface Faults {
  /** Probability that a frame is lost; 0 if the transport is reliable. */
  readonly loss: number;
  /** Probability that a frame comes again, later. */
  readonly repeat: number;
  /** Probability that the transport does not take a frame. */
  readonly refuse: number;
  /** How many times a connection is cut, a process starts again, a process is added. */
  readonly cuts: number;
  readonly restarts: number;
  /** How long a cut lasts at most, in milliseconds. */
  readonly cutMs: number;
  /** Probability that a store cannot write a piece or a manifest, that a capture throws, that a caller gives up. */
  readonly storeFails: number;
  readonly captureThrows: number;
  readonly givesUp: number;
}

export const NO_FAULTS: Faults = {
  loss: 0,
  repeat: 0.2,
  refuse: 0,
  cuts: 0,
  restarts: 0,
  cutMs: 0,
  storeFails: 0,
  captureThrows: 0,
  givesUp: 0,
};

export interface WorldOptions
  extends Pick<ProcessOptions<never, never, never, never>, "order" | "algorithm"> {
  readonly seed: number;
  readonly topology: Topology;
  /** The transport is FIFO and lossless while a peer is up. */
  readonly reliable: boolean;
  /** Frames take up to so long. */
  readonly delayMs: number;
  readonly faults: Faults;
  /** Faults stop and snapshots are no longer begun by then. */
  readonly healAtMs: number;
  readonly snapshots: number;
  readonly timeoutMs: number;
  readonly lostAfterMs: number;
  readonly windowBytes: number;
  /** Messages that each process sends at the most. */
  readonly budget: number;
  /** Probability that a process receives by hand; that its captured state is frozen. */
  readonly manual: number;
  readonly frozen: number;
  /** A process that joins later, with channels both ways to all. */
  readonly joins?: ProcessId;
  /** Nothing fails in it, so every snapshot must complete. */
  readonly quiet?: boolean;
  /** A mistake, planted: captured states show what is there when they are encoded. */
  readonly late?: boolean;
  /** A mistake, planted: what becomes of a frame on its way. Whoever renumbers frames needs a reliable transport. */
  readonly meddle?: (from: ProcessId, to: ProcessId, frame: Uint8Array) => readonly Uint8Array[];
  /** What processes report themselves does not count: others must find what is wrong. */
  readonly deaf?: boolean;
  /** A process whose frames are not its own: what concerns it is not judged, all else is. */
  readonly hostile?: ProcessId;
  /** Hears of each effect. */
  readonly watch?: (process: ProcessId, effect: ProcessEffect<Transfer, never>) => void;
}

export const MONEY = 200;
export const MAX_FRAME_BYTES = 16_384;
export const LIMIT_BYTES = 1_000_000;
const START_MS = 1_000_000;
const STEPS_MAX = 400_000;
/** All must have settled so long after the world has healed. */
const CALM_MS = 60_000;
/** What a frame is written over with once it was delivered: it was only lent. */
const POISON = 0xee;
const json = jsonCodec<Transfer>();
/** Lets in transfers only: whoever sends something else is not to harm the application. */
const codec: Codec<Transfer> = {
  ...json,
  decode: (bytes) => {
    const transfer: Partial<Transfer> | null = json.decode(bytes);
    if (Number.isSafeInteger(transfer?.n) && Number.isSafeInteger(transfer?.amount))
      return transfer as Transfer;
    throw new TypeError("it is not a transfer");
  },
};
const stateCodec = jsonCodec<unknown>();

/** The connection between two processes; each end notices for itself when it comes and goes. */
interface Wire {
  readonly ends: readonly [ProcessId, ProcessId];
  /** The newest connection, up or not. */
  connection: number;
  cut: boolean;
  /** The connection that each end has; when it is to have it. */
  readonly has: Map<ProcessId, number>;
  readonly hasAtMs: Map<ProcessId, number>;
  /** When the last frame to each end arrives: later ones are not earlier on a reliable transport. */
  readonly lastMs: Map<ProcessId, number>;
}

/** What one life of a process knows of one snapshot. */
interface Share {
  readonly cut: Cut<Pockets>;
  settled: number;
}

/** A piece that is being stored. */
interface Storing {
  wanted: boolean;
}

/** One life of a process, with its driver. */
class Life {
  readonly id: ProcessId;
  readonly life: number;
  readonly manual: boolean;
  readonly diary: Diary<Pockets>;
  readonly purse: Purse;
  readonly process: Process<Transfer, unknown>;
  readonly shares: Map<SnapshotId, Share> = new Map();
  readonly storing: Map<SnapshotId, Storing> = new Map();
  readonly timers: Map<string, number> = new Map();
  alive: boolean = true;
  wake = 0;
  receiving: boolean = false;
  released = 0;
  /** Made in this step, and not yet known for which snapshots. */
  readonly cuts: Cut<Pockets>[] = [];

  constructor(world: World, id: ProcessId, life: number, topology: Topology, lastCount: number) {
    const { options, random } = world;
    this.id = id;
    this.life = life;
    this.manual = random.chance(options.manual);
    this.diary = new Diary(id, life, world.number);
    this.purse = new Purse({
      diary: this.diary,
      number: world.number,
      money: MONEY,
      frozen: random.chance(options.frozen),
      late: options.late ?? false,
      budget: options.budget,
      captureThrows: () => world.happens(options.faults.captureThrows),
      captured: (cut) => this.cuts.push(cut),
      released: () => {
        this.released += 1;
      },
    });
    this.process = new Process({
      self: id,
      topology,
      application: this.purse,
      messageCodec: codec,
      stateCodec,
      seed: random.bits(),
      incarnation: life,
      epoch: 1,
      reliable: options.reliable,
      maxFrameBytes: MAX_FRAME_BYTES,
      receive: this.manual ? "manual" : "auto",
      windowBytes: options.windowBytes,
      limitBytes: LIMIT_BYTES,
      lostAfterMs: options.lostAfterMs,
      lastCount,
      order: options.order,
      algorithm: options.algorithm,
    });
  }
}

/** A snapshot that was begun, at its initiator. */
interface Begun {
  readonly snapshot: SnapshotId;
  readonly initiator: Life;
  settled: number;
  reason: string | undefined;
  manifest: Manifest | undefined;
  /** Nothing stood in the way: begun after the world had healed, or in a quiet one. */
  readonly mustComplete: boolean;
}

/** What came of a run. */
export interface Outcome {
  readonly complete: number;
  readonly abandoned: ReadonlyMap<string, number>;
  readonly inFlight: number;
  readonly messages: number;
  /** Received before one that was sent earlier. */
  readonly overtook: number;
  readonly steps: number;
  readonly problems: ReadonlyMap<string, number>;
}

/** See the head of the file. */
export class World {
  readonly options: WorldOptions;
  readonly random: Random;
  readonly lives: Map<ProcessId, Life> = new Map();
  readonly #agenda = new Agenda();
  readonly #wires: Wire[] = [];
  readonly #parts = new Map<string, Uint8Array>();
  readonly #counts = new Map<ProcessId, number>();
  readonly #begun: Begun[] = [];
  readonly #cuts = new Map<number, Cut<Pockets>>();
  /** Markers or counts by channel and snapshot, by the number of their batch: a frame may come again. */
  readonly #markers = new Map<string, Set<number>>();
  readonly #problems = new Map<string, number>();
  #topology: Topology;
  #numbers = 0;
  #token = 0;
  #nowMs = START_MS;
  #healed: boolean = false;
  #steps = 0;
  #overtook = 0;

  constructor(options: WorldOptions) {
    this.options = options;
    this.random = new Random(options.seed);
    this.#topology = options.topology;
    for (const id of options.topology.processes) this.#begin(id);
  }

  readonly number = (): number => {
    this.#numbers += 1;
    return this.#numbers;
  };

  /** True with that probability, until the world has healed. */
  happens(probability: number): boolean {
    return !this.#healed && this.random.chance(probability);
  }

  /** Runs the world until all is calm, and checks everything. Throws a `Violation`. */
  run(): Outcome {
    const { faults, snapshots, healAtMs, joins } = this.options;
    const during = (): number => START_MS + this.random.below(healAtMs);
    for (let i = 0; i < snapshots; i += 1) this.#agenda.add(during(), () => this.#snapshot());
    for (let i = 0; i < faults.cuts; i += 1)
      this.#agenda.add(during(), () => this.#cut(this.random.pick(this.#wires) as Wire));
    for (let i = 0; i < faults.restarts; i += 1)
      this.#agenda.add(during(), () => this.#restart(this.random.pick(this.#topology.processes)));
    if (joins !== undefined) this.#agenda.add(during(), () => this.#join(joins));
    this.#pass(START_MS + healAtMs);
    this.#heal();
    this.#calm();
    if (this.options.hostile !== undefined) return this.#judge();
    // Now nothing stands in the way.
    for (const life of this.lives.values()) this.#snapshot(life);
    this.#calm();
    return this.#judge();
  }

  #pass(untilMs: number): void {
    while (this.#agenda.nextMs <= untilMs) {
      const event = this.#agenda.take();
      if (!event) break;
      this.#nowMs = Math.max(this.#nowMs, event.atMs);
      this.#steps += 1;
      if (this.#steps > STEPS_MAX) throw new Violation("liveness", "it does not come to rest");
      event.act();
    }
    if (this.#agenda.size > 0) this.#nowMs = untilMs;
  }

  /** Until nothing is left to be done. */
  #calm(): void {
    this.#pass(this.#nowMs + CALM_MS);
    if (this.#agenda.size > 0 && this.options.hostile === undefined)
      throw new Violation("liveness", `it has not come to rest within ${CALM_MS} ms`);
  }

  #heal(): void {
    this.#healed = true;
    for (const life of this.lives.values()) life.purse.closed = true;
    for (const wire of this.#wires) if (wire.cut) this.#connect(wire);
  }

  #soon(mostMs: number, act: () => void): void {
    this.#agenda.add(this.#nowMs + this.random.below(mostMs + 1), act);
  }

  // Processes.

  #begin(id: ProcessId): Life {
    const life = new Life(
      this,
      id,
      1 + this.random.below(2 ** 32 - 1),
      this.#topology,
      this.#counts.get(id) ?? 0,
    );
    life.purse.closed = this.#healed;
    this.#soon(0, () => this.#step(life, { type: "start", nowMs: this.#nowMs }));
    for (const other of this.lives.keys()) {
      if (other === id || this.#wires.some(({ ends }) => ends.includes(id) && ends.includes(other)))
        continue;
      const wire: Wire = {
        ends: [id, other],
        connection: 0,
        cut: true,
        has: new Map(),
        hasAtMs: new Map(),
        lastMs: new Map(),
      };
      this.#wires.push(wire);
    }
    for (const wire of this.#wires)
      if (wire.ends.includes(id)) this.#soon(20, () => this.#connect(wire));
    this.lives.set(id, life);
    return life;
  }

  #restart(id: ProcessId | undefined): void {
    const old = this.lives.get(id ?? "");
    if (!old?.alive || this.#healed) return;
    old.alive = false;
    for (const wire of this.#wires) {
      if (!wire.ends.includes(old.id)) continue;
      wire.has.delete(old.id);
      this.#cut(wire, false);
    }
    this.#soon(60, () => this.#begin(old.id));
  }

  /** One process more, and everybody hears of it at another time. */
  #join(id: ProcessId): void {
    this.#topology = this.#topology.withMeshed(id);
    const topology = this.#topology;
    const joined = this.#begin(id);
    for (const { id: other } of this.lives.values())
      this.#soon(30, () => {
        const life = this.lives.get(other);
        if (life && life !== joined && !life.process.topology.has(id))
          this.#step(life, { type: "topology", topology, nowMs: this.#nowMs });
      });
  }

  #step(life: Life, input: ProcessInput<never>): void {
    if (!life.alive) return;
    const effects = life.process.step(input);
    for (const effect of effects) {
      this.options.watch?.(life.id, effect);
      this.#perform(life, effect);
    }
    life.cuts.length = 0;
    if (life.manual) this.#receiveSoon(life);
  }

  /** By hand: the head of some channel, while anything waits. */
  #receiveSoon(life: Life): void {
    const waits = (): ProcessId[] =>
      life.process.topology.processes.filter((from) => life.process.waiting(from) > 0);
    if (life.receiving || waits().length === 0) return;
    life.receiving = true;
    this.#soon(8, () => {
      life.receiving = false;
      const from = this.random.pick(waits());
      if (from !== undefined) this.#step(life, { type: "receive", from, nowMs: this.#nowMs });
    });
  }

  #perform(life: Life, effect: ProcessEffect<Transfer, never>): void {
    switch (effect.type) {
      case "frame":
        if (!this.#send(life.id, effect.to, effect.frame))
          this.#soon(0, () =>
            this.#step(life, { type: "dropped", peer: effect.to, nowMs: this.#nowMs }),
          );
        break;
      case "timer": {
        const token = this.number();
        life.timers.set(effect.name, token);
        this.#agenda.add(this.#nowMs + effect.afterMs, () => {
          if (life.timers.get(effect.name) === token)
            this.#step(life, { type: "timer", name: effect.name, nowMs: this.#nowMs });
        });
        break;
      }
      case "wake": {
        const token = this.number();
        life.wake = token;
        this.#agenda.add(Math.max(this.#nowMs, effect.atMs), () => {
          if (life.wake === token) this.#step(life, { type: "tick", nowMs: this.#nowMs });
        });
        break;
      }
      case "snapshot-started":
        this.#begun.push({
          snapshot: effect.snapshot,
          initiator: life,
          settled: 0,
          reason: undefined,
          manifest: undefined,
          mustComplete: this.#healed || this.options.quiet === true,
        });
        if (this.happens(this.options.faults.givesUp))
          this.#soon(20, () => this.#abandon(life, effect.snapshot));
        break;
      case "snapshot-refused":
        this.#refused(life, effect.error);
        break;
      case "recorded": {
        const cut = life.cuts.shift();
        if (!cut) throw new Violation("state", `${effect.snapshot} was recorded without capture`);
        this.#cuts.set(cut.number, cut);
        life.shares.set(effect.snapshot, { cut, settled: 0 });
        break;
      }
      case "piece":
        this.#storePiece(life, effect);
        break;
      case "commit": {
        // The topology may change before it is written.
        const { topology } = life.process;
        this.#soon(10, () => this.#commit(life, effect, topology));
        break;
      }
      case "settled":
        this.#settled(life, effect.snapshot, effect.reason);
        break;
      case "problem":
        this.#problem(effect.error);
        break;
      case "failed":
        throw new Violation("application", effect.error.message);
      case "reply":
      case "received":
      case "cut":
      case "order-log-write":
        break;
    }
  }

  #problem(error: TidemarkError): void {
    const { code } = error;
    this.#problems.set(code, (this.#problems.get(code) ?? 0) + 1);
    const { deaf, hostile } = this.options;
    if (!deaf && hostile === undefined && code !== "PEER_RESTARTED" && code !== "CAPTURE_THREW")
      throw new Violation("problem", error.message);
  }

  // The network.

  #send(from: ProcessId, to: ProcessId, frame: Uint8Array): boolean {
    const wire = this.#wireOf(from, to);
    const connection = wire.has.get(from);
    const { faults, delayMs, reliable, meddle } = this.options;
    if (connection === undefined || this.happens(faults.refuse)) return false;
    for (const sent of meddle?.(from, to, frame) ?? [frame]) {
      // As over a network: what the sender does with its bytes later makes no difference.
      const one = sent.slice();
      if (this.happens(faults.loss)) continue;
      const arrive = (delay: number): number => {
        let atMs = this.#nowMs + this.random.below(delay + 1);
        if (!reliable) return atMs;
        atMs = Math.max(atMs, wire.lastMs.get(to) ?? 0, wire.hasAtMs.get(to) ?? 0);
        return atMs;
      };
      const atMs = arrive(delayMs);
      if (reliable) wire.lastMs.set(to, atMs);
      this.#agenda.add(atMs, () => this.#deliver(wire, connection, from, to, one));
      if (this.random.chance(faults.repeat))
        this.#agenda.add(arrive(delayMs * 4), () => this.#deliver(wire, connection, from, to, one));
    }
    return true;
  }

  #deliver(
    wire: Wire,
    connection: number,
    from: ProcessId,
    to: ProcessId,
    frame: Uint8Array,
  ): void {
    const life = this.lives.get(to);
    const has = wire.has.get(to);
    // What is still on its way from an earlier connection may come in, if the transport promises nothing.
    if (!life || has === undefined || (this.options.reliable && has !== connection)) return;
    if (this.options.hostile === undefined) this.#count(from, to, frame);
    const lent = frame.slice();
    this.#step(life, { type: "frame", from, frame: lent, nowMs: this.#nowMs });
    lent.fill(POISON);
  }

  get #fifo(): boolean {
    return this.options.order !== "none";
  }

  /** One look into the frames, to count markers; by Lai and Yang's algorithm, counts. */
  #count(from: ProcessId, to: ProcessId, frame: Uint8Array): void {
    const parsed = parseFrame(frame);
    if (typeof parsed === "string" || !parsed.batch) return;
    const { kind, body, first } = parsed.batch;
    const marked = this.#fifo && this.options.algorithm !== "lai-yang";
    if (parsed.stream === STREAM_CHANNEL && kind === KIND_MARKER && !marked)
      throw new Violation("markers", `a marker on ${from} → ${to}`);
    if (kind !== (marked ? KIND_MARKER : KIND_CONTROL)) return;
    for (const [index, content] of readRecords(body).entries()) {
      let marker: Marker | undefined;
      if (marked) marker = decodeMarker(content);
      else {
        const control = decodeControl(content);
        if (control && control.type !== "count") continue;
        marker = control?.marker;
      }
      if (!marker) throw new Violation("problem", "a marker that is not well formed was sent");
      const key = `${from} → ${to} ${parsed.from} ${parsed.to} ${marker.incarnation} ${marker.snapshot}`;
      const numbers = this.#markers.get(key) ?? new Set();
      this.#markers.set(key, numbers.add(first + index));
    }
  }

  #wireOf(a: ProcessId, b: ProcessId): Wire {
    return this.#wires.find(({ ends }) => ends.includes(a) && ends.includes(b)) as Wire;
  }

  #connect(wire: Wire): void {
    const [a, b] = wire.ends.map((id) => this.lives.get(id)) as [Life, Life];
    if (!a.alive || !b.alive || !wire.cut) return;
    // Transports do not talk to strangers.
    if (!a.process.topology.has(b.id) || !b.process.topology.has(a.id)) {
      this.#soon(10, () => this.#connect(wire));
      return;
    }
    wire.cut = false;
    wire.connection += 1;
    const { connection } = wire;
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const atMs = this.#nowMs + this.random.below(8);
      wire.hasAtMs.set(self.id, atMs);
      this.#agenda.add(atMs, () => {
        if (wire.connection !== connection || wire.cut || !self.alive) return;
        this.#leave(wire, self);
        wire.has.set(self.id, connection);
        self.diary.met(peer.id, peer.life);
        this.#step(self, {
          type: "peer-up",
          peer: peer.id,
          incarnation: peer.life,
          nowMs: this.#nowMs,
        });
      });
    }
  }

  #leave(wire: Wire, life: Life): void {
    const peer = wire.ends.find((id) => id !== life.id) as ProcessId;
    if (wire.has.delete(life.id))
      this.#step(life, { type: "peer-down", peer, reason: "it was cut", nowMs: this.#nowMs });
  }

  #cut(wire: Wire, comesBack = true): void {
    if (this.#healed || (wire.cut && comesBack)) return;
    wire.cut = true;
    wire.connection += 1;
    for (const id of wire.ends) {
      const life = this.lives.get(id) as Life;
      const { connection } = wire;
      this.#soon(6, () => {
        if (wire.connection === connection) this.#leave(wire, life);
      });
    }
    if (comesBack) this.#soon(this.options.faults.cutMs, () => this.#connect(wire));
  }

  // Snapshots.

  #snapshot(by?: Life): void {
    const life = by ?? this.lives.get(this.random.pick(this.#topology.processes) ?? "");
    if (!life) return;
    this.#token += 1;
    const timeoutMs = this.#healed ? CALM_MS / 3 : this.options.timeoutMs;
    this.#step(life, { type: "snapshot", token: this.#token, timeoutMs, nowMs: this.#nowMs });
  }

  #refused(life: Life, error: TidemarkError): void {
    const unreachable = life.process.topology.unreachableFrom(life.id);
    if (unreachable.length > 0) {
      if (!isTidemarkError(error, "UNREACHABLE") || !error.message.includes(unreachable.join(", ")))
        throw new Violation("refused", error.message);
    } else if (this.#healed) throw new Violation("liveness", `healed, but ${error.message}`);
  }

  #abandon(life: Life, snapshot: SnapshotId): void {
    const reason = "the caller gave up";
    this.#step(life, { type: "abandon", snapshot, reason, nowMs: this.#nowMs });
  }

  #noteCount(snapshot: SnapshotId): void {
    const { initiator, count } = parseSnapshotId(snapshot);
    this.#counts.set(initiator, Math.max(count, this.#counts.get(initiator) ?? 0));
  }

  #put(bytes: Uint8Array): PartReference {
    const sha256 = hash("sha256", bytes);
    this.#parts.set(sha256, bytes.slice());
    return { sha256, bytes: bytes.length };
  }

  #storePiece(
    life: Life,
    effect: Extract<ProcessEffect<Transfer, never>, { type: "piece" }>,
  ): void {
    const { snapshot, state, recorded, recordedAtMs, recordingMs } = effect;
    const storing: Storing = { wanted: true };
    life.storing.set(snapshot, storing);
    this.#noteCount(snapshot);
    const { number } = (life.shares.get(snapshot) as Share).cut;
    const parts: PartReference[] = [];
    const finish = (): void => {
      if (state instanceof FrozenState) state.release();
      if (life.storing.get(snapshot) === storing) life.storing.delete(snapshot);
      if (!storing.wanted) return;
      if (this.happens(this.options.faults.storeFails)) {
        const reason = `${life.id} could not store its piece`;
        this.#step(life, { type: "store-failed", snapshot, reason, nowMs: this.#nowMs });
        return;
      }
      const piece: PieceRecord = {
        snapshot,
        process: life.id,
        epoch: 1,
        state: { encoding: stateCodec.name, sliced: state instanceof FrozenState, parts },
        messageEncoding: codec.name,
        incoming: recorded.incoming.map(
          ({ from, received, hash: at, inFlight: count, messages }) => {
            const part = count === 0 ? {} : { part: this.#put(Buffer.concat(messages)) };
            return { from, received, hash: at, inFlight: count, ...part };
          },
        ),
        outgoing: recorded.outgoing,
        // By this number the cut is found again.
        timing: { recordedAtMs, recordingMs, captureMs: number },
      };
      this.#step(life, { type: "stored", piece, nowMs: this.#nowMs });
    };
    const slice = (): void => {
      if (state instanceof Uint8Array) {
        parts.push(this.#put(state));
        finish();
        return;
      }
      const next = storing.wanted ? state.next() : undefined;
      if (next === undefined) {
        finish();
        return;
      }
      parts.push(this.#put(stateCodec.encode(next)));
      this.#soon(4, slice);
    };
    this.#soon(10, slice);
  }

  #commit(
    life: Life,
    {
      snapshot,
      startedAtMs,
      cutMs,
      pieces,
    }: Extract<ProcessEffect<never, never>, { type: "commit" }>,
    topology: Topology,
  ): void {
    if (!life.alive) return;
    const fails = this.happens(this.options.faults.storeFails);
    const failed = fails ? { failed: "its manifest could not be written" } : {};
    const manifest: Manifest = {
      format: MANIFEST_FORMAT,
      id: snapshot,
      system: "world",
      epoch: 1,
      initiator: life.id,
      startedAtMs,
      cutMs,
      processes: topology.processes,
      channels: topology.channels(),
      pieces,
    };
    const begun = this.#begunBy(life, snapshot);
    if (!fails && begun) {
      this.#noteCount(snapshot);
      begun.manifest = manifest;
    }
    this.#step(life, { type: "committed", snapshot, ...failed, nowMs: this.#nowMs });
  }

  #begunBy(life: Life, snapshot: SnapshotId): Begun | undefined {
    return this.#begun.find((one) => one.snapshot === snapshot && one.initiator === life);
  }

  #settled(life: Life, snapshot: SnapshotId, reason: string | undefined): void {
    const begun = this.#begunBy(life, snapshot);
    if (begun) {
      begun.settled += 1;
      begun.reason = reason;
    }
    const share = life.shares.get(snapshot);
    if (share) share.settled += 1;
    const storing = life.storing.get(snapshot);
    if (storing && reason !== undefined) storing.wanted = false;
  }

  // The verdict.

  #judge(): Outcome {
    const abandoned = new Map<string, number>();
    let complete = 0;
    let sum = 0;
    const ids = new Set<SnapshotId>();
    for (const begun of this.#begun) {
      const { snapshot, manifest, reason, settled, initiator, mustComplete } = begun;
      if (initiator.id === this.options.hostile) continue;
      if (initiator.alive && settled !== 1)
        throw new Violation("settled", `${snapshot} was settled ${settled} times at its initiator`);
      if (initiator.alive && (reason === undefined) !== (manifest !== undefined))
        throw new Violation("settled", `${snapshot}: ${reason ?? "complete, without a manifest"}`);
      if (mustComplete && manifest === undefined)
        throw new Violation("liveness", `${snapshot} had to complete, but: ${reason}`);
      if (manifest) {
        if (ids.has(snapshot)) throw new Violation("settled", `${snapshot} was written twice`);
        ids.add(snapshot);
        complete += 1;
        sum += this.#judgeSnapshot(manifest);
      } else {
        const kind = (reason ?? "its initiator started again").replaceAll(/\bp\d\b.*/g, "…");
        abandoned.set(kind, (abandoned.get(kind) ?? 0) + 1);
      }
    }
    if (this.options.hostile === undefined) this.#judgeMarkers();
    for (const life of this.lives.values()) {
      if (life.id === this.options.hostile) continue;
      if (this.options.hostile === undefined) this.#judgeRest(life);
      this.#judgeChannels(life);
    }
    return {
      complete,
      abandoned,
      inFlight: sum,
      messages: this.#numbers,
      overtook: this.#overtook,
      steps: this.#steps,
      problems: this.#problems,
    };
  }

  /** By every judge there is: whoever is wrong, it is known who noticed. Gives the number of messages in flight. */
  #judgeSnapshot(manifest: Manifest): number {
    const found: Violation[] = [];
    const all = [this.#judgeForm, this.#judgeSum, this.#judgeCut, this.#judgeProof];
    for (const judge of this.options.hostile === undefined ? all : [this.#judgeCut])
      try {
        judge(manifest);
      } catch (thrown) {
        if (!(thrown instanceof Violation)) throw thrown;
        found.push(thrown);
      }
    if (found.length > 0)
      throw new Violation(
        found.map(({ check }) => check).join(" + "),
        `${manifest.id}: ${found.map(({ message }) => message).join("; ")}`,
      );
    return manifest.pieces.reduce(
      (sum, { incoming }) => incoming.reduce((all, one) => all + one.inFlight, sum),
      0,
    );
  }

  readonly #judgeForm = (manifest: Manifest): void => {
    const checked = checkManifest(JSON.parse(JSON.stringify(manifest)));
    if ("problem" in checked) throw new Violation("form", checked.problem);
  };

  readonly #judgeSum = ({ pieces }: Manifest): void => {
    // A process that starts again has lost money, or brought some.
    if (this.options.faults.restarts > 0) return;
    let money = 0;
    for (const { state, incoming } of pieces) {
      for (const pocket of this.#pocketsOf(state)) money += pocket;
      for (const { part } of incoming)
        for (const { amount } of this.#transfersOf(part)) money += amount;
    }
    const expected = MONEY * pieces.length;
    if (money !== expected) throw new Violation("sum", `it adds up to ${money}, not ${expected}`);
  };

  /** By what the applications wrote down. */
  readonly #judgeCut = ({ pieces: all }: Manifest): void => {
    const pieces = all.filter(({ process }) => process !== this.options.hostile);
    const cuts = new Map(
      pieces.map(({ process, timing }) => {
        const cut = this.#cuts.get(timing.captureMs);
        if (cut?.process !== process)
          throw new Violation("state", `nobody captured the state of ${process}`);
        return [process, cut];
      }),
    );
    for (const { process, state, incoming } of pieces) {
      const cut = cuts.get(process) as Cut<Pockets>;
      const pockets = this.#pocketsOf(state);
      if (String(pockets) !== String(cut.state))
        throw new Violation("state", `${process} had ${cut.state} when captured, not ${pockets}`);
      for (const { from, part } of incoming) {
        if (from === this.options.hostile) continue;
        const recorded = this.#transfersOf(part).map(({ n }) => n);
        const expected = inFlight(cuts.get(from) as Cut<Pockets>, cut, this.#fifo);
        if (!this.#fifo) for (const some of [recorded, expected]) some.sort((a, b) => a - b);
        if (String(recorded) !== String(expected))
          throw new Violation(
            "channel state",
            `${from} → ${process} has ${recorded} recorded, but ${expected} were in flight`,
          );
      }
    }
  };

  readonly #judgeProof = (manifest: Manifest): void => {
    const verdict = verifySnapshot(manifest, ({ sha256 }) => this.#parts.get(sha256));
    if (!verdict.consistent)
      throw new Violation("certificate", `${verdict.place} ${verdict.reason}`);
  };

  #pocketsOf({ parts }: PieceRecord["state"]): readonly number[] {
    return parts.flatMap((part) => stateCodec.decode(this.#partOf(part)) as readonly number[]);
  }

  #transfersOf(part: PartReference | undefined): readonly Transfer[] {
    return part ? readRecords(this.#partOf(part)).map((one) => codec.decode(one)) : [];
  }

  #partOf({ sha256 }: PartReference): Uint8Array {
    return this.#parts.get(sha256) as Uint8Array;
  }

  #judgeMarkers(): void {
    for (const [channel, numbers] of this.#markers)
      if (numbers.size > 1) throw new Violation("markers", `${channel}: ${numbers.size} markers`);
    for (const { manifest } of this.#begun)
      for (const { from, to } of manifest?.channels ?? []) {
        const id = manifest?.id ?? "";
        const seen = [...this.#markers.keys()].some(
          (key) => key.startsWith(`${from} → ${to} `) && key.endsWith(` ${id}`),
        );
        if (!seen) throw new Violation("markers", `${from} → ${to}: no marker of ${id}`);
      }
  }

  /** Nothing is left. */
  #judgeRest(life: Life): void {
    const { id, process, shares, purse } = life;
    const { snapshots, collections, links } = process.state;
    const nothing = (what: string, size: number): void => {
      if (size !== 0) throw new Violation("left behind", `${id} keeps ${size} ${what}`);
    };
    nothing("recordings", snapshots.recordings.size);
    nothing("collections", collections.collections.size);
    nothing("snapshots in its colour", snapshots.colour.length);
    nothing("pieces that are being stored", life.storing.size);
    nothing("frozen states", purse.frozen - life.released);
    for (const { snapshot } of this.#begun)
      nothing(`recorded states of ${snapshot}`, process.recorded(snapshot) === undefined ? 0 : 1);
    for (const [snapshot, { settled }] of shares)
      if (settled !== 1)
        throw new Violation("settled", `${id} heard ${settled} times how ${snapshot} ended`);
    for (const [initiator, { ended }] of snapshots.over)
      if (ended.size > this.#begun.length)
        throw new Violation("left behind", `${id} keeps ${ended.size} tombstones of ${initiator}`);
    for (const { peer, channel, control } of links)
      for (const link of [channel, control]) {
        nothing(`batches to ${peer}`, link.queue.length);
        nothing(`early batches of ${peer}`, link.early.size);
        nothing(`bytes of ${peer} that it has not taken`, link.receivedBytes - link.takenBytes);
      }
  }

  /** Everything has arrived. */
  #judgeChannels({ id, life: number, diary }: Life): void {
    for (const [peer, { peerLife, received }] of diary.stretches) {
      if (peer === this.options.hostile) continue;
      const other = this.lives.get(peer) as Life;
      const place = `${peer} → ${id}`;
      const sent = other.diary.stretches.get(id);
      if (peerLife !== other.life || sent?.peerLife !== number)
        throw new Violation("exactly once", `${place}: they do not know each other`);
      const inOrder = (list: readonly number[]): readonly number[] =>
        this.#fifo ? list : [...list].sort((a, b) => a - b);
      mustBegin("exactly once", place, inOrder(received), inOrder(sent.sent));
      this.#overtook += received.filter((message, i) => message !== sent.sent[i]).length;
      if (received.length < sent.sent.length)
        throw new Violation(
          "exactly once",
          `${place}: ${received.length} of ${sent.sent.length} messages were received`,
        );
    }
  }
}
