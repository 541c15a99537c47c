/** Snapshot machines joined by plain queues, without links or applications: what the 1985 paper describes, and no more. */

import type { ProcessId, SnapshotId } from "../../src/core/id.ts";
import { readRecords, writeRecords } from "../../src/core/record.ts";
import type { Topology } from "../../src/core/topology.ts";
import {
  ChandyLamport,
  type Marker,
  type RecordedChannels,
  type SnapshotEffect,
  type SnapshotInput,
} from "../../src/snapshot/chandy-lamport.ts";

/** What a channel carries. */
export type Item = { readonly message: string } | { readonly marker: Marker };

/** What one process has recorded of one snapshot. */
export interface BareRecord {
  /** At the moment of recording. */
  readonly state: unknown;
  /** Once the last marker has come. */
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

/** See the head of the file. */
export class BareSystem {
  readonly machines: Map<ProcessId, ChandyLamport> = new Map();
  /** The state of each process; whoever tests may set it. */
  readonly states: Map<ProcessId, unknown> = new Map();
  readonly records: Map<SnapshotId, Map<ProcessId, BareRecord>> = new Map();
  /** How many markers were put on each channel, by snapshot and channel. */
  readonly markers: Map<string, number> = new Map();
  readonly #channels = new Map<string, Item[]>();

  constructor(topology: Topology) {
    for (const id of topology.processes)
      this.machines.set(id, new ChandyLamport(VIEW, topology.incoming(id), topology.outgoing(id)));
    for (const { from, to } of topology.channels()) this.#channels.set(`${from} ${to}`, []);
  }

  machine(id: ProcessId): ChandyLamport {
    return this.machines.get(id) as ChandyLamport;
  }

  /** What is in a channel, the head first; a marker shows as `Marker`. */
  channel(from: ProcessId, to: ProcessId): string[] {
    return this.items(from, to).map((item) => ("message" in item ? item.message : "Marker"));
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

  initiate(id: ProcessId, snapshot: SnapshotId): readonly SnapshotEffect[] {
    return this.step(id, { type: "initiate", marker: markerOf(snapshot), nowMs: 0 });
  }

  send(from: ProcessId, to: ProcessId, message: string): void {
    this.#queue(from, to).push({ message });
    this.step(from, { type: "sent", to, count: 1, body: bytesOf(message) });
  }

  /** Takes the head of a channel: gives the message, or the effects of a marker. */
  receive(from: ProcessId, to: ProcessId): string | readonly SnapshotEffect[] {
    const item = this.#queue(from, to).shift();
    if (!item) throw new Error(`nothing is in the channel ${from} → ${to}`);
    if ("marker" in item)
      return this.step(to, { type: "marker", from, marker: item.marker, nowMs: 0 });
    this.step(to, { type: "received", from, count: 1, body: bytesOf(item.message) });
    return item.message;
  }

  /** Performs the effects, as a driver must. */
  step(id: ProcessId, input: SnapshotInput): readonly SnapshotEffect[] {
    const effects = this.machine(id).step(input);
    for (const effect of effects) {
      if (effect.type === "record") {
        const { snapshot } = effect.marker;
        const records = this.records.get(snapshot) ?? new Map();
        this.records.set(snapshot, records);
        records.set(id, { state: this.states.get(id), recorded: undefined });
      } else if (effect.type === "marker") {
        const channel = `${effect.marker.snapshot} ${id} ${effect.to}`;
        this.markers.set(channel, (this.markers.get(channel) ?? 0) + 1);
        this.#queue(id, effect.to).push({ marker: effect.marker });
      } else if (effect.type === "complete") {
        const record = this.records.get(effect.snapshot)?.get(id);
        if (record) record.recorded = effect.recorded;
      }
    }
    return effects;
  }

  #queue(from: ProcessId, to: ProcessId): Item[] {
    return this.#channels.get(`${from} ${to}`) as Item[];
  }
}
