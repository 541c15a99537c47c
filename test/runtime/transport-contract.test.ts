/** Negative controls: transports that break the contract, each in one way, and the case that must notice. */

import { describe, expect, test } from "vitest";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import type {
  Frame,
  Transport,
  TransportEvents,
  TransportIdentity,
} from "../../src/runtime/transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";

/** A transport as it should be; the broken ones change one thing. */
class Sound implements Transport {
  readonly inner: Transport;
  events: TransportEvents | undefined;
  sent = 0;

  constructor(inner: Transport) {
    this.inner = inner;
  }
  get guarantees(): Transport["guarantees"] {
    return this.inner.guarantees;
  }
  get maxFrameBytes(): number {
    return this.inner.maxFrameBytes;
  }
  get address(): string | undefined {
    return this.inner.address;
  }
  open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    this.events = events;
    return this.inner.open(identity, events);
  }
  connect(peer: string, address: string): void {
    this.inner.connect(peer, address);
  }
  advance(later: { readonly incarnation: number; readonly epoch: number }): void {
    this.inner.advance(later);
  }
  send(to: string, frame: Frame): boolean {
    this.sent += 1;
    return this.inner.send(to, frame);
  }
  buffered(to: string): number {
    return this.inner.buffered(to);
  }
  close(): Promise<void> {
    return this.inner.close();
  }
}

/** The owner's events with some of them changed. */
const changed = (events: TransportEvents, part: Partial<TransportEvents>): TransportEvents => ({
  peerUp: (peer, incarnation) => events.peerUp(peer, incarnation),
  peerDown: (peer, reason) => events.peerDown(peer, reason),
  frame: (peer, frame) => events.frame(peer, frame),
  problem: (error) => events.problem(error),
  laterEpoch: (peer, epoch) => events.laterEpoch(peer, epoch),
  ...part,
});

class Loses extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    let count = 0;
    const frame = (peer: string, bytes: Frame) => {
      count += 1;
      if (count !== 300) events.frame(peer, bytes);
    };
    return super.open(identity, changed(events, { frame }));
  }
}

class Reorders extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    let kept: [string, Frame] | undefined;
    let count = 0;
    const frame = (peer: string, bytes: Frame) => {
      count += 1;
      if (count === 300) {
        kept = [peer, bytes.slice()];
        return;
      }
      events.frame(peer, bytes);
      // Behind another frame of the same peer.
      if (kept?.[0] === peer) {
        const [from, late] = kept;
        kept = undefined;
        setImmediate(() => events.frame(from, late));
      }
    };
    return super.open(identity, changed(events, { frame }));
  }
}

class Repeats extends Sound {
  override send(to: string, frame: Frame): boolean {
    return super.send(to, frame) && (this.sent !== 300 || super.send(to, frame));
  }
}

class Damages extends Sound {
  override send(to: string, frame: Frame): boolean {
    return super.send(to, frame.length > 100 ? frame.with(99, 255 ^ (frame[99] ?? 0)) : frame);
  }
}

/** Has a frame arrive again later, as its bytes are then. */
class RepeatsLater extends Sound {
  override get guarantees(): Transport["guarantees"] {
    return { fifo: true, lossless: true, duplicateFree: false };
  }
  override send(to: string, frame: Frame): boolean {
    setTimeout(() => super.send(to, frame), 5);
    return super.send(to, frame);
  }
}

/** Fills the buffer that it lent to its owner with the next frame, as it may. */
class Reuses extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    const buffer = new Uint8Array(this.maxFrameBytes);
    const frame = (peer: string, bytes: Frame) => {
      buffer.set(bytes);
      events.frame(peer, buffer.subarray(0, bytes.length));
    };
    return super.open(identity, changed(events, { frame }));
  }
}

class TellsInsideSend extends Sound {
  override send(to: string, frame: Frame): boolean {
    if (this.sent === 3) this.events?.peerDown(to, "at once");
    return super.send(to, frame);
  }
}

class WrongIncarnation extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    return super.open(identity, changed(events, { peerUp: (peer) => events.peerUp(peer, 1) }));
  }
}

class FrameBeforeUp extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    if (identity.self !== "b") return super.open(identity, events);
    let late: (() => void) | undefined;
    const peerUp = (peer: string, incarnation: number) => {
      late = () => events.peerUp(peer, incarnation);
    };
    const frame = (peer: string, bytes: Frame) => {
      events.frame(peer, bytes);
      late?.();
      late = undefined;
    };
    return super.open(identity, changed(events, { peerUp, frame }));
  }
}

class TakesTooLarge extends Sound {
  override send(to: string, frame: Frame): boolean {
    return frame.length > this.maxFrameBytes ? false : super.send(to, frame);
  }
}

class ClaimsToSend extends Sound {
  override send(to: string, frame: Frame): boolean {
    super.send(to, frame);
    return true;
  }
}

class SilentRefusal extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    return super.open(identity, changed(events, { problem: () => undefined }));
  }
}

class TellsAfterClose extends Sound {
  override close(): Promise<void> {
    setImmediate(() => this.events?.peerDown("b", "closed"));
    return super.close();
  }
}

class ForgetsOnClose extends Sound {
  #closed: boolean = false;
  readonly #late: [string, Frame][] = [];
  override send(to: string, frame: Frame): boolean {
    this.#late.push([to, frame]);
    setTimeout(() => {
      const [peer, oldest] = this.#late.shift() ?? ["", frame];
      if (!this.#closed) super.send(peer, oldest);
    }, 5);
    return super.buffered(to) >= 0;
  }
  override close(): Promise<void> {
    this.#closed = true;
    return super.close();
  }
}

class OpensAgain extends Sound {
  #opened: boolean = false;
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    if (this.#opened) return Promise.resolve();
    this.#opened = true;
    return super.open(identity, events);
  }
}

class StaysBehind extends Sound {
  override advance(): void {}
}

class TakesAnyEpoch extends Sound {
  override advance(later: { readonly incarnation: number; readonly epoch: number }): void {
    try {
      super.advance(later);
    } catch {
      // As if it had done it.
    }
  }
}

class TellsInsideAdvance extends Sound {
  override advance(later: { readonly incarnation: number; readonly epoch: number }): void {
    this.events?.peerDown("b", "advanced");
    super.advance(later);
  }
}

/** Thinks that the connections of the epoch before need no word. */
class LeavesWithoutAWord extends Sound {
  #advanced: boolean = false;
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    const peerDown = (peer: string, reason: string) => {
      if (!this.#advanced) events.peerDown(peer, reason);
    };
    return super.open(identity, changed(events, { peerDown }));
  }
  override advance(later: { readonly incarnation: number; readonly epoch: number }): void {
    super.advance(later);
    this.#advanced = true;
  }
}

/** Hands over the last frame of the epoch before when the peer is up again. */
class KeepsFrames extends Sound {
  #last: Frame | undefined;
  #kept: Frame | undefined;
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    const frame = (peer: string, bytes: Frame) => {
      this.#last = bytes.slice();
      events.frame(peer, bytes);
    };
    const peerUp = (peer: string, incarnation: number) => {
      events.peerUp(peer, incarnation);
      if (this.#kept) events.frame(peer, this.#kept);
      this.#kept = undefined;
    };
    return super.open(identity, changed(events, { frame, peerUp }));
  }
  override advance(later: { readonly incarnation: number; readonly epoch: number }): void {
    this.#kept = this.#last;
    super.advance(later);
  }
}

class SendsNoMatterWhat extends Sound {
  override send(to: string, frame: Frame): boolean {
    return super.send(to, frame) || this.sent > 0;
  }
}

class KeepsLaterEpochs extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    return super.open(identity, changed(events, { laterEpoch: () => undefined }));
  }
}

class RepeatsLaterEpochs extends Sound {
  override open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    const laterEpoch = (peer: string, epoch: number) => {
      events.laterEpoch(peer, epoch);
      events.laterEpoch(peer, epoch);
    };
    return super.open(identity, changed(events, { laterEpoch }));
  }
}

class TellsAfterAdvanceAndClose extends Sound {
  override advance(later: { readonly incarnation: number; readonly epoch: number }): void {
    super.advance(later);
    setImmediate(() => this.events?.peerDown("b", "advanced"));
  }
}

const OF_DIFFERENT =
  "of two processes of different epochs the older one learns the later one, whichever dials";
const DOWN_AND_UP =
  "whoever advances is down for its peers, and up again in that epoch as a new incarnation";

/** What is broken, the case that notices, and what it says. */
const BROKEN: readonly [new (inner: Transport) => Sound, string, RegExp][] = [
  [Loses, "order, completeness and uniqueness are as guaranteed", /in vain until .* 400 frames/],
  [Reorders, "order, completeness and uniqueness are as guaranteed", /out of order/],
  [Repeats, "order, completeness and uniqueness are as guaranteed", /arrived twice/],
  [Damages, "order, completeness and uniqueness are as guaranteed", /was never sent/],
  [Damages, "frames of every size arrive as they were sent", /in vain until 1000 bytes/],
  [
    RepeatsLater,
    "what a sender writes over a frame once it has arrived changes nothing",
    /used after it had arrived/,
  ],
  [TellsInsideSend, "an answer can be sent from inside an event", /peerDown from inside send/],
  [
    WrongIncarnation,
    "a process that comes back is up again, with its new incarnation",
    /in vain until incarnation 2/,
  ],
  [FrameBeforeUp, "what is sent from inside peerUp arrives", /frame of a, which is not up/],
  [TakesTooLarge, "a frame beyond the limit is refused at once", /Missing expected exception/],
  [ClaimsToSend, "sending to a peer that is unknown, or not up, gives false", /true !== false/],
  [
    SilentRefusal,
    "a second process with the same id is refused, with the reason on both sides",
    /in vain until b tells DUPLICATE_ID/,
  ],
  [
    SilentRefusal,
    "a process of another system is refused, with the reason on both sides",
    /in vain until STRANGER/,
  ],
  [SilentRefusal, OF_DIFFERENT, /in vain until b is told who is behind/],
  [KeepsLaterEpochs, OF_DIFFERENT, /in vain until a is told of epoch 5/],
  [KeepsLaterEpochs, DOWN_AND_UP, /in vain until b is told by a/],
  [RepeatsLaterEpochs, OF_DIFFERENT, /told twice that b lives in epoch 5/],
  [StaysBehind, DOWN_AND_UP, /send after advance/],
  [SendsNoMatterWhat, DOWN_AND_UP, /send after advance/],
  [
    StaysBehind,
    "a process that was away while others advanced is told when it comes back",
    /in vain until a of epoch 1, c of epoch 1 have met/,
  ],
  [
    TakesAnyEpoch,
    "an epoch that is not later, or an incarnation that is not new, changes nothing",
    /Missing expected exception/,
  ],
  [
    TakesAnyEpoch,
    "advance is refused before open, taken during it, and no change after close",
    /Missing expected exception/,
  ],
  [TellsInsideAdvance, DOWN_AND_UP, /peerDown from inside advance/],
  [LeavesWithoutAWord, DOWN_AND_UP, /before b,c of the epoch before was down/],
  [
    LeavesWithoutAWord,
    "two that advance again and again, at the same moment, meet in the last epoch",
    /told twice that [ab] is up/,
  ],
  [
    KeepsFrames,
    "no frame of an old life arrives in a later epoch",
    /got a frame of epoch 0 in epoch 1/,
  ],
  [
    TellsAfterAdvanceAndClose,
    "closing right after advance tells nothing any more",
    /a was told peerDown after close/,
  ],
  [
    TellsAfterClose,
    "nothing comes after close, and closing again is no change",
    /a was told peerDown after close/,
  ],
  [ForgetsOnClose, "close lets what was sent leave, then peers are told", /!== 100/],
  [OpensAgain, "a transport is opened once", /Missing expected rejection/],
];

describe("the transport contract", () => {
  const casesOf = (Kind: new (inner: Transport) => Sound, patienceMs: number) =>
    transportContract(
      () => {
        const network = new MemoryNetwork({ maxFrameBytes: 1_000_000 });
        return { transport: () => new Kind(network.transport()) };
      },
      { patienceMs },
    );

  for (const [Kind, name, message] of BROKEN)
    test(`a transport that ${Kind.name} does not pass: ${name}`, async () => {
      const found = casesOf(Kind, 500).find((one) => one.name === name);
      expect(found, "the contract has no such case").toBeDefined();
      await expect(found?.run()).rejects.toThrow(message);
    });

  test.each([Sound, Reuses])("%o, which is not broken, passes", async (Kind) => {
    for (const { run } of casesOf(Kind, 10_000)) await run();
  });
});
