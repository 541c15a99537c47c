// What `npm run scale` runs: the shipping snapshot machine of every process, joined by channels on which everything takes
// one hop. There is no link, no application state and no collector here: it is the algorithm alone that is counted.
import { type ProcessId, Random, type SnapshotId, snapshotId, Topology } from "tidemark";
import {
  ChandyLamport,
  type Marker,
  type SnapshotEffect,
  type SnapshotInput,
} from "tidemark/machines";

/** A kind of topology, for any number of processes. */
export interface Family {
  readonly name: string;
  /** The numbers of processes that it is run with. */
  readonly sizes: readonly number[];
  topology(processes: number): Topology;
}

const SIZES = [10, 20, 50, 100, 200, 300, 500, 1000];
/** Of each process of a random graph. */
export const OUTGOING = 8;

const idOf = (index: number): ProcessId => `p${index + 1}`;
const idsOf = (count: number): ProcessId[] => Array.from({ length: count }, (_, i) => idOf(i));

export const families: readonly Family[] = [
  {
    name: "ring",
    sizes: SIZES,
    topology: (count) =>
      new Topology(
        idsOf(count),
        idsOf(count).map((from, i) => ({ from, to: idOf((i + 1) % count) })),
      ),
  },
  {
    name: "binary tree",
    sizes: SIZES,
    topology: (count) =>
      new Topology(
        idsOf(count),
        idsOf(count).flatMap((child, i) => {
          if (i === 0) return [];
          const parent = idOf((i - 1) >> 1);
          return [
            { from: parent, to: child },
            { from: child, to: parent },
          ];
        }),
      ),
  },
  { name: "random graph", sizes: SIZES, topology: randomGraph },
  {
    name: "full mesh",
    sizes: SIZES.filter((count) => count <= 300),
    topology: (count) => new Topology(idsOf(count)),
  },
];

/** Every process has 8 outgoing channels: one closes a ring through all, so each reaches each; the others lead anywhere. */
function randomGraph(count: number): Topology {
  const random = new Random(`random graph ${count}`);
  const ids = idsOf(count);
  const channels = ids.flatMap((from, i) => {
    const targets = new Set([idOf((i + 1) % count)]);
    while (targets.size < Math.min(OUTGOING, count - 1)) {
      const to = random.pick(ids) as ProcessId;
      if (to !== from) targets.add(to);
    }
    return [...targets].map((to) => ({ from, to }));
  });
  return new Topology(ids, channels);
}

/** What a snapshot takes; the same on every computer. */
export interface Counted {
  readonly family: string;
  readonly processes: number;
  readonly channels: number;
  readonly markers: number;
  /** From the first recording until the last piece is complete. */
  readonly hops: number;
  /** Application messages that were sent in that time. */
  readonly messages: number;
  /** Messages that were recorded in some channel; some were sent before the snapshot began. */
  readonly inFlight: number;
}

/** Runs one family with so many processes, idle and with messages; throws if a snapshot is not what it must be. */
export function count(family: Family, processes: number): Counted {
  const topology = family.topology(processes);
  const idle = new Network(topology);
  idle.initiate(1);
  idle.run();
  const busy = new Network(topology, new Random(`messages ${processes}`));
  for (let i = 0; i < WARM_HOPS; i += 1) busy.hop();
  busy.initiate(1);
  const [hops, messages] = [busy.hops, busy.messages];
  busy.run();
  const counted: Counted = {
    family: family.name,
    processes,
    channels: idle.channels,
    markers: idle.markers,
    hops: idle.hops,
    messages: busy.messages - messages,
    inFlight: busy.inFlight(),
  };
  const sum = idle.inFlight();
  if (sum !== 0) throw new Error(`${place(counted)}: ${sum} messages in flight in an idle system`);
  if (busy.hops - hops !== counted.hops)
    throw new Error(`${place(counted)}: messages changed the time of the snapshot`);
  for (const { markers, channels } of [idle, busy])
    if (markers !== channels)
      throw new Error(`${place(counted)}: ${markers} markers on ${channels} channels`);
  return counted;
}

export const place = ({ family, processes }: Pick<Counted, "family" | "processes">): string =>
  `${family} of ${processes}`;

export const MESSAGE_BYTES = 100;
/** So that messages are on their way when the snapshot begins. */
const WARM_HOPS = 3;
/** A message as a batch of one record: its length, and the bytes. */
const BATCH: Uint8Array = new Uint8Array(4 + MESSAGE_BYTES).fill(7, 4);
BATCH[0] = MESSAGE_BYTES;

type Recorded = Extract<SnapshotEffect, { type: "complete" }>["recorded"];

/** Processes that do nothing but take snapshots and, if asked to, send each other messages. */
export class Network {
  hops = 0;
  markers = 0;
  messages = 0;
  readonly channels: number;
  /** How many recordings have begun, of all snapshots. */
  recorded = 0;
  readonly #topology: Topology;
  readonly #random: Random | undefined;
  readonly #machines: readonly ChandyLamport[];
  readonly #index = new Map<ProcessId, number>();
  /** The ends of each channel, and the channels from each process by where they lead: they have numbers here. */
  readonly #ends: readonly { readonly from: number; readonly to: number }[];
  readonly #out: readonly Map<ProcessId, number>[];
  readonly #snapshots: Marker[] = [];
  readonly #numbers = new Map<SnapshotId, number>();
  /** By snapshot and process; held until the end, as by a driver that stores them later. */
  readonly #pieces: Recorded[][] = [];
  #missing = 0;
  /**
   * What is received in the next hop, in the order in which it was sent: a channel, for a message; for a marker, the
   * channel + channels × (1 + number of its snapshot). Plain numbers, so that they do not show in what is measured.
   */
  #sent: number[] = [];

  /** @param random every process sends one message in every hop, on one of its channels at random */
  constructor(topology: Topology, random?: Random) {
    this.#topology = topology;
    this.#random = random;
    const { processes } = topology;
    for (const [i, id] of processes.entries()) this.#index.set(id, i);
    this.#machines = processes.map(
      (id) => new ChandyLamport(topology.fingerprint, topology.incoming(id), topology.outgoing(id)),
    );
    const all = topology.channels();
    this.channels = all.length;
    const number = (id: ProcessId): number => this.#index.get(id) as number;
    this.#ends = all.map(({ from, to }) => ({ from: number(from), to: number(to) }));
    this.#out = processes.map(() => new Map());
    for (const [channel, { from, to }] of all.entries()) this.#out[number(from)]?.set(to, channel);
  }

  /** The first process begins so many snapshots at once. */
  initiate(count: number): void {
    const snapshots = Array.from(
      { length: count },
      (_, i): Marker => ({
        snapshot: snapshotId(idOf(0), i + 1),
        incarnation: 1,
        view: this.#topology.fingerprint,
        live: 1,
        timeoutMs: 1_000_000,
      }),
    );
    this.#snapshots.push(...snapshots);
    const first = this.#index.get(idOf(0)) as number;
    for (const marker of snapshots) {
      this.#numbers.set(marker.snapshot, this.#pieces.length);
      this.#pieces.push([]);
      this.#missing += this.#machines.length;
      this.#step(first, { type: "initiate", marker, nowMs: this.hops });
    }
  }

  /** Until every piece is complete. */
  run(): void {
    while (this.#missing > 0) this.hop();
  }

  /** All that was sent in the last hop is received; then the processes send. */
  hop(): void {
    this.hops += 1;
    if (this.hops > 10 * this.#machines.length) throw new Error("the snapshot does not end");
    const arriving = this.#sent;
    this.#sent = [];
    for (const item of arriving) {
      const channel = item % this.channels;
      const { from, to } = this.#ends[channel] as { from: number; to: number };
      const source = this.#topology.processes[from] as ProcessId;
      const marker = this.#snapshots[(item - channel) / this.channels - 1];
      if (marker) this.#step(to, { type: "marker", from: source, marker, nowMs: this.hops });
      else
        this.#step(to, {
          type: "received",
          from: source,
          count: 1,
          body: BATCH,
          nowMs: this.hops,
        });
    }
    if (!this.#random) return;
    for (const [i, id] of this.#topology.processes.entries()) {
      const to = this.#random.pick(this.#topology.outgoing(id)) as ProcessId;
      this.messages += 1;
      this.#step(i, { type: "sent", to, count: 1, body: BATCH });
      this.#sent.push(this.#channel(i, to));
    }
  }

  /** Messages recorded in the channels of the first snapshot; throws unless it is complete, and right at both ends of each. */
  inFlight(): number {
    const { processes } = this.#topology;
    const pieces = processes.map((id, i) => {
      const piece = this.#pieces[0]?.[i];
      if (!piece) throw new Error(`the piece of ${id} is missing`);
      return piece;
    });
    const sent = pieces.map(({ outgoing }) => new Map(outgoing.map((one) => [one.to, one.sent])));
    const channels = pieces.flatMap(({ incoming }, i) =>
      incoming.map((one) => ({ ...one, to: processes[i] as ProcessId })),
    );
    if (channels.length !== this.channels)
      throw new Error(`${channels.length} of ${this.channels} channels were recorded`);
    let sum = 0;
    for (const { from, to, received, inFlight } of channels) {
      if (received + inFlight !== sent[this.#index.get(from) as number]?.get(to))
        throw new Error(`channel ${from} → ${to} was not recorded as it was`);
      sum += inFlight;
    }
    return sum;
  }

  #channel(from: number, to: ProcessId): number {
    return this.#out[from]?.get(to) as number;
  }

  #step(process: number, input: SnapshotInput): void {
    for (const effect of (this.#machines[process] as ChandyLamport).step(input)) {
      switch (effect.type) {
        case "record":
          this.recorded += 1;
          break;
        case "marker":
          this.markers += 1;
          this.#sent.push(
            this.#channel(process, effect.to) +
              this.channels * (1 + (this.#numbers.get(effect.marker.snapshot) as number)),
          );
          break;
        case "complete": {
          const number = this.#numbers.get(effect.snapshot) as number;
          (this.#pieces[number] as Recorded[])[process] = effect.recorded;
          this.#missing -= 1;
          break;
        }
        default:
          throw new Error(`${this.#topology.processes[process]}: ${effect.type}`);
      }
    }
  }
}
