/**
 * A process: the machine that a driver runs. It is made of an application and, for each peer, a link for the
 * channel both ways and one for control, with the snapshot machines between them and the application.
 *
 * Assumptions. The driver performs effects in order, before the next input; the time in inputs does not go
 * back. Of the transport only what `guarantees` says.
 *
 * Theory of operation. One input is one turn. A frame goes up: link (drops repeats, orders) → inbox (only in manual
 * receive mode) → snapshot machine (counts, hashes, records) → application. What the application sends in
 * a turn is put straight into one frame per peer, which at the end of the turn, or before anything is recorded, goes down:
 * snapshot machine (counts, hashes) → link → driver. So a marker never overtakes a message, no message has another
 * colour than it was sent with, and a state is fixed between two messages. Nothing here throws for what a peer sends: it
 * is dropped and reported. An application that throws stops the process, with nothing of that turn sent.
 *
 * Channels are FIFO, with Chandy and Lamport's algorithm, unless `order` and `algorithm` say otherwise. With Lai and Yang's
 * the first record of every batch is its colour; counts go by the control link, so nothing but messages is on a channel.
 */

import { foldChannelHash, parseChannelHash } from "../core/channel-hash.ts";
import { type ErrorCode, TidemarkError, textOf } from "../core/error.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId, snapshotId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import type { ObservedBodies, ObservedRange, ProcessObserver } from "../core/observer.ts";
import { Random, type RandomState } from "../core/random.ts";
import { copyOf, countRecords, forEachRecord, readRecords, recordBytes } from "../core/record.ts";
import { Topology } from "../core/topology.ts";
import { BatchWriter, batchOf, type OutgoingBatch } from "../link/batch-writer.ts";
import { BATCH_HEADER_BYTES, type Batch, parseFrame } from "../link/frame.ts";
import {
  type ChannelOrder,
  Link,
  type LinkEffect,
  type LinkInput,
  type LinkMeasures,
  type LinkState,
} from "../link/link.ts";
import type { GroupExplanation } from "../multicast/explanation.ts";
import type { GroupMeasures } from "../multicast/group.ts";
import { ChandyLamport } from "../snapshot/chandy-lamport.ts";
import {
  Collector,
  type CollectorInput,
  type CollectorState,
  type Late,
  lateOf,
  neededFor,
} from "../snapshot/collector.ts";
import { LaiYang } from "../snapshot/lai-yang.ts";
import type { PieceRecord, TimerRecord } from "../snapshot/manifest.ts";
import type {
  Marker,
  OpenChannel,
  RecordedChannels,
  Recording,
  SnapshotEffect,
  SnapshotInput,
  SnapshotMachine,
  SnapshotState,
} from "../snapshot/recordings.ts";
import { type Application, FrozenState, type PeerChange, type Turn } from "./application.ts";
import { type Codec, encodeApart } from "./codec.ts";
import { checkWaits, type Wait } from "./declarations.ts";
import { type ColouredBatch, Inbox } from "./inbox.ts";
import {
  type BegunChannels,
  copyOfCollections,
  copyOfLink,
  copyOfSnapshots,
  type PeerImage,
  type ProcessImage,
  type ProcessSettings,
} from "./process-image.ts";
import {
  COLOUR_BYTES,
  type Control,
  decodeColour,
  decodeControl,
  decodeMarker,
  encodeColour,
  encodeWire,
  KIND_COLOURED,
  KIND_CONTROL,
  KIND_MARKER,
  KIND_MESSAGES,
  type Report,
  STREAM_CHANNEL,
  STREAM_CONTROL,
} from "./wire.ts";

/** How global snapshots are taken. */
export type SnapshotAlgorithm = "chandy-lamport" | "lai-yang";

/** What a process is made of. */
export interface ProcessOptions<M, State, Request, Reply> {
  readonly self: ProcessId;
  readonly topology: Topology;
  readonly application: Application<M, State, Request, Reply>;
  readonly messageCodec: Codec<M>;
  readonly stateCodec: Codec<unknown>;
  /** For `turn.random`. */
  readonly seed: number | string;
  /** Differs each time the process starts; from 1 to 2^32 - 1. */
  readonly incarnation: number;
  /** Raised by every restore; from 0 to 2^32 - 1. */
  readonly epoch: number;
  /** The transport neither loses nor reorders frames while a peer is up. */
  readonly reliable: boolean;
  /** Frames beyond this cannot be sent; at least 16 KiB, so that words of control fit. */
  readonly maxFrameBytes: number;
  /** `manual`: messages wait in their channel until a `receive` input takes them. */
  readonly receive: "auto" | "manual";
  /**
   * Bytes that may wait here on one channel, received and not taken; at the other end `send` gives false when its own
   * window is full. A whole number.
   */
  readonly windowBytes: number;
  /** Bytes that may wait on one channel; beyond, `send` throws `CHANNEL_FULL`. */
  readonly limitBytes: number;
  /** A peer that has been down for this long is lost: snapshots do not wait for it. */
  readonly lostAfterMs: number;
  /** Snapshots begun here are numbered from the next count on. */
  readonly lastCount: number;
  /** In what order messages are received from a channel; with `none` no message waits for another. @default "fifo" */
  readonly order?: ChannelOrder | undefined;
  /**
   * The same at every process. Chandy and Lamport's needs channels that are FIFO; Lai and Yang's takes any.
   * @default "chandy-lamport", or "lai-yang" if `order` is "none"
   */
  readonly algorithm?: SnapshotAlgorithm | undefined;
  /**
   * What the process goes on from, if it does not begin: its piece of a snapshot that the system is restored to, in a new epoch; or
   * all that it knew. The application has its state back already.
   */
  readonly from?: RestoredPiece | ProcessImage | undefined;
  /** Hears what the process does, also when it does it once more in a replay. @default nobody does */
  readonly observer?: ProcessObserver | undefined;
}

/** What a process goes on from when its system is restored: its piece, but for the state. */
export interface RestoredPiece {
  readonly incoming: readonly {
    readonly from: ProcessId;
    readonly received: number;
    readonly hash: string;
    /** What was in flight, as records. */
    readonly messages: Uint8Array;
  }[];
  readonly outgoing: PieceRecord["outgoing"];
  readonly timers: readonly TimerRecord[];
}

/** A frame came in. It is lent: whoever steps the machine may write over it afterwards. */
interface FrameInput {
  readonly type: "frame";
  readonly from: ProcessId;
  readonly frame: Uint8Array;
  readonly nowMs: number;
}

/** What happens to a process. `nowMs`: milliseconds since 1970, never going back. */
export type ProcessInput<Request> = FrameInput | RareInput<Request>;

/** Everything but frames. */
type RareInput<Request> =
  | { readonly type: "start"; readonly nowMs: number }
  /** It goes on from an image, after having been away; instead of `start`. */
  | { readonly type: "recover"; readonly nowMs: number }
  | {
      readonly type: "peer-up";
      readonly peer: ProcessId;
      readonly incarnation: number;
      readonly nowMs: number;
    }
  | {
      readonly type: "peer-down";
      readonly peer: ProcessId;
      readonly reason: string;
      readonly nowMs: number;
    }
  /** The transport dropped a frame although the peer is up. */
  | { readonly type: "dropped"; readonly peer: ProcessId; readonly nowMs: number }
  | {
      readonly type: "request";
      readonly id: number;
      readonly request: Request;
      readonly nowMs: number;
    }
  | { readonly type: "timer"; readonly name: string; readonly nowMs: number }
  | { readonly type: "tick"; readonly nowMs: number }
  /** A log that gives a group its order is there: `orderLogOpen`; and a text of it: `orderLogRead`. */
  | {
      readonly type: "order-log-open";
      readonly log: string;
      readonly epoch: number;
      readonly nowMs: number;
    }
  | {
      readonly type: "order-log-read";
      readonly log: string;
      readonly position: number;
      readonly text: string;
      readonly nowMs: number;
    }
  /** Manual mode: takes the head of that channel, a message or a marker. */
  | { readonly type: "receive"; readonly from: ProcessId; readonly nowMs: number }
  /** Begins a snapshot; `snapshot-started` or `snapshot-refused` answers with the same token. */
  | {
      readonly type: "snapshot";
      readonly token: number;
      readonly timeoutMs: number;
      readonly nowMs: number;
    }
  | {
      readonly type: "abandon";
      readonly snapshot: SnapshotId;
      readonly reason: string;
      readonly nowMs: number;
    }
  /** The piece of a `piece` effect is durable. */
  | { readonly type: "stored"; readonly piece: PieceRecord; readonly nowMs: number }
  | {
      readonly type: "store-failed";
      readonly snapshot: SnapshotId;
      readonly reason: string;
      readonly nowMs: number;
    }
  /** The manifest of a `commit` effect is written, or, with a reason, is not. */
  | {
      readonly type: "committed";
      readonly snapshot: SnapshotId;
      readonly failed?: string;
      readonly nowMs: number;
    }
  /** The system has another topology now. */
  | { readonly type: "topology"; readonly topology: Topology; readonly nowMs: number };

/** A state as it was captured: encoded, or frozen and to be encoded slice by slice. */
export type CapturedState = Uint8Array | FrozenState;

/** What manual receiving took off a channel. */
export type Received<M> =
  | { readonly kind: "message"; readonly from: ProcessId; readonly message: M }
  | { readonly kind: "marker"; readonly from: ProcessId; readonly snapshot: SnapshotId };

/** What the driver must do, in this order, before the next input. */
export type ProcessEffect<M, Reply> =
  | { readonly type: "frame"; readonly to: ProcessId; readonly frame: Uint8Array }
  | { readonly type: "reply"; readonly id: number; readonly reply: Reply }
  | { readonly type: "timer"; readonly name: string; readonly afterMs: number }
  /** Write it to a log that gives a group its order. */
  | { readonly type: "order-log-write"; readonly log: string; readonly text: string }
  /** A `tick` is wanted at that time; replaces what was wanted before. */
  | { readonly type: "wake"; readonly atMs: number }
  | { readonly type: "received"; readonly received: Received<M> | undefined }
  | { readonly type: "snapshot-started"; readonly token: number; readonly snapshot: SnapshotId }
  | { readonly type: "snapshot-refused"; readonly token: number; readonly error: TidemarkError }
  /** The state is recorded (in this turn). */
  | { readonly type: "recorded"; readonly snapshot: SnapshotId }
  /** Store this piece, then say `stored` or `store-failed`. */
  | {
      readonly type: "piece";
      readonly snapshot: SnapshotId;
      readonly state: CapturedState;
      readonly recorded: RecordedChannels;
      readonly timers: readonly TimerRecord[];
      readonly recordedAtMs: number;
      readonly recordingMs: number;
    }
  /** The cut is made (at the initiator). */
  | { readonly type: "cut"; readonly snapshot: SnapshotId; readonly cutMs: number }
  /** Write the manifest of these pieces, then say `committed` (at the initiator). */
  | {
      readonly type: "commit";
      readonly snapshot: SnapshotId;
      readonly startedAtMs: number;
      readonly cutMs: number;
      readonly pieces: readonly PieceRecord[];
    }
  /** A snapshot that was recorded or begun here is over: complete, or, with a reason, abandoned. */
  | ({ readonly type: "settled"; readonly snapshot: SnapshotId } & Partial<Abandoned>)
  | { readonly type: "problem"; readonly error: TidemarkError }
  /** The application threw: no further input is taken. */
  | { readonly type: "failed"; readonly error: TidemarkError };

/** How a snapshot was abandoned. */
interface Abandoned {
  readonly reason: string;
  /** What this process waited for then; as in an explanation. */
  readonly waitsFor: readonly string[];
  /** Whom the initiator waited for. */
  readonly late?: Late;
}

/** What a process knows, as plain data but for the application, which `capture` gives. */
export interface ProcessState {
  readonly failed: boolean;
  readonly random: RandomState;
  readonly snapshots: SnapshotState;
  readonly collections: CollectorState;
  /** Snapshots that are recorded here and not settled. */
  readonly shares: readonly {
    readonly snapshot: SnapshotId;
    readonly state: CapturedState;
    readonly complete: boolean;
  }[];
  readonly links: readonly {
    readonly peer: ProcessId;
    readonly channel: LinkState;
    readonly control: LinkState;
  }[];
}

/** That a state could not be captured for a snapshot. */
export interface CaptureFailure {
  readonly snapshot: SnapshotId;
  readonly text: string;
}

/** What a process has recorded of a snapshot that is not settled. */
export interface RecordedSoFar {
  readonly state: CapturedState;
  /** Good until the snapshot is settled: then the messages are written over. */
  readonly incoming: readonly {
    readonly from: ProcessId;
    /** Nothing will be added. */
    readonly closed: boolean;
    /** Runs of records, in the order in which they were received. */
    readonly messages: readonly Uint8Array[];
  }[];
}

/** Numbers for people and monitors. */
export interface ProcessCounters {
  /** Messages sent and received since the process started. */
  readonly sent: number;
  readonly received: number;
  /** The same of each peer: what was sent to it, and what was received from it. */
  readonly peers: Readonly<Record<ProcessId, { readonly sent: number; readonly received: number }>>;
}

/** What a process counts and holds, for those who watch it over time. What it takes to say so does not depend on the state. */
export interface ProcessMeasures {
  readonly peers: Readonly<Record<ProcessId, PeerMeasures>>;
  /** Of the application, by their names. */
  readonly groups: Readonly<Record<string, GroupMeasures>>;
  /** Snapshots that are recorded or collected here now. */
  readonly snapshotsUnderWay: number;
}

/** What there is between a process and another one. */
export interface PeerMeasures {
  readonly up: boolean;
  /** Messages since the process started. */
  readonly sent: number;
  readonly received: number;
  /** Messages and markers that have come and that the process has not taken. */
  readonly untaken: number;
  /** The link that carries messages and markers, and the one for what is said of snapshots. */
  readonly links: Readonly<Record<"channel" | "control", LinkMeasures>>;
}

/** Who is late, what is held, and by whom. */
export interface Explanation {
  readonly process: ProcessId;
  /** Empty when nothing is late. */
  readonly snapshots: readonly {
    readonly snapshot: SnapshotId;
    readonly sinceMs: number;
    /** What this process waits for, e.g. "the marker of p3"; by Lai and Yang "the count of p3" or "2 message(s) of p3". */
    readonly waitsFor: readonly string[];
    /** Whose markers, counts or messages have not come here. */
    readonly unheard: readonly ProcessId[];
    /** At its initiator: whose channels are not closed, or whose pieces not stored, as far as it has heard. */
    readonly late?: Late;
  }[];
  /** Channels on which something waits, and peers that are not there. */
  readonly channels: readonly {
    readonly from: ProcessId;
    readonly to: ProcessId;
    /** Sent and not acknowledged, or received and not taken. */
    readonly waiting: { readonly messages: number; readonly bytes: number };
    readonly up: boolean;
    /** Why the peer is not there. */
    readonly reason?: string;
    readonly downSinceMs?: number;
  }[];
  /** What waits in the groups of the application, by their names. */
  readonly groups: Readonly<Record<string, GroupExplanation>>;
  /** What the application declares to wait for, with `waits`: the first 256. Absent if it declares nothing. */
  readonly waits?: readonly Wait[];
  /** Why that is not known. */
  readonly waitsUnknown?: string;
}

/** What is kept here of a snapshot from recording until it is settled. */
interface Share {
  readonly state: CapturedState;
  /** The life of the initiator that it is for. */
  readonly incarnation: number;
  readonly timers: readonly TimerRecord[];
  /** Once all channels are closed; then whoever stores the piece releases the state: it may be at it. */
  channels: RecordedChannels | undefined;
  complete: boolean;
  /** The piece is in the store: nobody reads what was recorded any more. */
  stored: boolean;
}

/** What a process keeps of each peer. */
interface Peer {
  readonly id: ProcessId;
  /** There is a channel to it. */
  outgoing: boolean;
  readonly channel: Link;
  readonly control: Link;
  readonly outbox: BatchWriter;
  readonly inbox: Inbox;
  /** When the outbox is to give up its slabs, if nothing is on the way then; Infinity if it has none. */
  restAtMs: number;
  /** Incarnations that later ones have replaced. */
  readonly former: Set<number>;
  /** Where its channels stand whenever it begins again from the snapshot that the system was restored to. */
  begun: BegunChannels | undefined;
  up: boolean;
  downSinceMs: number;
  reason: string;
  /** Down for so long that nobody waits for it. */
  lost: boolean;
  /** `send` gave false. */
  congested: boolean;
  sent: number;
  received: number;
}

const ACK_DELAY_MS = 5;
const REST_AFTER_MS = 1_000;
const LEAST_FRAME_BYTES = 16_384;
const TIMER_NAME_CHARACTERS = 256;
/** In place of a state that is not captured, in a replay, or was lost with the process that captured it. */
const NO_STATE = new Uint8Array(0);
/** So many earlier lives of a peer are known again. */
const FORMER_MAX = 64;
/** Of what an application waits for, so much is explained. */
const WAITS_MAX = 256;

/** See the head of the file. */
export class Process<M, State, Request = never, Reply = never>
  implements Machine<ProcessInput<Request>, ProcessEffect<M, Reply>, ProcessState>
{
  readonly #options: ProcessOptions<M, State, Request, Reply>;
  readonly #application: Application<M, State, Request, Reply>;
  readonly #random: Random;
  readonly #turn: ProcessTurn<M, Reply>;
  readonly #peers = new Map<ProcessId, Peer>();
  readonly #snapshots: SnapshotMachine;
  readonly #collector = new Collector();
  readonly #shares = new Map<SnapshotId, Share>();
  /** Peers with messages in an open batch, in this turn. */
  readonly #toFlush: Peer[] = [];
  /** When each is due. */
  readonly #timers = new Map<string, number>();
  /** Why captures of this turn failed: in a replay nothing is captured. */
  readonly #failures: CaptureFailure[] = [];
  #replayed: CaptureFailure[] | undefined;
  #topology: Topology;
  /** What every batch begins with, if messages have a colour; and the colour that it says. */
  #heading: Uint8Array | undefined;
  #colour: readonly Marker[];
  #count: number;
  #lastRequest = 0;
  #failed: boolean = false;
  #congested = 0;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #nowMs = 0;
  #effects: ProcessEffect<M, Reply>[] = [];
  #observer: ProcessObserver | undefined;
  #nextObserver: ProcessObserver | undefined;
  /** Of what is being handed up, for the observer: the marker that leads to whatever is recorded now. */
  #arriving: { readonly range: ObservedRange; readonly snapshot: SnapshotId } | undefined;

  /** @throws TidemarkError `BAD_OPTION`, `UNSUITABLE_TRANSPORT` */
  constructor(options: ProcessOptions<M, State, Request, Reply>) {
    checkWhole("incarnation", options.incarnation, 1, 2 ** 32 - 1);
    checkWhole("epoch", options.epoch, 0, 2 ** 32 - 1);
    checkWhole("maxFrameBytes", options.maxFrameBytes, LEAST_FRAME_BYTES, 2 ** 32 - 1);
    checkWhole("windowBytes", options.windowBytes, 1, 2 ** 48);
    const { self, from } = options;
    const image = from && "peers" in from ? from : undefined;
    this.#options = options;
    this.#application = options.application;
    this.#random = new Random(image?.random ?? options.seed);
    const topology = image ? new Topology(image.processes, image.channels) : options.topology;
    this.#topology = topology;
    this.#count = image?.lastCount ?? options.lastCount;
    const coloured = algorithmOf(options) === "lai-yang";
    const Algorithm = coloured ? LaiYang : ChandyLamport;
    this.#snapshots = new Algorithm(
      topology.fingerprint,
      topology.incoming(self),
      topology.outgoing(self),
      image && copyOfSnapshots(image.snapshots as SnapshotState),
    );
    this.#colour = this.#snapshots.state.colour;
    this.#heading = coloured ? encodeColour(this.#colour) : undefined;
    this.#meetPeers(0, image);
    if (image) this.#assume(image);
    this.#turn = new ProcessTurn(
      {
        send: (to, message) => this.#send(to, message),
        reply: (id, reply) => this.#effects.push({ type: "reply", id, reply }),
        setTimer: (name, afterMs) => this.#setTimer(name, afterMs),
        writeOrderLog: (log, text) => this.#effects.push({ type: "order-log-write", log, text }),
      },
      self,
      this.#random,
      topology.outgoing(self),
    );
    this.observe(options.observer);
  }

  /** Who hears, from the next turn on, what the process does; `undefined`: nobody. */
  observe(observer: ProcessObserver | undefined): void {
    this.#nextObserver = observer;
  }

  get state(): ProcessState {
    return {
      failed: this.#failed,
      random: this.#random.state,
      snapshots: this.#snapshots.state,
      collections: this.#collector.state,
      shares: [...this.#shares].map(([snapshot, { state, complete }]) => ({
        ...{ snapshot, state, complete },
      })),
      links: [...this.#peers.values()].map(({ id, channel, control }) => ({
        peer: id,
        channel: channel.state,
        control: control.state,
      })),
    };
  }

  get topology(): Topology {
    return this.#topology;
  }

  /** It takes no further input; the application may be as it was in the middle of a turn. */
  get failed(): boolean {
    return this.#failed;
  }

  /** True while more waits on some channel than its window: requests from outside had better wait. */
  get congested(): boolean {
    return this.#congested > 0;
  }

  get counters(): ProcessCounters {
    let sent = 0;
    let received = 0;
    for (const peer of this.#peers.values()) {
      sent += peer.sent;
      received += peer.received;
    }
    const peers = Object.fromEntries(
      [...this.#peers.values()].map((peer) => [
        peer.id,
        { sent: peer.sent, received: peer.received },
      ]),
    );
    return { sent, received, peers };
  }

  get measures(): ProcessMeasures {
    const peers: Record<ProcessId, PeerMeasures> = {};
    for (const { id, up, sent, received, inbox, channel, control } of this.#peers.values()) {
      const links = { channel: channel.measures, control: control.measures };
      peers[id] = { up, sent, received, untaken: inbox.count, links };
    }
    const { recordings } = this.#snapshots.state;
    const { collections } = this.#collector.state;
    return {
      peers,
      groups: this.#application.measureGroups?.() ?? {},
      snapshotsUnderWay: new Set([...recordings.keys(), ...collections.keys()]).size,
    };
  }

  /** Which logs give its groups their order: of which epoch each was read, and up to where. */
  get orderLogs(): Readonly<Record<string, { readonly epoch: number; readonly position: number }>> {
    return this.#application.orderLogs?.() ?? {};
  }

  /** Manual mode: how many messages and markers wait in the channel from that process. */
  waiting(from: ProcessId): number {
    return this.#peers.get(from)?.inbox.count ?? 0;
  }

  /** Why captures failed in the step before: what `replay` must be told of it. Good until the next step. */
  get captureFailures(): readonly CaptureFailure[] {
    return this.#failures;
  }

  /**
   * Takes an input once more that another took after the state that this one goes on from. It does as that one did, but captures
   * nothing for snapshots; what is to be done has been done, but for what `recover` does at the end.
   */
  replay(
    input: ProcessInput<Request>,
    captureFailures: readonly CaptureFailure[] = [],
  ): readonly ProcessEffect<M, Reply>[] {
    this.#replayed = [...captureFailures];
    this.#turn.replays = true;
    try {
      return this.step(input);
    } finally {
      this.#replayed = undefined;
      this.#turn.replays = false;
    }
  }

  step(input: ProcessInput<Request>): readonly ProcessEffect<M, Reply>[] {
    const effects: ProcessEffect<M, Reply>[] = [];
    if (this.#failures.length > 0) this.#failures.length = 0;
    if (this.#failed) return effects;
    this.#effects = effects;
    this.#nowMs = input.nowMs;
    this.#turn.nowMs = input.nowMs;
    if (this.#nextObserver !== this.#observer) {
      this.#observer = this.#nextObserver;
      this.#turn.observer = this.#observer;
    }
    if (this.#observer) this.#tellOfInput(this.#observer, input);
    try {
      // By far the most of it, and apart from the rest: what is rare must not undo its compilation.
      if (input.type === "frame") this.#frame(input.from, input.frame);
      else this.#perform(input);
      this.#flush();
    } catch (thrown) {
      if (!(thrown instanceof ApplicationThrew)) throw thrown;
      this.#fail(thrown);
    }
    if (!this.#failed) this.#observer?.turnEnds(this.#application);
    if (input.type === "tick") this.#rewake();
    return effects;
  }

  /** A frame is not told of, but what comes of it; of what only keeps channels and snapshots going nothing is. */
  #tellOfInput(observer: ProcessObserver, input: ProcessInput<Request>): void {
    const { self: process, incarnation, epoch, from } = this.#options;
    observer.turnBegins({ process, incarnation, epoch }, input.nowMs, input.type === "start");
    // The names of timers that wrappers of applications set begin with what no text should have.
    if (input.type === "timer") observer.happened("timer", input.name.replace(/^\0/, ""));
    else if (input.type === "request") observer.happened("request", input.id);
    else if (input.type === "peer-up") observer.met(input.peer, input.incarnation);
    else if (input.type === "peer-down") observer.happened("down:", input.peer);
    else if (input.type === "recover") observer.happened("is back, with its log");
    else if (input.type === "start") observer.happened(from ? "goes on from a snapshot" : "starts");
  }

  #rangeOf({ id, channel }: Peer, first: number, count: number): ObservedRange {
    return { peer: id, peerLife: channel.state.peerIncarnation, first: first + 1, count };
  }

  #bodiesOf(body: Uint8Array): ObservedBodies {
    return { body, codec: this.#options.messageCodec };
  }

  #perform(input: RareInput<Request>): void {
    switch (input.type) {
      case "start":
        for (const peer of this.#peers.values()) peer.downSinceMs = input.nowMs;
        this.#wake(input.nowMs + this.#options.lostAfterMs);
        if (this.#options.from && "incoming" in this.#options.from)
          this.#resume(this.#options.from);
        else this.#call((application, turn) => application.start?.(turn));
        break;
      case "recover":
        this.#recover();
        break;
      case "peer-up":
        this.#peerUp(input.peer, input.incarnation);
        break;
      case "peer-down":
        this.#peerDown(input.peer, input.reason);
        break;
      case "dropped": {
        const peer = this.#peers.get(input.peer);
        if (!peer) break;
        this.#link(peer, peer.channel, { type: "dropped", nowMs: input.nowMs });
        this.#link(peer, peer.control, { type: "dropped", nowMs: input.nowMs });
        break;
      }
      case "request":
        this.#lastRequest = Math.max(this.#lastRequest, input.id);
        this.#call((application, turn) => application.request?.(input.id, input.request, turn));
        break;
      case "timer":
        this.#timers.delete(input.name);
        this.#call((application, turn) => application.timer?.(input.name, turn));
        break;
      case "order-log-open":
        this.#call((application, turn) => application.orderLogOpen?.(input.log, input.epoch, turn));
        break;
      case "order-log-read":
        this.#call((application, turn) =>
          application.orderLogRead?.(input.log, input.position, input.text, turn),
        );
        break;
      case "tick":
        this.#tick();
        break;
      case "receive":
        this.#receiveOne(input.from);
        break;
      case "snapshot":
        this.#initiate(input.token, input.timeoutMs);
        break;
      case "abandon":
        this.#collect({ type: "abandon", snapshot: input.snapshot, reason: input.reason });
        break;
      case "stored": {
        const { piece } = input;
        const share = this.#shares.get(piece.snapshot);
        if (share) share.stored = true;
        this.#reportShare(piece.snapshot, { type: "stored", piece });
        break;
      }
      case "store-failed": {
        const { snapshot, reason } = input;
        this.#reportShare(snapshot, { type: "failed", snapshot, reason });
        break;
      }
      case "committed":
        this.#collect(
          input.failed === undefined
            ? { type: "committed", snapshot: input.snapshot }
            : { type: "commit-failed", snapshot: input.snapshot, reason: input.failed },
        );
        break;
      case "topology":
        this.#changeTopology(input.topology);
        break;
    }
  }

  // Beginning somewhere else than at the beginning.

  /** What a process goes on from, with the state of the application as it is now. Between two turns. */
  get image(): ProcessImage {
    const { incarnation, epoch } = this.#options;
    return {
      incarnation,
      epoch,
      settings: settingsOf(this.#options),
      processes: this.#topology.processes,
      channels: this.#topology.channels(),
      random: [...this.#random.state],
      lastCount: this.#count,
      lastRequest: this.#lastRequest,
      nowMs: this.#nowMs,
      wakeAtMs: this.#wakeAtMs,
      timers: [...this.#timers],
      snapshots: copyOfSnapshots(this.#snapshots.state),
      collections: copyOfCollections(this.#collector.state.collections),
      shares: [...this.#shares].map(([snapshot, { incarnation, timers, complete, stored }]) => ({
        ...{ snapshot, incarnation, timers, complete, stored },
      })),
      peers: [...this.#peers.values()].map(imageOf),
    };
  }

  #assume(image: ProcessImage): void {
    this.#nowMs = image.nowMs;
    this.#wakeAtMs = image.wakeAtMs;
    this.#lastRequest = image.lastRequest;
    for (const [name, dueMs] of image.timers) this.#timers.set(name, dueMs);
    for (const [id, one] of copyOfCollections(image.collections))
      this.#collector.state.collections.set(id, one);
    for (const { snapshot, ...share } of image.shares)
      this.#shares.set(snapshot, { ...share, state: NO_STATE, channels: undefined });
  }

  /** Goes on from a piece: what was in flight comes first. */
  #resume({ incoming, outgoing, timers }: RestoredPiece): void {
    const { state } = this.#snapshots;
    for (const { from, received, hash, messages } of incoming) {
      const begun = parseChannelHash(hash);
      const peer = this.#peers.get(from);
      if (!begun || !peer || !state.incoming.has(from)) continue;
      state.incoming.set(from, { count: received, hash: { ...begun } });
      const view = new DataView(messages.buffer, messages.byteOffset, messages.byteLength);
      const count = received + Math.max(0, countRecords(view, 0, messages.length));
      foldChannelHash(begun, view, 0, messages.length);
      peer.begun = { ...peer.begun, incoming: { count, hash: begun } };
    }
    for (const { to, sent, hash } of outgoing) {
      const begun = parseChannelHash(hash);
      const peer = this.#peers.get(to);
      if (!begun || !peer || !state.outgoing.has(to)) continue;
      state.outgoing.set(to, { count: sent, hash: { ...begun } });
      peer.begun = { ...peer.begun, outgoing: { count: sent, hash: begun } };
    }
    for (const { name, afterMs } of timers) this.#setTimer(name, afterMs);
    this.#call((application, turn) => application.resume?.(turn));
    for (const { from, messages } of incoming) {
      const peer = this.#peers.get(from);
      const view = new DataView(messages.buffer, messages.byteOffset, messages.byteLength);
      const count = countRecords(view, 0, messages.length);
      if (!peer || count < 1) continue;
      const batch = { kind: KIND_MESSAGES, first: 0, count, body: messages, restored: true };
      if (this.#options.receive === "manual") peer.inbox.add(batch);
      else this.#received(peer, batch, false);
    }
    // Who was told that there is no room is not told otherwise by channels that begin afresh.
    for (const peer of this.#peers.values())
      if (peer.outgoing && !peer.congested)
        this.#call((application, turn) => application.writable?.(peer.id, turn));
  }

  /**
   * Nobody is there yet, and what had been captured and not stored is gone. Timers and the time when it wanted to be woken are its
   * driver's: it is told again.
   */
  #recover(): void {
    for (const [name, dueMs] of this.#timers)
      this.#effects.push({ type: "timer", name, afterMs: Math.max(0, dueMs - this.#nowMs) });
    this.#rewake();
    const { self } = this.#options;
    for (const { id } of this.#peers.values()) this.#peerDown(id, `${self} was away`);
    for (const [snapshot, { stored, incarnation }] of this.#shares) {
      if (stored) continue;
      const reason = `${self} was away before its piece was stored`;
      this.#reportShare(snapshot, { type: "failed", snapshot, reason });
      if (parseSnapshotId(snapshot).initiator !== self)
        this.#record({ type: "abandon", snapshot, incarnation, reason });
    }
  }

  /** Snapshots begun here whose manifest was being written: who recovers looks whether it was, and says so. */
  get committing(): readonly SnapshotId[] {
    return [...this.#collector.state.collections]
      .filter(([, { committing }]) => committing)
      .map(([id]) => id);
  }

  /** How many snapshots have been begun here, in all lives. */
  get lastCount(): number {
    return this.#count;
  }

  // The application.

  #call(
    method: (application: Application<M, State, Request, Reply>, turn: Turn<M, Reply>) => void,
  ): void {
    try {
      method(this.#application, this.#turn);
    } catch (thrown) {
      throw new ApplicationThrew(thrown);
    }
  }

  #fail({ thrown }: ApplicationThrew): void {
    this.#failed = true;
    for (const share of this.#shares.values()) if (!share.complete) this.#release(share.state);
    this.#shares.clear();
    // Of the turn in which it threw nothing leaves.
    for (const effect of this.#effects) if (effect.type === "piece") this.#release(effect.state);
    this.#effects.length = 0;
    const message = `the application of ${this.#options.self} threw: ${textOf(thrown)}`;
    const error = new TidemarkError("APPLICATION_THREW", message, { cause: thrown });
    this.#effects.push({ type: "failed", error });
    this.#observer?.failed(message);
  }

  #send(to: ProcessId | readonly ProcessId[], message: M): boolean {
    let content: Uint8Array;
    try {
      content = this.#options.messageCodec.encode(message);
    } catch (thrown) {
      const reason = `${this.#options.messageCodec.name} cannot encode it: ${textOf(thrown)}`;
      throw new TidemarkError("BAD_MESSAGE", `a message cannot be sent: ${reason}`, {
        cause: thrown,
      });
    }
    if (typeof to === "string") return this.#put(to, content);
    // To all or to none. Of the turn's own list it is known that there are channels to all.
    if (to !== this.#turn.peers) for (const one of to) this.#peerTo(one);
    let room = true;
    for (const one of to) room = this.#put(one, content) && room;
    return room;
  }

  #peerTo(to: ProcessId): Peer {
    const peer = this.#peers.get(to);
    if (peer?.outgoing) return peer;
    throw new TidemarkError(
      "NO_CHANNEL",
      `there is no channel from ${this.#options.self} to ${to}`,
    );
  }

  #put(to: ProcessId, content: Uint8Array): boolean {
    const { maxFrameBytes, windowBytes, limitBytes } = this.#options;
    const peer = this.#peerTo(to);
    const { outbox } = peer;
    const length = content.length;
    // Whatever the colour is when it leaves: no snapshot makes a message too large.
    const beside = BATCH_HEADER_BYTES + (this.#heading === undefined ? 0 : COLOUR_BYTES);
    if (recordBytes(length) + beside > maxFrameBytes)
      throw new TidemarkError(
        "MESSAGE_TOO_LARGE",
        `a message of ${length} bytes to ${to} does not fit a frame of ${maxFrameBytes}`,
      );
    if (outbox.count === 0) this.#toFlush.push(peer);
    else if (outbox.mustTakeBefore(length)) this.#flushPeer(peer);
    const waiting = peer.channel.waitingBytes + outbox.bytes;
    if (waiting + length > limitBytes)
      throw new TidemarkError(
        "CHANNEL_FULL",
        `${waiting} bytes wait on the channel to ${to}${peer.up ? "" : `, which is down (${peer.reason})`}; ` +
          `its limit is ${limitBytes}: stop sending when send gives false, until writable`,
      );
    outbox.append(content, this.#heading);
    if (waiting + length < windowBytes) return true;
    if (!peer.congested) {
      peer.congested = true;
      this.#congested += 1;
    }
    return false;
  }

  /** Everything sent in this turn goes down, one frame per peer unless it is much. */
  #flush(): void {
    for (const peer of this.#toFlush) if (peer.outbox.count > 0) this.#flushPeer(peer);
    this.#toFlush.length = 0;
  }

  #flushPeer(peer: Peer): void {
    const batch = peer.outbox.take();
    const whole = batch.frame.subarray(BATCH_HEADER_BYTES);
    const body = batch.kind === KIND_COLOURED ? whole.subarray(headingBytes(whole)) : whole;
    const count = messagesIn(batch);
    peer.sent += count;
    this.#snapshots.step({ type: "sent", to: peer.id, count, body });
    if (this.#observer) {
      const first = peer.channel.state.next + batch.count - count;
      this.#observer.sent(this.#rangeOf(peer, first, count), this.#bodiesOf(body));
    }
    this.#give(peer, peer.channel, batch);
  }

  // Links.

  #meetPeers(nowMs: number, image?: ProcessImage): void {
    const { self, incarnation, epoch, reliable, windowBytes, maxFrameBytes } = this.#options;
    const ackDelayMs = ACK_DELAY_MS;
    const link = (stream: number, order: ChannelOrder = "fifo", state?: LinkState): Link =>
      new Link(
        { stream, epoch, incarnation, reliable, windowBytes, ackDelayMs, order },
        state && copyOfLink(state),
      );
    const kind = this.#heading === undefined ? KIND_MESSAGES : KIND_COLOURED;
    for (const id of this.#topology.processes) {
      if (id === self || this.#peers.has(id)) continue;
      const was = image?.peers.find((peer) => peer.id === id);
      const channel = link(STREAM_CHANNEL, this.#options.order, was?.channel);
      const outbox = new BatchWriter(kind, maxFrameBytes, channel);
      const inbox = new Inbox();
      if (was) outbox.resume(was.outbox);
      for (const batch of was?.inbox ?? []) inbox.add(batch);
      this.#peers.set(id, {
        id,
        outgoing: false,
        channel,
        control: link(STREAM_CONTROL, "fifo", was?.control),
        outbox,
        inbox,
        restAtMs: was?.restAtMs ?? Number.POSITIVE_INFINITY,
        former: new Set(was?.former),
        begun: was?.begun,
        up: was?.up ?? false,
        downSinceMs: was?.downSinceMs ?? nowMs,
        reason: was?.reason ?? "it has not been reached yet",
        lost: was?.lost ?? false,
        congested: was?.congested ?? false,
        sent: was?.sent ?? 0,
        received: was?.received ?? 0,
      });
      if (was?.congested) this.#congested += 1;
    }
    for (const peer of this.#peers.values())
      peer.outgoing = this.#topology.outgoing(self).includes(peer.id);
  }

  #frame(from: ProcessId, frame: Uint8Array): void {
    const peer = this.#peers.get(from);
    const parsed = parseFrame(frame);
    if (!peer || typeof parsed === "string") {
      const reason = typeof parsed === "string" ? parsed : "it is not a peer";
      this.#problem("MALFORMED_FRAME", `dropped a frame of ${from}: ${reason}`);
      return;
    }
    if (parsed.stream === STREAM_CHANNEL) {
      this.#link(peer, peer.channel, { type: "frame", frame: parsed, nowMs: this.#nowMs });
      this.#relieve(peer);
    } else if (parsed.stream === STREAM_CONTROL) {
      this.#link(peer, peer.control, { type: "frame", frame: parsed, nowMs: this.#nowMs });
    } else {
      this.#problem(
        "MALFORMED_FRAME",
        `dropped a frame of ${from}: unknown stream ${parsed.stream}`,
      );
    }
  }

  #give(peer: Peer, link: Link, batch: OutgoingBatch): void {
    this.#link(peer, link, { type: "send", batch, nowMs: this.#nowMs });
  }

  #link(peer: Peer, link: Link, input: LinkInput): void {
    for (const effect of link.step(input)) this.#linkEffect(peer, link, effect);
    this.#wake(link.deadlineMs);
  }

  #linkEffect(peer: Peer, link: Link, effect: LinkEffect): void {
    switch (effect.type) {
      case "transmit":
        this.#effects.push({ type: "frame", to: peer.id, frame: effect.frame });
        break;
      case "batch":
        if (link === peer.control) this.#control(peer, effect.batch);
        else this.#arrived(peer, effect.batch);
        break;
      case "reset":
        if (link === peer.channel) this.#restarted(peer, effect.unsent);
        break;
      case "behind":
        this.#behind(peer, effect.records);
        break;
      case "malformed":
        this.#problem("MALFORMED_FRAME", `dropped a frame of ${peer.id}: ${effect.reason}`);
        break;
    }
  }

  /** To go on would be to do what others know has been done otherwise. */
  #behind({ id }: Peer, records: number): void {
    const { self, from } = this.#options;
    if (!from || !("peers" in from)) {
      const what = `it speaks of ${records} records that were never sent`;
      this.#problem("MALFORMED_FRAME", `dropped a frame of ${id}: ${what}`);
      return;
    }
    const message =
      `${id} knows of ${records} messages of or to ${self} that ${self} knows nothing of: the end of its input log is lost. ` +
      "Restore the system to a snapshot";
    this.#failed = true;
    this.#effects.push({ type: "failed", error: new TidemarkError("LOG_BEHIND", message) });
  }

  /** A batch has come off a channel's link. */
  #arrived(peer: Peer, batch: Batch): void {
    const plain = batch.kind === KIND_COLOURED ? this.#uncover(peer, batch) : batch;
    if (plain.count === 0)
      this.#problem("MALFORMED_FRAME", `dropped a batch of ${peer.id}: it has no message`);
    else if (this.#options.receive === "manual") peer.inbox.add(plain);
    else this.#received(peer, plain, this.#options.messageCodec.bytes !== "lent");
  }

  /** The messages of a batch that begins with their colour. */
  #uncover(peer: Peer, batch: Batch): ColouredBatch {
    const { body } = batch;
    const bytes = headingBytes(body);
    const colour = decodeColour(readRecords(body.subarray(0, bytes))[0] as Uint8Array);
    if (!colour)
      this.#problem(
        "MALFORMED_FRAME",
        `a batch of ${peer.id} has a colour that is not well formed`,
      );
    this.#link(peer, peer.channel, { type: "taken", bytes, nowMs: this.#nowMs });
    const count = messagesIn(batch);
    const first = batch.first + batch.count - count;
    return { kind: KIND_MESSAGES, first, count, body: body.subarray(bytes), colour };
  }

  /** A batch of a channel reaches the snapshot machine and the application. */
  #received(peer: Peer, batch: ColouredBatch, mustCopy: boolean): void {
    const { id } = peer;
    const { kind, count } = batch;
    const { length } = batch.body;
    const body = mustCopy ? copyOf(batch.body) : batch.body;
    if (!this.#snapshots.state.incoming.has(id)) {
      this.#problem("MALFORMED_FRAME", `dropped a message of ${id}: it has no channel to here`);
    } else if (kind === KIND_MESSAGES) {
      peer.received += count;
      const colour = batch.colour?.filter((marker) => this.#isCurrent(marker));
      // It may be that something is recorded first: as for a marker.
      if (colour) this.#flush();
      this.#record({ type: "received", from: id, count, body, colour, nowMs: this.#nowMs });
      if (this.#observer) {
        const range = this.#rangeOf(peer, batch.first, count);
        const told = batch.restored ? { ...range, first: 0 } : range;
        this.#observer.received(told, this.#bodiesOf(body));
      }
      this.#hand(id, body);
    } else if (kind === KIND_MARKER) {
      this.#marked(peer, batch.first, body);
    } else {
      this.#problem("MALFORMED_FRAME", `dropped a batch of ${id} of the unknown kind ${kind}`);
    }
    if (!batch.restored)
      this.#link(peer, peer.channel, { type: "taken", bytes: length, nowMs: this.#nowMs });
  }

  /** Markers come from a channel. */
  #marked(peer: Peer, first: number, body: Uint8Array): void {
    const from = peer.id;
    // What was sent in this turn was sent before the cut, and must have been counted by then.
    this.#flush();
    for (const [i, content] of readRecords(body).entries()) {
      const marker = decodeMarker(content);
      if (!marker) {
        this.#problem("MALFORMED_FRAME", `dropped a marker of ${from} that is not well formed`);
        continue;
      }
      if (this.#observer) {
        const range = this.#rangeOf(peer, first + i, 1);
        this.#arriving = { range, snapshot: marker.snapshot };
      }
      if (this.#isCurrent(marker))
        this.#record({ type: "marker", from, marker, nowMs: this.#nowMs });
      this.#tellOfMarker();
    }
  }

  /** If it makes this process record, the cut comes first: it was sent after the cut of its sender. */
  #tellOfMarker(): void {
    if (!this.#arriving) return;
    this.#observer?.receivedMarker(this.#arriving.range, this.#arriving.snapshot);
    this.#arriving = undefined;
  }

  #hand(from: ProcessId, body: Uint8Array): void {
    const application = this.#application;
    const turn = this.#turn;
    const codec = this.#options.messageCodec;
    forEachRecord(body, (content) => {
      let message: M;
      try {
        message = codec.decode(content);
      } catch (thrown) {
        this.#unreadable(from, thrown);
        return;
      }
      try {
        application.receive?.(from, message, turn);
      } catch (thrown) {
        throw new ApplicationThrew(thrown);
      }
    });
  }

  #unreadable(from: ProcessId, thrown: unknown): void {
    const { messageCodec } = this.#options;
    const reason = `${messageCodec.name} cannot decode it: ${textOf(thrown)}`;
    this.#problem("UNREADABLE_MESSAGE", `dropped a message of ${from}: ${reason}`, thrown);
  }

  /** Manual mode: one record leaves its channel. */
  #receiveOne(from: ProcessId): void {
    const peer = this.#peers.get(from);
    const batch = peer?.inbox.take();
    let received: Received<M> | undefined;
    if (peer && batch) {
      const content = readRecords(batch.body)[0] as Uint8Array;
      received = this.#describe(from, batch.kind, content);
      this.#received(peer, batch, false);
    }
    this.#effects.push({ type: "received", received });
  }

  #describe(from: ProcessId, kind: number, content: Uint8Array): Received<M> | undefined {
    if (kind === KIND_MARKER) {
      const marker = decodeMarker(content);
      return marker && { kind: "marker", from, snapshot: marker.snapshot };
    }
    if (kind !== KIND_MESSAGES) return undefined;
    try {
      return { kind: "message", from, message: this.#options.messageCodec.decode(content) };
    } catch {
      // Reported when the application would get it.
      return undefined;
    }
  }

  /** A channel that has fallen quiet gives up its slabs; not at once, for a busy one is without anything on the way, too, now and then. */
  #restLater(peer: Peer): void {
    if (peer.restAtMs !== Number.POSITIVE_INFINITY) return;
    peer.restAtMs = this.#nowMs + REST_AFTER_MS;
    this.#wake(peer.restAtMs);
  }

  /** There is room on the channel again. */
  #relieve(peer: Peer): void {
    if (peer.channel.waitingBytes === 0 && peer.outbox.keepsSlabs) this.#restLater(peer);
    if (!peer.congested || peer.channel.waitingBytes * 2 > this.#options.windowBytes) return;
    peer.congested = false;
    this.#congested -= 1;
    this.#call((application, turn) => application.writable?.(peer.id, turn));
  }

  #peerUp(id: ProcessId, incarnation: number): void {
    const peer = this.#peers.get(id);
    if (!peer) return;
    const before = peer.channel.state.peerIncarnation;
    if (peer.former.has(incarnation)) {
      // It cannot know that its channels began afresh with another: what it sends would be taken for that one's.
      peer.reason = "an earlier life of it has come back after a later one";
      const message = `${id} is not let in: ${peer.reason}. End it, and start it again`;
      this.#problem("DUPLICATE_ID", message);
      return;
    }
    if (before !== 0 && before !== incarnation) this.#supersede(peer, before);
    const { lost } = peer;
    peer.up = true;
    peer.lost = false;
    this.#orphan(id, incarnation, `process lost: ${id} came back without its state`);
    // Control first: what the channel's news leads to is told on it.
    this.#link(peer, peer.control, { type: "up", incarnation, nowMs: this.#nowMs });
    this.#link(peer, peer.channel, { type: "up", incarnation, nowMs: this.#nowMs });
    if (lost && before === incarnation) this.#tellOf(peer, "back");
  }

  #tellOf({ id }: Peer, change: PeerChange): void {
    this.#observer?.happened(`${change}:`, id);
    this.#call((application, turn) => application.peer?.(id, change, turn));
  }

  #supersede(peer: Peer, incarnation: number): void {
    peer.former.add(incarnation);
    const [oldest] = peer.former;
    if (peer.former.size > FORMER_MAX && oldest !== undefined) peer.former.delete(oldest);
  }

  #peerDown(id: ProcessId, reason: string): void {
    const peer = this.#peers.get(id);
    if (!peer?.up) return;
    peer.up = false;
    peer.reason = reason;
    peer.downSinceMs = this.#nowMs;
    this.#link(peer, peer.channel, { type: "down" });
    this.#link(peer, peer.control, { type: "down" });
    this.#wake(this.#nowMs + this.#options.lostAfterMs);
  }

  #restarted(peer: Peer, unsent: number): void {
    const { id } = peer;
    // What was in flight in the snapshot was sent before it, and it knows so when it begins from there again.
    const untaken = peer.inbox.batches.filter(({ restored }) => restored);
    const { incoming } = this.#snapshots.state;
    const taken = untaken.length > 0 ? incoming.get(id) : undefined;
    peer.inbox.clear();
    for (const batch of untaken) peer.inbox.add(batch);
    peer.outbox.restart();
    const lost = unsent === 0 ? "" : `; ${unsent} messages and markers to it were lost`;
    this.#problem(
      "PEER_RESTARTED",
      `${id} came back without its state: its channels start afresh${lost}`,
    );
    const reason = `process lost: ${id} came back without its state`;
    this.#record({ type: "reset", peer: id, reason });
    this.#beginChannels(peer, taken);
    this.#collect({ type: "abandon-all", reason });
    this.#relieve(peer);
    this.#tellOf(peer, "restarted");
  }

  /** In a system that was restored a peer without its state begins from the snapshot, and counts from there. */
  #beginChannels({ id, begun }: Peer, taken: BegunChannels["incoming"]): void {
    const { incoming, outgoing } = this.#snapshots.state;
    const from = taken ?? begun?.incoming;
    if (from && incoming.has(id)) incoming.set(id, { ...from, hash: { ...from.hash } });
    const to = begun?.outgoing;
    if (to && outgoing.has(id)) outgoing.set(id, { ...to, hash: { ...to.hash } });
  }

  // Snapshots.

  #initiate(token: number, timeoutMs: number): void {
    const { self } = this.#options;
    const refuse = (code: ErrorCode, message: string): void => {
      const error = new TidemarkError(code, message);
      this.#effects.push({ type: "snapshot-refused", token, error });
    };
    const unreachable = this.#topology.unreachableFrom(self);
    if (unreachable.length > 0) {
      const names = unreachable.join(", ");
      const message = `no path of channels leads from ${self} to ${names}: no snapshot can begin at ${self}`;
      refuse("UNREACHABLE", message);
      return;
    }
    const lost = [...this.#peers.values()].filter((peer) => peer.lost).map(whyLost);
    if (lost.length > 0) {
      refuse("SNAPSHOT_ABANDONED", `the snapshot was abandoned: ${lost.join("; ")}`);
      return;
    }
    this.#count += 1;
    const snapshot = snapshotId(self, this.#count);
    this.#effects.push({ type: "snapshot-started", token, snapshot });
    const nowMs = this.#nowMs;
    const participants = this.#topology.processes;
    this.#collect({ type: "begin", snapshot, participants, timeoutMs, nowMs });
    const { incarnation } = this.#options;
    const view = this.#topology.fingerprint;
    const marker: Marker = { snapshot, incarnation, view, live: this.#live(), timeoutMs };
    this.#record({ type: "initiate", marker, nowMs });
  }

  /**
   * True for a marker of the present life of its initiator, as far as that is known here. Left over from an
   * earlier one it must begin nothing. A snapshot of this process itself begins here and nowhere else.
   */
  #isCurrent({ snapshot, incarnation }: Marker): boolean {
    const { self, incarnation: own } = this.#options;
    const { initiator } = parseSnapshotId(snapshot);
    if (initiator === self)
      return incarnation === own && this.#snapshots.state.recordings.has(snapshot);
    const known = this.#peers.get(initiator)?.channel.state.peerIncarnation;
    return known === 0 || known === incarnation;
  }

  /** The lowest count of a snapshot begun here that is not settled. */
  #live(): number {
    let live = this.#count;
    for (const id of this.#collector.state.collections.keys())
      live = Math.min(live, parseSnapshotId(id).count);
    return live;
  }

  #record(input: SnapshotInput): void {
    let failed: SnapshotId | undefined;
    const effects = this.#snapshots.step(input);
    const { colour } = this.#snapshots.state;
    if (colour !== this.#colour) {
      this.#colour = colour;
      this.#heading = encodeColour(colour);
    }
    for (const effect of effects) {
      // What this process cannot take part in, it does nothing more for.
      if (failed !== undefined && snapshotOf(effect) === failed) continue;
      if (!this.#snapshotEffect(effect, input)) failed = snapshotOf(effect);
    }
    this.#wake(this.#snapshots.deadlineMs);
  }

  /** False if this process cannot take part. */
  #snapshotEffect(effect: SnapshotEffect, cause: SnapshotInput): boolean {
    switch (effect.type) {
      case "record":
        return this.#capture(effect.marker);
      case "marker":
        this.#marker(effect.to, effect.marker);
        break;
      case "count": {
        const peer = this.#peers.get(effect.to);
        const { marker, before } = effect;
        if (peer) this.#sendControl(peer, { type: "count", marker, before });
        break;
      }
      case "complete": {
        const { snapshot } = effect;
        const share = this.#shares.get(snapshot) as Share;
        share.channels = effect.recorded;
        share.complete = true;
        const { state, timers } = share;
        this.#effects.push({ ...effect, type: "piece", state, timers });
        this.#reportShare(snapshot, { type: "complete", snapshot });
        break;
      }
      case "abandoned": {
        const { snapshot, reason } = effect;
        // The initiator knows what it has said itself.
        if (cause.type !== "abandon")
          this.#reportShare(snapshot, { type: "failed", snapshot, reason });
        // At the initiator the collector settles it.
        if (parseSnapshotId(snapshot).initiator !== this.#options.self)
          this.#settle(snapshot, { reason, waitsFor: this.#openIn(effect.recording) });
        break;
      }
      case "refuse": {
        const { marker, reason } = effect;
        const { snapshot, incarnation } = marker;
        this.#report(incarnation, { type: "failed", snapshot, reason });
        break;
      }
      case "irregular":
        this.#problem("MALFORMED_FRAME", effect.reason);
        break;
    }
    return true;
  }

  #capture({ snapshot, incarnation }: Marker): boolean {
    const { self } = this.#options;
    const decline = (reason: string): false => {
      this.#record({ type: "abandon", snapshot, incarnation, reason });
      this.#report(incarnation, { type: "failed", snapshot, reason });
      return false;
    };
    const { incoming, outgoing } = this.#snapshots.state;
    for (const peer of this.#peers.values())
      if (peer.lost && (incoming.has(peer.id) || outgoing.has(peer.id)))
        return decline(`${whyLost(peer)}, says ${self}`);
    try {
      const state = this.#captured(snapshot);
      const timers = [...this.#timers]
        .map(([name, dueMs]) => ({ name, afterMs: Math.max(0, dueMs - this.#nowMs) }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      const empty = { channels: undefined, complete: false, stored: false };
      this.#shares.set(snapshot, { state, incarnation, timers, ...empty });
      this.#effects.push({ type: "recorded", snapshot });
      this.#observer?.recorded(snapshot, this.#application);
      this.#tellOfMarker();
      return true;
    } catch (thrown) {
      const text = textOf(thrown);
      this.#failures.push({ snapshot, text });
      const reason = `capture threw at ${self}: ${text}`;
      this.#problem("CAPTURE_THREW", `${snapshot}: ${reason}`, thrown);
      return decline(reason);
    }
  }

  #captured(snapshot: SnapshotId): CapturedState {
    const failure = this.#replayed?.find((one) => one.snapshot === snapshot);
    if (failure) throw new Error(failure.text);
    if (this.#replayed) return NO_STATE;
    const captured = this.#application.capture();
    if (captured instanceof FrozenState) return captured;
    return encodeApart(this.#options.stateCodec, captured);
  }

  #setTimer(name: string, afterMs: number): void {
    this.#timers.set(name, this.#nowMs + afterMs);
    this.#effects.push({ type: "timer", name, afterMs });
  }

  #marker(to: ProcessId, marker: Marker): void {
    const peer = this.#peers.get(to);
    if (!peer) return;
    const { next } = peer.channel.state;
    if (this.#tell(peer, peer.channel, batchOf(KIND_MARKER, encodeWire(marker))))
      this.#observer?.sentMarker(this.#rangeOf(peer, next, 1), marker.snapshot);
  }

  /** A peer that acknowledges nothing is told nothing more: the snapshot runs out of time, and memory does not. */
  #tell(peer: Peer, link: Link, batch: OutgoingBatch): boolean {
    if (link.waitingBytes > this.#options.limitBytes) return false;
    this.#give(peer, link, batch);
    return true;
  }

  /** The snapshot is over, complete or abandoned for that reason: nothing of it stays here. */
  #settle(snapshot: SnapshotId, abandoned: Partial<Abandoned> = {}): void {
    const share = this.#shares.get(snapshot);
    if (!share && parseSnapshotId(snapshot).initiator !== this.#options.self) return;
    if (share && !share.complete) this.#release(share.state);
    if (share?.stored) share.channels?.tape.erase();
    this.#shares.delete(snapshot);
    this.#effects.push({ type: "settled", snapshot, ...abandoned });
  }

  /** Tells the initiator of a snapshot that is recorded here and not settled. */
  #reportShare(snapshot: SnapshotId, report: Report): void {
    const share = this.#shares.get(snapshot);
    if (share) this.#report(share.incarnation, report);
  }

  #report(incarnation: number, report: Report): void {
    const { snapshot } = report.type === "stored" ? report.piece : report;
    const { initiator } = parseSnapshotId(snapshot);
    const peer = this.#peers.get(initiator);
    if (peer) this.#sendControl(peer, { ...report, incarnation });
    else if (initiator === this.#options.self) this.#reported(initiator, report);
  }

  #sendControl(peer: Peer, control: Control): void {
    const batch = batchOf(KIND_CONTROL, encodeWire(control));
    const { self, maxFrameBytes } = this.#options;
    if (control.type === "stored" && batch.frame.length > maxFrameBytes) {
      const { piece, incarnation } = control;
      const { snapshot } = piece;
      const reason = `the record of ${self}'s piece does not fit a frame of ${maxFrameBytes} bytes`;
      this.#sendControl(peer, { type: "failed", incarnation, snapshot, reason });
    } else this.#tell(peer, peer.control, batch);
  }

  #control(peer: Peer, { body }: Batch): void {
    for (const content of readRecords(body)) {
      const control = decodeControl(content);
      if (!control) {
        this.#problem(
          "MALFORMED_FRAME",
          `dropped a word of control of ${peer.id}: not well formed`,
        );
      } else if (control.type === "settled") {
        this.#settledElsewhere(peer, control.snapshot, control.reason);
      } else if (control.type === "count") {
        if (this.#isCurrent(control.marker))
          this.#record({ ...control, from: peer.id, nowMs: this.#nowMs });
      } else if (control.incarnation === this.#options.incarnation) {
        this.#reported(peer.id, control);
      }
    }
    this.#link(peer, peer.control, { type: "taken", bytes: body.length, nowMs: this.#nowMs });
  }

  #settledElsewhere(peer: Peer, snapshot: SnapshotId, word: string | undefined): void {
    // Only its initiator settles a snapshot.
    if (parseSnapshotId(snapshot).initiator !== peer.id) return;
    if (word === undefined && !this.#snapshots.state.recordings.has(snapshot)) {
      this.#settle(snapshot);
      this.#record({ type: "settled", snapshot });
      return;
    }
    const incarnation = peer.control.state.peerIncarnation;
    const reason = word ?? "its initiator has settled it";
    this.#record({ type: "abandon", snapshot, incarnation, reason });
  }

  #reported(from: ProcessId, report: Report): void {
    switch (report.type) {
      case "complete":
        if (this.#collector.state.collections.has(report.snapshot))
          this.#collect({ ...report, from, nowMs: this.#nowMs });
        else this.#tellOver(from, report.snapshot);
        break;
      case "stored":
        this.#collect({ ...report, from });
        break;
      case "failed":
        this.#collect({ ...report, type: "abandon" });
        break;
    }
  }

  /** Whoever came back without its state may be led by a late marker to record what is over; nobody else would tell it. */
  #tellOver(participant: ProcessId, snapshot: SnapshotId): void {
    const peer = this.#peers.get(participant);
    if (peer) this.#sendControl(peer, { type: "settled", snapshot, reason: "it was over before" });
  }

  #collect(input: CollectorInput): void {
    for (const effect of this.#collector.step(input)) {
      if (effect.type !== "settled") {
        this.#effects.push(effect);
        continue;
      }
      const { late, ...word } = effect;
      for (const peer of this.#peers.values()) this.#sendControl(peer, word);
      const { snapshot, reason } = word;
      const { incarnation } = this.#options;
      if (reason === undefined) {
        this.#settle(snapshot);
        this.#record({ type: "settled", snapshot });
      } else {
        const waitsFor = this.#openIn(this.#snapshots.state.recordings.get(snapshot));
        this.#settle(snapshot, { reason, waitsFor, ...(late && { late }) });
        this.#record({ type: "abandon", snapshot, incarnation, reason });
      }
    }
    this.#wake(this.#collector.deadlineMs);
  }

  #changeTopology(topology: Topology): void {
    const { self } = this.#options;
    this.#topology = topology;
    this.#meetPeers(this.#nowMs);
    this.#turn.peers = topology.outgoing(self);
    this.#collect({ type: "abandon-all", reason: "view changed" });
    this.#record({
      type: "view",
      view: topology.fingerprint,
      incoming: topology.incoming(self),
      outgoing: topology.outgoing(self),
    });
  }

  // Time.

  #tick(): void {
    const nowMs = this.#nowMs;
    for (const peer of this.#peers.values()) {
      if (peer.channel.deadlineMs <= nowMs) this.#link(peer, peer.channel, { type: "tick", nowMs });
      if (peer.control.deadlineMs <= nowMs) this.#link(peer, peer.control, { type: "tick", nowMs });
      if (peer.restAtMs <= nowMs) {
        peer.restAtMs = Number.POSITIVE_INFINITY;
        if (peer.channel.waitingBytes === 0) peer.outbox.rest();
      }
      if (!peer.up && !peer.lost && peer.downSinceMs + this.#options.lostAfterMs <= nowMs)
        this.#lose(peer);
    }
    if (this.#snapshots.deadlineMs <= nowMs) this.#record({ type: "tick", nowMs });
    if (this.#collector.deadlineMs <= nowMs) this.#collect({ type: "tick", nowMs });
  }

  /** Nobody waits for it any more: every snapshot that needs it is abandoned. */
  #lose(peer: Peer): void {
    peer.lost = true;
    const reason = whyLost(peer);
    this.#collect({ type: "abandon-all", reason });
    this.#orphan(peer.id, 0, reason);
    this.#tellOf(peer, "lost");
  }

  /** Abandons what was recorded here for that initiator, but for what belongs to that life of it. */
  #orphan(initiator: ProcessId, incarnation: number, reason: string): void {
    for (const [snapshot, share] of this.#shares)
      if (share.incarnation !== incarnation && parseSnapshotId(snapshot).initiator === initiator)
        this.#record({ type: "abandon", snapshot, incarnation: share.incarnation, reason });
  }

  /** Asks the driver for a tick, if it is not coming early enough already. */
  #wake(atMs: number): void {
    if (atMs >= this.#wakeAtMs) return;
    this.#wakeAtMs = atMs;
    this.#effects.push({ type: "wake", atMs });
  }

  /** The tick that was asked for has come: find the next. */
  #rewake(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    let next = Math.min(this.#snapshots.deadlineMs, this.#collector.deadlineMs);
    for (const peer of this.#peers.values()) {
      next = Math.min(next, peer.channel.deadlineMs, peer.control.deadlineMs, peer.restAtMs);
      if (!peer.up && !peer.lost)
        next = Math.min(next, peer.downSinceMs + this.#options.lostAfterMs);
    }
    this.#wake(next);
  }

  #release(captured: CapturedState): void {
    try {
      if (captured instanceof FrozenState) captured.release();
    } catch (thrown) {
      const message = `release of a frozen state threw at ${this.#options.self}: ${textOf(thrown)}`;
      this.#problem("CAPTURE_THREW", message, thrown);
    }
  }

  #problem(code: ErrorCode, message: string, cause?: unknown): void {
    this.#effects.push({ type: "problem", error: new TidemarkError(code, message, { cause }) });
  }

  /** What this process has recorded of a snapshot; `undefined` before it records and once that is settled. */
  recorded(snapshot: SnapshotId): RecordedSoFar | undefined {
    const share = this.#shares.get(snapshot);
    if (!share) return undefined;
    const { state, channels } = share;
    const incoming = channels
      ? channels.incoming.map(({ from, messages }) => ({ from, closed: true, messages }))
      : [...(this.#snapshots.state.recordings.get(snapshot)?.incoming ?? [])].map(
          ([from, { open, messages }]) => ({ from, closed: !open, messages }),
        );
    return { state, incoming };
  }

  /** Names what is late or held, and what holds it. */
  explain(): Explanation {
    const { self } = this.#options;
    const { collections } = this.#collector.state;
    const snapshots: Explanation["snapshots"][number][] = [];
    for (const [snapshot, recording] of this.#snapshots.state.recordings) {
      const collection = collections.get(snapshot);
      snapshots.push({
        snapshot,
        sinceMs: recording.recordedAtMs,
        waitsFor: this.#openIn(recording),
        unheard: [...recording.incoming].flatMap(([from, { open }]) => (open ? [from] : [])),
        ...(collection && { late: lateOf(collection) }),
      });
    }
    for (const [snapshot, collection] of collections) {
      if (!snapshots.some((other) => other.snapshot === snapshot))
        snapshots.push({
          snapshot,
          sinceMs: collection.startedAtMs,
          waitsFor: [neededFor(collection)],
          ...{ unheard: [], late: lateOf(collection) },
        });
    }
    const channels: Explanation["channels"][number][] = [];
    for (const peer of this.#peers.values()) {
      const { id, up, channel, inbox } = peer;
      const down = up ? {} : { reason: peer.reason, downSinceMs: peer.downSinceMs };
      const { queue, receivedBytes, takenBytes } = channel.state;
      const unacknowledged = queue.reduce((sum, batch) => sum + messagesIn(batch), 0);
      if (unacknowledged > 0 || !up)
        channels.push({
          from: self,
          to: id,
          waiting: { messages: unacknowledged, bytes: channel.waitingBytes },
          up,
          ...down,
        });
      if (inbox.count > 0)
        channels.push({
          from: id,
          to: self,
          waiting: { messages: inbox.count, bytes: receivedBytes - takenBytes },
          up,
          ...down,
        });
    }
    const groups = this.#application.explainGroups?.() ?? {};
    return { process: self, snapshots, channels, groups, ...this.#declaredWaits() };
  }

  /** What only explains must not end anything. */
  #declaredWaits(): Pick<Explanation, "waits" | "waitsUnknown"> {
    if (typeof this.#application.waits !== "function") return {};
    try {
      const waits = this.#application.waits();
      const wrong = checkWaits(waits);
      return wrong === undefined
        ? { waits: waits.slice(0, WAITS_MAX) }
        : { waitsUnknown: `its method waits gave ${wrong}` };
    } catch (thrown) {
      return { waitsUnknown: `its method waits threw: ${textOf(thrown)}` };
    }
  }

  /** What would close the channels that are open. */
  #openIn(recording: Recording | undefined): string[] {
    return [...(recording?.incoming ?? [])]
      .filter(([, { open }]) => open)
      .map(([from, channel]) => `${this.#missing(channel)} of ${from}${this.#absence(from)}`);
  }

  /** What would close a channel. */
  #missing({ before, received, inFlight }: OpenChannel): string {
    if (this.#heading === undefined) return "the marker";
    return before ? `${before.sent - received - inFlight} message(s)` : "the count";
  }

  #absence(id: ProcessId): string {
    const peer = this.#peers.get(id);
    return !peer || peer.up ? "" : `, which is down: ${peer.reason}`;
  }
}

/** Carries what an application threw out of the turn. */
class ApplicationThrew extends Error {
  readonly thrown: unknown;

  constructor(thrown: unknown) {
    super("the application threw");
    this.thrown = thrown;
  }
}

/** What a turn may do to its process. */
interface TurnActions<M, Reply> {
  send(to: ProcessId | readonly ProcessId[], message: M): boolean;
  reply(id: number, reply: Reply): void;
  setTimer(name: string, afterMs: number): void;
  writeOrderLog(log: string, text: string): void;
}

/** One object for all turns of a process: a turn costs no memory. */
class ProcessTurn<M, Reply> implements Turn<M, Reply> {
  readonly self: ProcessId;
  readonly random: Random;
  nowMs = 0;
  replays: boolean = false;
  observer: ProcessObserver | undefined;
  peers: readonly ProcessId[];
  readonly #actions: TurnActions<M, Reply>;

  constructor(
    actions: TurnActions<M, Reply>,
    self: ProcessId,
    random: Random,
    peers: readonly ProcessId[],
  ) {
    this.#actions = actions;
    this.self = self;
    this.random = random;
    this.peers = peers;
  }

  send(to: ProcessId | readonly ProcessId[], message: M): boolean {
    return this.#actions.send(to, message);
  }

  reply(id: number, reply: Reply): void {
    this.#actions.reply(id, reply);
  }

  writeOrderLog(log: string, text: string): void {
    this.#actions.writeOrderLog(log, text);
  }

  setTimer(name: string, afterMs: number): void {
    if (!(afterMs >= 0))
      throw new TidemarkError("BAD_OPTION", `timer ${name} cannot be due after ${afterMs} ms`);
    if (name.length > TIMER_NAME_CHARACTERS)
      throw new TidemarkError(
        "BAD_OPTION",
        `the name of a timer has ${TIMER_NAME_CHARACTERS} characters at the most, not ${name.length}`,
      );
    this.#actions.setTimer(name, afterMs);
  }
}

/** Those options on which it depends what a process does. */
function settingsOf(options: ProcessSettings): ProcessSettings {
  const { reliable, maxFrameBytes, receive, windowBytes, limitBytes, lostAfterMs } = options;
  const { order = "fifo", algorithm = order === "none" ? "lai-yang" : "chandy-lamport" } = options;
  const numbers = { maxFrameBytes, windowBytes, limitBytes, lostAfterMs };
  return { ...numbers, reliable, receive, order, algorithm };
}

function imageOf(peer: Peer): PeerImage {
  const { id, channel, control, outbox, inbox, restAtMs, former, begun } = peer;
  const { up, downSinceMs, reason, lost, congested, sent, received } = peer;
  return {
    ...{ id, restAtMs, up, downSinceMs, reason, lost, congested, sent, received },
    channel: copyOfLink(channel.state),
    control: copyOfLink(control.state),
    outbox: outbox.place,
    inbox: inbox.batches.map((batch) => ({ ...batch, body: copyOf(batch.body) })),
    former: [...former],
    begun,
  };
}

function checkWhole(name: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw new TidemarkError(
    "BAD_OPTION",
    `${name} must be a whole number from ${low} to ${high}, not ${value}`,
  );
}

function algorithmOf({
  order = "fifo",
  algorithm = order === "none" ? "lai-yang" : "chandy-lamport",
}: Pick<ProcessOptions<never, never, never, never>, "order" | "algorithm">): SnapshotAlgorithm {
  const among = (name: string, value: string, ...values: readonly string[]): void => {
    if (values.includes(value)) return;
    const message = `${name} is ${JSON.stringify(value)}: use "${values.join('" or "')}"`;
    throw new TidemarkError("BAD_OPTION", message);
  };
  among("order", order, "fifo", "none");
  among("algorithm", algorithm, "chandy-lamport", "lai-yang");
  if (algorithm === "chandy-lamport" && order === "none")
    throw new TidemarkError(
      "UNSUITABLE_TRANSPORT",
      'Chandy and Lamport\'s algorithm needs channels that are FIFO, and order is "none": use algorithm "lai-yang"',
    );
  return algorithm;
}

/** Without the record of their colour, if there is one. */
const messagesIn = ({ kind, count }: Pick<Batch, "kind" | "count">): number =>
  kind === KIND_COLOURED ? count - 1 : count;

/** The bytes that the first record takes. */
const headingBytes = (body: Uint8Array): number =>
  recordBytes(new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(0, true));

function snapshotOf(effect: SnapshotEffect): SnapshotId | undefined {
  if (effect.type === "irregular") return undefined;
  return "marker" in effect ? effect.marker.snapshot : effect.snapshot;
}

const whyLost = ({ id, reason }: Peer): string => `process lost: ${id} is down (${reason})`;
