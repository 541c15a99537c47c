/** A system of processes that a test drives by hand: what is sent waits until the test delivers it, time stands until it passes. */

import type { ProcessId, SnapshotId } from "../../src/core/id.ts";
import { Topology } from "../../src/core/topology.ts";
import { parseFrame } from "../../src/link/frame.ts";
import { type Application, FrozenState } from "../../src/process/application.ts";
import { type Codec, jsonCodec } from "../../src/process/codec.ts";
import {
  type CapturedState,
  Process,
  type ProcessEffect,
  type ProcessInput,
  type ProcessOptions,
} from "../../src/process/process.ts";
import type { PieceRecord } from "../../src/snapshot/manifest.ts";

type Options = Omit<
  ProcessOptions<string, unknown, string, string>,
  "self" | "topology" | "application"
>;
type Effect = ProcessEffect<string, string>;
type Input = ProcessInput<string>;
/** Inputs know the time by themselves here. */
type Timeless<T> = T extends unknown ? Omit<T, "nowMs"> : never;

/** Writes down what it is told, and does what a test wants it to. */
export class Probe implements Application<string, unknown, string, string> {
  readonly log: string[] = [];
  state: unknown = "nothing";
  on: Partial<Application<string, unknown, string, string>> = {};

  start: NonNullable<Application<string, unknown, string, string>["start"]> = (turn) =>
    this.on.start?.(turn);

  receive: NonNullable<Application<string, unknown, string, string>["receive"]> = (
    from,
    message,
    turn,
  ) => {
    this.log.push(`${from}: ${message}`);
    this.on.receive?.(from, message, turn);
  };

  request: NonNullable<Application<string, unknown, string, string>["request"]> = (
    id,
    request,
    turn,
  ) => {
    if (this.on.request) this.on.request(id, request, turn);
    else {
      // "b c: text" sends the text to b and c.
      const [to = "", text = ""] = request.split(": ");
      const all = to.split(" ");
      turn.send(all.length === 1 ? to : all, text);
    }
  };

  timer: NonNullable<Application<string, unknown, string, string>["timer"]> = (name, turn) => {
    this.log.push(`timer ${name}`);
    this.on.timer?.(name, turn);
  };

  writable: NonNullable<Application<string, unknown, string, string>["writable"]> = (to, turn) => {
    this.log.push(`writable ${to}`);
    this.on.writable?.(to, turn);
  };

  capture(): unknown {
    return this.on.capture ? this.on.capture() : this.state;
  }

  restore(): void {}
}

const LIFE = 100;
const MINUTE_MS = 60_000;

/** See the head of the file. */
export class HandDriven {
  nowMs = 1_000;
  readonly topology: Topology;
  readonly probes: Map<ProcessId, Probe> = new Map();
  readonly processes: Map<ProcessId, Process<string, unknown, string, string>> = new Map();
  /** All effects of a process but frames and wakes. */
  readonly effects: Map<ProcessId, Effect[]> = new Map();
  /** Frames on their way, by channel "from to". */
  readonly wires: Map<string, Uint8Array[]> = new Map();
  /** Pieces are stored, and manifests written, as soon as they are there. */
  storing: boolean = true;
  readonly #options: (id: ProcessId) => Partial<Options>;
  readonly #lives = new Map<ProcessId, number>();
  readonly #wakes = new Map<ProcessId, number>();
  #token = 0;

  /** @param options of all, or of each */
  constructor(
    topology: Topology | readonly ProcessId[],
    options: Partial<Options> | ((id: ProcessId) => Partial<Options>) = {},
  ) {
    this.topology = topology instanceof Topology ? topology : new Topology(topology);
    this.#options = typeof options === "function" ? options : () => options;
    for (const id of this.topology.processes) this.start(id);
    for (const [a, b] of this.pairs()) this.connect(a, b);
    this.run();
  }

  /** A process in its first life, or in another; with a topology of its own if it joins. */
  start(id: ProcessId, topology: Topology = this.topology): Probe {
    const probe = new Probe();
    this.probes.set(id, probe);
    this.#lives.set(id, (this.#lives.get(id) ?? LIFE) + 1);
    this.effects.set(id, []);
    this.#wakes.delete(id);
    const codec: Codec<string> = jsonCodec();
    this.processes.set(
      id,
      new Process({
        messageCodec: codec,
        stateCodec: jsonCodec(),
        seed: 1,
        epoch: 1,
        reliable: true,
        maxFrameBytes: 100_000,
        receive: "auto",
        windowBytes: 10_000,
        limitBytes: 20_000,
        lostAfterMs: 5_000,
        lastCount: 0,
        ...this.#options(id),
        incarnation: this.#lives.get(id) as number,
        self: id,
        topology,
        application: probe,
      }),
    );
    this.step(id, { type: "start" });
    return probe;
  }

  process(id: ProcessId): Process<string, unknown, string, string> {
    return this.processes.get(id) as Process<string, unknown, string, string>;
  }

  probe(id: ProcessId): Probe {
    return this.probes.get(id) as Probe;
  }

  pairs(): [ProcessId, ProcessId][] {
    const ids = [...this.processes.keys()];
    return ids.flatMap((a, i) => ids.slice(i + 1).map((b): [ProcessId, ProcessId] => [a, b]));
  }

  connect(a: ProcessId, b: ProcessId): void {
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const)
      this.step(self, { type: "peer-up", peer, incarnation: this.#lives.get(peer) as number });
  }

  /** What is on the way between them is lost. */
  cut(a: ProcessId, b: ProcessId): void {
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      this.wire(self, peer).length = 0;
      this.step(self, { type: "peer-down", peer, reason: "the cable was cut" });
    }
  }

  /** It ends, and begins again as another; its peers notice in this order, or are not told yet. */
  restart(id: ProcessId, noticed: readonly ProcessId[]): void {
    for (const other of this.processes.keys()) if (other !== id) this.cut(id, other);
    this.start(id);
    for (const other of noticed) this.connect(other, id);
  }

  step(id: ProcessId, input: Timeless<Input>): readonly Effect[] {
    const effects = this.process(id).step({ ...input, nowMs: this.nowMs } as Input);
    for (const effect of effects) {
      if (effect.type === "frame") this.wire(id, effect.to).push(effect.frame.slice());
      else if (effect.type === "wake") this.#wakes.set(id, effect.atMs);
      else this.effects.get(id)?.push(effect);
    }
    if (!this.storing) return effects;
    for (const effect of effects) {
      if (effect.type === "piece") this.stored(id, effect);
      if (effect.type === "commit") this.step(id, { type: "committed", snapshot: effect.snapshot });
    }
    return effects;
  }

  /** The store has taken a piece. */
  stored(id: ProcessId, effect: Extract<Effect, { type: "piece" }>): void {
    if (effect.state instanceof FrozenState) {
      while (effect.state.next() !== undefined);
      effect.state.release();
    }
    this.step(id, { type: "stored", piece: pieceOf(id, effect) });
  }

  wire(from: ProcessId, to: ProcessId): Uint8Array[] {
    const key = `${from} ${to}`;
    const wire = this.wires.get(key) ?? [];
    this.wires.set(key, wire);
    return wire;
  }

  /** The frames on the way there that carry a batch of that kind on that stream. */
  batches(from: ProcessId, to: ProcessId, kind: number): Uint8Array[] {
    return this.wire(from, to).filter((frame) => {
      const parsed = parseFrame(frame);
      return typeof parsed !== "string" && parsed.batch?.kind === kind;
    });
  }

  /** One frame arrives. */
  deliver(from: ProcessId, to: ProcessId, index = 0): readonly Effect[] {
    const [frame] = this.wire(from, to).splice(index, 1);
    if (!frame) throw new Error(`nothing is on the way from ${from} to ${to}`);
    const effects = this.step(to, { type: "frame", from, frame });
    // It was only lent.
    frame.fill(0xee);
    return effects;
  }

  /** Everything arrives, and what comes of it, but for what goes through one of these wires. */
  run(but: readonly string[] = []): void {
    for (let rounds = 0; ; rounds += 1) {
      if (rounds > 1_000) throw new Error("they do not fall silent");
      const busy = [...this.wires].filter(([key, wire]) => wire.length > 0 && !but.includes(key));
      if (busy.length === 0) return;
      for (const [key] of busy) {
        const [from, to] = key.split(" ") as [ProcessId, ProcessId];
        this.deliver(from, to);
      }
    }
  }

  /** Time passes, with its ticks; what is sent meanwhile waits. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const [id, atMs] = [...this.#wakes].sort(([, a], [, b]) => a - b)[0] ?? ["", untilMs + 1];
      if (atMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, atMs);
      this.#wakes.delete(id);
      this.step(id, { type: "tick" });
    }
    this.nowMs = untilMs;
  }

  /** Begins a snapshot; gives its id. */
  snapshot(id: ProcessId, timeoutMs: number = MINUTE_MS): SnapshotId {
    this.#token += 1;
    const effects = this.step(id, { type: "snapshot", token: this.#token, timeoutMs });
    const started = effects.find((effect) => effect.type === "snapshot-started");
    if (!started) throw new Error(`no snapshot began at ${id}: ${JSON.stringify(effects)}`);
    return started.snapshot;
  }

  /** How a snapshot ended at a process: with a reason, as `complete`, or not at all yet. */
  ending(id: ProcessId, snapshot: SnapshotId): string | undefined {
    const settled = this.all(id, "settled").findLast((effect) => effect.snapshot === snapshot);
    return settled && (settled.reason ?? "complete");
  }

  all<T extends Effect["type"]>(id: ProcessId, type: T): Extract<Effect, { type: T }>[] {
    return (this.effects.get(id) ?? []).filter(
      (effect): effect is Extract<Effect, { type: T }> => effect.type === type,
    );
  }

  problems(id: ProcessId): string[] {
    return this.all(id, "problem").map(({ error }) => `${error.code}: ${error.message}`);
  }

  /** What a process still keeps of snapshots; nothing, if all are over. */
  kept(id: ProcessId, ...snapshots: readonly SnapshotId[]): string[] {
    const process = this.process(id);
    return [
      ...[...process.state.snapshots.recordings.keys()].map((one) => `recording ${one}`),
      ...[...process.state.collections.collections.keys()].map((one) => `collection ${one}`),
      ...snapshots.filter((one) => process.recorded(one)).map((one) => `state ${one}`),
    ];
  }
}

/** The record of a piece whose bodies nobody needs. */
export function pieceOf(
  id: ProcessId,
  { snapshot, recorded, state }: Extract<Effect, { type: "piece" }>,
): PieceRecord {
  const part = { sha256: "0".repeat(64), bytes: 1 };
  return {
    snapshot,
    process: id,
    epoch: 1,
    state: { encoding: "json", sliced: state instanceof FrozenState, parts: [part] },
    messageEncoding: "json",
    incoming: recorded.incoming.map(({ from, received, hash, inFlight }) => ({
      from,
      received,
      hash,
      inFlight,
      ...(inFlight > 0 ? { part } : {}),
    })),
    outgoing: recorded.outgoing,
    timing: { recordedAtMs: 0, recordingMs: 0, captureMs: 0 },
  };
}

/** The value of a captured state. */
export const plainOf = (state: CapturedState | undefined): unknown =>
  state instanceof Uint8Array ? jsonCodec().decode(state) : state;
