/**
 * What snapshot algorithms have in common: what they are told and what they ask for, how far each channel has come, what
 * is being recorded here, and what is over. An algorithm decides when a recording begins, which messages are the state of
 * a channel, and when a channel is closed.
 *
 * Theory of operation. Every snapshot has a recording of its own, so they overlap freely. An ended snapshot (complete
 * here, or abandoned) must not begin again when a word of it comes late. Its number is remembered until its initiator
 * says, in a later marker, that all before `live` are over. An initiator that comes back without its state may use such
 * a number again; so the snapshots of each of its lives are kept apart, by the incarnation in the marker.
 *
 * For the certificate every channel is counted and hashed, at both ends; a recording notes where that stood.
 */

import { type ChannelHash, foldChannelHash, formatChannelHash } from "../core/channel-hash.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import type { IncomingRecord, OutgoingRecord } from "./manifest.ts";
import { type Tape, Tapes } from "./tape.ts";

/** What processes must know of a snapshot to take part in it; it tells before from after. */
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

/** A channel state as it was recorded: the runs of records, in the order in which they were received. */
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

/** How much its sender had put on a channel before it recorded. */
export type SentBefore = Omit<OutgoingRecord, "to">;

/** What a snapshot machine is told, whatever the algorithm. */
export type SnapshotInput =
  /** This process begins a snapshot. */
  | { readonly type: "initiate"; readonly marker: Marker; readonly nowMs: number }
  /** Chandy and Lamport: a marker came on a channel. */
  | {
      readonly type: "marker";
      readonly from: ProcessId;
      readonly marker: Marker;
      readonly nowMs: number;
    }
  /** Lai and Yang: a peer has recorded, and says what it had sent here before. */
  | {
      readonly type: "count";
      readonly from: ProcessId;
      readonly marker: Marker;
      readonly before: SentBefore;
      readonly nowMs: number;
    }
  /** Messages were taken off a channel; seen before the application sees them. */
  | {
      readonly type: "received";
      readonly from: ProcessId;
      readonly count: number;
      readonly body: Uint8Array;
      /** Lai and Yang: the sender's, when it sent them. */
      readonly colour?: readonly Marker[] | undefined;
      readonly nowMs: number;
    }
  | CommonInput;

/** What every algorithm does alike. */
type CommonInput =
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
  /** The snapshot is complete everywhere, and written: nothing need be said of it any more. */
  | { readonly type: "settled"; readonly snapshot: SnapshotId }
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
  /** Chandy and Lamport: put this on the channel, behind all that was sent. */
  | { readonly type: "marker"; readonly to: ProcessId; readonly marker: Marker }
  /** Lai and Yang: tell that process, by any way. */
  | {
      readonly type: "count";
      readonly to: ProcessId;
      readonly marker: Marker;
      readonly before: SentBefore;
    }
  /** Every channel is closed. */
  | {
      readonly type: "complete";
      readonly snapshot: SnapshotId;
      readonly recorded: RecordedChannels;
      readonly recordedAtMs: number;
      readonly recordingMs: number;
    }
  /** Nothing of the snapshot is left here but what this effect gives: how far its recording had come, if it was not complete. */
  | {
      readonly type: "abandoned";
      readonly snapshot: SnapshotId;
      readonly reason: string;
      readonly recording: Recording | undefined;
    }
  /** This process cannot take part; the initiator should know. */
  | { readonly type: "refuse"; readonly marker: Marker; readonly reason: string }
  /** Something that cannot happen on the channels that the algorithm assumes. */
  | { readonly type: "irregular"; readonly reason: string };

/** How far a channel has come. */
interface Progress {
  count: number;
  readonly hash: ChannelHash;
}

/** An incoming channel, as one snapshot records it. */
export interface OpenChannel {
  /** How far it had come when the state was recorded. */
  readonly received: number;
  readonly hash: ChannelHash;
  readonly messages: Uint8Array[];
  inFlight: number;
  /** More may come. */
  open: boolean;
  /** Lai and Yang: once the sender has said it. */
  before: SentBefore | undefined;
}

/** A snapshot that is being recorded here. */
export interface Recording {
  readonly marker: Marker;
  readonly recordedAtMs: number;
  readonly outgoing: readonly OutgoingRecord[];
  readonly incoming: Map<ProcessId, OpenChannel>;
  readonly tape: Tape;
  /** Channels that are not closed. */
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

/** Everything a snapshot machine knows; plain data, but for the tapes. */
export interface SnapshotState {
  view: number;
  incoming: Map<ProcessId, Progress>;
  outgoing: Map<ProcessId, Progress>;
  readonly recordings: Map<SnapshotId, Recording>;
  readonly over: Map<ProcessId, Over>;
  /** Lai and Yang: the snapshots recorded here that are not over everywhere. Another list whenever it changes. */
  colour: readonly Marker[];
}

/** What a snapshot machine can go on from: its state without the tapes. */
export type SavedSnapshots = Omit<SnapshotState, "recordings"> & {
  readonly recordings: ReadonlyMap<SnapshotId, Omit<Recording, "tape">>;
};

/** One process' share in global snapshots, by whichever algorithm. */
export interface SnapshotMachine extends Machine<SnapshotInput, SnapshotEffect, SnapshotState> {
  /** When `tick` is wanted; Infinity if not at all. */
  readonly deadlineMs: number;
}

/** A participant gives up after this many times the initiator's time-out: its word should come first. */
const PATIENCE = 2;
// Far beyond what processes do that keep to the rules: bounds on what one that does not can make another keep.
const RECORDINGS_MAX = 1024;
const ENDED_MAX = 4096;
const RECORDED_BYTES_MAX = 256 * 1024 * 1024;

/** See the head of the file. What a method leads to is appended to the effects that it is given. */
export class Recordings {
  readonly state: SnapshotState;
  readonly #emptyHash: () => ChannelHash;
  readonly #tapes = new Tapes();

  /**
   * @param emptyHash of a channel on which nothing was sent
   * @param saved of a machine as it was; it is taken over
   */
  constructor(
    view: number,
    incoming: readonly ProcessId[],
    outgoing: readonly ProcessId[],
    emptyHash: () => ChannelHash,
    saved?: SavedSnapshots,
  ) {
    this.#emptyHash = emptyHash;
    if (saved) {
      const recordings = [...saved.recordings].map(
        ([id, one]) => [id, { ...one, tape: this.#tapes.take() }] as const,
      );
      this.state = { ...saved, recordings: new Map(recordings) };
      return;
    }
    this.state = {
      view,
      incoming: new Map(incoming.map((from) => [from, this.#begun()])),
      outgoing: new Map(outgoing.map((to) => [to, this.#begun()])),
      recordings: new Map(),
      over: new Map(),
      colour: [],
    };
  }

  /** When `tick` is wanted; Infinity if not at all. */
  get deadlineMs(): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const recording of this.state.recordings.values())
      deadline = Math.min(deadline, giveUpAtMs(recording));
    return deadline;
  }

  /** What does not depend on the algorithm. */
  step(input: CommonInput, effects: SnapshotEffect[]): void {
    switch (input.type) {
      case "sent":
        advance(this.state.outgoing.get(input.to), input.count, input.body);
        break;
      case "abandon":
        this.#abandon(input.snapshot, input.incarnation, input.reason, effects);
        break;
      case "settled":
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
            this.abandon(recording, "timeout: its initiator has not settled it", effects);
        }
        break;
    }
  }

  /** Counts and hashes what was taken off a channel. */
  received(from: ProcessId, count: number, body: Uint8Array): void {
    advance(this.state.incoming.get(from), count, body);
  }

  /**
   * What a word of that snapshot finds here: its recording; `new` if it must begin now; or nothing, because it is over
   * or cannot begin here, which the initiator then hears.
   */
  meet(marker: Marker, effects: SnapshotEffect[]): Recording | "new" | undefined {
    this.#noteLive(marker, effects);
    const recording = this.state.recordings.get(marker.snapshot);
    if (recording)
      return recording.marker.incarnation === marker.incarnation ? recording : undefined;
    const { initiator, count } = parseSnapshotId(marker.snapshot);
    const over = this.#over(initiator, marker.incarnation);
    if (count < over.live || over.ended.has(count)) return undefined;
    if (marker.view !== this.state.view)
      this.refuse(marker, "view changed: the processes do not agree on who takes part", effects);
    else if (this.state.recordings.size >= RECORDINGS_MAX)
      this.refuse(marker, `${RECORDINGS_MAX} snapshots are being recorded already`, effects);
    else return "new";
    return undefined;
  }

  /** A word that only another algorithm has. */
  disagree(marker: Marker, effects: SnapshotEffect[]): void {
    if (this.meet(marker, effects) !== undefined)
      this.refuse(marker, "the processes do not agree on the algorithm", effects);
  }

  refuse(marker: Marker, reason: string, effects: SnapshotEffect[]): void {
    this.#end(marker.snapshot, marker.incarnation, effects);
    effects.push({ type: "refuse", marker, reason });
  }

  /** Records the state, with every channel open. */
  begin(marker: Marker, nowMs: number, effects: SnapshotEffect[]): Recording {
    const { state } = this;
    this.#noteLive(marker, effects);
    effects.push({ type: "record", marker });
    const incoming = new Map<ProcessId, OpenChannel>();
    for (const [from, { count, hash }] of state.incoming)
      incoming.set(from, {
        received: count,
        hash: { ...hash },
        messages: [],
        inFlight: 0,
        open: true,
        before: undefined,
      });
    const recording: Recording = {
      marker,
      recordedAtMs: nowMs,
      outgoing: [...state.outgoing].map(([to, { count, hash }]) => ({
        to,
        sent: count,
        hash: formatChannelHash(hash),
      })),
      incoming,
      tape: this.#tapes.take(),
      open: incoming.size,
      bytes: 0,
    };
    state.recordings.set(marker.snapshot, recording);
    return recording;
  }

  /** The messages are in the state of that channel, wherever it is open; gives the recordings that keep them. */
  keep(
    recordings: Iterable<Recording>,
    from: ProcessId,
    count: number,
    body: Uint8Array,
    effects: SnapshotEffect[],
  ): readonly Recording[] {
    const kept: Recording[] = [];
    let copy: ReturnType<Tapes["copy"]> | undefined;
    for (const recording of recordings) {
      const channel = recording.incoming.get(from);
      if (!channel?.open) continue;
      copy ??= this.#tapes.copy(body);
      recording.tape.hold(copy);
      channel.messages.push(copy.bytes);
      channel.inFlight += count;
      recording.bytes += body.length;
      if (recording.bytes <= RECORDED_BYTES_MAX) kept.push(recording);
      else
        this.abandon(recording, `too much came in on ${from}'s channel before it closed`, effects);
    }
    return kept;
  }

  close(
    recording: Recording,
    channel: OpenChannel,
    nowMs: number,
    effects: SnapshotEffect[],
  ): void {
    channel.open = false;
    recording.open -= 1;
    this.completeIfClosed(recording, nowMs, effects);
  }

  completeIfClosed(recording: Recording, nowMs: number, effects: SnapshotEffect[]): void {
    if (recording.open > 0) return;
    const { snapshot, incarnation } = recording.marker;
    this.#end(snapshot, incarnation, effects);
    const incoming = [...recording.incoming].map(([from, channel]) => ({
      from,
      received: channel.received,
      hash: formatChannelHash(channel.hash),
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

  abandon({ marker }: Recording, reason: string, effects: SnapshotEffect[]): void {
    this.#abandon(marker.snapshot, marker.incarnation, reason, effects);
  }

  #abandon(
    snapshot: SnapshotId,
    incarnation: number,
    reason: string,
    effects: SnapshotEffect[],
  ): void {
    const recording = this.state.recordings.get(snapshot);
    this.#end(snapshot, incarnation, effects);
    effects.push({ type: "abandoned", snapshot, reason, recording });
  }

  /** True if its initiator has said that it is over. */
  isSettled({ snapshot, incarnation }: Marker): boolean {
    const { initiator, count } = parseSnapshotId(snapshot);
    const over = this.state.over.get(initiator);
    return over?.incarnation === incarnation && count < over.live;
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
        this.abandon(recording, "its initiator has settled it", effects);
    }
  }

  #abandonAll(reason: string, effects: SnapshotEffect[]): void {
    for (const recording of this.state.recordings.values())
      this.abandon(recording, reason, effects);
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
    state.incoming = new Map(incoming.map((id) => [id, state.incoming.get(id) ?? this.#begun()]));
    state.outgoing = new Map(outgoing.map((id) => [id, state.outgoing.get(id) ?? this.#begun()]));
  }

  #reset(peer: ProcessId, reason: string, effects: SnapshotEffect[]): void {
    this.#abandonAll(reason, effects);
    if (this.state.incoming.has(peer)) this.state.incoming.set(peer, this.#begun());
    if (this.state.outgoing.has(peer)) this.state.outgoing.set(peer, this.#begun());
  }

  #begun(): Progress {
    return { count: 0, hash: this.#emptyHash() };
  }
}

const giveUpAtMs = ({ recordedAtMs, marker }: Recording): number =>
  recordedAtMs + PATIENCE * marker.timeoutMs;

function advance(progress: Progress | undefined, count: number, body: Uint8Array): void {
  if (!progress) return;
  progress.count += count;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  foldChannelHash(progress.hash, view, 0, body.length);
}
