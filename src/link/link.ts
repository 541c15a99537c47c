/**
 * One end of an exactly-once stream of records in each direction between two processes: FIFO, or in the order in which the
 * batches come.
 *
 * Assumptions. The transport below may lose, repeat, reorder and delay frames and go down and up again;
 * it does not alter them. Both ends keep their state while the transport is away; an end that comes
 * back without it shows another incarnation, and then both directions begin afresh.
 *
 * Theory of operation. Records are numbered from 0; a batch of `count` records from number `first` on is
 * sent as one frame and kept until a cumulative acknowledgement covers it. The receiver takes the batch
 * that begins with the number it expects, keeps a bounded amount of later ones, and drops what it has had:
 * so repetition, loss and reordering leave no trace above (Stenning 1976; Cachin, Guerraoui and
 * Rodrigues 2011, §2.4). Acknowledgements ride on batches; alone they go after `ackDelayMs`, or at
 * once when a quarter of the window is owed. After a reconnect each end asks what the other expects and
 * resumes there; an end that then finds that it knows less than the other was told has lost what it must not lose, and
 * says so. On a transport that may lose or reorder frames, a batch that is not acknowledged in time (Jacobson
 * 1988: smoothed round trip plus four deviations, doubled twice at the most) is sent again.
 *
 * Flow control. The receiver gives *credit*: the bytes that its application has taken and `windowBytes` more.
 * A batch goes if it begins below that, so a slow receiver holds a window and one batch at the most, whatever the
 * sender would like. When nothing is on the way and the credit is used up, the sender asks now and then, for the news of
 * more may be lost. What waits at the sender is bounded by its owner, who looks at `waitingBytes`.
 *
 * Order. Without it an early batch is handed up at once instead of kept, so that none waits for one that was lost; that it
 * was is remembered until the ones before it have come. All else is the same, with the same bounds.
 */

import type { Machine } from "../core/machine.ts";
import { copyOf, countRecords } from "../core/record.ts";
import type { OutgoingBatch } from "./batch-writer.ts";
import {
  acknowledgement,
  BATCH_HEADER_BYTES,
  type Batch,
  type FrameHeader,
  type ParsedFrame,
  writeBatchHeader,
} from "./frame.ts";

/** In what order a receiver gets what was sent on a channel: as it was sent, or as it comes. */
export type ChannelOrder = "fifo" | "none";

/** What a link must be told when it is made. */
export interface LinkOptions {
  /** Tells several links to the same peer apart, 0 to 255. */
  readonly stream: number;
  readonly epoch: number;
  /** This process' own incarnation. */
  readonly incarnation: number;
  /** True if the transport neither loses nor reorders while the peer is up: no resend timer then. */
  readonly reliable: boolean;
  /** Bytes that the peer may send beyond what the application has taken; a whole number, 1 or more. */
  readonly windowBytes: number;
  /** How long an acknowledgement may wait for a batch to ride on, in milliseconds. */
  readonly ackDelayMs: number;
  /** Of what this end receives. @default "fifo" */
  readonly order?: ChannelOrder | undefined;
}

/** What happens to a link. */
export type LinkInput =
  | { readonly type: "up"; readonly incarnation: number; readonly nowMs: number }
  | { readonly type: "down" }
  | { readonly type: "send"; readonly batch: OutgoingBatch; readonly nowMs: number }
  | { readonly type: "frame"; readonly frame: ParsedFrame; readonly nowMs: number }
  /** The application took that many bytes of received bodies. */
  | { readonly type: "taken"; readonly bytes: number; readonly nowMs: number }
  /** The transport did not take a frame although the peer is up. */
  | { readonly type: "dropped"; readonly nowMs: number }
  | { readonly type: "tick"; readonly nowMs: number };

/** What the driver of a link must do, in order. */
export type LinkEffect =
  | { readonly type: "transmit"; readonly frame: Uint8Array }
  /** A batch of the stream, exactly once; the next one, if there is an order. Its body is a part of the frame that came in. */
  | { readonly type: "batch"; readonly batch: Batch }
  /** The peer came back without its state: `unsent` records were lost, both directions begin at 0. */
  | { readonly type: "reset"; readonly unsent: number }
  /**
   * The peer has been sent, or has been told of, so many records more than this end knows of: this end has lost them. No state that it
   * can have leads on from there, and the frame is dropped.
   */
  | { readonly type: "behind"; readonly records: number }
  /** The frame broke the protocol and was dropped. */
  | { readonly type: "malformed"; readonly reason: string };

/** A batch that is not acknowledged. */
interface QueuedBatch {
  readonly frame: Uint8Array;
  readonly kind: number;
  readonly first: number;
  readonly count: number;
  /** Bytes of bodies up to and with this one, since the stream began. */
  readonly endBytes: number;
  sentAtMs: number;
  sendings: number;
}

/** A batch that came before its turn. */
interface EarlyBatch {
  readonly count: number;
  readonly bytes: number;
  /** Absent once it is handed up. */
  readonly batch?: Batch;
}

/** Everything a link knows; plain data. */
export interface LinkState {
  up: boolean;
  /** After a reconnect: nothing is sent until the peer has said what it expects. */
  resuming: boolean;
  /** 0 before the first connection. */
  peerIncarnation: number;
  /** Number of the next record to send. */
  next: number;
  /** Sent or waiting, not acknowledged. */
  queue: QueuedBatch[];
  /** How many of `queue` are sent. */
  sent: number;
  /** Bytes of bodies given to this link since the stream began, and what the peer has had of them. */
  givenBytes: number;
  ackedBytes: number;
  /** Of the bodies up to here, some were sent more than once. */
  twiceBytes: number;
  /** A batch that begins before so many bytes may be sent. */
  creditBytes: number;
  /** Number of the next record to receive. */
  expected: number;
  /** Bytes of bodies handed up, and how many of them the application took. */
  receivedBytes: number;
  takenBytes: number;
  /** Batches that came before their turn, by their first number. */
  early: Map<number, EarlyBatch>;
  earlyBytes: number;
  /** Received or taken, and not said to the peer yet. */
  owedBytes: number;
  /** When an acknowledgement is due; Infinity if none is. */
  ackAtMs: number;
  /** When the peer is asked again, if there is something to ask. */
  askAtMs: number;
  /** When the peer was asked first since it came up. */
  askedAtMs: number;
  /** When everything not acknowledged is sent again, for a frame was dropped here; Infinity if not. */
  retryAtMs: number;
  /** Smoothed round trip and its deviation; 0 until measured. */
  roundTripMs: number;
  deviationMs: number;
}

/** What a link counts. In another life of either end it may begin at 0 again. */
export interface LinkMeasures {
  /** Of bodies: given to it for the peer, and handed up here. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Of those that were given, not acknowledged. */
  readonly waitingBytes: number;
  /** Frames that were sent again. */
  readonly resent: number;
  /** Batches that came again, and were dropped. */
  readonly repeated: number;
}

/** A stream whose application takes nothing lets this many early batches wait at most. */
const MAX_EARLY = 1024;
const FIRST_RESEND_MS = 100;
const LEAST_RESEND_MS = 20;
const MOST_RESEND_MS = 5_000;
/** Loss is no sign of congestion here, as it is on the Internet: the credit bounds what is on the way. */
const DOUBLINGS_MAX = 2;
/** How many batches one tick looks at and sends again: a bound on the work, not on correctness. */
const RESENDS_PER_TICK = 64;
const RETRY_MS = 50;
const ASK_MS = 100;

/** See the head of the file. */
export class Link implements Machine<LinkInput, LinkEffect, LinkState> {
  readonly state: LinkState;
  /** Frames that were sent again, and batches that came again, since this object was made: of no turn, so no part of the state. */
  resent: number = 0;
  repeated: number = 0;
  readonly #options: LinkOptions;

  /** @param state of a link as it was; it is taken over */
  constructor(options: LinkOptions, state?: LinkState) {
    this.#options = options;
    this.state = state ?? {
      up: false,
      resuming: false,
      peerIncarnation: 0,
      ...freshStream(),
    };
  }

  /** Bytes given to this link that the peer has not acknowledged. */
  get waitingBytes(): number {
    return this.state.givenBytes - this.state.ackedBytes;
  }

  /** Bytes of bodies given to this link since its stream began. */
  get givenBytes(): number {
    return this.state.givenBytes;
  }

  /** What it has carried and what waits, for those who watch it over time. */
  get measures(): LinkMeasures {
    const { resent, repeated, waitingBytes } = this;
    const { givenBytes: sentBytes, receivedBytes } = this.state;
    return { sentBytes, receivedBytes, waitingBytes, resent, repeated };
  }

  /** Bytes of bodies that the peer has acknowledged. */
  get ackedBytes(): number {
    return this.state.ackedBytes;
  }

  /**
   * Whose frames, from here on, may be written to once they are acknowledged; Infinity if none. What was sent twice is
   * acknowledged when it has come once, and what a transport may lose or reorder comes when it likes.
   */
  get reusableFromBytes(): number {
    return this.#options.reliable ? this.state.twiceBytes : Number.POSITIVE_INFINITY;
  }

  /** When `tick` is wanted, on the driver's clock; Infinity if not at all. */
  get deadlineMs(): number {
    const { state } = this;
    if (!state.up) return Number.POSITIVE_INFINITY;
    let deadline = Math.min(state.ackAtMs, state.retryAtMs);
    if (this.#mustAsk) deadline = Math.min(deadline, state.askAtMs);
    if (!this.#options.reliable) {
      const end = Math.min(state.sent, RESENDS_PER_TICK);
      for (let i = 0; i < end; i += 1) {
        deadline = Math.min(deadline, this.#resendAtMs(state.queue[i] as QueuedBatch));
      }
    }
    return deadline;
  }

  step(input: LinkInput): readonly LinkEffect[] {
    const effects: LinkEffect[] = [];
    switch (input.type) {
      case "send":
        this.#give(input.batch);
        this.#pump(input.nowMs, effects);
        break;
      case "frame":
        this.#receive(input.frame, input.nowMs, effects);
        break;
      case "taken":
        this.state.takenBytes += input.bytes;
        this.#owe(input.bytes, input.nowMs);
        this.#acknowledgeIfDue(input.nowMs, effects);
        break;
      case "up":
        this.#up(input.incarnation, input.nowMs, effects);
        break;
      case "down":
        this.state.up = false;
        this.state.ackAtMs = Number.POSITIVE_INFINITY;
        break;
      case "dropped":
        this.state.retryAtMs = Math.min(this.state.retryAtMs, input.nowMs + RETRY_MS);
        break;
      case "tick":
        this.#tick(input.nowMs, effects);
        break;
    }
    return effects;
  }

  #up(incarnation: number, nowMs: number, effects: LinkEffect[]): void {
    const { state } = this;
    if (state.peerIncarnation !== incarnation) {
      if (state.peerIncarnation !== 0) {
        const unsent = state.queue.reduce((sum, { count }) => sum + count, 0);
        Object.assign(state, freshStream());
        effects.push({ type: "reset", unsent });
      }
      state.peerIncarnation = incarnation;
    }
    state.up = true;
    state.resuming = true;
    state.sent = 0;
    state.retryAtMs = Number.POSITIVE_INFINITY;
    state.askedAtMs = nowMs;
    this.#ask(nowMs, effects);
  }

  #give({ frame, kind, count }: OutgoingBatch): void {
    const { state } = this;
    state.givenBytes += frame.length - BATCH_HEADER_BYTES;
    state.queue.push({
      frame,
      kind,
      first: state.next,
      count,
      endBytes: state.givenBytes,
      sentAtMs: 0,
      sendings: 0,
    });
    state.next += count;
  }

  /** Sends what waits, as far as the credit goes. */
  #pump(nowMs: number, effects: LinkEffect[]): void {
    const { state } = this;
    if (!state.up || state.resuming) return;
    for (; state.sent < state.queue.length; state.sent += 1) {
      const batch = state.queue[state.sent] as QueuedBatch;
      const startBytes = batch.endBytes - (batch.frame.length - BATCH_HEADER_BYTES);
      if (startBytes >= state.creditBytes) return;
      this.#transmit(batch, nowMs, effects);
    }
  }

  #transmit(batch: QueuedBatch, nowMs: number, effects: LinkEffect[]): void {
    // A frame that was handed out is never written to again: sent once more, it says what it said.
    if (batch.sendings === 0) {
      writeBatchHeader(batch.frame, this.#header(), batch.kind, batch.first, batch.count);
      this.#settle();
    } else {
      this.state.twiceBytes = Math.max(this.state.twiceBytes, batch.endBytes);
      this.resent += 1;
    }
    batch.sendings += 1;
    batch.sentAtMs = nowMs;
    effects.push({ type: "transmit", frame: batch.frame });
  }

  #header(): FrameHeader {
    const { state } = this;
    return {
      stream: this.#options.stream,
      epoch: this.#options.epoch,
      from: this.#options.incarnation,
      to: state.peerIncarnation,
      acknowledged: state.expected,
      credit: state.takenBytes + this.#options.windowBytes,
    };
  }

  #receive(frame: ParsedFrame, nowMs: number, effects: LinkEffect[]): void {
    const { state } = this;
    // Left over from another life of either side, or from before a restore.
    if (
      !state.up ||
      frame.from !== state.peerIncarnation ||
      frame.to !== this.#options.incarnation ||
      frame.epoch !== this.#options.epoch
    )
      return;
    // No network makes these of what an end that has kept its state ever said.
    const ahead = Math.max(frame.acknowledged - state.next, frame.oldest - state.expected);
    if (ahead > 0) {
      effects.push({ type: "behind", records: ahead });
      return;
    }
    this.#acknowledged(frame.acknowledged, frame.credit, nowMs);
    // A first sample before any batch is sent: it could not be had of batches that are always sent again too early.
    if (frame.answers && state.roundTripMs === 0) this.#measure(nowMs - state.askedAtMs);
    if (frame.asks) this.#acknowledge(effects, "answers");
    if (frame.batch) this.#arrive(frame.batch, nowMs, effects);
    this.#pump(nowMs, effects);
    this.#acknowledgeIfDue(nowMs, effects);
  }

  #acknowledged(upTo: number, credit: number, nowMs: number): void {
    const { state } = this;
    state.creditBytes = Math.max(state.creditBytes, credit);
    state.resuming = false;
    let done = 0;
    let once = true;
    let sentAtMs = 0;
    for (; done < state.queue.length; done += 1) {
      const batch = state.queue[done] as QueuedBatch;
      if (batch.first + batch.count > upTo) break;
      state.ackedBytes = batch.endBytes;
      once &&= batch.sendings === 1;
      ({ sentAtMs } = batch);
    }
    if (done > 0) {
      // Karn and Partridge 1987: what was sent twice says nothing about the round trip; nor does what came
      // after it, for it was not acknowledged before it.
      if (once) this.#measure(nowMs - sentAtMs);
      state.queue.splice(0, done);
      state.sent = Math.max(0, state.sent - done);
    }
  }

  #measure(sampleMs: number): void {
    const { state } = this;
    if (state.roundTripMs === 0) {
      state.roundTripMs = Math.max(sampleMs, 0.01);
      state.deviationMs = sampleMs / 2;
      return;
    }
    const error = sampleMs - state.roundTripMs;
    state.roundTripMs += error / 8;
    state.deviationMs += (Math.abs(error) - state.deviationMs) / 4;
  }

  #arrive(batch: Batch, nowMs: number, effects: LinkEffect[]): void {
    const { state } = this;
    const { body, first, count } = batch;
    if (first + count <= state.expected) {
      // Had already: the acknowledgement was lost, so it is owed again.
      this.repeated += 1;
      state.ackAtMs = Math.min(state.ackAtMs, nowMs + this.#options.ackDelayMs);
      return;
    }
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    if (count === 0 || countRecords(view, 0, body.length) !== count) {
      effects.push({ type: "malformed", reason: "its records are not what its header says" });
      return;
    }
    if (first < state.expected) {
      effects.push({ type: "malformed", reason: "it cuts the stream elsewhere than before" });
      return;
    }
    // What comes before its turn is bounded apart, be it kept or handed up.
    const inTurnBytes = state.receivedBytes - (this.#ordered ? 0 : state.earlyBytes);
    if (inTurnBytes - state.takenBytes >= this.#options.windowBytes) {
      effects.push({ type: "malformed", reason: "it goes beyond the credit" });
      return;
    }
    if (first > state.expected) {
      this.#early(batch, nowMs, effects);
      return;
    }
    state.expected += count;
    this.#handUp(batch, nowMs, effects);
    for (
      let early = state.early.get(state.expected);
      early !== undefined;
      early = state.early.get(state.expected)
    ) {
      state.early.delete(state.expected);
      state.earlyBytes -= early.bytes;
      state.expected += early.count;
      if (early.batch) this.#handUp(early.batch, nowMs, effects);
    }
  }

  get #ordered(): boolean {
    return this.#options.order !== "none";
  }

  #handUp(batch: Batch, nowMs: number, effects: LinkEffect[]): void {
    const { state } = this;
    state.receivedBytes += batch.body.length;
    this.#owe(batch.body.length, nowMs);
    effects.push({ type: "batch", batch });
  }

  /** Beyond the bound a batch is dropped as if lost: it comes again. */
  #early(batch: Batch, nowMs: number, effects: LinkEffect[]): void {
    const { state } = this;
    const { first, count, body } = batch;
    const bytes = body.length;
    if (state.early.has(first)) {
      this.repeated += 1;
      return;
    }
    if (state.early.size >= MAX_EARLY) return;
    if (state.earlyBytes + bytes > this.#options.windowBytes * 2 && state.early.size > 0) return;
    state.earlyBytes += bytes;
    if (this.#ordered) {
      // A copy, for the frame is only lent.
      state.early.set(first, { count, bytes, batch: { ...batch, body: copyOf(body) } });
    } else {
      state.early.set(first, { count, bytes });
      this.#handUp(batch, nowMs, effects);
    }
  }

  #owe(bytes: number, nowMs: number): void {
    const { state } = this;
    state.owedBytes += bytes;
    state.ackAtMs =
      state.owedBytes * 4 >= this.#options.windowBytes
        ? nowMs
        : Math.min(state.ackAtMs, nowMs + this.#options.ackDelayMs);
  }

  #acknowledgeIfDue(nowMs: number, effects: LinkEffect[]): void {
    if (this.state.up && this.state.ackAtMs <= nowMs) this.#acknowledge(effects);
  }

  #acknowledge(effects: LinkEffect[], word?: "asks" | "answers"): void {
    const oldest = this.state.queue[0]?.first ?? this.state.next;
    effects.push({ type: "transmit", frame: acknowledgement(this.#header(), oldest, word) });
    this.#settle();
  }

  /** Something waits, and no frame is on the way whose acknowledgement would let it go. */
  get #mustAsk(): boolean {
    const { resuming, sent, queue } = this.state;
    return resuming || (sent === 0 && queue.length > 0);
  }

  #ask(nowMs: number, effects: LinkEffect[]): void {
    this.state.askAtMs = nowMs + ASK_MS;
    this.#acknowledge(effects, "asks");
  }

  #settle(): void {
    this.state.owedBytes = 0;
    this.state.ackAtMs = Number.POSITIVE_INFINITY;
  }

  #resendAtMs(batch: QueuedBatch): number {
    const { roundTripMs, deviationMs } = this.state;
    const first =
      roundTripMs === 0
        ? FIRST_RESEND_MS
        : Math.max(LEAST_RESEND_MS, roundTripMs + 4 * deviationMs) + this.#options.ackDelayMs;
    const doublings = Math.min(DOUBLINGS_MAX, batch.sendings - 1);
    return batch.sentAtMs + Math.min(MOST_RESEND_MS, first * 2 ** doublings);
  }

  #tick(nowMs: number, effects: LinkEffect[]): void {
    const { state } = this;
    if (!state.up) return;
    if (state.retryAtMs <= nowMs) {
      state.retryAtMs = Number.POSITIVE_INFINITY;
      state.sent = 0;
      // It may have been an acknowledgement that was dropped.
      state.ackAtMs = nowMs;
      this.#pump(nowMs, effects);
    } else if (!this.#options.reliable) {
      const end = Math.min(state.sent, RESENDS_PER_TICK);
      for (let i = 0; i < end; i += 1) {
        const batch = state.queue[i] as QueuedBatch;
        if (this.#resendAtMs(batch) <= nowMs) this.#transmit(batch, nowMs, effects);
      }
    }
    if (this.#mustAsk && state.askAtMs <= nowMs) this.#ask(nowMs, effects);
    this.#acknowledgeIfDue(nowMs, effects);
  }
}

function freshStream(): Omit<LinkState, "up" | "resuming" | "peerIncarnation"> {
  return {
    next: 0,
    queue: [],
    sent: 0,
    givenBytes: 0,
    ackedBytes: 0,
    twiceBytes: 0,
    creditBytes: 0,
    expected: 0,
    receivedBytes: 0,
    takenBytes: 0,
    early: new Map(),
    earlyBytes: 0,
    owedBytes: 0,
    ackAtMs: Number.POSITIVE_INFINITY,
    askAtMs: 0,
    askedAtMs: 0,
    retryAtMs: Number.POSITIVE_INFINITY,
    roundTripMs: 0,
    deviationMs: 0,
  };
}
