/**
 * A transport of which single channels can be cut and healed while it is open. For showing what a network does that lets nothing
 * through in one direction; one that loses some frames is made by spoiled-transport.ts.
 *
 * Theory of operation. What is sent to a peer that is cut off is taken and dropped, as by a network that says nothing; the other direction
 * is whole. It is below the link: that finds out by itself what did not arrive, and sends it again, so nothing is lost once the channel
 * is healed. For that it must know that frames may be lost, also while nothing is cut.
 */

import type { ProcessId } from "../core/id.ts";
import {
  checkFrameSize,
  type Frame,
  type Transport,
  type TransportEvents,
  type TransportGuarantees,
  type TransportIdentity,
} from "./transport.ts";

/** Guarantees what the inner transport does, but that everything arrives. */
export class CutTransport implements Transport {
  readonly #inner: Transport;
  readonly #cuts: Set<ProcessId>;
  readonly #up = new Set<ProcessId>();

  /** @param cuts peers to which nothing gets through from the beginning */
  constructor(inner: Transport, cuts: Iterable<ProcessId> = []) {
    this.#inner = inner;
    this.#cuts = new Set(cuts);
  }

  get guarantees(): TransportGuarantees {
    return { ...this.#inner.guarantees, lossless: false };
  }

  get maxFrameBytes(): number {
    return this.#inner.maxFrameBytes;
  }

  get address(): string | undefined {
    return this.#inner.address;
  }

  /** From now on nothing gets through to that peer. */
  cut(peer: ProcessId): void {
    this.#cuts.add(peer);
  }

  /** From now on what is sent to that peer arrives again. */
  heal(peer: ProcessId): void {
    this.#cuts.delete(peer);
  }

  open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    return this.#inner.open(identity, {
      peerUp: (peer, incarnation) => {
        this.#up.add(peer);
        events.peerUp(peer, incarnation);
      },
      peerDown: (peer, reason) => {
        this.#up.delete(peer);
        events.peerDown(peer, reason);
      },
      frame: (peer, frame) => events.frame(peer, frame),
      problem: (error) => events.problem(error),
      laterEpoch: (peer, epoch) => events.laterEpoch(peer, epoch),
    });
  }

  connect(peer: ProcessId, address: string): void {
    this.#inner.connect(peer, address);
  }

  advance(identity: Pick<TransportIdentity, "incarnation" | "epoch">): void {
    this.#inner.advance(identity);
    this.#up.clear();
  }

  send(to: ProcessId, frame: Frame): boolean {
    checkFrameSize(to, frame, this.maxFrameBytes);
    if (!this.#cuts.has(to)) return this.#inner.send(to, frame);
    // To somebody who is not there nothing can be sent, cut off or not.
    return this.#up.has(to);
  }

  buffered(to: ProcessId): number {
    return this.#inner.buffered(to);
  }

  async close(): Promise<void> {
    await this.#inner.close();
    this.#up.clear();
  }
}
