/**
 * One process' share in global snapshots: Chandy and Lamport 1985, "Distributed Snapshots: Determining
 * Global States of Distributed Systems", §3.2, for any number of snapshots at a time.
 *
 * Assumptions. Channels are exactly-once FIFO (the link sees to that). Every process can be reached from
 * the initiator (the initiator checks). `record` is performed, and the state fixed with it, before any
 * later effect and before the next input.
 *
 * Theory of operation. Marker-sending rule: a process records its state, and then, before anything else,
 * sends one marker on every outgoing channel. Marker-receiving rule: the first marker of a snapshot makes
 * the process record, with the channel it came on as empty; a later one closes its channel, whose state is
 * what came in on it since recording. With the last marker the piece is complete. Every snapshot has
 * a recording of its own, so they overlap freely.
 *
 * An ended snapshot (complete here, or abandoned) must not begin again when one of its markers comes late.
 * Its number is remembered until its initiator says, in any later marker, that all before `live` are over.
 * An initiator that comes back without its state may use such a number again; so the snapshots of each of its lives are
 * kept apart, by the incarnation in the marker.
 *
 * For the certificate the machine counts and hashes, on every channel, what was sent and received; a
 * recording notes where that stood.
 */

import {
  type ChannelHash,
  emptyChannelHash,
  foldChannelHash,
  formatChannelHash,
} from "../core/channel-hash.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import type { IncomingRecord, OutgoingRecord } from "./manifest.ts";
import { type Tape, Tapes } from "./tape.ts";

/** What travels on a channel to tell before from after. */
export interface Marker {
  readonly snapshot: SnapshotId;
  /** Of the initiator: a later life of it may use the id of an abandoned snapshot again. */
  readonly incarnation: number;
  /** Fingerprint of the topology: processes that disagree on it cannot take a snapshot together. */
  readonly view: number;
  /** Every snapshot of the initiator with a lower count is over. */
  readonly live: number;
  /** How long the initiator waits before it abandons the snapshot. */
  readonly timeoutMs: number;
}

/** A channel state as it was recorded: the runs of records, in order. */
export interface RecordedChannel extends IncomingRecord {
  readonly messages: readonly Uint8Array[];
}

/** What one process recorded, but for its state. */
export interface RecordedChannels {
  readonly incoming: readonly RecordedChannel[];
  readonly outgoing: readonly OutgoingRecord[];
  /** What the messages lie on; whoever is the last to use them erases it. */
  readonly tape: Tape;
}

/** What happens to the machine. */
export type SnapshotInput =
  /** This process begins a snapshot. */
  | { readonly type: "initiate"; readonly marker: Marker; readonly nowMs: number }
  | {
      readonly type: "marker";
      readonly from: ProcessId;
      readonly marker: Marker;
      readonly nowMs: number;
    }
  /** Messages were taken off a channel; seen before the application sees them. */
  | {
      readonly type: "received";
      readonly from: ProcessId;
      readonly count: number;
      readonly body: Uint8Array;
    }
  /** Messages were put on a channel. */
  | {
      readonly type: "sent";
      readonly to: ProcessId;
      readonly count: number;
      readonly body: Uint8Array;
    }
  | {
      readonly type: "abandon";
      readonly snapshot: SnapshotId;
      /** Of the initiator. */
      readonly incarnation: number;
      readonly reason: string;
    }
  /** The topology changed: what is being recorded is abandoned. */
  | {
      readonly type: "view";
      readonly view: number;
      readonly incoming: readonly ProcessId[];
      readonly outgoing: readonly ProcessId[];
    }
  /** A peer came back without its state: its channels begin afresh. */
  | { readonly type: "reset"; readonly peer: ProcessId; readonly reason: string }
  | { readonly type: "tick"; readonly nowMs: number };

/** What the driver must do, in order. */
export type SnapshotEffect =
  /** Fix the state now. */
  | { readonly type: "record"; readonly marker: Marker }
  | { readonly type: "marker"; readonly to: ProcessId; readonly marker: Marker }
  /** Every channel is closed. */
  | {
      readonly type: "complete";
      readonly snapshot: SnapshotId;
      readonly recorded: RecordedChannels;
      readonly recordedAtMs: number;
      readonly recordingMs: number;
    }
  /** Nothing of the snapshot is left here. */
  | { readonly type: "abandoned"; readonly snapshot: SnapshotId; readonly reason: string }
  /** This process cannot take part; the initiator should know. */
  | { readonly type: "refuse"; readonly marker: Marker; readonly reason: string }
  /** Something that cannot happen on exactly-once FIFO channels. */
  | { readonly type: "irregular"; readonly reason: string };

/** How far a channel has come. */
interface Progress {
  count: number;
  readonly hash: ChannelHash;
}

interface OpenChannel {
  readonly received: number;
  readonly hash: string;
  readonly messages: Uint8Array[];
  inFlight: number;
  open: boolean;
}

/** A snapshot that is being recorded here. */
export interface Recording {
  readonly marker: Marker;
  readonly recordedAtMs: number;
  readonly outgoing: readonly OutgoingRecord[];
  readonly incoming: Map<ProcessId, OpenChannel>;
  readonly tape: Tape;
  /** Channels without their marker. */
  open: number;
  /** Bytes of all messages kept. */
  bytes: number;
}

/** What is over of the snapshots of one life of an initiator: all below `live`, and `ended`. */
interface Over {
  readonly incarnation: number;
  live: number;
  readonly ended: Set<number>;
}

/** Everything the machine knows; plain data, but for the tapes. */
export interface SnapshotState {
  view: number;
  incoming: Map<ProcessId, Progress>;
  outgoing: Map<ProcessId, Progress>;
  readonly recordings: Map<SnapshotId, Recording>;
  readonly over: Map<ProcessId, Over>;
}

/** A participant gives up after this many times the initiator's time-out: its word should come first. */
const PATIENCE = 2;
// Far beyond what processes do that keep to the rules: bounds on what one that does not can make another keep.
const RECORDINGS_MAX = 1024;
const ENDED_MAX = 4096;
const RECORDED_BYTES_MAX = 256 * 1024 * 1024;

/** See the head of the file. */
export class ChandyLamport implements Machine<SnapshotInput, SnapshotEffect, SnapshotState> {
  readonly state: SnapshotState;
  readonly #tapes = new Tapes();

  constructor(view: number, incoming: readonly ProcessId[], outgoing: readonly ProcessId[]) {
    this.state = {
      view,
      incoming: new Map(incoming.map((from) => [from, begin()])),
      outgoing: new Map(outgoing.map((to) => [to, begin()])),
      recordings: new Map(),
      over: new Map(),
    };
  }

  /** When `tick` is wanted; Infinity if not at all. */
  get deadlineMs(): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const recording of this.state.recordings.values())
      deadline = Math.min(deadline, giveUpAtMs(recording));
    return deadline;
  }

  step(input: SnapshotInput): readonly SnapshotEffect[] {
    const effects: SnapshotEffect[] = [];
    switch (input.type) {
      case "received":
        this.#received(input.from, input.count, input.body, effects);
        break;
      case "sent":
        advance(this.state.outgoing.get(input.to), input.count, input.body);
        break;
      case "initiate":
        this.#noteLive(input.marker, effects);
        this.#record(input.marker, input.nowMs, undefined, effects);
        break;
      case "marker":
        this.#marker(input.from, input.marker, input.nowMs, effects);
        break;
      case "abandon":
        this.#end(input.snapshot, input.incarnation, effects);
        effects.push({ type: "abandoned", snapshot: input.snapshot, reason: input.reason });
        break;
      case "view":
        this.#view(input.view, input.incoming, input.outgoing, effects);
        break;
      case "reset":
        this.#reset(input.peer, input.reason, effects);
        break;
      case "tick":
        for (const recording of this.state.recordings.values()) {
          if (giveUpAtMs(recording) <= input.nowMs)
            this.#abandon(recording, "timeout: its initiator has not settled it", effects);
        }
        break;
    }
    return effects;
  }

  #received(from: ProcessId, count: number, body: Uint8Array, effects: SnapshotEffect[]): void {
    advance(this.state.incoming.get(from), count, body);
    let copy: ReturnType<Tapes["copy"]> | undefined;
    for (const recording of this.state.recordings.values()) {
      const channel = recording.incoming.get(from);
      if (!channel?.open) continue;
      copy ??= this.#tapes.copy(body);
      recording.tape.hold(copy);
      channel.messages.push(copy.bytes);
      channel.inFlight += count;
      recording.bytes += body.length;
      if (recording.bytes > RECORDED_BYTES_MAX)
        this.#abandon(
          recording,
          `too much came in on ${from}'s channel before its marker`,
          effects,
        );
    }
  }

  #marker(from: ProcessId, marker: Marker, nowMs: number, effects: SnapshotEffect[]): void {
    this.#noteLive(marker, effects);
    const recording = this.state.recordings.get(marker.snapshot);
    if (recording) {
      if (recording.marker.incarnation === marker.incarnation)
        this.#close(recording, from, nowMs, effects);
      return;
    }
    const { initiator, count } = parseSnapshotId(marker.snapshot);
    const over = this.#over(initiator, marker.incarnation);
    if (count < over.live || over.ended.has(count)) return;
    if (marker.view !== this.state.view)
      this.#refuse(marker, "view changed: the processes do not agree on who takes part", effects);
    else if (this.state.recordings.size >= RECORDINGS_MAX)
      this.#refuse(marker, `${RECORDINGS_MAX} snapshots are being recorded already`, effects);
    else this.#record(marker, nowMs, from, effects);
  }

  #refuse(marker: Marker, reason: string, effects: SnapshotEffect[]): void {
    this.#end(marker.snapshot, marker.incarnation, effects);
    effects.push({ type: "refuse", marker, reason });
  }

  /** The marker-sending rule. `from` is the channel that the first marker came on, and so is empty. */
  #record(
    marker: Marker,
    nowMs: number,
    from: ProcessId | undefined,
    effects: SnapshotEffect[],
  ): void {
    const { state } = this;
    effects.push({ type: "record", marker });
    const incoming = new Map<ProcessId, OpenChannel>();
    for (const [source, { count, hash }] of state.incoming)
      incoming.set(source, {
        received: count,
        hash: formatChannelHash(hash),
        messages: [],
        inFlight: 0,
        open: true,
      });
    const outgoing: OutgoingRecord[] = [];
    for (const [to, { count, hash }] of state.outgoing) {
      outgoing.push({ to, sent: count, hash: formatChannelHash(hash) });
      effects.push({ type: "marker", to, marker });
    }
    const recording: Recording = {
      marker,
      recordedAtMs: nowMs,
      outgoing,
      incoming,
      tape: this.#tapes.take(),
      open: incoming.size,
      bytes: 0,
    };
    state.recordings.set(marker.snapshot, recording);
    if (from === undefined) this.#completeIfClosed(recording, nowMs, effects);
    else this.#close(recording, from, nowMs, effects);
  }

  /** The marker-receiving rule. */
  #close(recording: Recording, from: ProcessId, nowMs: number, effects: SnapshotEffect[]): void {
    const channel = recording.incoming.get(from);
    if (!channel?.open) {
      const reason = `a second marker of ${recording.marker.snapshot} came from ${from}`;
      effects.push({ type: "irregular", reason });
      return;
    }
    channel.open = false;
    recording.open -= 1;
    this.#completeIfClosed(recording, nowMs, effects);
  }

  #completeIfClosed(recording: Recording, nowMs: number, effects: SnapshotEffect[]): void {
    if (recording.open > 0) return;
    const { snapshot, incarnation } = recording.marker;
    this.#end(snapshot, incarnation, effects);
    const incoming = [...recording.incoming].map(([from, channel]) => ({
      from,
      received: channel.received,
      hash: channel.hash,
      inFlight: channel.inFlight,
      messages: channel.messages,
    }));
    effects.push({
      type: "complete",
      snapshot,
      recorded: { incoming, outgoing: recording.outgoing, tape: recording.tape },
      recordedAtMs: recording.recordedAtMs,
      recordingMs: nowMs - recording.recordedAtMs,
    });
  }

  #abandon({ marker }: Recording, reason: string, effects: SnapshotEffect[]): void {
    const { snapshot, incarnation } = marker;
    this.#end(snapshot, incarnation, effects);
    effects.push({ type: "abandoned", snapshot, reason });
  }

  /** Forgets the recording, and remembers that the snapshot must not begin again. */
  #end(snapshot: SnapshotId, incarnation: number, effects: SnapshotEffect[]): void {
    this.state.recordings.delete(snapshot);
    const { initiator, count } = parseSnapshotId(snapshot);
    const over = this.#over(initiator, incarnation);
    if (count < over.live) return;
    over.ended.add(count);
    if (over.ended.size > ENDED_MAX)
      this.#noteLive({ snapshot, incarnation, live: 1 + Math.min(...over.ended) }, effects);
  }

  /** Of one life at a time: what another one ended says nothing, its counts may come again. */
  #over(initiator: ProcessId, incarnation: number): Over {
    let over = this.state.over.get(initiator);
    if (over?.incarnation !== incarnation) {
      over = { incarnation, live: 0, ended: new Set() };
      this.state.over.set(initiator, over);
    }
    return over;
  }

  #noteLive(
    { snapshot, incarnation, live }: Pick<Marker, "snapshot" | "incarnation" | "live">,
    effects: SnapshotEffect[],
  ): void {
    const { initiator } = parseSnapshotId(snapshot);
    const over = this.#over(initiator, incarnation);
    if (live <= over.live) return;
    over.live = live;
    for (const count of over.ended) if (count < live) over.ended.delete(count);
    for (const recording of this.state.recordings.values()) {
      const id = parseSnapshotId(recording.marker.snapshot);
      if (
        id.initiator === initiator &&
        id.count < live &&
        recording.marker.incarnation === incarnation
      )
        this.#abandon(recording, "its initiator has settled it", effects);
    }
  }

  #abandonAll(reason: string, effects: SnapshotEffect[]): void {
    for (const recording of this.state.recordings.values())
      this.#abandon(recording, reason, effects);
  }

  #view(
    view: number,
    incoming: readonly ProcessId[],
    outgoing: readonly ProcessId[],
    effects: SnapshotEffect[],
  ): void {
    const { state } = this;
    this.#abandonAll("view changed", effects);
    state.view = view;
    state.incoming = new Map(incoming.map((id) => [id, state.incoming.get(id) ?? begin()]));
    state.outgoing = new Map(outgoing.map((id) => [id, state.outgoing.get(id) ?? begin()]));
  }

  #reset(peer: ProcessId, reason: string, effects: SnapshotEffect[]): void {
    this.#abandonAll(reason, effects);
    if (this.state.incoming.has(peer)) this.state.incoming.set(peer, begin());
    if (this.state.outgoing.has(peer)) this.state.outgoing.set(peer, begin());
  }
}

const begin = (): Progress => ({ count: 0, hash: emptyChannelHash() });

const giveUpAtMs = ({ recordedAtMs, marker }: Recording): number =>
  recordedAtMs + PATIENCE * marker.timeoutMs;

function advance(progress: Progress | undefined, count: number, body: Uint8Array): void {
  if (!progress) return;
  progress.count += count;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  foldChannelHash(progress.hash, view, 0, body.length);
}
