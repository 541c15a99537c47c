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
    const lateMs = identity.self === "b" ? 20 : 0;
    const peerUp = (peer: string, incarnation: number) =>
      setTimeout(() => events.peerUp(peer, incarnation), lateMs);
    return super.open(identity, changed(events, { peerUp }));
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
  [
    SilentRefusal,
    "a process of another epoch is refused, with the reason on both sides",
    /in vain until EPOCH_MISMATCH/,
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
