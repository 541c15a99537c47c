/**
 * The ledger and the cut without a server: streams are lists, processes die between any two steps, what is published is there once or
 * several times, others write into the streams too, and snapshots overlap.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { cutOf, type StreamCut, sentCounts, windowBegin } from "../../src/nats/stream-cut.ts";
import {
  type Ancestor,
  type Arrival,
  arrivalOf,
  type Checkpoint,
  formatStamp,
  type Mark,
  markAfter,
  parseStamp,
  StreamLedger,
  type Unpublished,
} from "../../src/nats/stream-ledger.ts";
import { seeds } from "../support/soak.ts";

const ACCOUNTS = ["p1", "p2", "p3"];
const STREAMS = ["east", "west"];
/** p3 reads one of them only, and nobody reads this one. */
const READS = [STREAMS, STREAMS, ["east"]];
const LOGBOOK = "log";
const BEGIN = 100;
const MONEY = ACCOUNTS.length * BEGIN;

interface Transfer {
  readonly to: string;
  readonly amount: number;
}

interface Process {
  readonly id: string;
  readonly reads: readonly string[];
  ledger: StreamLedger;
  balance: number;
  stored: Checkpoint;
  /** Which of what it sent may be published. */
  ready: Unpublished[];
}

class World {
  readonly random: Random;
  readonly streams: ReadonlyMap<string, Arrival[]>;
  readonly processes: Process[];
  readonly pieces = new Map<number, Checkpoint[]>();
  readonly ignoresColour: boolean;
  lineage: readonly Ancestor[] = [{ epoch: 1, counts: [] }];
  snapshots = 0;
  /** How often a process gets a message that it has had. */
  repeats = 0.1;

  constructor(seed: number, ignoresColour = false) {
    this.random = new Random(`streams ${seed}`);
    this.ignoresColour = ignoresColour;
    this.streams = new Map([...STREAMS, LOGBOOK].map((name) => [name, []]));
    this.processes = ACCOUNTS.map((id, i) => {
      const empty: Checkpoint = {
        ...{ process: id, epoch: 1, snapshots: 0, recorded: [], atMs: 0, state: BEGIN },
        ...{ reads: [], writes: [], unpublished: [] },
      };
      const ledger = new StreamLedger(empty, this.lineage);
      const reads = READS[i] as string[];
      for (const stream of reads) ledger.read(stream, 0);
      for (const stream of [...STREAMS, LOGBOOK]) ledger.write(stream);
      const stored = ledger.checkpoint(BEGIN, [], 0);
      return { id, reads, ledger, balance: BEGIN, stored, ready: [] };
    });
  }

  step(): void {
    const { random } = this;
    const process = random.pick(this.processes) as Process;
    const dice = random.below(100);
    if (dice < 35) for (let most = random.below(12); most > 0 && this.take(process); ) most -= 1;
    else if (dice < 55) this.send(process);
    else if (dice < 70) this.store(process, random.chance(0.3));
    else if (dice < 90) this.publish(process);
    else if (dice < 94) this.crash(process);
    else if (dice < 97) this.append(this.#stream(), "x", "", random.pick(["{}", "no JSON"]) ?? "");
    else this.snapshots += 1;
  }

  /** The next message of one of its streams, if there is one. */
  take(process: Process): boolean {
    const { ledger, reads } = process;
    const from = this.random.below(reads.length);
    for (const i of reads.keys()) {
      const stream = reads[(from + i) % reads.length] as string;
      const log = this.streams.get(stream) as Arrival[];
      // Now and then it gets one that it has had.
      const position = ledger.positionOf(stream);
      const again = position > 0 && this.random.chance(this.repeats);
      const arrival = log[again ? this.random.below(position) : position];
      if (!arrival) continue;
      const { stamp } = arrival;
      const seen =
        this.ignoresColour && stamp ? { ...arrival, stamp: { ...stamp, snapshots: 0 } } : arrival;
      const taken = ledger.take(seen);
      if (taken.kind === "record") {
        this.store(process);
        return true;
      }
      expect(taken).not.toHaveProperty("problem");
      if (taken.kind !== "deliver") return !again;
      const { to, amount } = transferIn(arrival);
      if (to === process.id) process.balance += amount;
      return true;
    }
    return false;
  }

  send(process: Process): void {
    const amount = 1 + this.random.below(5);
    const to = this.random.pick(ACCOUNTS.filter((id) => id !== process.id)) as string;
    const stream = to === "p3" ? "east" : this.#stream();
    process.ledger.send(stream, `${stream}.${to}`, JSON.stringify({ to, amount }));
    process.ledger.send(LOGBOOK, "log.x", JSON.stringify("sent"));
    process.balance -= amount;
  }

  /** A checkpoint, which records whatever was begun, if the process has heard of it. */
  store(process: Process, hasHeard = true): void {
    const { ledger, balance } = process;
    const snapshots = hasHeard ? this.snapshots : ledger.snapshots;
    const recorded: number[] = [];
    for (let count = ledger.snapshots + 1; count <= snapshots; count += 1) recorded.push(count);
    ledger.record(snapshots);
    process.stored = ledger.checkpoint(balance, recorded, 0);
    process.ready = [...process.stored.unpublished];
    for (const count of recorded)
      this.pieces.set(count, [...(this.pieces.get(count) ?? []), process.stored]);
  }

  publish(process: Process): boolean {
    const next = process.ready.shift();
    if (!next) return false;
    const { stream, subject, stamp, text } = next;
    const header = formatStamp(stream, stamp);
    const sequence = this.append(stream, subject, header, text);
    // Its answer was lost, and it was published once more long after.
    if (this.random.chance(0.1)) this.append(stream, subject, header, text);
    // Or the process died before it knew.
    if (this.random.chance(0.05)) this.crash(process);
    else process.ledger.published(stream, sequence);
    return true;
  }

  crash(process: Process): void {
    process.ledger = new StreamLedger(process.stored, this.lineage);
    process.balance = process.stored.state as number;
    process.ready = [...process.stored.unpublished];
  }

  append(stream: string, subject: string, header: string, text: string): number {
    const log = this.streams.get(stream) as Arrival[];
    log.push(arrivalOf(stream, log.length + 1, subject, header, Buffer.from(text)));
    return log.length;
  }

  /** Everybody records, and the streams are read. */
  cut(snapshot: number): { readonly cuts: StreamCut[]; readonly pieces: Checkpoint[] } | string {
    for (const process of this.processes)
      if (process.ledger.snapshots < snapshot) this.store(process);
    const pieces = this.pieces.get(snapshot) ?? [];
    expect(pieces.map(({ process }) => process).sort()).toEqual(ACCOUNTS);
    const cuts: StreamCut[] = [];
    for (const [stream, log] of this.streams) {
      const messages = log.slice(windowBegin(stream, pieces));
      const found = cutOf(snapshot, pieces, { stream, to: log.length, messages }, this.lineage);
      if ("problem" in found) return found.problem;
      cuts.push(found.cut);
    }
    return { cuts, pieces };
  }

  /** All processes go on from a snapshot. */
  restore(pieces: readonly Checkpoint[]): void {
    const epoch = (this.lineage.at(-1)?.epoch ?? 0) + 1;
    this.lineage = [...this.lineage, { epoch, counts: sentCounts(pieces) }];
    this.pieces.clear();
    for (const process of this.processes) {
      const piece = pieces.find((one) => one.process === process.id) as Checkpoint;
      process.stored = { ...piece, epoch, snapshots: this.snapshots, recorded: [] };
      this.crash(process);
    }
  }

  /** Until nothing is under way. */
  drain(): void {
    this.repeats = 0;
    for (let moved = true; moved; ) {
      moved = false;
      for (const process of this.processes) {
        while (this.take(process)) moved = true;
        if (process.ledger.unpublished.length > 0) this.store(process);
        while (this.publish(process)) moved = true;
      }
    }
  }

  #stream(): string {
    return this.random.pick(STREAMS) as string;
  }

  get balances(): number {
    return this.processes.reduce((sum, { balance }) => sum + balance, 0);
  }
}

function transferIn({ text }: Arrival): Transfer {
  const nothing = { to: "", amount: 0 };
  return text === undefined ? nothing : { ...nothing, ...(JSON.parse(text) as Transfer) };
}

const contentOf = (record: Uint8Array): { subject: string; message?: Transfer } => {
  const length = new DataView(record.buffer, record.byteOffset).getUint32(0, true);
  return JSON.parse(Buffer.from(record.subarray(4, 4 + length)).toString());
};

function moneyOf(cuts: readonly StreamCut[], pieces: readonly Checkpoint[]): number {
  let sum = 0;
  for (const { state } of pieces) sum += state as number;
  for (const { writers, readers } of cuts) {
    for (const { inFlight } of writers)
      for (const record of inFlight) sum += contentOf(record).message?.amount ?? 0;
    for (const { process, inFlight } of readers)
      for (const record of inFlight) {
        const { message } = contentOf(record);
        if (message?.to === process) sum += message.amount;
      }
  }
  return sum;
}

function expectProven({ writers, readers }: StreamCut): void {
  for (const { sent, received, inFlight } of [...writers, ...readers])
    expect(inFlight.reduce<Mark>(markAfter, received)).toEqual(sent);
}

describe("a cut through processes and streams", () => {
  test("has all the money, and both ends of each channel agree", () => {
    let inFlight = 0;
    for (const seed of seeds("streams", 150, 30000)) {
      const world = new World(seed);
      for (let i = 0; i < 400; i += 1) world.step();
      world.snapshots += 1;
      const more = world.random.below(80);
      for (let i = 0; i < more; i += 1) world.step();
      for (let snapshot = 1; snapshot <= world.snapshots; snapshot += 1) {
        const cut = world.cut(snapshot);
        if (typeof cut === "string") throw new Error(`seed ${seed}: ${cut}`);
        for (const one of cut.cuts) {
          expectProven(one);
          for (const { inFlight: some } of [...one.writers, ...one.readers])
            inFlight += some.length;
        }
        expect(moneyOf(cut.cuts, cut.pieces), `seed ${seed}`).toBe(MONEY);
      }
    }
    expect(inFlight).toBeGreaterThan(0);
  });

  test("is wrong, or refused, if processes do not record before they take what was sent after", () => {
    let refused = 0;
    for (let seed = 0; seed < 40; seed += 1) {
      const world = new World(seed, true);
      for (let i = 0; i < 400; i += 1) world.step();
      for (let snapshot = 1; snapshot <= world.snapshots; snapshot += 1) {
        const cut = world.cut(snapshot);
        if (typeof cut === "string" || moneyOf(cut.cuts, cut.pieces) !== MONEY) refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });

  test("is what a restore goes on from: nothing comes twice, nothing of what was undone", () => {
    for (const seed of seeds("streams", 100, 20000)) {
      const world = new World(seed);
      for (let round = 0; round < 3; round += 1) {
        for (let i = 0; i < 150; i += 1) world.step();
        world.snapshots += 1;
        const snapshot = world.snapshots;
        const more = world.random.below(80);
        for (let i = 0; i < more; i += 1) world.step();
        const cut = world.cut(snapshot);
        if (typeof cut === "string") throw new Error(`seed ${seed}: ${cut}`);
        expect(moneyOf(cut.cuts, cut.pieces), `seed ${seed}`).toBe(MONEY);
        for (let i = 0; i < 100; i += 1) world.step();
        world.restore(cut.pieces);
      }
      for (let i = 0; i < 50; i += 1) world.step();
      world.drain();
      expect(world.balances, `seed ${seed}`).toBe(MONEY);
    }
  });
});

test("a stamp is of one stream, and whatever else a header says is none", () => {
  const stamp = { epoch: 2, process: "p.1", count: 7, snapshots: 0, before: `${"0".repeat(32)}1` };
  const text = formatStamp("east", stamp);
  expect(parseStamp("east", text)).toEqual(stamp);
  expect(parseStamp("west", text)).toBeUndefined();
  fc.assert(
    fc.property(fc.string(), (other) => {
      expect(parseStamp("east", other)).toBeUndefined();
    }),
  );
});
