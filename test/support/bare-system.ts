/** Snapshot machines joined by plain queues, without links or applications: what the papers describe, and no more. */

import type { ProcessId, SnapshotId } from "../../src/core/id.ts";
import { readRecords, writeRecords } from "../../src/core/record.ts";
import type { Topology } from "../../src/core/topology.ts";
import { ChandyLamport } from "../../src/snapshot/chandy-lamport.ts";
import type { LaiYang } from "../../src/snapshot/lai-yang.ts";
import type {
  Marker,
  RecordedChannels,
  SentBefore,
  SnapshotEffect,
  SnapshotInput,
  SnapshotMachine,
} from "../../src/snapshot/recordings.ts";

/** What a channel carries. */
export type Item =
  | { readonly message: string; readonly colour: readonly Marker[] }
  | { readonly marker: Marker; readonly before?: SentBefore };

/** What one process has recorded of one snapshot. */
export interface BareRecord {
  /** At the moment of recording. */
  readonly state: unknown;
  /** What had been sent to each process, and received from each, by then. */
  readonly sent: ReadonlyMap<ProcessId, readonly string[]>;
  readonly received: ReadonlyMap<ProcessId, readonly string[]>;
  /** Once the last channel is closed. */
  recorded: RecordedChannels | undefined;
}

export const VIEW = 5;
export const LIFE = 77;

/** A marker with what most tests do not care about. */
export function markerOf(snapshot: SnapshotId, more: Partial<Marker> = {}): Marker {
  return { snapshot, incarnation: LIFE, view: VIEW, live: 1, timeoutMs: 1_000, ...more };
}

export const bytesOf = (...messages: readonly string[]): Uint8Array =>
  writeRecords(messages.map((text) => new TextEncoder().encode(text)));

export const textsOf = (runs: readonly Uint8Array[]): string[] =>
  runs.flatMap((run) => readRecords(run)).map((content) => new TextDecoder().decode(content));

/** Items of one channel that are counted. */
type Tally = Map<string, number>;

/** See the head of the file. */
export class BareSystem {
  readonly machines: Map<ProcessId, SnapshotMachine> = new Map();
  /** The state of each process; whoever tests may set it. */
  readonly states: Map<ProcessId, unknown> = new Map();
  readonly records: Map<SnapshotId, Map<ProcessId, BareRecord>> = new Map();
  /** How many markers, and how many counts, were put on each channel, by snapshot and channel. */
  readonly markers: Tally = new Map();
  readonly counts: Tally = new Map();
  /** Snapshots that some process abandoned by itself. */
  readonly abandoned: Set<SnapshotId> = new Set();
  /** A mistake, planted: messages do not say their colour. */
  colourless: boolean = false;
  readonly #channels = new Map<string, Item[]>();
  readonly #sent = new Map<ProcessId, Map<ProcessId, string[]>>();
  readonly #received = new Map<ProcessId, Map<ProcessId, string[]>>();

  constructor(
    topology: Topology,
    Algorithm: typeof ChandyLamport | typeof LaiYang = ChandyLamport,
  ) {
    for (const id of topology.processes) {
      const [incoming, outgoing] = [topology.incoming(id), topology.outgoing(id)];
      this.machines.set(id, new Algorithm(VIEW, incoming, outgoing));
      this.#received.set(id, new Map(incoming.map((from) => [from, []])));
      this.#sent.set(id, new Map(outgoing.map((to) => [to, []])));
    }
    for (const { from, to } of topology.channels()) this.#channels.set(`${from} ${to}`, []);
  }

  machine(id: ProcessId): SnapshotMachine {
    return this.machines.get(id) as SnapshotMachine;
  }

  /** What is in a channel, the head first; a marker shows as `Marker`, a count as `Count`. */
  channel(from: ProcessId, to: ProcessId): string[] {
    return this.#queue(from, to).map((item) =>
      "message" in item ? item.message : item.before ? "Count" : "Marker",
    );
  }

  /** What is in a channel, the head first. */
  items(from: ProcessId, to: ProcessId): readonly Item[] {
    return this.#queue(from, to);
  }

  /** The channels that are not empty. */
  busy(): [ProcessId, ProcessId][] {
    return [...this.#channels]
      .filter(([, queue]) => queue.length > 0)
      .map(([channel]) => channel.split(" ") as [ProcessId, ProcessId]);
  }

  initiate(
    id: ProcessId,
    snapshot: SnapshotId,
    more: Partial<Marker> = {},
  ): readonly SnapshotEffect[] {
    return this.step(id, { type: "initiate", marker: markerOf(snapshot, more), nowMs: 0 });
  }

  send(from: ProcessId, to: ProcessId, message: string): void {
    const { colour } = this.machine(from).state;
    this.#queue(from, to).push({ message, colour: this.colourless ? [] : colour });
    this.#sent.get(from)?.get(to)?.push(message);
    this.step(from, { type: "sent", to, count: 1, body: bytesOf(message) });
  }

  /** Takes the head of a channel, or what is behind it: gives the message, or the effects of a marker or count. */
  receive(from: ProcessId, to: ProcessId, at = 0): string | readonly SnapshotEffect[] {
    const [item] = this.#queue(from, to).splice(at, 1);
    if (!item) throw new Error(`nothing is in the channel ${from} → ${to}`);
    if ("marker" in item) {
      const { marker, before } = item;
      const word = { from, marker, nowMs: 0 };
      return before
        ? this.step(to, { ...word, type: "count", before })
        : this.step(to, { ...word, type: "marker" });
    }
    const { message, colour } = item;
    const body = bytesOf(message);
    this.step(to, { type: "received", from, count: 1, body, colour, nowMs: 0 });
    this.#received.get(to)?.get(from)?.push(message);
    return message;
  }

  /** Performs the effects, as a driver must. */
  step(id: ProcessId, input: SnapshotInput): readonly SnapshotEffect[] {
    const effects = this.machine(id).step(input);
    for (const effect of effects) {
      if (effect.type === "record") {
        const { snapshot } = effect.marker;
        const records = this.records.get(snapshot) ?? new Map();
        this.records.set(snapshot, records);
        records.set(id, {
          state: this.states.get(id),
          sent: copyOf(this.#sent.get(id)),
          received: copyOf(this.#received.get(id)),
          recorded: undefined,
        });
      } else if (effect.type === "marker" || effect.type === "count") {
        const tally = effect.type === "marker" ? this.markers : this.counts;
        const channel = `${effect.marker.snapshot} ${id} ${effect.to}`;
        tally.set(channel, (tally.get(channel) ?? 0) + 1);
        this.#queue(id, effect.to).push(effect);
      } else if (effect.type === "complete") {
        const record = this.records.get(effect.snapshot)?.get(id);
        if (record) record.recorded = effect.recorded;
      } else if (effect.type === "abandoned" && input.type !== "abandon") {
        this.abandoned.add(effect.snapshot);
      }
    }
    return effects;
  }

  #queue(from: ProcessId, to: ProcessId): Item[] {
    return this.#channels.get(`${from} ${to}`) as Item[];
  }
}

const copyOf = (lists: ReadonlyMap<ProcessId, readonly string[]> = new Map()) =>
  new Map([...lists].map(([id, list]) => [id, [...list]]));
