/** Shipping snapshot machines in the words of spec/chandyLamport.qnt. */

import {
  type ChannelHash,
  emptyChannelHash,
  foldChannelHash,
  formatChannelHash,
} from "../../../src/core/channel-hash.ts";
import { parseSnapshotId, type SnapshotId, snapshotId } from "../../../src/core/id.ts";
import { Topology } from "../../../src/core/topology.ts";
import type { SnapshotEffect, SnapshotMachine } from "../../../src/snapshot/recordings.ts";
import { BareSystem, bytesOf, LIFE, markerOf, textsOf } from "../../support/bare-system.ts";
import { type Fields, mapValues, type Step, type Value } from "./itf.ts";
import type { Replica } from "./replay.ts";

interface Counts {
  readonly [peer: string]: number;
}

/** A state of the model, with channels and snapshots as `p1/p2` and `p1/1`. */
interface ModelState {
  readonly channels: readonly (readonly [string, string])[];
  readonly processes: {
    readonly [process: string]: {
      readonly balance: number;
      readonly sent: Counts;
      readonly received: Counts;
      readonly recordings: {
        readonly [snapshot: string]: {
          readonly state: number;
          readonly sent: Counts;
          readonly received: Counts;
          readonly messages: { readonly [from: string]: readonly number[] };
          readonly open: readonly string[];
        };
      };
      readonly over: {
        readonly [initiator: string]: { readonly live: number; readonly ended: readonly number[] };
      };
    };
  };
  readonly wire: { readonly [channel: string]: readonly Packet[] };
  readonly everSent: { readonly [channel: string]: readonly number[] };
}

type Packet =
  | { readonly tag: "Message"; readonly value: number }
  | {
      readonly tag: "Marker";
      readonly value: { readonly snapshot: readonly [string, number]; readonly live: number };
    };

/** How often the interesting cases occurred. */
export interface Seen {
  complete: number;
  inFlight: number;
  late: number;
  settled: number;
}

/** See the head of the file. */
export class SnapshotReplica implements Replica {
  readonly seen: Seen;
  readonly #topology: Topology;
  readonly #system: BareSystem;
  readonly #begun = new Map<string, number>();

  /** @param change puts another machine in the place of one */
  constructor(first: Step, seen: Seen, change?: (machine: SnapshotMachine) => SnapshotMachine) {
    this.seen = seen;
    const { channels, processes } = first.state as unknown as ModelState;
    const ids = Object.keys(processes);
    this.#topology = new Topology(
      ids,
      channels.map(([from, to]) => ({ from, to })),
    );
    this.#system = new BareSystem(this.#topology);
    const { machines, states } = this.#system;
    for (const [id, machine] of machines) {
      states.set(id, processes[id]?.balance);
      if (change) machines.set(id, change(machine));
    }
  }

  perform(action: string, { channel, amount, initiator, live, process, snapshot }: Fields): void {
    switch (action) {
      case "anySend": {
        const [from, to] = channel as readonly [string, string];
        this.#add(from, -Number(amount));
        this.#system.send(from, to, `${Number(amount)}`);
        break;
      }
      case "anyReceive":
        this.#receive(...(channel as readonly [string, string]));
        break;
      case "anyInitiate": {
        const id = String(initiator);
        const count = (this.#begun.get(id) ?? 0) + 1;
        this.#begun.set(id, count);
        const marker = markerOf(snapshotId(id, count), { live: Number(live) });
        this.#note(id, this.#system.step(id, { type: "initiate", marker, nowMs: 0 }));
        break;
      }
      case "anyGiveUp":
        this.#abandon(parseSnapshotId(idOf(snapshot)).initiator, idOf(snapshot));
        break;
      case "anyAbandon":
        this.#abandon(String(process), idOf(snapshot));
        break;
      default:
        throw new Error(`the model has an action that is not known here: ${action}`);
    }
  }

  expected(state: Fields): unknown {
    const { processes, wire, everSent } = state as unknown as ModelState;
    const hashed = (from: string, to: string, count: number) => ({
      count,
      hash: hashOf((everSent[`${from}/${to}`] ?? []).slice(0, count)),
    });
    return {
      processes: mapValues(processes, (local, id) => {
        const sent = (counts: Counts) => mapValues(counts, (count, to) => hashed(id, to, count));
        const received = (counts: Counts) =>
          mapValues(counts, (count, from) => hashed(from, id, count));
        return {
          balance: local.balance,
          sent: sent(local.sent),
          received: received(local.received),
          recordings: mapValues(local.recordings, (recording) => ({
            ...recording,
            sent: sent(recording.sent),
            received: received(recording.received),
          })),
          over: Object.fromEntries(
            Object.entries(local.over).filter(
              ([, { live, ended }]) => live > 0 || ended.length > 0,
            ),
          ),
        };
      }),
      wire: mapValues(wire, (packets) =>
        packets.map((packet) =>
          packet.tag === "Message"
            ? packet.value
            : { snapshot: idOf(packet.value.snapshot), live: packet.value.live },
        ),
      ),
    };
  }

  project(): unknown {
    const system = this.#system;
    return {
      processes: Object.fromEntries(
        this.#topology.processes.map((id) => {
          const { incoming, outgoing, over } = system.machine(id).state;
          return [
            id,
            {
              balance: system.states.get(id),
              sent: mapValues(Object.fromEntries(outgoing), progressOf),
              received: mapValues(Object.fromEntries(incoming), progressOf),
              recordings: this.#recordings(id),
              over: mapValues(Object.fromEntries(over), ({ live, ended }) => ({
                live,
                ended: [...ended].sort((a, b) => a - b),
              })),
            },
          ];
        }),
      ),
      wire: Object.fromEntries(
        this.#topology
          .channels()
          .map(({ from, to }) => [
            `${from}/${to}`,
            system
              .items(from, to)
              .map((item) =>
                "message" in item
                  ? Number(item.message)
                  : { snapshot: item.marker.snapshot, live: item.marker.live },
              ),
          ]),
      ),
    };
  }

  /** What that process has recorded, complete or not. */
  #recordings(id: string): Record<string, unknown> {
    const found: Record<string, unknown> = {};
    for (const [snapshot, records] of this.#system.records) {
      const record = records.get(id);
      if (!record) continue;
      const recording = this.#system.machine(id).state.recordings.get(snapshot);
      const incoming = record.recorded?.incoming.map((channel) => ({ ...channel, open: false }));
      const underWay = [...(recording?.incoming ?? [])].map(([from, channel]) => ({
        ...channel,
        from,
      }));
      const channels = incoming ?? underWay;
      const open = channels.filter((channel) => channel.open).map(({ from }) => from);
      if (recording && recording.open !== open.length)
        throw new Error(`${id} counts ${recording.open} open channels, and ${open} are open`);
      found[snapshot] = {
        state: record.state,
        sent: Object.fromEntries(
          (record.recorded ?? recording)?.outgoing.map(({ to, sent, hash }) => [
            to,
            { count: sent, hash },
          ]) ?? [],
        ),
        received: Object.fromEntries(
          channels.map(({ from, received, hash }) => [
            from,
            // While it is recorded as lanes, then as text.
            { count: received, hash: typeof hash === "string" ? hash : formatChannelHash(hash) },
          ]),
        ),
        messages: Object.fromEntries(
          channels.map(({ from, messages, inFlight }) => {
            const amounts = textsOf(messages).map(Number);
            if (amounts.length !== inFlight)
              throw new Error(`${id} counts ${inFlight} messages from ${from}`);
            return [from, amounts];
          }),
        ),
        open: open.sort(),
      };
    }
    return found;
  }

  #add(id: string, amount: number): void {
    this.#system.states.set(id, Number(this.#system.states.get(id)) + amount);
  }

  #abandon(id: string, snapshot: SnapshotId): void {
    const reason = "the model says so";
    const input = { type: "abandon", snapshot, incarnation: LIFE, reason } as const;
    this.#note(id, this.#system.step(id, input));
  }

  #receive(from: string, to: string): void {
    const [head] = this.#system.items(from, to);
    const received = this.#system.receive(from, to);
    if (typeof received === "string") {
      this.#add(to, Number(received));
      return;
    }
    const { recordings } = this.#system.machine(to).state;
    const known = head && "marker" in head && recordings.has(head.marker.snapshot);
    if (received.length === 0 && !known) this.seen.late += 1;
    this.#note(to, received);
  }

  /** What is abandoned at a process is gone there; what cannot happen on these channels must not be reported. */
  #note(id: string, effects: readonly SnapshotEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "irregular" || effect.type === "refuse") throw new Error(effect.reason);
      if (effect.type === "abandoned") {
        if (effect.reason === "its initiator has settled it") this.seen.settled += 1;
        this.#system.records.get(effect.snapshot)?.delete(id);
      }
      if (effect.type === "complete") {
        this.seen.complete += 1;
        if (effect.recorded.incoming.some(({ inFlight }) => inFlight > 0)) this.seen.inFlight += 1;
      }
    }
  }
}

function idOf(snapshot: Value | undefined): SnapshotId {
  const [initiator, count] = snapshot as readonly [string, number];
  return parseSnapshotId(`${initiator}/${count}`).id;
}

const hashes = new Map<string, string>();

/** Of a channel that has carried those amounts. */
function hashOf(amounts: readonly number[]): string {
  const key = amounts.join();
  const known = hashes.get(key);
  if (known !== undefined) return known;
  const hash = emptyChannelHash();
  const bytes = bytesOf(...amounts.map(String));
  foldChannelHash(hash, new DataView(bytes.buffer), 0, bytes.length);
  const text = formatChannelHash(hash);
  hashes.set(key, text);
  return text;
}

const progressOf = ({ count, hash }: { readonly count: number; readonly hash: ChannelHash }) => ({
  count,
  hash: formatChannelHash(hash),
});
