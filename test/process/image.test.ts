// A process that goes on from an image does all that the one does which the image is of.
import { expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { copyOf } from "../../src/core/record.ts";
import { Topology } from "../../src/core/topology.ts";
import { BATCH_HEADER_BYTES } from "../../src/link/frame.ts";
import type { LinkState } from "../../src/link/link.ts";
import type { Application, Turn } from "../../src/process/application.ts";
import { jsonCodec } from "../../src/process/codec.ts";
import {
  Process,
  type ProcessEffect,
  type ProcessInput,
  type ProcessOptions,
} from "../../src/process/process.ts";
import { copyOfLink, type ProcessImage } from "../../src/process/process-image.ts";
import { seeds } from "../support/soak.ts";

/** Counts what it gets, and sends on some of it. */
class Counter implements Application<string, number, string, number> {
  count = 0;

  request(id: number, size: string, turn: Turn<string, number>): void {
    this.#send(size, turn);
    turn.reply(id, this.count);
  }

  receive(_from: string, message: string, turn: Turn<string, number>): void {
    this.count += message.length;
    if (turn.random.chance(0.3)) this.#send(message.slice(1), turn);
  }

  timer(_name: string, turn: Turn<string, number>): void {
    this.#send("ticked", turn);
  }

  capture(): number {
    return this.count;
  }

  restore(count: number): void {
    this.count = count;
  }

  #send(text: string, turn: Turn<string, number>): void {
    turn.send(turn.random.pick(turn.peers) as string, text);
    if (turn.random.chance(0.2)) turn.setTimer(`t${turn.random.below(3)}`, turn.random.below(50));
  }
}

type Machine = Process<string, number, string, number>;
type Effect = ProcessEffect<string, number>;

const IDS = ["a", "b", "c"];

/** What can be compared: the states of snapshots are not in an image, and tapes are where bytes lie. */
function comparable(effects: readonly Effect[]): string {
  return JSON.stringify(effects, (key, value: unknown) => {
    if (key === "tape" || key === "state") return undefined;
    if (value instanceof Error) return value.message;
    if (value instanceof Uint8Array) return `${value.length}: ${[...value.subarray(0, 4_000)]}`;
    return value;
  });
}

/** Three processes on wires; of one there is, now and then, another that began from its image. */
class Trial {
  readonly #random: Random;
  readonly #options: (
    id: string,
    from?: ProcessImage,
  ) => ProcessOptions<string, number, string, number>;
  readonly #applications = new Map<string, Counter>();
  readonly #processes = new Map<string, Machine>();
  readonly #wires = new Map<string, Uint8Array[]>();
  readonly #pieces: { readonly id: string; readonly effect: Extract<Effect, { type: "piece" }> }[] =
    [];
  readonly #commits: { readonly id: string; readonly snapshot: `${string}/${number}` }[] = [];
  readonly #wakes = new Map<string, number>();
  readonly #timers: { readonly id: string; readonly name: string; readonly atMs: number }[] = [];
  #twin:
    | { readonly of: string; readonly process: Machine; readonly application: Counter }
    | undefined;
  #nowMs = 1_000;
  #asked = 0;
  twins = 0;

  constructor(seed: number) {
    const random = new Random(`image ${seed}`);
    this.#random = random;
    const order = random.chance(0.3) ? "none" : "fifo";
    const receive = random.chance(0.4) ? "manual" : "auto";
    const reliable = random.chance(0.5);
    const windowBytes = random.pick([2_000, 100_000]) as number;
    this.#options = (id, from) => ({
      ...{ self: id, topology: new Topology(IDS), messageCodec: jsonCodec<string>() },
      ...{ stateCodec: jsonCodec<unknown>(), seed: `${seed} ${id}`, epoch: 1, reliable, receive },
      ...{ incarnation: 1 + IDS.indexOf(id), maxFrameBytes: 2 ** 20, windowBytes, order, from },
      ...{ limitBytes: 2 ** 30, lostAfterMs: 200, lastCount: 0 },
      application: this.#applications.get(id) as Counter,
    });
    for (const id of IDS) {
      this.#applications.set(id, new Counter());
      this.#processes.set(id, new Process(this.#options(id)));
    }
    for (const id of IDS) {
      this.#step(id, { type: "start", nowMs: 0 });
      for (const peer of IDS)
        if (peer !== id)
          this.#step(id, { type: "peer-up", peer, incarnation: 1 + IDS.indexOf(peer), nowMs: 0 });
    }
  }

  run(things: number): void {
    const random = this.#random;
    for (let thing = 0; thing < things; thing += 1) {
      const id = random.pick(IDS) as string;
      const peer = random.pick(IDS.filter((one) => one !== id)) as string;
      const what = random.fraction();
      if (what < 0.1) {
        this.#asked += 1;
        const request = "x".repeat(random.pick([1, 50, 3_000, 90_000]) as number);
        this.#step(id, { type: "request", id: this.#asked, request, nowMs: 0 });
      } else if (what < 0.13) {
        this.#asked += 1;
        this.#step(id, { type: "snapshot", token: this.#asked, timeoutMs: 500, nowMs: 0 });
      } else if (what < 0.15) this.#cut(id, peer);
      else if (what < 0.2) this.#pass(random.below(100));
      else if (what < 0.25) this.#store();
      else if (what < 0.3) this.#step(id, { type: "receive", from: peer, nowMs: 0 });
      else if (what < 0.33) this.#makeTwin(id);
      else this.#carry();
    }
  }

  #makeTwin(of: string): void {
    this.twins += 1;
    const application = new Counter();
    application.restore((this.#applications.get(of) as Counter).capture());
    const { image } = this.#processes.get(of) as Machine;
    // Nobody else has anything of it.
    const from = structuredClone(image) as ProcessImage;
    this.#twin = {
      of,
      application,
      process: new Process({ ...this.#options(of, from), application }),
    };
  }

  #step(id: string, input: ProcessInput<string>): void {
    (input as { nowMs: number }).nowMs = this.#nowMs;
    const effects = [...(this.#processes.get(id) as Machine).step(input)];
    const twin = this.#twin;
    if (twin?.of === id) {
      const same = twin.process.step(input);
      expect(comparable(same), input.type).toBe(comparable(effects));
      expect(twin.application.count).toBe(this.#applications.get(id)?.count);
    }
    for (const effect of effects) this.#perform(id, effect);
  }

  #perform(id: string, effect: Effect): void {
    if (effect.type === "frame") {
      const wire = `${id} ${effect.to}`;
      this.#wires.set(wire, [...(this.#wires.get(wire) ?? []), copyOf(effect.frame)]);
    } else if (effect.type === "piece") this.#pieces.push({ id, effect });
    else if (effect.type === "commit") this.#commits.push({ id, snapshot: effect.snapshot });
    else if (effect.type === "wake") this.#wakes.set(id, effect.atMs);
    else if (effect.type === "timer")
      this.#timers.push({ id, name: effect.name, atMs: this.#nowMs + effect.afterMs });
    else if (effect.type === "failed") throw effect.error;
  }

  #carry(): void {
    const [wire, frames] =
      this.#random.pick([...this.#wires].filter(([, { length }]) => length > 0)) ?? [];
    const frame = frames?.shift();
    if (!wire || !frame) return;
    const [from = "", to = ""] = wire.split(" ");
    this.#step(to, { type: "frame", from, frame, nowMs: 0 });
  }

  #cut(id: string, peer: string): void {
    this.#wires.delete(`${id} ${peer}`);
    this.#wires.delete(`${peer} ${id}`);
    for (const [one, other] of [
      [id, peer],
      [peer, id],
    ] as const)
      this.#step(one, { type: "peer-down", peer: other, reason: "cut", nowMs: 0 });
    this.#pass(this.#random.pick([0, 10, 300]) as number);
    for (const [one, other] of [
      [id, peer],
      [peer, id],
    ] as const)
      this.#step(one, {
        type: "peer-up",
        peer: other,
        incarnation: 1 + IDS.indexOf(other),
        nowMs: 0,
      });
  }

  #pass(ms: number): void {
    this.#nowMs += ms;
    for (const id of IDS) {
      if ((this.#wakes.get(id) ?? Number.POSITIVE_INFINITY) > this.#nowMs) continue;
      this.#wakes.delete(id);
      this.#step(id, { type: "tick", nowMs: 0 });
    }
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    const later = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
    this.#timers.splice(0, this.#timers.length, ...later);
    for (const { id, name } of due) this.#step(id, { type: "timer", name, nowMs: 0 });
  }

  #store(): void {
    const { id, effect } = this.#pieces.shift() ?? {};
    if (id && effect) {
      const { snapshot, recorded, recordedAtMs, recordingMs, timers } = effect;
      const part = { sha256: "0".repeat(64), bytes: 1 };
      const incoming = recorded.incoming.map(({ from, received, hash, inFlight }) => ({
        ...{ from, received, hash, inFlight, ...(inFlight > 0 && { part }) },
      }));
      const piece = {
        ...{ snapshot, process: id, epoch: 1, messageEncoding: "json", incoming, timers },
        state: { encoding: "json", sliced: false, parts: [part] },
        outgoing: recorded.outgoing,
        timing: { recordedAtMs, recordingMs, captureMs: 0 },
      };
      this.#step(id, { type: "stored", piece, nowMs: 0 });
    }
    const commit = this.#commits.shift();
    if (commit) this.#step(commit.id, { type: "committed", snapshot: commit.snapshot, nowMs: 0 });
  }
}

test("whatever happens to both, both do the same", { timeout: 3_600_000 }, () => {
  let twins = 0;
  for (const seed of seeds("process-image", 150, 20_000)) {
    const trial = new Trial(seed);
    try {
      trial.run(400);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`);
    }
    twins += trial.twins;
  }
  expect(twins).toBeGreaterThan(1_000);
});

test("what was never sent has no header, whatever lay there before", () => {
  const batch = (sendings: number) => ({
    ...{ kind: 1, first: 1, count: 1, endBytes: 60, sentAtMs: 0, sendings },
    frame: new Uint8Array(60).fill(0x78),
  });
  const state = { queue: [batch(1), batch(0)], early: new Map() } as unknown as LinkState;
  const [sent, unsent] = copyOfLink(state).queue;
  const bytes = new Uint8Array(60).fill(0x78);
  expect(sent?.frame).toEqual(bytes);
  expect(unsent?.frame).toEqual(bytes.fill(0, 0, BATCH_HEADER_BYTES));
  expect(state.queue[1]?.frame[0]).toBe(0x78);
});
