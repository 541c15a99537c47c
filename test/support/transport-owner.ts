/** Owns one transport in a test, and keeps what it is told. */

import { vi } from "vitest";
import type { TidemarkError } from "../../src/core/error.ts";
import type { ProcessId } from "../../src/core/id.ts";
import { copyOf } from "../../src/core/record.ts";
import type {
  Frame,
  Transport,
  TransportEvents,
  TransportIdentity,
} from "../../src/runtime/transport.ts";

export class TransportOwner implements TransportEvents {
  readonly id: ProcessId;
  readonly transport: Transport;
  /** `up b 1`, `down b`, in order. */
  readonly log: string[] = [];
  /** Why peers went down. */
  readonly reasons: string[] = [];
  readonly frames: { readonly peer: ProcessId; readonly frame: Frame }[] = [];
  readonly problems: TidemarkError[] = [];
  readonly laterEpochs: (readonly [peer: ProcessId, epoch: number])[] = [];
  onDown: ((peer: ProcessId) => void) | undefined;
  onFrame: ((peer: ProcessId, frame: Frame) => void) | undefined;

  constructor(id: ProcessId, transport: Transport) {
    this.id = id;
    this.transport = transport;
  }

  /** Opens a transport and gives its owner. */
  static async open(
    id: ProcessId,
    transport: Transport,
    part: Partial<TransportIdentity> = {},
  ): Promise<TransportOwner> {
    const owner = new TransportOwner(id, transport);
    await transport.open({ system: "test", self: id, incarnation: 1, epoch: 0, ...part }, owner);
    return owner;
  }

  get address(): string {
    return this.transport.address ?? "";
  }

  get codes(): string[] {
    return this.problems.map(({ code }) => code);
  }

  /** Waits until what was told shows this. */
  until(holds: (owner: this) => boolean, timeout = 10_000): Promise<unknown> {
    return vi.waitUntil(() => holds(this), { timeout, interval: 1 });
  }

  untilUp(peer: ProcessId, incarnation = 1): Promise<unknown> {
    return this.until(
      ({ log }) =>
        log.findLast((line) => line.split(" ")[1] === peer) === `up ${peer} ${incarnation}`,
    );
  }

  peerUp(peer: ProcessId, incarnation: number): void {
    this.log.push(`up ${peer} ${incarnation}`);
  }

  peerDown(peer: ProcessId, reason: string): void {
    this.log.push(`down ${peer}`);
    this.reasons.push(reason);
    this.onDown?.(peer);
  }

  frame(peer: ProcessId, frame: Frame): void {
    this.frames.push({ peer, frame: copyOf(frame) });
    this.onFrame?.(peer, frame);
  }

  laterEpoch(peer: ProcessId, epoch: number): void {
    this.laterEpochs.push([peer, epoch]);
  }

  problem(error: TidemarkError): void {
    this.problems.push(error);
  }
}
