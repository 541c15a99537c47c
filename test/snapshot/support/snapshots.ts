/**
 * Snapshots for tests, without the machines under test: a run of a few processes is a list of what each
 * did, a cut is how much of each list is in, and the files of a snapshot are written from that.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  emptyChannelHash,
  emptySetHash,
  foldChannelHash,
  formatChannelHash,
} from "../../../src/core/channel-hash.ts";
import { type ProcessId, snapshotId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import { writeRecords } from "../../../src/core/record.ts";
import { type Channel, Topology } from "../../../src/core/topology.ts";
import {
  MANIFEST_FORMAT,
  type Manifest,
  type PartReference,
  type PieceRecord,
} from "../../../src/snapshot/manifest.ts";
import type { PartReader } from "../../../src/snapshot/verify.ts";

/** What one process did, in order. */
type Deed =
  | { readonly type: "send"; readonly to: ProcessId; readonly message: Uint8Array }
  | { readonly type: "receive"; readonly from: ProcessId; readonly message: Uint8Array }
  | { readonly type: "work" };

/** Whether messages come in the order in which they were sent. */
export type Order = "fifo" | "none";

export interface Run {
  readonly order: Order;
  readonly topology: Topology;
  readonly deeds: ReadonlyMap<ProcessId, readonly Deed[]>;
}

/** How many of its deeds each process had done when it recorded its state. */
export type Cut = ReadonlyMap<ProcessId, number>;

type Mutable<T> = T extends (infer Item)[] | readonly (infer Item)[]
  ? Mutable<Item>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;

/** A snapshot as it lies in a store: a part or a pack under each SHA-256. */
export interface Files {
  manifest: Mutable<Manifest>;
  files: Map<string, Uint8Array>;
}

const IDS = ["p1", "p2", "p3", "p10", "a", "Z", "7", "10", "constructor", "toString", "b.c", "b-c"];

/** Processes that do something at random, on random channels. */
export function simulate(
  random: Random,
  processes: number,
  deeds: number,
  order: Order = "fifo",
): Run {
  const ids = new Set<ProcessId>();
  while (ids.size < processes) ids.add(random.pick(IDS) as ProcessId);
  const density = 0.4 + 0.6 * random.fraction();
  const mesh = new Topology([...ids]).channels();
  const topology = new Topology(
    [...ids],
    mesh.filter(() => random.chance(density)),
  );
  const done = new Map<ProcessId, Deed[]>([...ids].map((id) => [id, []]));
  const waiting = new Map<string, Uint8Array[]>();
  for (let i = 0; i < deeds; i += 1) {
    const self = random.pick(topology.processes) as ProcessId;
    const deed: Deed = random.chance(0.5)
      ? receive(self, random.pick(topology.incoming(self)))
      : send(random.pick(topology.outgoing(self)));
    if (deed.type === "send") {
      const channel = `${self} ${deed.to}`;
      waiting.set(channel, [...(waiting.get(channel) ?? []), deed.message]);
    }
    done.get(self)?.push(deed);
  }
  return { order, topology, deeds: done };

  function receive(self: ProcessId, from: ProcessId | undefined): Deed {
    const channel = waiting.get(`${from} ${self}`) ?? [];
    const [message] = channel.splice(order === "fifo" ? 0 : random.below(channel.length), 1);
    return from === undefined || message === undefined
      ? { type: "work" }
      : { type: "receive", from, message };
  }

  function send(to: ProcessId | undefined): Deed {
    if (to === undefined) return { type: "work" };
    const message = Uint8Array.from({ length: random.below(14) }, () => random.below(256));
    return { type: "send", to, message };
  }
}

/** All messages that went into a channel, or came out of it, before the cut. */
export function messages(
  run: Run,
  cut: Cut,
  { from, to }: Channel,
  end: "sent" | "received",
): Uint8Array[] {
  const self = end === "sent" ? from : to;
  const past = run.deeds.get(self)?.slice(0, cut.get(self)) ?? [];
  return past.flatMap((deed) =>
    (deed.type === "send" && end === "sent" && deed.to === to) ||
    (deed.type === "receive" && end === "received" && deed.from === from)
      ? [deed.message]
      : [],
  );
}

/** The channels on which something is received that is not sent. */
export function orphanChannels(run: Run, cut: Cut): Channel[] {
  return run.topology.channels().filter((channel) => {
    const sent = messages(run, cut, channel, "sent");
    return messages(run, cut, channel, "received").some((message) => !sent.includes(message));
  });
}

/** A cut through anywhere: most are not consistent. */
export function anyCut(run: Run, random: Random): Cut {
  return new Map([...run.deeds].map(([id, deeds]) => [id, random.between(0, deeds.length)]));
}

/** The latest consistent cut that is within the given one: receives without their sends are left out. */
export function consistentWithin(run: Run, cut: Cut): Cut {
  const within = new Map(cut);
  for (;;) {
    const orphans = orphanChannels(run, within);
    if (orphans.length === 0) return within;
    for (const { to } of orphans) within.set(to, (within.get(to) ?? 0) - 1);
  }
}

export interface Writing {
  readonly count?: number;
  readonly epoch?: number;
  /** Which messages are written as in flight on a channel; by default those that are. */
  readonly inFlight?: (channel: Channel, messages: Uint8Array[]) => Uint8Array[];
}

/** Writes the snapshot of a run at a cut, consistent or not, with what every process knows by itself. */
export function takeSnapshot(run: Run, cut: Cut, random: Random, writing: Writing = {}): Files {
  const { topology } = run;
  const { count = 1, epoch = 1, inFlight = (_, inside) => inside } = writing;
  const initiator = random.pick(topology.processes) as ProcessId;
  const id = snapshotId(initiator, count);
  const files = new Map<string, Uint8Array>();
  const pieces = topology.processes.map((process): PieceRecord => {
    const pack = new Pack();
    const put = (bytes: Uint8Array): PartReference =>
      random.chance(0.5) ? pack.put(bytes) : putFile(files, bytes);
    const sliced = random.chance(0.5);
    const slices = Array.from({ length: sliced ? random.below(4) : 1 }, () =>
      put(Uint8Array.from({ length: random.below(80) }, () => random.below(256))),
    );
    const incoming = topology.incoming(process).map((from) => {
      const received = messages(run, cut, { from, to: process }, "received");
      const sent = messages(run, cut, { from, to: process }, "sent");
      const left = sent.filter((message) => !received.includes(message));
      const kept = inFlight({ from, to: process }, left);
      return {
        from,
        received: received.length,
        hash: hashOf(received, random, run.order),
        inFlight: kept.length,
        ...(kept.length > 0 ? { part: put(writeRecords(kept)) } : {}),
      };
    });
    const outgoing = topology.outgoing(process).map((to) => {
      const sent = messages(run, cut, { from: process, to }, "sent");
      return { to, sent: sent.length, hash: hashOf(sent, random, run.order) };
    });
    pack.write(files);
    return {
      snapshot: id,
      process,
      epoch,
      state: { encoding: "bytes", sliced, parts: slices },
      messageEncoding: "bytes",
      incoming,
      outgoing,
      timing: { recordedAtMs: 1000.5, recordingMs: 2.25, captureMs: 0 },
    };
  });
  const manifest: Manifest = {
    format: MANIFEST_FORMAT,
    id,
    ...(random.chance(0.5) ? { label: "before the upgrade" } : {}),
    system: "bank",
    epoch,
    initiator,
    startedAtMs: 1000,
    cutMs: 3,
    processes: topology.processes,
    channels: topology.channels(),
    pieces,
  };
  // As a program reads it: from JSON.
  return { manifest: JSON.parse(JSON.stringify(manifest)), files };
}

/** Small parts of one piece in one file. */
class Pack {
  readonly #parts: { sha256: string; bytes: number; pack: string; offset: number }[] = [];
  readonly #content: number[] = [];

  put(bytes: Uint8Array): PartReference {
    const part = {
      sha256: sha256(bytes),
      bytes: bytes.length,
      pack: "",
      offset: this.#content.length,
    };
    this.#parts.push(part);
    this.#content.push(...bytes);
    return part;
  }

  write(files: Map<string, Uint8Array>): void {
    const file = putFile(files, Uint8Array.from(this.#content));
    for (const part of this.#parts) part.pack = file.sha256;
  }
}

/** The hash of a channel, taken in in batches of any size. */
function hashOf(contents: readonly Uint8Array[], random: Random, order: Order): string {
  const hash = order === "fifo" ? emptyChannelHash() : emptySetHash();
  for (let at = 0; at < contents.length; ) {
    const next = at + random.between(1, 3);
    const batch = writeRecords(contents.slice(at, next));
    foldChannelHash(hash, new DataView(batch.buffer), 0, batch.length);
    at = next;
  }
  return formatChannelHash(hash);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function putFile(files: Map<string, Uint8Array>, bytes: Uint8Array): PartReference {
  const name = sha256(bytes);
  files.set(name, bytes);
  return { sha256: name, bytes: bytes.length };
}

/** Gives the bytes of a part, checking nothing but that the file is long enough. */
export function readerOf(files: ReadonlyMap<string, Uint8Array>): PartReader {
  return ({ sha256, bytes, pack, offset }) => {
    if (pack === undefined || offset === undefined) return files.get(sha256);
    const file = files.get(pack);
    return file && offset + bytes <= file.length
      ? file.subarray(offset, offset + bytes)
      : undefined;
  };
}

/** Where a run and a snapshot of it come from. */
export const origins: fc.Arbitrary<Origin> = fc.record({
  seed: fc.integer(),
  processes: fc.integer({ min: 2, max: 6 }),
  deeds: fc.integer({ min: 0, max: 120 }),
  order: fc.constantFrom<Order>("fifo", "none"),
});

export interface Origin {
  readonly seed: number;
  readonly processes: number;
  readonly deeds: number;
  readonly order?: Order;
}

/** A valid snapshot, and what it was taken of. */
export function validSnapshot(origin: Origin): {
  readonly random: Random;
  readonly run: Run;
  readonly cut: Cut;
  readonly snapshot: Files;
} {
  const random = new Random(origin.seed);
  const run = simulate(random, origin.processes, origin.deeds, origin.order);
  const cut = consistentWithin(run, anyCut(run, random));
  return { random, run, cut, snapshot: takeSnapshot(run, cut, random) };
}
